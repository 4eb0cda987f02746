//! The worst day: a flood of alerts from two senders, a Slack that keeps to its own rates and then fails, a Kubernetes that does
//! not answer, the end of it all at once, and a server that is killed in the middle of each. Every alert is done, the critical
//! ones were told first, and the rest is a few messages.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Client, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tests::fakes::faults::ANY;
use tests::fakes::slack::{Call, TOKEN};
use tests::fakes::{Cluster, Fault, Kubernetes, Slack};
use tests::modules;
use tests::process::{self, Process};
use tests::server::{PATIENCE, drop_in};
use tests::worst_day::{Body, WorstDay};

const POST: &str = "chat.postMessage";
const HANDLERS: [&str; 2] = ["slack-notify", "kube-pod-crash-looping"];

/// Messages that may be posted in its channel between a critical alert's acceptance and its own message: what is on its way, and
/// what has its turn already.
const AHEAD_MAX: usize = 3;

/// The most messages that a whole day may become.
const MESSAGES_MAX: usize = 120;

fn day() -> WorstDay {
    let is_long = std::env::var_os("ALERT_MANAGER_TEST_LONG").is_some();
    match is_long {
        true => WorstDay::whole(1),
        false => WorstDay {
            alerts: 2_000,
            alertnames: 12,
            criticals: 20,
            speed: 6,
        },
    }
}

/// The folder, the fakes, and the server while it runs.
struct Rig {
    dir: TempDir,
    day: WorstDay,
    slack: Slack,
    process: Option<Process>,
    http: Client,
    /// How many calls Slack had had when each critical alert was accepted first.
    accepted: BTreeMap<String, usize>,
}

impl Rig {
    async fn new() -> (Self, Kubernetes) {
        alert_manager::runtime::install_crypto();
        let dir = tempfile::tempdir().unwrap();
        let day = day();
        let slack = Slack::start().await;
        slack.enforce_rates(day.speed);
        let kubernetes = Kubernetes::start(Cluster::default()).await;
        kubernetes.faults().until_cleared(ANY, Fault::Hang);
        std::fs::create_dir(dir.path().join("handlers")).unwrap();
        for handler in HANDLERS {
            let module = tokio::task::block_in_place(|| modules::path(handler));
            drop_in(
                &module,
                &dir.path().join(format!("handlers/{handler}.wasm")),
            );
        }
        let config = day.config(&slack.api_url(), &kubernetes.url());
        let config = format!("handlers_dir: handlers\nstore: sqlite:alert-manager.db\n{config}");
        std::fs::write(dir.path().join("alert-manager.yml"), config).unwrap();
        std::fs::write(dir.path().join("token"), TOKEN).unwrap();
        let mut rig = Self {
            dir,
            day,
            slack,
            process: None,
            http: Client::new(),
            accepted: BTreeMap::new(),
        };
        rig.start();
        (rig, kubernetes)
    }

    fn start(&mut self) {
        let args = ["serve", "--config.file", "alert-manager.yml"];
        let mut command = process::command(self.dir.path(), &args);
        command.env("XDG_CACHE_HOME", self.dir.path().join("cache"));
        let process = tokio::task::block_in_place(|| Process::start(command));
        self.process = Some(process);
    }

    fn kill(&mut self) {
        let process = self.process.take().expect("it runs");
        tokio::task::block_in_place(|| process.kill());
    }

    fn url(&self) -> &str {
        &self.process.as_ref().expect("it runs").url
    }

    /// Sends these bodies, each twice, as two Alertmanagers do.
    async fn send(&mut self, bodies: &[Body]) {
        for body in bodies {
            for _ in 0..2 {
                let request = self.http.post(format!("{}/webhook", self.url()));
                let request = request.header("content-type", "application/json");
                let answer = request.body(body.json.clone()).send().await.unwrap();
                assert_eq!(answer.status(), StatusCode::ACCEPTED);
            }
            if let Some(name) = &body.critical {
                let calls = self.slack.calls().len();
                self.accepted.entry(name.clone()).or_insert(calls);
            }
        }
    }

    async fn get_text(&self, path: &str) -> String {
        let request = self.http.get(format!("{}{path}", self.url()));
        request.send().await.unwrap().text().await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        let text = self.get_text(path).await;
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path}: {text}"))
    }

    /// Waits until nothing is left to do; as long as it goes on, it may take its time.
    async fn wait_until_settled(&self) {
        let mut left = None;
        let mut patience = std::time::Instant::now() + 4 * PATIENCE;
        loop {
            let metrics = self.get_text("/metrics").await;
            let mut lines = metrics.lines();
            let depth = lines.find_map(|line| line.strip_prefix("alert_manager_queue_depth "));
            let depth: u64 = depth.and_then(|depth| depth.parse().ok()).expect("a depth");
            if depth == 0 {
                return;
            }
            if left.replace(depth) != Some(depth) {
                patience = std::time::Instant::now() + 4 * PATIENCE;
            }
            if std::time::Instant::now() > patience {
                let channels = self.get("/api/v1/channels").await;
                panic!("{depth} are still not settled: {channels:#}");
            }
            tokio::task::yield_now().await;
        }
    }

    async fn deliveries(&self) -> Vec<Value> {
        let mut all = Vec::new();
        let mut before = String::new();
        loop {
            let path = format!("/api/v1/deliveries?limit=1000{before}");
            let page = self.get(&path).await;
            all.extend(page["deliveries"].as_array().unwrap().iter().cloned());
            match page["next"].as_str() {
                Some(next) => before = format!("&before={next}"),
                None => return all,
            }
        }
    }

    /// Asserts that each of so many alerts of this status is done, and that each coalesced one names a delivery that was told.
    async fn assert_all_told(&self, status: &str, alerts: usize) {
        let deliveries = self.deliveries().await;
        let of_status: Vec<_> = deliveries
            .iter()
            .filter(|d| d["status"] == status)
            .collect();
        assert_eq!(
            of_status.len(),
            alerts,
            "nothing is lost and nothing is doubled"
        );
        let mut representatives = BTreeSet::new();
        for delivery in of_status {
            assert_eq!(delivery["state"], "done", "{delivery:#}");
            match delivery["reason"].as_str().unwrap_or_default() {
                "handled" => {}
                "coalesced" => {
                    let into = delivery["coalesced_into"].as_str();
                    let into = into.unwrap_or_else(|| panic!("it names no message: {delivery:#}"));
                    representatives.insert(into.to_owned());
                }
                other => panic!("{other}: {delivery:#}"),
            }
        }
        for id in representatives {
            let story = self.get(&format!("/api/v1/deliveries/{id}")).await;
            assert_eq!(story["reason"], "handled", "{story:#}");
            let text = story.to_string();
            assert!(text.contains("\"slack\""), "it has told nobody: {story:#}");
            let count = story["members"]["count"].as_u64().unwrap_or_default();
            assert!(count > 0, "it lists its members: {story:#}");
        }
    }

    fn posted(&self) -> Vec<Call> {
        let calls = self.slack.calls().into_iter();
        calls
            .filter(|call| call.method == POST && call.outcome == "ok")
            .collect()
    }

    /// Asserts that each critical alert is a message of its own, that no more than a few others were posted before it, and that
    /// Slack refused few calls.
    fn assert_criticals_first(&self) {
        let calls = self.slack.calls();
        assert_eq!(self.accepted.len(), self.day.criticals);
        for (name, from) in &self.accepted {
            let is_own = |call: &Call| {
                call.method == POST && call.outcome == "ok" && call.body.to_string().contains(name)
            };
            let at = calls.iter().position(is_own);
            let at = at.unwrap_or_else(|| panic!("{name} was never posted"));
            // Those that ask Kubernetes wait for their enrichment first.
            if name.starts_with("Pod") || at < *from {
                continue;
            }
            let channel = &calls[at].body["channel"];
            let is_other = |call: &&Call| {
                let text = call.body.to_string();
                let is_critical = self.accepted.keys().any(|name| text.contains(name));
                call.method == POST
                    && call.outcome == "ok"
                    && call.body["channel"] == *channel
                    && !is_critical
            };
            let ahead = calls[*from..at].iter().filter(is_other).count();
            assert!(
                ahead <= AHEAD_MAX,
                "{ahead} messages were posted before {name}"
            );
        }
        let refused = calls
            .iter()
            .filter(|call| call.outcome == "ratelimited")
            .count();
        assert!(
            refused * 20 <= calls.len(),
            "{refused} of {} calls were refused",
            calls.len()
        );
        let disabled = calls.iter().any(|call| call.outcome == "account_inactive");
        assert!(!disabled, "the app was disabled, since it went on calling");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_a_few_messages_the_critical_ones_first_and_nothing_is_lost() {
    let (mut rig, _kubernetes) = Rig::new().await;
    let bodies = rig.day.bodies("firing");
    rig.send(&bodies).await;
    rig.wait_until_settled().await;
    rig.assert_criticals_first();
    let posted = rig.posted().len();
    println!("{} alerts became {posted} messages", rig.day.alerts);
    assert!(posted <= MESSAGES_MAX, "{posted} messages");
    rig.assert_all_told("firing", rig.day.alerts).await;

    let ended = rig.day.bodies("resolved");
    rig.send(&ended).await;
    rig.wait_until_settled().await;
    rig.assert_all_told("resolved", rig.day.alerts).await;
    let posted = rig.posted().len() - posted;
    println!("their end became {posted} messages");
    assert!(posted <= MESSAGES_MAX, "{posted} messages about the end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_of_each_part_the_sums_hold() {
    let (mut rig, _kubernetes) = Rig::new().await;
    let bodies = rig.day.bodies("firing");
    let half = bodies.len() / 2;

    rig.send(&bodies[..half]).await;
    rig.slack.wait_for_calls(POST, 8).await;
    rig.kill();
    rig.start();
    // Nobody knows what became of the first half: both senders send it again.
    rig.send(&bodies).await;

    rig.slack.faults().until_cleared(POST, Fault::status(503));
    let calls = rig.slack.count_calls(POST);
    rig.slack.wait_for_calls(POST, calls + 5).await;
    rig.kill();
    rig.start();
    let calls = rig.slack.count_calls(POST);
    rig.slack.wait_for_calls(POST, calls + 5).await;
    rig.slack.faults().clear();
    rig.wait_until_settled().await;
    rig.assert_all_told("firing", rig.day.alerts).await;

    let ended = rig.day.bodies("resolved");
    rig.send(&ended[..half]).await;
    rig.kill();
    rig.start();
    rig.send(&ended).await;
    rig.wait_until_settled().await;
    rig.assert_all_told("firing", rig.day.alerts).await;
    rig.assert_all_told("resolved", rig.day.alerts).await;
    for name in rig.accepted.keys() {
        let told = rig
            .posted()
            .into_iter()
            .any(|call| call.body.to_string().contains(name));
        assert!(told, "{name} was never posted");
    }
}
