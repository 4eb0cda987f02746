//! The part of a store's data that every hook has: WASI without any resource, meters and the recorder.

use std::sync::Arc;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::limits::advice::Advice;
use crate::limits::quota::{LimitHit, LimitName, Limits};
use crate::limits::{HANDLES_MAX, RANDOM_BYTES_MAX};
use crate::sandbox::clock::StepClock;
use crate::sandbox::meter::MemoryMeter;
use crate::sandbox::stdio::{GuestOutput, OutputKind};
use crate::sandbox::stop::Stop;
use crate::trace::recorder::Recorder;

/// The data of a store for `describe`; stores for `enrich` and `act` have a host context in addition.
pub(crate) struct GuestState {
    wasi: WasiCtx,
    table: ResourceTable,
    pub(crate) memory: MemoryMeter,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) limits: Limits,
    /// The advice in errors about limits.
    advice: Advice,
    host_calls: u32,
    random_bytes: u64,
}

/// Store data with a [`GuestState`].
pub(crate) trait HasGuest: WasiView + Send + 'static {
    fn guest(&mut self) -> &mut GuestState;
    fn guest_ref(&self) -> &GuestState;
}

impl GuestState {
    pub(crate) fn new(
        recorder: Arc<Recorder>,
        memory: MemoryMeter,
        limits: Limits,
        (clock, seed): (StepClock, [u8; 32]),
        advice: Advice,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        Self {
            wasi: empty_world(&recorder, clock, seed),
            table,
            memory,
            recorder,
            limits,
            advice,
            host_calls: 0,
            random_bytes: 0,
        }
    }

    pub(crate) fn advice(&self) -> Advice {
        self.advice
    }

    /// Counts a host call of any interface.
    ///
    /// # Errors
    /// If the limit is met.
    pub(crate) fn count_host_call(&mut self) -> Result<(), Stop> {
        self.host_calls += 1;
        let (used, max) = (self.host_calls, self.limits.host_calls_max);
        if used <= max {
            return Ok(());
        }
        Err(Stop::Limit(LimitHit {
            limit: LimitName::HostCalls,
            used: used.into(),
            max: max.into(),
            detail: format!(
                "more than the {max} host calls that one step may make; \
                 look for a loop that asks the host each time around"
            ),
        }))
    }

    /// Counts random bytes before they are drawn.
    ///
    /// # Errors
    /// If the limit of one call or of the invocation is met.
    pub(crate) fn count_random(&mut self, bytes: u64) -> Result<(), Stop> {
        let over = |used, max, detail| {
            let limit = LimitName::RandomBytes;
            Stop::Limit(LimitHit {
                limit,
                used,
                max,
                detail,
            })
        };
        if bytes > RANDOM_BYTES_MAX {
            let detail = format!("{bytes} bytes in one call, {RANDOM_BYTES_MAX} are allowed");
            return Err(over(bytes, RANDOM_BYTES_MAX, detail));
        }
        self.random_bytes += bytes;
        let (used, max) = (self.random_bytes, self.limits.random_bytes_max);
        if used > max {
            let advice = self.advice.about(LimitName::RandomBytes, "draw less");
            let detail = format!("{used} bytes in all, {max} are allowed. {advice}");
            return Err(over(used, max, detail));
        }
        Ok(())
    }

    pub(crate) fn wasi(&mut self) -> &mut WasiCtx {
        &mut self.wasi
    }
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl HasGuest for GuestState {
    fn guest(&mut self) -> &mut GuestState {
        self
    }

    fn guest_ref(&self) -> &GuestState {
        self
    }
}

/// Returns WASI without files, arguments, variables and sockets, and with an empty stdin. The wall clock and random numbers
/// are the step's own, so that a retry takes the same path. The monotonic clock runs, because timers and timeouts need it.
fn empty_world(recorder: &Arc<Recorder>, clock: StepClock, seed: [u8; 32]) -> WasiCtx {
    let mut insecure_seed = seed;
    insecure_seed[0] ^= 0xff;
    let (low, _) = seed.split_at(16);
    let hash_seed = u128::from_le_bytes(low.try_into().unwrap_or_default());
    WasiCtxBuilder::new()
        .stdout(GuestOutput::new(OutputKind::Stdout, Arc::clone(recorder)))
        .stderr(GuestOutput::new(OutputKind::Stderr, Arc::clone(recorder)))
        .wall_clock(clock)
        .secure_random(StdRng::from_seed(seed))
        .insecure_random(StdRng::from_seed(insecure_seed))
        .insecure_random_seed(hash_seed)
        .max_random_size(RANDOM_BYTES_MAX)
        .build()
}
