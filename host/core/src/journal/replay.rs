//! Replays the record of earlier attempts, up to the last effect or to the call at which the step was parked. Makes no I/O.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::{CallKind, CallName, Entry, RecordUse};
use crate::alert::Timestamp;

/// The size of the reads that are held until the next effect; if it is exceeded, the oldest are dropped.
const WAITING_BYTES_MAX: usize = 2 << 20;

/// The record of one step during one attempt.
///
/// A call is identified by its name and its index among the calls of that name. Reads are recorded, so that the guest takes
/// the same path again. Of calls that change something only the successful ones are recorded, so that a failed one is made
/// again. A step that is parked has its failed ones on record too: nothing has come of the attempt yet, and the one that goes on
/// comes to the call that waits without making another before it.
#[derive(Debug)]
pub struct Replay {
    recorded: HashMap<(CallKind, CallName), VecDeque<Entry>>,
    /// The clocks of the effects that were not asked for yet, by their number.
    effects_left: BTreeMap<u32, Timestamp>,
    /// True if an effect is on record.
    has_effect: bool,
    /// True while the step resumes: the record ends where it was parked, and this attempt has started no effect yet.
    resumes: bool,
    next_seq: u32,
    /// The number after the last recorded entry.
    recorded_to: u32,
    used: RecordUse,
    /// Reads and failed changes that are not on record.
    waiting: VecDeque<Entry>,
    waiting_bytes: usize,
}

impl Replay {
    /// Takes the entries that earlier attempts recorded, in order. Those after the last effect, or after the last call before the
    /// step was parked, are not replayed; new entries get their numbers. `resumes_parked` is true if the last attempt was parked.
    #[must_use]
    pub fn new(entries: Vec<Entry>, resumes_parked: bool) -> Self {
        let last = entries.iter().rposition(|e| e.effect || e.parked);
        let prefix_len = last.map_or(0, |i| i + 1);
        let resumes = last.is_some_and(|i| !entries[i].effect);
        let mut recorded: HashMap<_, VecDeque<_>> = HashMap::new();
        let mut effects_left = BTreeMap::new();
        let mut next_seq = 0;
        let used = RecordUse::of(&entries[..prefix_len]);
        for entry in entries.into_iter().take(prefix_len) {
            if entry.effect {
                effects_left.insert(entry.seq, entry.clock);
            }
            next_seq = entry.seq + 1;
            if entry.failed && !resumes_parked {
                continue;
            }
            recorded
                .entry((entry.kind, entry.name.clone()))
                .or_default()
                .push_back(entry);
        }
        Self {
            recorded,
            has_effect: !effects_left.is_empty(),
            effects_left,
            resumes,
            next_seq,
            recorded_to: next_seq,
            used,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
        }
    }

    /// Returns the recorded result of this call; `None` if the call has to be made.
    pub fn answer(&mut self, kind: CallKind, name: &CallName) -> Option<Entry> {
        if self.effects_left.is_empty() && !self.resumes {
            return None;
        }
        let entry = self.recorded.get_mut(&(kind, name.clone()))?.pop_front()?;
        self.effects_left.remove(&entry.seq);
        Some(entry)
    }

    /// Notes that an effect starts that is not on record: a step that was parked has resumed, and its reads are made from now on.
    pub fn go_live(&mut self) {
        self.resumes = false;
    }

    /// Returns whether an effect is on record.
    #[must_use]
    pub fn has_effect(&self) -> bool {
        self.has_effect
    }

    /// Returns the time for the guest's clock: the time of the first effect that was not asked for yet. `None` if no effect is
    /// left: then the attempt's own time is used. Reads do not matter, also those of a step that was parked: what it sends may
    /// say how late it is.
    #[must_use]
    pub fn clock(&self) -> Option<Timestamp> {
        self.effects_left.values().next().copied()
    }

    /// Returns the number of the next entry.
    pub fn take_seq(&mut self) -> u32 {
        let seq = self.next_seq;
        self.next_seq += 1;
        seq
    }

    /// Returns the number after the last recorded entry.
    #[must_use]
    pub fn recorded_to(&self) -> u32 {
        self.recorded_to
    }

    /// Returns the size of the record of this step, over all attempts.
    #[must_use]
    pub fn used(&self) -> RecordUse {
        self.used
    }

    /// Holds a read until the next effect is recorded, or a failed change until the step is parked.
    pub fn hold(&mut self, entry: Entry) {
        self.waiting_bytes += entry.bytes();
        self.waiting.push_back(entry);
        while self.waiting_bytes > WAITING_BYTES_MAX {
            self.drop_oldest();
        }
    }

    /// Returns the reads that are held, to record them before an effect. If `room` is too small for all, the oldest are dropped.
    pub fn held(&mut self, room: RecordUse) -> Vec<Entry> {
        let mut held = self.held_to_park(room);
        held.retain(|entry| !entry.failed);
        held
    }

    /// Returns the reads and the failed changes that are held, in order, to record them when the step is parked. If `room` is too
    /// small for all, the oldest are dropped.
    pub fn held_to_park(&mut self, room: RecordUse) -> Vec<Entry> {
        while !self.waiting.is_empty()
            && (self.waiting.len() as u64 > room.entries || self.waiting_bytes as u64 > room.bytes)
        {
            self.drop_oldest();
        }
        self.waiting.iter().cloned().collect()
    }

    /// Notes that the held reads and then this effect were recorded.
    pub fn record(&mut self, effect: &Entry) {
        let reads = self.waiting.iter().filter(|entry| !entry.failed);
        let recorded = RecordUse::of(reads.chain([effect]));
        self.used = self.used.plus(recorded);
        self.waiting.retain(|entry| entry.failed);
        self.waiting_bytes = self.waiting.iter().map(Entry::bytes).sum();
        self.recorded_to = effect.seq + 1;
        self.has_effect = true;
        self.resumes = false;
    }

    /// Notes that the held reads and failed changes were recorded.
    pub fn record_held(&mut self) {
        if let Some(last) = self.waiting.back() {
            self.recorded_to = self.recorded_to.max(last.seq + 1);
        }
        self.used = self.used.plus(RecordUse::of(&self.waiting));
        self.waiting.clear();
        self.waiting_bytes = 0;
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.waiting.pop_front() {
            self.waiting_bytes -= oldest.bytes();
        }
    }

    /// Returns the recorded effects that this attempt did not ask for, in order.
    #[must_use]
    pub fn diverged(&self) -> Vec<&Entry> {
        let mut left: Vec<_> = self
            .recorded
            .values()
            .flatten()
            .filter(|e| e.effect)
            .collect();
        left.sort_by_key(|e| e.seq);
        left
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn entry(seq: u32, name: &str, effect: bool) -> Entry {
        Entry {
            seq,
            kind: CallKind::Http,
            name: digest(name),
            effect,
            in_doubt: false,
            parked: false,
            failed: false,
            request: name.to_owned(),
            result: String::new(),
            reply: format!("{name} {seq}"),
            at: Timestamp::UNIX_EPOCH,
            clock: Timestamp::UNIX_EPOCH,
        }
    }

    fn digest(name: &str) -> CallName {
        CallName::Digest(name.to_owned())
    }

    fn asked(replay: &mut Replay, name: &str) -> Option<String> {
        replay
            .answer(CallKind::Http, &digest(name))
            .map(|e| e.reply)
    }

    #[test]
    fn an_empty_record_answers_nothing() {
        let mut replay = Replay::new(vec![], false);
        assert_eq!(asked(&mut replay, "a"), None);
        assert_eq!(replay.take_seq(), 0);
    }

    #[test]
    fn reads_are_answered_up_to_the_last_effect_and_live_after_it() {
        let record = vec![
            entry(0, "read", false),
            entry(1, "post", true),
            entry(2, "read", false),
        ];
        let mut replay = Replay::new(record, false);
        assert_eq!(asked(&mut replay, "read").unwrap(), "read 0");
        assert_eq!(asked(&mut replay, "post").unwrap(), "post 1");
        assert_eq!(asked(&mut replay, "read"), None);
        assert_eq!(asked(&mut replay, "post"), None);
        assert!(replay.diverged().is_empty());
        assert_eq!(replay.take_seq(), 2, "what no retry needs is replaced");
    }

    fn parked(entry: Entry) -> Entry {
        Entry {
            parked: true,
            ..entry
        }
    }

    #[test]
    fn a_parked_step_is_answered_up_to_where_it_was_parked_until_its_first_live_effect() {
        let record = vec![
            entry(0, "a", false),
            entry(1, "b", false),
            parked(entry(2, "a", false)),
        ];
        let mut replay = Replay::new(record.clone(), false);
        assert_eq!(replay.clock(), None, "what it sends may say how late it is");
        assert_eq!(asked(&mut replay, "a").unwrap(), "a 0");
        assert_eq!(asked(&mut replay, "new"), None, "and the rest is answered");
        assert_eq!(asked(&mut replay, "b").unwrap(), "b 1");
        assert_eq!(asked(&mut replay, "a").unwrap(), "a 2");
        assert_eq!(asked(&mut replay, "a"), None);
        assert_eq!((replay.take_seq(), replay.has_effect()), (3, false));
        let mut replay = Replay::new(record, false);
        assert_eq!(asked(&mut replay, "a").unwrap(), "a 0");
        replay.go_live();
        assert_eq!(asked(&mut replay, "b"), None);
        assert!(replay.diverged().is_empty());
    }

    #[test]
    fn a_step_that_is_parked_after_an_effect_repeats_neither_the_effect_nor_the_reads() {
        let mut post = entry(1, "post", true);
        post.clock = Timestamp::from_second(10).unwrap();
        let record = vec![
            entry(0, "read", false),
            post,
            parked(entry(2, "read", false)),
            // Of an attempt that was parked once more.
            parked(entry(3, "other", false)),
            entry(4, "beyond", false),
        ];
        let mut replay = Replay::new(record, false);
        assert_eq!(replay.clock(), Timestamp::from_second(10).ok());
        assert_eq!(asked(&mut replay, "read").unwrap(), "read 0");
        assert_eq!(asked(&mut replay, "post").unwrap(), "post 1");
        assert_eq!(replay.clock(), None);
        assert_eq!(asked(&mut replay, "read").unwrap(), "read 2");
        assert_eq!(asked(&mut replay, "other").unwrap(), "other 3");
        assert_eq!(asked(&mut replay, "beyond"), None);
        assert!(replay.has_effect());
    }

    #[test]
    fn changes_that_failed_are_on_record_for_the_attempt_that_goes_on_and_a_retry_makes_them_again()
    {
        let failed = |entry| Entry {
            failed: true,
            ..entry
        };
        let record = vec![
            failed(entry(0, "update", false)),
            entry(1, "post", true),
            parked(failed(entry(2, "update", false))),
        ];
        let mut replay = Replay::new(record.clone(), true);
        assert_eq!(asked(&mut replay, "update").unwrap(), "update 0");
        assert_eq!(asked(&mut replay, "post").unwrap(), "post 1");
        assert_eq!(asked(&mut replay, "update").unwrap(), "update 2");
        assert_eq!(asked(&mut replay, "update"), None);
        let mut replay = Replay::new(record, false);
        assert_eq!(asked(&mut replay, "update"), None);
        assert_eq!(asked(&mut replay, "post").unwrap(), "post 1");
        assert_eq!(replay.take_seq(), 3);
    }

    #[test]
    fn a_failed_change_is_recorded_when_the_step_is_parked_also_after_an_effect() {
        let room = RecordUse {
            entries: 9,
            bytes: 9_999,
        };
        let seqs = |held: Vec<Entry>| -> Vec<_> { held.iter().map(|e| e.seq).collect() };
        let mut replay = Replay::new(vec![], false);
        replay.hold(entry(0, "read", false));
        replay.hold(Entry {
            failed: true,
            ..entry(1, "update", false)
        });
        assert_eq!(seqs(replay.held(room)), [0], "an effect needs no other");
        replay.record(&entry(2, "post", true));
        assert_eq!((replay.used().entries, replay.recorded_to()), (2, 3));
        replay.hold(entry(3, "read", false));
        assert_eq!(seqs(replay.held_to_park(room)), [1, 3]);
        replay.record_held();
        assert_eq!((replay.used().entries, replay.recorded_to()), (4, 4));
        assert!(replay.held_to_park(room).is_empty());
    }

    #[test]
    fn where_a_step_was_parked_means_nothing_once_an_effect_is_on_record_after_it() {
        let record = vec![parked(entry(0, "read", false)), entry(1, "post", true)];
        let mut replay = Replay::new(record, false);
        assert_eq!(asked(&mut replay, "read").unwrap(), "read 0");
        assert_eq!(asked(&mut replay, "post").unwrap(), "post 1");
        assert_eq!(asked(&mut replay, "read"), None);
    }

    #[test]
    fn the_clock_is_that_of_the_next_effect_until_none_is_left() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let made = |seq, name, clock| Entry {
            clock: at(clock),
            ..entry(seq, name, true)
        };
        let reads = Replay::new(
            vec![entry(0, "read", false), entry(1, "read", false)],
            false,
        );
        assert_eq!(reads.clock(), None, "reads alone hold no clock back");
        // The first attempt made two effects, the second one another at its own time.
        let record = vec![made(0, "a", 10), made(1, "b", 10), made(2, "c", 99)];
        let mut replay = Replay::new(record.clone(), false);
        assert_eq!(replay.clock(), Some(at(10)));
        for (name, clock) in [("a", Some(10)), ("b", Some(99)), ("c", None)] {
            asked(&mut replay, name).unwrap();
            assert_eq!(replay.clock(), clock.map(at), "{name}");
        }
        let mut replay = Replay::new(record, false);
        for (name, clock) in [("c", 10), ("unknown", 10), ("a", 10)] {
            asked(&mut replay, name);
            assert_eq!(replay.clock(), Some(at(clock)), "{name}: b is left");
        }
    }

    #[test]
    fn equal_requests_are_told_apart_by_their_place() {
        let record = vec![entry(0, "post", true), entry(1, "post", true)];
        let mut replay = Replay::new(record, false);
        assert_eq!(asked(&mut replay, "post").unwrap(), "post 0");
        assert_eq!(asked(&mut replay, "post").unwrap(), "post 1");
        assert_eq!(asked(&mut replay, "post"), None);
    }

    #[test]
    fn the_order_of_different_requests_does_not_matter() {
        let record = vec![entry(0, "a", true), entry(1, "b", true)];
        let mut replay = Replay::new(record, false);
        assert_eq!(asked(&mut replay, "b").unwrap(), "b 1");
        assert_eq!(asked(&mut replay, "new"), None);
        assert_eq!(asked(&mut replay, "a").unwrap(), "a 0");
    }

    #[test]
    fn effects_not_asked_for_again_have_diverged_and_reads_have_not() {
        let record = vec![
            entry(0, "read", false),
            entry(1, "a", true),
            entry(2, "b", true),
        ];
        let mut replay = Replay::new(record, false);
        assert!(asked(&mut replay, "a").is_some());
        let left: Vec<_> = replay.diverged().iter().map(|e| e.seq).collect();
        assert_eq!(left, [2]);
    }

    #[test]
    fn held_reads_are_bounded_and_the_oldest_go() {
        let mut replay = Replay::new(vec![], false);
        for seq in 0..3 {
            replay.hold(Entry {
                reply: "x".repeat(WAITING_BYTES_MAX / 2 - 500),
                ..entry(seq, "read", false)
            });
        }
        let room = |entries, bytes| RecordUse { entries, bytes };
        let mut held = |room| -> Vec<_> { replay.held(room).iter().map(|e| e.seq).collect() };
        assert_eq!(held(room(9, u64::MAX)), [1, 2]);
        assert_eq!(held(room(1, u64::MAX)), [2]);
        assert!(held(room(9, 1_000)).is_empty());
    }

    #[test]
    fn what_is_recorded_is_counted_over_all_attempts() {
        let record = vec![entry(0, "read", false), entry(1, "post", true)];
        let mut replay = Replay::new(record.clone(), false);
        assert_eq!(replay.used(), RecordUse::of(&record));
        replay.hold(entry(2, "read", false));
        assert_eq!(replay.used().entries, 2, "not on record yet");
        replay.record(&entry(3, "post", true));
        assert_eq!((replay.used().entries, replay.recorded_to()), (4, 4));
        assert_eq!(replay.used().bytes, 2 * RecordUse::of(&record).bytes);
        replay.hold(entry(4, "read", false));
        replay.record_held();
        assert_eq!((replay.used().entries, replay.recorded_to()), (5, 5));
        assert!(
            replay
                .held(RecordUse {
                    entries: 9,
                    bytes: 9_999
                })
                .is_empty()
        );
    }
}
