//! Compares this build of the server with another one, alternating between them in one run.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tests::process::binary;

use crate::effects::{self, one_rate, times};
use crate::http_sink::HttpSink;
use crate::ingest::measure_ours;
use crate::rig::Server;
use crate::show::{Figures, Target, ms, quantile};

/// How often each build is measured. The builds alternate, so that changes of the machine's speed affect both.
const TURNS: u32 = 3;

/// Rates by connections.
const CONNECTIONS: [usize; 2] = [16, 64];

/// Handler concurrencies at which the cost of an alert is shown by thread.
const CONCURRENCIES: [u32; 2] = [8, 64];

/// One build, its server and its folder.
struct Build<'a> {
    name: &'a str,
    binary: &'a Path,
    numbers: Arc<AtomicU64>,
}

/// Measures this build, and in each round another one before it, if there is one.
pub(crate) async fn run(
    before: Option<&Path>,
    load_time: Duration,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let builds: Vec<Build<'_>> = before
        .map(|binary| ("before", binary))
        .into_iter()
        .chain([("now", binary())])
        .map(|(name, binary)| Build {
            name,
            binary,
            numbers: Arc::default(),
        })
        .collect();
    let turn = load_time / TURNS;
    end_to_end(&builds, turn, figures).await?;
    latency(&builds, turn, figures).await?;
    for connections in CONNECTIONS {
        ingest(&builds, connections, turn, figures).await?;
    }
    for concurrency in CONCURRENCIES {
        cost_by_thread(&builds, concurrency, turn, figures).await?;
    }
    Ok(())
}

async fn end_to_end(
    builds: &[Build<'_>],
    turn: Duration,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let sink = HttpSink::start().await?;
    let mut rates = vec![Vec::new(); builds.len()];
    for _ in 0..TURNS {
        for (build, rates) in builds.iter().zip(&mut rates) {
            let rig = effects::rig(&sink, 64)?;
            let server = rig.start_build(build.binary)?;
            rates.push(one_rate(&server, &sink, &build.numbers, turn).await?);
            server.stop();
        }
    }
    show("end to end, 16 connections", "/s", builds, rates, figures);
    Ok(())
}

async fn latency(
    builds: &[Build<'_>],
    turn: Duration,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let sink = HttpSink::start().await?;
    let mut medians = vec![Vec::new(); builds.len()];
    let mut worst = vec![Vec::new(); builds.len()];
    for _ in 0..TURNS {
        for (i, build) in builds.iter().enumerate() {
            let rig = effects::rig(&sink, 64)?;
            let server = rig.start_build(build.binary)?;
            let times = times(&server, &sink, 0, turn).await?;
            server.stop();
            medians[i].push(ms(quantile(&times, 0.5)));
            worst[i].push(ms(quantile(&times, 0.99)));
        }
    }
    show(
        "webhook to effect at 200/s, p50",
        "ms",
        builds,
        medians,
        figures,
    );
    show(
        "webhook to effect at 200/s, p99",
        "ms",
        builds,
        worst,
        figures,
    );
    Ok(())
}

async fn ingest(
    builds: &[Build<'_>],
    connections: usize,
    turn: Duration,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let sink = HttpSink::start().await?;
    let mut accepted = vec![Vec::new(); builds.len()];
    let mut settled = vec![Vec::new(); builds.len()];
    for _ in 0..TURNS {
        for (i, build) in builds.iter().enumerate() {
            let rig = effects::rig(&sink, 64)?;
            let server = rig.start_build(build.binary)?;
            let (accepted_rate, settled_rate) =
                measure_ours(&server, &build.numbers, connections, turn).await?;
            server.stop();
            accepted[i].push(accepted_rate);
            settled[i].push(settled_rate);
        }
    }
    let what = format!("ingest, one kv write, {connections} connections");
    show(
        &format!("{what}: accepted"),
        "/s",
        builds,
        accepted,
        figures,
    );
    show(&format!("{what}: settled"), "/s", builds, settled, figures);
    Ok(())
}

/// Shows how much processor time an alert with one POST takes, by the server's threads.
async fn cost_by_thread(
    builds: &[Build<'_>],
    concurrency: u32,
    time: Duration,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let sink = HttpSink::start().await?;
    for build in builds {
        let rig = effects::rig(&sink, concurrency)?;
        let server = rig.start_build(build.binary)?;
        let before = server.cpu_by_thread()?;
        let first = done(&server).await?;
        one_rate(&server, &sink, &build.numbers, time).await?;
        let alerts = done(&server).await? - first;
        for (thread, used) in server.cpu_by_thread()? {
            let used = used.saturating_sub(before.get(&thread).copied().unwrap_or_default());
            let micros = used.as_secs_f64() * 1e6 / alerts;
            if micros >= 0.5 {
                let what = format!(
                    "{}: an alert's {thread}, concurrency {concurrency}",
                    build.name
                );
                figures.add(&what, micros, "µs", Target::None);
            }
        }
        server.stop();
    }
    Ok(())
}

async fn done(server: &Server) -> anyhow::Result<f64> {
    server.metric("alert_manager_deliveries_total").await
}

/// Shows the median of each build's turns, and the ratio of the two.
fn show(
    what: &str,
    unit: &str,
    builds: &[Build<'_>],
    values: Vec<Vec<f64>>,
    figures: &mut Figures,
) {
    let medians: Vec<f64> = values
        .into_iter()
        .map(|mut values| {
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        })
        .collect();
    for (build, median) in builds.iter().zip(&medians) {
        figures.add(
            &format!("{what}, {}", build.name),
            *median,
            unit,
            Target::None,
        );
    }
    if let [before, now] = medians[..] {
        figures.add(
            &format!("{what}, now to before"),
            now / before,
            "x",
            Target::None,
        );
    }
}
