//! Which servers have this store open, as this one sees it. It is kept in memory, so that nobody waits for the store to see it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use alert_manager_core::alert::Timestamp;

use crate::model::{ListedReplica, ReplicaAbout};

/// The longest time between two looks at the list that counts as one in which others did not beat: this server may have been
/// suspended, or cut off.
const LOOKS_APART_MAX: Duration = Duration::from_secs(2);

/// The servers of a store.
#[derive(Debug)]
pub(crate) struct Roster {
    id: i64,
    since: Timestamp,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    about: Option<Arc<ReplicaAbout>>,
    seen: Vec<Seen>,
    looked: Option<Instant>,
}

/// A server as the store lists it.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) id: i64,
    pub(crate) about: ReplicaAbout,
    pub(crate) since: Timestamp,
    pub(crate) term_since: Option<Timestamp>,
    /// How often it has beaten.
    pub(crate) beat: i64,
}

#[derive(Debug)]
struct Seen {
    listed: Listed,
    /// When the last beat was seen.
    beat_at: Instant,
}

impl Roster {
    /// Returns that of a server that has just been started.
    pub(crate) fn new(since: Timestamp) -> Self {
        Self {
            id: rand::random(),
            since,
            state: Mutex::default(),
        }
    }

    /// Returns what distinguishes this server from every other start of one.
    pub(crate) fn id(&self) -> i64 {
        self.id
    }

    /// Changes what this server says of itself.
    pub(crate) fn set_about(&self, about: ReplicaAbout) {
        self.state.lock().about = Some(Arc::new(about));
    }

    /// Returns what this server says of itself; nothing if it has not said it yet.
    pub(crate) fn about(&self) -> Option<Arc<ReplicaAbout>> {
        self.state.lock().about.clone()
    }

    /// Takes over the list that was read from the store.
    pub(crate) fn note(&self, listed: Vec<Listed>) {
        let now = Instant::now();
        let mut state = self.state.lock();
        let unseen = state.looked.replace(now).map(|before| now - before);
        let unseen = unseen.filter(|unseen| *unseen > LOOKS_APART_MAX);
        let before = std::mem::take(&mut state.seen);
        let seen = |listed: Listed| {
            let known = before.iter().find(|seen| seen.listed.id == listed.id);
            let known = known.filter(|seen| seen.listed.beat == listed.beat);
            let beat_at = known.map_or(now, |seen| seen.beat_at + unseen.unwrap_or_default());
            Seen { listed, beat_at }
        };
        state.seen = listed.into_iter().map(seen).collect();
    }

    /// Returns those that have not beaten for this time, each with how often it had.
    pub(crate) fn silent(&self, time: Duration) -> Vec<(i64, i64)> {
        let state = self.state.lock();
        let silent = state.seen.iter();
        let silent =
            silent.filter(|seen| seen.beat_at.elapsed() >= time && seen.listed.id != self.id);
        silent
            .map(|seen| (seen.listed.id, seen.listed.beat))
            .collect()
    }

    /// Returns all servers in the order of their starts; this one alone, which has the term if it `leads`, if the store lists none.
    pub(crate) fn replicas(&self, leads: bool) -> Vec<ListedReplica> {
        let state = self.state.lock();
        if state.seen.is_empty() {
            return vec![ListedReplica {
                id: name(self.id),
                about: state.about.as_deref().cloned().unwrap_or_default(),
                since: self.since,
                is_this: true,
                term_since: leads.then_some(self.since),
                beat_age: Duration::ZERO,
            }];
        }
        let replica = |seen: &Seen| ListedReplica {
            id: name(seen.listed.id),
            about: seen.listed.about.clone(),
            since: seen.listed.since,
            is_this: seen.listed.id == self.id,
            term_since: seen.listed.term_since,
            beat_age: seen.beat_at.elapsed(),
        };
        state.seen.iter().map(replica).collect()
    }
}

/// Returns the identifier as people see it.
fn name(id: i64) -> String {
    format!("{:016x}", id.cast_unsigned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn listed(id: i64, beat: i64) -> Listed {
        Listed {
            id,
            about: ReplicaAbout::default(),
            since: Timestamp::UNIX_EPOCH,
            term_since: None,
            beat,
        }
    }

    #[test]
    fn a_server_that_does_not_beat_any_more_is_silent_and_one_that_beats_is_not() {
        let roster = Roster::new(Timestamp::UNIX_EPOCH);
        roster.note(vec![listed(1, 5), listed(2, 5)]);
        let first = roster.replicas(true);
        roster.note(vec![listed(1, 6), listed(2, 5)]);
        let second = roster.replicas(true);
        assert!(second[1].beat_age >= first[1].beat_age);
        assert!(second[0].beat_age <= second[1].beat_age);
        assert_eq!(roster.silent(Duration::ZERO), [(1, 6), (2, 5)]);
        assert!(roster.silent(Duration::from_secs(3600)).is_empty());
        roster.note(vec![listed(2, 5)]);
        assert_eq!(roster.replicas(true).len(), 1);
    }

    #[test]
    fn time_in_which_this_server_saw_nothing_is_not_counted() {
        let roster = Roster::new(Timestamp::UNIX_EPOCH);
        roster.note(vec![listed(1, 5)]);
        {
            // As if it had looked an hour ago, and not since.
            let hour = Duration::from_secs(3600);
            let mut state = roster.state.lock();
            state.looked = state.looked.and_then(|at| at.checked_sub(hour));
            state.seen[0].beat_at = state.seen[0].beat_at.checked_sub(hour).unwrap();
        }
        roster.note(vec![listed(1, 5)]);
        assert!(roster.replicas(true)[0].is_alive());
    }

    #[test]
    fn a_server_that_has_its_store_alone_lists_itself() {
        let roster = Roster::new(Timestamp::UNIX_EPOCH);
        roster.set_about(ReplicaAbout {
            host: "a".into(),
            ..ReplicaAbout::default()
        });
        let [alone] = &roster.replicas(true)[..] else {
            panic!("one is listed");
        };
        assert!(alone.is_this && alone.is_alive() && alone.term_since.is_some());
        assert_eq!(alone.about.host, "a");
    }
}
