//! The copy of a config as a text: one TOML file that a person can read, with each file of the config whole, under its name.
//!
//! Whole texts and not the merged values: comments stay, faults point to lines that somebody wrote, and what a file of secrets or
//! a variable fills in stays out of it. Promises that what is parsed is what was written: a digest stands at its head.
#![forbid(unsafe_code)]

use std::fmt::Write as _;

use plugin_api::host_side::options::OptionValue;
use plugin_api::host_side::tree::{self, Data, Table, Value};
use sha2::Digest as _;

/// How a copy begins, by which it is told from what must not be overwritten.
pub(super) const BEGINNING: &str = "# A copy of the last config with which perfwatch ran";
const HEAD: &str = ", which it keeps by itself (agent.last_good).
# Where the config is refused at its start, it runs with this and says so. Not for editing: what is changed here is not used.
# Secrets that the config has in its text are here too.
";

/// The files of a config.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kept {
    /// When the copy was taken, as RFC 3339.
    pub(super) taken: String,
    /// The file itself, where there is one.
    pub(super) config: Option<Named>,
    /// Those of `conf.d`, in their order.
    pub(super) drop_ins: Vec<Named>,
}

/// A file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Named {
    /// Its whole path.
    pub(super) name: String,
    pub(super) text: String,
}

impl Kept {
    /// Whether both are of the same files, whenever they were taken.
    pub(super) fn is_same(&self, other: &Kept) -> bool {
        (&self.config, &self.drop_ins) == (&other.config, &other.drop_ins)
    }

    fn digest(&self) -> String {
        let mut digest = sha2::Sha256::new();
        let mut add = |word: &str, file: &Named| {
            // The lengths, so that no text can be taken for the beginning of the next file.
            digest.update(format!("{word} {} {}\n", file.name.len(), file.text.len()));
            digest.update(&file.name);
            digest.update(&file.text);
        };
        self.config.iter().for_each(|file| add("config", file));
        self.drop_ins.iter().for_each(|file| add("conf_d", file));
        digest.finalize().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }

    pub(super) fn render(&self) -> String {
        let mut out = format!("{BEGINNING}{HEAD}taken = \"{}\"\nsha256 = \"{}\"\n", self.taken, self.digest());
        let heads = self.config.iter().map(|file| ("[config]", file));
        for (head, file) in heads.chain(self.drop_ins.iter().map(|file| ("[[conf_d]]", file))) {
            let name = OptionValue::Text(file.name.clone()).toml();
            write!(out, "\n{head}\nname = {name}\ntext = {}\n", lines(&file.text))
                .expect("a string takes all that is written to it");
        }
        out
    }

    /// What [`Kept::render`] wrote; nothing where anything in it has changed since.
    pub(super) fn parse(text: &str) -> Option<Kept> {
        let (table, faults) = tree::parse(0, text);
        if !faults.is_empty() {
            return None;
        }
        let config = match table.value("config").map(|value| &value.data) {
            Some(Data::Table(table)) => Some(named(table)?),
            Some(_) => return None,
            None => None,
        };
        let drop_ins = match table.value("conf_d").map(|value| &value.data) {
            Some(Data::Array(items)) => &items[..],
            Some(_) => return None,
            None => &[],
        };
        let drop_in = |item: &Value| if let Data::Table(table) = &item.data { named(table) } else { None };
        let drop_ins = drop_ins.iter().map(drop_in).collect::<Option<_>>()?;
        let kept = Kept { taken: string(&table, "taken")?, config, drop_ins };
        (string(&table, "sha256")? == kept.digest()).then_some(kept)
    }
}

fn named(table: &Table) -> Option<Named> {
    Some(Named { name: string(table, "name")?, text: string(table, "text")? })
}

fn string(table: &Table, key: &str) -> Option<String> {
    match table.value(key).map(|value| &value.data) {
        Some(Data::String(text)) => Some(text.clone()),
        _ => None,
    }
}

/// A string of several lines, as it stands in the file where that can be.
fn lines(text: &str) -> String {
    let escaped = |one: char| one.is_control() && one != '\n' && one != '\t';
    if !text.contains(escaped) && !text.contains("'''") && !text.ends_with('\'') {
        return format!("'''\n{text}'''");
    }
    let mut out = String::from("\"\"\"\n");
    for one in text.chars() {
        match one {
            '\\' | '"' => out.extend(['\\', one]),
            one if escaped(one) => {
                write!(out, "\\u{:04x}", u32::from(one)).expect("a string takes all that is written to it");
            }
            one => out.push(one),
        }
    }
    out + "\"\"\""
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept(text: &str) -> Kept {
        let file = |name: &str, text: &str| Named { name: name.into(), text: text.into() };
        let drop_ins = vec![file("/etc/p/conf.d/a.toml", "# a\n"), file("/etc/p/conf.d/\"b\".toml", "")];
        Kept { taken: "2026-01-02T03:04:05Z".into(), config: Some(file("/etc/p/p.toml", text)), drop_ins }
    }

    #[test]
    fn file_of_the_config_stands_in_the_copy_as_it_was_written() {
        let text = "# why\n[agent]\nhostname = \"a\\\\b\" # 'quoted'\n";
        let copy = kept(text).render();
        assert!(copy.starts_with(BEGINNING) && copy.contains("\ntaken = \"2026-01-02T03:04:05Z\"\n"), "{copy}");
        assert!(copy.contains(&format!("\n[config]\nname = \"/etc/p/p.toml\"\ntext = '''\n{text}'''\n")), "{copy}");
    }

    #[test]
    fn copy_is_read_back_whatever_was_in_the_files() {
        for text in ["", "\n", "a = '''\nx'''\n", "a = 'b'", "a = 1\r\n\tb = \"\"\"\\\"\"\"\"", "# \u{7f}\u{feff}\u{0}"]
        {
            assert_eq!(Kept::parse(&kept(text).render()), Some(kept(text)), "{text:?}");
        }
        let none = Kept { config: None, drop_ins: vec![], ..kept("") };
        assert_eq!(Kept::parse(&none.render()), Some(none));
    }

    proptest! {
        #[test]
        fn copy_of_any_text_is_read_back(text in any::<String>()) {
            prop_assert_eq!(Kept::parse(&kept(&text).render()), Some(kept(&text)));
        }
    }

    #[test]
    fn copy_that_has_changed_in_a_character_or_lost_its_end_is_none() {
        let text = "[agent]\ninterval = \"1s\"\n";
        let copy = kept(text).render();
        assert_eq!(Kept::parse(&copy.replace("1s", "2s")), None);
        assert_eq!(Kept::parse(&copy.replace("conf.d/a", "conf.d/c")), None);
        assert_eq!(Kept::parse(&copy.replace("[[conf_d]]", "[[conf_e]]")), None);
        for end in (BEGINNING.len()..copy.trim_end().len()).filter(|end| copy.is_char_boundary(*end)) {
            // Of three quotes around nothing two may be lost.
            assert!(Kept::parse(&copy[..end]).is_none_or(|cut| cut == kept(text)), "{}", &copy[..end]);
        }
    }
}
