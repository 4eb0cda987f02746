//! Decides when a file of the folder is offered, complete or removed, by how long it has not changed. A file that is being
//! copied must not be taken for a bad module. It reads no clock: the current time is an argument.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use crate::modules::folder::file::Signature;

/// How long a file must not have changed before it is offered.
const OFFERED_AFTER: Duration = Duration::from_millis(100);
/// How long a file must not have changed before it counts as complete. A slow copy may pause for less than this.
const SETTLED_AFTER: Duration = Duration::from_secs(1);
/// How long a file must be missing before it counts as removed, so that `rm` followed by `cp` is a replacement.
const REMOVED_AFTER: Duration = Duration::from_millis(500);

/// A change of a file, by its name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It differs from what was offered. It is offered again once it has not changed for [`OFFERED_AFTER`].
    Changed(String),
    Offered {
        name: String,
        signature: Signature,
        is_settled: bool,
    },
    Settled(String),
    /// A file that was offered has another name. It is offered again under that name.
    Renamed {
        from: String,
        to: String,
    },
    Removed(String),
}

/// The known files, by name.
#[derive(Default)]
pub(super) struct Files(BTreeMap<String, File>);

struct File {
    signature: Signature,
    changed_at: Instant,
    /// True if its modification time was [`SETTLED_AFTER`] ago or more when it was first seen with this signature.
    is_old: bool,
    missing_since: Option<Instant>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// New or changed, and not offered yet.
    Settling,
    /// Offered, but it may be incomplete.
    Offered,
    /// Offered, and complete.
    Settled,
}

impl File {
    fn new(signature: Signature, now: Instant, today: SystemTime) -> Self {
        // The modification time counts only if it is clearly in the past, because the file system may have another clock.
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

    /// Moves the file to its next stage if that is due, and returns the change.
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

    /// Returns when the file will be due without a change of it; `None` if never.
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
    /// Compares the files that exist now with the known ones, and returns the changes that are due at `now`. `today` is the
    /// same moment on the wall clock, to which modification times are compared.
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
                    match before {
                        Some(file) if file.stage != Stage::Settling => {
                            changes.push(Change::Changed(name.clone()));
                        }
                        Some(_) => {}
                        None => changes.extend(self.take_renamed(there, name, signature)),
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

    /// Forgets the file that was offered and is now called `to`, if there is one, and returns the change.
    fn take_renamed(
        &mut self,
        there: &BTreeMap<String, Signature>,
        to: &str,
        signature: &Signature,
    ) -> Option<Change> {
        let mut files = self.0.iter();
        let (from, _) = files.find(|(from, file)| {
            file.stage != Stage::Settling
                && file.signature.is_same_file(signature)
                && !there.contains_key(*from)
        })?;
        let from = from.clone();
        self.0.remove(&from);
        Some(Change::Renamed {
            from,
            to: to.to_owned(),
        })
    }

    /// Makes the next look offer a file once more, even if it has not changed.
    pub(super) fn offer_again(&mut self, name: &str) {
        if let Some(file) = self.0.get_mut(name) {
            file.stage = Stage::Settling;
        }
    }

    /// Returns true if every file has been offered, and none is missing.
    pub(super) fn are_offered(&self) -> bool {
        let mut files = self.0.values();
        files.all(|file| file.missing_since.is_none() && file.stage != Stage::Settling)
    }

    /// Returns when the next change will be due even if no file changes.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.0.values().filter_map(File::due_at).min()
    }
}

#[cfg(test)]
mod tests;
