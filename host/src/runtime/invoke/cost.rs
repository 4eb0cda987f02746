//! What the limits cost: the same calls of the same guest, under its limits and in a twin of the sandbox that has none.
//!
//! The twin exists in tests alone: nothing that is shipped can run a guest without its limits. The benchmark `limits`
//! runs this in a release build and reads the line that it prints.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use std::hint::black_box;
use std::path::Path;

use super::*;
use crate::alert::{Alert, DeliveryId, Enrichment, Fingerprint, Labels, Origin, Status};
use crate::config::{Slack, SlackRate};
use crate::journal::{
    BoxFuture, Doubts, Entry, KvChange, KvOutcome, KvQuota, Ledger, LedgerError, Note, Recorded,
};
use crate::runtime::{Bounds, Compiler, Options, ServiceOptions};

// As the server's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WARM_UP: u32 = 2_000;
const ROUNDS: u32 = 40;
const CALLS_A_ROUND: u32 = 1_000;

/// Nothing is recorded: the guest makes no call.
struct NoCalls;

impl Ledger for NoCalls {
    fn ready(&self) -> BoxFuture<'_, Result<(), LedgerError>> {
        unreachable!()
    }

    fn note(&self, _: Note) -> BoxFuture<'_, Result<(), LedgerError>> {
        unreachable!()
    }

    fn record(&self, _: Vec<Entry>) -> BoxFuture<'_, Result<(), LedgerError>> {
        unreachable!()
    }

    fn kv_get(&self, _: String) -> BoxFuture<'_, Result<Option<Vec<u8>>, LedgerError>> {
        unreachable!()
    }

    fn kv_change(
        &self,
        _: String,
        _: KvChange,
        _: KvQuota,
        _: Vec<Entry>,
        _: Entry,
    ) -> BoxFuture<'_, Result<KvOutcome, LedgerError>> {
        unreachable!()
    }
}

fn options(dir: &Path) -> Options {
    Options {
        cache_dir: dir.join("cache"),
        compiler: Compiler::InProcess,
        bounds: Bounds {
            invocations_max: 8,
            ..Bounds::default()
        },
        services: ServiceOptions {
            slack: Slack {
                token: None,
                preview: true,
                channels: std::collections::BTreeMap::new(),
                rate: SlackRate {
                    per_second: 0.0,
                    burst: 1,
                },
                api_url: "http://127.0.0.1:9/".parse().unwrap(),
                proxy: None,
                via_proxy: false,
            },
            proxy: None,
            credentials: std::collections::BTreeMap::new(),
            message_ref_key: [7; 32],
            preview: Arc::new(|_| {}),
        },
    }
}

fn guest() -> Vec<u8> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let found = handler_build::discover(&workspace.join("tests/handlers")).unwrap();
    let out = workspace.join("target/test-modules");
    for built in handler_build::build_all(&found.projects, &handler_build::Options::new(&out)) {
        built.unwrap();
    }
    std::fs::read(out.join("guest-bench.wasm")).unwrap()
}

/// Returns the README's alert.
fn alert() -> Alert {
    let body = include_str!("../../../../tests/fixtures/readme-alert.json");
    let alert: serde_json::Value = serde_json::from_str(body).unwrap();
    let pairs = |of: &str| {
        let pairs = alert[of].as_object().unwrap().iter();
        Labels::from_iter(pairs.map(|(name, value)| (name, value.as_str().unwrap())))
    };
    Alert {
        fingerprint: Fingerprint::of(&pairs("labels")),
        status: Status::Firing,
        labels: pairs("labels"),
        annotations: pairs("annotations"),
        starts_at: alert["startsAt"].as_str().unwrap().parse().unwrap(),
        ends_at: None,
        generator_url: None,
        received_at: Timestamp::UNIX_EPOCH,
        origin: Origin::default(),
    }
}

fn invocation(step: StepKind, alert: &Arc<Alert>, found: Arc<Enrichment>) -> Invocation {
    Invocation {
        step,
        delivery: DeliveryId::from_raw(1),
        attempt: 1,
        lease: 1,
        dry_run: false,
        alert: Arc::clone(alert),
        found,
        config: Arc::default(),
        grants: Arc::default(),
        limits: Limits::default(),
        time_left: Duration::from_secs(10),
        now: Timestamp::UNIX_EPOCH,
        seed: [3; 32],
        recorded: Recorded::default(),
        doubts: Doubts::default(),
        ledger: Arc::new(NoCalls),
    }
}

/// Calls a hook as [`Runtime::invoke`] does, without a limit, a meter or a deadline.
async fn unlimited(runtime: &Runtime, module: &Module, invocation: Invocation) -> Output {
    let recorder = recorder_of(module, &invocation);
    let step = invocation.step;
    let (alert, found) = (Arc::clone(&invocation.alert), Arc::clone(&invocation.found));
    let time_left = invocation.time_left;
    let call = call_of(&invocation, time_left);
    let deadline = Instant::now() + time_left;
    let given_recorder = Arc::clone(&recorder);
    let hook = Box::pin(async move {
        let state = state_for(runtime, module, invocation, deadline, given_recorder);
        let mut store = Store::new(&runtime.sandbox.engine, state);
        let instance = module.hooks.instantiate(&mut store).await.unwrap();
        let given = Given::new(&call, &alert, &found);
        match step {
            StepKind::Enrich => {
                let given = module.hooks.enrich(&mut store, &instance, &given).await;
                Output::Enrichment(Enrichment {
                    facts: Labels::from_iter(given.unwrap().unwrap().facts),
                    blocks: Vec::new(),
                })
            }
            StepKind::Act => {
                let given = module.hooks.act(&mut store, &instance, &given).await;
                Output::Facts(Labels::from_iter(given.unwrap().unwrap()))
            }
        }
    });
    let output = AssertUnwindSafe(hook).catch_unwind().await.unwrap();
    black_box(recorder.finish());
    output
}

/// Enriches and acts `calls` times; returns the time of one alert.
async fn round(
    runtime: &Arc<Runtime>,
    module: &Arc<Module>,
    alert: &Arc<Alert>,
    is_limited: bool,
    calls: u32,
) -> Duration {
    let call = async |step, found| {
        let invocation = invocation(step, alert, found);
        if is_limited {
            runtime.invoke(module, invocation).await.outcome.unwrap()
        } else {
            unlimited(runtime, module, invocation).await
        }
    };
    let began = Instant::now();
    for _ in 0..calls {
        let enriched = call(StepKind::Enrich, Arc::default()).await;
        let Output::Enrichment(found) = enriched else {
            unreachable!()
        };
        black_box(call(StepKind::Act, Arc::new(found)).await);
    }
    began.elapsed() / calls
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: cargo run --release -p tests --bin bench -- limits"]
async fn what_the_limits_cost() {
    // As the server does: a step is started by a task of the worker's.
    tokio::spawn(async {
        let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let limited = Runtime::new(options(dirs[0].path())).unwrap();
        let twin = Runtime::without_limits(options(dirs[1].path())).unwrap();
        let bytes = guest();
        let module = Arc::new(limited.load(bytes.clone()).await.unwrap());
        let twins = Arc::new(twin.load(bytes).await.unwrap());
        let alert = Arc::new(alert());
        round(&limited, &module, &alert, true, WARM_UP).await;
        round(&twin, &twins, &alert, false, WARM_UP).await;
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            with.push(round(&limited, &module, &alert, true, CALLS_A_ROUND).await);
            without.push(round(&twin, &twins, &alert, false, CALLS_A_ROUND).await);
        }
        with.sort();
        without.sort();
        let (with, without) = (with[with.len() / 2], without[without.len() / 2]);
        println!(
            "limited {} ns, without {} ns",
            with.as_nanos(),
            without.as_nanos()
        );
    })
    .await
    .unwrap();
}
