//! Builds of the mock that differ: in what they declare, and in their bytes. Its code knows no other metrics than its own, so that a
//! metric that is declared beyond those is null.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use harness::{built, root};

use super::scene::install;

/// A build of a plugin `swap`.
#[derive(Clone, Copy)]
pub struct Variant<'a> {
    pub version: &'a str,
    /// Metrics beyond those of the mock, with their types.
    pub more: &'a [(&'a str, &'a str)],
    /// What it has at its end, where no loader looks.
    pub tail: &'a str,
}

impl Variant<'_> {
    /// The library.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = fs::read(&built().test_plugins["perfwatch_mock"]).unwrap();
        let declared = fs::read(root().join("tests/plugins/mock/plugin.toml")).unwrap();
        let at = bytes.windows(declared.len()).position(|window| window == declared).expect("it is embedded");
        let mut manifest = self.manifest();
        assert!(manifest.len() <= declared.len(), "{} bytes", manifest.len());
        manifest.extend((manifest.len()..declared.len()).map(|_| '\n'));
        bytes[at..at + declared.len()].copy_from_slice(manifest.as_bytes());
        bytes.extend_from_slice(self.tail.as_bytes());
        bytes
    }

    pub fn install(&self, path: &Path) {
        install(path, &self.bytes());
    }

    fn manifest(&self) -> String {
        let more = self.more.iter().fold(String::new(), |mut more, (name, kind)| {
            writeln!(more, "{name}={{type=\"{kind}\",unit=\"1\",description=\"d\"}}").unwrap();
            more
        });
        let count = "count={type=\"u64\",kind=\"counter\",unit=\"{thing}\",rate=\"count_per_sec\",description=\"d\"}";
        format!(
            "contract=\"1.0\"\n[plugin]\nname=\"swap\"\nversion=\"{}\"\ndescription=\"d\"\nreads=[\"${{options.script}}\"]\n\
             [options]\nscript={{type=\"path\",required=true,description=\"d\"}}\n\
             [metrics]\nvalue={{unit=\"1\",description=\"d\"}}\n{count}\nlevel={{type=\"i64\",unit=\"1\",description=\"d\"}}\n\
             flag={{type=\"bool\",description=\"d\"}}\nstate={{kind=\"state\",values=[\"idle\",\"busy\"],description=\"d\"}}\n\
             text={{type=\"text\",description=\"d\"}}\n\"nested.value\"={{unit=\"1\",description=\"d\"}}\n{more}\
             [tables.rows]\nkey=\"name\"\ndescription=\"d\"\n[tables.rows.columns]\nvalue={{unit=\"1\",description=\"d\"}}\n\
             {count}\ntext={{type=\"text\",description=\"d\"}}\n",
            self.version
        )
    }
}
