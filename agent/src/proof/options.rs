//! Options at their limits, which it has to take, and beyond, which the agent has to refuse before it sees them.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use plugin_api::host_side::options::{OptionSpec, OptionType, OptionValue, Presence, Scalar};

use super::desk::{self, Desk, Given};
use super::readings::Taken;
use super::rehearsal::End;
use super::report::{Check, Finding};
use crate::child::Start;

/// All of them together take no longer.
const WITHIN: Duration = Duration::from_millis(700);
/// Entries of a long list or map.
const LONG: usize = 1000;
/// Bytes of a long text: the longest path.
const LONG_TEXT: usize = 4096;

/// Both.
#[must_use]
pub fn checks(desk: &Desk, given: &Given, taken: &Taken) -> Vec<Check> {
    if desk.manifest.options.is_empty() {
        let why = "it has no options";
        return vec![Check::skipped("options_at_limits", why), Check::skipped("options_beyond", why)];
    }
    // What is wrong whatever the options are, is told once.
    let refused = taken.agent.seen.iter().map(|seen| seen.refused.0).max().unwrap_or_default();
    vec![at_limits(desk, given, refused), beyond_all(desk)]
}

/// What can be examined where the options to run with are not known.
#[must_use]
pub fn beyond(desk: &Desk) -> Vec<Check> {
    vec![beyond_all(desk)]
}

fn at_limits(desk: &Desk, given: &Given, refused: u32) -> Check {
    let begun = Instant::now();
    let (mut findings, mut tried, mut all) = (Vec::new(), 0, 0);
    let mut has_hung = false;
    for spec in &desk.manifest.options {
        for (value, is_declared) in limits(spec) {
            all += 1;
            if has_hung || begun.elapsed() > WITHIN {
                continue;
            }
            let text = with(given, spec, &value);
            // Of its own kind it has other bounds still, which are told by then.
            let Ok(settings) = desk::checked(&desk.manifest, &text, "the limits") else { continue };
            tried += 1;
            let ran = desk.run(Start { options: settings.json(), ..desk.start() }, 2);
            // What the agent has no room for, it refuses.
            if matches!(ran.end, End::NotTried(_)) {
                continue;
            }
            let set = format!("`{} = {}`", spec.name, shown(&value));
            has_hung = matches!(ran.end, End::Hung(_));
            if let Some(fault) = ran.fault().or(ran.panic().map(|panic| format!("it panics: {panic}"))) {
                let change = format!("mend it, or narrow option `{}` in plugin.toml by min, max or values", spec.name);
                findings.push(Finding::failure(format!("{set}: {fault}"), change));
            } else if let Some(seen) = ran.seen.iter().find(|seen| seen.refused.0 > refused) {
                let what = format!("{set}: {} is set to what its declaration does not allow", seen.refused.1);
                findings.push(Finding::failure(what, "set nothing where nothing is known"));
            } else if let Some((_, error)) = ran.error().filter(|_| is_declared && ran.unavailable().is_none()) {
                let change = format!("narrow option `{}` in plugin.toml, where the value makes no sense", spec.name);
                findings.push(Finding::remark(format!("{set} is allowed, and an error: {error}"), change));
            }
        }
    }
    let of = if tried == all { format!("{tried} values") } else { format!("{tried} of {all} values") };
    Check::new("options_at_limits", format!("{of} of {} options", desk.manifest.options.len()), findings)
}

fn shown(value: &OptionValue) -> String {
    let text = value.toml();
    match text.char_indices().nth(40) {
        Some((at, _)) => format!("{} ... ({} bytes)", &text[..at], text.len()),
        None => text,
    }
}

/// The options that are given, with another value for one.
fn with(given: &Given, spec: &OptionSpec, value: &OptionValue) -> String {
    let kept = given.settings.list.iter().filter(|setting| setting.origin.is_some() && setting.name != spec.name);
    let mut lines: Vec<String> = kept.map(|setting| format!("{} = {}\n", setting.name, setting.value.toml())).collect();
    lines.push(format!("{} = {}\n", spec.name, value.toml()));
    lines.concat()
}

/// The values at the limits of an option, and whether the manifest names each.
fn limits(spec: &OptionSpec) -> Vec<(OptionValue, bool)> {
    let mut values = match spec.option_type {
        OptionType::One(scalar) => one(spec, scalar),
        OptionType::List(scalar) => {
            let first = match &spec.presence {
                Presence::Default(OptionValue::List(list)) => list.first().cloned(),
                _ => None,
            };
            let short = matches!(scalar, Scalar::String | Scalar::Secret).then(|| OptionValue::Text("x".into()));
            let one = first.or(short).or(one(spec, scalar).pop().map(|(value, _)| value));
            let long = one.map(|one| (OptionValue::List(vec![one; LONG]), false));
            [(OptionValue::List(Vec::new()), false)].into_iter().chain(long).collect()
        }
        OptionType::Map => {
            let entries = (0..LONG).map(|number| (format!("key{number}"), "x".to_owned()));
            vec![(OptionValue::Map(Vec::new()), false), (OptionValue::Map(entries.collect()), false)]
        }
    };
    values.extend(spec.words.iter().map(|word| (OptionValue::Text(word.clone()), true)));
    values
}

fn one(spec: &OptionSpec, scalar: Scalar) -> Vec<(OptionValue, bool)> {
    let text = |text: String| (OptionValue::Text(text), false);
    let bounds = |least: OptionValue, most: OptionValue| {
        let least = spec.min.clone().map_or((least, false), |min| (min, true));
        let most = spec.max.clone().map_or((most, false), |max| (max, true));
        vec![least, most]
    };
    match scalar {
        Scalar::String | Scalar::Secret => vec![text(String::new()), text("x".repeat(LONG_TEXT))],
        Scalar::Path => vec![text("/nowhere/at/all".into()), text("/dev/null".into())],
        Scalar::Integer => bounds(OptionValue::Integer(i64::MIN), OptionValue::Integer(i64::MAX)),
        Scalar::Float => bounds(OptionValue::Float(f64::MIN), OptionValue::Float(f64::MAX)),
        Scalar::Bool => [true, false].map(|flag| (OptionValue::Bool(flag), true)).into(),
        Scalar::Duration => bounds(
            OptionValue::Duration(Duration::ZERO),
            OptionValue::Duration(Duration::from_nanos(i64::MAX.unsigned_abs())),
        ),
        Scalar::Size => bounds(OptionValue::Size(0), OptionValue::Size(i64::MAX.unsigned_abs())),
        Scalar::Enum => spec.values.iter().map(|word| (OptionValue::Text(word.clone()), true)).collect(),
    }
}

/// Nothing runs for these: the plugin must not see them.
fn beyond_all(desk: &Desk) -> Check {
    let mut findings = Vec::new();
    let mut tried = 0;
    for spec in &desk.manifest.options {
        for value in past(spec) {
            tried += 1;
            if desk::checked(&desk.manifest, &format!("{} = {value}\n", spec.name), "beyond").is_ok() {
                let change = format!("declare `min`, `max` or `values` of option `{}` in plugin.toml", spec.name);
                findings.push(Finding::failure(format!("`{} = {value}` is not refused", spec.name), change));
            }
        }
        let is_a_number = matches!(
            spec.option_type,
            OptionType::One(Scalar::Integer | Scalar::Float | Scalar::Duration | Scalar::Size)
        );
        if is_a_number && (spec.min.is_none() || spec.max.is_none()) {
            let missing = if spec.min.is_none() { "min" } else { "max" };
            let change = format!("declare `{missing}` where not every value makes sense");
            findings.push(Finding::remark(format!("option `{}` has no {missing}", spec.name), change));
        }
    }
    Check::new("options_beyond", format!("{tried} values that are refused before it sees them"), findings)
}

/// Values that the declaration does not allow, as TOML.
fn past(spec: &OptionSpec) -> Vec<String> {
    let mut past = vec!["{ a = { b = 1 } }".to_owned()];
    let step = |bound: &OptionValue, up: bool| match bound {
        OptionValue::Integer(number) => {
            if up { number.checked_add(1) } else { number.checked_sub(1) }.map(OptionValue::Integer)
        }
        OptionValue::Float(number) => Some(OptionValue::Float(if up { number.next_up() } else { number.next_down() })),
        OptionValue::Duration(time) => {
            let nano = Duration::from_nanos(1);
            if up { time.checked_add(nano) } else { time.checked_sub(nano) }.map(OptionValue::Duration)
        }
        OptionValue::Size(bytes) => if up { bytes.checked_add(1) } else { bytes.checked_sub(1) }.map(OptionValue::Size),
        _ => None,
    };
    past.extend(spec.min.iter().filter_map(|min| step(min, false)).map(|value| value.toml()));
    past.extend(spec.max.iter().filter_map(|max| step(max, true)).map(|value| value.toml()));
    match spec.option_type {
        OptionType::One(Scalar::Enum) => past.push("\"no such word\"".into()),
        OptionType::One(Scalar::Path) => past.push("\"\"".into()),
        OptionType::One(Scalar::String | Scalar::Secret) => past.push("1".into()),
        OptionType::One(_) | OptionType::List(_) | OptionType::Map => past.push("\"no such value\"".into()),
    }
    past
}
