//! Runs one try of a step, unless its handler is paused or not loaded, and updates the step with the result.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Lease, given};
use crate::alert::{HandlerName, StepKind, Timestamp};
use crate::breaker;
use crate::gate::Parked;
use crate::journal::{Dependency, Recorded};
use crate::policy::{Grants, MissingPin};
use crate::queue::{ReadError, Step, StepStatus, Wake};
use crate::runtime::{HeldBack, Invocation, Invoked, Output, Served, StepFailure};
use crate::worker::breaker::{Change, Gate, Health};
use crate::worker::outcome::{self, Met};
use crate::worker::{EnrichBudget, HandlerSettings};

/// How long an actor whose module is not loaded waits at most until it is checked again.
const MODULE_RETRY_MAX: Duration = Duration::from_secs(10);

/// The longest backoff of a notice about a dead letter on one way while another is free.
const WAY_BACKOFF_MAX: Duration = Duration::from_secs(15);

/// A step that took less is not stored by itself: running it again after a crash is cheaper, and its effects are recorded.
const KEPT_WALL_MIN: Duration = Duration::from_millis(5);

impl Lease {
    /// Runs one step once, and updates the progress with the result.
    pub(super) async fn try_step(&mut self, index: usize) {
        let step = &self.leased.progress.steps[index];
        let (handler, kind) = (step.handler.clone(), step.kind);
        let settings = self.worker.settings.load().of(&handler);
        match self.worker.breakers.ask(&handler, kind, Instant::now()) {
            Gate::Open => {}
            Gate::Paused(left, reason) => {
                self.look_for_another_way().await;
                self.paused(index, left, &reason, &settings);
                return;
            }
        }
        let Some(served) = self.worker.registry.get(&handler) else {
            self.look_for_another_way().await;
            self.module_missing(index, &settings);
            return;
        };
        let age = self.age();
        let step = &mut self.leased.progress.steps[index];
        if outcome::expired_in_turn(step, &settings.retry, age) {
            self.ended_without_try(index);
            return;
        }
        let started_at = Timestamp::now();
        let invoked = self.invoke(index, &served, &settings).await;
        let is_parked = matches!(invoked.outcome, Err(StepFailure::Parked(_)));
        if invoked.outcome.is_err() && !is_parked {
            self.look_for_another_way().await;
        }
        self.report.count(&handler, &invoked.trace);
        self.worker.usage.note(&handler, kind, &invoked.trace);
        self.note_health(&handler, kind, &invoked);
        let module = served.module.label();
        self.ended(index, module, started_at, invoked, &settings);
    }

    async fn invoke(
        &mut self,
        index: usize,
        served: &Served,
        settings: &HandlerSettings,
    ) -> Invoked {
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        let recorded = match self.recorded(number).await {
            Ok(recorded) => Recorded {
                resumes_parked: self.leased.progress.steps[index].parked.is_some(),
                ..recorded
            },
            Err(error) => return Invoked::not_begun(StepFailure::Host(error.to_string())),
        };
        let invocation = self.invocation(index, served, settings, recorded);
        let step = &self.leased.progress.steps[index];
        let timer = self
            .worker
            .metrics
            .step_duration(&step.handler, step.kind)
            .start_timer();
        let interrupted = &mut self.interrupted;
        let interruption = async {
            // The sender lives as long as the worker; without it, nothing is interrupted any more.
            if interrupted
                .wait_for(|is_interrupted| *is_interrupted)
                .await
                .is_err()
            {
                std::future::pending::<()>().await;
            }
            "the server was shut down meanwhile".to_owned()
        };
        let invoked = self
            .worker
            .runtime
            .invoke_until(&served.module, invocation, interruption)
            .await;
        timer.observe_duration();
        invoked
    }

    /// Begins a try of a step, and returns the runtime's arguments for it.
    fn invocation(
        &mut self,
        index: usize,
        served: &Served,
        settings: &HandlerSettings,
        recorded: Recorded,
    ) -> Invocation {
        let (id, lease) = (self.leased.id, self.leased.lease.number);
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        let config = self.route_config(settings);
        let budget = settings.enrich.of(self.leased.priority);
        let steps = &self.leased.progress.steps;
        let time_left = time_left(steps, index, &budget, settings.limits.wall_max);
        self.explain_lateness(index, &recorded.entries);
        let found = Arc::new(self.found(index));
        let step = &mut self.leased.progress.steps[index];
        let now = Timestamp::now();
        step.started_at.get_or_insert(now);
        step.not_before = None;
        step.waits_for.clear();
        Invocation {
            step: step.kind,
            delivery: id,
            attempt: step.begin(lease),
            lease,
            dry_run: false,
            held_back: HeldBack::default(),
            alert: Arc::clone(&self.leased.alert),
            found,
            config,
            grants: grants_of(settings, served),
            limits: settings.limits,
            time_left,
            now,
            seed: self.worker.queue.seed(id, number),
            doubts: step.doubts_over(&recorded.entries, lease),
            recorded,
            ledger: self
                .worker
                .queue
                .ledger(self.leased.lease, number, &step.handler),
        }
    }

    /// Returns what earlier attempts of a step recorded; a delivery's first lease has no record.
    async fn recorded(&self, step: u32) -> Result<Recorded, ReadError> {
        if self.leased.lease.number <= 1 {
            return Ok(Recorded {
                elsewhere: self.recorded_now,
                ..Recorded::default()
            });
        }
        self.worker.queue.recorded(self.leased.id, step).await
    }

    /// Returns the handler's settings, overridden by those of the route.
    fn route_config(&self, settings: &HandlerSettings) -> Arc<BTreeMap<String, String>> {
        let router = self.worker.router.load();
        let route = &self.leased.route;
        settings.given_on(route, router.config_of(route))
    }

    fn ended(
        &mut self,
        index: usize,
        module: String,
        started_at: Timestamp,
        invoked: Invoked,
        settings: &HandlerSettings,
    ) {
        let wall = Duration::from_micros(invoked.trace.wall_us);
        let step = &mut self.leased.progress.steps[index];
        step.used_ms += u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
        step.has_effect |= invoked.has_effect;
        self.recorded_now = self.recorded_now.plus(invoked.recorded);
        if let Some(doubts) = invoked.doubts {
            step.set_doubts(doubts);
        }
        let is_parked = matches!(invoked.outcome, Err(StepFailure::Parked(_)));
        if !is_parked || invoked.has_sent {
            step.parked = None;
        }
        for dependency in &invoked.answered {
            self.worker.queue.wake(dependency, Wake::All);
        }
        self.answered.extend(invoked.answered);
        let error = invoked.outcome.as_ref().err().map(ToString::to_string);
        match invoked.outcome {
            Ok(output) => succeeded(step, output),
            Err(StepFailure::Parked(parked)) => {
                self.parked(index, *parked);
                // What it read is on record, and in the story of the try that goes on.
                if invoked.has_sent {
                    let step = &self.leased.progress.steps[index];
                    self.report.parked(step, module, started_at, invoked.trace);
                }
                return;
            }
            Err(failure) => {
                let mut woken = self.woken.remove(&index).unwrap_or_default();
                woken.extend(
                    self.answered
                        .iter()
                        .map(|answered| (answered.clone(), Wake::All)),
                );
                let met = Met {
                    hold: invoked.hold,
                    unanswered: invoked.unanswered,
                    woken,
                };
                self.failed(index, &failure, met, settings, Timestamp::now());
            }
        }
        let age = self.age();
        let step = &self.leased.progress.steps[index];
        self.report
            .tried(step, module, started_at, error, invoked.trace);
        self.report.count_ended(step, age);
        let is_last = self.leased.progress.steps.len() == index + 1;
        if !is_last && wall >= KEPT_WALL_MIN {
            self.worker
                .queue
                .progress(self.leased.lease, &self.leased.progress);
        }
    }

    /// Takes a try back: nothing failed, and the delivery waits for its turn.
    fn parked(&mut self, index: usize, parked: Parked) {
        let step = &mut self.leased.progress.steps[index];
        step.take_back();
        // What failed before is over: nothing is wrong with it now.
        step.last_error = None;
        step.parked
            .get_or_insert_with(|| (Timestamp::now(), given::gate_name(&parked.gate)));
        self.parked.insert(index, parked);
    }

    fn failed(
        &mut self,
        index: usize,
        failure: &StepFailure,
        mut met: Met,
        settings: &HandlerSettings,
        now: Timestamp,
    ) {
        let used = enrichment_used(&self.leased.progress.steps);
        let circumstances = self.circumstances(now);
        let moves_on = self.has_another_way
            && !matches!(failure, StepFailure::Host(_))
            && (met.hold.is_some() || outcome::should_leave_way(failure, self.age()));
        let permanent = moves_on.then(|| StepFailure::Permanent(failure.to_string()));
        let failure = permanent.as_ref().unwrap_or(failure);
        let mut retry = settings.retry.clone();
        if self.has_another_way {
            retry.backoff_max = retry.backoff_max.min(WAY_BACKOFF_MAX);
        }
        let step = &mut self.leased.progress.steps[index];
        match step.kind {
            StepKind::Enrich => {
                let budget = settings.enrich.of(self.leased.priority);
                outcome::enrichment_failed(step, failure, &budget, used);
            }
            StepKind::Act => {
                // A failure of the server itself says nothing about what the step met. A notice that has another way does not
                // wait for this one.
                if moves_on || matches!(failure, StepFailure::Host(_)) {
                    met.hold = None;
                }
                outcome::actor_ended(step, failure, &met, &retry, circumstances);
            }
        }
        if let Some(until) = step.not_before {
            let wait = Duration::try_from(until.duration_since(now)).unwrap_or_default();
            self.due.insert(index, Instant::now() + wait);
        }
    }

    /// Handles an open circuit breaker: an enrichment is left out, an actor waits without using an attempt.
    fn paused(&mut self, index: usize, left: Duration, reason: &str, settings: &HandlerSettings) {
        let circumstances = self.circumstances(Timestamp::now());
        let step = &mut self.leased.progress.steps[index];
        let reason = format!("the handler is paused: {reason}");
        if step.kind == StepKind::Enrich || self.has_another_way {
            outcome::give_up(step, &reason);
        } else {
            step.last_error = Some(reason);
            // One delivery tries when the pause is over, and all continue if it succeeds. Their own time is later, and spread
            // out: a backlog that wakes at one moment would only be sent back together.
            let wait = left + breaker::PAUSE.mul_f64(1.0 + circumstances.jitter);
            let dependency = Dependency::Handler(step.handler.to_string());
            outcome::wait_for(step, dependency, wait, &settings.retry, circumstances);
        }
        self.ended_without_try(index);
    }

    /// Handles a missing module, which is transient, since it can be added at any time: an enrichment is left out, an actor
    /// waits. As nothing ran, it is not an attempt, and the reason is on the delivery, not in its story.
    fn module_missing(&mut self, index: usize, settings: &HandlerSettings) {
        let step = &mut self.leased.progress.steps[index];
        let handler = &step.handler;
        let reason = match self.worker.registry.refusal(handler) {
            Some(reason) => format!("handler {handler} is not loaded: {reason}"),
            None => format!(
                "handler {handler} is not loaded: put its .wasm into {}",
                self.worker.handlers_dir.display()
            ),
        };
        match step.kind {
            StepKind::Enrich => outcome::give_up(step, &reason),
            StepKind::Act => {
                let mut settings = settings.clone();
                settings.retry.backoff_max = settings.retry.backoff_max.min(MODULE_RETRY_MAX);
                let failure = StepFailure::Unavailable {
                    message: reason.clone(),
                    after: None,
                };
                self.failed(index, &failure, Met::default(), &settings, Timestamp::now());
            }
        }
        self.report.log(&self.leased.progress.steps[index], &reason);
        self.ended_without_try(index);
    }

    fn ended_without_try(&mut self, index: usize) {
        let age = self.age();
        let step = &self.leased.progress.steps[index];
        self.report.ended_in_doubt(step);
        self.report.count_ended(step, age);
    }

    /// Reports to the handler's circuit breaker how an invocation ended.
    fn note_health(&self, handler: &HandlerName, kind: StepKind, invoked: &Invoked) {
        let Some(health) = health_of(kind, invoked) else {
            return;
        };
        let breakers = &self.worker.breakers;
        match breakers.tell(handler, kind, health, Instant::now()) {
            Some(Change::Opened(reason)) => {
                tracing::error!(
                    handler = handler.as_str(),
                    step = kind.as_str(),
                    reason,
                    "handler {handler} is paused: it failed several times in a row; one delivery tries it every {} s",
                    breaker::PAUSE.as_secs()
                );
            }
            Some(Change::Closed) => {
                let dependency = Dependency::Handler(handler.to_string());
                self.worker.queue.wake(&dependency, Wake::All);
                tracing::info!(
                    handler = handler.as_str(),
                    "handler {handler} is no longer paused"
                );
            }
            None => {}
        }
    }
}

/// Returns what an invocation shows about the handler's health; `None` if it shows nothing.
fn health_of(kind: StepKind, invoked: &Invoked) -> Option<Health> {
    match (&invoked.hold, &invoked.outcome) {
        // How it behaves while Slack rejects it says nothing about its health.
        (Some(_), Err(_)) | (_, Err(StepFailure::Host(_) | StepFailure::Parked(_))) => None,
        (_, Err(failure @ (StepFailure::Trap(_) | StepFailure::Limit(_)))) => {
            let why = failure.to_string();
            Some(Health::Broken(
                why.lines().next().unwrap_or_default().to_owned(),
            ))
        }
        (_, Err(StepFailure::Timeout(message))) if kind == StepKind::Enrich => {
            Some(Health::Broken(message.clone()))
        }
        _ => Some(Health::Sound),
    }
}

fn succeeded(step: &mut Step, output: Output) {
    step.status = StepStatus::Done;
    step.attempts += 1;
    step.last_error = None;
    match output {
        Output::Enrichment(found) => {
            step.facts = found.facts;
            step.blocks = found.blocks;
        }
        Output::Facts(facts) => step.facts = facts,
    }
}

/// Returns the time limit of a step: for an enrichment the rest of its delivery's budget, for an actor its wall time.
fn time_left(steps: &[Step], index: usize, budget: &EnrichBudget, wall: Duration) -> Duration {
    match steps[index].kind {
        StepKind::Act => wall,
        StepKind::Enrich => {
            let left = budget.within.saturating_sub(enrichment_used(steps));
            left.min(wall)
        }
    }
}

fn enrichment_used(steps: &[Step]) -> Duration {
    let enrichments = steps.iter().filter(|step| step.kind == StepKind::Enrich);
    Duration::from_millis(enrichments.map(|step| step.used_ms).sum())
}

/// Returns the operator's grants, without the credentials if the origin of the module is not certain.
fn grants_of(settings: &HandlerSettings, served: &Served) -> Arc<Grants> {
    match (settings.sha256, &served.exposure) {
        (None, Some(exposure)) => settings.grants.for_unpinned(|| MissingPin {
            handler: served.module.name().clone(),
            sha256: served.module.sha256().to_owned(),
            exposure: exposure.clone(),
        }),
        _ => Arc::clone(&settings.grants),
    }
}
