//! The server under attack: the real binary in a folder of its own, watched, with an honest handler beside.

use std::fmt::Write as _;
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use tempfile::TempDir;
use tests::alerts;
use tests::fakes::Sink;
use tests::modules;
use tests::process::{Process, command};
use tests::server::{PATIENCE, drop_in};
use tokio::sync::MutexGuard;

use super::ALONE;

const MIB: u64 = 1 << 20;

/// `SQLite` keeps its write-ahead log at up to this size (`journal_size_limit`), even if it is empty.
pub(crate) const LOG_BYTES_MAX: u64 = 64 * MIB;

/// A server that holds more is killed: the attack has succeeded, and the machine is to survive it.
const RESIDENT_BYTES_MAX: u64 = 3 << 30;

/// How often its memory is looked at.
const WATCH: Duration = Duration::from_millis(20);

/// Between two honest alerts.
const HONEST_EVERY: Duration = Duration::from_millis(100);

/// How often an honest sender posts an alert until it is taken: one that is refused with a 503 tries again.
const HONEST_TRIES: usize = 20;

/// The bounds of an attack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// By how much the server's peak memory may exceed its memory before the attack.
    pub(crate) resident_bytes_max: u64,
    /// By how much the store may grow.
    pub(crate) store_bytes_max: u64,
}

/// What the honest sender experienced.
#[derive(Debug, Default)]
pub(crate) struct Honest {
    pub(crate) sent: usize,
    /// Requests that were not answered 202; the alert was sent again.
    pub(crate) refused: usize,
    /// The longest until a 202, tries again included.
    pub(crate) answered: Duration,
    /// The longest until the alert was settled, from its 202.
    pub(crate) settled: Duration,
    /// Why an alert was not taken, or not settled.
    pub(crate) lost: Vec<String>,
}

/// The server, and the thread that watches it.
pub(crate) struct Target {
    pub(crate) dir: TempDir,
    pub(crate) process: Process,
    pub(crate) http: Client,
    sink: Sink,
    /// Signs an honest request's body, if the endpoint asks for that.
    sign: fn(RequestBuilder, &str) -> RequestBuilder,
    watch: Arc<Watch>,
    resident_before_bytes: u64,
    store_before_bytes: u64,
    cpu_before: Duration,
    _alone: MutexGuard<'static, ()>,
}

/// What the watching thread shares.
#[derive(Debug, Default)]
struct Watch {
    ends: AtomicBool,
    killed: AtomicBool,
    /// The last value that could be read, since a process that has ended has none.
    resident_peak_bytes: AtomicU64,
}

impl Target {
    /// Starts a server with the honest handler `post` and the guest `hostile`.
    ///
    /// `config` is added to its configuration, `hostile` to the guest's settings.
    pub(crate) async fn start(config: &str, hostile: &str) -> Self {
        Self::start_signed(config, hostile, |request, _| request).await
    }

    /// The same for a server whose webhook requires authentication.
    pub(crate) async fn start_signed(
        config: &str,
        hostile: &str,
        sign: fn(RequestBuilder, &str) -> RequestBuilder,
    ) -> Self {
        let alone = ALONE.lock().await;
        alert_manager::runtime::install_crypto();
        // Below `target`, which is on a real disk; the folder for temporary files may be in memory.
        let dir = TempDir::new_in(modules::workspace().join("target")).unwrap();
        let sink = Sink::start().await;
        let handlers = dir.path().join("handlers");
        std::fs::create_dir(&handlers).unwrap();
        for (module, file) in [("guest-post", "post.wasm"), ("hostile", "hostile.wasm")] {
            let module = tokio::task::block_in_place(|| modules::path(module));
            drop_in(&module, &handlers.join(file));
        }
        let text = format!(
            "handlers_dir: handlers\nstore: sqlite:alert-manager.db\nslack: {{ preview: true }}\n{config}\n\
             handlers:\n  post: {{ allow: {{ http: [\"{}\"] }} }}\n  hostile: {{ {hostile} }}\n",
            sink.url()
        );
        std::fs::write(dir.path().join("alert-manager.yml"), text).unwrap();
        let args = ["serve", "--config.file", "alert-manager.yml"];
        let mut serve = command(dir.path(), &args);
        serve.env("XDG_CACHE_HOME", dir.path().join("cache"));
        let process = tokio::task::block_in_place(|| Process::start(serve));
        let mut target = Self {
            http: Client::new(),
            sink,
            sign,
            watch: Arc::default(),
            resident_before_bytes: 0,
            store_before_bytes: 0,
            cpu_before: Duration::ZERO,
            _alone: alone,
            dir,
            process,
        };
        // So that everything that one alert needs is initialized.
        let mut first = Honest::default();
        target.honest(&mut first).await;
        assert_eq!(first.lost, Vec::<String>::new());
        target.resident_before_bytes = status_bytes(target.process.id(), "VmRSS").unwrap();
        target.store_before_bytes = target.store_bytes();
        target.cpu_before = target.cpu();
        let (watch, process) = (Arc::clone(&target.watch), target.process.id());
        std::thread::spawn(move || watch.run(process));
        target
    }

    /// Posts a body as an attacker, and returns the status; 0 if the server is gone.
    pub(crate) async fn post(&self, body: impl Into<reqwest::Body>) -> u16 {
        let request = self.http.post(format!("{}/webhook", self.process.url));
        let sent = request.body(body).send().await;
        sent.map_or(0, |answer| answer.status().as_u16())
    }

    /// Returns the sum of a metric's values whose labels hold `part`; none if the server is gone.
    pub(crate) async fn metric(&self, name: &str, part: &str) -> Option<f64> {
        let url = format!("{}/metrics", self.process.url);
        let text = self.http.get(url).send().await.ok()?.text().await.ok()?;
        Some(
            text.lines()
                .filter(|line| line.starts_with(name) && line.contains(part))
                .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
                .sum(),
        )
    }

    /// Waits until nothing is left to do or the server has ended. It is another process, so it is polled.
    pub(crate) async fn drained(&self) {
        while self
            .metric("alert_manager_queue_depth", "")
            .await
            .is_some_and(|depth| depth > 0.0)
        {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until the store has grown by more than this. There is no event for it, so it is polled.
    pub(crate) async fn store_is_over(&self, bytes: u64) {
        let mut look = tokio::time::interval(WATCH);
        while self.store_bytes().saturating_sub(self.store_before_bytes) <= bytes {
            look.tick().await;
        }
    }

    /// Runs an attack to its end, with honest alerts beside it and one after it.
    pub(crate) async fn under<T>(&self, attack: impl Future<Output = T>) -> (T, Honest) {
        let mut honest = Honest::default();
        let mut attack = pin!(attack);
        let mut due = tokio::time::interval(HONEST_EVERY);
        let result = loop {
            tokio::select! {
                result = &mut attack => break result,
                // A server that was killed does not answer; the attack ends, and the row says so.
                () = async {
                    due.tick().await;
                    self.honest(&mut honest).await;
                } => {}
            }
        };
        if !self.watch.killed.load(Ordering::Relaxed) {
            self.honest(&mut honest).await;
        }
        (result, honest)
    }

    /// Sends an honest alert until it is taken, and waits until it is settled.
    async fn honest(&self, met: &mut Honest) {
        if let Err(why) = self.send_honest(met).await {
            met.lost.push(why);
        }
    }

    async fn send_honest(&self, met: &mut Honest) -> Result<(), String> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed).to_string();
        let post_to = format!("{}/honest/{n}", self.sink.url());
        let labels = [("post_to", post_to.as_str()), ("severity", "critical")];
        let body = alerts::firing("Bench000", &labels).to_string();
        met.sent += 1;
        let began = Instant::now();
        let id = self.accepted(&body, met).await?;
        met.answered = met.answered.max(began.elapsed());
        let began = Instant::now();
        let path = format!("/api/v1/deliveries/{id}");
        // This query may be refused too. Only the alert's time is measured.
        while self
            .get(&path)
            .await
            .is_none_or(|story| story["state"] != "done")
        {
            if began.elapsed() > PATIENCE {
                return Err(format!("the honest alert {id} is not settled"));
            }
            self.still_there()?;
            tokio::task::yield_now().await;
        }
        met.settled = met.settled.max(began.elapsed());
        Ok(())
    }

    async fn accepted(&self, body: &str, met: &mut Honest) -> Result<String, String> {
        let mut refused = String::new();
        for _ in 0..HONEST_TRIES {
            // A new connection each time, as for a new sender.
            let request = Client::new().post(format!("{}/webhook", self.process.url));
            let sent = (self.sign)(request, body)
                .body(body.to_owned())
                .send()
                .await;
            match sent {
                Ok(answer) if answer.status() == 202 => {
                    // Sent before without an answer, it is a duplicate that names no delivery: it is the latest.
                    let latest = "/api/v1/deliveries?alertname=Bench000&limit=1";
                    let answer: Value = answer.json().await.map_err(|e| e.to_string())?;
                    let taken = match answer["duplicates"].as_u64() {
                        Some(0) => answer,
                        _ => self.get(latest).await.unwrap_or_default(),
                    };
                    let id = taken["deliveries"][0]["id"].as_str();
                    return id.map(str::to_owned).ok_or_else(|| taken.to_string());
                }
                Ok(answer) => refused = answer.text().await.unwrap_or_default(),
                Err(error) => refused = error.to_string(),
            }
            met.refused += 1;
            self.still_there()?;
        }
        Err(format!("refused {HONEST_TRIES} times: {refused}"))
    }

    fn still_there(&self) -> Result<(), String> {
        match self.watch.killed.load(Ordering::Relaxed) {
            true => Err("the server was killed for its memory".to_owned()),
            false => Ok(()),
        }
    }

    /// Queries the API; `None` if it does not answer.
    async fn get(&self, path: &str) -> Option<Value> {
        let url = format!("{}{path}", self.process.url);
        let answer = self.http.get(url).send().await.ok()?;
        answer.json().await.ok()
    }

    /// Returns in a line what became of a handler's latest delivery.
    pub(crate) async fn fate(&self, handler: &str) -> String {
        let path = format!("/api/v1/deliveries?handler={handler}&limit=1");
        let list = self.get(&path).await.unwrap_or_default();
        let latest = &list["deliveries"][0];
        format!(
            "{}, attempts {}: {}",
            latest["state"], latest["attempts"], latest["last_error"]
        )
    }

    /// Returns the size of the store's files.
    fn store_bytes(&self) -> u64 {
        ["alert-manager.db", "alert-manager.db-wal"]
            .iter()
            .filter_map(|file| std::fs::metadata(self.dir.path().join(file)).ok())
            .map(|meta| meta.len())
            .sum()
    }

    fn cpu(&self) -> Duration {
        cpu(self.process.id()).unwrap_or_default()
    }

    /// Prints the row of an attack, and checks it against its bounds.
    pub(crate) fn judge(&self, name: &str, honest: Honest, bounds: Bounds) {
        static HEAD: Once = Once::new();
        HEAD.call_once(|| {
            println!(
                "{:<44} {:>10} {:>10} {:>7} {:>8} {:>9} {:>9}",
                "attack", "memory", "store", "cpu", "refused", "answered", "settled"
            );
        });
        self.watch.look(self.process.id());
        let peak = self.watch.resident_peak_bytes.load(Ordering::Relaxed);
        let resident = peak.saturating_sub(self.resident_before_bytes);
        let store = self.store_bytes().saturating_sub(self.store_before_bytes);
        let is_killed = self.watch.killed.load(Ordering::Relaxed);
        let cpu = self.cpu().saturating_sub(self.cpu_before);
        let Honest {
            sent,
            refused,
            answered,
            settled,
            lost,
        } = honest;
        let mut row = format!(
            "{name:<44} {:>6} MiB {:>6} MiB {:>5.1} s {:>4}/{:<3} {:>6} ms {:>6} ms",
            resident / MIB,
            store / MIB,
            cpu.as_secs_f64(),
            refused,
            sent,
            answered.as_millis(),
            settled.as_millis(),
        );
        if !lost.is_empty() {
            let _ = write!(row, "  {} honest alerts lost", lost.len());
        }
        if is_killed {
            let _ = write!(row, "  killed at {} MiB", RESIDENT_BYTES_MAX / MIB);
        }
        println!("{row}");
        assert!(!is_killed, "{row}");
        assert_eq!(lost, Vec::<String>::new(), "{row}");
        for (what, bytes, max) in [
            ("memory", resident, bounds.resident_bytes_max),
            ("store", store, bounds.store_bytes_max),
        ] {
            assert!(bytes <= max, "{what}: {bytes} bytes, at most {max}: {row}");
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.watch.ends.store(true, Ordering::Relaxed);
    }
}

impl Watch {
    fn run(&self, process: u32) {
        while !self.ends.load(Ordering::Relaxed) {
            self.look(process);
            if self.resident_peak_bytes.load(Ordering::Relaxed) > RESIDENT_BYTES_MAX {
                // Set before the server ends, so that the tasks that wait for its end see the reason.
                self.killed.store(true, Ordering::Relaxed);
                let process = process.to_string();
                let _ = std::process::Command::new("kill")
                    .args(["-s", "KILL", &process])
                    .status();
                return;
            }
            std::thread::sleep(WATCH);
        }
    }

    fn look(&self, process: u32) {
        if let Some(bytes) = status_bytes(process, "VmHWM") {
            self.resident_peak_bytes.fetch_max(bytes, Ordering::Relaxed);
        }
    }
}

/// Returns a line of a process's status.
fn status_bytes(process: u32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}

/// Returns the CPU time that a process has used.
fn cpu(process: u32) -> Option<Duration> {
    let path = format!("/proc/{process}/stat");
    let stat = std::fs::read_to_string(Path::new(&path)).ok()?;
    // The name before may have spaces; utime and stime are the 14th and 15th field, in hundredths of a second.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis(10 * (user + system)))
}
