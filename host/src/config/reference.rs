//! Every key with its whole path, for the reference in the documentation.

use super::compare::Restart;
use super::key::{Key, Written};
use super::sections::PARTS;

/// A key with its path.
#[derive(Clone, Debug)]
pub struct Described {
    /// As in `webhook.rate.burst`; a name that the operator chooses is `NAME`, an item of a list is `[]`.
    pub path: String,
    /// What it is.
    pub key: &'static Key,
    /// True if a change takes effect with a restart.
    pub needs_restart: bool,
}

/// Returns every key, those below a key after it.
#[must_use]
pub fn described() -> Vec<Described> {
    let mut all = Vec::new();
    for part in PARTS {
        let restart = match &part.restart {
            Restart::Yes => Some(""),
            Restart::Of(path, _) => Some(*path),
            Restart::No => None,
        };
        for key in part.keys {
            collect(key, key.name.to_owned(), restart, &mut all);
        }
    }
    all
}

fn collect(key: &'static Key, path: String, restart: Option<&str>, all: &mut Vec<Described>) {
    let below = match key.written {
        Written::Named(_) => format!("{path}.NAME"),
        Written::Items(_) | Written::ScalarsOrItems(..) => format!("{path}[]"),
        _ => path.clone(),
    };
    let needs_restart = restart.is_some_and(|of| of.is_empty() || of == path);
    all.push(Described {
        path,
        key,
        needs_restart,
    });
    for key in key.written.keys() {
        collect(key, format!("{below}.{}", key.name), restart, all);
    }
}
