//! The script: text to steps. Pure.

use std::time::Duration;

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    Set(Metric, Value),
    Row { key: String, cells: Vec<(Column, Value)> },
    RowFailed { key: String, message: String },
    PartFailed { part: String, message: String },
    Fail(Failure, String),
    Panic(String),
    Sleep(Duration),
    Burn(Duration),
    Hang,
    Print(String),
    Flood { rows: u64 },
    FloodText { bytes: usize },
    Allocate { times: u64 },
    Exit(i32),
    Abort,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Failure {
    Failed,
    Unavailable,
    Denied,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Float(f64),
    Unsigned(u64),
    Signed(i64),
    Truth(bool),
    Text(String),
}

/// Declared names, in the order of the handles that `Mock` keeps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Metric(pub(crate) usize);
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Column(pub(crate) usize);

#[derive(Clone, Copy)]
enum Type {
    Float,
    Unsigned,
    Signed,
    Truth,
    Text,
}

pub(crate) const METRICS: [&str; 7] = ["value", "count", "level", "flag", "state", "text", "nested.value"];
const METRIC_TYPES: [Type; 7] =
    [Type::Float, Type::Unsigned, Type::Signed, Type::Truth, Type::Unsigned, Type::Text, Type::Float];
pub(crate) const COLUMNS: [&str; 3] = ["value", "count", "text"];
const COLUMN_TYPES: [Type; 3] = [Type::Float, Type::Unsigned, Type::Text];

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Script {
    pub(crate) new: Vec<Step>,
    pub(crate) readings: Vec<Vec<Step>>,
    pub(crate) drop: Vec<Step>,
}

/// Reads a script, or says which line is wrong.
pub(crate) fn parse(text: &str) -> Result<Script, String> {
    let mut script = Script::default();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
        let words = words(line);
        let (steps_of, words) = match words.first().map(String::as_str) {
            Some("new") => (&mut script.new, &words[1..]),
            Some("drop") => (&mut script.drop, &words[1..]),
            _ => {
                script.readings.push(Vec::new());
                (script.readings.last_mut().expect("just pushed"), &words[..])
            }
        };
        for word in words {
            add(steps_of, word).map_err(|told| format!("line {}: {told}: {word}", number + 1))?;
        }
    }
    Ok(script)
}

/// Splits at spaces outside of double quotes, and drops the quotes.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quoted) = (vec![String::new()], false);
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            letter => words.last_mut().expect("never empty").push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn add(steps: &mut Vec<Step>, word: &str) -> Result<(), &'static str> {
    let (key, value) = word.split_once('=').ok_or("not of the form KEY=VALUE")?;
    let text = || value.to_owned();
    let number = || value.parse::<u64>().map_err(|_| "not a number");
    steps.push(match key {
        "error" => Step::Fail(Failure::Failed, text()),
        "unavailable" => Step::Fail(Failure::Unavailable, text()),
        "denied" => Step::Fail(Failure::Denied, text()),
        "panic" => Step::Panic(text()),
        "sleep" => Step::Sleep(duration(value).ok_or("not of the form 200ms or 2s")?),
        "burn" => Step::Burn(duration(value).ok_or("not of the form 200ms or 2s")?),
        "hang" => Step::Hang,
        "print" => Step::Print(text()),
        "flood" => Step::Flood { rows: number()? },
        "flood_text" => Step::FloodText { bytes: usize::try_from(number()?).map_err(|_| "too large")? },
        "allocate" => Step::Allocate { times: number()? },
        "exit" => Step::Exit(value.parse().map_err(|_| "not a number")?),
        "abort" => Step::Abort,
        _ if let Some(part) = key.strip_prefix("part.") => Step::PartFailed { part: part.to_owned(), message: text() },
        _ if let Some(row) = key.strip_prefix("rows.") => return add_row(steps, row, value),
        _ => {
            let place = METRICS.iter().position(|name| *name == key).ok_or("no such word")?;
            Step::Set(Metric(place), typed(METRIC_TYPES[place], value)?)
        }
    });
    Ok(())
}

fn add_row(steps: &mut Vec<Step>, row: &str, value: &str) -> Result<(), &'static str> {
    if let Some(key) = row.strip_suffix('!') {
        steps.push(Step::RowFailed { key: key.to_owned(), message: value.to_owned() });
        return Ok(());
    }
    // The column is behind the last dot: names of rows may have some (eth0.100).
    let (key, column) = row.rsplit_once('.').ok_or("not of the form rows.NAME.COLUMN")?;
    let place = COLUMNS.iter().position(|name| *name == column).ok_or("no such column")?;
    let cell = (Column(place), typed(COLUMN_TYPES[place], value)?);
    match steps.last_mut() {
        Some(Step::Row { key: last, cells }) if last == key => cells.push(cell),
        _ => steps.push(Step::Row { key: key.to_owned(), cells: vec![cell] }),
    }
    Ok(())
}

fn typed(kind: Type, value: &str) -> Result<Value, &'static str> {
    match kind {
        Type::Float => value.parse().map(Value::Float).map_err(|_| "not a number"),
        Type::Unsigned => value.parse().map(Value::Unsigned).map_err(|_| "not a whole number"),
        Type::Signed => value.parse().map(Value::Signed).map_err(|_| "not a whole number"),
        Type::Truth => value.parse().map(Value::Truth).map_err(|_| "not true or false"),
        Type::Text => Ok(Value::Text(value.to_owned())),
    }
}

fn duration(text: &str) -> Option<Duration> {
    if let Some(milliseconds) = text.strip_suffix("ms") {
        return milliseconds.parse().ok().map(Duration::from_millis);
    }
    text.strip_suffix('s')?.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_line_become_steps_in_their_order() {
        let script =
            parse("value=1.5 rows.eth0.100.count=7 rows.eth0.100.text=\"a b\" sleep=20ms error=\"no luck\"").unwrap();
        let cells = vec![(Column(1), Value::Unsigned(7)), (Column(2), Value::Text("a b".into()))];
        assert_eq!(
            script.readings,
            [vec![
                Step::Set(Metric(0), Value::Float(1.5)),
                Step::Row { key: "eth0.100".into(), cells },
                Step::Sleep(Duration::from_millis(20)),
                Step::Fail(Failure::Failed, "no luck".into()),
            ]]
        );
    }

    #[test]
    fn every_line_is_a_reading_but_new_drop_and_comments() {
        let script = parse("# none\nnew error=a\nvalue=1\n\ndrop panic=b\nvalue=2").unwrap();
        assert_eq!(script.readings.len(), 3);
        assert_eq!(script.readings[1], []);
        assert_eq!(script.new, [Step::Fail(Failure::Failed, "a".into())]);
        assert_eq!(script.drop, [Step::Panic("b".into())]);
    }

    #[test]
    fn wrong_word_is_told_with_its_line() {
        assert_eq!(parse("value=1\nvalu=2").unwrap_err(), "line 2: no such word: valu=2");
        assert_eq!(parse("count=-1").unwrap_err(), "line 1: not a whole number: count=-1");
        assert_eq!(parse("rows.a.b=1").unwrap_err(), "line 1: no such column: rows.a.b=1");
        assert_eq!(parse("hang").unwrap_err(), "line 1: not of the form KEY=VALUE: hang");
    }
}
