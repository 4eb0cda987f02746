//! Whole configurations, good and bad.

#![allow(clippy::unwrap_used, reason = "tests")]

mod bombs;
mod endpoints;
mod keys;
mod limits;
mod precedence;
mod problems;
mod values;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Config, Overrides, Problems};

/// The least that a file needs.
const CLOSED: &str = "slack: { preview: true }\n";

/// A folder with files, variables and flags.
struct Given {
    folder: tempfile::TempDir,
    variables: BTreeMap<&'static str, String>,
    flags: Overrides,
}

impl Given {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            variables: BTreeMap::new(),
            flags: Overrides::default(),
        }
    }

    fn file(self, name: &str, content: &str) -> Self {
        fs::write(self.path(name), content).unwrap();
        self
    }

    fn variable(mut self, name: &'static str, value: &str) -> Self {
        self.variables.insert(name, value.to_owned());
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn load(&self, file: Option<&Path>) -> Result<Config, Problems> {
        Config::load(file, &self.flags, &|name| self.variables.get(name).cloned())
    }

    fn load_text(self, text: &str) -> (Self, Result<Config, Problems>) {
        let given = self.file("am.yml", text);
        let config = given.load(Some(&given.path("am.yml")));
        (given, config)
    }

    fn bare(self) -> Result<Config, Problems> {
        self.load(None)
    }
}

fn good(text: &str) -> Config {
    Given::new().load_text(text).1.unwrap()
}

/// Returns the problems as printed, with the file's folder left out.
fn problems(given: Given, text: &str) -> Vec<String> {
    let (given, config) = given.load_text(text);
    let prefix = format!("{}/", given.folder.path().display());
    let printed = config.unwrap_err().to_string().replace(&prefix, "");
    printed.lines().map(str::to_owned).collect()
}
