//! `struct perfwatch_host`: the functions that a collector in C calls. Each takes its pointers apart and leaves the rest to [`Given`].
//!
//! NULL is tried everywhere; a pointer that is neither NULL nor what perfwatch.h asks for cannot be told, here as anywhere in C.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};

use super::given::Given;
use crate::abi::{Number, RawHost, RawSpace};
use crate::host_side::manifest::MAX_KEYS;
use crate::host_side::roots::HostHandle;
use crate::{ErrorKind, IntoCell};

type Host = *const PlainHost;
type Chars = *const c_char;

/// `struct perfwatch_host`.
#[repr(C)]
pub(super) struct PlainHost {
    pub(super) size: usize,
    /// The [`Given`] that this lies in: found by this and not by its place, so that a copy that a plugin makes works as well.
    pub(super) agent: *const c_void,
    pub(super) options: Chars,
    pub(super) root: Chars,
    pub(super) proc: Chars,
    pub(super) sys: Chars,
    pub(super) net: Chars,
    pub(super) page_size: u64,
    pub(super) clock_ticks: u64,
    pub(super) is_foreign: u64,
    pub(super) metric: unsafe extern "C" fn(Host, Chars) -> u64,
    pub(super) table: unsafe extern "C" fn(Host, Chars) -> u64,
    pub(super) column: unsafe extern "C" fn(Host, u64, Chars) -> u64,
    pub(super) option_int: unsafe extern "C" fn(Host, Chars) -> i64,
    pub(super) option_float: unsafe extern "C" fn(Host, Chars) -> f64,
    pub(super) option_text: unsafe extern "C" fn(Host, Chars) -> Chars,
    pub(super) option_item: unsafe extern "C" fn(Host, Chars, u32) -> Chars,
    pub(super) set_u64: unsafe extern "C" fn(Host, u64, u64),
    pub(super) set_i64: unsafe extern "C" fn(Host, u64, i64),
    pub(super) set_f64: unsafe extern "C" fn(Host, u64, f64),
    pub(super) set_bool: unsafe extern "C" fn(Host, u64, c_int),
    pub(super) set_text: unsafe extern "C" fn(Host, u64, Chars),
    pub(super) row: unsafe extern "C" fn(Host, u64, *const Chars, u32),
    pub(super) row_failed: unsafe extern "C" fn(Host, Chars),
    pub(super) part_failed: unsafe extern "C" fn(Host, Chars, Chars),
    pub(super) time_left: unsafe extern "C" fn(Host) -> u64,
    pub(super) fail: unsafe extern "C" fn(Host, c_int, Chars) -> c_int,
    pub(super) space: unsafe extern "C" fn(Host, Chars, *mut RawSpace) -> c_int,
    pub(super) log: unsafe extern "C" fn(Host, c_int, Chars),
}

impl PlainHost {
    /// Of a `given` that is still being made, with the texts that it keeps.
    pub(super) fn new(
        given: *const c_void,
        [options, root, proc, sys, net]: [Chars; 5],
        host: &HostHandle,
    ) -> PlainHost {
        PlainHost {
            size: size_of::<PlainHost>(),
            agent: given,
            options,
            root,
            proc,
            sys,
            net,
            page_size: host.number(Number::PAGE_SIZE),
            clock_ticks: host.number(Number::CLOCK_TICKS),
            is_foreign: host.number(Number::IS_FOREIGN),
            metric,
            table,
            column,
            option_int,
            option_float,
            option_text,
            option_item,
            set_u64,
            set_i64,
            set_f64,
            set_bool,
            set_text,
            row,
            row_failed,
            part_failed,
            time_left,
            fail,
            space,
            log,
        }
    }
}

/// Does what is asked of a host, and keeps what was wrong with it. Of NULL for the host nobody can be told.
///
/// # Safety
/// `host` is NULL, or leads to a `PlainHost` whose collector still lives.
unsafe fn of<T>(host: Host, otherwise: T, answer: impl FnOnce(&Given) -> Result<T, String>) -> T {
    // SAFETY: as promised by the caller; `agent` is the `Given` that the collector holds.
    let given = unsafe { host.as_ref().and_then(|host| host.agent.cast::<Given>().as_ref()) };
    let Some(given) = given else { return otherwise };
    answer(given).unwrap_or_else(|mistake| {
        given.fail(ErrorKind::FAILED, || mistake);
        otherwise
    })
}

/// A text of the plugin's.
///
/// # Safety
/// `chars` is NULL, or a text that ends with NUL and is not written during the call.
unsafe fn text<'a>(chars: Chars, what: &str) -> Result<&'a CStr, String> {
    if chars.is_null() {
        return Err(format!("{what} is NULL, and a text is needed"));
    }
    // SAFETY: as promised by the caller.
    Ok(unsafe { CStr::from_ptr(chars) })
}

unsafe extern "C" fn metric(host: Host, name: Chars) -> u64 {
    // SAFETY: perfwatch.h asks for a host and a text, here and below.
    unsafe { of(host, 0, |given| given.metric(text(name, "the name of a metric")?)) }
}

unsafe extern "C" fn table(host: Host, name: Chars) -> u64 {
    // SAFETY: as above.
    unsafe { of(host, 0, |given| given.table(text(name, "the name of a table")?)) }
}

unsafe extern "C" fn column(host: Host, table: u64, name: Chars) -> u64 {
    // SAFETY: as above.
    unsafe { of(host, 0, |given| given.column(table, text(name, "the name of a column")?)) }
}

unsafe extern "C" fn option_int(host: Host, name: Chars) -> i64 {
    // SAFETY: as above.
    unsafe { of(host, 0, |given| given.option_int(&text(name, "the name of an option")?.to_string_lossy())) }
}

unsafe extern "C" fn option_float(host: Host, name: Chars) -> f64 {
    // SAFETY: as above.
    unsafe { of(host, 0.0, |given| given.option_float(&text(name, "the name of an option")?.to_string_lossy())) }
}

unsafe extern "C" fn option_text(host: Host, name: Chars) -> Chars {
    // SAFETY: as above. The text lives as long as `given`.
    unsafe {
        of(host, std::ptr::null(), |given| given.option_text(&text(name, "the name of an option")?.to_string_lossy()))
    }
}

unsafe extern "C" fn option_item(host: Host, name: Chars, at: u32) -> Chars {
    // SAFETY: as above.
    unsafe {
        of(host, std::ptr::null(), |given| {
            given.option_text(&format!("{}.{at}", text(name, "the name of an option")?.to_string_lossy()))
        })
    }
}

unsafe extern "C" fn set_u64(host: Host, id: u64, value: u64) {
    // SAFETY: as above.
    unsafe { of(host, (), |given| given.set(id, value.into_cell())) }
}

unsafe extern "C" fn set_i64(host: Host, id: u64, value: i64) {
    // SAFETY: as above.
    unsafe { of(host, (), |given| given.set(id, value.into_cell())) }
}

unsafe extern "C" fn set_f64(host: Host, id: u64, value: f64) {
    // SAFETY: as above.
    unsafe { of(host, (), |given| given.set(id, value.into_cell())) }
}

unsafe extern "C" fn set_bool(host: Host, id: u64, value: c_int) {
    // SAFETY: as above.
    unsafe { of(host, (), |given| given.set(id, (value != 0).into_cell())) }
}

unsafe extern "C" fn set_text(host: Host, id: u64, value: Chars) {
    // SAFETY: as above.
    unsafe { of(host, (), |given| given.set_text(id, text(value, "a text that was set")?)) }
}

unsafe extern "C" fn row(host: Host, table: u64, keys: *const Chars, count: u32) {
    // SAFETY: as above; so many keys are only read where they are as many as a manifest may declare.
    unsafe {
        of(host, (), |given| {
            let mut texts: [&[u8]; MAX_KEYS] = [b""; MAX_KEYS];
            let needed = given.keys(table)?;
            if count as usize != needed {
                return Err(format!(
                    "{count} keys were given for a row, and plugin.toml declares {needed} for its table"
                ));
            }
            if keys.is_null() {
                return Err(format!("the keys of a row are NULL, and {needed} are needed"));
            }
            for (at, place) in texts.iter_mut().enumerate().take(needed) {
                *place = text(keys.add(at).read(), "the key of a row")?.to_bytes();
            }
            given.row(table, &texts[..needed])
        })
    }
}

unsafe extern "C" fn row_failed(host: Host, message: Chars) {
    // SAFETY: as above.
    unsafe { of(host, (), |given| given.row_failed(text(message, "the message of a row that failed")?)) }
}

unsafe extern "C" fn part_failed(host: Host, part: Chars, message: Chars) {
    // SAFETY: as above.
    unsafe {
        of(host, (), |given| {
            given.part_failed(
                text(part, "the name of a part that failed")?,
                text(message, "the message of a part that failed")?,
            )
        })
    }
}

unsafe extern "C" fn time_left(host: Host) -> u64 {
    // SAFETY: as above.
    unsafe { of(host, 0, |given| Ok(given.time_left().as_nanos().try_into().unwrap_or(u64::MAX))) }
}

/// A kind that is not positive is a failure all the same, and is returned as one.
unsafe extern "C" fn fail(host: Host, kind: c_int, message: Chars) -> c_int {
    let kind = u32::try_from(kind).ok().filter(|kind| *kind != ErrorKind::NONE.0).map_or(ErrorKind::FAILED, ErrorKind);
    // SAFETY: as above.
    unsafe {
        of(host, (), |given| {
            let message = text(message, "the message of a failure")?;
            given.fail(kind, || message.to_string_lossy().into_owned());
            Ok(())
        });
    }
    kind.0 as c_int
}

unsafe extern "C" fn space(host: Host, path: Chars, into: *mut RawSpace) -> c_int {
    let invalid = rustix::io::Errno::INVAL.raw_os_error();
    // SAFETY: as above; `into` is NULL or leads to a `struct perfwatch_space`.
    unsafe {
        of(host, invalid, |given| {
            let path = text(path, "the path of a mount")?;
            if into.is_null() {
                return Err("the place for the space of a mount is NULL".into());
            }
            Ok(match given.space(path) {
                Ok(space) => {
                    into.write(space);
                    0
                }
                Err(errno) => errno,
            })
        })
    }
}

unsafe extern "C" fn log(host: Host, level: c_int, message: Chars) {
    // SAFETY: as above.
    unsafe {
        of(host, (), |given| {
            given.log(u32::try_from(level).unwrap_or(u32::MAX), &text(message, "a line of the log")?.to_string_lossy());
            Ok(())
        });
    }
}
