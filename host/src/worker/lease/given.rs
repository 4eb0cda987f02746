//! What a step is given besides the alert: the host's own facts, the storm that it stands for, and what the enrichments before it
//! found.

use std::time::Duration;

use super::Lease;
use crate::alert::{Enrichment, Labels, StepKind, Timestamp};
use crate::gate::{GateAsk, GateName};
use crate::journal::{Dependency, Entry};
use crate::queue::{Step, StepStatus};

/// A delivery is late if it is older than this when a step of it runs.
const LATE_AGE_MIN: Duration = Duration::from_secs(2 * 60);

/// The fact that says why a step is late.
const LATE_WHY: &str = "late.why";

impl Lease {
    /// Returns what the step is given as found. No handler can replace the host's own facts.
    pub(super) fn found(&self, index: usize) -> Enrichment {
        let progress = &self.leased.progress;
        let priority = self.leased.priority.as_str().to_owned();
        let mut own = vec![("priority".to_owned(), priority)];
        if let Some(why) = &progress.steps[index].late_why {
            own.push((LATE_WHY.to_owned(), why.clone()));
        }
        let mut own = Labels::from_iter(own);
        let mut found = match &progress.found {
            Some(found) => for_a_timer(found),
            None => Enrichment::default(),
        };
        if let Some(storm) = &progress.storm {
            own = own.merged(&storm.facts);
            found.blocks.clone_from(&storm.blocks);
        }
        for step in &progress.steps[..index] {
            found.add(found_by(step));
        }
        found.facts = found.facts.merged(&own);
        found
    }

    /// Sets why the step is late, if it is, and stores that before the step runs.
    pub(super) fn explain_lateness(&mut self, index: usize, recorded: &[Entry]) {
        let age = self.age();
        let was_down = self.leased.after_crash || age > self.worker.started.elapsed();
        let step = &mut self.leased.progress.steps[index];
        let late = (age > LATE_AGE_MIN).then_some(Late {
            age,
            now: Timestamp::now(),
            was_down,
        });
        let why = late_why(step, recorded, late);
        if step.late_why == why {
            return;
        }
        step.late_why = why;
        let (lease, progress) = (self.leased.lease, &self.leased.progress);
        self.worker.queue.progress(lease, progress);
    }
}

/// Returns what a timer's step is given of what was found: all but why the delivery that has set the timer was late.
fn for_a_timer(found: &Enrichment) -> Enrichment {
    let facts = found.facts.iter();
    Enrichment {
        facts: facts.filter(|(name, _)| *name != LATE_WHY).collect(),
        blocks: found.blocks.clone(),
    }
}

/// Returns the reason that a step is given for being late. It stays as it is once an effect is on record: other facts would make
/// other requests of a retry.
fn late_why(step: &Step, recorded: &[Entry], late: Option<Late>) -> Option<String> {
    if step.has_effect || recorded.iter().any(|entry| entry.effect) {
        return step.late_why.clone();
    }
    late.map(|late| reason(step, late))
}

/// A delivery that is late.
#[derive(Clone, Copy, Debug)]
struct Late {
    age: Duration,
    now: Timestamp,
    /// True if the server was down meanwhile.
    was_down: bool,
}

/// Returns what it has waited for. What made it late stays the reason if it has waited for a shorter time for its turn since.
fn reason(step: &Step, late: Late) -> String {
    if let Some(dependency) = step.waits_for.first() {
        return match dependency {
            Dependency::Origin(origin) => format!("{origin} did not answer"),
            Dependency::Slack => "Slack did not answer".to_owned(),
            Dependency::SlackChannel(channel) => format!("Slack refused the channel {channel}"),
            Dependency::Handler(handler) => format!("the handler {handler} was paused"),
        };
    }
    if let Some((since, gate)) = &step.parked {
        let waited = Duration::try_from(late.now.duration_since(*since)).unwrap_or_default();
        return match (&step.late_why, step.not_before) {
            // A step that was parked fails without a try only if its handler is not loaded.
            (_, Some(_)) => format!("the handler {} was not loaded", step.handler),
            (Some(why), None) if waited < late.age / 2 => why.clone(),
            _ => format!("it waited for a rate limit ({gate})"),
        };
    }
    if let Some(why) = &step.late_why {
        return why.clone();
    }
    if step.last_error.is_some() {
        return "an earlier attempt failed".to_owned();
    }
    if late.was_down {
        return "the server was down".to_owned();
    }
    format!(
        "it waited for a free slot of {}, or for an earlier delivery of its alert",
        step.handler
    )
}

/// Returns the gate's name for people: `slack channel alerts`, by its name below `slack.channels`.
pub(super) fn gate_name(gate: &GateAsk) -> String {
    match gate.name {
        GateName::SlackChannel(_) => format!("slack channel {}", gate.label),
        _ => gate.name.to_string(),
    }
}

/// Returns what an enrichment found, or that it failed.
fn found_by(step: &Step) -> Enrichment {
    match (step.kind, step.status) {
        (StepKind::Enrich, StepStatus::Done) => Enrichment {
            facts: step.facts.clone(),
            blocks: step.blocks.clone(),
        },
        (StepKind::Enrich, StepStatus::Failed) => {
            let reason = step.last_error.as_deref().unwrap_or("failed");
            Enrichment::failed(&step.handler, reason)
        }
        _ => Enrichment::default(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::alert::HandlerName;
    use crate::journal::{CallKind, CallName};
    use crate::queue::Progress;

    fn actor() -> Step {
        let mut progress = Progress::new(&[HandlerName::new("notify")]);
        progress.steps.pop().unwrap()
    }

    fn effect() -> Entry {
        Entry {
            seq: 0,
            kind: CallKind::Slack,
            name: CallName::Key("k".to_owned()),
            effect: true,
            in_doubt: false,
            parked: false,
            failed: false,
            request: String::new(),
            result: String::new(),
            reply: String::new(),
            at: Timestamp::UNIX_EPOCH,
            clock: Timestamp::UNIX_EPOCH,
        }
    }

    /// One that is three minutes old.
    fn late(was_down: bool) -> Option<Late> {
        Some(Late {
            age: Duration::from_secs(180),
            now: Timestamp::UNIX_EPOCH + Duration::from_secs(180),
            was_down,
        })
    }

    #[test]
    fn a_late_step_is_told_what_it_waited_for() {
        let why = |step: &Step, was_down| late_why(step, &[], late(was_down)).unwrap();
        let mut step = actor();
        assert_eq!(late_why(&step, &[], None), None, "it is not late");
        assert!(why(&step, false).starts_with("it waited for a free slot of notify"));
        assert_eq!(why(&step, true), "the server was down");
        step.last_error = Some("no".to_owned());
        assert_eq!(why(&step, true), "an earlier attempt failed");
        for (dependency, expected) in [
            (Dependency::Slack, "Slack did not answer"),
            (
                Dependency::Origin("https://a.example".to_owned()),
                "https://a.example did not answer",
            ),
        ] {
            step.waits_for = vec![dependency];
            assert_eq!(why(&step, true), expected);
        }
        step.waits_for.clear();
        step.parked = Some((Timestamp::UNIX_EPOCH, "slack channel alerts".to_owned()));
        assert_eq!(
            why(&step, true),
            "it waited for a rate limit (slack channel alerts)"
        );
        // What it waited for after that is what delays it now.
        step.not_before = Some(Timestamp::UNIX_EPOCH);
        assert_eq!(why(&step, true), "the handler notify was not loaded");
        step.waits_for = vec![Dependency::Handler("notify".to_owned())];
        assert_eq!(why(&step, true), "the handler notify was paused");
    }

    #[test]
    fn the_long_wait_is_the_reason_and_not_the_short_one_after_it() {
        let held = "Slack refused the channel alerts";
        let mut step = actor();
        step.late_why = Some(held.to_owned());
        for (parked_at, expected) in [
            (179, held),
            (10, "it waited for a rate limit (slack channel alerts)"),
        ] {
            let since = Timestamp::UNIX_EPOCH + Duration::from_secs(parked_at);
            step.parked = Some((since, "slack channel alerts".to_owned()));
            assert_eq!(late_why(&step, &[], late(false)).unwrap(), expected);
        }
    }

    #[test]
    fn the_reason_for_being_late_stays_once_an_effect_is_on_record() {
        let mut step = actor();
        step.waits_for = vec![Dependency::Slack];
        // The server died after the effect, and before that was stored with the step.
        assert_eq!(late_why(&step, &[effect()], late(true)), None);
        step.has_effect = true;
        assert_eq!(
            late_why(&step, &[], late(true)),
            None,
            "it was not late then"
        );
        step.late_why = Some("the server was down".to_owned());
        assert_eq!(late_why(&step, &[], None), step.late_why);
    }
}
