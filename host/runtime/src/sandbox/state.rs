//! What the store of one invocation holds: the guest's empty world, its meters, and what the host calls need.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::calls::recorder::Recorder;
use crate::limits::quota::{LimitHit, LimitName, Limits};
use crate::limits::{
    DELIVERY_RECORD_BYTES_MAX, DELIVERY_RECORD_ENTRIES_MAX, HANDLES_MAX, OF_DESCRIBE,
    RANDOM_BYTES_MAX, RECORDED_EFFECT_BYTES_MIN,
};
use crate::outbound::egress::Clients;
use crate::outbound::rates::Rates;
use crate::sandbox::clock::StepClock;
use crate::sandbox::meter::MemoryMeter;
use crate::sandbox::stdio::{Channel, GuestOutput};
use crate::services::Services;
use alert_manager_core::alert::{Alert, DeliveryId, Enrichment, HandlerName, StepKind};
use alert_manager_core::journal::{CallKind, Ledger, RecordUse, Replay};
use alert_manager_core::policy::Grants;

/// One store's data.
pub(crate) struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    pub(crate) memory: MemoryMeter,
    pub(crate) recorder: Arc<Recorder>,
    /// Absent during `describe`, which may do nothing but log.
    pub(crate) powers: Option<Powers>,
    calls_total: u32,
    calls_max: u32,
    random_bytes: u64,
    random_bytes_max: u64,
}

/// What a hook may use, beyond its own code.
pub(crate) struct Powers {
    pub(crate) handler: HandlerName,
    pub(crate) delivery: DeliveryId,
    pub(crate) step: StepKind,
    pub(crate) dry_run: bool,
    pub(crate) alert: Arc<Alert>,
    pub(crate) found: Arc<Enrichment>,
    pub(crate) config: Arc<BTreeMap<String, String>>,
    pub(crate) grants: Arc<Grants>,
    pub(crate) limits: Limits,
    pub(crate) deadline: Instant,
    /// The guest's clock, whose time goes into the record.
    pub(crate) clock: StepClock,
    pub(crate) replay: Replay,
    /// What the other steps of its delivery have on record.
    pub(crate) recorded_elsewhere: RecordUse,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) clients: Arc<Clients>,
    pub(crate) rates: Arc<Rates>,
    pub(crate) services: Arc<Services>,
    pub(crate) counts: Counts,
    /// What `kv` would hold, where effects are held back.
    pub(crate) kv_held_back: BTreeMap<String, Option<Vec<u8>>>,
}

/// Calls so far, by kind, and what they brought in and took out.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    http: u32,
    slack: u32,
    kv: u32,
    bytes_in: u64,
    bytes_out: u64,
}

impl Powers {
    /// Counts a call that takes out so many bytes.
    ///
    /// # Errors
    /// The limit that is used up.
    pub(crate) fn count(&mut self, kind: CallKind, bytes_out: usize) -> Result<(), LimitHit> {
        let (counts, limits) = (&mut self.counts, &self.limits);
        let (used, max, limit) = match kind {
            CallKind::Http => (
                &mut counts.http,
                limits.http_calls_max,
                LimitName::HttpCalls,
            ),
            CallKind::Slack => (
                &mut counts.slack,
                limits.slack_calls_max,
                LimitName::SlackCalls,
            ),
            CallKind::Kv => (&mut counts.kv, limits.kv_calls_max, LimitName::KvCalls),
            CallKind::Config => return Ok(()),
        };
        if *used >= max {
            return Err(LimitHit {
                limit,
                used: u64::from(*used) + 1,
                max: max.into(),
                detail: format!("all {max} calls of this step are used up"),
            });
        }
        *used += 1;
        let (used, max) = (counts.bytes_out + bytes_out as u64, limits.bytes_out_max);
        if used > max {
            return Err(LimitHit {
                limit: LimitName::BytesOut,
                used,
                max,
                detail: format!(
                    "with this call the host calls of this step would take out {used} bytes, {max} are allowed"
                ),
            });
        }
        counts.bytes_out = used;
        Ok(())
    }

    /// Sees to it that a call which brings something in may do so.
    ///
    /// # Errors
    /// The limit that is used up.
    pub(crate) fn check_in(&self) -> Result<(), LimitHit> {
        let (used, max) = (self.counts.bytes_in, self.limits.bytes_in_max);
        if self.bytes_in_left() == 0 {
            return Err(LimitHit {
                limit: LimitName::BytesIn,
                used,
                max,
                detail: format!(
                    "the host calls of this step have brought in all of the {max} bytes that are allowed"
                ),
            });
        }
        Ok(())
    }

    /// Counts what a call brought in.
    pub(crate) fn count_in(&mut self, bytes: usize) {
        self.counts.bytes_in += bytes as u64;
    }

    /// Returns how much calls may still bring in.
    pub(crate) fn bytes_in_left(&self) -> u64 {
        self.limits
            .bytes_in_max
            .saturating_sub(self.counts.bytes_in)
    }

    /// Sees to it that an effect which starts now can be recorded, whatever it is answered.
    ///
    /// # Errors
    /// The limit that is used up.
    pub(crate) fn check_record(&self) -> Result<(), LimitHit> {
        let own = self.replay.used();
        let all = own.plus(self.recorded_elsewhere);
        let limits = &self.limits;
        for (used, needed, max, limit, whose) in [
            (
                own.entries,
                1,
                limits.record_entries_max,
                LimitName::RecordEntries,
                "step",
            ),
            (
                own.bytes,
                RECORDED_EFFECT_BYTES_MIN,
                limits.record_bytes_max,
                LimitName::RecordBytes,
                "step",
            ),
            (
                all.entries,
                1,
                DELIVERY_RECORD_ENTRIES_MAX,
                LimitName::DeliveryRecordEntries,
                "delivery",
            ),
            (
                all.bytes,
                RECORDED_EFFECT_BYTES_MIN,
                DELIVERY_RECORD_BYTES_MAX,
                LimitName::DeliveryRecordBytes,
                "delivery",
            ),
        ] {
            if used.saturating_add(needed) > max {
                return Err(LimitHit {
                    limit,
                    used,
                    max,
                    detail: format!(
                        "this {whose} has {used} of the {max} that may be on record over all attempts, so no further \
                         effect can be recorded, and none starts"
                    ),
                });
            }
        }
        Ok(())
    }

    /// Returns how much may still be recorded.
    fn record_left(&self) -> RecordUse {
        let own = self.replay.used();
        let all = own.plus(self.recorded_elsewhere);
        let left = |own_max: u64, own: u64, all_max: u64, all: u64| {
            own_max.saturating_sub(own).min(all_max.saturating_sub(all))
        };
        let limits = &self.limits;
        RecordUse {
            entries: left(
                limits.record_entries_max,
                own.entries,
                DELIVERY_RECORD_ENTRIES_MAX,
                all.entries,
            ),
            bytes: left(
                limits.record_bytes_max,
                own.bytes,
                DELIVERY_RECORD_BYTES_MAX,
                all.bytes,
            ),
        }
    }

    /// Returns how much of the record the reads before an effect of so many bytes may take.
    pub(crate) fn room_for_reads(&self, effect_bytes: usize) -> RecordUse {
        let left = self.record_left();
        RecordUse {
            entries: left.entries.saturating_sub(1),
            bytes: left.bytes.saturating_sub(effect_bytes as u64),
        }
    }

    /// Returns how large a body can be that is recorded in base64, in bytes.
    pub(crate) fn recorded_body_bytes_max(&self) -> u32 {
        let left = self.record_left().bytes;
        let body = left.saturating_sub(RECORDED_EFFECT_BYTES_MIN) / 4 * 3;
        u32::try_from(body).unwrap_or(u32::MAX)
    }

    /// Returns what is left of the step's time.
    pub(crate) fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// Why the host ends an invocation, where no answer to the guest would be right.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// It met a limit.
    #[error("{0}")]
    Limit(LimitHit),
    /// The lease is gone, or the record cannot be read.
    #[error("{0}")]
    Host(String),
}

impl State {
    pub(crate) fn new(
        recorder: Arc<Recorder>,
        memory: MemoryMeter,
        limits: &Limits,
        (clock, seed): (StepClock, [u8; 32]),
        powers: Option<Powers>,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        Self {
            wasi: empty_world(&recorder, clock, seed),
            table,
            memory,
            recorder,
            powers,
            calls_total: 0,
            calls_max: limits.host_calls_max,
            random_bytes: 0,
            random_bytes_max: limits.random_bytes_max,
        }
    }

    /// Counts a host call of whatever kind.
    pub(crate) fn count_any(&mut self) -> wasmtime::Result<()> {
        self.calls_total += 1;
        let max = self.calls_max;
        if self.calls_total > max {
            return Err(Stop::Limit(LimitHit {
                limit: LimitName::HostCalls,
                used: self.calls_total.into(),
                max: max.into(),
                detail: format!(
                    "more than the {max} host calls that one step may make; \
                     look for a loop that asks the host each time around"
                ),
            })
            .into());
        }
        Ok(())
    }

    /// Counts random bytes that are about to be drawn.
    pub(crate) fn count_random(&mut self, bytes: u64) -> wasmtime::Result<()> {
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
            return Err(over(bytes, RANDOM_BYTES_MAX, detail).into());
        }
        self.random_bytes += bytes;
        let (used, max) = (self.random_bytes, self.random_bytes_max);
        let advice = match self.powers {
            Some(_) => "Raise limits.random_bytes of this handler, or make it draw less.",
            None => OF_DESCRIBE,
        };
        if used > max {
            let detail = format!("{used} bytes in all, {max} are allowed. {advice}");
            return Err(over(used, max, detail).into());
        }
        Ok(())
    }

    pub(crate) fn wasi(&mut self) -> &mut WasiCtx {
        &mut self.wasi
    }
}

/// The contract's types alone: there is nothing to call.
impl crate::bindings::types::Host for State {}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// No file, no argument, no variable, no socket. Clock and random are the step's own, so that a
/// retry takes the same way; stdin is at its end. The monotonic clock runs: timers and timeouts are built on it.
fn empty_world(recorder: &Arc<Recorder>, clock: StepClock, seed: [u8; 32]) -> WasiCtx {
    let mut insecure_seed = seed;
    insecure_seed[0] ^= 0xff;
    let (low, _) = seed.split_at(16);
    let hash_seed = u128::from_le_bytes(low.try_into().unwrap_or_default());
    WasiCtxBuilder::new()
        .stdout(GuestOutput::new(Channel::Stdout, Arc::clone(recorder)))
        .stderr(GuestOutput::new(Channel::Stderr, Arc::clone(recorder)))
        .wall_clock(clock)
        .secure_random(StdRng::from_seed(seed))
        .insecure_random(StdRng::from_seed(insecure_seed))
        .insecure_random_seed(hash_seed)
        .max_random_size(RANDOM_BYTES_MAX)
        .build()
}
