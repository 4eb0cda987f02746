//! The alerts that every cluster has: each is fired by a real Prometheus, sent by a real Alertmanager, and answered by the handler
//! that knows it, which reads from a fake of the cluster's API server and from that Prometheus.

mod schemas;
mod script;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alert_manager::alert::Timestamp;
use reqwest::StatusCode;
use script::Scripted;
use serde_json::{Value, json};
use tests::fakes::watched::Watched;
use tests::fakes::{Exporter, Kubernetes, Message, Slack};
use tests::prometheus::{Binaries, Found, Programs, Watching, find, free_address};
use tests::server::{PATIENCE, Server, Setup};

/// What the clusters export, and whether the alerts fire.
#[derive(Debug)]
struct World {
    alerts: Vec<Scripted>,
    start: Timestamp,
    fires: Watched<bool>,
    scrapes: AtomicU64,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            alerts: script::read(),
            start: Timestamp::now(),
            fires: Watched::new(true),
            scrapes: AtomicU64::new(0),
        })
    }

    /// Answers a scrape: `/metrics` has the scripted series, everything else is the target that is down.
    fn answer(&self, path: &str) -> Result<String, StatusCode> {
        let fires = self.fires.read(|fires| *fires);
        if path != "/metrics" {
            return match fires {
                true => Err(StatusCode::SERVICE_UNAVAILABLE),
                false => Ok(String::new()),
            };
        }
        let scrape = self.scrapes.fetch_add(1, Ordering::Relaxed);
        let now = Timestamp::now();
        let elapsed = now.duration_since(self.start).as_secs_f64();
        let mut metrics = String::new();
        for alert in &self.alerts {
            alert.expose(fires, scrape, now, elapsed, &mut metrics);
        }
        Ok(metrics)
    }

    fn history(&self) -> String {
        let mut samples = String::new();
        for alert in &self.alerts {
            alert.history(self.start, &mut samples);
        }
        samples.push_str("# EOF\n");
        samples
    }

    async fn prometheus(
        &self,
        binaries: &Binaries,
        address: SocketAddr,
        exporter: &Exporter,
        webhook: &str,
    ) -> Programs {
        // Series without an instance or a job are to have none: not the exporter's.
        let scraping = format!(
            r#"  external_labels: {{ prometheus: monitoring/k8s }}
scrape_configs:
  - job_name: scripted
    honor_labels: true
    static_configs: [{{ targets: ["{addr}"] }}]
    metric_relabel_configs:
      - {{ source_labels: [instance], regex: "{addr}", target_label: instance, replacement: "" }}
      - {{ source_labels: [job], regex: scripted, target_label: job, replacement: "" }}
  - job_name: checkout
    metrics_path: /checkout
    static_configs:
      - targets: ["{addr}"]
        labels: {{ cluster: TargetDown, namespace: shop, service: checkout, pod: checkout-6c9f8d7b5c-x2xkz }}
"#,
            addr = exporter.addr()
        );
        let watching = Watching {
            address,
            scraping: &scraping,
            rules: include_str!("rules.yml"),
            history: &self.history(),
        };
        Programs::start(binaries, webhook, &watching).await.unwrap()
    }
}

/// What the handlers read. Those of neither know the alert alone.
const FROM_KUBERNETES: [&str; 8] = [
    "certificates",
    "hpa",
    "job",
    "node",
    "pod-waiting",
    "rollout",
    "target-down",
    "volume",
];
const FROM_PROMETHEUS: [&str; 7] = [
    "certificates",
    "disk",
    "node",
    "probe",
    "saturation",
    "target-down",
    "volume",
];

type Clusters = BTreeMap<String, Kubernetes>;

/// Starts the API server of each cluster that a handler reads from.
async fn clusters(alerts: &[Scripted], now: Timestamp) -> Clusters {
    let mut clusters = Clusters::new();
    for alert in alerts {
        if FROM_KUBERNETES.contains(&alert.handler.as_str()) {
            let kubernetes = Kubernetes::start(alert.cluster(now)).await;
            clusters.insert(alert.alertname.clone(), kubernetes);
        }
    }
    clusters
}

/// Returns the configuration that grants each handler what it reads from, and nothing else.
fn config(alerts: &[Scripted], clusters: &Clusters, prometheus: &str) -> String {
    let mut yaml = "listen: 127.0.0.1:0\nslack: { channels: { alerts: \"#alerts\" }, rate: { per_second: 0 } }\n\
                    handlers:\n"
        .to_owned();
    let handlers: BTreeSet<&str> = alerts.iter().map(|alert| alert.handler.as_str()).collect();
    for handler in handlers {
        let own = alerts.iter().filter(|alert| alert.handler == handler);
        let mut origins = Vec::new();
        let mut settings = String::new();
        for alert in own {
            if let Some(kubernetes) = clusters.get(&alert.alertname) {
                let (cluster, url) = (&alert.alertname, kubernetes.url());
                let _ = writeln!(settings, "      cluster.{cluster}.url: {url:?}");
                origins.push(url);
            }
        }
        if !settings.is_empty() {
            settings.push_str("      credential: \"\"\n");
        }
        if FROM_PROMETHEUS.contains(&handler) {
            let _ = writeln!(settings, "      prometheus.url: {prometheus:?}");
            settings.push_str("      prometheus.cluster_label: cluster\n");
            origins.push(prometheus.to_owned());
        }
        let _ = writeln!(
            yaml,
            "  {handler}:\n    allow: {{ http: {origins:?}, slack: [alerts] }}\n    enrich: {{ within: 60s }}\n    \
             config:\n{settings}"
        );
    }
    yaml
}

/// Waits until an alert of this name and status is settled, and returns its story.
async fn story(server: &Server, alertname: &str, status: &str, programs: &Programs) -> Value {
    let mut commits = server.shared.commits();
    let path = format!("/api/v1/deliveries?alertname={alertname}");
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            commits.mark_unchanged();
            let (_, list) = server.get(&path).await;
            let deliveries = list["deliveries"].as_array().cloned().unwrap_or_default();
            if let Some(found) = deliveries.iter().find(|one| one["status"] == status) {
                return found["id"].as_str().unwrap().to_owned();
            }
            commits.changed().await.expect("the server still runs");
        }
    });
    match waited.await {
        Ok(id) => server.wait_settled(&id).await,
        Err(_) => panic!("{alertname} is not {status}\n{}", programs.logs()),
    }
}

/// Returns what differs from: the right handler answered the alert of Prometheus, by what its cluster has, about the right subject.
fn differences(alert: &Scripted, story: &Value, message: &Message) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let wanted: BTreeMap<String, String> = alert
        .labels()
        .map(|(name, value)| match name.as_str() {
            "cluster" => (name.clone(), alert.alertname.clone()),
            _ => (name.clone(), text(value)),
        })
        .collect();
    let labels = story["alert"]["labels"].as_object().unwrap();
    let labels: BTreeMap<String, String> = labels
        .iter()
        .map(|(name, value)| (name.clone(), text(value)))
        .collect();
    let steps = story["steps"].as_array().unwrap();
    let verdicts = steps.iter().map(|step| &step["facts"]["verdict"]);
    let verdicts: Vec<&Value> = verdicts.filter(|verdict| verdict.is_string()).collect();
    let checks = [
        (story["state"] == "done", "it is not done".to_owned()),
        (
            story["handlers"] == json!([alert.handler]),
            format!("answered by {}", story["handlers"]),
        ),
        (
            labels == wanted,
            format!("labels {labels:?}, not {wanted:?}"),
        ),
        (
            verdicts == [alert.verdict()],
            format!("verdict {verdicts:?}, not {}", alert.verdict()),
        ),
        (
            message.text.contains(&alert.subject),
            format!("it does not name {}", alert.subject),
        ),
        (
            !message.contains("not fetched"),
            "something was not fetched".to_owned(),
        ),
    ];
    failed(&alert.alertname, message, checks)
}

/// Returns what differs from: the message says that the alert has resolved, and how.
fn differences_at_the_end(alert: &Scripted, story: &Value, message: &Message) -> Vec<String> {
    let checks = [
        (story["state"] == "done", "it is not done"),
        (message.text.contains("RESOLVED"), "it is not updated"),
        (
            !message.contains("not found out"),
            "how it ended is not known",
        ),
        (
            !message.contains("not fetched"),
            "something was not fetched",
        ),
    ];
    let checks = checks.map(|(is_so, otherwise)| (is_so, format!("at the end, {otherwise}")));
    failed(&alert.alertname, message, checks)
}

fn failed<const N: usize>(
    alertname: &str,
    message: &Message,
    checks: [(bool, String); N],
) -> Vec<String> {
    let failed = checks.into_iter().filter(|(is_so, _)| !is_so);
    failed
        .map(|(_, what)| format!("{alertname}: {what}:\n{}\n", message.shown()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_alert_that_prometheus_fires_is_answered_by_the_handler_that_knows_it() {
    let binaries = match find() {
        Found::Both(binaries) => binaries,
        Found::Missing(what) => return tests::skipped(&what),
    };
    let world = World::new();
    let clusters = clusters(&world.alerts, world.start).await;
    let address = free_address().unwrap();
    let slack = Slack::start().await;
    let mut setup = Setup::new().slack(&slack).config(&config(
        &world.alerts,
        &clusters,
        &format!("http://{address}"),
    ));
    let handlers: BTreeSet<&str> = world
        .alerts
        .iter()
        .map(|one| one.handler.as_str())
        .collect();
    for handler in handlers {
        setup = setup.handler(handler);
    }
    let server = setup.start().await;
    let scraped = Arc::clone(&world);
    let exporter = Exporter::start(move |path| scraped.answer(path))
        .await
        .unwrap();
    let webhook = format!("{}/webhook", server.url);
    let programs = world
        .prometheus(&binaries, address, &exporter, &webhook)
        .await;

    let mut wrong = Vec::new();
    let mut messages = BTreeMap::new();
    for alert in &world.alerts {
        let name = &alert.alertname;
        let story = story(&server, name, "firing", &programs).await;
        let of_it = |message: &&Message| {
            message.thread_ts.is_none() && message.text.ends_with(&format!(", {name}"))
        };
        let message = slack.messages().iter().find(of_it).cloned();
        let message = message.unwrap_or_else(|| panic!("no message about {name}: {story:#}"));
        wrong.extend(differences(alert, &story, &message));
        messages.insert(name, message.ts);
    }

    let (_, all) = server.get("/api/v1/deliveries?limit=1000").await;
    let all = all["deliveries"].as_array().unwrap();
    if all.len() != world.alerts.len() {
        let all: Vec<&Value> = all.iter().map(|one| &one["alertname"]).collect();
        wrong.push(format!("a rule fires in the cluster of another: {all:?}"));
    }

    let now = Timestamp::now();
    for alert in &world.alerts {
        if let Some(kubernetes) = clusters.get(&alert.alertname) {
            kubernetes.set(alert.cluster_at_the_end(now));
        }
    }
    world.fires.change(|fires| *fires = false);
    for alert in &world.alerts {
        let name = &alert.alertname;
        let story = story(&server, name, "resolved", &programs).await;
        let message = slack
            .messages()
            .into_iter()
            .find(|one| one.ts == messages[name]);
        wrong.extend(differences_at_the_end(alert, &story, &message.unwrap()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
