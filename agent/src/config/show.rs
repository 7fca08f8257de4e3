//! What `config show` and `config default` print: the config that holds, and with `--origin` which layer each value is from.

use std::time::Duration;

use plugin_api::host_side::fault::{Origin, Sources};
use plugin_api::host_side::options::{OptionValue, Settings};

use super::Config;
use super::layers::{SHIPPED, SHIPPED_NAME};
use super::plan::{CollectorPlan, Plan, PluginPlan, SinkKind, SinkPlan};
use plugin_api::host_side::manifest::Allowance;

/// The shipped config, as `config default` prints it.
#[must_use]
pub fn default_text() -> &'static str {
    SHIPPED
}

/// The config that holds, as TOML that can be read again, secrets as `***`. With `origins` each value is followed by where it
/// was written.
#[must_use]
pub fn show(config: &Config, plan: &Plan, origins: bool) -> String {
    let mut page = Page { sources: config.sources(), origins, text: String::new() };
    for left_out in config.left_out() {
        page.text.push_str(&format!("# {} is left out, faults: {}\n", left_out.path, left_out.faults.len()));
    }
    page.header("agent");
    page.settings("", &plan.settings);
    for collector in plan.collectors.iter().chain(&plan.disabled.0) {
        page.collector(collector);
    }
    for sink in plan.sinks.iter().chain(&plan.disabled.1) {
        page.sink(sink);
    }
    page.text
}

struct Page<'a> {
    sources: &'a Sources,
    origins: bool,
    text: String,
}

impl Page<'_> {
    fn header(&mut self, name: &str) {
        let gap = if self.text.is_empty() { "" } else { "\n" };
        self.text.push_str(&format!("{gap}[{name}]\n"));
    }

    fn line(&mut self, name: &str, value: &str, origin: &str) {
        let written = format!("{name} = {value}");
        if self.origins {
            self.text.push_str(&format!("{written:<40} # {origin}\n"));
        } else {
            self.text.push_str(&format!("{written}\n"));
        }
    }

    /// A comment ends with its line, and `why` may name what has several.
    fn failed(&mut self, why: &str) {
        self.text.push_str(&format!("# failed: {}\n", why.replace('\n', "\\u000a")));
    }

    fn origin(&self, origin: Option<Origin>) -> String {
        match origin {
            Some(origin) if self.sources.name(origin.source) == SHIPPED_NAME => "default".to_owned(),
            Some(origin) => self.sources.place(origin),
            None => "default".to_owned(),
        }
    }

    fn settings(&mut self, prefix: &str, settings: &Settings) {
        for setting in &settings.list {
            // A plain `${` is written so that it is not filled in when it is read again.
            let value = || setting.value.toml().replace("${", "$${");
            let value = if setting.secret { "\"***\"".to_owned() } else { value() };
            let origin = self.origin(setting.origin);
            self.line(&format!("{prefix}{}", setting.name), &value, &origin);
        }
    }

    fn collector(&mut self, collector: &CollectorPlan) {
        self.header(&format!("collectors.{}", collector.name));
        if let Err(why) = &collector.plugin {
            self.failed(why);
        }
        if let Ok(plugin) = &collector.plugin
            && collector.settings.value("plugin").is_none()
            && collector.settings.value("path").is_none()
        {
            let found = OptionValue::Text(plugin.manifest.plugin.name.clone()).toml();
            self.line("plugin", &found, &format!("found: {}", crate::harmless::path(&plugin.path)));
        }
        let likes = collector.plugin.as_ref().ok().map(|plugin| &plugin.manifest.plugin);
        let mut given = collector.settings.clone();
        given.list.retain(|setting| {
            !matches!(setting.name.as_str(), "interval" | "timeout") && !setting.name.starts_with("budget.")
        });
        self.settings("", &given);
        if collector.plugin.is_ok() && !collector.isolation_written {
            // A comment, as a word of the operator's would be stronger than this default.
            self.line("# isolation", &format!("{:?}", collector.isolation.word()), "default");
        }
        self.time(
            collector,
            "interval",
            collector.interval,
            likes.is_some_and(|likes| likes.interval.is_some()),
            "agent.interval",
        );
        self.time(
            collector,
            "timeout",
            collector.timeout,
            likes.is_some_and(|likes| likes.timeout.is_some()),
            "default",
        );
        if let Ok(plugin) = &collector.plugin {
            self.budget(collector, plugin);
            self.settings("options.", &plugin.options);
        }
    }

    /// A budget, of which each word may be the table's, the plugin's or the agent's.
    fn budget(&mut self, collector: &CollectorPlan, plugin: &PluginPlan) {
        let of_plugin = Allowance::of(plugin.manifest.plugin.budget).words();
        let otherwise = Allowance::default().words();
        for (at, (word, value)) in collector.allowance.words().into_iter().enumerate() {
            let name = format!("budget.{word}");
            let given = collector.settings.list.iter().find(|setting| setting.name == name);
            let origin = match given {
                Some(setting) => self.origin(setting.origin),
                None if of_plugin[at] != otherwise[at] => "the plugin".to_owned(),
                None => "default".to_owned(),
            };
            self.line(&name, &value.toml(), &origin);
        }
    }

    /// A time, which may be the table's, the plugin's or the agent's.
    fn time(&mut self, collector: &CollectorPlan, name: &str, value: Duration, of_plugin: bool, otherwise: &str) {
        let given = collector.settings.list.iter().find(|setting| setting.name == name);
        let origin = match given {
            Some(setting) => self.origin(setting.origin),
            None if of_plugin => "the plugin".to_owned(),
            None => otherwise.to_owned(),
        };
        self.line(name, &OptionValue::Duration(value).toml(), &origin);
    }

    fn sink(&mut self, sink: &SinkPlan) {
        self.header(&format!("sinks.{}", sink.name));
        match &sink.kind {
            Err(why) => self.failed(why),
            Ok(SinkKind::Stdout(_)) if sink.settings.list.is_empty() => self.line("type", "\"stdout\"", "default"),
            Ok(_) => {}
        }
        self.settings("", &sink.settings);
    }
}
