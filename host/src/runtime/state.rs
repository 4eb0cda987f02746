//! What the store of one invocation holds: the guest's empty world, its meters, and what the host calls need.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use super::egress::Clients;
use super::limits;
use super::meter::MemoryMeter;
use super::recorder::Recorder;
use super::services::Services;
use super::stdio::{Channel, GuestOutput};
use crate::alert::{Alert, DeliveryId, Enrichment, HandlerName, StepKind, Timestamp};
use crate::journal::{CallKind, Ledger, Replay};
use crate::policy::Grants;

/// One store's data.
pub(super) struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    pub(super) memory: MemoryMeter,
    pub(super) recorder: Arc<Recorder>,
    /// Absent during `describe`, which may do nothing but log.
    pub(super) powers: Option<Powers>,
    calls_total: u32,
}

/// What a hook may use, beyond its own code.
pub(super) struct Powers {
    pub(super) handler: HandlerName,
    pub(super) delivery: DeliveryId,
    pub(super) step: StepKind,
    pub(super) dry_run: bool,
    pub(super) alert: Arc<Alert>,
    pub(super) found: Arc<Enrichment>,
    pub(super) config: Arc<BTreeMap<String, String>>,
    pub(super) grants: Arc<Grants>,
    pub(super) http_calls_max: u32,
    pub(super) deadline: Instant,
    /// What the guest's clock stands at, for the record.
    pub(super) clock: Timestamp,
    pub(super) replay: Replay,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) clients: Arc<Clients>,
    pub(super) services: Arc<Services>,
    pub(super) counts: Counts,
    /// What `kv` would hold, where effects are held back.
    pub(super) kv_held_back: BTreeMap<String, Option<Vec<u8>>>,
}

/// Calls so far, by kind, and what they brought in.
#[derive(Debug, Default)]
pub(super) struct Counts {
    http: u32,
    http_bytes: u64,
    slack: u32,
    kv: u32,
}

impl Powers {
    /// Counts a call; past its limit returns the limit's report.
    pub(super) fn count(&mut self, kind: CallKind) -> Result<(), String> {
        let (used, max, name) = match kind {
            CallKind::Http => (&mut self.counts.http, self.http_calls_max, "http_calls"),
            CallKind::Slack => (
                &mut self.counts.slack,
                limits::SLACK_CALLS_MAX,
                "slack_calls",
            ),
            CallKind::Kv => (&mut self.counts.kv, limits::KV_CALLS_MAX, "kv_calls"),
            CallKind::Config => return Ok(()),
        };
        if *used >= max {
            return Err(format!("{name}: all {max} calls of this step are used up"));
        }
        *used += 1;
        Ok(())
    }

    /// Counts the bytes of a response.
    pub(super) fn count_response(&mut self, bytes: usize) {
        self.counts.http_bytes += bytes as u64;
    }

    /// Returns the limit's report where responses have brought in all that a step may read.
    pub(super) fn check_response_bytes(&self) -> Result<(), String> {
        let max = limits::HTTP_TOTAL_BYTES_MAX;
        if self.counts.http_bytes < max {
            return Ok(());
        }
        Err(format!(
            "http_bytes: responses of this step have come to {max} bytes"
        ))
    }

    /// Returns what is left of the step's time.
    pub(super) fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// Why the host ends an invocation, where no answer to the guest would be right.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    /// Names the limit, what was allowed and what was used.
    #[error("{0}")]
    Limit(String),
    /// The lease is gone, or the record cannot be read.
    #[error("{0}")]
    Host(String),
}

impl State {
    pub(super) fn new(
        recorder: Arc<Recorder>,
        memory_bytes_max: u64,
        clock: Timestamp,
        seed: [u8; 32],
        powers: Option<Powers>,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits::HANDLES_MAX);
        Self {
            wasi: empty_world(&recorder, clock, seed),
            table,
            memory: MemoryMeter::new(memory_bytes_max),
            recorder,
            powers,
            calls_total: 0,
        }
    }

    /// Counts a host call of whatever kind.
    pub(super) fn count_any(&mut self) -> wasmtime::Result<()> {
        self.calls_total += 1;
        if self.calls_total > limits::HOST_CALLS_MAX {
            let max = limits::HOST_CALLS_MAX;
            return Err(Stop::Limit(format!(
                "host_calls: more than the {max} host calls that one step may make; \
                 look for a loop that asks the host each time around"
            ))
            .into());
        }
        Ok(())
    }
}

/// The contract's types alone: there is nothing to call.
impl super::bindings::types::Host for State {}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// No file, no argument, no variable, no socket. Clock and random are the step's own, so that a
/// retry takes the same way; stdin is at its end.
fn empty_world(recorder: &Arc<Recorder>, clock: Timestamp, seed: [u8; 32]) -> WasiCtx {
    let mut insecure_seed = seed;
    insecure_seed[0] ^= 0xff;
    let (low, _) = seed.split_at(16);
    let hash_seed = u128::from_le_bytes(low.try_into().unwrap_or_default());
    WasiCtxBuilder::new()
        .stdout(GuestOutput::new(Channel::Stdout, Arc::clone(recorder)))
        .stderr(GuestOutput::new(Channel::Stderr, Arc::clone(recorder)))
        .wall_clock(FrozenClock(clock))
        .secure_random(StdRng::from_seed(seed))
        .insecure_random(StdRng::from_seed(insecure_seed))
        .insecure_random_seed(hash_seed)
        .max_random_size(limits::RANDOM_BYTES_MAX)
        .build()
}

struct FrozenClock(Timestamp);

impl HostWallClock for FrozenClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        // A guest's clock has no time before 1970.
        Duration::try_from(self.0.duration_since(Timestamp::UNIX_EPOCH)).unwrap_or_default()
    }
}
