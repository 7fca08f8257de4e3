//! A good plugin but for its library's constructor: whoever loads it never comes back.

use plugin_api::options::NoOptions;
use plugin_api::{Collector, Error, Host, Recorder, Schema, perfwatch_plugin};

#[used]
#[unsafe(link_section = ".init_array")]
static ON_LOAD: extern "C" fn() = on_load;

extern "C" fn on_load() {
    eprintln!("the code of hangs_on_load was run");
    loop {
        std::thread::park();
    }
}

struct Never;

impl Collector for Never {
    type Options = NoOptions;

    fn new(_: NoOptions, _: &Host, _: &mut Schema) -> Result<Never, Error> {
        Ok(Never)
    }

    fn collect(&mut self, _: &mut Recorder) -> Result<(), Error> {
        Ok(())
    }
}

perfwatch_plugin!(Never);
