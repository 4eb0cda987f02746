//! What the sandbox costs one alert: `enrich` and `act` in stores of their own, against the same code called natively.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alert_manager::alert::{
    Alert, DeliveryId, Enrichment, Fingerprint, Labels, Origin, Status, StepKind, Timestamp,
};
use alert_manager::journal::{Doubts, Recorded};
use alert_manager::policy::Grants;
use alert_manager::runtime::{HeldBack, Invocation, Limits, Module, Output};
use guest_bench::Bench;
use handler_sdk::Handler as _;
use handler_sdk::mock::Host;
use tests::alerts;
use tests::harness::{Harness, MemoryLedger};

use crate::rig::module;
use crate::show::{Figures, Target, quantile};

const WARM_UP: u32 = 2_000;
const ROUNDS: u32 = 20;
const CALLS_A_ROUND: u32 = 2_000;

/// More than the same code natively, in microseconds.
const EXTRA_US_MAX: f64 = 30.0;

/// Measures both, round by round in turn, and compares the medians.
pub(crate) fn run(figures: &mut Figures) -> anyhow::Result<()> {
    // As the server does: a step is started by a task of the worker's.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let (native, sandboxed) = runtime.block_on(async { tokio::spawn(measure()).await })??;
    let (native, sandboxed) = (micros(native), micros(sandboxed));
    figures.add("one alert, native", native, "µs", Target::None);
    figures.add(
        "one alert, enrich and act in fresh stores",
        sandboxed,
        "µs",
        Target::None,
    );
    figures.add(
        "the sandbox's part",
        sandboxed - native,
        "µs",
        Target::AtMost(EXTRA_US_MAX),
    );
    Ok(())
}

async fn measure() -> anyhow::Result<(Duration, Duration)> {
    let harness = Harness::new();
    let module = Arc::new(harness.runtime.loader().load(module(0)).await?);
    let alert = Arc::new(readme_alert());
    let native_alert = native(&alert);
    natively(&native_alert, WARM_UP);
    for _ in 0..WARM_UP {
        sandboxed(&harness, &module, &alert).await?;
    }
    let (mut native_times, mut sandboxed_times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        native_times.push(natively(&native_alert, CALLS_A_ROUND) / CALLS_A_ROUND);
        let began = Instant::now();
        for _ in 0..CALLS_A_ROUND {
            sandboxed(&harness, &module, &alert).await?;
        }
        sandboxed_times.push(began.elapsed() / CALLS_A_ROUND);
    }
    native_times.sort();
    sandboxed_times.sort();
    Ok((
        quantile(&native_times, 0.5),
        quantile(&sandboxed_times, 0.5),
    ))
}

async fn sandboxed(
    harness: &Harness,
    module: &Arc<Module>,
    alert: &Arc<Alert>,
) -> anyhow::Result<()> {
    let call = |step, found| invocation(step, alert, found, Arc::default());
    let nothing = Arc::new(Enrichment::default());
    let enriched = harness
        .runtime
        .invoke(module, call(StepKind::Enrich, nothing))
        .await;
    let Output::Enrichment(found) = enriched.outcome? else {
        anyhow::bail!("enrich returned facts");
    };
    let acted = harness
        .runtime
        .invoke(module, call(StepKind::Act, Arc::new(found)))
        .await;
    black_box(acted.outcome?);
    Ok(())
}

/// Returns the first attempt of a step.
pub(crate) fn invocation(
    step: StepKind,
    alert: &Arc<Alert>,
    found: Arc<Enrichment>,
    grants: Arc<Grants>,
) -> Invocation {
    Invocation {
        step,
        delivery: DeliveryId::from_raw(1),
        attempt: 1,
        lease: 1,
        dry_run: false,
        held_back: HeldBack::default(),
        alert: Arc::clone(alert),
        found,
        config: Arc::new(BTreeMap::new()),
        grants,
        limits: Limits::default(),
        time_left: Duration::from_secs(10),
        now: Timestamp::UNIX_EPOCH,
        seed: [3; 32],
        recorded: Recorded::default(),
        doubts: Doubts::default(),
        ledger: Arc::new(MemoryLedger::default()),
    }
}

fn natively(alert: &handler_sdk::Alert, calls: u32) -> Duration {
    let host = Host::new();
    let began = Instant::now();
    for _ in 0..calls {
        let cx = host.cx();
        let nothing = handler_sdk::Enrichment::new();
        if let Ok(found) = Bench::enrich(&cx, black_box(alert), &nothing) {
            let _ = black_box(Bench::act(&cx, black_box(alert), &found));
        }
    }
    began.elapsed()
}

fn labels(of: &str) -> Labels {
    let alert = alerts::readme();
    let pairs = alert[of].as_object().into_iter().flatten();
    Labels::from_iter(pairs.map(|(name, value)| (name, value.as_str().unwrap_or_default())))
}

/// Returns the README's alert.
pub(crate) fn readme_alert() -> Alert {
    let labels = labels("labels");
    Alert {
        fingerprint: Fingerprint::of(&labels),
        status: Status::Firing,
        labels,
        annotations: self::labels("annotations"),
        starts_at: Timestamp::UNIX_EPOCH,
        ends_at: None,
        generator_url: None,
        received_at: Timestamp::UNIX_EPOCH,
        origin: Origin::default(),
    }
}

fn native(alert: &Alert) -> handler_sdk::Alert {
    let mut native = handler_sdk::Alert::new(alert.name());
    for (name, value) in alert.labels.iter() {
        native = native.with_label(name, value);
    }
    for (name, value) in alert.annotations.iter() {
        native = native.with_annotation(name, value);
    }
    native
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
