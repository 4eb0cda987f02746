//! Several servers as processes on one database, over fakes.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alert_manager::queue::failpoint::Failpoint;
use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;
use tests::fakes::{Sink, Slack};
use tests::modules;
use tests::postgres::Postgres;
use tests::process::{self, Process};
use tests::server::{PATIENCE, drop_in};

use super::history::History;

/// How long a look at other processes waits before the next one.
const POLL: Duration = Duration::from_millis(20);

/// Which client of the database writes as the server that has the term.
const HOLDER: &str = "SELECT a.application_name FROM alert_manager.term t
    JOIN alert_manager.lanes l ON l.server = t.server AND l.lane = 0
    JOIN pg_stat_activity a ON a.pid = l.pid AND a.backend_start = l.backend_start";

/// What is accepted and not settled.
const LEFT: &str = "SELECT (SELECT count(*) FROM alert_manager.deliveries WHERE state < 3)
    + (SELECT count(*) FROM alert_manager.arrivals)";

/// A database, the fakes, and the servers.
pub(crate) struct Fleet {
    dir: TempDir,
    pub(crate) slack: Slack,
    pub(crate) sink: Sink,
    pub(crate) database: Postgres,
    replicas: Vec<Replica>,
    failpoints: Vec<Failpoint>,
    /// Where the servers listen that run.
    targets: Arc<Mutex<Vec<String>>>,
    http: Client,
}

/// One of the servers.
struct Replica {
    /// Where it finds the database.
    store: String,
    /// What its process has in its environment beside that.
    variables: Vec<(String, OsString)>,
    process: Option<Process>,
}

impl Fleet {
    /// Prepares so many servers; none if `PostgreSQL` is not installed.
    pub(crate) async fn new(replicas: usize) -> Option<Self> {
        let database = tokio::task::block_in_place(Postgres::start)?;
        Some(Self::over(database, replicas).await)
    }

    /// Prepares so many servers on a database that runs.
    pub(crate) async fn over(database: Postgres, replicas: usize) -> Self {
        alert_manager::runtime::install_crypto();
        let dir = tempfile::tempdir().unwrap();
        let (slack, sink) = (Slack::start().await, Sink::start().await);
        let handlers = dir.path().join("handlers");
        std::fs::create_dir(&handlers).unwrap();
        let module = tokio::task::block_in_place(|| modules::path("guest-effects"));
        drop_in(&module, &handlers.join("effects.wasm"));
        let sink_url = sink.url();
        let config = format!(
            r##"handlers_dir: handlers
slack: {{ channels: {{ alerts: "#alerts" }}, rate: {{ per_second: 0 }} }}
handlers:
  effects:
    allow: {{ http: ["{sink_url}"], slack: [alerts] }}
    limits: {{ concurrency: 8 }}
    retry: {{ min_backoff: 1ms, max_backoff: 20ms }}
    config: {{ sink: "{sink_url}/effect", attempts: "named" }}
"##
        );
        std::fs::write(dir.path().join("alert-manager.yml"), config).unwrap();
        let replica = |n: usize| Replica {
            store: database.url(&name(n)),
            variables: Vec::new(),
            process: None,
        };
        Self {
            replicas: (0..replicas).map(replica).collect(),
            dir,
            slack,
            sink,
            database,
            failpoints: Vec::new(),
            targets: Arc::default(),
            http: Client::new(),
        }
    }

    /// Breaks these promises of the servers from their next start on.
    pub(crate) fn set_broken(&mut self, failpoints: &[Failpoint]) {
        self.failpoints = failpoints.to_vec();
    }

    /// Has a server find the database at another place, from its next start on.
    pub(crate) fn reach_at(&mut self, n: usize, host: &str, port: u16) {
        self.replicas[n].store = self.database.url_at(host, port, &name(n));
    }

    /// Adds to the environment of a server, from its next start on.
    pub(crate) fn set_variable(&mut self, n: usize, variable: &str, value: impl Into<OsString>) {
        let set = (variable.to_owned(), value.into());
        self.replicas[n].variables.push(set);
    }

    /// Returns the folder of the servers.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Returns where the servers listen that run; senders look at each attempt.
    pub(crate) fn targets(&self) -> Arc<Mutex<Vec<String>>> {
        Arc::clone(&self.targets)
    }

    /// Starts all servers, the first one first: it has the term, and compiles the handler for all.
    pub(crate) fn start_all(&mut self) {
        for n in 0..self.replicas.len() {
            self.start(n);
        }
    }

    /// Starts a server.
    pub(crate) fn start(&mut self, n: usize) {
        let binary = tokio::task::block_in_place(|| match self.failpoints.is_empty() {
            true => process::binary(),
            false => process::binary_with_failpoints(),
        });
        let failpoints: Vec<_> = self.failpoints.iter().map(|f| f.name()).collect();
        let replica = &mut self.replicas[n];
        let mut command = process::command_of(binary, self.dir.path(), &["serve"]);
        command
            .args(["--config.file", "alert-manager.yml"])
            .env("ALERT_MANAGER_STORE", &replica.store)
            .env(Failpoint::VARIABLE, failpoints.join(","))
            .env("SLACK_API_URL", self.slack.api_url())
            .env("SLACK_TOKEN", tests::fakes::slack::TOKEN)
            .env("XDG_CACHE_HOME", self.dir.path().join("cache"))
            .envs(replica.variables.iter().cloned());
        replica.process = Some(tokio::task::block_in_place(|| Process::start(command)));
        self.tell_targets();
    }

    /// Kills a server at once.
    pub(crate) fn kill(&mut self, n: usize) {
        let process = self.replicas[n].process.take().expect("it runs");
        tokio::task::block_in_place(|| process.kill());
        self.tell_targets();
    }

    /// Ends a server in order: what it runs ends first.
    pub(crate) fn stop(&mut self, n: usize) {
        let process = self.replicas[n].process.take().expect("it runs");
        self.tell_targets();
        process.signal("TERM");
        let code = tokio::task::block_in_place(|| process.wait());
        assert_eq!(code, Some(0));
    }

    fn tell_targets(&self) {
        let running = self.replicas.iter().filter_map(|r| r.process.as_ref());
        *self.targets.lock() = running.map(|process| process.url.clone()).collect();
    }

    /// Suspends a server. Senders do not know.
    pub(crate) fn pause(&self, n: usize) {
        self.process(n).signal("STOP");
    }

    /// Has a suspended server go on.
    pub(crate) fn resume(&self, n: usize) {
        self.process(n).signal("CONT");
    }

    fn process(&self, n: usize) -> &Process {
        self.replicas[n].process.as_ref().expect("it runs")
    }

    /// Waits for a line of a server's log.
    pub(crate) fn wait_for_line(&self, n: usize, part: &str) -> String {
        tokio::task::block_in_place(|| self.process(n).wait_for_line(part))
    }

    /// Returns where a server listens.
    pub(crate) fn url(&self, n: usize) -> String {
        self.process(n).url.clone()
    }

    /// Returns the number of a server that is not this one.
    pub(crate) fn other_than(&self, n: usize) -> usize {
        (n + 1) % self.replicas.len()
    }

    /// Waits until a server has the term, and returns its number.
    pub(crate) async fn holder(&self) -> usize {
        self.wait_for_holder(|_| true).await
    }

    /// Waits until another server than this one has the term, and returns its number.
    pub(crate) async fn wait_for_successor(&self, of: usize) -> usize {
        self.wait_for_holder(|holder| holder != of).await
    }

    async fn wait_for_holder(&self, wanted: impl Fn(usize) -> bool) -> usize {
        let began = Instant::now();
        loop {
            let said = tokio::task::block_in_place(|| self.database.sql(HOLDER));
            let holder = said.as_ref().ok().and_then(|name| number_of(name));
            if let Some(holder) = holder.filter(|holder| wanted(*holder)) {
                return holder;
            }
            assert!(began.elapsed() < PATIENCE, "nobody has the term: {said:?}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until nothing is left to do, as long as deliveries are settled.
    pub(crate) async fn wait_until_settled(&self) {
        let (mut left, mut patience) = (None, Instant::now() + PATIENCE);
        loop {
            let now = tokio::task::block_in_place(|| self.database.number(LEFT));
            if now == Some(0) {
                return;
            }
            if now.is_some() && left.replace(now) != Some(now) {
                patience = Instant::now() + PATIENCE;
            }
            if Instant::now() > patience {
                panic!(
                    "still not settled: {now:?} left, {:#?}",
                    self.deliveries().await
                );
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Asks the API of a server that runs.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let target = self.targets.lock().first().cloned().expect("one runs");
        let response = self
            .http
            .get(format!("{target}{path}"))
            .send()
            .await
            .unwrap();
        let text = response.text().await.unwrap();
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path}: {text}"))
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

    /// Waits until nothing is left to do, and returns what has happened.
    pub(crate) async fn history(&self, acknowledged: BTreeSet<usize>) -> History {
        self.wait_until_settled().await;
        let listed = self.deliveries().await;
        let stories = stream::iter(&listed).map(|delivery| {
            let id = delivery["id"].as_str().unwrap();
            async move { self.get(&format!("/api/v1/deliveries/{id}")).await }
        });
        let stories = stories.buffer_unordered(4).collect().await;
        History::of(acknowledged, &self.slack, &self.sink, stories)
    }
}

fn name(n: usize) -> String {
    format!("replica-{n}")
}

fn number_of(name: &str) -> Option<usize> {
    name.strip_prefix("replica-")?.parse().ok()
}
