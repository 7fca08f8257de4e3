//! What is known of each core besides its time: frequency from cpufreq, temperature from a sensor.
//!
//! Files are found when a core is first seen and held. What is missing or has gone is looked for again every five
//! minutes: drivers are loaded late and sensors are numbered anew when one is loaded again. It starts no program and
//! does not read /proc/cpuinfo, whose frequency is a constant where there is no cpufreq, at 1.5 KB a core.

use std::time::{Duration, Instant};

use plugin_api::scan::{self, Unexpected};
use plugin_api::{Error, Host, ProcFile, Recorder};

use crate::sensors::{self, Sensor};

/// How often to look for what was not there: seldom enough to cost nothing, often enough for a driver loaded at boot.
const LOOK_AGAIN: Duration = Duration::from_secs(300);

pub(crate) struct Cores {
    host: Host,
    sensors: Vec<Sensor>,
    /// In the order of their numbers.
    cores: Vec<Core>,
    /// Counts readings, so that a sensor which stands for many cores is read once in each.
    reading: u64,
    look_at: Instant,
    incomplete: bool,
    failed: [Option<Error>; 2],
    /// A frequency that is there and cannot be opened: descriptors have run out, or it is not permitted.
    unopened: Option<Error>,
}

struct Core {
    number: u32,
    frequency: Option<ProcFile>,
    sensor: Option<usize>,
}

/// Frequency in MHz, temperature in degrees Celsius.
type State = (Option<f64>, Option<f64>);

impl Cores {
    pub(crate) fn new(host: &Host) -> Cores {
        Cores {
            host: host.clone(),
            sensors: sensors::find(host),
            cores: Vec::new(),
            reading: 0,
            look_at: Instant::now() + LOOK_AGAIN,
            incomplete: false,
            failed: [None, None],
            unopened: None,
        }
    }

    /// Begins a reading.
    pub(crate) fn begin(&mut self) {
        self.reading += 1;
        if self.incomplete && Instant::now() >= self.look_at {
            self.sensors = sensors::find(&self.host);
            self.cores.clear();
            self.unopened = None;
            self.incomplete = false;
            self.look_at = Instant::now() + LOOK_AGAIN;
        }
    }

    /// Ends a reading: says what failed in it, once for all cores.
    pub(crate) fn end(&mut self, out: &mut Recorder) {
        for (failed, part) in self.failed.iter_mut().zip(["frequency", "temperature"]) {
            if let Some(error) = failed.take() {
                out.part_failed(part, &error);
                self.incomplete = true;
            } else if let (Some(error), "frequency") = (&self.unopened, part) {
                out.part_failed(part, error);
            }
        }
    }

    /// The state of a core now.
    pub(crate) fn state(&mut self, number: u32) -> State {
        let place = match self.cores.binary_search_by_key(&number, |core| core.number) {
            Ok(place) => place,
            Err(place) => {
                let core = Core::find(number, &self.host, &self.sensors, &mut self.unopened);
                self.incomplete |= core.frequency.is_none() || core.sensor.is_none();
                self.cores.insert(place, core);
                place
            }
        };
        let core = &mut self.cores[place];
        let frequency = core.frequency.as_mut().map(|file| number_in(file, "a frequency in kHz", khz));
        let sensor = core.sensor.map(|sensor| &mut self.sensors[sensor]);
        let mhz = kept(frequency, &mut self.failed[0]).flatten().map(|khz| khz as f64 / 1000.0);
        let celsius = sensor.and_then(|sensor| {
            if sensor.read.0 != self.reading {
                sensor.read = (self.reading, kept(Some(sensor.celsius()), &mut self.failed[1]));
            }
            sensor.read.1
        });
        (mhz, celsius)
    }
}

impl Core {
    fn find(number: u32, host: &Host, sensors: &[Sensor], unopened: &mut Option<Error>) -> Core {
        let path = host.sys_path(format!("devices/system/cpu/cpu{number}/cpufreq/scaling_cur_freq"));
        let frequency = match ProcFile::open(&*path) {
            Ok(file) => Some(file.in_one_read()),
            Err(error) => {
                // That there is none is common, and is said by a null.
                if unopened.is_none() && path.exists() {
                    *unopened = Some(error);
                }
                None
            }
        };
        Core { number, frequency, sensor: sensors::of(sensors, host, number) }
    }
}

/// A frequency; the kernel says `<unknown>` where the driver cannot tell, which is no failure.
fn khz(text: &[u8]) -> Option<Option<u64>> {
    if text == b"<unknown>" { Some(None) } else { scan::u64(text).map(Some) }
}

/// The value, or the first error of a reading kept for its end.
fn kept<T>(result: Option<Result<T, Error>>, failed: &mut Option<Error>) -> Option<T> {
    result?.map_err(|error| failed.get_or_insert(error)).ok()
}

/// The one number that an attribute holds.
pub(crate) fn number_in<T>(
    file: &mut ProcFile,
    expected: &'static str,
    parse: impl Fn(&[u8]) -> Option<T>,
) -> Result<T, Error> {
    let parsed = match scan::lines(file.read()?).next() {
        None => Err(Unexpected::missing(expected)),
        Some(line) => parse(line.text.trim_ascii()).ok_or_else(|| line.expected(expected, Some(line.text))),
    };
    parsed.map_err(|wrong| wrong.of(file.path()))
}
