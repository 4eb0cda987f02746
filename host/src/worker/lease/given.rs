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

impl Lease {
    /// Returns what the step is given as found. No handler can replace the host's own facts.
    pub(super) fn found(&self, index: usize) -> Enrichment {
        let progress = &self.leased.progress;
        let priority = self.leased.priority.as_str().to_owned();
        let mut own = vec![("priority".to_owned(), priority)];
        if let Some(why) = &progress.steps[index].late_why {
            own.push(("late.why".to_owned(), why.clone()));
        }
        let mut own = Labels::from_iter(own);
        let mut found = Enrichment::default();
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

    /// Sets why the step is late, if it is, and stores that before the step runs. What was said before an effect stays: other facts
    /// would make other requests of a retry.
    pub(super) fn explain_lateness(&mut self, index: usize, recorded: &[Entry]) {
        let step = &self.leased.progress.steps[index];
        if step.has_effect || recorded.iter().any(|entry| entry.effect) {
            return;
        }
        let is_late = self.age() > LATE_AGE_MIN;
        let why = is_late.then(|| self.why_late(step));
        if step.late_why == why {
            return;
        }
        self.leased.progress.steps[index].late_why = why;
        let (lease, progress) = (self.leased.lease, &self.leased.progress);
        self.worker.queue.progress(lease, progress);
    }

    fn why_late(&self, step: &Step) -> String {
        if let Some((_, gate)) = &step.parked {
            return format!("it waited for its turn ({gate})");
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
        if self.leased.after_crash || self.age() > self.worker.started.elapsed() {
            return "the server was down".to_owned();
        }
        format!(
            "it waited for a free slot of {}, or for an earlier delivery of its alert",
            step.handler
        )
    }
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
            // The story has the complete backtrace of a trap; people need only its first line.
            let reason = reason.lines().next().unwrap_or_default().to_owned();
            let fact = (format!("enrich_failed.{}", step.handler), reason);
            Enrichment {
                facts: Labels::from_iter([fact]),
                blocks: Vec::new(),
            }
        }
        _ => Enrichment::default(),
    }
}
