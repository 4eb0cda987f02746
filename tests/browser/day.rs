//! A day on a real server: usual alerts, a storm, a handler that fails, a crash, a request of which nobody knows whether it
//! was made, a channel that refuses.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::fakes::faults::Gate;
use tests::fakes::{Fault, Sink, Slack};
use tests::process::{Process, command};
use tests::server::{drop_in, ids};
use tests::{PATIENCE, modules};

/// Where the handler `effects` posts.
const SINK: &str = "/effect";

/// How many alerts the storm has.
const STORM: usize = 40;

/// The server and what is around it, in the evening.
pub(crate) struct Day {
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
    pub(crate) slack: Slack,
    pub(crate) sink: Sink,
    /// Done, with a message in Slack.
    pub(crate) done: String,
    /// One that ran for a whole storm, and one of those that it ran for.
    pub(crate) storm: String,
    pub(crate) member: String,
    /// Dead, since the service that it needs refused it. The first is retried by a test.
    pub(crate) dead: [String; 2],
    /// Done at the second try; the first may have been made as well.
    pub(crate) ambiguous: String,
    /// Under way when the server was killed.
    pub(crate) crashed: String,
    /// Waits for a channel of Slack.
    pub(crate) waiting: String,
    dir: TempDir,
    http: Client,
    process: Mutex<Option<Process>>,
}

impl Day {
    /// Lives through the day.
    pub(crate) async fn live_through() -> Self {
        alert_manager::runtime::install_crypto();
        let mut day = Self::at_dawn().await;
        day.usual_alerts().await;
        day.kill();
        crate::past::fill(&day.dir.path().join("alert-manager.db"));
        day.start_again();
        day.done = day.crash_loop().await;
        (day.storm, day.member) = day.storm().await;
        day.dead = day.refused_by_a_service().await;
        day.ambiguous = day.of_unknown_effect().await;
        day.crashed = day.crash().await;
        day.waiting = day.refused_by_slack().await;
        day
    }

    async fn at_dawn() -> Self {
        let (slack, sink) = (Slack::start().await, Sink::start().await);
        let dir = tempfile::tempdir().unwrap();
        tokio::task::block_in_place(|| prepare(dir.path(), &sink.url()));
        let process = start(dir.path(), &slack, None);
        Self {
            url: process.url.clone(),
            slack,
            sink,
            done: String::new(),
            storm: String::new(),
            member: String::new(),
            dead: [String::new(), String::new()],
            ambiguous: String::new(),
            crashed: String::new(),
            waiting: String::new(),
            dir,
            http: Client::new(),
            process: Mutex::new(Some(process)),
        }
    }

    async fn usual_alerts(&self) {
        for (name, severity, namespace, pod, summary) in [
            (
                "Watchdog",
                "none",
                "monitoring",
                "",
                "The way of alerts is open.",
            ),
            (
                "CPUThrottlingHigh",
                "info",
                "search",
                "indexer-0",
                "42 % of the CPU time of indexer is throttled.",
            ),
            (
                "HighErrorRate",
                "critical",
                "checkout",
                "",
                "7.2 % of the requests to checkout fail.",
            ),
            (
                "KubeJobFailed",
                "warning",
                "reports",
                "nightly-28391",
                "The job nightly failed to complete.",
            ),
            (
                "TargetDown",
                "warning",
                "monitoring",
                "",
                "2 of 14 targets of node-exporter are down.",
            ),
        ] {
            let id = self
                .accept(&alert(name, severity, namespace, pod, summary))
                .await;
            self.wait_for(&id, "done").await;
        }
    }

    /// An alert that a handler of its own serves.
    async fn crash_loop(&self) -> String {
        let summary = "cart-7d9f6c5b8-x2x9k restarts 2.1 times in 10 minutes.";
        let crash = alert(
            "KubePodCrashLooping",
            "critical",
            "shop",
            "cart-7d9f6c5b8-x2x9k",
            summary,
        );
        let id = self.accept(&crash).await;
        self.wait_for(&id, "done").await;
        id
    }

    /// Slack is slow for a moment, and meanwhile nodes of a region are lost.
    async fn storm(&self) -> (String, String) {
        let gate = Gate::closed();
        self.slack
            .faults()
            .until_cleared("chat.postMessage", Fault::Hold(gate.clone()));
        let alerts: Vec<_> = (0..STORM)
            .map(|n| {
                let mut alert = alert(
                    "KubeNodeNotReady",
                    "warning",
                    "",
                    "",
                    &format!("ip-10-0-3-{n} has been unready for 15 minutes."),
                );
                alert["labels"]["node"] =
                    json!(format!("ip-10-0-3-{n}.eu-west-1.compute.internal"));
                alert
            })
            .collect();
        let ids = self
            .post(&json!({ "version": "4", "status": "firing", "alerts": alerts }))
            .await;
        self.slack.faults().clear();
        gate.open();
        let mut members = Vec::new();
        for id in ids {
            let story = self.wait_for(&id, "done").await;
            if let Some(into) = story["coalesced_into"].as_str() {
                members.push((into.to_owned(), id));
            }
        }
        members.pop().expect("a storm")
    }

    async fn refused_by_a_service(&self) -> [String; 2] {
        self.sink.faults().until_cleared(SINK, Fault::status(410));
        let mut dead = Vec::new();
        for (name, n) in [("InvoiceExportFailed", "1"), ("RefundFailed", "5")] {
            let summary = "The provider has refused 12 documents since 02:10.";
            let id = self.accept(&of_billing(name, n, summary)).await;
            self.wait_for(&id, "dead").await;
            dead.push(id);
        }
        self.sink.faults().clear();
        dead.try_into().expect("two")
    }

    /// The service does what it is asked for, and answers that it failed.
    async fn of_unknown_effect(&self) -> String {
        self.sink.faults().next(SINK, Fault::status(500).but_done());
        let summary = "Payments wait for 25 minutes.";
        let id = self
            .accept(&of_billing("PaymentQueueStuck", "4", summary))
            .await;
        self.wait_for(&id, "done").await;
        id
    }

    async fn crash(&self) -> String {
        let gate = Gate::closed();
        self.sink
            .faults()
            .until_cleared(SINK, Fault::Hold(gate.clone()));
        let before = self.sink.count();
        let summary = "The ledger differs from the bank by 3 entries.";
        let id = self
            .accept(&of_billing("LedgerDiffers", "8", summary))
            .await;
        self.sink.wait_for_count(before + 1).await;
        self.kill();
        self.sink.faults().clear();
        gate.open();
        self.start_again();
        self.wait_for(&id, "done").await;
        id
    }

    async fn refused_by_slack(&self) -> String {
        self.slack.refuse_channel("oncall", Some("is_archived"));
        let mut last = String::new();
        for (name, namespace) in [
            ("EtcdMembersDown", "kube-system"),
            ("ReplicationLag", "orders"),
            ("DiskFull", "orders"),
        ] {
            let mut alert = alert(
                name,
                "critical",
                namespace,
                "",
                &format!("{name} in {namespace}, for 5 minutes."),
            );
            alert["labels"]["team"] = json!("oncall");
            last = self.accept(&alert).await;
        }
        self.wait_until(&last, |story| !story["waiting"].is_null())
            .await;
        last
    }

    /// Posts one alert and returns its delivery.
    async fn accept(&self, alert: &Value) -> String {
        self.post(alert).await.remove(0)
    }

    async fn post(&self, body: &Value) -> Vec<String> {
        let request = self.http.post(format!("{}/webhook", self.url)).json(body);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["rejected"], json!([]), "{answer}");
        ids(&answer)
    }

    /// Waits until a delivery is in a state, and returns its story.
    pub(crate) async fn wait_for(&self, id: &str, state: &str) -> Value {
        self.wait_until(id, |story| story["state"] == state).await
    }

    /// The server is another process, so it is polled.
    async fn wait_until(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let url = format!("{}/api/v1/deliveries/{id}", self.url);
        let mut last = Value::Null;
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                last = self
                    .http
                    .get(&url)
                    .send()
                    .await
                    .unwrap()
                    .json()
                    .await
                    .unwrap();
                if wanted(&last) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        });
        assert!(waited.await.is_ok(), "still not as wanted: {last:#}");
        last
    }

    /// Ends the server at once.
    pub(crate) fn kill(&self) {
        let process = self.process.lock().take().expect("it runs");
        tokio::task::block_in_place(|| process.kill());
    }

    /// Starts the server where it was.
    pub(crate) fn start_again(&self) {
        let address = self.url.trim_start_matches("http://");
        let process = start(self.dir.path(), &self.slack, Some(address));
        *self.process.lock() = Some(process);
    }
}

fn prepare(dir: &Path, sink: &str) {
    let handlers = dir.join("handlers");
    std::fs::create_dir(&handlers).unwrap();
    for (module, file) in [
        ("slack-notify", "slack-notify.wasm"),
        ("kube-pod-crash-looping", "kube-pod-crash-looping.wasm"),
        ("guest-effects", "effects.wasm"),
    ] {
        drop_in(&modules::path(module), &handlers.join(file));
    }
    std::fs::write(handlers.join("checkout.wasm"), "not a module").unwrap();
    let config = format!(
        r##"handlers_dir: handlers
store: sqlite:alert-manager.db
slack:
  channels: {{ alerts: "#alerts", oncall: "#oncall" }}
  rate: {{ per_second: 0 }}
storm: {{ over: 5, within: 1m }}
heartbeats:
  prometheus: {{ matchers: ['alertname="Watchdog"'], every: 15m }}
routes:
  - matchers: ['team="oncall"']
    handlers: [slack-notify]
    config: {{ channel: oncall }}
  - matchers: ['team="billing"']
    handlers: [effects]
  - matchers: ['alertname="KubePodCrashLooping"']
    handlers: [kube-pod-crash-looping]
  - matchers: ['namespace="legacy"']
    handlers: [slack-notify]
  - handlers: [slack-notify]
handlers:
  slack-notify:
    allow: {{ slack: [alerts, oncall] }}
  kube-pod-crash-looping:
    allow: {{ slack: [alerts] }}
  effects:
    allow: {{ http: ["{sink}"], slack: [alerts] }}
    retry: {{ min_backoff: 1ms, max_backoff: 20ms }}
    config: {{ sink: "{sink}{SINK}" }}
"##
    );
    std::fs::write(dir.join("alert-manager.yml"), config).unwrap();
}

fn start(dir: &Path, slack: &Slack, address: Option<&str>) -> Process {
    tokio::task::block_in_place(|| {
        let mut command = command(dir, &["serve", "--config.file", "alert-manager.yml"]);
        command
            .env("SLACK_API_URL", slack.api_url())
            .env("SLACK_TOKEN", tests::fakes::slack::TOKEN)
            .env("XDG_CACHE_HOME", dir.join("cache"));
        Process::start_at(command, address.unwrap_or("127.0.0.1:0"))
    })
}

/// An alert as Alertmanager posts it, which has fired for some minutes.
fn alert(name: &str, severity: &str, namespace: &str, pod: &str, summary: &str) -> Value {
    let labels = [
        ("alertname", name),
        ("severity", severity),
        ("cluster", "eu-west"),
        ("namespace", namespace),
        ("pod", pod),
    ];
    let labels = labels.into_iter().filter(|(_, value)| !value.is_empty());
    let labels: serde_json::Map<_, _> = labels
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect();
    json!({
        "status": "firing",
        "labels": labels,
        "annotations": { "summary": summary, "runbook_url": format!("https://runbooks.example/{name}") },
        "startsAt": (Timestamp::now() - SignedDuration::from_mins(6)).to_string(),
        "generatorURL": "https://prometheus.example/graph?g0.expr=up",
    })
}

fn of_billing(name: &str, n: &str, summary: &str) -> Value {
    let mut alert = alert(name, "warning", "billing", "", summary);
    alert["labels"]["team"] = json!("billing");
    alert["annotations"]["n"] = json!(n);
    alert
}
