//! The worst day, in its own time: how soon each critical alert is posted, and how many messages all of it becomes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tests::fakes::faults::ANY;
use tests::fakes::slack::{Call, TOKEN};
use tests::fakes::{Cluster, Fault, Kubernetes, Slack};
use tests::modules;
use tests::worst_day::{Body, WorstDay};

use crate::load::Client;
use crate::rig::Rig;
use crate::show::{Figures, Target, quantile};

const SENDERS: usize = 2;

/// A critical alert has half of the budget of ten seconds for its enrichment, and five seconds for the rest.
const CRITICAL_MAX_S: f64 = 10.0;
const MESSAGES_MAX: f64 = 120.0;
const REFUSED_MAX_PERCENT: f64 = 5.0;

/// Sends all of it twice, and waits until every alert is settled.
pub(crate) async fn run(figures: &mut Figures) -> anyhow::Result<()> {
    let day = WorstDay::whole(1);
    let slack = Slack::start().await;
    slack.enforce_rates(1);
    let kubernetes = Kubernetes::start(Cluster::default()).await;
    kubernetes.faults().until_cleared(ANY, Fault::Hang);
    let rig = Rig::new(&day.config(&slack.api_url(), &kubernetes.url()))?;
    std::fs::write(rig.dir.path().join("token"), TOKEN)?;
    for handler in ["slack-notify", "kube-pod-crash-looping"] {
        rig.put(&format!("{handler}.wasm"), &modules::bytes(handler))?;
    }
    let server = rig.start()?;
    let bodies: Arc<[Body]> = day.bodies("firing").into();
    let began = Instant::now();
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| tokio::spawn(send(server.address, Arc::clone(&bodies), day, began)))
        .collect();
    let mut sent = BTreeMap::new();
    for sender in senders {
        for (name, at) in sender.await?? {
            let first = sent.entry(name).or_insert(at);
            *first = at.min(*first);
        }
    }
    server.settled().await?;
    let settled_after = began.elapsed();
    let calls = slack.calls();
    let made = |method: &str| {
        calls
            .iter()
            .filter(|c| c.method == method && c.outcome == "ok")
            .count()
    };
    let refused = calls.iter().filter(|c| c.outcome == "ratelimited").count();
    let mut times = Vec::new();
    for (name, at) in &sent {
        let posted = calls.iter().find(|call| is_about(call, name));
        let posted = posted.ok_or_else(|| anyhow::anyhow!("{name} was never posted"))?;
        times.push(posted.at.saturating_duration_since(*at));
    }
    times.sort();
    let seconds = |share| quantile(&times, share).as_secs_f64();
    figures.add(
        "critical alert to its message, p50",
        seconds(0.5),
        "s",
        Target::None,
    );
    figures.add(
        "critical alert to its message, most",
        seconds(1.0),
        "s",
        Target::AtMost(CRITICAL_MAX_S),
    );
    #[allow(clippy::cast_precision_loss, reason = "counts, shown as figures")]
    for (what, count, target) in [
        (
            "messages",
            made("chat.postMessage") as f64,
            Target::AtMost(MESSAGES_MAX),
        ),
        ("updates", made("chat.update") as f64, Target::None),
        (
            "calls refused by Slack, percent",
            100.0 * refused as f64 / calls.len().max(1) as f64,
            Target::AtMost(REFUSED_MAX_PERCENT),
        ),
    ] {
        figures.add(what, count, "", target);
    }
    let dead = server.metric("alert_manager_dead_deliveries").await?;
    figures.add("dead", dead, "", Target::AtMost(0.0));
    figures.add(
        "all settled after",
        settled_after.as_secs_f64(),
        "s",
        Target::None,
    );
    figures.add(
        "most memory held",
        server.memory_mib("VmHWM")?,
        "MiB",
        Target::None,
    );
    server.stop();
    Ok(())
}

/// Posts every body at its time; returns when each critical one was.
async fn send(
    address: std::net::SocketAddr,
    bodies: Arc<[Body]>,
    day: WorstDay,
    began: Instant,
) -> anyhow::Result<Vec<(String, Instant)>> {
    let mut client = Client::connect(address).await?;
    let mut criticals = Vec::new();
    for body in bodies.iter() {
        let at = began + Duration::from_millis(day.length_ms() * u64::from(body.at) / 1_000);
        tokio::time::sleep_until(at.into()).await;
        criticals.extend(body.critical.clone().map(|name| (name, Instant::now())));
        let status = client.post("/webhook", &body.json).await?;
        anyhow::ensure!(status == 202, "a group was answered {status}");
    }
    Ok(criticals)
}

fn is_about(call: &Call, name: &str) -> bool {
    call.method == "chat.postMessage"
        && call.outcome == "ok"
        && call.body.to_string().contains(name)
}
