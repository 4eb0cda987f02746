//! Which fields were too long and are not kept, for people who wonder where they are.

use std::fmt;

/// The name under `origin.extra` that lists them.
pub(super) const NAME: &str = "alert_manager.left_out";

/// Of the list, in bytes.
const LIST_BYTES_MAX: usize = 256;

/// Names of fields.
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

    /// Returns how many there are; the list may have fewer.
    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names)
    }
}
