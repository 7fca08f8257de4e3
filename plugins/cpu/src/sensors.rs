//! Which sensor tells the temperature of which core: found once, in sysfs.
//!
//! Three kinds, the first that is there: `coretemp` (Intel) has a sensor a core, `k10temp` and `zenpower` (AMD) one a
//! processor, a thermal zone one of a core or of the whole. It does not read voltages, fans or disks: that is another
//! plugin's subject.

use std::fs;
use std::path::{Path, PathBuf};

use plugin_api::{Host, ProcFile};

use crate::cores::number_in;

/// Chips and zones that are looked at. A server with 8 processors and 24 disks has about 40.
const CHIPS_MAX: usize = 256;
/// Sensors of one chip that are looked at: coretemp has two more than its processor has cores.
const SENSORS_MAX: usize = 1024;

/// What a sensor is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// A core, by its processor's number and its number within it, as in `topology/`.
    Core { package: u64, core: u64 },
    /// A logical processor.
    Logical(u64),
    /// A whole processor: the first, the second.
    Package(u64),
    /// The only processor that there is.
    Whole,
}

/// A sensor: held open, read once a reading however many cores it stands for.
pub(crate) struct Sensor {
    at: At,
    pub(crate) file: ProcFile,
    /// The last reading it was read in, and what it said.
    pub(crate) read: (u64, Option<f64>),
}

/// All sensors of the processors of this host; none is fine.
pub(crate) fn find(host: &Host) -> Vec<Sensor> {
    let mut found = Vec::new();
    let chips = folders(&host.sys_path("class/hwmon"), "hwmon");
    let mut whole = Vec::new();
    for (order, chip) in chips.iter().enumerate() {
        match word(&chip.join("name")).as_deref() {
            Some("coretemp") => coretemp(chip, order as u64, &mut found),
            Some("k10temp" | "zenpower") => whole.push(chip),
            _ => {}
        }
    }
    for (package, chip) in whole.iter().enumerate() {
        let at = if whole.len() == 1 { At::Whole } else { At::Package(package as u64) };
        push(&mut found, at, processor(chip));
    }
    if found.is_empty() {
        zones(host, &mut found);
    }
    found
}

/// Which of the sensors stands for a logical processor.
pub(crate) fn of(sensors: &[Sensor], host: &Host, logical: u32) -> Option<usize> {
    // Two files a core, read for those sensors alone that are told by them: a host of 512 cores is found in one call.
    let asks = sensors.iter().any(|sensor| matches!(sensor.at, At::Core { .. } | At::Package(_)));
    let topology = host.sys_path(format!("devices/system/cpu/cpu{logical}/topology"));
    let number =
        |name: &str| asks.then(|| word(&topology.join(name))).flatten().and_then(|text| text.parse::<u64>().ok());
    let (package, core) = (number("physical_package_id"), number("core_id"));
    let stands = |at: At| match at {
        At::Core { package: of, core: own } => (package, core) == (Some(of), Some(own)),
        At::Logical(own) => own == u64::from(logical),
        At::Package(own) => package == Some(own),
        At::Whole => true,
    };
    sensors.iter().position(|sensor| stands(sensor.at))
}

fn coretemp(chip: &Path, order: u64, found: &mut Vec<Sensor>) {
    let inputs: Vec<(String, PathBuf)> = labels(chip).collect();
    // "Package id 1" since Linux 3.0 or so, "Physical id 1" before; a processor without a sensor of its own has neither.
    let package = inputs.iter().find_map(|(label, _)| {
        let number = label.strip_prefix("Package id ").or_else(|| label.strip_prefix("Physical id "))?;
        number.parse().ok()
    });
    for (label, input) in inputs {
        if let Some(core) = label.strip_prefix("Core ").and_then(|number| number.parse().ok()) {
            push(found, At::Core { package: package.unwrap_or(order), core }, Some(input));
        }
    }
}

/// The temperature of an AMD processor: Tdie is the real one, Tctl has an offset on some models, old ones have no label.
fn processor(chip: &Path) -> Option<PathBuf> {
    let labelled = |wanted: &str| labels(chip).find(|(label, _)| label == wanted).map(|(_, input)| input);
    let first = chip.join("temp1_input");
    labelled("Tdie").or_else(|| labelled("Tctl")).or_else(|| first.exists().then_some(first))
}

fn zones(host: &Host, found: &mut Vec<Sensor>) {
    let mut whole = None;
    for zone in folders(&host.sys_path("class/thermal"), "thermal_zone") {
        let Some(kind) = word(&zone.join("type")) else { continue };
        let core = kind.strip_prefix("cpu").and_then(|rest| rest.strip_suffix("-thermal"));
        if let Some(number) = core.and_then(|number| number.parse().ok()) {
            push(found, At::Logical(number), Some(zone.join("temp")));
        } else if matches!(&*kind, "x86_pkg_temp" | "cpu-thermal" | "cpu_thermal" | "soc-thermal" | "soc_thermal") {
            whole = whole.or_else(|| Some(zone.join("temp")));
        }
    }
    // Behind those of single cores, which are looked at first.
    push(found, At::Whole, whole);
}

fn push(found: &mut Vec<Sensor>, at: At, input: Option<PathBuf>) {
    // A sensor that cannot be opened is one that is not there: its cores have no temperature.
    if let Some(file) = input.and_then(|input| ProcFile::open(input).ok()) {
        found.push(Sensor { at, file: file.in_one_read(), read: (0, None) });
    }
}

/// The sensors of a chip that have a label, each with the file of its temperature.
fn labels(chip: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    let names = entries(chip, SENSORS_MAX).into_iter().filter(|name| name.ends_with("_label"));
    names.filter_map(|name| {
        let sensor = name.strip_suffix("_label")?;
        Some((word(&chip.join(&name))?, chip.join(format!("{sensor}_input"))))
    })
}

/// The folders `NAME0`, `NAME1`, … of a class, in the order of their numbers.
fn folders(class: &Path, name: &str) -> Vec<PathBuf> {
    let mut numbered: Vec<(u64, String)> = entries(class, CHIPS_MAX)
        .into_iter()
        .filter_map(|entry| Some((entry.strip_prefix(name)?.parse().ok()?, entry)))
        .collect();
    numbered.sort();
    numbered.into_iter().map(|(_, entry)| class.join(entry)).collect()
}

fn entries(folder: &Path, most: usize) -> Vec<String> {
    // A folder that is not there or may not be read has no sensors.
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.take(most).filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// The text of a small attribute, without the blank at its end.
fn word(path: &Path) -> Option<String> {
    let mut file = ProcFile::open(path).ok()?.in_one_read();
    Some(String::from_utf8_lossy(file.read().ok()?).trim().into())
}

impl Sensor {
    /// The temperature in degrees Celsius; a sensor has it in thousandths.
    pub(crate) fn celsius(&mut self) -> Result<f64, plugin_api::Error> {
        Ok(number_in(&mut self.file, "a temperature in thousandths of a degree", plugin_api::scan::i64)? as f64
            / 1000.0)
    }
}
