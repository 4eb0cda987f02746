//! Turns an error of wasmtime into the reason why a guest did not return, for the handler's author.

use wasmtime::component::ResourceTableError;
use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::limits::quota::{LimitHit, LimitName};
use crate::limits::{FAILURE_BYTES_MAX, HANDLES_MAX};
use crate::sandbox::guest::GuestState;
use crate::sandbox::stop::Stop;
use crate::text::cut;
use crate::types::StepFailure;
use crate::wasmtime_words;

/// Returns why a guest did not return: the host's own reason if it has one, then a refused growth of memory, then the trap.
pub(crate) fn failure_of(error: &wasmtime::Error, guest: &GuestState) -> StepFailure {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return match stop {
            Stop::Limit(hit) => StepFailure::Limit(hit.clone()),
            Stop::Host(why) => StepFailure::Host(why.clone()),
            Stop::Parked(parked) => StepFailure::Parked(parked.clone()),
        };
    }
    if let Some(hit) = guest.memory.hit() {
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
            let max = guest.memory.bounds().stack_bytes_max as u64;
            let why = format!("deeper than {max} bytes; look for a recursion without end");
            return StepFailure::Limit(LimitHit {
                limit: LimitName::Stack,
                used: max,
                max,
                detail: report(&why, error, guest),
            });
        }
        (None, Some(trap @ Trap::MemoryOutOfBounds)) => format!(
            "it trapped: {trap}; if one function fills the backtrace, it is a recursion without end"
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
                let max = guest.limits.call_bytes_max as u64;
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
    StepFailure::Trap(report(&why, error, guest))
}

/// Adds the end of the guest's stderr and its backtrace.
fn report(why: &str, error: &wasmtime::Error, guest: &GuestState) -> String {
    let stderr = alert_manager_core::text::inert(&guest.recorder.log.stderr_tail());
    let backtrace = error
        .downcast_ref::<WasmBacktrace>()
        .map(ToString::to_string)
        .unwrap_or_default();
    let backtrace = cut(backtrace.trim_end(), FAILURE_BYTES_MAX);
    // The report of an exception leaves out what its interpreter says and all frames but the author's.
    let handler = guest.recorder.log.handler();
    tracing::debug!(%handler, "{handler} failed: {why}\n{stderr}\n{backtrace}");
    crate::sandbox::trap::report(why, &stderr, backtrace)
}
