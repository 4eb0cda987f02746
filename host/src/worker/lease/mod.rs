//! One lease of one delivery: its due steps in order, until it is settled.

mod permit;
mod report;
mod step;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::outcome::{self, Circumstances};
use super::{Phase, Worker};
use crate::alert::{HandlerName, Status, StepKind, Timestamp, is_dead_letter_route};
use crate::api::AttemptOutcome;
use crate::journal::{Dependency, RecordUse};
use crate::queue::{Leased, Next, Settlement, Step, StepStatus, Woken};
use permit::Permit;
use report::Report;

/// A lease under way.
pub(super) struct Lease {
    worker: Worker,
    leased: Leased,
    permit: Option<Permit>,
    cut_off: watch::Receiver<Phase>,
    began: Instant,
    /// The indices of the steps that this lease has tried. Each is tried once a lease: what it recorded is read with the next.
    tried: Vec<usize>,
    report: Report,
    /// What its steps have recorded under this lease.
    recorded_now: RecordUse,
    /// When the steps that failed are due, by the monotonic clock.
    due: BTreeMap<usize, Instant>,
    /// The steps that go on before their time, and what each waited for that is back.
    woken: BTreeMap<usize, Vec<Woken>>,
    /// What answered this lease: a step that needs one of these nevertheless is not to be woken by that answer.
    has: Vec<Dependency>,
    /// It is a notice that takes another way if it dies on this one: nothing is gained by trying this one for hours. Looked
    /// up when a step fails.
    has_another_way: bool,
}

/// What a lease does next.
enum Turn {
    /// Tries the step of this index, under the permit that it holds.
    Step(usize),
    /// Ends: the rest waits for a permit of this handler.
    Yield(HandlerName),
    /// Ends: nothing more is due.
    End,
}

impl Lease {
    pub(super) fn new(
        worker: &Worker,
        mut leased: Leased,
        cut_off: watch::Receiver<Phase>,
    ) -> Self {
        let now = Timestamp::now();
        let woken = leased.progress.wake(&leased.woken).into_iter().collect();
        // The queue waits by the monotonic clock: what it hands out is due, even if the time of day was set back meanwhile.
        leased.progress.make_due(now);
        if leased.after_crash {
            leased.progress.interrupt(leased.lease.saturating_sub(1));
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
            cut_off,
            began: Instant::now(),
            tried: Vec::new(),
            recorded_now: RecordUse::default(),
            due: BTreeMap::new(),
            woken,
            has: Vec::new(),
            has_another_way: false,
        }
    }

    /// Runs what is due, then settles.
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

    /// Finds out whether another way is free for a notice, as things are now. Its end has none: it belongs where the notice is.
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

    /// Ends a notice that is not to be sent, without running it.
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

    /// Chooses the next step: enrichments in order; then any actor that is due and whose handler has a permit left, so that
    /// one without a permit does not hold back the next.
    fn turn(&mut self) -> Turn {
        let due = self.leased.progress.due(Timestamp::now());
        let Some(first) = due.first().copied() else {
            return Turn::End;
        };
        if *self.cut_off.borrow() == Phase::CutOff {
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
        // What failed in this lease and is due again already goes on in the next.
        Turn::Yield(self.handler_of(waits_for.unwrap_or(first)).clone())
    }

    /// Leaves out an enrichment that found no permit within its budget: what only informs holds nothing back.
    fn give_up_waiting(&mut self, index: usize) -> bool {
        let age = self.age();
        let step = &mut self.leased.progress.steps[index];
        if step.kind != StepKind::Enrich {
            return false;
        }
        let settings = self.worker.settings.load().of(&step.handler);
        if age < settings.enrich.within {
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

    /// Moves to a permit of the handler of this step; false if it has none left, and the one that is held stays.
    fn take_permit(&mut self, index: usize) -> bool {
        let handler = self.handler_of(index);
        let held = self.permit.as_ref();
        if held.is_some_and(|permit| permit.is_of(handler)) {
            return true;
        }
        let Some(permit) = Permit::try_take(&self.worker.queue, handler) else {
            return false;
        };
        self.permit = Some(permit);
        true
    }

    /// Returns how long ago the alert was accepted, whatever the time of day was set to since.
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
        let now = Timestamp::now();
        let mut progress = self.leased.progress;
        progress.end_lease(self.leased.lease);
        for (index, due) in self.due {
            let step = &mut progress.steps[index];
            if step.not_before.is_some() {
                // Dated anew: the time of day may have been set since the step failed.
                let wait = due.saturating_duration_since(Instant::now());
                step.not_before = Some(outcome::later(now, wait));
            }
        }
        let next = match waits_for {
            Some(handler) => Next::Yield { handler },
            None => outcome::next(&progress),
        };
        let outcome = match &next {
            Next::Done => AttemptOutcome::Done,
            Next::Dead(_) => AttemptOutcome::Dead,
            Next::Retry { .. } => AttemptOutcome::Retry,
            Next::Yield { .. } => AttemptOutcome::Yield,
        };
        let last_error = match &next {
            Next::Dead(reason) => Some(reason.clone()),
            Next::Done => None,
            Next::Retry { .. } | Next::Yield { .. } => {
                let steps = progress.steps.iter().rev();
                let mut pending = steps.filter(|step| step.status == StepStatus::Pending);
                pending.find_map(|step| step.last_error.clone())
            }
        };
        self.worker.queue.settle(Settlement {
            id: self.leased.id,
            token: self.leased.token,
            next,
            progress,
            alert: Some(self.leased.alert),
            story: self.report.into_json(now, outcome),
            last_error,
        });
    }
}

/// Returns true for an enrichment whose module says that it finds nothing: it need not be called.
fn adds_nothing(worker: &Worker, step: &Step) -> bool {
    step.kind == StepKind::Enrich
        && step.status == StepStatus::Pending
        && worker
            .registry
            .get(&step.handler)
            .is_some_and(|module| module.description().act_only)
}
