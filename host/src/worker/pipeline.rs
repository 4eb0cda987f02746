//! Runs one lease of a delivery: the steps that are due, in order, each in the sandbox, until it is settled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::breaker::{Change, Gate, Health};
use super::outcome::{self, Circumstances, Met};
use super::settings::HandlerSettings;
use super::story::{self, STORY_BYTES_MAX, STORY_LIMIT};
use super::{Phase, Worker};
use crate::alert::{
    Enrichment, HandlerName, Labels, Status, StepKind, Timestamp, is_dead_letter_route,
};
use crate::api::{self, Attempt, AttemptOutcome, Lenient, StepOutcome, StepTry};
use crate::journal::{Dependency, Doubt, Doubts, RecordUse, Recorded, Suspect};
use crate::policy::{Grants, MissingPin};
use crate::queue::{Leased, Next, Queue, ReadError, Settlement, StepStatus, Wake, Woken};
use crate::runtime::{Answered, Invocation, Invoked, Output, Served, StepFailure, Trace};

/// How long an actor whose module is not loaded waits at most until it is checked again.
const MODULE_RETRY_MAX: Duration = Duration::from_secs(10);

/// The longest backoff of a notice about a dead letter on one way while another is free.
const WAY_BACKOFF_MAX: Duration = Duration::from_secs(15);

/// A lease that is being run.
pub(super) struct Run {
    worker: Worker,
    leased: Leased,
    slot: Option<Slot>,
    cut_off: watch::Receiver<Phase>,
    started_at: Timestamp,
    began: Instant,
    /// The steps that this lease has tried. Each is tried once per lease: what it recorded is read by the next one.
    tried: Vec<usize>,
    told: Vec<StepTry>,
    /// The size of what its steps have recorded under this lease.
    recorded_now: RecordUse,
    /// When the steps that failed are due, on the monotonic clock.
    due: BTreeMap<usize, Instant>,
    /// The steps that run before their time, with the recovered dependencies that each waited for.
    woken: BTreeMap<usize, Vec<Woken>>,
    /// The dependencies that answered during this lease: a step that still fails for one of them is not woken by that answer.
    has: Vec<Dependency>,
    /// True for a notice that is moved to another way if it dies, so that it need not be tried for hours on this one. Determined
    /// when a step fails.
    has_another_way: bool,
}

/// A concurrency permit of a handler, returned when dropped, even by a panic.
struct Slot {
    queue: Queue,
    handler: HandlerName,
}

impl Slot {
    fn new(queue: Queue, handler: HandlerName) -> Self {
        Self { queue, handler }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.queue.release_slot(&self.handler);
    }
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

impl Run {
    pub(super) fn new(
        worker: &Worker,
        mut leased: Leased,
        cut_off: watch::Receiver<Phase>,
    ) -> Self {
        let now = Timestamp::now();
        // The queue uses the monotonic clock, so a delivery that it hands out is due even if the wall clock was changed
        // meanwhile.
        let steps = &mut leased.progress;
        let woken = steps.wake(&leased.woken).into_iter().collect();
        leased.progress.make_due(now);
        if leased.after_crash {
            leased.progress.interrupt(leased.lease.saturating_sub(1));
        }
        for step in &mut leased.progress.steps {
            let adds_nothing = |served: Arc<Served>| served.module.description().act_only;
            if step.kind == StepKind::Enrich
                && step.status == StepStatus::Pending
                && worker.registry.get(&step.handler).is_some_and(adds_nothing)
            {
                // The handler adds nothing, so the step is done and has no story.
                step.status = StepStatus::Done;
                step.last_error = None;
            }
        }
        Self {
            slot: Some(Slot::new(worker.queue.clone(), leased.handler.clone())),
            worker: worker.clone(),
            leased,
            cut_off,
            started_at: now,
            began: Instant::now(),
            tried: Vec::new(),
            told: Vec::new(),
            recorded_now: RecordUse::default(),
            due: BTreeMap::new(),
            woken,
            has: Vec::new(),
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
                Turn::Step(place) => {
                    self.tried.push(place);
                    self.step(place).await;
                }
                Turn::Yield(handler) => break Some(handler),
                Turn::End => break None,
            }
        };
        self.slot = None;
        self.settle(waits_for);
    }

    /// Returns true for a notice about a delivery that is no longer dead. If that cannot be read, the notice is sent.
    async fn is_out_of_date(&self) -> bool {
        is_dead_letter_route(&self.leased.route)
            && self
                .worker
                .queue
                .is_out_of_date(&self.leased.alert)
                .await
                .unwrap_or(false)
    }

    /// Finds out whether another way is free for a notice. A resolved notice has no other way: it belongs where the notice is.
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
            slot,
            ..
        } = self;
        drop(slot);
        worker.queue.leave_out(leased);
    }

    /// Chooses the next step: enrichments in order, then any actor that is due and gets a permit, so that an actor without a
    /// permit does not hold back the next.
    fn turn(&mut self) -> Turn {
        let due = self.leased.progress.due(Timestamp::now());
        let Some(first) = due.first().copied() else {
            return Turn::End;
        };
        if *self.cut_off.borrow() == Phase::CutOff {
            return Turn::Yield(self.handler_of(first).clone());
        }
        let mut waits_for = None;
        for place in due {
            if self.tried.contains(&place) {
                let is_enrichment = self.leased.progress.steps[place].kind == StepKind::Enrich;
                if is_enrichment {
                    return Turn::Yield(self.handler_of(place).clone());
                }
                continue;
            }
            if self.take_slot(place) {
                return Turn::Step(place);
            }
            if self.give_up_waiting(place) {
                return self.turn();
            }
            waits_for.get_or_insert(place);
        }
        match waits_for {
            Some(place) => Turn::Yield(self.handler_of(place).clone()),
            // A step that failed in this lease and is due again runs in the next lease.
            None => Turn::Yield(self.handler_of(first).clone()),
        }
    }

    /// Leaves out an enrichment that got no permit within its budget, because an enrichment holds nothing back.
    fn give_up_waiting(&mut self, place: usize) -> bool {
        let age = self.age();
        let step = &mut self.leased.progress.steps[place];
        if step.kind != StepKind::Enrich {
            return false;
        }
        let within = self.worker.settings.load().of(&step.handler).enrich.within;
        if age < within {
            return false;
        }
        let busy = format!(
            "every slot of {} was taken (limits.concurrency)",
            step.handler
        );
        outcome::give_up(step, &busy);
        self.tell_doubts_of_end(place);
        true
    }

    fn handler_of(&self, place: usize) -> &HandlerName {
        &self.leased.progress.steps[place].handler
    }

    /// Exchanges the permit for one of this step's handler; returns false and keeps it if that handler has none free.
    fn take_slot(&mut self, place: usize) -> bool {
        let handler = self.handler_of(place).clone();
        if self
            .slot
            .as_ref()
            .is_some_and(|slot| slot.handler == handler)
        {
            return true;
        }
        if !self.worker.queue.try_take_slot(&handler) {
            return false;
        }
        self.slot = Some(Slot::new(self.worker.queue.clone(), handler));
        true
    }

    /// Runs one step once, and updates the progress with the result.
    async fn step(&mut self, place: usize) {
        let step = &self.leased.progress.steps[place];
        let (handler, kind) = (step.handler.clone(), step.kind);
        let settings = self.worker.settings.load().of(&handler);
        match self.worker.breakers.ask(&handler, kind, Instant::now()) {
            Gate::Open => {}
            Gate::Paused(left, reason) => {
                self.look_for_another_way().await;
                self.paused(place, left, &reason, &settings);
                return;
            }
        }
        let Some(served) = self.worker.registry.get(&handler) else {
            self.look_for_another_way().await;
            self.module_missing(place, &settings);
            return;
        };
        let started_at = Timestamp::now();
        let invoked = self.invoke(place, &served, &settings).await;
        if invoked.outcome.is_err() {
            self.look_for_another_way().await;
        }
        self.count(&handler, &invoked.trace);
        self.tell_breaker(&handler, kind, &invoked);
        let module = &served.module;
        let module = format!(
            "{} {}",
            module.description().version,
            module.sha256().get(..12).unwrap_or_default()
        );
        self.ended(place, module, started_at, invoked, &settings);
    }

    async fn invoke(
        &mut self,
        place: usize,
        served: &Served,
        settings: &HandlerSettings,
    ) -> Invoked {
        let (id, lease) = (self.leased.id, self.leased.lease);
        let number = u32::try_from(place).unwrap_or(u32::MAX);
        let recorded = match self.recorded(number).await {
            Ok(recorded) => recorded,
            Err(error) => return Invoked::not_begun(StepFailure::Host(error.to_string())),
        };
        let found = Arc::new(self.found(place));
        let config = self.route_config(settings);
        let time_left = self.time_left(place, settings);
        let step = &mut self.leased.progress.steps[place];
        let now = Timestamp::now();
        step.started_at.get_or_insert(now);
        step.not_before = None;
        step.waits_for.clear();
        let invocation = Invocation {
            step: step.kind,
            delivery: id,
            attempt: step.begin(lease),
            lease,
            dry_run: false,
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
                .ledger(id, self.leased.token, number, &step.handler),
        };
        let timer = self
            .worker
            .metrics
            .step_duration(&step.handler, step.kind)
            .start_timer();
        let cut_off = &mut self.cut_off;
        let cut_off = async {
            // The sender lives as long as the worker; without it, nothing is interrupted any more.
            if cut_off
                .wait_for(|phase| *phase == Phase::CutOff)
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
            .invoke_until(&served.module, invocation, cut_off)
            .await;
        timer.observe_duration();
        invoked
    }

    /// Returns what earlier attempts of a step recorded; a delivery's first lease has no record.
    async fn recorded(&self, step: u32) -> Result<Recorded, ReadError> {
        if self.leased.lease <= 1 {
            return Ok(Recorded {
                elsewhere: self.recorded_now,
                ..Recorded::default()
            });
        }
        self.worker.queue.recorded(self.leased.id, step).await
    }

    /// Returns the handler's settings with those of the route applied.
    fn route_config(&self, settings: &HandlerSettings) -> Arc<BTreeMap<String, String>> {
        let router = self.worker.router.load();
        match router.config_of(&self.leased.route) {
            Some(over) => settings.config_under(over),
            None => Arc::clone(&settings.config),
        }
    }

    /// Returns the time limit of a step: for an enrichment the rest of its delivery's budget, for an actor its wall time.
    fn time_left(&self, place: usize, settings: &HandlerSettings) -> Duration {
        let wall = settings.limits.wall_max;
        match self.leased.progress.steps[place].kind {
            StepKind::Act => wall,
            StepKind::Enrich => settings
                .enrich
                .within
                .saturating_sub(self.enrichment_used())
                .min(wall),
        }
    }

    fn enrichment_used(&self) -> Duration {
        let used_ms = self
            .leased
            .progress
            .steps
            .iter()
            .filter(|step| step.kind == StepKind::Enrich)
            .map(|step| step.used_ms)
            .sum();
        Duration::from_millis(used_ms)
    }

    /// Returns what the enrichments before this step found, and which of them failed.
    fn found(&self, place: usize) -> Enrichment {
        let mut found = Enrichment::default();
        for step in &self.leased.progress.steps[..place] {
            match (step.kind, step.status) {
                (StepKind::Enrich, StepStatus::Done) => found.add(Enrichment {
                    facts: step.facts.clone(),
                    blocks: step.blocks.clone(),
                }),
                (StepKind::Enrich, StepStatus::Failed) => {
                    let reason = step.last_error.as_deref().unwrap_or("failed");
                    // The story has the complete backtrace of a trap; people need only its first line.
                    let reason = reason.lines().next().unwrap_or_default().to_owned();
                    found.add(Enrichment {
                        facts: Labels::from_iter([(
                            format!("enrich_failed.{}", step.handler),
                            reason,
                        )]),
                        blocks: Vec::new(),
                    });
                }
                _ => {}
            }
        }
        found
    }

    fn ended(
        &mut self,
        place: usize,
        module: String,
        started_at: Timestamp,
        invoked: Invoked,
        settings: &HandlerSettings,
    ) {
        let now = Timestamp::now();
        let wall = Duration::from_micros(invoked.trace.wall_us);
        let step = &mut self.leased.progress.steps[place];
        step.used_ms += u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
        self.recorded_now = self.recorded_now.plus(invoked.recorded);
        if let Some(doubts) = invoked.doubts {
            step.set_doubts(doubts);
        }
        for dependency in &invoked.has {
            self.worker.queue.wake(dependency, Wake::All);
        }
        self.has.extend(invoked.has);
        let error = invoked.outcome.as_ref().err().map(ToString::to_string);
        match invoked.outcome {
            Ok(output) => {
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
            Err(failure) => {
                let mut woken = self.woken.remove(&place).unwrap_or_default();
                woken.extend(self.has.iter().map(|had| (had.clone(), Wake::All)));
                let met = Met {
                    hold: invoked.hold,
                    needs: invoked.needs,
                    woken,
                };
                self.failed(place, &failure, met, settings, now);
            }
        }
        let step = &self.leased.progress.steps[place];
        let level = match step.status {
            StepStatus::Done => None,
            StepStatus::Pending => Some(tracing::Level::INFO),
            StepStatus::Failed => Some(tracing::Level::WARN),
        };
        if let (Some(level), Some(error)) = (level, &error) {
            self.log(place, level, error);
        }
        self.told.push(StepTry {
            handler: step.handler.clone(),
            step: step.kind.into(),
            module: Some(module),
            started_at,
            outcome: StepOutcome::from(step.status).into(),
            error: match step.status {
                // The reason for giving up contains more than the failure alone.
                StepStatus::Failed => step.last_error.clone(),
                _ => error,
            },
            not_before: step.not_before,
            facts: step.facts.clone(),
            blocks: step.blocks.iter().cloned().map(Lenient::from).collect(),
            in_doubt: told_doubts(&step.doubts_over(&[], self.leased.lease)),
            trace: invoked.trace.into(),
        });
        self.warn_of_doubts(place);
        self.finished(place);
        if self.leased.progress.steps.len() > place + 1 && step_is_worth_keeping(wall) {
            self.worker
                .queue
                .progress(self.leased.id, self.leased.token, &self.leased.progress);
        }
    }

    fn failed(
        &mut self,
        place: usize,
        failure: &StepFailure,
        mut met: Met,
        settings: &HandlerSettings,
        now: Timestamp,
    ) {
        let used = self.enrichment_used();
        let circumstances = self.circumstances(now);
        let moves_on = self.has_another_way
            && !matches!(failure, StepFailure::Host(_))
            && (met.hold.is_some() || outcome::should_leave_way(failure, self.age()));
        let given_up = moves_on.then(|| StepFailure::Permanent(failure.to_string()));
        let failure = given_up.as_ref().unwrap_or(failure);
        let mut retry = settings.retry.clone();
        if self.has_another_way {
            retry.backoff_max = retry.backoff_max.min(WAY_BACKOFF_MAX);
        }
        let step = &mut self.leased.progress.steps[place];
        match step.kind {
            StepKind::Enrich => {
                outcome::enrichment_failed(step, failure, &settings.enrich, used);
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
        if let Some(until) = self.leased.progress.steps[place].not_before {
            let wait = Duration::try_from(until.duration_since(now)).unwrap_or_default();
            self.due.insert(place, Instant::now() + wait);
        }
    }

    /// Reports the doubts of a step that ended.
    fn tell_doubts_of_end(&mut self, place: usize) {
        let step = &self.leased.progress.steps[place];
        let in_doubt = step.doubts_over(&[], self.leased.lease);
        if step.status != StepStatus::Failed || in_doubt.is_empty() {
            return;
        }
        self.told.push(StepTry {
            handler: step.handler.clone(),
            step: step.kind.into(),
            module: None,
            started_at: Timestamp::now(),
            outcome: StepOutcome::Failed.into(),
            error: step.last_error.clone(),
            not_before: None,
            facts: Labels::default(),
            blocks: Vec::new(),
            in_doubt: told_doubts(&in_doubt),
            trace: api::Trace::default(),
        });
        self.warn_of_doubts(place);
    }

    /// Logs that a step ended with a call in doubt; its story has the call. A doubt of a crashed step that may have made no call
    /// is only in the story.
    fn warn_of_doubts(&self, place: usize) {
        let step = &self.leased.progress.steps[place];
        let mut doubts = step.doubts.iter();
        let is_known = doubts.any(|doubt| doubt.suspect != Suspect::UnderWay);
        if step.status == StepStatus::Pending || !is_known {
            return;
        }
        let (handler, kind) = (step.handler.as_str(), step.kind.as_str());
        let (delivery, alertname) = (self.leased.id, self.leased.alert.name());
        tracing::warn!(
            handler, step = kind, %delivery, alertname,
            "a call of {handler} may have happened and was not repeated: `alert-manager explain {delivery}` names it"
        );
    }

    /// Counts an actor that ended.
    fn finished(&self, place: usize) {
        let step = &self.leased.progress.steps[place];
        let outcome = match (step.kind, step.status) {
            (StepKind::Act, StepStatus::Done) => "done",
            (StepKind::Act, StepStatus::Failed) => "dead",
            _ => return,
        };
        self.worker
            .metrics
            .actor_ended(&step.handler, outcome, self.age());
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

    /// Handles an open breaker: an enrichment is left out, an actor waits without using an attempt.
    fn paused(&mut self, place: usize, left: Duration, reason: &str, settings: &HandlerSettings) {
        let now = Timestamp::now();
        let circumstances = self.circumstances(now);
        let step = &mut self.leased.progress.steps[place];
        let reason = format!("the handler is paused: {reason}");
        match step.kind {
            StepKind::Enrich => outcome::give_up(step, &reason),
            StepKind::Act if self.has_another_way => outcome::give_up(step, &reason),
            StepKind::Act => {
                step.last_error = Some(reason);
                // One delivery tries when the pause is over, and all continue if it succeeds. Their own times are later and
                // spread out: a backlog that wakes at one moment would only be sent back together.
                let wait = left + crate::breaker::PAUSE.mul_f64(1.0 + circumstances.jitter);
                outcome::wait_or_age(step, wait, &settings.retry, circumstances);
                if step.status == StepStatus::Pending {
                    step.waits_for = vec![Dependency::Handler(step.handler.to_string())];
                }
            }
        }
        self.tell_doubts_of_end(place);
        self.finished(place);
    }

    /// Handles a missing module, which is transient, since it can be added at any time: an enrichment is left out, an actor waits.
    /// As nothing ran, it is not an attempt, and the reason is on the delivery, not in its story.
    fn module_missing(&mut self, place: usize, settings: &HandlerSettings) {
        let step = &mut self.leased.progress.steps[place];
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
                self.failed(place, &failure, Met::default(), &settings, Timestamp::now());
            }
        }
        let level = match self.leased.progress.steps[place].status {
            StepStatus::Failed => tracing::Level::WARN,
            _ => tracing::Level::INFO,
        };
        self.log(place, level, &reason);
        self.tell_doubts_of_end(place);
        self.finished(place);
    }

    fn count(&self, handler: &HandlerName, trace: &Trace) {
        let metrics = &self.worker.metrics;
        for calls in &trace.counts {
            let count = u64::from(calls.count);
            metrics.host_calls(handler, calls.kind.as_str(), calls.result, count);
            if calls.result == Answered::Diverged.as_str() {
                metrics.diverged(handler, count);
            }
        }
        for (limit, count) in &trace.limits {
            metrics.limits(handler, limit.as_str(), u64::from(*count));
        }
    }

    fn tell_breaker(&self, handler: &HandlerName, kind: StepKind, invoked: &Invoked) {
        let health = match (&invoked.hold, &invoked.outcome) {
            // How it behaves while Slack rejects it says nothing about its health.
            (Some(_), Err(_)) => return,
            (_, Err(failure @ (StepFailure::Trap(_) | StepFailure::Limit(_)))) => {
                let why = failure.to_string();
                Health::Broken(why.lines().next().unwrap_or_default().to_owned())
            }
            (_, Err(StepFailure::Timeout(m))) if kind == StepKind::Enrich => {
                Health::Broken(m.clone())
            }
            (_, Err(StepFailure::Host(_))) => return,
            _ => Health::Sound,
        };
        let change = self
            .worker
            .breakers
            .tell(handler, kind, health, Instant::now());
        match change {
            Some(Change::Opened(reason)) => {
                tracing::error!(
                    handler = handler.as_str(),
                    step = kind.as_str(),
                    reason,
                    "handler {handler} is paused: it failed several times in a row; one delivery tries it every {} s",
                    crate::breaker::PAUSE.as_secs()
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

    fn log(&self, place: usize, level: tracing::Level, error: &str) {
        let step = &self.leased.progress.steps[place];
        let (handler, kind) = (step.handler.as_str(), step.kind.as_str());
        let (delivery, alertname) = (self.leased.id, self.leased.alert.name());
        if level == tracing::Level::WARN {
            tracing::warn!(handler, step = kind, %delivery, alertname, error, "step failed, not retried");
        } else {
            // The story has the complete error.
            let error = error.lines().next().unwrap_or_default();
            tracing::info!(handler, step = kind, %delivery, alertname, error, "step failed, will be retried");
        }
    }

    fn settle(self, waits_for: Option<HandlerName>) {
        let now = Timestamp::now();
        let mut progress = self.leased.progress;
        progress.end_lease(self.leased.lease);
        for (place, due) in self.due {
            let step = &mut progress.steps[place];
            if step.not_before.is_some() {
                // Computed from the monotonic clock, because the wall clock may have been set since the step failed.
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
            _ => progress
                .steps
                .iter()
                .rev()
                .filter(|step| step.status == StepStatus::Pending)
                .find_map(|step| step.last_error.clone()),
        };
        let mut attempt = Attempt {
            attempt: self.leased.lease,
            started_at: self.started_at,
            ended_at: now,
            outcome: outcome.into(),
            after_crash: self.leased.after_crash,
            steps: self.told,
            left_out: Vec::new(),
        };
        let told = !attempt.steps.is_empty();
        let story = told.then(|| story::to_json(&mut attempt, STORY_BYTES_MAX));
        if !attempt.left_out.is_empty() {
            for step in &attempt.steps {
                self.worker.metrics.limits(&step.handler, STORY_LIMIT, 1);
            }
        }
        self.worker.queue.settle(Settlement {
            id: self.leased.id,
            token: self.leased.token,
            next,
            progress,
            alert: Some(self.leased.alert),
            story: story.flatten(),
            last_error,
        });
    }
}

fn told_doubts(doubts: &Doubts) -> Vec<Lenient<Doubt>> {
    doubts.iter().cloned().map(Lenient::from).collect()
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

/// Returns whether a finished step is stored by itself. A very short one is cheaper to run again after a crash; its effects
/// are recorded in any case.
fn step_is_worth_keeping(wall: Duration) -> bool {
    wall >= Duration::from_millis(5)
}
