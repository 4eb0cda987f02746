//! Doubts: calls of a step that may have happened although no success is recorded.

use serde::{Deserialize, Serialize};

use super::{CallKind, CallName, Entry};

/// How many doubts a step has at most before they are merged.
pub const DOUBTS_MAX: usize = 16;

/// The longest text in a doubt, in bytes.
const LINE_BYTES_MAX: usize = 200;

/// The part of a call that identifies it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedCall {
    /// The interface.
    pub kind: CallKind,
    /// The name by which a retry finds it.
    pub name: CallName,
    /// One line for people.
    pub request: String,
}

/// What may have happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Suspect {
    /// This call: it was sent, and its result is unknown.
    Call(NamedCall),
    /// The call that was in progress when the attempt was interrupted, if any; which one is unknown.
    UnderWay,
    /// More calls than are kept one by one.
    Several,
}

/// A doubt: something that may have happened without being recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// The attempt that it comes from, as the story numbers them; the latest of several.
    pub attempt: u32,
    /// How many attempts or calls it comes from.
    pub times: u32,
    /// Why the result is unknown.
    pub why: String,
    /// What may have happened.
    pub suspect: Suspect,
    /// Effects recorded under this number or a later one were made after the doubt arose.
    pub since_seq: u32,
}

impl Doubt {
    /// Returns what may have happened, for people.
    #[must_use]
    pub fn request(&self) -> &str {
        match &self.suspect {
            Suspect::Call(call) => &call.request,
            Suspect::UnderWay => "a call that was under way",
            Suspect::Several => "more calls than are listed",
        }
    }

    /// Returns whether an effect with this name may be a repetition of the call in doubt.
    ///
    /// A change to `kv` or a timer is committed together with its record, so it is never in doubt. Nor does it resolve a doubt about
    /// another call, even if it took effect only now: the interrupted attempt may have found that value in place.
    fn is_carried_by(&self, kind: CallKind, name: &CallName) -> bool {
        match &self.suspect {
            Suspect::Call(call) => call.kind == kind && call.name == *name,
            Suspect::UnderWay | Suspect::Several => !kind.is_stored_with_record(),
        }
    }
}

/// A call that begins after another call of the attempt ended without a success; stored before it begins. Without this note,
/// it would be unknown after a crash which call was in progress, and the first effect afterwards would be taken for it, though
/// it may be a call that had already ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// The attempt that begins it, as the story numbers them.
    pub attempt: u32,
    /// The call.
    pub call: NamedCall,
    /// The number that its record has at the least if it succeeds.
    pub since_seq: u32,
}

impl Begun {
    /// Returns whether its success is recorded.
    fn is_done(&self, recorded: &[Entry]) -> bool {
        recorded.iter().any(|entry| {
            entry.effect
                && entry.seq >= self.since_seq
                && (entry.kind, &entry.name) == (self.call.kind, &self.call.name)
        })
    }
}

/// What is stored before a call begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The doubts of the step so far.
    pub doubts: Doubts,
    /// The call that begins.
    pub begun: Begun,
}

/// The doubts of one step. Each remains, over further attempts and crashes, until an effect of the step resolves it by being
/// recorded as ambiguous. Those that remain when the step ends are part of its story.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Doubts(Vec<Doubt>);

impl Doubts {
    /// Returns whether there are no doubts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Iterates over the doubts, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Doubt> {
        self.0.iter()
    }

    /// Records that an attempt was interrupted and that the call in progress is unknown.
    pub fn cut_off(&mut self, attempt: u32, why: &str, since_seq: u32) {
        self.add(Doubt {
            attempt,
            times: 1,
            why: why.to_owned(),
            suspect: Suspect::UnderWay,
            since_seq,
        });
    }

    /// Records that an attempt was interrupted after this call had begun, unless the call's success is recorded.
    pub fn cut_off_after(&mut self, begun: &Begun, why: &str, recorded: &[Entry]) {
        if !begun.is_done(recorded) {
            self.sent(begun.attempt, &begun.call, why, begun.since_seq);
        }
    }

    /// Records that this call was sent and may have happened.
    pub fn sent(&mut self, attempt: u32, call: &NamedCall, why: &str, since_seq: u32) {
        if call.kind.is_stored_with_record() {
            return;
        }
        self.add(Doubt {
            attempt,
            times: 1,
            why: cut(why),
            suspect: Suspect::Call(NamedCall {
                request: cut(&call.request),
                ..call.clone()
            }),
            since_seq,
        });
    }

    /// Records that this call failed. If an unknown call was in progress, it may have been this one, so that another effect
    /// that succeeds next does not resolve the doubt.
    pub fn failed(&mut self, call: &NamedCall) {
        let is_call = |doubt: &&Doubt| matches!(&doubt.suspect, Suspect::Call(c) if (c.kind, &c.name) == (call.kind, &call.name));
        let open = self
            .0
            .iter()
            .find(|doubt| doubt.suspect == Suspect::UnderWay);
        if let Some(open) = open
            && self.0.iter().find(is_call).is_none()
        {
            let (attempt, why, since_seq) = (open.attempt, open.why.clone(), open.since_seq);
            self.sent(attempt, call, &why, since_seq);
        }
    }

    /// Returns whether an effect with this name is ambiguous, because it may repeat a call in doubt.
    #[must_use]
    pub fn are_carried_by(&self, kind: CallKind, name: &CallName) -> bool {
        self.0.iter().any(|doubt| doubt.is_carried_by(kind, name))
    }

    /// Removes the doubts that an effect with this name resolves. To be called once the effect's record is durable.
    pub fn carried(&mut self, kind: CallKind, name: &CallName) {
        self.0
            .retain(|doubt| doubt.suspect == Suspect::Several || !doubt.is_carried_by(kind, name));
    }

    /// Removes the doubts that recorded effects resolve: an attempt may have been interrupted after recording one.
    pub fn settle(&mut self, recorded: &[Entry]) {
        for entry in recorded.iter().filter(|entry| entry.in_doubt) {
            self.0.retain(|doubt| {
                doubt.suspect == Suspect::Several
                    || entry.seq < doubt.since_seq
                    || !doubt.is_carried_by(entry.kind, &entry.name)
            });
        }
    }

    fn add(&mut self, new: Doubt) {
        let is_same = |known: &&mut Doubt| match (&known.suspect, &new.suspect) {
            (Suspect::Call(a), Suspect::Call(b)) => (a.kind, &a.name) == (b.kind, &b.name),
            (a, b) => a == b,
        };
        if let Some(known) = self.0.iter_mut().find(is_same) {
            let times = known.times.saturating_add(new.times);
            *known = Doubt { times, ..new };
        } else if self.0.len() < DOUBTS_MAX || new.suspect == Suspect::Several {
            self.0.push(new);
        } else {
            self.add(Doubt {
                suspect: Suspect::Several,
                ..new
            });
        }
    }
}

fn cut(line: &str) -> String {
    line[..line.floor_char_boundary(LINE_BYTES_MAX)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Timestamp;

    fn named(kind: CallKind, name: &str) -> NamedCall {
        NamedCall {
            kind,
            name: CallName::Digest(name.to_owned()),
            request: format!("call {name}"),
        }
    }

    fn http(name: &str) -> NamedCall {
        named(CallKind::Http, name)
    }

    fn carry(doubts: &mut Doubts, call: &NamedCall) -> bool {
        let carried = doubts.are_carried_by(call.kind, &call.name);
        doubts.carried(call.kind, &call.name);
        carried
    }

    fn effect(seq: u32, call: &NamedCall, in_doubt: bool) -> Entry {
        Entry {
            seq,
            kind: call.kind,
            name: call.name.clone(),
            effect: true,
            in_doubt,
            parked: false,
            failed: false,
            request: String::new(),
            result: String::new(),
            reply: String::new(),
            at: Timestamp::UNIX_EPOCH,
            clock: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_first_effect_after_a_cut_off_carries_it_and_kv_never_does() {
        let mut doubts = Doubts::default();
        doubts.cut_off(1, "the server died", 0);
        assert!(!carry(&mut doubts, &named(CallKind::Kv, "k")));
        assert!(!doubts.is_empty());
        assert!(carry(&mut doubts, &http("a")));
        assert!(!carry(&mut doubts, &http("b")));
        assert!(doubts.is_empty());
    }

    #[test]
    fn a_call_whose_end_is_unknown_is_carried_by_its_repetition_alone() {
        let mut doubts = Doubts::default();
        doubts.sent(1, &http("a"), "504", 0);
        assert!(!carry(&mut doubts, &http("b")));
        assert!(!carry(&mut doubts, &named(CallKind::Slack, "a")));
        assert!(carry(&mut doubts, &http("a")));
        assert!(doubts.is_empty());
    }

    #[test]
    fn a_call_that_fails_when_it_is_tried_again_stays_in_doubt_though_another_succeeds() {
        let mut doubts = Doubts::default();
        doubts.cut_off(1, "the server died", 0);
        doubts.failed(&http("a"));
        doubts.failed(&http("a"));
        assert!(carry(&mut doubts, &http("b")));
        let left: Vec<_> = doubts.iter().map(|d| (d.request(), d.times)).collect();
        assert_eq!(left, [("call a", 1)]);
        assert!(carry(&mut doubts, &http("a")));
        assert!(doubts.is_empty());
    }

    #[test]
    fn a_failure_without_a_cut_off_leaves_no_doubt_and_a_change_of_kv_none_either() {
        let mut doubts = Doubts::default();
        doubts.failed(&http("a"));
        doubts.sent(1, &named(CallKind::Kv, "k"), "cut off", 0);
        assert!(doubts.is_empty());
    }

    #[test]
    fn what_the_record_carries_is_settled_and_what_arose_later_is_not() {
        let mut doubts = Doubts::default();
        doubts.sent(1, &http("a"), "504", 3);
        doubts.cut_off(1, "the server died", 3);
        let unchanged = doubts.clone();
        doubts.settle(&[
            effect(2, &http("a"), true),
            effect(3, &http("a"), false),
            effect(4, &named(CallKind::Kv, "k"), true),
        ]);
        assert_eq!(doubts, unchanged);
        doubts.settle(&[effect(5, &http("b"), true)]);
        assert_eq!(doubts.iter().count(), 1, "the call is not the one recorded");
        doubts.settle(&[effect(6, &http("a"), true)]);
        assert!(doubts.is_empty());
    }

    #[test]
    fn a_call_that_was_noted_when_it_began_is_in_doubt_unless_it_is_on_record() {
        let begun = Begun {
            attempt: 2,
            call: http("b"),
            since_seq: 3,
        };
        for (recorded, expected) in [
            (vec![], vec!["call b"]),
            (vec![effect(2, &http("b"), false)], vec!["call b"]),
            (vec![effect(3, &http("a"), false)], vec!["call b"]),
            (vec![effect(3, &http("b"), false)], vec![]),
        ] {
            let mut doubts = Doubts::default();
            doubts.cut_off_after(&begun, "the attempt was cut off", &recorded);
            let left: Vec<_> = doubts.iter().map(Doubt::request).collect();
            assert_eq!(left, expected, "{recorded:?}");
        }
    }

    #[test]
    fn doubts_of_the_same_call_are_counted() {
        let mut doubts = Doubts::default();
        for attempt in 1..=3 {
            doubts.cut_off(attempt, "the server died", 0);
            doubts.sent(attempt, &http("a"), "504", 0);
        }
        let told: Vec<_> = doubts.iter().map(|d| (d.attempt, d.times)).collect();
        assert_eq!(told, [(3, 3), (3, 3)]);
    }

    #[test]
    fn past_the_bound_every_effect_is_ambiguous_until_the_step_ends() {
        let mut doubts = Doubts::default();
        for n in 0..DOUBTS_MAX + 5 {
            doubts.sent(1, &http(&n.to_string()), "504", 0);
        }
        assert_eq!(doubts.iter().count(), DOUBTS_MAX + 1);
        let last = doubts.iter().last().map(|d| (d.suspect.clone(), d.times));
        assert_eq!(last, Some((Suspect::Several, 5)));
        assert!(carry(&mut doubts, &http("other")));
        assert!(carry(&mut doubts, &http("other")));
        assert!(!doubts.is_empty());
    }

    #[test]
    fn lines_are_cut() {
        let mut doubts = Doubts::default();
        let long = NamedCall {
            request: "é".repeat(1_000),
            ..http("a")
        };
        doubts.sent(1, &long, &"x".repeat(1_000), 0);
        let told = doubts.iter().map(|d| (d.request().len(), d.why.len()));
        assert_eq!(told.collect::<Vec<_>>(), [(LINE_BYTES_MAX, LINE_BYTES_MAX)]);
    }
}
