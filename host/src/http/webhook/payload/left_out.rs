//! The names of the fields that were too long and were dropped, for people who look for them.

use std::fmt;

/// The name in `origin.extra` under which they are listed.
pub(super) const NAME: &str = "alert_manager.left_out";

/// The size limit of the list.
const LIST_BYTES_MAX: usize = 256;

/// The names of fields.
#[derive(Clone, Debug, Default)]
pub(super) struct LeftOut {
    names: String,
    count: u64,
}

impl LeftOut {
    pub(super) fn add(&mut self, name: &str) {
        self.count += 1;
        if self.names.len() + name.len() + 2 > LIST_BYTES_MAX {
            return;
        }
        if !self.names.is_empty() {
            self.names.push_str(", ");
        }
        self.names.push_str(name);
    }

    /// Returns the number of fields; the list may have fewer.
    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names)
    }
}
