//! `perfwatch schema`: what a snapshot holds, without running plugin code.

use super::{Invocation, print};
use crate::assemble;
use crate::own;
use crate::setup::Setup;
use crate::snapshot::Schema;
use crate::snapshot::describe::json_schema;

pub(super) fn schema(invocation: &Invocation) -> u8 {
    let setup = match invocation.setup() {
        Ok(setup) => setup,
        Err(code) => return code,
    };
    // What is left out would be missing from the schema, and nobody would see it.
    super::remark(&setup);
    let mut collectors: Vec<(&str, Schema)> =
        setup.plan.collectors.iter().map(|collector| (&*collector.name, Setup::schema(collector))).collect();
    collectors.push((own::NAME, Schema::new(assemble::own_manifest().into(), |_| true)));
    let described = json_schema(collectors.iter().map(|(name, schema)| (*name, schema)));
    print(&format!("{described:#}\n"))
}
