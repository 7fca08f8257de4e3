//! Has one fault for each thing that `perfwatch plugins test` looks for; see the descriptions in its `plugin.toml`.
#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use plugin_api::{Collector, Error, Host, Recorder, ScalarId, Schema, perfwatch_plugin};

/// Nobody listens on it (RFC 863).
const PORT: u16 = 9;

#[derive(serde::Deserialize)]
struct Options {
    file: PathBuf,
    step: i64,
}

struct Careless {
    options: Options,
    host: Host,
    switches: f64,
    readings: u64,
    metrics: [ScalarId; 5],
}

impl Collector for Careless {
    type Options = Options;

    fn new(options: Options, host: &Host, schema: &mut Schema) -> Result<Careless, Error> {
        let [a, b, c, d, e] = ["switches_per_sec", "files_open", "uptime", "words", "count"];
        let metrics = [schema.scalar(a)?, schema.scalar(b)?, schema.scalar(c)?, schema.scalar(d)?, schema.scalar(e)?];
        Ok(Careless { options, host: host.clone(), switches: 0.0, readings: 0, metrics })
    }

    fn collect(&mut self, out: &mut Recorder) -> Result<(), Error> {
        let [switches_per_sec, files_open, uptime, words, count] = self.metrics;
        assert!(self.options.step < 10, "no such step");
        println!("reading {}", self.readings);
        leak();
        self.readings += 1;
        let stat = fs::read_to_string(self.host.proc_path("stat")).unwrap_or_default();
        let switches = stat.lines().find_map(|line| line.strip_prefix("ctxt ")?.trim().parse().ok());
        if let Some(switches) = switches {
            if self.readings > 1 {
                out.set(switches_per_sec, switches - self.switches);
            }
            self.switches = switches;
        }
        let files = fs::read_to_string(self.host.proc_path("sys/fs/file-nr")).unwrap_or_default();
        out.set(files_open, files.split('\t').nth(2).and_then(|word| word.trim().parse().ok()).unwrap_or(0u64));
        if let Ok(bytes) = fs::read(self.host.proc_path("uptime")) {
            let text = String::from_utf8(bytes).expect("text");
            out.set(uptime, text.split(' ').next().and_then(|word| word.parse::<f64>().ok()).expect("a number"));
        }
        if let Ok(text) = fs::read_to_string(&self.options.file) {
            out.set(words, text.split(' ').count() as u64);
        }
        out.set(count, 0.5);
        // The kernel's own, wherever the host is; and what is refused, or that nobody is there, is all the same.
        let _ = (fs::read("/proc/loadavg"), TcpStream::connect(("127.0.0.1", PORT)));
        thread::sleep(Duration::from_millis(2));
        Ok(())
    }
}

fn leak() {
    std::mem::forget(vec![1u8; 128 << 10]);
    std::mem::forget(File::open("/dev/null"));
    let begun = thread::Builder::new().stack_size(64 << 10).spawn(|| {
        loop {
            thread::park();
        }
    });
    drop(begun);
}

perfwatch_plugin!(Careless);
