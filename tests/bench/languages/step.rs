//! What a step costs in each language: processor time, so that other work on the machine does not count.

use std::sync::Arc;
use std::time::Duration;

use alert_manager::alert::{Alert, Enrichment, StepKind};
use alert_manager::policy::Grants;
use alert_manager::runtime::Module;
use handler_build::Language;
use rustix::time::{ClockId, clock_gettime};
use tests::harness::Harness;

use crate::sandbox::{invocation, readme_alert};
use crate::show::{Figures, Target, quantile};

const ROUNDS: u32 = 20;

/// How many calls a round has, and how many microseconds a call should take at most.
fn calls_and_target(language: Language) -> (u32, f64) {
    match language {
        Language::Python => (50, 1_500.0),
        Language::TypeScript => (200, 200.0),
        _ => (2_000, 30.0),
    }
}

/// Runs `act` of the handlers in turn, and compares the medians.
pub(super) fn run(built: &[(Language, Vec<u8>)], figures: &mut Figures) -> anyhow::Result<()> {
    // As the server does: a step is started by a task of the worker's.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let built = built.to_vec();
    let medians = runtime.block_on(async { tokio::spawn(measure(built)).await })??;
    let peer = medians.first().map_or(Duration::ZERO, |(_, cost)| *cost);
    for (language, cost) in medians {
        let (_, most) = calls_and_target(language);
        let micros = cost.as_secs_f64() * 1e6;
        figures.add(
            &format!("{language}: processor time of one step, which posts to Slack"),
            micros,
            "µs",
            Target::AtMost(most),
        );
        if language != Language::Rust {
            let ratio = cost.as_secs_f64() / peer.as_secs_f64();
            let what = format!("{language}: the same, in steps in Rust");
            figures.add(&what, ratio, "x", Target::None);
        }
    }
    Ok(())
}

async fn measure(built: Vec<(Language, Vec<u8>)>) -> anyhow::Result<Vec<(Language, Duration)>> {
    let harness = Harness::new();
    let alert = Arc::new(readme_alert());
    let mut loaded = Vec::new();
    for (language, module) in built {
        let module = Arc::new(harness.runtime.loader().load(module).await?);
        loaded.push((language, module, Vec::new()));
    }
    for _ in 0..=ROUNDS {
        for (language, module, times) in &mut loaded {
            let (calls, _) = calls_and_target(*language);
            let began = processor_time();
            for _ in 0..calls {
                act(&harness, module, &alert).await?;
            }
            times.push((processor_time() - began) / calls);
        }
    }
    let medians = loaded.into_iter().map(|(language, _, times)| {
        // The first round is a warm-up.
        let mut times = times[1..].to_vec();
        times.sort();
        (language, quantile(&times, 0.5))
    });
    Ok(medians.collect())
}

async fn act(harness: &Harness, module: &Arc<Module>, alert: &Arc<Alert>) -> anyhow::Result<()> {
    let grants = Arc::new(Grants {
        slack: ["alerts".to_owned()].into(),
        ..Grants::default()
    });
    let nothing = Arc::new(Enrichment::default());
    let call = invocation(StepKind::Act, alert, nothing, grants);
    harness.runtime.invoke(module, call).await.outcome?;
    harness.previews.lock().clear();
    Ok(())
}

/// Returns the processor time of this process so far.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}
