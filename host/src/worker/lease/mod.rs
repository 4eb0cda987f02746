//! Runs one lease of a delivery: the steps that are due, in order, until it is settled.

mod given;
mod permit;
mod report;
mod step;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::Worker;
use super::outcome::{self, Circumstances};
use crate::alert::{HandlerName, Status, StepKind, Timestamp, is_dead_letter_route};
use crate::api::AttemptOutcome;
use crate::description::Description;
use crate::gate::Parked;
use crate::journal::{Dependency, RecordUse};
use crate::queue::{Leased, Next, Settlement, Step, StepStatus, Woken};
use permit::Permit;
use report::Report;

/// A lease that is being run.
pub(super) struct Lease {
    worker: Worker,
    leased: Leased,
    permit: Option<Permit>,
    /// Becomes true if the shutdown interrupts what still runs.
    interrupted: watch::Receiver<bool>,
    began: Instant,
    /// The indexes of the steps that this lease has tried. Each is tried once per lease: its record is read by the next one.
    tried: Vec<usize>,
    report: Report,
    /// The size of what its steps have recorded under this lease.
    recorded_now: RecordUse,
    /// The steps that wait for their turn, and where.
    parked: BTreeMap<usize, Parked>,
    /// When the steps that failed are due, on the monotonic clock.
    due: BTreeMap<usize, Instant>,
    /// The steps that run before their time, with the recovered dependencies that each waited for.
    woken: BTreeMap<usize, Vec<Woken>>,
    /// The dependencies that answered during this lease: a step that still fails for one of them is not woken by that answer.
    answered: Vec<Dependency>,
    /// True for a notice that is moved to another way if it dies, so that it need not be tried for hours on this one.
    /// Determined when a step fails.
    has_another_way: bool,
}

/// The next action of a lease.
enum Turn {
    /// Run the step with this index, under the permit that is held.
    Step(usize),
    /// End the lease: the remaining steps wait for a permit of this handler.
    Yield(HandlerName),
    /// End the lease: no step is due.
    End,
}

impl Lease {
    pub(super) fn new(
        worker: &Worker,
        mut leased: Leased,
        interrupted: watch::Receiver<bool>,
    ) -> Self {
        let now = Timestamp::now();
        let woken = leased.progress.wake(&leased.woken).into_iter().collect();
        // The queue uses the monotonic clock: its deliveries are due even if the wall clock was set back meanwhile.
        leased.progress.make_due(now);
        if leased.after_crash {
            let before = leased.lease.number.saturating_sub(1);
            leased.progress.interrupt(before);
        }
        let steps = leased.progress.steps.iter_mut();
        for step in steps.filter(|step| adds_nothing(worker, step)) {
            step.status = StepStatus::Done;
            step.last_error = None;
        }
        Self {
            permit: Some(Permit::taken(worker.queue.clone(), leased.handler.clone())),
            report: Report::new(worker, &leased, now),
            worker: worker.clone(),
            leased,
            interrupted,
            began: Instant::now(),
            tried: Vec::new(),
            recorded_now: RecordUse::default(),
            parked: BTreeMap::new(),
            due: BTreeMap::new(),
            woken,
            answered: Vec::new(),
            has_another_way: false,
        }
    }

    /// Runs the steps that are due, then settles the delivery.
    pub(super) async fn run(mut self) {
        if self.is_out_of_date().await {
            self.leave_out();
            return;
        }
        let waits_for = loop {
            match self.turn() {
                Turn::Step(index) => {
                    self.tried.push(index);
                    self.try_step(index).await;
                }
                Turn::Yield(handler) => break Some(handler),
                Turn::End => break None,
            }
        };
        self.permit = None;
        self.settle(waits_for);
    }

    /// Returns true for a notice about a delivery that is no longer dead. If the store cannot be read the notice is sent.
    async fn is_out_of_date(&self) -> bool {
        is_dead_letter_route(&self.leased.route)
            && self
                .worker
                .queue
                .is_out_of_date(&self.leased.alert)
                .await
                .unwrap_or(false)
    }

    /// Finds out whether another way is free for a notice now. A resolved notice has none, since it updates the message of the
    /// notice.
    async fn look_for_another_way(&mut self) {
        let (route, alert) = (&self.leased.route, &self.leased.alert);
        self.has_another_way = is_dead_letter_route(route)
            && alert.status == Status::Firing
            && self
                .worker
                .queue
                .has_another_way(alert)
                .await
                .unwrap_or(false);
    }

    /// Settles a notice as done without running it.
    fn leave_out(self) {
        let Self {
            worker,
            leased,
            permit,
            ..
        } = self;
        drop(permit);
        worker.queue.leave_out(leased);
    }

    /// Chooses the next step: enrichments in order, then any actor that is due and whose handler has a permit left, so that an
    /// actor without a permit does not hold back the next.
    fn turn(&mut self) -> Turn {
        let mut due = self.leased.progress.due(Timestamp::now());
        due.retain(|index| !self.parked.contains_key(index));
        let Some(first) = due.first().copied() else {
            return Turn::End;
        };
        if *self.interrupted.borrow() {
            return Turn::Yield(self.handler_of(first).clone());
        }
        let mut waits_for = None;
        for index in due {
            if self.tried.contains(&index) {
                if self.leased.progress.steps[index].kind == StepKind::Enrich {
                    return Turn::Yield(self.handler_of(index).clone());
                }
                continue;
            }
            if self.take_permit(index) {
                return Turn::Step(index);
            }
            if self.give_up_waiting(index) {
                return self.turn();
            }
            waits_for.get_or_insert(index);
        }
        // A step that failed in this lease and is due again runs in the next lease.
        Turn::Yield(self.handler_of(waits_for.unwrap_or(first)).clone())
    }

    /// Leaves out an enrichment that got no permit within its budget, because an enrichment holds nothing back.
    fn give_up_waiting(&mut self, index: usize) -> bool {
        let age = self.age();
        let step = &mut self.leased.progress.steps[index];
        if step.kind != StepKind::Enrich {
            return false;
        }
        let settings = self.worker.settings.load().of(&step.handler);
        if age < settings.enrich.of(self.leased.priority).within {
            return false;
        }
        let busy = format!(
            "every slot of {} was taken (limits.concurrency)",
            step.handler
        );
        outcome::give_up(step, &busy);
        self.report.ended_in_doubt(step);
        true
    }

    fn handler_of(&self, index: usize) -> &HandlerName {
        &self.leased.progress.steps[index].handler
    }

    /// Exchanges the permit for one of this step's handler; returns false and keeps it if that handler has none left.
    fn take_permit(&mut self, index: usize) -> bool {
        let handler = self.handler_of(index);
        let held = self.permit.as_ref();
        if held.is_some_and(|permit| permit.is_of(handler)) {
            return true;
        }
        let Some(permit) = Permit::try_take(&self.worker.queue, self.leased.lease, handler) else {
            return false;
        };
        self.permit = Some(permit);
        true
    }

    /// Returns the time since the alert was accepted, independent of changes to the wall clock.
    fn age(&self) -> Duration {
        self.leased.age + self.began.elapsed()
    }

    fn circumstances(&self, now: Timestamp) -> Circumstances {
        Circumstances {
            now,
            age: self.age(),
            jitter: rand::random(),
        }
    }

    fn settle(self, waits_for: Option<HandlerName>) {
        let (now, age) = (Timestamp::now(), self.age());
        let settings = self.worker.settings.load();
        let mut progress = self.leased.progress;
        progress.end_lease(self.leased.lease.number);
        for (index, due) in self.due {
            let step = &mut progress.steps[index];
            if step.not_before.is_some() {
                // Computed from the monotonic clock, because the wall clock may have been set since the step failed.
                let wait = due.saturating_duration_since(Instant::now());
                step.not_before = Some(outcome::later(now, wait));
            }
        }
        let expires_in = self.parked.keys().map(|index| {
            let handler = &progress.steps[*index].handler;
            let age_max = settings.of(handler).retry.age_max;
            age_max.saturating_sub(age)
        });
        let expires_in = expires_in.min();
        // Of several only one can be waited for: the others are tried with it.
        let parked = self.worker.queue.first_to_open(self.parked);
        let next = match (waits_for, parked) {
            (Some(handler), _) => Next::Yield { handler },
            (None, Some((index, parked))) => Next::Park {
                handler: progress.steps[index].handler.clone(),
                parked,
                is_clean: progress.is_clean(),
                expires_in,
            },
            (None, None) => outcome::next(&progress),
        };
        let outcome = match &next {
            Next::Done => AttemptOutcome::Done,
            Next::Dead(_) | Next::Expired(_) => AttemptOutcome::Dead,
            Next::Retry { .. } => AttemptOutcome::Retry,
            Next::Yield { .. } => AttemptOutcome::Yield,
            Next::Park { .. } => AttemptOutcome::Parked,
        };
        let last_error = match &next {
            Next::Dead(reason) | Next::Expired(reason) => Some(reason.clone()),
            Next::Done => None,
            Next::Retry { .. } | Next::Yield { .. } | Next::Park { .. } => {
                let steps = progress.steps.iter().rev();
                let mut pending = steps.filter(|step| step.status == StepStatus::Pending);
                pending.find_map(|step| step.last_error.clone())
            }
        };
        self.worker.queue.settle(Settlement {
            lease: self.leased.lease,
            next,
            progress,
            alert: Some(self.leased.alert),
            story: self.report.into_json(now, outcome),
            last_error,
        });
    }
}

/// Returns whether a step's module declares that this hook of it adds or does nothing, so that it is not called.
fn adds_nothing(worker: &Worker, step: &Step) -> bool {
    let declares_it = |description: &Description| match step.kind {
        StepKind::Enrich => description.act_only,
        StepKind::Act => description.enrich_only,
    };
    step.status == StepStatus::Pending
        && worker
            .registry
            .get(&step.handler)
            .is_some_and(|served| declares_it(served.module.description()))
}
