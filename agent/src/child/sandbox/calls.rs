//! System calls that are refused whatever their arguments, by what is answered. Pure lists.
//!
//! A call that another architecture does not have stands in [`LEGACY`]. Numbers are unified since Linux 5.1 (424): a call that libc has no
//! name for on one of ours stands by its number.

use libc::{
    SYS_accept, SYS_accept4, SYS_acct, SYS_add_key, SYS_adjtimex, SYS_chroot, SYS_clock_adjtime, SYS_clock_settime,
    SYS_delete_module, SYS_fallocate, SYS_fanotify_init, SYS_fchmod, SYS_fchmodat, SYS_fchown, SYS_fchownat,
    SYS_finit_module, SYS_fremovexattr, SYS_fsconfig, SYS_fsetxattr, SYS_fsmount, SYS_fsopen, SYS_fspick,
    SYS_ftruncate, SYS_init_module, SYS_io_uring_enter, SYS_io_uring_register, SYS_io_uring_setup, SYS_kcmp,
    SYS_kexec_load, SYS_keyctl, SYS_linkat, SYS_listen, SYS_lremovexattr, SYS_lsetxattr, SYS_memfd_create,
    SYS_migrate_pages, SYS_mkdirat, SYS_mknodat, SYS_mount, SYS_mount_setattr, SYS_move_mount, SYS_move_pages,
    SYS_mq_open, SYS_mq_unlink, SYS_msgget, SYS_open_by_handle_at, SYS_open_tree, SYS_pidfd_getfd,
    SYS_pidfd_send_signal, SYS_pivot_root, SYS_process_madvise, SYS_process_mrelease, SYS_process_vm_readv,
    SYS_process_vm_writev, SYS_ptrace, SYS_quotactl, SYS_quotactl_fd, SYS_reboot, SYS_removexattr, SYS_renameat2,
    SYS_request_key, SYS_semget, SYS_setdomainname, SYS_sethostname, SYS_setns, SYS_setpgid, SYS_setsid,
    SYS_settimeofday, SYS_setxattr, SYS_shmget, SYS_swapoff, SYS_swapon, SYS_symlinkat, SYS_truncate, SYS_umount2,
    SYS_unlinkat, SYS_unshare, SYS_userfaultfd, SYS_utimensat, SYS_vhangup, c_long,
};

/// `EACCES`: nobody connects to a plugin. `bind` depends.
pub(super) const LISTENING: &[c_long] = &[SYS_listen, SYS_accept, SYS_accept4];

/// `EROFS`: changes files. Opening them for writing depends.
pub(super) const WRITING: &[c_long] = &[
    SYS_fallocate,
    SYS_fchmod,
    SYS_fchmodat,
    FCHMODAT2,
    SYS_fchown,
    SYS_fchownat,
    SYS_fremovexattr,
    SYS_fsetxattr,
    SYS_ftruncate,
    SYS_linkat,
    SYS_lremovexattr,
    SYS_lsetxattr,
    SYS_mkdirat,
    SYS_mknodat,
    SYS_mq_unlink,
    SYS_removexattr,
    SYS_renameat2,
    SYS_setxattr,
    SYS_symlinkat,
    SYS_truncate,
    SYS_unlinkat,
    SYS_utimensat,
    SYS_mq_open,
];

const FCHMODAT2: c_long = 452;
const KEXEC_FILE_LOAD: c_long = if cfg!(target_arch = "x86_64") { 320 } else { 294 };

/// `EPERM`: reaches other processes or the system; gets around the filter (`io_uring` opens and sends); is memory that the limit does
/// not count or that stays (memfd, System V); leaves the process group (`setsid`, `setpgid`), so that it could not be killed whole.
pub(super) const OTHERS: &[c_long] = &[
    KEXEC_FILE_LOAD,
    SYS_acct,
    SYS_add_key,
    SYS_adjtimex,
    SYS_chroot,
    SYS_clock_adjtime,
    SYS_clock_settime,
    SYS_delete_module,
    SYS_fanotify_init,
    SYS_finit_module,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fsopen,
    SYS_fspick,
    SYS_init_module,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_io_uring_setup,
    SYS_kcmp,
    SYS_kexec_load,
    SYS_keyctl,
    SYS_memfd_create,
    SYS_migrate_pages,
    SYS_mount,
    SYS_mount_setattr,
    SYS_move_mount,
    SYS_move_pages,
    SYS_msgget,
    SYS_open_by_handle_at,
    SYS_open_tree,
    SYS_pidfd_getfd,
    SYS_pidfd_send_signal,
    SYS_pivot_root,
    SYS_process_madvise,
    SYS_process_mrelease,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_ptrace,
    SYS_quotactl,
    SYS_quotactl_fd,
    SYS_reboot,
    SYS_request_key,
    SYS_semget,
    SYS_setdomainname,
    SYS_sethostname,
    SYS_setns,
    SYS_setpgid,
    SYS_setsid,
    SYS_settimeofday,
    SYS_shmget,
    SYS_swapoff,
    SYS_swapon,
    SYS_umount2,
    SYS_unshare,
    SYS_userfaultfd,
    SYS_vhangup,
    libc::SYS_memfd_secret,
];

/// `ENOSYS`, so that their callers take the older call, whose arguments a filter can see.
pub(super) const UNSEEN: &[c_long] = &[libc::SYS_clone3, libc::SYS_openat2];

/// What only the older architectures have, by what is answered.
pub(super) struct Legacy {
    pub writing: &'static [c_long],
    pub others: &'static [c_long],
}

/// Calls of x86_64 that aarch64 never had.
#[cfg(target_arch = "x86_64")]
pub(super) const LEGACY: Legacy = Legacy {
    writing: &[
        libc::SYS_chmod,
        libc::SYS_chown,
        libc::SYS_futimesat,
        libc::SYS_lchown,
        libc::SYS_link,
        libc::SYS_mkdir,
        libc::SYS_mknod,
        libc::SYS_rename,
        libc::SYS_renameat,
        libc::SYS_rmdir,
        libc::SYS_symlink,
        libc::SYS_unlink,
        libc::SYS_utime,
        libc::SYS_utimes,
    ],
    others: &[libc::SYS_ioperm, libc::SYS_iopl, libc::SYS_modify_ldt],
};

/// Calls of x86_64 that this architecture never had; `renameat` is with some.
#[cfg(target_arch = "aarch64")]
pub(super) const LEGACY: Legacy = Legacy { writing: &[libc::SYS_renameat], others: &[] };

/// None.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) const LEGACY: Legacy = Legacy { writing: &[], others: &[] };
