//! Alerts that end in a request to the outside: how many a second, and how long after the webhook.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tests::modules;

use crate::http_sink::HttpSink;
use crate::load::{Client, Target as Load, Until, run as load};
use crate::peers::Gunicorn;
use crate::rig::{POST, Rig, Server, alert};
use crate::show::{Figures, Target, ms, quantile};

const CONNECTIONS: usize = 16;
const TURNS: u32 = 2;

/// Open loop: each alert is sent at its scheduled time, regardless of the one before.
const PER_SECOND: u32 = 200;

/// Measures alerts a second from webhook to the effect on record, against a Flask application.
pub(crate) async fn rate(load_time: Duration, figures: &mut Figures) -> anyhow::Result<()> {
    let sink = HttpSink::start().await?;
    let peer = Gunicorn::start(&sink.url).await?;
    let (_rig, ours) = start(&sink)?;
    let numbers = Arc::new(AtomicU64::new(0));
    let turn = load_time / TURNS;
    let (mut our_rate, mut peer_rate) = (0.0, 0.0);
    for _ in 0..TURNS {
        let rate = one_rate(&ours, &sink, &numbers, turn).await?;
        our_rate += rate / f64::from(TURNS);
        let target = self::target(peer.address, &sink, &numbers);
        let outcome = load(&target, CONNECTIONS, Until::Elapsed(turn)).await?;
        anyhow::ensure!(outcome.refused == 0, "gunicorn: {outcome:?}");
        sink.take();
        peer_rate += outcome.per_second() / f64::from(TURNS);
    }
    ours.stop();
    figures.add(
        "accepted, run, posted, recorded and settled",
        our_rate,
        "/s",
        Target::None,
    );
    figures.add(
        "Flask and slack_sdk under gunicorn, 4 workers",
        peer_rate,
        "/s",
        Target::None,
    );
    figures.add("ratio", our_rate / peer_rate, "x", Target::AtLeast(3.0));
    Ok(())
}

/// Returns how many alerts a second were accepted, run, posted, recorded and settled.
pub(crate) async fn one_rate(
    server: &Server,
    sink: &HttpSink,
    numbers: &Arc<AtomicU64>,
    time: Duration,
) -> anyhow::Result<f64> {
    let began = Instant::now();
    let target = target(server.address, sink, numbers);
    let outcome = load(&target, CONNECTIONS, Until::Elapsed(time)).await?;
    server.settled().await?;
    let settled_after = began.elapsed();
    let effects = sink.take().len() as u64;
    anyhow::ensure!(
        outcome.accepted == effects && outcome.refused == 0,
        "{outcome:?}, {effects} effects"
    );
    #[allow(clippy::cast_precision_loss, reason = "a rate")]
    let rate = effects as f64 / settled_after.as_secs_f64();
    Ok(rate)
}

/// Measures the time from sending an alert to the arrival of its effect.
pub(crate) async fn latency(load_time: Duration, figures: &mut Figures) -> anyhow::Result<()> {
    let sink = HttpSink::start().await?;
    let (_rig, server) = start(&sink)?;
    let times = times(&server, &sink, 0, load_time).await?;
    server.stop();
    for (name, share, target) in [
        ("p50", 0.5, Target::None),
        ("p99", 0.99, Target::AtMost(25.0)),
        ("p99.9", 0.999, Target::None),
    ] {
        figures.add(
            &format!("webhook to effect at 200/s, {name}"),
            ms(quantile(&times, share)),
            "ms",
            target,
        );
    }
    Ok(())
}

/// Returns the times from sending an alert to the arrival of its effect, sorted, of alerts that are numbered from `first`.
pub(crate) async fn times(
    server: &Server,
    sink: &HttpSink,
    first: u64,
    load_time: Duration,
) -> anyhow::Result<Vec<Duration>> {
    let count = u64::from(PER_SECOND) * load_time.as_secs();
    let sent = open_loop(server, sink, PER_SECOND, first..first + count).await?;
    server.settled().await?;
    let mut times: Vec<_> = sink
        .take()
        .iter()
        .filter_map(|(at, path)| Some(at.saturating_duration_since(*sent.get(path)?)))
        .collect();
    anyhow::ensure!(times.len() as u64 == count, "{} effects", times.len());
    times.sort();
    Ok(times)
}

/// Sends an alert for each number, each at its scheduled time regardless of the one before, and waits for the answers.
/// Returns when each was due, by the path that its effect is posted to. Times are measured from then, since a server can also
/// delay its senders.
pub(crate) async fn open_loop(
    server: &Server,
    sink: &HttpSink,
    per_second: u32,
    numbers: impl Iterator<Item = u64>,
) -> anyhow::Result<HashMap<String, Instant>> {
    let began = Instant::now();
    let mut sends = tokio::task::JoinSet::new();
    let clients = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let mut sent = HashMap::new();
    for (tick, n) in (0u32..).zip(numbers) {
        let due = began + Duration::from_secs(1) * tick / per_second;
        tokio::time::sleep_until(due.into()).await;
        let path = format!("/{n}");
        let body = alert("Bench000", n, Some(&format!("{}{path}", sink.url)));
        sent.insert(path, due);
        let (clients, address) = (Arc::clone(&clients), server.address);
        sends.spawn(async move {
            let idle = clients.lock().pop();
            let mut client = match idle {
                Some(client) => client,
                None => Client::connect(address).await?,
            };
            let status = client.post("/webhook", &body).await?;
            clients.lock().push(client);
            anyhow::Ok(status)
        });
        while let Some(answered) = sends.try_join_next() {
            anyhow::ensure!(answered?? == 202, "an alert was refused");
        }
    }
    while let Some(answered) = sends.join_next().await {
        anyhow::ensure!(answered?? == 202, "an alert was refused");
    }
    Ok(sent)
}

fn start(sink: &HttpSink) -> anyhow::Result<(Rig, Server)> {
    let rig = rig(sink, 64)?;
    let server = rig.start()?;
    Ok((rig, server))
}

/// Returns a folder whose handler may post to the fake, with this many invocations at one time.
pub(crate) fn rig(sink: &HttpSink, concurrency: u32) -> anyhow::Result<Rig> {
    let grant = format!("allow: {{ http: [\"{}\"] }}, limits:", sink.url);
    let config = crate::ingest::config_with(POST, concurrency).replace("limits:", &grant);
    let rig = Rig::new(&config)?;
    rig.put("post.wasm", &modules::bytes("guest-post"))?;
    Ok(rig)
}

fn target(address: SocketAddr, sink: &HttpSink, numbers: &Arc<AtomicU64>) -> Load {
    let numbers = Arc::clone(numbers);
    let url = format!("{}/effect", sink.url);
    let body = alert("Bench000", 99_999_999, Some(&url));
    let (before, after) = body.split_once("99999999").unwrap_or((&body, ""));
    let (before, after) = (before.to_owned(), after.to_owned());
    Load {
        address,
        path: "/webhook",
        body: Arc::new(move |_| {
            let n = numbers.fetch_add(1, Ordering::Relaxed);
            let mut body = String::with_capacity(before.len() + after.len() + 8);
            let _ = write!(body, "{before}{n:08}{after}");
            body
        }),
    }
}
