//! Answers a retry from the record of the attempts before it, up to its last effect: pure, without I/O.

use std::collections::{HashMap, VecDeque};

use super::{CallKind, CallName, Entry};

/// Reads that wait to be recorded with the next effect, bounded in bytes; past it the oldest go.
const WAITING_BYTES_MAX: usize = 2 << 20;

/// The record of one step while one attempt runs over it.
///
/// A call is known by its name and its place among the calls of that name. Reads are recorded, so
/// that the guest takes the same way again; of calls that change something only those that
/// succeeded are, so that what failed is tried again.
#[derive(Debug)]
pub struct Replay {
    recorded: HashMap<(CallKind, CallName), VecDeque<Entry>>,
    effects_left: usize,
    next_seq: u32,
    crash_unaccounted: bool,
    waiting: VecDeque<Entry>,
    waiting_bytes: usize,
}

impl Replay {
    /// Takes what earlier attempts recorded, in order. `after_crash` says that the attempt before
    /// this one did not end by itself: it may have got one effect further than its record.
    #[must_use]
    pub fn new(entries: Vec<Entry>, after_crash: bool) -> Self {
        let next_seq = entries.iter().map(|e| e.seq + 1).max().unwrap_or(0);
        let prefix_len = entries.iter().rposition(|e| e.effect).map_or(0, |i| i + 1);
        let mut recorded: HashMap<_, VecDeque<_>> = HashMap::new();
        let mut effects_left = 0;
        for entry in entries.into_iter().take(prefix_len) {
            effects_left += usize::from(entry.effect);
            recorded
                .entry((entry.kind, entry.name.clone()))
                .or_default()
                .push_back(entry);
        }
        Self {
            recorded,
            effects_left,
            next_seq,
            crash_unaccounted: after_crash,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
        }
    }

    /// Returns the recorded answer to this call; `None` where it is to go out.
    pub fn answer(&mut self, kind: CallKind, name: &CallName) -> Option<Entry> {
        if self.effects_left == 0 {
            return None;
        }
        let entry = self.recorded.get_mut(&(kind, name.clone()))?.pop_front()?;
        self.effects_left -= usize::from(entry.effect);
        Some(entry)
    }

    /// Returns true where the effect that is about to start may have happened already: it is the
    /// first past the record of an attempt that a crash ended. To be asked once for each.
    ///
    /// A change to `kv` is never in doubt, since it is committed together with its record; that it
    /// is not recorded proves that the crash came before it.
    pub fn starts_in_doubt(&mut self, kind: CallKind) -> bool {
        std::mem::take(&mut self.crash_unaccounted) && kind != CallKind::Kv
    }

    /// Returns the place of the next entry.
    pub fn take_seq(&mut self) -> u32 {
        let seq = self.next_seq;
        self.next_seq += 1;
        seq
    }

    /// Keeps a read until the next effect is recorded.
    pub fn hold(&mut self, entry: Entry) {
        self.waiting_bytes += entry.reply.len();
        self.waiting.push_back(entry);
        while self.waiting_bytes > WAITING_BYTES_MAX {
            let Some(oldest) = self.waiting.pop_front() else {
                break;
            };
            self.waiting_bytes -= oldest.reply.len();
        }
    }

    /// Returns the reads to record before the effect that just succeeded.
    pub fn take_held(&mut self) -> Vec<Entry> {
        self.waiting_bytes = 0;
        self.waiting.drain(..).collect()
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
    use crate::alert::Timestamp;

    fn entry(seq: u32, name: &str, effect: bool) -> Entry {
        Entry {
            seq,
            kind: CallKind::Http,
            name: digest(name),
            effect,
            in_doubt: false,
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
        assert!(!replay.starts_in_doubt(CallKind::Http));
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
        assert_eq!(replay.take_seq(), 3);
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
    fn only_the_first_effect_after_a_crash_is_in_doubt_and_kv_never() {
        let mut replay = Replay::new(vec![], true);
        assert!(replay.starts_in_doubt(CallKind::Slack));
        assert!(!replay.starts_in_doubt(CallKind::Slack));
        let mut replay = Replay::new(vec![], true);
        assert!(!replay.starts_in_doubt(CallKind::Kv));
        assert!(!replay.starts_in_doubt(CallKind::Http));
    }

    #[test]
    fn held_reads_are_bounded_and_the_oldest_go() {
        let mut replay = Replay::new(vec![], false);
        for seq in 0..3 {
            replay.hold(Entry {
                reply: "x".repeat(WAITING_BYTES_MAX / 2),
                ..entry(seq, "read", false)
            });
        }
        let held: Vec<_> = replay.take_held().iter().map(|e| e.seq).collect();
        assert_eq!(held, [1, 2]);
        assert!(replay.take_held().is_empty());
    }
}
