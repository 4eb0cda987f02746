//! How a reload compares two configurations: what changed, and what of it needs a restart.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::Config;

/// Returns true if two configurations differ in something.
pub(super) type Differs = fn(&Config, &Config) -> bool;

/// How a part of two configurations is compared.
pub(super) enum Compare {
    /// As a whole, by this name.
    Whole(&'static str, Differs),
    /// Entry by entry: returns a line for each change from the first to the second.
    Entries(fn(&Config, &Config) -> Vec<String>),
}

/// What of a part changes only with a restart.
pub(super) enum Restart {
    /// Nothing.
    No,
    /// All of it.
    Yes,
    /// One key of it, by its path.
    Of(&'static str, Differs),
}

/// Compares the entries below a key: `KEY.NAME: changed`, with the detail that `detail` gives.
pub(super) fn entries<K: Ord + Display, V: PartialEq>(
    key: &str,
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
    detail: impl Fn(&V, &V) -> String,
) -> Vec<String> {
    let mut changes = Vec::new();
    for (name, value) in new {
        match old.get(name) {
            None => changes.push(format!("{key}.{name}: added")),
            Some(before) if before != value => {
                let detail = detail(before, value);
                changes.push(format!("{key}.{name}: changed{detail}"));
            }
            Some(_) => {}
        }
    }
    let removed = old.keys().filter(|name| !new.contains_key(name));
    changes.extend(removed.map(|name| format!("{key}.{name}: removed")));
    changes
}
