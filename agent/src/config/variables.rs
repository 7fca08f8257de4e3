//! The environment in a config: `${VAR}` inside strings, and `PERFWATCH__AGENT__INTERVAL=1s` over everything. Pure: the
//! variables are given.
//!
//! Strings are filled in after parsing, so that no value of a variable can add a key or break the syntax.

use std::collections::BTreeMap;

use plugin_api::host_side::fault::{Fault, Origin, Sources};
use plugin_api::host_side::tree::{Data, Entry, Table, Value, parse_value};

/// What a variable begins with that sets a key.
pub const PREFIX: &str = "PERFWATCH__";

/// The most bytes of a string after filling in.
const MAX_TEXT_BYTES: usize = 1 << 20;

/// Variables by name.
pub type Variables = BTreeMap<String, String>;

/// Fills in every string of a layer.
pub fn fill_in(table: &mut Table, variables: &Variables, faults: &mut Vec<Fault>) {
    for entry in &mut table.entries {
        fill_in_value(&mut entry.value, variables, faults);
    }
}

fn fill_in_value(value: &mut Value, variables: &Variables, faults: &mut Vec<Fault>) {
    match &mut value.data {
        Data::String(text) if text.contains("${") => match filled_in(text, variables, value.origin) {
            Ok(filled) => *text = filled,
            Err(fault) => faults.push(fault),
        },
        Data::Array(values) => values.iter_mut().for_each(|value| fill_in_value(value, variables, faults)),
        Data::Table(table) => fill_in(table, variables, faults),
        _ => {}
    }
}

fn filled_in(text: &str, variables: &Variables, origin: Origin) -> Result<String, Fault> {
    let (mut filled, mut rest) = (String::new(), text);
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            filled.push_str(&rest[..at]);
            filled.push('{');
            rest = &rest[at + 2..];
            continue;
        }
        filled.push_str(&rest[..at]);
        let Some((inside, after)) = rest[at + 2..].split_once('}') else {
            return Err(Fault::new(origin, "a `${` has no `}`").allowed(FORMS));
        };
        filled.push_str(value(inside, variables, origin)?);
        rest = after;
    }
    filled.push_str(rest);
    if filled.len() > MAX_TEXT_BYTES {
        return Err(Fault::new(origin, format!("string has more than {MAX_TEXT_BYTES} bytes when filled in")));
    }
    Ok(filled)
}

const FORMS: &str = "${VAR}, ${VAR:-default}, ${VAR:?message}, $${ for a plain ${";

/// The value of what stands inside the braces. As in a shell, an empty variable counts as unset for `:-` and `:?`.
fn value<'a>(inside: &'a str, variables: &'a Variables, origin: Origin) -> Result<&'a str, Fault> {
    let name_end = inside.find(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    let (name, form) = inside.split_at(name_end.unwrap_or(inside.len()));
    let set = variables.get(name).map(String::as_str);
    if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(Fault::new(origin, format!("`${{{inside}}}` names no variable")).allowed(FORMS));
    }
    let full = set.filter(|text| !text.is_empty());
    if form.is_empty() {
        let unset = || Fault::new(origin, format!("variable {name} is not set"));
        set.ok_or_else(|| unset().allowed(format!("${{{name}:-default}} where it may be unset")))
    } else if let Some(default) = form.strip_prefix(":-") {
        Ok(full.unwrap_or(default))
    } else if let Some(message) = form.strip_prefix(":?") {
        full.ok_or_else(|| Fault::new(origin, format!("variable {name} is not set: {message}")))
    } else {
        Err(Fault::new(origin, format!("`${{{inside}}}` is no form of a variable")).allowed(FORMS))
    }
}

/// The layer of the variables that set keys: `PERFWATCH__A__B` sets `b` in `[a]`. A value that is no TOML is a string.
pub fn overrides(variables: &Variables, sources: &mut Sources, faults: &mut Vec<Fault>) -> Table {
    let mut layer = Table::default();
    for (name, text) in variables.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
        let source = sources.add_variable(name, text.as_str());
        let origin = Origin { source, start: 0, end: text.len() };
        let path: Vec<String> = name[PREFIX.len()..].split("__").map(str::to_lowercase).collect();
        if path.iter().any(String::is_empty) {
            faults.push(Fault::new(origin, "the variable names no key").allowed("PERFWATCH__TABLE__KEY"));
            continue;
        }
        let value = parse_value(source, text).unwrap_or(Value { data: Data::String(text.clone()), origin });
        let nested = path.into_iter().rev().fold(value, |value, key| {
            let entry = Entry { key, key_origin: origin, value };
            Value { data: Data::Table(Table { entries: vec![entry] }), origin }
        });
        if let Data::Table(table) = nested.data {
            super::merge::merge(&mut layer, table);
        }
    }
    layer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    fn filled(text: &str) -> Result<String, String> {
        let variables = variables(&[("A", "1"), ("EMPTY", ""), ("TRICK", "${A}\"\nx = 1")]);
        filled_in(text, &variables, Origin::default()).map_err(|fault| fault.message)
    }

    #[test]
    fn strings_are_filled_in() {
        assert_eq!(filled("${A}/x/${A}"), Ok("1/x/1".into()));
        assert_eq!(filled("${B:-2}${EMPTY:-3}${A:-4}${B:-}"), Ok("231".into()));
        assert_eq!(filled("${EMPTY}"), Ok(String::new()));
        assert_eq!(filled("a$b ${A:?must be}"), Ok("a$b 1".into()));
        assert_eq!(filled("$${A}"), Ok("${A}".into()));
        assert_eq!(filled("${TRICK}"), Ok("${A}\"\nx = 1".into()), "what is filled in is not filled in again");
    }

    #[test]
    fn wrong_forms_and_unset_variables_are_told() {
        assert_eq!(filled("${B}"), Err("variable B is not set".into()));
        assert_eq!(filled("${B:?set it in the unit}"), Err("variable B is not set: set it in the unit".into()));
        assert_eq!(filled("${EMPTY:?set it}"), Err("variable EMPTY is not set: set it".into()));
        assert_eq!(filled("${A"), Err("a `${` has no `}`".into()));
        assert_eq!(filled("${}"), Err("`${}` names no variable".into()));
        assert_eq!(filled("${1}"), Err("`${1}` names no variable".into()));
        assert_eq!(filled("${A:+x}"), Err("`${A:+x}` is no form of a variable".into()));
    }

    #[test]
    fn strings_in_lists_and_tables_are_filled_in_too() {
        let (mut table, _) = plugin_api::host_side::tree::parse(0, "[a]\nb = [\"${A}\", { c = \"${A}\" }]\n");
        let mut faults = Vec::new();
        fill_in(&mut table, &variables(&[("A", "1")]), &mut faults);
        assert_eq!(faults, []);
        assert_eq!(format!("{table:?}").matches("String(\"1\")").count(), 2);
    }

    #[test]
    fn variables_set_keys_as_toml_or_else_as_strings() {
        let given = [
            ("HOME", "/root"),
            ("PERFWATCH_CONFIG", "x"),
            ("PERFWATCH__AGENT__INTERVAL", "1s"),
            ("PERFWATCH__AGENT__LOG__LEVEL", "\"debug\""),
            ("PERFWATCH__AGENT__STRICT", "true"),
            ("PERFWATCH____X", "1"),
        ];
        let (mut sources, mut faults) = (Sources::default(), Vec::new());
        let layer = overrides(&variables(&given), &mut sources, &mut faults);
        assert_eq!(layer.entries.len(), 1);
        let Data::Table(agent) = &layer.value("agent").unwrap().data else { panic!("not a table") };
        assert_eq!(agent.value("interval").unwrap().data, Data::String("1s".into()));
        assert_eq!(agent.value("strict").unwrap().data, Data::Bool(true));
        let Data::Table(log) = &agent.value("log").unwrap().data else { panic!("not a table") };
        assert_eq!(log.value("level").unwrap().data, Data::String("debug".into()));
        assert_eq!(sources.place(agent.value("interval").unwrap().origin), "$PERFWATCH__AGENT__INTERVAL");
        assert_eq!(faults.len(), 1, "{faults:?}");
    }
}
