//! The digest of what a plugin declares: the same for all builds of which the data and the options are the same.
//!
//! It is the SHA-256 of a text, so that it means the same in every release of the agent: a declaration a line, its fields separated
//! by tabs, the lines in the order of their bytes, each ended by a line feed.
//!
//! ```text
//! metric  OWNER  NAME  KIND  VALUE  UNIT  SOURCE  WHEN  FLAGS  VALUES      of a scalar (OWNER is empty) or a column (OWNER is its table)
//! option  NAME  TYPE  PRESENCE  WORDS  VALUES
//! table   NAME  KEYS  WHEN
//! ```
//!
//! What is not there is an empty field, and lists are joined by commas. KIND is gauge, counter, counter32, state, info or time, with `-` after it
//! where the counter may decrease; VALUE u64, i64, f64, bool or text; SOURCE empty, or `SCALE*A+B` of a rate, `SCALE*A+B/C+D` of a share; WHEN
//! options with `+` or `-` before them; FLAGS `hidden` (from the JSON) and `label`. TYPE is a word of the grammar, PRESENCE required, optional
//! or default. Descriptions, defaults, limits and budgets are left out: they change no data.
#![forbid(unsafe_code)]

use plugin_api::host_side::manifest::{Condition, Kind, Manifest, Metric, Source, ValueType, Width};
use plugin_api::host_side::options::{OptionSpec, OptionType, Presence, Scalar};
use sha2::Digest as _;

use super::super::digest::Sha256;

pub(super) fn digest(manifest: &Manifest) -> Sha256 {
    Sha256::from(<[u8; 32]>::from(sha2::Sha256::digest(text(manifest))))
}

fn text(manifest: &Manifest) -> String {
    let mut lines: Vec<String> = manifest.options.iter().map(option).collect();
    lines.extend(manifest.metrics.iter().map(|metric| line("", metric, &manifest.metrics)));
    for table in &manifest.tables {
        lines.push(["table", &table.name, &table.keys.join(","), &when(&table.when)].join("\t"));
        lines.extend(table.columns.iter().map(|column| line(&table.name, column, &table.columns)));
    }
    lines.sort_unstable();
    lines.iter().flat_map(|line| [line, "\n"]).collect()
}

fn line(owner: &str, metric: &Metric, list: &[Metric]) -> String {
    let kind = match metric.kind {
        Kind::Gauge => "gauge",
        Kind::Counter { width: Width::W64, may_decrease: false } => "counter",
        Kind::Counter { width: Width::W64, may_decrease: true } => "counter-",
        Kind::Counter { width: Width::W32, may_decrease: false } => "counter32",
        Kind::Counter { width: Width::W32, may_decrease: true } => "counter32-",
        Kind::State => "state",
        Kind::Info => "info",
        Kind::Time => "time",
    };
    let value = match metric.value {
        ValueType::U64 => "u64",
        ValueType::I64 => "i64",
        ValueType::F64 => "f64",
        ValueType::Bool => "bool",
        ValueType::Text => "text",
    };
    let sum = |places: &[usize]| -> String {
        let names: Vec<_> = places.iter().filter_map(|&place| list.get(place)).map(|metric| &*metric.name).collect();
        names.join("+")
    };
    let source = match &metric.source {
        Source::Reported => String::new(),
        Source::Derived(derived) => {
            let over = derived.over.as_ref().map(|over| format!("/{}", sum(over))).unwrap_or_default();
            format!("{}*{}{over}", derived.scale, sum(&derived.of))
        }
    };
    let flags = [(!metric.json).then_some("hidden"), metric.label.then_some("label")];
    let flags: Vec<_> = flags.into_iter().flatten().collect();
    let (unit, conditions) = (metric.unit.as_deref().unwrap_or_default(), when(&metric.when));
    let (flags, values) = (flags.join(","), metric.values.join(","));
    ["metric", owner, &metric.name, kind, value, unit, &source, &conditions, &flags, &values].join("\t")
}

fn when(conditions: &[Condition]) -> String {
    let words =
        conditions.iter().map(|condition| format!("{}{}", if condition.is { '+' } else { '-' }, condition.option));
    words.collect::<Vec<_>>().join(",")
}

fn option(option: &OptionSpec) -> String {
    let scalar = |scalar| match scalar {
        Scalar::String => "string",
        Scalar::Integer => "integer",
        Scalar::Float => "float",
        Scalar::Bool => "bool",
        Scalar::Duration => "duration",
        Scalar::Size => "size",
        Scalar::Path => "path",
        Scalar::Secret => "secret",
        Scalar::Enum => "enum",
    };
    let kind = match option.option_type {
        OptionType::One(one) => scalar(one).to_owned(),
        OptionType::List(one) => format!("[{}]", scalar(one)),
        OptionType::Map => "{string}".to_owned(),
    };
    let presence = match option.presence {
        Presence::Default(_) => "default",
        Presence::Required => "required",
        Presence::Optional => "optional",
    };
    ["option", &option.name, &kind, presence, &option.words.join(","), &option.values.join(",")].join("\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"contract = "1.0"
[plugin]
name = "ups"
description = "a UPS"
[options.port]
type = "integer"
default = 3493
description = "of upsd"
[options.hosts]
type = "[string]"
required = true
description = "which"
[options.mode]
type = "enum"
values = ["fast", "slow"]
optional = true
description = "how"
[options.phases]
type = "bool"
default = false
description = "each phase too"
[metrics.charge]
unit = "%"
description = "of the battery"
[metrics.energy]
kind = "counter"
unit = "J"
rate = "energy_per_sec"
description = "delivered"
[metrics.mains]
kind = "state"
values = ["on", "off"]
description = "whether"
[tables.phase]
key = "phase"
when = "phases"
description = "a phase"
[tables.phase.columns.volts]
unit = "V"
type = "f64"
description = "voltage"
"#;

    fn parsed(text: &str) -> Manifest {
        Manifest::parse(text).unwrap_or_else(|faults| panic!("{faults:?}"))
    }

    #[test]
    fn text_is_as_it_is_described_and_never_changes() {
        let expected = "\
            metric\t\tcharge\tgauge\tf64\t%\t\t\t\t\n\
            metric\t\tenergy\tcounter\tu64\tJ\t\t\t\t\n\
            metric\t\tenergy_per_sec\tgauge\tf64\tJ/s\t1*energy\t\t\t\n\
            metric\t\tmains\tstate\tu64\t\t\t\t\ton,off\n\
            metric\tphase\tvolts\tgauge\tf64\tV\t\t\t\t\n\
            option\thosts\t[string]\trequired\t\t\n\
            option\tmode\tenum\toptional\t\tfast,slow\n\
            option\tphases\tbool\tdefault\t\t\n\
            option\tport\tinteger\tdefault\t\t\n\
            table\tphase\tphase\t+phases\n";
        assert_eq!(text(&parsed(MANIFEST)), expected);
        let digest = digest(&parsed(MANIFEST)).to_string();
        assert_eq!(
            digest, "7646925188a5fde911ae4b1ad0010ba64a62d575e221ecc35bffbd4083392363",
            "what is locked by it would be told as changed"
        );
    }

    #[test]
    fn what_changes_no_data_changes_no_digest() {
        let other = MANIFEST.replace("a UPS", "another one").replace("3493", "1").replace("of the battery", "left");
        assert_eq!(digest(&parsed(&other)), digest(&parsed(MANIFEST)));
        for (was, is) in
            [("\"V\"", "\"mV\""), ("\"off\"", "\"out\""), ("rate = \"energy_per_sec\"\n", ""), ("[string]", "[path]")]
        {
            let other = MANIFEST.replace(was, is);
            assert_ne!(digest(&parsed(&other)), digest(&parsed(MANIFEST)), "{was}");
        }
    }
}
