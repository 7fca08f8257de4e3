//! Writes to the socket over which its child answers, where the plugin has no business.

use std::fs;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use plugin_api::Error;

/// Of a message: how many bytes follow, and of what kind they are.
fn head(bytes: u32, kind: u32) -> Vec<u8> {
    [bytes.to_le_bytes(), kind.to_le_bytes()].concat()
}

const READING: u32 = 3;
const LINE: u32 = 4;

pub(crate) fn act(word: &str) -> Result<(), Error> {
    let mut socket = socket()?;
    match word {
        "socket_noise" => socket.write_all(&[0xa5; 4096])?,
        "socket_short" => socket.write_all(&[head(4 + 4, READING), vec![0; 4]].concat())?,
        "socket_long" => socket.write_all(&head(u32::MAX, READING))?,
        "socket_kind" => socket.write_all(&[head(4 + 16, 77), vec![0; 16]].concat())?,
        "socket_zeros" => socket.write_all(&[head(4 + 96, READING), vec![0; 96]].concat())?,
        "socket_half" => {
            socket.write_all(&[head(4 + 96, READING), vec![0; 40]].concat())?;
            super::hang();
        }
        "socket_trickle" => {
            // A line that is allowed, a byte at a time.
            for byte in [head(4 + 4 + 1000, LINE), vec![0; 4], vec![b'x'; 1000]].concat() {
                socket.write_all(&[byte])?;
                thread::sleep(Duration::from_micros(200));
            }
        }
        "socket_lines" => {
            for _ in 0..1000 {
                socket.write_all(&[head(4 + 4 + 5, LINE), vec![1, 0, 0, 0], b"flood".to_vec()].concat())?;
            }
        }
        "socket_unasked" => drop(thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            socket.write_all(&[head(4 + 96, READING), vec![0; 96]].concat())
        })),
        "socket_closed" => socket.shutdown(std::net::Shutdown::Both)?,
        word => return Err(Error::failed(format!("no such word: {word}"))),
    }
    Ok(())
}

/// The one socket of a child.
fn socket() -> io::Result<ManuallyDrop<UnixStream>> {
    for entry in fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let is_socket =
            fs::read_link(entry.path()).is_ok_and(|to| to.as_os_str().as_encoded_bytes().starts_with(b"socket:"));
        if let (true, Some(number)) = (is_socket, entry.file_name().to_str().and_then(|name| name.parse().ok())) {
            // SAFETY: it is open, and never closed by this value.
            return Ok(ManuallyDrop::new(unsafe { UnixStream::from_raw_fd(number) }));
        }
    }
    Err(io::ErrorKind::NotFound.into())
}
