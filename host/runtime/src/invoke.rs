//! Runs one hook of a module in a new store with every limit set, and reports how it ended.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;

use crate::bindings::{hooks as contract, types};
use crate::calls::HookState;
use crate::calls::context::{Counts, HostContext};
use crate::calls::held_back::HeldBack;
use crate::hooks::failure::failure_of;
use crate::hooks::given::Given;
use crate::hooks::returned;
use crate::limits::POOL_WAIT_MAX;
use crate::limits::advice::Advice;
use crate::limits::quota::{LimitName, Limits};
use crate::modules::module::Module;
use crate::runtime::Runtime;
use crate::sandbox::clock::StepClock;
use crate::sandbox::cpu::CpuMeter;
use crate::sandbox::guest::GuestState;
use crate::sandbox::meter::MemoryMeter;
use crate::sandbox::store::new_store;
use crate::trace::elapsed::micros;
use crate::trace::log::{LogBudget, LogSource};
use crate::trace::recorder::{FinishedRecording, Recorder};
use crate::trace::{Answered, Call};
use crate::types::{Invocation, Invoked, Output, StepFailure};
use alert_manager_core::alert::StepKind;
use alert_manager_core::journal::{Recorded, Replay};

impl Runtime {
    /// Calls a hook of `module` in a new store. Returns within the invocation's time, whatever the guest does; the outcome
    /// has the reason if the hook failed.
    pub async fn invoke(self: &Arc<Self>, module: &Arc<Module>, invocation: Invocation) -> Invoked {
        self.invoke_until(module, invocation, std::future::pending())
            .await
    }

    /// Like [`Self::invoke`], but ends the invocation when `cut_off` resolves to the reason. The trace has its calls until
    /// then, including one in flight.
    pub async fn invoke_until(
        self: &Arc<Self>,
        module: &Arc<Module>,
        invocation: Invocation,
        cut_off: impl Future<Output = String> + Send,
    ) -> Invoked {
        let recorder = recorder_of(module, &invocation);
        let began = Instant::now();
        // What the steps before this one have held back outlasts it, however it ends.
        let held_back = invocation.held_back.clone();
        let run = run(
            Arc::clone(self),
            Arc::clone(module),
            invocation,
            Arc::clone(&recorder),
        );
        // A panic in host code ends only this invocation. It is caught here instead of by a task for each invocation,
        // because moving an invocation to another thread and back takes as much CPU time as the guest itself.
        let run = AssertUnwindSafe(Box::pin(run)).catch_unwind();
        let ended = tokio::select! {
            biased;
            ended = run => ended.unwrap_or_else(|panic| {
                let why = format!(
                    "the server failed inside this invocation, which is a bug of the server: {}",
                    message_of(panic.as_ref())
                );
                Ended::failed(StepFailure::Trap(why), Usage::default(), held_back)
            }),
            why = cut_off => {
                let usage = Usage { wall: began.elapsed(), ..Usage::default() };
                Ended::failed(StepFailure::Host(why), usage, held_back)
            }
        };
        if let Err(StepFailure::Limit(hit)) = &ended.outcome {
            recorder.limit_hit(hit.limit);
        }
        report(ended, recorder.finish())
    }
}

fn recorder_of(module: &Module, invocation: &Invocation) -> Arc<Recorder> {
    let source = LogSource {
        handler: module.name().clone(),
        about: Some((invocation.delivery, Arc::clone(&invocation.alert))),
    };
    let budget = LogBudget::new(&invocation.limits, Arc::clone(&module.rates));
    let recorder = Recorder::new(source, budget);
    let has_effect = invocation.recorded.entries.iter().any(|entry| entry.effect);
    let doubts = invocation.doubts.clone();
    Arc::new(recorder.for_attempt(invocation.lease, doubts, has_effect))
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message")
}

/// How an invocation ended.
struct Ended {
    outcome: Result<Output, StepFailure>,
    usage: Usage,
    held_back: HeldBack,
}

impl Ended {
    /// Returns the end of an invocation without a result of its own, which keeps what was held back before it.
    fn failed(failure: StepFailure, usage: Usage, held_back: HeldBack) -> Self {
        Self {
            outcome: Err(failure),
            usage,
            held_back,
        }
    }
}

#[derive(Default)]
struct Usage {
    cpu: Duration,
    wall: Duration,
    memory_bytes: u64,
}

fn report(ended: Ended, kept: FinishedRecording) -> Invoked {
    let Ended {
        outcome,
        usage,
        held_back,
    } = ended;
    let mut trace = kept.trace;
    trace.cpu_us = micros(usage.cpu);
    trace.wall_us = micros(usage.wall);
    trace.memory_bytes = usage.memory_bytes;
    Invoked {
        outcome,
        trace,
        hold: kept.hold,
        unanswered: kept.unanswered,
        answered: kept.answered,
        doubts: Some(kept.doubts),
        recorded: kept.recorded,
        has_effect: kept.has_effect,
        has_sent: kept.has_sent,
        held_back,
    }
}

async fn run(
    runtime: Arc<Runtime>,
    module: Arc<Module>,
    invocation: Invocation,
    recorder: Arc<Recorder>,
) -> Ended {
    let permits = &runtime.sandbox.pool_permits;
    let _permit = match permits.take(module.name(), POOL_WAIT_MAX).await {
        Ok(permit) => permit,
        Err(error) => {
            recorder.limit_hit(LimitName::Invocations);
            return Ended::failed(
                StepFailure::Host(error.to_string()),
                Usage::default(),
                invocation.held_back,
            );
        }
    };
    let began = Instant::now();
    let wall_max = invocation.time_left.min(invocation.limits.wall_max);
    // Computed after the wait for a permit, which does not count as the step's time.
    let deadline = began + wall_max;
    let call = call_of(&invocation, wall_max);
    let (step, limits) = (invocation.step, invocation.limits);
    let (alert, found) = (Arc::clone(&invocation.alert), Arc::clone(&invocation.found));
    let cpu = CpuMeter::new();
    let state = state_for(&runtime, &module, invocation, deadline, recorder);
    let mut store = new_store(&runtime.sandbox, state, cpu.clone(), &module.share);
    let hook = cpu.measure(async {
        let instance = module.hooks.instantiate(&mut store).await?;
        let given = Given::new(&call, &alert, &found);
        wasmtime::Result::Ok(match step {
            StepKind::Enrich => {
                let returned = module.hooks.enrich(&mut store, &instance, &given);
                returned.await?.map(Returned::Enrichment)
            }
            StepKind::Act => {
                let returned = module.hooks.act(&mut store, &instance, &given);
                returned.await?.map(Returned::Facts)
            }
        })
    });
    let ended = tokio::time::timeout_at(deadline.into(), hook).await;
    let HookState { guest, host } = store.data();
    let outcome = match ended {
        Ok(Ok(returned)) => {
            note_diverged(host);
            output_of(returned, &limits)
        }
        Ok(Err(error)) => Err(failure_of(&error, guest)),
        Err(_) => {
            guest.recorder.limit_hit(LimitName::Wall);
            Err(timed_out(step, wall_max))
        }
    };
    Ended {
        outcome,
        usage: Usage {
            cpu: cpu.used(),
            wall: began.elapsed(),
            memory_bytes: guest.memory.bytes_peak(),
        },
        held_back: host.held_back.clone(),
    }
}

/// The result of a hook, unchecked.
enum Returned {
    Enrichment(types::Enrichment),
    Facts(types::Labels),
}

fn output_of(
    returned: Result<Returned, types::Failure>,
    limits: &Limits,
) -> Result<Output, StepFailure> {
    match returned {
        Ok(Returned::Enrichment(given)) => {
            returned::enrichment_from(given, limits).map(Output::Enrichment)
        }
        Ok(Returned::Facts(given)) => returned::facts_from(given, limits).map(Output::Facts),
        Err(failure) => Err(returned::failure_from(failure)),
    }
}

fn call_of(invocation: &Invocation, wall_max: Duration) -> contract::Call {
    contract::Call {
        delivery_id: invocation.delivery.to_string(),
        attempt: invocation.attempt,
        time_left_ms: u32::try_from(wall_max.as_millis()).unwrap_or(u32::MAX),
        dry_run: invocation.dry_run,
    }
}

fn state_for(
    runtime: &Runtime,
    module: &Module,
    invocation: Invocation,
    deadline: Instant,
    recorder: Arc<Recorder>,
) -> HookState {
    let limits = invocation.limits;
    let Recorded {
        entries,
        resumes_parked,
        elsewhere,
    } = invocation.recorded;
    let replay = Replay::new(entries, resumes_parked);
    let clock = StepClock::new(invocation.now, &replay);
    let memory = MemoryMeter::new(limits.memory_bytes_max, runtime.sandbox.bounds);
    let guest = GuestState::new(
        Arc::clone(&recorder),
        memory,
        limits,
        (clock.clone(), invocation.seed),
        Advice::Handler,
    );
    let host = HostContext {
        handler: module.name().clone(),
        delivery: invocation.delivery,
        step: invocation.step,
        dry_run: invocation.dry_run,
        alert: invocation.alert,
        found: invocation.found,
        config: invocation.config,
        grants: invocation.grants,
        limits,
        deadline,
        clock,
        replay,
        recorded_elsewhere: elsewhere,
        ledger: invocation.ledger,
        clients: Arc::clone(&module.clients),
        rates: Arc::clone(&module.rates),
        setting_reads: Arc::clone(&module.setting_reads),
        services: runtime.services(),
        recorder,
        counts: Counts::default(),
        held_back: invocation.held_back,
    };
    HookState { guest, host }
}

fn timed_out(step: StepKind, wall_max: Duration) -> StepFailure {
    StepFailure::Timeout(format!(
        "{limit}: {step} was not done within {wall_max:?}; the last host call shows what it waited for. \
         Raise limits.wall of this handler, or give its requests a timeout.",
        limit = LimitName::Wall,
        step = step.as_str(),
    ))
}

/// Adds the recorded effects that this attempt did not ask for to the story.
fn note_diverged(host: &HostContext) {
    for entry in host.replay.diverged() {
        let call = Call {
            kind: entry.kind,
            request: entry.request.clone(),
            result: format!("{}; this attempt did not ask for it again", entry.result),
            answered: Answered::Diverged,
            offset_us: None,
            duration_us: 0,
            bytes_out: 0,
            bytes_in: 0,
            sent: None,
            preview: None,
            allow: None,
        };
        host.recorder.add_call(call, true);
    }
}
