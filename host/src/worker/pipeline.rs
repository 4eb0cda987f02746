//! One lease of one delivery: its due steps in order, each in the sandbox, until it is settled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::breaker::{Change, Gate, Health};
use super::outcome::{self, Circumstances, Met};
use super::story::{Attempt, STORY_BYTES_MAX, STORY_LIMIT, StepStory};
use super::{Phase, Worker};
use crate::alert::{
    Enrichment, HandlerName, Labels, Status, StepKind, Timestamp, is_dead_letter_route,
};
use crate::config::HandlerSettings;
use crate::journal::{Dependency, RecordUse, Recorded, Suspect};
use crate::policy::{Grants, MissingPin};
use crate::queue::{Leased, Next, Queue, ReadError, Settlement, StepStatus, Wake, Woken};
use crate::runtime::{Answered, Invocation, Invoked, Module, Output, StepFailure, Trace};

/// How long an actor whose module is not loaded waits before it looks again.
const MODULE_RETRY_MAX: Duration = Duration::from_secs(10);

/// The longest pause between two tries of a notice about a dead letter on one way while another is free.
const WAY_BACKOFF_MAX: Duration = Duration::from_secs(15);

/// A lease under way.
pub(super) struct Run {
    worker: Worker,
    leased: Leased,
    slot: Option<Slot>,
    cut_off: watch::Receiver<Phase>,
    started_at: Timestamp,
    began: Instant,
    /// The steps that this lease has tried. Each is tried once a lease: what it recorded is read with the next.
    tried: Vec<usize>,
    told: Vec<StepStory>,
    /// What its steps have recorded under this lease.
    recorded_now: RecordUse,
    /// When the steps that failed are due, on the clock that only runs forwards.
    due: BTreeMap<usize, Instant>,
    /// The steps that go on before their time, and what each waited for that is back.
    woken: BTreeMap<usize, Vec<Woken>>,
    /// What answered this lease: a step that needs one of these nevertheless is not to be woken by that answer.
    has: Vec<Dependency>,
    /// It is a notice that takes another way if it dies on this one: nothing is gained by trying this one for hours. Looked
    /// up when a step fails.
    has_another_way: bool,
}

/// A handler's slot, given back when dropped: even a panic leaks none.
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
        self.queue.release_permit(&self.handler);
    }
}

/// What a lease does next.
enum Turn {
    /// Tries the step at this place, under the slot that it holds.
    Step(usize),
    /// Ends: the rest waits for this handler's slot.
    Yield(HandlerName),
    /// Ends: nothing more is due.
    End,
}

impl Run {
    pub(super) fn new(
        worker: &Worker,
        mut leased: Leased,
        cut_off: watch::Receiver<Phase>,
    ) -> Self {
        let now = Timestamp::now();
        // The queue waits by a clock that only runs forwards: what it hands out is due, whatever the time of
        // day was set to meanwhile.
        let steps = &mut leased.progress;
        let woken = steps.wake(&leased.woken).into_iter().collect();
        leased.progress.make_due(now);
        if leased.after_crash {
            leased
                .progress
                .interrupt(leased.lease.number.saturating_sub(1));
        }
        for step in &mut leased.progress.steps {
            let adds_nothing = |module: Arc<Module>| module.description().act_only;
            if step.kind == StepKind::Enrich
                && step.status == StepStatus::Pending
                && worker.registry.get(&step.handler).is_some_and(adds_nothing)
            {
                // Nothing is to be found, and so nothing to be told.
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

    /// Runs what is due, then settles.
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

    /// Returns true for a notice about a delivery that is no longer dead. What cannot be read is sent.
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
            slot,
            ..
        } = self;
        drop(slot);
        worker.queue.leave_out(leased);
    }

    /// Chooses the next step: enrichments in order; then any actor that is due and whose slot is free, so that
    /// one without a slot does not hold back the next.
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
            // What failed in this lease and is due again already goes on in the next.
            None => Turn::Yield(self.handler_of(first).clone()),
        }
    }

    /// An enrichment that found no slot within its budget is left out: what only informs holds nothing back.
    fn give_up_waiting(&mut self, place: usize) -> bool {
        let age = self.age();
        let step = &mut self.leased.progress.steps[place];
        if step.kind != StepKind::Enrich {
            return false;
        }
        let within = self
            .worker
            .config
            .load()
            .handler(&step.handler)
            .enrich
            .within;
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

    /// Moves to the slot of the handler of this step; false where it has none free, and the one held stays.
    fn take_slot(&mut self, place: usize) -> bool {
        let handler = self.handler_of(place).clone();
        if self
            .slot
            .as_ref()
            .is_some_and(|slot| slot.handler == handler)
        {
            return true;
        }
        if !self.worker.queue.try_take_permit(&handler) {
            return false;
        }
        self.slot = Some(Slot::new(self.worker.queue.clone(), handler));
        true
    }

    /// Runs one step once, and writes what came of it into the progress.
    async fn step(&mut self, place: usize) {
        let step = &self.leased.progress.steps[place];
        let (handler, kind) = (step.handler.clone(), step.kind);
        let settings = self.worker.config.load().handler(&handler);
        match self.worker.breakers.ask(&handler, kind, Instant::now()) {
            Gate::Open => {}
            Gate::Paused(left, reason) => {
                self.look_for_another_way().await;
                self.paused(place, left, &reason, &settings);
                return;
            }
        }
        let Some(module) = self.worker.registry.get(&handler) else {
            self.look_for_another_way().await;
            self.module_missing(place, &settings);
            return;
        };
        let started_at = Timestamp::now();
        let invoked = self.invoke(place, &module, &settings).await;
        if invoked.outcome.is_err() {
            self.look_for_another_way().await;
        }
        self.count(&handler, &invoked.trace);
        self.tell_breaker(&handler, kind, &invoked);
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
        module: &Arc<Module>,
        settings: &HandlerSettings,
    ) -> Invoked {
        let (id, lease) = (self.leased.id, self.leased.lease.number);
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
            grants: grants_of(settings, module),
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
        };
        let timer = self
            .worker
            .metrics
            .step_duration(&step.handler, step.kind)
            .start_timer();
        let cut_off = &mut self.cut_off;
        let cut_off = async {
            // The sender lives as long as the worker; without it, nothing is cut off any more.
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
            .invoke_until(module, invocation, cut_off)
            .await;
        timer.observe_duration();
        invoked
    }

    /// Returns what earlier attempts of a step recorded: of a delivery's first lease there are none.
    async fn recorded(&self, step: u32) -> Result<Recorded, ReadError> {
        if self.leased.lease.number <= 1 {
            return Ok(Recorded {
                elsewhere: self.recorded_now,
                ..Recorded::default()
            });
        }
        self.worker.queue.recorded(self.leased.id, step).await
    }

    /// The route's settings over the handler's own.
    fn route_config(&self, settings: &HandlerSettings) -> Arc<BTreeMap<String, String>> {
        let router = self.worker.router.load();
        match router.config_of(&self.leased.route) {
            Some(over) => settings.config_under(over),
            None => Arc::clone(&settings.config),
        }
    }

    /// An enrichment has what is left of its delivery's budget; an actor its whole wall time.
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

    /// What the enrichments before this step found, and which of them failed.
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
                    // The whole of a trap's backtrace belongs in the story; people need its first line.
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
        let (outcome, level) = match step.status {
            StepStatus::Done => ("done", None),
            StepStatus::Pending => ("retry", Some(tracing::Level::INFO)),
            StepStatus::Failed => ("failed", Some(tracing::Level::WARN)),
        };
        if let (Some(level), Some(error)) = (level, &error) {
            self.log(place, level, error);
        }
        self.told.push(StepStory {
            handler: step.handler.clone(),
            step: step.kind,
            module: Some(module),
            started_at,
            outcome: outcome.to_owned(),
            error: match step.status {
                // The reason to give up says more than the failure alone.
                StepStatus::Failed => step.last_error.clone(),
                _ => error,
            },
            not_before: step.not_before,
            facts: step.facts.clone(),
            blocks: step.blocks.clone(),
            in_doubt: step.doubts_over(&[], self.leased.lease.number),
            trace: invoked.trace,
        });
        self.warn_of_doubts(place);
        self.finished(place);
        if self.leased.progress.steps.len() > place + 1 && step_is_worth_keeping(wall) {
            self.worker
                .queue
                .progress(self.leased.lease, &self.leased.progress);
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
                // Only what the server itself failed in says nothing of what the step met. A notice that has another way
                // does not wait for this one.
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

    /// Tells what is in doubt of a step that ended without another try.
    fn tell_doubts_of_end(&mut self, place: usize) {
        let step = &self.leased.progress.steps[place];
        let in_doubt = step.doubts_over(&[], self.leased.lease.number);
        if step.status != StepStatus::Failed || in_doubt.is_empty() {
            return;
        }
        self.told.push(StepStory {
            handler: step.handler.clone(),
            step: step.kind,
            module: None,
            started_at: Timestamp::now(),
            outcome: "failed".to_owned(),
            error: step.last_error.clone(),
            not_before: None,
            facts: Labels::default(),
            blocks: Vec::new(),
            in_doubt,
            trace: Trace::default(),
        });
        self.warn_of_doubts(place);
    }

    /// Says in the log that a step ended with a call in doubt; its story has which. What a crash leaves of a step that may
    /// not have called anything is in the story alone.
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

    /// How long ago the alert was accepted, whatever the time of day was set to since.
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

    /// The handler's breaker is open: its enrichment is left out, its actor waits without using an attempt.
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
                // One tries when the pause is over, and all go if that succeeds. Their own time is later, and spread out: a
                // backlog that wakes at one moment would only be sent back together.
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

    /// No module of that name serves: that may pass, since one can be dropped in at any time. Its enrichment is left out, its
    /// actor waits. Nothing of it ran, so it is no attempt: the reason stands with the delivery, not in its story.
    fn module_missing(&mut self, place: usize, settings: &HandlerSettings) {
        let step = &mut self.leased.progress.steps[place];
        let handler = &step.handler;
        let reason = match self.worker.registry.refusal(handler) {
            Some(reason) => format!("handler {handler} is not loaded: {reason}"),
            None => format!(
                "handler {handler} is not loaded: put its .wasm into {}",
                self.worker.config.load().handlers_dir.display()
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
            // What it does when Slack refuses it says nothing about what it does else.
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
                    "handler {handler} is paused: it failed again and again; one delivery tries it every {} s",
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
            tracing::warn!(handler, step = kind, %delivery, alertname, error, "{handler} gave up");
        } else {
            // The whole of it is in the story.
            let error = error.lines().next().unwrap_or_default();
            tracing::info!(handler, step = kind, %delivery, alertname, error, "{handler} will try again");
        }
    }

    fn settle(self, waits_for: Option<HandlerName>) {
        let now = Timestamp::now();
        let mut progress = self.leased.progress;
        progress.end_lease(self.leased.lease.number);
        for (place, due) in self.due {
            let step = &mut progress.steps[place];
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
            Next::Done => "done",
            Next::Dead(_) => "dead",
            Next::Retry { .. } => "retry",
            Next::Yield { .. } => "yield",
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
            attempt: self.leased.lease.number,
            started_at: self.started_at,
            ended_at: now,
            outcome: outcome.to_owned(),
            after_crash: self.leased.after_crash,
            steps: self.told,
            left_out: Vec::new(),
        };
        let told = !attempt.steps.is_empty();
        let story = told.then(|| attempt.tell(STORY_BYTES_MAX)).flatten();
        if !attempt.left_out.is_empty() {
            for step in &attempt.steps {
                self.worker.metrics.limits(&step.handler, STORY_LIMIT, 1);
            }
        }
        self.worker.queue.settle(Settlement {
            lease: self.leased.lease,
            next,
            progress,
            alert: Some(self.leased.alert),
            story,
            last_error,
        });
    }
}

/// What the operator granted; less the credentials where it is not certain whose module this is.
fn grants_of(settings: &HandlerSettings, module: &Module) -> Arc<Grants> {
    match (settings.sha256, module.exposure()) {
        (None, Some(exposure)) => settings.grants.for_unpinned(|| MissingPin {
            handler: module.name().clone(),
            sha256: module.sha256().to_owned(),
            exposure: exposure.to_owned(),
        }),
        _ => Arc::clone(&settings.grants),
    }
}

/// A step that took next to nothing is cheaper to run again after a crash than to store by itself;
/// its effects are on record either way.
fn step_is_worth_keeping(wall: Duration) -> bool {
    wall >= Duration::from_millis(5)
}
