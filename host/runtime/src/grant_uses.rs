//! When each grant was used, so that an operator sees which of them no handler needs. Counted in memory: a call costs no write.
//! What has changed is taken now and then, to be stored.

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

impl GrantKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Http, Self::Slack, Self::Credential];

    /// Returns its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Slack => "slack",
            Self::Credential => "credential",
        }
    }
}

/// The uses of a handler's grants.
type OfHandler = HashMap<(GrantKind, String), Counted>;

/// The uses of a grant, and whether they are to be stored.
#[derive(Debug)]
struct Counted {
    used: GrantUse,
    has_changed: bool,
}

/// The uses of all grants. Grants come from the configuration, so their number is bounded by it.
#[derive(Debug)]
pub struct GrantUses {
    since: Mutex<Timestamp>,
    by_handler: Mutex<HashMap<HandlerName, OfHandler>>,
}

impl Default for GrantUses {
    fn default() -> Self {
        Self {
            since: Mutex::new(Timestamp::now()),
            by_handler: Mutex::default(),
        }
    }
}

impl GrantUses {
    /// Takes in the uses that were stored, before any call is made.
    pub fn restore(
        &self,
        since: Timestamp,
        stored: impl IntoIterator<Item = (HandlerName, GrantKind, String, GrantUse)>,
    ) {
        *self.since.lock() = since;
        let mut by_handler = self.by_handler.lock();
        for (handler, kind, grant, used) in stored {
            let counted = Counted {
                used,
                has_changed: false,
            };
            let of_handler = by_handler.entry(handler).or_default();
            of_handler.insert((kind, grant), counted);
        }
    }

    /// Returns the uses that have changed since this was last called.
    #[must_use]
    pub fn take_changed(&self) -> Vec<(HandlerName, GrantKind, String, GrantUse)> {
        let mut by_handler = self.by_handler.lock();
        let mut changed = Vec::new();
        for (handler, of_handler) in by_handler.iter_mut() {
            for ((kind, grant), counted) in of_handler.iter_mut().filter(|(_, c)| c.has_changed) {
                counted.has_changed = false;
                changed.push((handler.clone(), *kind, grant.clone(), counted.used));
            }
        }
        changed
    }

    /// Returns since when uses are counted.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        *self.since.lock()
    }

    /// Returns the uses of a grant, written as in the configuration; `None` if it was not used.
    #[must_use]
    pub fn of(&self, handler: &HandlerName, kind: GrantKind, grant: &str) -> Option<GrantUse> {
        let by_handler = self.by_handler.lock();
        by_handler
            .get(handler)?
            .get(&(kind, grant.to_owned()))
            .map(|counted| counted.used)
    }

    /// Counts a call.
    pub(crate) fn note(&self, handler: &HandlerName, kind: GrantKind, grant: &str, at: Timestamp) {
        let mut by_handler = self.by_handler.lock();
        let of_handler = match by_handler.get_mut(handler) {
            Some(known) => known,
            None => by_handler.entry(handler.clone()).or_default(),
        };
        let counted = of_handler
            .entry((kind, grant.to_owned()))
            .or_insert(Counted {
                used: GrantUse {
                    calls: 0,
                    first: at,
                    last: at,
                },
                has_changed: true,
            });
        counted.used.calls = counted.used.calls.saturating_add(1);
        counted.used.last = counted.used.last.max(at);
        counted.has_changed = true;
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

    #[test]
    fn what_has_changed_is_taken_once_and_goes_on_after_it_is_restored() {
        let (uses, again) = (GrantUses::default(), GrantUses::default());
        let handler = HandlerName::new("one");
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        uses.note(&handler, GrantKind::Slack, "alerts", at(5));
        uses.note(&handler, GrantKind::Http, "https://example.com", at(6));
        let taken = uses.take_changed();
        assert_eq!((taken.len(), uses.take_changed().len()), (2, 0));
        again.restore(at(1), taken);
        assert_eq!((again.since(), again.take_changed().len()), (at(1), 0));
        again.note(&handler, GrantKind::Slack, "alerts", at(7));
        let [(_, kind, _, used)] = &again.take_changed()[..] else {
            panic!("one has changed");
        };
        assert_eq!(*kind, GrantKind::Slack);
        assert_eq!((used.calls, used.first, used.last), (2, at(5), at(7)));
    }
}
