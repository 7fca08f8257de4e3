//! Bad configs, and what the operator sees: `bad/NAME.toml` with `bad/NAME.expected`.

use super::*;

#[track_caller]
fn golden(text: &str, expected: &str) {
    let told = Place::new(text).plan().expect_err("the config has faults");
    assert_eq!(told, expected.trim_end(), "\n---- told:\n{told}\n----");
}

#[test]
fn faults_of_the_agent_table() {
    golden(include_str!("bad/agent.toml"), include_str!("bad/agent.expected"));
}

#[test]
fn faults_of_collectors_and_their_options() {
    golden(include_str!("bad/collectors.toml"), include_str!("bad/collectors.expected"));
}

#[test]
fn faults_of_sinks() {
    golden(include_str!("bad/sinks.toml"), include_str!("bad/sinks.expected"));
}

#[test]
fn faults_of_syntax() {
    golden(include_str!("bad/syntax.toml"), include_str!("bad/syntax.expected"));
}

#[test]
fn keys_of_the_agent_table_are_unknown_in_a_collectors() {
    for key in ["watch", "sandbox", "runtime_dir", "offset", "trust"] {
        let told = Place::new(&format!("[collectors.cpu]\n{key} = \"x\"\n")).plan().unwrap_err();
        assert!(told.starts_with(&format!("perfwatch.toml:2:1: unknown key `{key}`")), "{told}");
    }
}

#[test]
fn variable_at_fault_is_told_by_its_name() {
    let told = Place::new("").variable("PERFWATCH__AGENT__INTERVAL", "1x").plan().unwrap_err();
    assert!(told.starts_with("$PERFWATCH__AGENT__INTERVAL: `1x` is no duration, in `interval`\n   | 1x\n"), "{told}");
    let told = Place::new("").variable("PERFWATCH__AGENT__INTERVALL", "1s").plan().unwrap_err();
    assert!(told.starts_with("$PERFWATCH__AGENT__INTERVALL: unknown key `intervall`"), "{told}");
    let told = Place::new("").variable("PERFWATCH__AGENT", "1").plan().unwrap_err();
    assert!(told.starts_with("$PERFWATCH__AGENT: `agent` is an integer"), "{told}");
}

#[test]
fn secret_stays_out_of_faults_however_it_was_given() {
    let text = "[collectors.network]\noptions = { token = \"hunter2\", tokne = 1 }\n";
    let told = Place::new(text).plan().unwrap_err();
    assert!(told.contains("token = ***, tokne = 1") && !told.contains("hunter2"), "{told}");
    let place = Place::new("[collectors.network]\ninterval = 1\n");
    let place = place.variable("PERFWATCH__COLLECTORS__NETWORK__OPTIONS__TOKEN", "[\"hunter2\"]");
    let told = place.plan().unwrap_err();
    assert!(told.contains("`token` is a list") && !told.contains("hunter2"), "{told}");
}
