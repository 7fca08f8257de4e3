//! The host of a pair: loads a library as the agent does, makes its collector, takes one reading and prints what came, a line each.
//! Built against the next contract, it calls what that appends to collectors and to the module, too.
//!
//! Usage: `pair-host LIBRARY MANIFEST`.

use std::error::Error;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use plugin_api::abi::{CONTRACT_SYMBOL, MODULE_SYMBOL};
use plugin_api::host_side::door::Module;
use plugin_api::host_side::frame::{Frame, Limits};
use plugin_api::host_side::layout;
use plugin_api::host_side::manifest::Manifest;
use plugin_api::host_side::roots::{HostHandle, Roots};
use plugin_api::host_side::shape::Shape;
use plugin_api::{CONTRACT, Cell, Tag};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, library, manifest] = &arguments[..] else { return Err("usage: pair-host LIBRARY MANIFEST".into()) };
    let manifest = std::fs::read_to_string(manifest)?;
    let manifest = Arc::new(Manifest::parse(&manifest).map_err(|faults| format!("{faults:?}"))?);
    let log = Arc::new(|level, text: &str| println!("log {level:?} {text}"));
    let host = HostHandle::new(Arc::new(Roots::new(Path::new("/"))), Arc::clone(&manifest), log);

    let module = load(library)?;
    let instance = module.create(r#"{"count":7}"#, host.clone());
    let mut instance = instance.map_err(|failure| format!("not made: {failure:?}"))?;
    let mut frame = Frame::new(Limits::default());
    let shape = Shape::of(&manifest);
    instance.collect(&mut frame, &shape, Duration::from_secs(10));

    println!("outcome {} {}", frame.outcome.0, String::from_utf8_lossy(frame.message()));
    for (metric, cell) in manifest.metrics.iter().zip(frame.cells()) {
        let measured = metric.name.ends_with("_seconds") || metric.name.ends_with("_bytes");
        let said = if measured && !cell.is_null() { "measured".into() } else { show(&frame, *cell) };
        println!("{} {said}", metric.name);
    }
    for row in frame.rows() {
        let cells = &frame.cells()[row.first as usize..row.first as usize + 3];
        println!("row {}", cells.iter().map(|cell| show(&frame, *cell)).collect::<Vec<_>>().join(" "));
    }
    #[cfg(feature = "next")]
    println!("collector answers {}\nsink answers {:?}", instance.appended(20), module.sink(host, "four"));
    Ok(())
}

fn show(frame: &Frame, cell: Cell) -> String {
    match cell.tag {
        Tag::NULL => "null".into(),
        Tag::TEXT => String::from_utf8_lossy(frame.text_of(cell)).into_owned(),
        _ => (cell.bits as i64).to_string(),
    }
}

fn load(path: &str) -> Result<Module, Box<dyn Error>> {
    // SAFETY: the library was built a moment ago by the same test, and runs nothing when it is loaded.
    let library = ManuallyDrop::new(unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }?);
    // SAFETY: every plugin exports a `u32` under this name, which is only read, and stays loaded.
    let theirs = unsafe { **library.get::<*const u32>(CONTRACT_SYMBOL.as_bytes())? };
    println!("contract {}.{} on {}.{}", theirs >> 16, theirs & 0xffff, CONTRACT >> 16, CONTRACT & 0xffff);
    if theirs >> 16 != CONTRACT >> 16 {
        return Err("another major contract".into());
    }
    // SAFETY: only the symbol's address is taken.
    let module = unsafe { library.get::<*const ()>(MODULE_SYMBOL.as_bytes()) }?.into_raw();
    // SAFETY: the symbol that it asks for, of a library that is never unloaded and has our major contract.
    Ok(unsafe { layout::module(module.cast_const().cast()) }?)
}
