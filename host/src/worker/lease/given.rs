//! What a step is given besides the alert: the host's own facts, the storm that it stands for, and what the enrichments before it
//! found.

use std::time::Duration;

use super::Lease;
use crate::alert::{Enrichment, Labels, StepKind};
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
        let why = late_why(step, recorded, age > LATE_AGE_MIN, was_down);
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
fn late_why(step: &Step, recorded: &[Entry], is_late: bool, was_down: bool) -> Option<String> {
    if step.has_effect || recorded.iter().any(|entry| entry.effect) {
        return step.late_why.clone();
    }
    is_late.then(|| reason(step, was_down))
}

fn reason(step: &Step, was_down: bool) -> String {
    if let Some((_, gate)) = &step.parked {
        return format!("it waited for a rate limit ({gate})");
    }
    if let Some(dependency) = step.waits_for.first() {
        return match dependency {
            Dependency::Origin(origin) => format!("{origin} did not answer"),
            Dependency::Slack => "Slack did not answer".to_owned(),
            Dependency::SlackChannel(channel) => format!("Slack refused the channel {channel}"),
            Dependency::Handler(handler) => format!("the handler {handler} was paused"),
        };
    }
    if let Some(why) = &step.late_why {
        return why.clone();
    }
    if step.last_error.is_some() {
        return "an earlier attempt failed".to_owned();
    }
    if was_down {
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
    use crate::alert::{HandlerName, Timestamp};
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

    #[test]
    fn a_late_step_is_told_what_it_waited_for() {
        let why = |step: &Step, was_down| late_why(step, &[], true, was_down).unwrap();
        let mut step = actor();
        assert_eq!(late_why(&step, &[], false, true), None, "it is not late");
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
        step.parked = Some((Timestamp::UNIX_EPOCH, "slack channel alerts".to_owned()));
        assert_eq!(
            why(&step, true),
            "it waited for a rate limit (slack channel alerts)"
        );
    }

    #[test]
    fn the_reason_for_being_late_stays_once_an_effect_is_on_record() {
        let mut step = actor();
        step.waits_for = vec![Dependency::Slack];
        // The server died after the effect, and before that was stored with the step.
        assert_eq!(late_why(&step, &[effect()], true, true), None);
        step.has_effect = true;
        assert_eq!(
            late_why(&step, &[], true, true),
            None,
            "it was not late then"
        );
        step.late_why = Some("the server was down".to_owned());
        assert_eq!(late_why(&step, &[], false, true), step.late_why);
    }
}
