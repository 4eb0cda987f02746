//! Runs one hook: a fresh store, every limit set, and a report of whatever ends it.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use wasmtime::component::ResourceTableError;
use wasmtime::{Store, Trap, UpdateDeadline, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::bindings::{hooks as contract, types};
use crate::calls::recorder::{Kept, LogBudget, Recorder, Speaker, cut, micros};
use crate::limits::quota::{LimitHit, LimitName, Limits};
use crate::limits::{
    DESCRIBE_CPU_MAX, DESCRIBE_WAIT_MAX, DESCRIBE_WALL_MAX, FAILURE_BYTES_MAX, HANDLES_MAX,
    LONG_CPU, OF_DESCRIBE, SLOT_WAIT_MAX,
};
use crate::sandbox::clock::StepClock;
use crate::sandbox::convert;
use crate::sandbox::cpu::CpuMeter;
use crate::sandbox::hooks::{Given, Hooks};
use crate::sandbox::meter::MemoryMeter;
use crate::sandbox::module::Module;
use crate::sandbox::state::{Counts, Powers, State, Stop};
use crate::sandbox::turns::Line;
use crate::wasmtime_words;
use crate::{Answered, Call, Invocation, Invoked, Output, Runtime, StepFailure};
use alert_manager_core::alert::{StepKind, Timestamp};
use alert_manager_core::journal::Replay;

impl Runtime {
    /// Calls a hook of `module` in a store of its own. Whatever the guest does, this returns:
    /// within its time, with the reason in the outcome.
    pub async fn invoke(self: &Arc<Self>, module: &Arc<Module>, invocation: Invocation) -> Invoked {
        self.invoke_until(module, invocation, std::future::pending())
            .await
    }

    /// As [`Self::invoke`], but cut off once `cut_off` resolves to the reason. What it did until then is told, and which
    /// call it had under way is known.
    pub async fn invoke_until(
        self: &Arc<Self>,
        module: &Arc<Module>,
        invocation: Invocation,
        cut_off: impl Future<Output = String> + Send,
    ) -> Invoked {
        let recorder = recorder_of(module, &invocation);
        let began = Instant::now();
        let run = run(
            Arc::clone(self),
            Arc::clone(module),
            invocation,
            Arc::clone(&recorder),
        );
        // A panic in host code ends this invocation alone. Caught here rather than by a task of its own:
        // handing each invocation to another thread and back costs as much as the guest itself.
        let run = AssertUnwindSafe(Box::pin(run)).catch_unwind();
        let finished = tokio::select! {
            biased;
            finished = run => finished.unwrap_or_else(|panic| Finished {
                outcome: Err(StepFailure::Trap(format!(
                    "the server failed inside this invocation, which is a bug of the server: {}",
                    message_of(panic.as_ref())
                ))),
                usage: Usage::default(),
            }),
            why = cut_off => Finished {
                outcome: Err(StepFailure::Host(why)),
                usage: Usage { wall: began.elapsed(), ..Usage::default() },
            },
        };
        if let Err(StepFailure::Limit(hit)) = &finished.outcome {
            recorder.met(hit.limit);
        }
        let Kept {
            mut trace,
            hold,
            needs,
            rate,
            has,
            doubts,
            recorded,
        } = recorder.finish();
        let mut finished = finished;
        if let (
            Some(rate),
            Err(StepFailure::Unavailable {
                message,
                after: Some(_),
            }),
        ) = (rate, &mut finished.outcome)
        {
            // A guest knows only that it is to wait, and takes it for Slack's word.
            *message = rate;
        }
        trace.cpu_us = micros(finished.usage.cpu);
        trace.wall_us = micros(finished.usage.wall);
        trace.memory_bytes = finished.usage.memory_bytes;
        Invoked {
            outcome: finished.outcome,
            trace,
            hold,
            needs,
            has,
            doubts: Some(doubts),
            recorded,
        }
    }
}

fn recorder_of(module: &Module, invocation: &Invocation) -> Arc<Recorder> {
    let speaker = Speaker {
        handler: module.name().clone(),
        about: Some((invocation.delivery, Arc::clone(&invocation.alert))),
    };
    let budget = LogBudget::new(&invocation.limits, Arc::clone(&module.rates));
    let recorder = Recorder::new(speaker, budget);
    Arc::new(recorder.in_doubt(invocation.lease, invocation.doubts.clone()))
}

fn call_of(invocation: &Invocation, wall_max: Duration) -> contract::Call {
    contract::Call {
        delivery_id: invocation.delivery.to_string(),
        attempt: invocation.attempt,
        time_left_ms: u32::try_from(wall_max.as_millis()).unwrap_or(u32::MAX),
        dry_run: invocation.dry_run,
    }
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message")
}

struct Finished {
    outcome: Result<Output, StepFailure>,
    usage: Usage,
}

#[derive(Default)]
struct Usage {
    cpu: Duration,
    wall: Duration,
    memory_bytes: u64,
}

async fn run(
    runtime: Arc<Runtime>,
    module: Arc<Module>,
    invocation: Invocation,
    recorder: Arc<Recorder>,
) -> Finished {
    let wall_max = invocation.time_left.min(invocation.limits.wall_max);
    let slots = &runtime.sandbox.slots;
    let _slot = match slots.take(module.name(), SLOT_WAIT_MAX).await {
        Ok(slot) => slot,
        Err(error) => {
            recorder.met(LimitName::Invocations);
            return Finished {
                outcome: Err(StepFailure::Host(error.to_string())),
                usage: Usage::default(),
            };
        }
    };
    let began = Instant::now();
    // Only now: what it waited for the others is none of its own time.
    let deadline = began + wall_max;
    let call = call_of(&invocation, wall_max);
    let step = invocation.step;
    let limits = invocation.limits;
    let alert = Arc::clone(&invocation.alert);
    let found = Arc::clone(&invocation.found);
    let cpu = CpuMeter::new();
    let state = state_for(
        &runtime,
        &module,
        invocation,
        deadline,
        Arc::clone(&recorder),
    );
    let mut store = new_store(&runtime, state, cpu.clone(), &limits, &module.line);
    let hook = cpu.measure(async {
        let instance = module.hooks.instantiate(&mut store).await?;
        let given = Given::new(&call, &alert, &found);
        wasmtime::Result::Ok(match step {
            StepKind::Enrich => module
                .hooks
                .enrich(&mut store, &instance, &given)
                .await?
                .map(Returned::Enrichment),
            StepKind::Act => module
                .hooks
                .act(&mut store, &instance, &given)
                .await?
                .map(Returned::Facts),
        })
    });
    let ended = tokio::time::timeout_at(deadline.into(), hook).await;
    let state = store.data();
    let outcome = match ended {
        Ok(Ok(returned)) => {
            tell_diverged(state);
            match returned {
                Ok(Returned::Enrichment(given)) => {
                    convert::enrichment_from(given, &limits).map(Output::Enrichment)
                }
                Ok(Returned::Facts(given)) => {
                    convert::facts_from(given, &limits).map(Output::Facts)
                }
                Err(failure) => Err(convert::failure_from(failure)),
            }
        }
        Ok(Err(error)) => Err(failure_of(&error, state)),
        Err(_) => {
            state.recorder.met(LimitName::Wall);
            Err(StepFailure::Timeout(format!(
                "{limit}: {step} was not done within {wall_max:?}; the last host call tells what it waited for. \
             Raise limits.wall of this handler, or give its requests a timeout.",
                limit = LimitName::Wall,
                step = step.as_str(),
            )))
        }
    };
    Finished {
        outcome,
        usage: Usage {
            cpu: cpu.used(),
            wall: began.elapsed(),
            memory_bytes: state.memory.bytes_peak(),
        },
    }
}

enum Returned {
    Enrichment(types::Enrichment),
    Facts(types::Labels),
}

fn state_for(
    runtime: &Runtime,
    module: &Module,
    invocation: Invocation,
    deadline: Instant,
    recorder: Arc<Recorder>,
) -> State {
    let replay = Replay::new(invocation.recorded.entries);
    let clock = StepClock::new(invocation.now, &replay);
    let powers = Powers {
        handler: module.name().clone(),
        delivery: invocation.delivery,
        step: invocation.step,
        dry_run: invocation.dry_run,
        alert: invocation.alert,
        found: invocation.found,
        config: invocation.config,
        grants: invocation.grants,
        limits: invocation.limits,
        deadline,
        clock: clock.clone(),
        replay,
        ledger: invocation.ledger,
        clients: Arc::clone(&module.clients),
        rates: Arc::clone(&module.rates),
        services: runtime.services.load_full(),
        recorded_elsewhere: invocation.recorded.elsewhere,
        counts: Counts::default(),
        kv_held_back: std::collections::BTreeMap::new(),
    };
    let memory = MemoryMeter::new(invocation.limits.memory_bytes_max, runtime.sandbox.bounds);
    let step = (clock, invocation.seed);
    State::new(recorder, memory, &invocation.limits, step, Some(powers))
}

/// Makes a store with every limit set.
fn new_store(
    runtime: &Runtime,
    state: State,
    cpu: CpuMeter,
    limits: &Limits,
    line: &Line,
) -> Store<State> {
    let cpu_max = limits.cpu_max;
    let advice = match state.powers {
        Some(_) => "Raise limits.cpu of this handler, or make it do less.",
        None => OF_DESCRIBE,
    };
    let (turns, line) = (runtime.sandbox.turns.clone(), line.clone());
    let mut store = Store::new(&runtime.sandbox.engine, state);
    store.limiter(|state| &mut state.memory);
    store.set_hostcall_fuel(limits.call_bytes_max);
    store.set_max_component_handles(HANDLES_MAX);
    // Without a deadline the first instruction would trap.
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        let used = cpu.used();
        if used >= cpu_max {
            return Err(Stop::Limit(LimitHit {
                limit: LimitName::Cpu,
                used: millis(used),
                max: millis(cpu_max),
                detail: format!("used {used:.0?}, {cpu_max:?} are allowed. {advice}"),
            })
            .into());
        }
        let (cpu, turns, line) = (cpu.clone(), turns.clone(), line.clone());
        Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(async move {
                // Others on this thread go first, and the wall clock gets to be looked at.
                tokio::task::yield_now().await;
                if used >= LONG_CPU {
                    cpu.hold(turns.take(&line).await);
                }
            }),
        ))
    });
    store
}

/// Why a module could not be described.
pub(crate) enum DescribeFailure {
    /// Its types are not the contract's: found only when it is instantiated.
    Mismatch(String),
    /// Its code failed.
    Failed(StepFailure),
}

/// Calls `describe` alone in a store that may do nothing else.
///
/// # Errors
/// Says what ended it.
pub(crate) async fn describe(
    runtime: &Runtime,
    hooks: &Hooks,
    recorder: Arc<Recorder>,
) -> Result<contract::Description, DescribeFailure> {
    let slots = &runtime.sandbox.slots;
    let _slot = slots
        .take_for_describe(DESCRIBE_WAIT_MAX)
        .await
        .map_err(|error| DescribeFailure::Failed(StepFailure::Host(error.to_string())))?;
    // Nobody set limits yet for a name that nobody knows.
    let limits = Limits {
        cpu_max: DESCRIBE_CPU_MAX,
        wall_max: DESCRIBE_WALL_MAX,
        ..Limits::default()
    };
    let memory = MemoryMeter::for_describe(runtime.sandbox.bounds);
    let state = State::new(
        recorder,
        memory,
        &limits,
        (StepClock::at(Timestamp::now()), [0; 32]),
        None,
    );
    let cpu = CpuMeter::new();
    let line = &runtime.sandbox.line_of_describe;
    let mut store = new_store(runtime, state, cpu.clone(), &limits, line);
    let mut is_instantiated = false;
    let described = cpu.measure(async {
        let instance = hooks.instantiate(&mut store).await?;
        hooks.check(&mut store, &instance)?;
        is_instantiated = true;
        hooks.describe(&mut store, &instance).await
    });
    let described = tokio::time::timeout(DESCRIBE_WALL_MAX, described).await;
    match described {
        Ok(Ok(description)) => Ok(description),
        Ok(Err(error)) => Err(match failure_of(&error, store.data()) {
            StepFailure::Trap(_) if !is_instantiated && error.downcast_ref::<Trap>().is_none() => {
                DescribeFailure::Mismatch(format!("{error:#}"))
            }
            failure => DescribeFailure::Failed(failure),
        }),
        Err(_) => Err(DescribeFailure::Failed(StepFailure::Timeout(format!(
            "{}: describe was not done within {DESCRIBE_WALL_MAX:?}",
            LimitName::Wall
        )))),
    }
}

fn tell_diverged(state: &State) {
    let Some(powers) = &state.powers else {
        return;
    };
    for entry in powers.replay.diverged() {
        let call = Call {
            kind: entry.kind,
            request: entry.request.clone(),
            result: format!("{}; this attempt did not ask for it again", entry.result),
            answered: Answered::Diverged,
            duration_us: 0,
            preview: None,
        };
        state.recorder.call(call, true);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Says what ended a guest, in the order of what is nearest to the cause.
fn failure_of(error: &wasmtime::Error, state: &State) -> StepFailure {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return match stop {
            Stop::Limit(hit) => StepFailure::Limit(hit.clone()),
            Stop::Host(why) => StepFailure::Host(why.clone()),
        };
    }
    if let Some(hit) = state.memory.hit() {
        return StepFailure::Limit(hit);
    }
    let why = match (
        error.downcast_ref::<I32Exit>(),
        error.downcast_ref::<Trap>(),
    ) {
        (Some(I32Exit(code)), _) => {
            format!("it exited with code {code}: a handler returns its result instead of exiting")
        }
        (None, Some(Trap::StackOverflow)) => {
            let max = state.memory.bounds().stack_bytes_max as u64;
            let why = format!("deeper than {max} bytes; look for a recursion without end");
            return StepFailure::Limit(LimitHit {
                limit: LimitName::Stack,
                used: max,
                max,
                detail: report(&why, error, state),
            });
        }
        (None, Some(trap @ Trap::MemoryOutOfBounds)) => format!(
            "it trapped: {trap}; where one function fills the backtrace, it is a recursion without end"
        ),
        (None, Some(trap)) => format!("it trapped: {trap}"),
        (None, None) => {
            let cause = error.root_cause();
            if let Some(ResourceTableError::Full) = cause.downcast_ref() {
                let max = HANDLES_MAX as u64;
                return StepFailure::Limit(LimitHit {
                    limit: LimitName::Handles,
                    used: max + 1,
                    max,
                    detail: format!(
                        "more than the {max} timers and streams that it may hold at one time; \
                         look for a loop that makes them and does not drop them"
                    ),
                });
            }
            let cause = cause.to_string();
            if wasmtime_words::is_call_too_large(&cause) {
                let limits = state
                    .powers
                    .as_ref()
                    .map_or_else(Limits::default, |p| p.limits);
                let max = limits.call_bytes_max as u64;
                return StepFailure::Limit(LimitHit {
                    limit: LimitName::CallBytes,
                    used: max + 1,
                    max,
                    detail: format!("it returned or passed more than {max} bytes in one call"),
                });
            }
            format!("it broke the contract: {cause}")
        }
    };
    StepFailure::Trap(report(&why, error, state))
}

/// Adds the guest's last words and its backtrace.
fn report(why: &str, error: &wasmtime::Error, state: &State) -> String {
    let stderr = alert_manager_core::text::inert(&state.recorder.stderr_tail());
    let backtrace = error
        .downcast_ref::<WasmBacktrace>()
        .map(ToString::to_string)
        .unwrap_or_default();
    crate::sandbox::trap::report(why, &stderr, cut(backtrace.trim_end(), FAILURE_BYTES_MAX))
}
