//! The calls of one step, recorded as by the real host: a retry is answered from them.

use std::any::Any;
use std::rc::Rc;

use crate::Timestamp;

/// The name of a call: the author's key, or the whole request except its timeout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CallName {
    Key(&'static str, String),
    Request(&'static str, String),
}

impl CallName {
    /// Names a call of this kind.
    pub(super) fn of(kind: &'static str, key: Option<&str>, request: String) -> Self {
        match key {
            Some(key) => Self::Key(kind, key.to_owned()),
            None => Self::Request(kind, request),
        }
    }
}

#[derive(Debug, Clone)]
struct Entry {
    name: CallName,
    is_effect: bool,
    answer: Rc<dyn Any>,
    clock: Timestamp,
}

/// The record of one step, and how much of it the current attempt has used.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// The calls up to the last effect.
    record: Vec<Entry>,
    /// Which entries the current attempt has asked for.
    asked: Vec<bool>,
    /// Reads since the last effect; they are recorded together with the next one.
    held: Vec<Entry>,
}

impl Replay {
    /// Begins another attempt with the same record.
    pub(super) fn begin(&mut self) {
        self.asked = vec![false; self.record.len()];
        self.held.clear();
    }

    /// Returns the clock of the first effect that was not asked for yet.
    pub(super) fn clock(&self) -> Option<Timestamp> {
        let entries = self.record.iter().zip(&self.asked);
        let mut left = entries.filter(|(entry, asked)| entry.is_effect && !**asked);
        left.next().map(|(entry, _)| entry.clock)
    }

    /// Returns the latest recorded time.
    pub(super) fn latest(&self) -> Timestamp {
        let recorded = self.record.last().map(|entry| entry.clock);
        recorded.unwrap_or(Timestamp::from_seconds(0))
    }

    /// Returns the recorded answer; `None` if the call has to be made.
    pub(super) fn answer<R: Clone + 'static>(&mut self, name: &CallName) -> Option<R> {
        self.clock()?;
        let place = (0..self.record.len())
            .find(|place| !self.asked[*place] && self.record[*place].name == *name)?;
        self.asked[place] = true;
        self.record[place].answer.downcast_ref().cloned()
    }

    /// Records the answer to a call that was made. Reads are recorded with the next effect.
    pub(super) fn keep<R: 'static>(
        &mut self,
        name: CallName,
        is_effect: bool,
        answer: R,
        clock: Timestamp,
    ) {
        self.held.push(Entry {
            name,
            is_effect,
            answer: Rc::new(answer),
            clock,
        });
        if is_effect {
            self.asked.extend(self.held.iter().map(|_| true));
            self.record.append(&mut self.held);
        }
    }
}
