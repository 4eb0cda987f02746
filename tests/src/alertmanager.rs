//! Runs the real `prometheus-alertmanager`, with one receiver: a webhook.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::PATIENCE;
use crate::fakes::raw_http;

/// The end of a log that a failure's message shows.
const LOG_LINES_MAX: usize = 40;

/// What there is to run.
#[derive(Debug)]
pub enum Found {
    /// The program.
    Installed(PathBuf),
    /// None; the text says what is skipped and how to install it.
    Missing(String),
}

/// Looks for the program in PATH.
#[must_use]
pub fn find() -> Found {
    in_path().map_or_else(
        || {
            Found::Missing(
                "SKIPPED: a test with a real Alertmanager did not run, since prometheus-alertmanager is not \
                 installed. On Debian: apt-get install --no-install-recommends prometheus-alertmanager"
                    .to_owned(),
            )
        },
        Found::Installed,
    )
}

/// Returns the path of the program.
pub(crate) fn in_path() -> Option<PathBuf> {
    // Debian's name first; upstream's releases call it alertmanager.
    find_in_path(&["prometheus-alertmanager", "alertmanager"])
}

/// Returns the first of these programs that PATH leads to.
pub(crate) fn find_in_path(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    names
        .iter()
        .find_map(|name| folders.iter().map(|f| f.join(name)).find(|p| p.is_file()))
}

/// A running Alertmanager, in a folder of its own. Dropping it kills it.
#[derive(Debug)]
pub struct Alertmanager {
    /// Where its API is.
    pub addr: SocketAddr,
    folder: TempDir,
    _child: Child,
}

impl Alertmanager {
    /// Starts it; alerts go to `webhook_url`, resolved ones too, as soon as it lets them.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(binary: &Path, webhook_url: &str) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("alertmanager-")?;
        let addr = free_address()?;
        fs::write(folder.path().join("alertmanager.yml"), config(webhook_url))?;
        let mut command = Command::new(binary);
        command
            .arg(format!(
                "--config.file={}",
                folder.path().join("alertmanager.yml").display()
            ))
            .arg(format!(
                "--storage.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={addr}"))
            // No gossip: one alone needs none, and it would take a public address.
            .arg("--cluster.listen-address=");
        let child = spawn(command, &folder.path().join("log"))?;
        Ok(Self {
            addr,
            folder,
            _child: child,
        })
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// If it is not within a minute; its log is in the error.
    pub async fn until_ready(&self) -> anyhow::Result<()> {
        until_ready(self.addr, || self.log()).await
    }

    /// Posts alerts as Prometheus does.
    ///
    /// # Errors
    /// If it does not take them; its answer is in the error.
    pub async fn post(&self, alerts: &Value) -> anyhow::Result<()> {
        let headers = [("Content-Type", "application/json")];
        let body = alerts.to_string();
        let answer =
            raw_http::request(self.addr, "POST", "/api/v2/alerts", &headers, &body).await?;
        anyhow::ensure!(answer.status == 200, "{answer:?}\n{}", self.log());
        Ok(())
    }

    /// Returns the end of its log, for a failure's message.
    #[must_use]
    pub fn log(&self) -> String {
        log_tail(&self.folder.path().join("log"))
    }
}

// The shortest times that Alertmanager takes: it refuses a `group_interval` of 0.
fn config(webhook_url: &str) -> String {
    format!(
        r#"route:
  receiver: alert-manager
  group_by: [alertname, cluster, namespace]
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 4h
receivers:
  - name: alert-manager
    webhook_configs:
      - url: "{webhook_url}"
        send_resolved: true
"#
    )
}

/// Waits until a program of Prometheus' project says that it is ready; `log` is for the error.
pub(crate) async fn until_ready(addr: SocketAddr, log: impl Fn() -> String) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    // It does not report that it is ready, so it is polled.
    let mut ask = tokio::time::interval(Duration::from_millis(50));
    while !raw_http::get(addr, "/-/ready")
        .await
        .is_ok_and(|answer| answer.status == 200)
    {
        if Instant::now() > deadline {
            anyhow::bail!("{addr} did not become ready in {PATIENCE:?}\n{}", log());
        }
        ask.tick().await;
    }
    Ok(())
}

/// Returns an address that was free a moment ago: neither program can choose a free port and report it.
///
/// # Errors
/// If loopback has no free port.
pub fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}

/// Starts a program that writes to a log, and is killed when dropped.
pub(crate) fn spawn(mut command: Command, log: &Path) -> anyhow::Result<Child> {
    let log = File::create(log)?;
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true);
    Ok(command.spawn()?)
}

/// Returns the end of a log.
pub(crate) fn log_tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_MAX)..].join("\n")
}
