//! How far a delivery is: its steps, and what is known of each.

use serde::{Deserialize, Serialize};

use alert_manager_core::alert::{Block, HandlerName, Labels, StepKind, Timestamp};
use alert_manager_core::journal::{Begun, Dependency, Doubts, Entry, lines};

use super::wake::Woken;

/// How one step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepStatus {
    /// Not finished: never run, or to be tried again.
    Pending,
    /// Finished.
    Done,
    /// Dead-lettered. An enrichment that failed becomes a fact for the actors.
    Failed,
}

/// One step of the pipeline and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Whose.
    pub handler: HandlerName,
    /// Which hook.
    pub kind: StepKind,
    /// How it stands.
    pub status: StepStatus,
    /// Attempts used up, of those that the retry policy allows.
    #[serde(default)]
    pub attempts: u32,
    /// Tries that began, whatever they came to: what a handler is given as its attempt.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tries: u32,
    /// The lease up to which `tries` is counted. After a crash the leases since then count, too.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub counted_to: u32,
    /// Traps, exits and limits met: two end it.
    #[serde(default)]
    pub traps: u32,
    /// Tries that ended because what it depends on did not answer: they use up no attempt.
    #[serde(default)]
    pub unavailable: u32,
    /// True while it is in doubt whether a call of an earlier try happened. Says so to readers; `cut_off` and `doubts`
    /// say what.
    #[serde(default)]
    pub interrupted: bool,
    /// The last lease that the server died under before it was seen what that left in doubt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_off: Option<u32>,
    /// Which calls may have happened without a record.
    #[serde(default, skip_serializing_if = "Doubts::is_empty")]
    pub doubts: Doubts,
    /// The call that the last lease has begun, if it was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<Begun>,
    /// Not before this.
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
    /// What it waits for, besides its time: it goes on as soon as one of them is back.
    #[serde(default, with = "lines", skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<Dependency>,
    /// When it first started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// Time that an enrichment has used, over all attempts, in milliseconds.
    #[serde(default)]
    pub used_ms: u64,
    /// Why the last attempt did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// What it found or did.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub facts: Labels,
    /// What an enrichment found, for people.
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

/// Why a call of an attempt that did not end is in doubt.
const CUT_OFF: &str = "the attempt was cut off";

impl Step {
    /// Counts a try that begins under this lease, and returns its number.
    pub fn begin(&mut self, lease: u32) -> u32 {
        if self.counted_to == 0 {
            // Stored by a version that counted only how tries ended.
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

    /// Returns what is in doubt, given what the step has recorded so far.
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

    /// Sets what is in doubt, of every attempt so far.
    pub fn set_doubts(&mut self, doubts: Doubts) {
        self.interrupted = !doubts.is_empty();
        self.cut_off = None;
        self.begun = None;
        self.doubts = doubts;
    }
}

/// How far a delivery is: its steps, every enrichment before every actor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// In the order in which they run.
    pub steps: Vec<Step>,
    /// What the handlers are given about the storm that it stands for; absent if it stands for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storm: Option<StormGiven>,
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
    /// Makes the pipeline of a plan: `enrich` of each handler, then `act` of each.
    #[must_use]
    pub fn new(handlers: &[HandlerName]) -> Self {
        let steps = [StepKind::Enrich, StepKind::Act]
            .into_iter()
            .flat_map(|kind| {
                handlers.iter().map(move |handler| Step {
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
                })
            })
            .collect();
        Self { steps, storm: None }
    }

    /// Returns the indexes of the steps that are due at `now`, in order: the first enrichment that is not
    /// finished, alone; after the enrichments every actor that need not wait.
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
            Some(place) if is_due(&self.steps[place]) => vec![place],
            Some(_) => Vec::new(),
            None => (0..self.steps.len())
                .filter(|place| is_due(&self.steps[*place]))
                .collect(),
        }
    }

    /// Makes the step due that waits least, if none is due at `now`.
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

    /// Makes due what waits for one of these, which are back; returns which steps that are, and what each has waited for
    /// that is back.
    pub fn wake(&mut self, back: &[Woken]) -> Vec<(usize, Vec<Woken>)> {
        let mut woken = Vec::new();
        for (place, step) in self.steps.iter_mut().enumerate() {
            let waits = |(dependency, _): &&Woken| step.waits_for.contains(dependency);
            let back: Vec<_> = back.iter().filter(waits).cloned().collect();
            if step.status == StepStatus::Pending && !back.is_empty() {
                step.not_before = None;
                woken.push((place, back));
            }
        }
        woken
    }

    /// Makes every step due that waits.
    pub fn hurry(&mut self) {
        for step in self.pending() {
            step.not_before = None;
            step.waits_for.clear();
        }
    }

    /// Returns what its steps wait for.
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

    /// Notes that the server died under every lease from the last that was settled to this one: each step that is not
    /// finished may have been tried, and may have had an effect under way.
    pub fn interrupt(&mut self, lease: u32) {
        for step in self.pending() {
            step.tries += lease.saturating_sub(step.counted_to);
            step.counted_to = lease;
            step.interrupted = true;
            step.cut_off = Some(lease);
        }
    }

    /// Notes that this lease has ended in order: of it, what was tried is counted.
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
}
