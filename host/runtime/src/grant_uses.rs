//! When each grant was used, so that an operator sees which of them no handler needs. Kept in memory: a call costs no write.

use std::collections::HashMap;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use alert_manager_core::alert::{HandlerName, Timestamp};

/// What a grant lets a handler use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GrantKind {
    /// An entry of `allow.http`.
    Http,
    /// A channel of `allow.slack`.
    Slack,
    /// A name of `allow.credentials`.
    Credential,
}

/// The uses of a grant by calls that were sent, or shown in preview.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantUse {
    /// The number of calls.
    pub calls: u64,
    /// When the first of them was made.
    pub first: Timestamp,
    /// When the last of them was made.
    pub last: Timestamp,
}

/// The uses of a handler's grants.
type OfHandler = HashMap<(GrantKind, String), GrantUse>;

/// The uses of all grants since the server started. Grants come from the configuration, so their number is bounded by it.
#[derive(Debug)]
pub struct GrantUses {
    since: Timestamp,
    by_handler: Mutex<HashMap<HandlerName, OfHandler>>,
}

impl Default for GrantUses {
    fn default() -> Self {
        Self {
            since: Timestamp::now(),
            by_handler: Mutex::default(),
        }
    }
}

impl GrantUses {
    /// Returns since when uses are counted.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// Returns the uses of a grant, written as in the configuration; `None` if it was not used.
    #[must_use]
    pub fn of(&self, handler: &HandlerName, kind: GrantKind, grant: &str) -> Option<GrantUse> {
        let by_handler = self.by_handler.lock();
        by_handler
            .get(handler)?
            .get(&(kind, grant.to_owned()))
            .copied()
    }

    /// Counts a call.
    pub(crate) fn note(&self, handler: &HandlerName, kind: GrantKind, grant: &str, at: Timestamp) {
        let mut by_handler = self.by_handler.lock();
        let of_handler = match by_handler.get_mut(handler) {
            Some(known) => known,
            None => by_handler.entry(handler.clone()).or_default(),
        };
        let used = of_handler
            .entry((kind, grant.to_owned()))
            .or_insert(GrantUse {
                calls: 0,
                first: at,
                last: at,
            });
        used.calls = used.calls.saturating_add(1);
        used.last = used.last.max(at);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_grant_has_its_first_and_its_last_use_for_each_handler() {
        let uses = GrantUses::default();
        let (one, other) = (HandlerName::new("one"), HandlerName::new("other"));
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        for seconds in [5, 9, 7] {
            uses.note(&one, GrantKind::Slack, "alerts", at(seconds));
        }
        let used = uses.of(&one, GrantKind::Slack, "alerts").unwrap();
        assert_eq!((used.calls, used.first, used.last), (3, at(5), at(9)));
        assert_eq!(uses.of(&one, GrantKind::Credential, "alerts"), None);
        assert_eq!(uses.of(&other, GrantKind::Slack, "alerts"), None);
    }
}
