//! Durable ingest, one alert a request, against what Alertmanager takes into memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tests::modules;

use crate::load::{Outcome, Target as Load, Until, run as load};
use crate::peers::Alertmanager;
use crate::rig::{POST, Rig, Server, alert};
use crate::show::{Figures, Target};

/// How often each server is measured. They alternate, so that changes of the machine's speed affect both.
const TURNS: u32 = 2;

/// The least ratio to Alertmanager, by connections.
const RATIOS: [(usize, f64); 2] = [(16, 1.0), (64, 1.5)];

/// Returns a configuration whose queue is large enough for the load.
pub(crate) fn config(handler: &str) -> String {
    config_with(handler, 64)
}

/// As [`config`], with this many invocations of the handler at one time.
pub(crate) fn config_with(handler: &str, concurrency: u32) -> String {
    format!(
        "slack: {{ preview: true }}\n\
         webhook: {{ queue_depth_max: 10000000 }}\n\
         routes:\n  - handlers: [{handler}]\n\
         handlers:\n  {handler}: {{ limits: {{ concurrency: {concurrency} }} }}\n"
    )
}

/// Measures each number of connections against both servers.
pub(crate) async fn run(load_time: Duration, figures: &mut Figures) -> anyhow::Result<()> {
    let peer = Alertmanager::start().await?;
    let rig = Rig::new(&config(POST))?;
    rig.put("post.wasm", &modules::bytes("guest-post"))?;
    let ours = rig.start()?;
    let numbers = Arc::new(AtomicU64::new(0));
    let turn = load_time / TURNS;
    for (connections, ratio_min) in RATIOS {
        let (mut rates, mut settled_rates, mut peer_rates) = (0.0, 0.0, 0.0);
        for _ in 0..TURNS {
            let (rate, settled_rate) = measure_ours(&ours, &numbers, connections, turn).await?;
            rates += rate / f64::from(TURNS);
            settled_rates += settled_rate / f64::from(TURNS);
            let target = target(peer.address, "/api/v2/alerts", &numbers, true);
            let outcome = load(&target, connections, Until::Elapsed(turn)).await?;
            accept_all(&outcome)?;
            peer_rates += outcome.per_second() / f64::from(TURNS);
        }
        let what = format!("{connections} connections");
        figures.add(&format!("{what}: accepted"), rates, "/s", Target::None);
        figures.add(
            &format!("{what}: accepted and settled, to the last"),
            settled_rates,
            "/s",
            Target::None,
        );
        figures.add(
            &format!("{what}: Alertmanager, in memory"),
            peer_rates,
            "/s",
            Target::None,
        );
        figures.add(
            &format!("{what}: ratio, accepted"),
            rates / peer_rates,
            "x",
            Target::AtLeast(ratio_min),
        );
        figures.add(
            &format!("{what}: ratio, accepted and settled"),
            settled_rates / peer_rates,
            "x",
            Target::AtLeast(ratio_min),
        );
    }
    figures.add(
        "most memory held meanwhile",
        ours.memory_mib("VmHWM")?,
        "MiB",
        Target::None,
    );
    ours.stop();
    Ok(())
}

/// Returns how many were accepted a second, and how many accepted and settled.
pub(crate) async fn measure_ours(
    server: &Server,
    numbers: &Arc<AtomicU64>,
    connections: usize,
    time: Duration,
) -> anyhow::Result<(f64, f64)> {
    let began = Instant::now();
    let target = target(server.address, "/webhook", numbers, false);
    let outcome = load(&target, connections, Until::Elapsed(time)).await?;
    accept_all(&outcome)?;
    server.settled().await?;
    #[allow(clippy::cast_precision_loss, reason = "a rate")]
    let settled = outcome.accepted as f64 / began.elapsed().as_secs_f64();
    Ok((outcome.per_second(), settled))
}

fn accept_all(outcome: &Outcome) -> anyhow::Result<()> {
    anyhow::ensure!(outcome.refused == 0, "{} were refused", outcome.refused);
    Ok(())
}

/// Alerts that were never sent before: a duplicate would cost less.
fn target(
    address: std::net::SocketAddr,
    path: &'static str,
    numbers: &Arc<AtomicU64>,
    as_list: bool,
) -> Load {
    let numbers = Arc::clone(numbers);
    let (before, after) = template(as_list);
    Load {
        address,
        path,
        body: Arc::new(move |_| {
            let n = numbers.fetch_add(1, Ordering::Relaxed);
            format!("{before}{n:08}{after}")
        }),
    }
}

/// Returns the alert's JSON around its number: building it anew would cost the load generator more than
/// sending it.
fn template(as_list: bool) -> (String, String) {
    let mut body: serde_json::Value =
        serde_json::from_str(&alert("Bench000", 99_999_999, None)).expect("an alert");
    body["labels"]["count"] = "alerts".into();
    let body = body.to_string();
    let body = if as_list {
        // Alertmanager's own interface takes a list, and times that it does not drop as long resolved.
        format!(
            "[{}]",
            body.replace("\"status\":\"firing\"", "\"generatorURL\":\"\"")
        )
    } else {
        body
    };
    let (before, after) = body.split_once("99999999").unwrap_or((&body, ""));
    (before.to_owned(), after.to_owned())
}
