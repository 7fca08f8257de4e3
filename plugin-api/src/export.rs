//! The plugin's half of the door: what [`perfwatch_plugin!`](crate::perfwatch_plugin) puts into a library.
//!
//! Every entry is guarded here, on the plugin's side: a panic that left a library would end the host. It becomes an
//! error of kind `PANICKED`, its payload is forgotten (its own drop may panic), and the instance is not called again.
//! An error is put into words behind the guard too: its causes are the plugin's own types, and so is their code.
#![allow(unsafe_code)]

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use abi_stable::library::{__call_root_module_loader, CheckTypeLayout, LibHeader, RootModuleResult};
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::std_types::{RResult, RStr};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::abi::{
    CollectorObject, HostObject, PluginModule, PluginModuleRef, RawCollector, RawCollector_TO, RawError, RawFrame,
};
use crate::{Collector, Error, ErrorKind, Host, Recorder, Schema};

/// What a library exports under [`crate::abi::MODULE_SYMBOL`].
pub type Header = LibHeader;

/// The header of a library whose collector is `C`.
pub const fn header<C: Collector>() -> Header {
    // SAFETY: `module::<C>` is a loader of `PluginModuleRef`, the same type that the header is made for.
    unsafe { LibHeader::from_constructor::<PluginModuleRef>(load::<C>, CheckTypeLayout::Yes) }
}

extern "C" fn load<C: Collector>() -> RootModuleResult {
    __call_root_module_loader(module::<C>)
}

/// The root module of a collector. A test kit calls it without a library.
pub fn module<C: Collector>() -> PluginModuleRef {
    PluginModule { create: create::<C> }.leak_into_prefix()
}

/// The names of the options, as they stand in their text. A map of them would be 5 KB of code in every plugin.
struct Declared(String);

impl<'de> Deserialize<'de> for Declared {
    fn deserialize<D: Deserializer<'de>>(text: D) -> Result<Declared, D::Error> {
        text.deserialize_map(Declared(String::new()))
    }
}

impl<'de> Visitor<'de> for Declared {
    type Value = Declared;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("options")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut options: A) -> Result<Declared, A::Error> {
        while let Some(name) = options.next_key::<String>()? {
            options.next_value::<IgnoredAny>()?;
            self.0.push_str(if self.0.is_empty() { "" } else { ", " });
            self.0.push_str(&name);
        }
        Ok(self)
    }
}

/// Options as the object that they are: serde's own way reads a struct from a list, too, which is 4 KB of code.
struct Object<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("options")
    }

    fn visit_map<A: MapAccess<'de>>(self, options: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(options))
    }
}

/// Reads options, of which nobody looks at what is behind them: the host has written them. As from a stream, since for a slice there is
/// code of 5 KB for each kind of processor, which is quick to say where a fault is.
fn read<T: DeserializeOwned>(options: &str) -> Result<T, serde_json::Error> {
    serde_json::Deserializer::from_reader(options.as_bytes()).deserialize_map(Object(PhantomData))
}

/// What the author reads whose struct of options is not what is declared.
fn differ(options: &str) -> Error {
    let declared = read(options).map_or_else(|_| String::new(), |Declared(names)| names);
    let declared = if declared.is_empty() { "none" } else { &declared };
    Error::failed(format!(
        "could not read the options into the collector's Options: their names or types in Rust differ from those in plugin.toml (which has {declared}; a duration is an options::Duration, a size an options::Size)"
    ))
}

extern "C" fn create<C: Collector>(options: RStr<'_>, host: HostObject) -> RResult<CollectorObject, RawError> {
    let made = behind_guard(|| {
        let options = read(options.as_str()).map_err(|cause| differ(options.as_str()).because(cause))?;
        let object = Arc::new(host);
        C::new(options, &Host::new(Arc::clone(&object)), &mut Schema::new(&object))
    });
    match made {
        Ok(collector) => RResult::ROk(guarded(collector)),
        Err((kind, message)) => RResult::RErr(RawError { kind: kind.0, message: message.into() }),
    }
}

/// A collector behind the guard.
pub fn guarded<C: Collector>(collector: C) -> CollectorObject {
    RawCollector_TO::from_value(Guarded { collector: Some(collector) }, abi_stable::erased_types::TD_Opaque)
}

/// A collector that is never called again once it has panicked.
struct Guarded<C: Collector> {
    collector: Option<C>,
}

impl<C: Collector> RawCollector for Guarded<C> {
    fn collect(&mut self, frame: &mut RawFrame) {
        let Some(collector) = &mut self.collector else {
            return fail(frame, ErrorKind::PANICKED, "not called again after it panicked");
        };
        match behind_guard(|| collector.collect(&mut Recorder::new(frame))) {
            Ok(()) => frame.outcome = ErrorKind::NONE.0,
            Err((kind, message)) => {
                fail(frame, kind, &message);
                if kind == ErrorKind::PANICKED {
                    // What a panic left half done is not run again, but it gives back its descriptors: a collector that
                    // panics is made anew at each try, for as long as the agent runs.
                    let_go(self.collector.take());
                }
            }
        }
    }
}

impl<C: Collector> Drop for Guarded<C> {
    fn drop(&mut self) {
        let_go(self.collector.take());
    }
}

fn let_go<C: Collector>(collector: Option<C>) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(collector))) {
        std::mem::forget(payload);
    }
}

/// Runs a plugin's code and puts what went wrong into words.
fn behind_guard<T>(run: impl FnOnce() -> Result<T, Error>) -> Result<T, (ErrorKind, String)> {
    let worded = || run().map_err(|error| (error.kind(), error.chain()));
    catch_unwind(AssertUnwindSafe(worded)).unwrap_or_else(|payload| Err((ErrorKind::PANICKED, said(payload))))
}

fn fail(frame: &mut RawFrame, kind: ErrorKind, message: &str) {
    frame.outcome = kind.0;
    frame.message = frame.push_text(message.as_bytes()).unwrap_or_default();
}

fn said(payload: Box<dyn Any + Send>) -> String {
    let text = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
    let text = format!("panicked: {}", text.unwrap_or("without a message"));
    std::mem::forget(payload);
    text
}

/// Makes a library a plugin: embeds the `plugin.toml` beside its `Cargo.toml` and exports the collector. Once a library, at
/// its root; a library has one collector, and may be used by several tables of a config.
///
/// ```text
/// perfwatch_plugin!(Memory);
/// ```
///
/// It does not compile with `panic = "abort"`, under which a panic could not be caught. A crate that uses it may still
/// `#![forbid(unsafe_code)]`.
#[macro_export]
macro_rules! perfwatch_plugin {
    ($collector:ty) => {
        const _: () = {
            assert!(
                cfg!(panic = "unwind"),
                "a plugin needs panic = \"unwind\": the guard cannot catch a panic that aborts. Take panic = \"abort\" out of Cargo.toml's [profile]"
            );

            const MANIFEST: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/plugin.toml"));

            #[used]
            #[unsafe(link_section = ".perfwatch")]
            static SECTION: [u8; MANIFEST.len()] = *include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/plugin.toml"));

            #[unsafe(no_mangle)]
            static perfwatch_contract: u32 = $crate::CONTRACT;

            #[unsafe(no_mangle)]
            static perfwatch_module: $crate::export::Header = $crate::export::header::<$collector>();
        };
    };
}
