//! What a lesser kernel leaves, shown by the override.

use super::*;

#[test]
fn what_the_kernel_lacks_is_told_and_the_rest_is_drawn() {
    alone("lacking::what_the_kernel_lacks_is_told_and_the_rest_is_drawn", "", |_| {
        let without = Without::parse("landlock,capabilities").unwrap();
        let lacks = policy_without(&[read(ReadKind::Tcp, "80")], without).draw(None).unwrap();
        assert_eq!(lacks.len(), 2);
        assert!(lacks[0].contains("Landlock is missing") && lacks[0].contains("TCP ports are all"), "{lacks:?}");
        assert!(lacks[1].contains("capabilities"), "{lacks:?}");
        assert!(fs::read_dir("/etc").is_ok());
        assert_eq!(errno(File::create("/tmp/x")), EROFS);
    });
}

#[test]
fn lesser_landlock_lets_all_ports_and_says_so() {
    alone("lacking::lesser_landlock_lets_all_ports_and_says_so", "", |_| {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let lacks =
            policy_without(&[read(ReadKind::Tcp, "1")], Without::parse("landlock-net").unwrap()).draw(None).unwrap();
        assert!(lacks.len() == 1 && lacks[0].contains("all of them"), "{lacks:?}");
        assert!(TcpStream::connect(other.local_addr().unwrap()).is_ok());
        assert_eq!(errno(fs::read_dir("/etc")), EACCES);
    });
}

#[test]
fn port_rules_are_not_missed_where_nothing_needs_them() {
    alone("lacking::port_rules_are_not_missed_where_nothing_needs_them", "", |_| {
        let lacks = policy_without(&[], Without::parse("landlock-net").unwrap()).draw(None).unwrap();
        assert_eq!(lacks, Vec::<String>::new());
    });
}

#[test]
fn without_filters_landlock_and_limits_still_hold() {
    alone("lacking::without_filters_landlock_and_limits_still_hold", "", |_| {
        let policy = policy_without(&[], Without::parse("seccomp").unwrap());
        let lacks = policy.draw(None).unwrap();
        assert!(lacks.len() == 1 && lacks[0].contains("filters of system calls"), "{lacks:?}");
        policy.narrow().unwrap();
        assert!(netlink_socket(netlink::SOCK_DIAG).is_ok());
        assert_eq!(errno(fs::read_dir("/etc")), EACCES);
        assert_eq!(errno(Command::new("/bin/true").status()), EACCES);
        if scopes() {
            let agent = process::getppid().unwrap();
            assert_eq!(process::test_kill_process(agent).err(), Some(rustix::io::Errno::PERM));
        }
    });
}

#[test]
fn required_sandbox_is_refused_where_something_lacks() {
    for word in ["landlock", "seccomp", "capabilities", "landlock-net"] {
        let name = "lacking::required_sandbox_is_refused_where_something_lacks";
        alone(name, word, |word| {
            let mut policy = policy_without(&[read(ReadKind::Tcp, "80")], Without::parse(word).unwrap());
            policy.required = true;
            let error = policy.draw(None).unwrap_err();
            assert!(matches!(&error, SandboxError::Lacking(lacks) if lacks.len() == 1), "{error:?}");
            assert!(error.to_string().contains("agent.sandbox"), "{error}");
        });
    }
}

#[test]
fn required_sandbox_is_drawn_where_nothing_lacks() {
    alone("lacking::required_sandbox_is_drawn_where_nothing_lacks", "", |_| {
        let mut policy = policy(&[read(ReadKind::Tcp, "80")]);
        policy.required = true;
        assert_eq!(policy.draw(None).unwrap(), Vec::<String>::new());
    });
}
