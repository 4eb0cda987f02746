//! The real binary over fakes, started and killed again and again on one folder.

use std::fs::File;
use std::path::PathBuf;
use std::time::Instant;

use alert_manager::alert::DeliveryId;
use alert_manager::queue::failpoint::Failpoint;
use reqwest::Client;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tempfile::TempDir;
use tests::fakes::{Sink, Slack};
use tests::modules;
use tests::process::{self, Process};
use tests::server::{PATIENCE, drop_in};

use crate::shim;

/// How many deliveries the handler may have under way: what a kill can leave unknown.
const CONCURRENCY: usize = 8;

const STORE: &str = "alert-manager.db";
const LOG: &str = "alert-manager.db-wal";

/// A folder, the fakes, and the server while it runs.
pub(crate) struct Rig {
    dir: TempDir,
    pub(crate) slack: Slack,
    pub(crate) sink: Sink,
    failpoints: Vec<Failpoint>,
    shadow: Option<PathBuf>,
    clock: Option<PathBuf>,
    stall: Option<PathBuf>,
    process: Option<Process>,
    http: Client,
}

impl Rig {
    /// Prepares a folder with the handler of three effects.
    pub(crate) async fn new() -> Self {
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
store: sqlite:{STORE}
slack: {{ channels: {{ alerts: "#alerts" }}, rate: {{ per_second: 0 }} }}
handlers:
  effects:
    allow: {{ http: ["{sink_url}"], slack: [alerts] }}
    limits: {{ concurrency: {CONCURRENCY} }}
    retry: {{ min_backoff: 1ms, max_backoff: 20ms }}
    config: {{ sink: "{sink_url}/effect" }}
"##
        );
        std::fs::write(dir.path().join("alert-manager.yml"), config).unwrap();
        Self {
            dir,
            slack,
            sink,
            failpoints: Vec::new(),
            shadow: None,
            clock: None,
            stall: None,
            process: None,
            http: Client::new(),
        }
    }

    /// Keeps beside the store what a power cut would leave of it.
    pub(crate) fn with_shadow(mut self) -> Self {
        let shadow = self.dir.path().join("shadow");
        std::fs::create_dir(&shadow).unwrap();
        self.shadow = Some(shadow);
        self
    }

    /// Lets [`Rig::set_clock`] move the server's clock.
    pub(crate) fn with_clock(mut self) -> Self {
        let clock = self.dir.path().join("clock");
        std::fs::write(&clock, 0_i64.to_ne_bytes()).unwrap();
        self.clock = Some(clock);
        self
    }

    /// Lets [`Rig::stall`] hold the server's disk.
    pub(crate) fn with_stall(mut self) -> Self {
        let stall = self.dir.path().join("stall");
        std::fs::write(&stall, 0_i64.to_ne_bytes()).unwrap();
        self.stall = Some(stall);
        self
    }

    /// Adds to the server's configuration.
    pub(crate) fn configured(self, yaml: &str) -> Self {
        use std::io::Write as _;
        let path = self.dir.path().join("alert-manager.yml");
        let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
        writeln!(file, "{yaml}").unwrap();
        self
    }

    /// Returns the file of the store.
    pub(crate) fn store(&self) -> PathBuf {
        self.dir.path().join(STORE)
    }

    /// Adds another handler to the folder, with its lines below `handlers`. Before [`Self::configured`].
    pub(crate) fn with_handler(self, name: &str, yaml: &str) -> Self {
        let module = tokio::task::block_in_place(|| modules::path(name));
        let file = format!("handlers/{name}.wasm");
        drop_in(&module, &self.dir.path().join(file));
        self.configured(&format!("  {name}: {yaml}"))
    }

    /// Breaks these promises of the server from its next start on, and keeps those that were broken before.
    pub(crate) fn set_broken(&mut self, failpoints: &[Failpoint]) {
        self.failpoints = failpoints.to_vec();
    }

    /// Sets the server's time of day apart from the machine's, from now on.
    pub(crate) fn set_clock(&self, offset_seconds: i64) {
        use std::os::unix::fs::FileExt as _;
        let clock = self.clock.as_ref().expect("asked for with a clock");
        let file = std::fs::OpenOptions::new().write(true).open(clock).unwrap();
        file.write_all_at(&offset_seconds.to_ne_bytes(), 0).unwrap();
    }

    /// Keeps every commit waiting for the disk until what it returns is dropped.
    pub(crate) fn stall(&self) -> File {
        let path = self.stall.as_ref().expect("asked for with a stall");
        let file = File::open(path).unwrap();
        file.lock().unwrap();
        file
    }

    /// Waits until `n` commits have met a stalled disk. The server is another process, so it is polled.
    pub(crate) async fn wait_until_stalled(&self, n: i64) {
        let path = self.stall.as_ref().expect("asked for with a stall");
        let met = async {
            loop {
                let bytes = std::fs::read(path).unwrap();
                if i64::from_ne_bytes(bytes.try_into().unwrap()) >= n {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, met)
            .await
            .expect("a commit comes");
    }

    /// Starts the server and returns its URL; `die` is the shim's `PROOFS_DIE`. None if it died before it was
    /// ready, which only one that is to die may do.
    pub(crate) fn start(&mut self, die: Option<&str>) -> Option<String> {
        let binary = tokio::task::block_in_place(|| match self.failpoints.is_empty() {
            true => process::binary(),
            false => process::binary_with_failpoints(),
        });
        let mut command = process::command_of(binary, self.dir.path(), &["serve"]);
        let failpoints: Vec<_> = self.failpoints.iter().map(|f| f.name()).collect();
        command
            .env(Failpoint::VARIABLE, failpoints.join(","))
            .args(["--config.file", "alert-manager.yml"])
            .env("SLACK_API_URL", self.slack.api_url())
            .env("SLACK_TOKEN", tests::fakes::slack::TOKEN)
            .env("XDG_CACHE_HOME", self.dir.path().join("cache"));
        let is_watched = self.shadow.is_some() || self.clock.is_some() || self.stall.is_some();
        if is_watched || die.is_some() {
            command.env("LD_PRELOAD", shim::path());
        }
        if let Some(stall) = &self.stall {
            command.env("PROOFS_STALL", stall);
        }
        if let Some(shadow) = &self.shadow {
            command.env("PROOFS_SHADOW", shadow);
        }
        if let Some(clock) = &self.clock {
            command.env("PROOFS_CLOCK", clock);
        }
        if let Some(die) = die {
            command.env("PROOFS_DIE", die);
        }
        let started = tokio::task::block_in_place(|| Process::try_start(command));
        match started {
            Ok(process) => {
                let url = process.url.clone();
                self.process = Some(process);
                Some(url)
            }
            Err(_) if die.is_some() => None,
            Err(said) => panic!("the server does not start again: {said}"),
        }
    }

    /// Kills the server at once.
    pub(crate) fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            tokio::task::block_in_place(|| process.kill());
        }
    }

    /// Waits until the server has died by the shim or a failpoint.
    pub(crate) fn wait_for_death(&mut self) {
        if let Some(process) = self.process.take() {
            let code = tokio::task::block_in_place(|| process.wait());
            assert_eq!(code, None, "it was to be killed");
        }
    }

    /// Ends the server in order.
    pub(crate) fn stop(&mut self) {
        assert_eq!(self.signal(&["TERM"]), Some(0));
    }

    /// Sends signals, one after the other, and returns the code with which the server ends.
    pub(crate) fn signal(&mut self, names: &[&str]) -> Option<i32> {
        let process = self.process.take().expect("it runs");
        for name in names {
            process.signal(name);
        }
        tokio::task::block_in_place(|| process.wait())
    }

    /// Waits for a line of the server's log.
    pub(crate) fn wait_for_line(&self, part: &str) -> String {
        let process = self.process.as_ref().expect("it runs");
        tokio::task::block_in_place(|| process.wait_for_line(part))
    }

    /// Cuts the power: what was not synced is gone.
    pub(crate) fn cut_power(&mut self) {
        self.kill();
        let shadow = self.shadow.as_ref().expect("asked for with a shadow");
        for file in [STORE, LOG, "alert-manager.db-shm"] {
            let _ = std::fs::remove_file(self.dir.path().join(file));
            if shadow.join(file).exists() {
                std::fs::copy(shadow.join(file), self.dir.path().join(file)).unwrap();
            }
        }
    }

    /// Returns the identifiers of the deliveries that the dead server had under way, by its own store.
    pub(crate) fn under_way(&self) -> Vec<String> {
        let copy = tempfile::tempdir().unwrap();
        for file in [STORE, LOG] {
            let from = self.dir.path().join(file);
            if from.exists() {
                std::fs::copy(from, copy.path().join(file)).unwrap();
            }
        }
        let store = Connection::open(copy.path().join(STORE)).unwrap();
        // It may have died before it had made its tables.
        let Ok(mut rows) = store.prepare("SELECT id FROM deliveries WHERE state = 1") else {
            return Vec::new();
        };
        rows.query_map([], |row| Ok(DeliveryId::from_raw(row.get(0)?).to_string()))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }

    /// Returns the handler's own numbers, of a server that was stopped.
    pub(crate) fn counters(&self) -> Vec<(String, i64)> {
        let store = Connection::open_with_flags(
            self.dir.path().join(STORE),
            OpenFlags::SQLITE_OPEN_READ_ONLY,
        )
        .unwrap();
        let mut rows = store
            .prepare("SELECT key, CAST(value AS TEXT) FROM kv WHERE handler = 'effects'")
            .unwrap();
        rows.query_map([], |row| {
            let number: String = row.get(1)?;
            Ok((row.get(0)?, number.parse().unwrap()))
        })
        .unwrap()
        .map(Result::unwrap)
        .collect()
    }

    /// Asks the running server's API.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let text = self.get_text(path).await;
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path}: {text}"))
    }

    async fn get_text(&self, path: &str) -> String {
        let url = &self.process.as_ref().expect("it runs").url;
        let response = self.http.get(format!("{url}{path}")).send().await.unwrap();
        response.text().await.unwrap()
    }

    /// Returns every delivery, as it is listed.
    pub(crate) async fn deliveries(&self) -> Vec<Value> {
        let mut all = Vec::new();
        let mut before = String::new();
        loop {
            let page = self
                .get(&format!("/api/v1/deliveries?limit=1000{before}"))
                .await;
            all.extend(page["deliveries"].as_array().unwrap().iter().cloned());
            match page["next"].as_str() {
                Some(next) => before = format!("&before={next}"),
                None => return all,
            }
        }
    }

    /// Waits until a delivery waits for its next attempt. The server is another process, so it is polled.
    pub(crate) async fn wait_until_retrying(&self) {
        let retrying = async {
            loop {
                let listed = self.get("/api/v1/deliveries?state=retrying").await;
                if !listed["deliveries"].as_array().unwrap().is_empty() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        if tokio::time::timeout(PATIENCE, retrying).await.is_err() {
            panic!("none is to be retried: {:#?}", self.deliveries().await);
        }
    }

    /// Waits until nothing is left to do. The server is another process, so it is polled. It may take as long as it needs,
    /// as long as deliveries are settled.
    pub(crate) async fn wait_until_settled(&self) {
        let mut left = None;
        let mut patience = Instant::now() + PATIENCE;
        loop {
            // One number, and not a question for each state: a delivery that goes from one to another between two questions
            // would be missed.
            let depth = self.depth().await;
            if depth == 0 {
                return;
            }
            if left.replace(depth) != Some(depth) {
                patience = Instant::now() + PATIENCE;
            }
            if Instant::now() > patience {
                panic!("still not settled: {:#?}", self.deliveries().await);
            }
            tokio::task::yield_now().await;
        }
    }

    async fn depth(&self) -> u64 {
        let metrics = self.get_text("/metrics").await;
        let mut lines = metrics.lines();
        let depth = lines.find_map(|line| line.strip_prefix("alert_manager_queue_depth "));
        depth.and_then(|depth| depth.parse().ok()).expect("a depth")
    }
}
