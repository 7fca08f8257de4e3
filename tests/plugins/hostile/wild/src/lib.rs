//! Does what no process should, at the moment that its options name. What its library does while it is loaded is in
//! [`on_load`].

mod on_load;
mod socket;

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use plugin_api::{Collector, ColumnId, Error, Host, Level, Recorder, ScalarId, Schema, TableId, perfwatch_plugin};

#[derive(serde::Deserialize)]
struct Options {
    does: String,
    at: When,
    after: u64,
}

#[derive(Clone, Copy, PartialEq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum When {
    New,
    Collect,
    /// In a reading, but only in the agent: in a child it is good.
    Agent,
    Drop,
}

struct Wild {
    options: Options,
    host: Host,
    count: ScalarId,
    clock: ScalarId,
    value: ScalarId,
    text: ScalarId,
    thin: (TableId, ColumnId),
    wide: (TableId, Vec<ColumnId>),
    readings: u64,
}

impl Collector for Wild {
    type Options = Options;

    fn new(options: Options, host: &Host, schema: &mut Schema) -> Result<Wild, Error> {
        if options.at == When::New {
            act(&options.does, host)?;
        }
        let (count, clock) = (schema.scalar("count")?, schema.scalar("clock")?);
        let (value, text) = (schema.scalar("value")?, schema.scalar("text")?);
        let mut table = schema.table("thin")?;
        let thin = (table.id(), table.column("value")?);
        let mut table = schema.table("wide")?;
        let columns = ["a", "b", "c"].map(|name| table.column(name)).into_iter().collect::<Result<_, _>>()?;
        let wide = (table.id(), columns);
        Ok(Wild { options, host: host.clone(), count, clock, value, text, thin, wide, readings: 0 })
    }

    fn collect(&mut self, out: &mut Recorder) -> Result<(), Error> {
        self.readings += 1;
        out.set(self.count, self.readings * 10);
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        out.set(self.clock, clock);
        let now = match self.options.at {
            When::Collect => true,
            When::Agent => !in_a_child()?,
            When::New | When::Drop => false,
        };
        if now && self.readings > self.options.after {
            self.read(out)?;
        }
        Ok(())
    }
}

impl Wild {
    /// What can be done in a reading alone, or anything else.
    fn read(&self, out: &mut Recorder) -> Result<(), Error> {
        let (thin, column) = self.thin;
        match &*self.options.does {
            "rows" => (0..100).for_each(|row| out.row(thin, row.to_string().as_str()).set(column, row as u64)),
            "cells" => {
                for row in 0..100u64 {
                    let mut row = out.row(self.wide.0, row.to_string().as_str());
                    self.wide.1.iter().for_each(|column| row.set(*column, 1u64));
                }
            }
            "text" => out.set_text(self.text, &"x".repeat(100_000)),
            "twice" => (0..3u64).for_each(|value| out.row(thin, "eth0").set(column, value)),
            "names" => {
                let long = "n".repeat(100_000);
                for name in [
                    "",
                    "\"",
                    "\\",
                    "\"}],\"",
                    "a\nb\r\tc",
                    "\0",
                    "\u{7f}\u{9b}\u{2028}\u{feff}",
                    "_status",
                    "$1",
                    &long,
                ] {
                    out.row(thin, name).set(column, 1u64);
                }
                out.set_text(self.text, "\"\\\n\0\u{1b}[31m</script>\u{10ffff}");
            }
            "backwards" => out.set(self.count, 1_000_000 - self.readings),
            "infinite" => {
                let values = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -0.0, f64::MAX];
                out.set(self.value, values[self.readings as usize % values.len()]);
            }
            does => act(does, &self.host)?,
        }
        Ok(())
    }
}

impl Drop for Wild {
    fn drop(&mut self) {
        if self.options.at == When::Drop {
            // Nobody is left to be told.
            let _ = act(&self.options.does, &self.host);
        }
    }
}

static LEAKED: AtomicU32 = AtomicU32::new(0);
static THREAD: Once = Once::new();

unsafe extern "C" {
    fn fork() -> i32;
}

/// It returns where the word is for a thing that one can do and go on.
fn act(word: &str, host: &Host) -> Result<(), Error> {
    match word {
        "nothing" => {}
        "panic" => panic!("lost my head"),
        "hang" => hang(),
        "segv" => segv(),
        "abort" => std::process::abort(),
        "overflow" => drop(overflow(0)),
        "exit_0" => std::process::exit(0),
        "exit_3" => std::process::exit(3),
        "sleep" => thread::sleep(Duration::from_millis(350)),
        "burn" => burn(Duration::from_millis(60))?,
        "leak_memory" => loop {
            std::mem::forget(vec![1u8; 1 << 20]);
        },
        "leak_descriptors" => loop {
            let number = LEAKED.load(Ordering::Relaxed);
            let failed = |cause| Error::failed(format!("could not open file {number}")).because(cause);
            std::mem::forget(File::open("/dev/null").map_err(failed)?);
            LEAKED.store(number + 1, Ordering::Relaxed);
        },
        "fork" => {
            if born()? == 0 {
                hang();
            }
        }
        "bomb" => {
            // Each of them doubles: 64 at the end, wherever all of them are allowed.
            for _ in 0..6 {
                born()?;
            }
            hang();
        }
        "program" => {
            let program = std::process::Command::new("/bin/sleep").arg("1000").spawn()?;
            host.log(Level::Warn, &format!("started {}", program.id()));
            hang();
        }
        // At its first reading: more and more of them would be over the budget.
        "threads" => THREAD.call_once(|| drop(thread::spawn(go_on))),
        "stun" => THREAD.call_once(stun),
        "log" => (0..300).for_each(|number| host.log(Level::Warn, &format!("flood {number}"))),
        "stdout" => (0..300).for_each(|number| println!("flood {number}")),
        "stderr" => io::stderr().write_all("flood\n".repeat(300).as_bytes())?,
        word => socket::act(word)?,
    }
    Ok(())
}

fn go_on() {
    loop {
        // It goes on whatever comes of it.
        let _ = burn(Duration::from_micros(200));
        println!("a thread that goes on");
        thread::sleep(Duration::from_millis(20));
    }
}

fn in_a_child() -> io::Result<bool> {
    Ok(std::fs::read("/proc/self/cmdline")?.starts_with(b"perfwatch: "))
}

fn hang() -> ! {
    loop {
        thread::park();
    }
}

/// The thread that calls this goes on, and stands still for ever a moment later, wherever it is by then.
fn stun() {
    const SIGUSR1: i32 = 10;
    unsafe extern "C" {
        safe fn pthread_self() -> usize;
        fn pthread_kill(thread: usize, signal: i32) -> i32;
        fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
        fn pause() -> i32;
    }
    extern "C" fn stand_still(_signal: i32) {
        loop {
            // SAFETY: it waits for another signal, and nothing else.
            unsafe { pause() };
        }
    }
    let thread = pthread_self();
    // SAFETY: the handler takes no lock and touches nothing.
    unsafe { signal(SIGUSR1, stand_still) };
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        // SAFETY: the thread is one of the agent's, and those end with it.
        unsafe { pthread_kill(thread, SIGUSR1) }
    });
}

fn segv() {
    // SAFETY: none: no page lies so low, and that is what it is for.
    unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(1) }
}

fn overflow(depth: u64) -> u64 {
    let wide = std::hint::black_box([depth; 512]);
    if depth == u64::MAX { depth } else { overflow(depth + 1) + wide[7] }
}

/// Takes so much CPU time, however busy the machine is.
fn burn(time: Duration) -> io::Result<()> {
    let end = cpu_time()? + time;
    while cpu_time()? < end {}
    Ok(())
}

/// Of this thread: the first number of the file (proc_pid_schedstat(5)).
fn cpu_time() -> io::Result<Duration> {
    let numbers = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let spent = numbers.split(' ').next().and_then(|number| number.parse().ok());
    spent.map(Duration::from_nanos).ok_or(io::ErrorKind::InvalidData.into())
}

fn born() -> io::Result<i32> {
    // SAFETY: the process that comes of it only sleeps and forks again.
    match unsafe { fork() } {
        -1 => Err(io::Error::last_os_error()),
        process => Ok(process),
    }
}

perfwatch_plugin!(Wild);
