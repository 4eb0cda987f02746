//! The place of each key in the file: for mistakes that show only once the modules are known.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::node::{Node, Place};

/// Keys that are remembered; a mistake below a key past them is shown at the top of the file.
const KEYS_MAX: usize = 50_000;

/// The places of a file's keys, by their paths: `handlers.NAME.config.channel`, `routes[0].handlers[1]`.
#[derive(Clone, Debug, Default)]
pub struct Spots {
    file: Option<PathBuf>,
    by_path: BTreeMap<String, Place>,
}

impl Spots {
    pub(super) fn new(file: PathBuf, document: Option<&Node>) -> Self {
        let mut by_path = BTreeMap::new();
        if let Some(node) = document {
            node.walk("", &mut |path, at| {
                if by_path.len() < KEYS_MAX {
                    by_path.entry(path).or_insert(at);
                }
            });
        }
        Self {
            file: Some(file),
            by_path,
        }
    }

    /// Returns `file:line:column` of the key, or of the nearest one above it that the file has.
    pub(crate) fn place(&self, path: &str) -> String {
        let Some(file) = &self.file else {
            return "the defaults (there is no configuration file)".to_owned();
        };
        let mut path = path;
        let at = loop {
            if let Some(at) = self.by_path.get(path) {
                break *at;
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => break Place::default(),
            }
        };
        format!("{}:{at}", file.display())
    }

    /// Returns true if the file has the key.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.by_path.contains_key(path)
    }
}
