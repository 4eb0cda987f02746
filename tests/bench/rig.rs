//! The real server in a process of its own, in an empty folder, with modules and a configuration.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tempfile::TempDir;
use tests::process::{Process, binary, command_of};
use tests::{alerts, modules};

use crate::load::Client;

/// The name and the alertname of the guest as it is built; digits take the place of the zeroes.
const NAME: &str = "bench-handler-000";
const ALERTNAME: &str = "Bench000";

/// The handler that most benchmarks run.
pub(crate) const HANDLER: &str = NAME;

/// The handler that only posts to the URL in the alert.
pub(crate) const POST: &str = "post";

/// Returns the benchmark's handler under another number: a module of its own for the server.
pub(crate) fn module(number: u32) -> Vec<u8> {
    let mut bytes = modules::bytes("guest-bench");
    for (old, new) in [
        (NAME, format!("bench-handler-{number:03}")),
        (ALERTNAME, alertname(number)),
    ] {
        let at = bytes
            .windows(old.len())
            .position(|w| w == old.as_bytes())
            .unwrap_or_else(|| panic!("{old} is not in the module's data"));
        bytes[at..at + old.len()].copy_from_slice(new.as_bytes());
    }
    bytes
}

/// Returns the alertname that [`module`] serves.
pub(crate) fn alertname(number: u32) -> String {
    format!("Bench{number:03}")
}

/// Returns the README's alert as a new one: another pod, the benchmark's alertname.
pub(crate) fn alert(alertname: &str, n: u64, post_to: Option<&str>) -> String {
    let mut alert = alerts::readme();
    let labels = &mut alert["labels"];
    labels["alertname"] = alertname.into();
    labels["pod"] = format!("customer-rs-transformer-9b75b488c-{n:08}").into();
    if let Some(url) = post_to {
        labels["post_to"] = url.into();
    }
    alert.to_string()
}

/// A folder that a server starts in.
pub(crate) struct Rig {
    pub(crate) dir: TempDir,
}

impl Rig {
    /// Makes the folder below `target/`, which is on a real disk; `/tmp` may be in memory.
    pub(crate) fn new(config: &str) -> anyhow::Result<Self> {
        let base = modules::workspace().join("target");
        let dir = TempDir::new_in(base)?;
        fs::create_dir(dir.path().join("handlers"))?;
        let harness = "handlers_dir: handlers\nstore: sqlite:alert-manager.db\n";
        fs::write(
            dir.path().join("alert-manager.yml"),
            format!("{harness}{config}"),
        )?;
        Ok(Self { dir })
    }

    /// Puts a module into the folder.
    pub(crate) fn put(&self, file: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.dir.path().join("handlers").join(file);
        Ok(fs::write(path, bytes)?)
    }

    /// Starts a server and waits until it is ready.
    pub(crate) fn start(&self) -> anyhow::Result<Server> {
        self.start_build(binary())
    }

    /// Starts another build of the server and waits until it is ready.
    pub(crate) fn start_build(&self, binary: &Path) -> anyhow::Result<Server> {
        let args = ["serve", "--config.file", "alert-manager.yml"];
        let process = Process::start(command_of(binary, self.dir.path(), &args));
        let address = process
            .url
            .strip_prefix("http://")
            .context("a server on plain HTTP")?
            .parse()?;
        Ok(Server { process, address })
    }

    /// Returns the store's file.
    pub(crate) fn store(&self) -> PathBuf {
        self.dir.path().join("alert-manager.db")
    }
}

/// A server that runs.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Returns a line of the process's status in MiB: `VmRSS`, `VmHWM`.
    pub(crate) fn memory_mib(&self, name: &str) -> anyhow::Result<f64> {
        memory_mib(self.process.id(), name)
    }

    /// Returns the processor time that each of its threads has used so far, by the thread's name without its number.
    pub(crate) fn cpu_by_thread(&self) -> anyhow::Result<BTreeMap<String, Duration>> {
        let tasks = format!("/proc/{}/task", self.process.id());
        let mut times = BTreeMap::new();
        for task in fs::read_dir(tasks).context("figures of threads need Linux")? {
            let task = task?.path();
            // The file of a thread that has ended meanwhile is gone.
            let Ok(stat) = fs::read_to_string(task.join("schedstat")) else {
                continue;
            };
            let nanos: u64 = stat.split(' ').next().unwrap_or_default().parse()?;
            let name = fs::read_to_string(task.join("comm")).unwrap_or_default();
            let name = name
                .trim()
                .trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
            *times.entry(name.to_owned()).or_default() += Duration::from_nanos(nanos);
        }
        Ok(times)
    }

    /// Waits until every delivery is settled.
    pub(crate) async fn settled(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(600);
        while self.metric("alert_manager_queue_depth").await? > 0.0 {
            anyhow::ensure!(Instant::now() < deadline, "the queue does not empty");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Returns a metric's value, summed over its labels; zero if it is not exposed yet.
    pub(crate) async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let mut client = Client::connect(self.address).await?;
        let text = client.get("/metrics").await?;
        Ok(text
            .lines()
            .filter(|line| line.starts_with(name))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum())
    }

    /// Stops it and waits for its end.
    pub(crate) fn stop(self) {
        self.process.signal("TERM");
        self.process.wait();
    }
}

/// Returns a line of a process's status in MiB.
pub(crate) fn memory_mib(process: u32, name: &str) -> anyhow::Result<f64> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(Path::new(&path)).context("figures of memory need Linux")?;
    let kib: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .and_then(|value| value.trim().strip_suffix("kB"))
        .context("no such line")?
        .trim()
        .parse()?;
    Ok(kib / 1024.0)
}
