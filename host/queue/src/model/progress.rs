//! The progress of a delivery: the state of its steps.

use serde::{Deserialize, Serialize};

use alert_manager_core::alert::{Block, Enrichment, HandlerName, Labels, StepKind, Timestamp};
use alert_manager_core::gate::GateName;
use alert_manager_core::journal::{Begun, Dependency, Doubts, Entry, lines};

use super::wake::Woken;

/// The status of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepStatus {
    /// To be run, for the first time or again.
    Pending,
    /// Finished.
    Done,
    /// Failed for good. A failed enrichment becomes a fact for the actors.
    Failed,
}

/// One step of a pipeline, and its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its handler.
    pub handler: HandlerName,
    /// Its hook.
    pub kind: StepKind,
    /// Its status.
    pub status: StepStatus,
    /// How many of the attempts that the retry policy allows are used.
    #[serde(default)]
    pub attempts: u32,
    /// How many tries have begun, including those that use no attempt. A handler gets it as its attempt.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tries: u32,
    /// The lease up to which `tries` is complete. After a crash, each lease since then counts as a try.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub counted_to: u32,
    /// How many tries ended with a trap, an exit or a limit. Two end the step.
    #[serde(default)]
    pub traps: u32,
    /// How many tries ended because a dependency was not available. They use no attempt.
    #[serde(default)]
    pub unavailable: u32,
    /// True if a call of an earlier try may have happened without a record. `cut_off` and `doubts` have the details.
    #[serde(default)]
    pub interrupted: bool,
    /// The last lease under which the server died, until the step's next try has derived `doubts` from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_off: Option<u32>,
    /// The calls that may have happened without a record.
    #[serde(default, skip_serializing_if = "Doubts::is_empty")]
    pub doubts: Doubts,
    /// The last call that was begun, if it was stored before it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<Begun>,
    /// When it may run again; absent if it may run now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// True if it has ended because of its age (`retry.max_age`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expired: bool,
    /// True if an effect of it is on record.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_effect: bool,
    /// Why its message is late, for people; fixed once it has an effect on record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_why: Option<String>,
    /// Since when, and at which gate, it first waited for its turn since it last did something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<(Timestamp, String)>,
    /// Dependencies whose recovery makes it due before `not_before`.
    #[serde(default, with = "lines", skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<Dependency>,
    /// When it first started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// How long an enrichment has run in all attempts, in milliseconds.
    #[serde(default)]
    pub used_ms: u64,
    /// Why the last attempt did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// The facts that it returned.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub facts: Labels,
    /// The blocks that an enrichment returned, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<Block>,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the shape that serde asks for"
)]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// The reason of doubts about an attempt that did not end.
const CUT_OFF: &str = "the attempt was cut off";

impl Step {
    /// Returns a step that has not run.
    fn new(handler: &HandlerName, kind: StepKind) -> Self {
        Self {
            handler: handler.clone(),
            kind,
            status: StepStatus::Pending,
            attempts: 0,
            tries: 0,
            counted_to: 0,
            traps: 0,
            unavailable: 0,
            interrupted: false,
            cut_off: None,
            doubts: Doubts::default(),
            begun: None,
            not_before: None,
            expired: false,
            has_effect: false,
            late_why: None,
            parked: None,
            waits_for: Vec::new(),
            started_at: None,
            used_ms: 0,
            last_error: None,
            facts: Labels::default(),
            blocks: Vec::new(),
        }
    }

    /// Counts a try that begins under this lease, and returns its number.
    pub fn begin(&mut self, lease: u32) -> u32 {
        if self.counted_to == 0 {
            // An earlier version stored it, which did not count tries.
            self.tries = self.tries.max(self.attempts + self.unavailable);
        }
        self.tries += 1;
        self.counted_to = lease;
        self.tries
    }

    /// Takes the last try back: it ended where the delivery has to wait for its turn, and nothing failed.
    pub fn take_back(&mut self) {
        self.tries = self.tries.saturating_sub(1);
    }

    /// Returns the calls in doubt, given the recorded calls of the step.
    #[must_use]
    pub fn doubts_over(&self, recorded: &[Entry], lease: u32) -> Doubts {
        let mut doubts = self.doubts.clone();
        doubts.settle(recorded);
        let by_flag = self.interrupted && self.doubts.is_empty();
        let cut_off = self.cut_off.or(by_flag.then_some(lease.saturating_sub(1)));
        if let Some(begun) = &self.begun {
            doubts.cut_off_after(begun, CUT_OFF, recorded);
        }
        let is_noted = |attempt| self.begun.as_ref().is_some_and(|b| b.attempt == attempt);
        if let Some(attempt) = cut_off.filter(|attempt| !is_noted(*attempt)) {
            let recorded_to = recorded.last().map_or(0, |entry| entry.seq + 1);
            doubts.cut_off(attempt, CUT_OFF, recorded_to);
        }
        doubts
    }

    /// Replaces the calls in doubt by those of all attempts so far.
    pub fn set_doubts(&mut self, doubts: Doubts) {
        self.interrupted = !doubts.is_empty();
        self.cut_off = None;
        self.begun = None;
        self.doubts = doubts;
    }
}

/// The steps of a delivery: all enrichments, then all actors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// What the handlers are given about the storm that it stands for; absent if it stands for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storm: Option<StormGiven>,
    /// What `act` is given as found if it is called for a timer; absent for an alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Enrichment>,
    /// How many stood for its storm before it, one after the other, and died without an effect.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub takeovers: u32,
    /// Which of the updates that it has asked for are the latest of their messages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub updates: Vec<UpdateOrder>,
}

/// Where an update of a message stands among the others of that message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateOrder {
    /// The gate of the message.
    #[serde(with = "gate_name")]
    pub message: GateName,
    /// The later it was first asked for, the higher.
    pub number: u64,
    /// True if a later one was sent: this one need not be made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_outdated: bool,
}

mod gate_name {
    use alert_manager_core::gate::GateName;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(name: &GateName, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(name)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<GateName, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// What the handlers are given about a storm, fixed when its representative is first leased: other facts would make other
/// requests of a retry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StormGiven {
    /// `storm.id`, `storm.count` and the others.
    pub facts: Labels,
    /// What differs among the alerts.
    pub blocks: Vec<Block>,
}

impl Progress {
    /// Returns the steps of a pipeline: `enrich` of each handler, then `act` of each.
    #[must_use]
    pub fn new(handlers: &[HandlerName]) -> Self {
        let steps = [StepKind::Enrich, StepKind::Act]
            .into_iter()
            .flat_map(|kind| handlers.iter().map(move |handler| Step::new(handler, kind)));
        Self {
            steps: steps.collect(),
            ..Self::default()
        }
    }

    /// Returns the one step of a timer: `act` of its handler, which is given this as found.
    #[must_use]
    pub fn of_timer(handler: &HandlerName, found: Enrichment) -> Self {
        Self {
            steps: vec![Step::new(handler, StepKind::Act)],
            found: Some(found),
            ..Self::default()
        }
    }

    /// Returns the indexes of the steps that are due at `now`, in order: the first pending enrichment alone; if there is none, every
    /// actor that is due.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Vec<usize> {
        let is_due = |step: &Step| {
            step.status == StepStatus::Pending && step.not_before.is_none_or(|at| at <= now)
        };
        let enrichment = self
            .steps
            .iter()
            .position(|s| s.kind == StepKind::Enrich && s.status == StepStatus::Pending);
        match enrichment {
            Some(index) if is_due(&self.steps[index]) => vec![index],
            Some(_) => Vec::new(),
            None => (0..self.steps.len())
                .filter(|index| is_due(&self.steps[*index]))
                .collect(),
        }
    }

    /// Makes the step due that would be due first, if none is due at `now`.
    pub fn make_due(&mut self, now: Timestamp) {
        if !self.due(now).is_empty() {
            return;
        }
        let pending = self.steps.iter_mut();
        let first = pending
            .filter(|step| step.status == StepStatus::Pending)
            .min_by_key(|step| step.not_before);
        if let Some(step) = first {
            step.not_before = None;
        }
    }

    /// Makes the steps due that wait for one of these dependencies; returns the index of each, with those that it waited for.
    pub fn wake(&mut self, recovered: &[Woken]) -> Vec<(usize, Vec<Woken>)> {
        let mut woken = Vec::new();
        for (index, step) in self.steps.iter_mut().enumerate() {
            let waits = |(dependency, _): &&Woken| step.waits_for.contains(dependency);
            let by: Vec<_> = recovered.iter().filter(waits).cloned().collect();
            if step.status == StepStatus::Pending && !by.is_empty() {
                step.not_before = None;
                woken.push((index, by));
            }
        }
        woken
    }

    /// Makes every pending step due.
    pub fn make_all_due(&mut self) {
        for step in self.pending() {
            step.not_before = None;
            step.waits_for.clear();
        }
    }

    /// Returns the dependencies that its pending steps wait for.
    #[must_use]
    pub fn waits_for(&self) -> Vec<Dependency> {
        let mut all = Vec::new();
        let pending = self.steps.iter();
        let pending = pending.filter(|step| step.status == StepStatus::Pending);
        for dependency in pending.flat_map(|step| &step.waits_for) {
            if !all.contains(dependency) {
                all.push(dependency.clone());
            }
        }
        all
    }

    /// Returns whether nothing of it is on record or in doubt: another delivery may then stand for it.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.steps.iter().all(|step| {
            let is_untouched = step.kind == StepKind::Enrich || step.status == StepStatus::Pending;
            let is_certain =
                step.doubts.is_empty() && step.begun.is_none() && step.cut_off.is_none();
            is_untouched && is_certain && !step.interrupted && !step.has_effect
        })
    }

    /// Returns the gate at which, or the dependency for which, an actor that has failed last waited.
    #[must_use]
    pub fn waited_for(&self) -> Option<String> {
        let actors = self.steps.iter().filter(|step| step.kind == StepKind::Act);
        let mut failed = actors.filter(|step| step.status == StepStatus::Failed);
        failed.find_map(|step| {
            let dependency = step.waits_for.first().map(ToString::to_string);
            dependency.or_else(|| step.parked.as_ref().map(|(_, gate)| gate.clone()))
        })
    }

    /// Records that the server died under every lease from the last that was settled to this one: each pending step may have been
    /// tried, and may have had a call under way.
    pub fn interrupt(&mut self, lease: u32) {
        for step in self.pending() {
            step.tries += lease.saturating_sub(step.counted_to);
            step.counted_to = lease;
            step.interrupted = true;
            step.cut_off = Some(lease);
        }
    }

    /// Records that a lease was settled, so that its tries are counted already.
    pub fn end_lease(&mut self, lease: u32) {
        for step in self.pending() {
            step.counted_to = lease;
        }
    }

    fn pending(&mut self) -> impl Iterator<Item = &mut Step> {
        let steps = self.steps.iter_mut();
        steps.filter(|step| step.status == StepStatus::Pending)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn every_try_that_began_is_counted_also_those_that_the_server_died_under() {
        let mut progress = Progress::new(&[HandlerName::new("notify")]);
        assert_eq!(progress.steps[1].begin(1), 1);
        progress.end_lease(1);
        // A lease that only waited for a permit is no try.
        progress.end_lease(2);
        assert_eq!(progress.steps[1].begin(3), 2);
        // The server died under leases 3 and 4, and nothing was stored of either.
        let mut progress = Progress::new(&[HandlerName::new("notify")]);
        progress.steps[1].begin(1);
        progress.end_lease(2);
        progress.interrupt(4);
        assert_eq!(progress.steps[1].begin(5), 4);
        assert_eq!(progress.steps[1].attempts, 0, "the retry policy's count");
    }

    #[test]
    fn what_an_earlier_version_stored_goes_on_in_doubt_and_in_its_count() {
        let json = r#"{"handler":"notify","kind":"act","status":"pending","attempts":2,
            "unavailable":3,"interrupted":true}"#;
        let mut step: Step = serde_json::from_str(json).unwrap();
        let doubts = step.doubts_over(&[], 7);
        let left: Vec<_> = doubts.iter().map(|d| (d.request(), d.attempt)).collect();
        assert_eq!(left, [("a call that was under way", 6)]);
        assert_eq!(step.begin(7), 6);
    }

    #[test]
    fn what_an_actor_waited_for_last_is_what_it_waited_for() {
        let mut progress = Progress::new(&[HandlerName::new("notify")]);
        let actor = &mut progress.steps[1];
        actor.status = StepStatus::Failed;
        actor.parked = Some((Timestamp::UNIX_EPOCH, "slack channel alerts".to_owned()));
        let gate = Some("slack channel alerts".to_owned());
        assert_eq!(progress.waited_for(), gate);
        progress.steps[1].waits_for = vec![Dependency::Slack];
        assert_eq!(progress.waited_for(), Some(Dependency::Slack.to_string()));
    }

    #[test]
    fn a_delivery_is_clean_until_something_of_it_is_on_record_in_doubt_or_done() {
        let clean = || Progress::new(&[HandlerName::new("notify")]);
        let mut parked = clean();
        assert_eq!(parked.steps[1].begin(1), 1);
        parked.steps[1].take_back();
        parked.end_lease(1);
        assert_eq!(parked.steps[1].begin(2), 1, "the same try");
        parked.steps[0].status = StepStatus::Done;
        assert!(parked.is_clean());
        let changes: [fn(&mut Progress); 4] = [
            |progress| progress.steps[0].has_effect = true,
            |progress| progress.steps[1].has_effect = true,
            |progress| progress.steps[1].status = StepStatus::Done,
            |progress| progress.interrupt(3),
        ];
        for (n, change) in changes.into_iter().enumerate() {
            let mut progress = clean();
            change(&mut progress);
            assert!(!progress.is_clean(), "{n}");
        }
    }
}
