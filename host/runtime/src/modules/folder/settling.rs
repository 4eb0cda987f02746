//! When a file of the folder is offered: once it has not changed for a while. Knows no clock: the time is an argument.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use crate::modules::folder::file::Signature;

/// A file is offered once it has not changed for this long: a copy that is under way is no bad module.
const OFFERED_AFTER: Duration = Duration::from_millis(100);
/// A file is known to be complete once it has not changed for this long: a slow copy pauses.
const SETTLED_AFTER: Duration = Duration::from_secs(1);
/// A file is removed once it has been missing for this long: `rm` and `cp` is a replacement.
const REMOVED_AFTER: Duration = Duration::from_millis(500);

/// What has become of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Differs from what was offered. Is offered again once it has not changed for a while.
    Changed(String),
    Offered {
        name: String,
        signature: Signature,
        is_settled: bool,
    },
    Settled(String),
    Removed(String),
}

/// The files that were seen, by name.
#[derive(Default)]
pub(super) struct Files(BTreeMap<String, File>);

struct File {
    signature: Signature,
    changed_at: Instant,
    /// Was an old file when it was first seen with this signature.
    is_old: bool,
    missing_since: Option<Instant>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// New or changed.
    Settling,
    /// Offered, but possibly incomplete.
    Offered,
    Settled,
}

impl File {
    fn new(signature: Signature, now: Instant, today: SystemTime) -> Self {
        // A file's time counts only if it is clearly in the past: the clock of its file system may be another.
        let age = signature
            .modified
            .and_then(|at| today.duration_since(at).ok());
        Self {
            signature,
            changed_at: now,
            is_old: age.is_some_and(|age| age >= SETTLED_AFTER),
            missing_since: None,
            stage: Stage::Settling,
        }
    }

    fn is_unchanged_for(&self, long: Duration, now: Instant) -> bool {
        self.is_old || now.saturating_duration_since(self.changed_at) >= long
    }

    /// Takes the next stage if it is due. Returns the change, if there is one.
    fn advance(&mut self, name: &str, now: Instant) -> Option<Change> {
        let is_settled = self.is_unchanged_for(SETTLED_AFTER, now);
        match self.stage {
            Stage::Settling if self.is_unchanged_for(OFFERED_AFTER, now) => {
                self.stage = match is_settled {
                    true => Stage::Settled,
                    false => Stage::Offered,
                };
                Some(Change::Offered {
                    name: name.to_owned(),
                    signature: self.signature,
                    is_settled,
                })
            }
            Stage::Offered if is_settled => {
                self.stage = Stage::Settled;
                Some(Change::Settled(name.to_owned()))
            }
            Stage::Settling | Stage::Offered | Stage::Settled => None,
        }
    }

    /// Returns when the file may change its stage by itself.
    fn due_at(&self) -> Option<Instant> {
        match (self.missing_since, self.stage) {
            (Some(since), _) => Some(since + REMOVED_AFTER),
            (None, Stage::Settling) => Some(self.changed_at + OFFERED_AFTER),
            (None, Stage::Offered) => Some(self.changed_at + SETTLED_AFTER),
            (None, Stage::Settled) => None,
        }
    }
}

impl Files {
    /// Compares the files that are there with those that were, and returns what is due at `now`; `today` is the time of day
    /// by which files are old.
    pub(super) fn look(
        &mut self,
        there: &BTreeMap<String, Signature>,
        now: Instant,
        today: SystemTime,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        for (name, signature) in there {
            match self.0.get_mut(name) {
                Some(file) if file.signature == *signature => file.missing_since = None,
                before => {
                    if before.is_some_and(|file| file.stage != Stage::Settling) {
                        changes.push(Change::Changed(name.clone()));
                    }
                    let file = File::new(*signature, now, today);
                    self.0.insert(name.clone(), file);
                }
            }
        }
        self.0.retain(|name, file| {
            if there.contains_key(name) {
                changes.extend(file.advance(name, now));
                return true;
            }
            let is_gone = now - *file.missing_since.get_or_insert(now) >= REMOVED_AFTER;
            if is_gone {
                changes.push(Change::Removed(name.clone()));
            }
            !is_gone
        });
        changes
    }

    /// Has a file offered once more, although it has not changed.
    pub(super) fn offer_again(&mut self, name: &str) {
        if let Some(file) = self.0.get_mut(name) {
            file.stage = Stage::Settling;
        }
    }

    /// Returns true if every file that is there has been offered, and none may have been removed.
    pub(super) fn are_offered(&self) -> bool {
        let mut files = self.0.values();
        files.all(|file| file.missing_since.is_none() && file.stage != Stage::Settling)
    }

    /// Returns when something may be due although no file changes.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.0.values().filter_map(File::due_at).min()
    }
}

#[cfg(test)]
mod tests;
