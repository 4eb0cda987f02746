//! Makes the wasmtime store of one call of a hook, with every limit set.

use std::time::Duration;

use wasmtime::{Store, UpdateDeadline};

use crate::limits::quota::{LimitHit, LimitName};
use crate::limits::{HANDLES_MAX, LONG_CPU};
use crate::sandbox::cpu::CpuMeter;
use crate::sandbox::engine::Sandbox;
use crate::sandbox::fair_share::HandlerShare;
use crate::sandbox::guest::HasGuest;
use crate::sandbox::stop::Stop;

/// Makes a store with this data. A guest that computes for longer than [`LONG_CPU`] takes CPU permits of `share`.
pub(crate) fn new_store<T: HasGuest>(
    sandbox: &Sandbox,
    data: T,
    cpu: CpuMeter,
    share: &HandlerShare,
) -> Store<T> {
    let (limits, advice) = (data.guest_ref().limits, data.guest_ref().advice());
    let (permits, share) = (sandbox.cpu_permits.clone(), share.clone());
    let mut store = Store::new(&sandbox.engine, data);
    store.limiter(|data| &mut data.guest().memory);
    store.set_hostcall_fuel(limits.call_bytes_max);
    store.set_max_component_handles(HANDLES_MAX);
    // With the default deadline of 0 the first instruction would trap.
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        let (used, max) = (cpu.used(), limits.cpu_max);
        if used >= max {
            let advice = advice.about(LimitName::Cpu, "do less");
            return Err(Stop::Limit(LimitHit {
                limit: LimitName::Cpu,
                used: millis(used),
                max: millis(max),
                detail: format!("used {used:.0?}, {max:?} are allowed. {advice}"),
            })
            .into());
        }
        let (cpu, permits, share) = (cpu.clone(), permits.clone(), share.clone());
        Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(async move {
                // Lets other tasks of this thread run, and the timeout of the invocation be checked.
                tokio::task::yield_now().await;
                if used >= LONG_CPU {
                    cpu.hold(permits.take(&share).await);
                }
            }),
        ))
    });
    store
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
