//! Runs the real `prometheus` and `prometheus-alertmanager` around a metric that the test switches on and off.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::fakes::raw_http;
use crate::fakes::serve::Listening;
use crate::fakes::watched::Watched;

/// How long either program may take to become ready.
const READY_MAX: Duration = Duration::from_secs(60);

/// What there is to run.
#[derive(Debug)]
pub enum Found {
    /// Both programs.
    Both(Binaries),
    /// At least one is missing; the text says what is skipped and how to install it.
    Missing(String),
}

/// Where the two programs are.
#[derive(Debug, Clone)]
pub struct Binaries {
    pub prometheus: PathBuf,
    pub alertmanager: PathBuf,
}

/// Looks for the two programs in PATH.
pub fn find() -> Found {
    let prometheus = in_path(&["prometheus"]);
    // Debian's name first; upstream's releases call it alertmanager.
    let alertmanager = in_path(&["prometheus-alertmanager", "alertmanager"]);
    match (prometheus, alertmanager) {
        (Some(prometheus), Some(alertmanager)) => Found::Both(Binaries {
            prometheus,
            alertmanager,
        }),
        (prometheus, alertmanager) => {
            let missing: Vec<&str> = [
                ("prometheus", prometheus),
                ("prometheus-alertmanager", alertmanager),
            ]
            .into_iter()
            .filter_map(|(package, found)| found.is_none().then_some(package))
            .collect();
            let packages = missing.join(" ");
            Found::Missing(format!(
                "SKIPPED: the test with a real Prometheus and Alertmanager did not run, since {packages} is not \
                 installed. On Debian: apt-get install --no-install-recommends {packages}"
            ))
        }
    }
}

fn in_path(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    names
        .iter()
        .find_map(|name| folders.iter().map(|f| f.join(name)).find(|p| p.is_file()))
}

/// The pod whose crash loop the metric tells of: that of the README's alert.
const SERIES: &str = "kube_pod_container_status_waiting_reason{namespace=\"customer\",\
    pod=\"customer-rs-transformer-9b75b488c-cpfd7\",container=\"rs-transformer\",reason=\"CrashLoopBackOff\"}";

/// A Prometheus that fires `KubePodCrashLooping` while [`Stack::crash_looping`], and the Alertmanager that it tells.
/// Dropping it kills both.
#[derive(Debug)]
pub struct Stack {
    /// Alertmanager's own address, for its API.
    pub alertmanager: SocketAddr,
    /// Prometheus' own address.
    pub prometheus: SocketAddr,
    waiting: Watched<bool>,
    folder: TempDir,
    _metrics: Listening,
    _children: [Child; 2],
}

impl Stack {
    /// Starts both and waits until they are ready; alerts go to `webhook_url`, resolved ones too.
    /// Nothing fires until [`Stack::crash_looping`].
    ///
    /// # Errors
    /// Where a program can't be started or does not become ready in a minute; its log is in the error.
    pub async fn start(binaries: &Binaries, webhook_url: &str) -> anyhow::Result<Self> {
        let waiting = Watched::new(false);
        let metrics = Listening::start(0, metrics_router(waiting.clone())).await?;
        let folder = TempDir::with_prefix("prometheus-stack-")?;
        let (prometheus, alertmanager) = (free_address()?, free_address()?);
        write_configs(folder.path(), metrics.addr, alertmanager, webhook_url)?;
        let children = [
            start_alertmanager(&binaries.alertmanager, folder.path(), alertmanager)?,
            start_prometheus(&binaries.prometheus, folder.path(), prometheus)?,
        ];
        let stack = Self {
            alertmanager,
            prometheus,
            waiting,
            folder,
            _metrics: metrics,
            _children: children,
        };
        stack.until_ready().await?;
        Ok(stack)
    }

    /// Puts the pod into its crash loop (the alert fires within some seconds), or out of it.
    pub fn crash_looping(&self, is_crash_looping: bool) {
        self.waiting.change(|waiting| *waiting = is_crash_looping);
    }

    /// Returns the end of both programs' logs, for a failure's message.
    pub fn logs(&self) -> String {
        ["prometheus.log", "alertmanager.log"]
            .map(|name| self.log_tail(name))
            .join("\n")
    }

    fn log_tail(&self, name: &str) -> String {
        let text = fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        format!(
            "--- {name}\n{}",
            lines[lines.len().saturating_sub(40)..].join("\n")
        )
    }

    async fn until_ready(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_MAX;
        for addr in [self.alertmanager, self.prometheus] {
            // Neither program tells when it is ready, so it is asked again and again.
            let mut ask = tokio::time::interval(Duration::from_millis(50));
            while !raw_http::get(addr, "/-/ready")
                .await
                .is_ok_and(|answer| answer.status == 200)
            {
                if Instant::now() > deadline {
                    anyhow::bail!(
                        "{addr} did not become ready in {READY_MAX:?}\n{}",
                        self.logs()
                    );
                }
                ask.tick().await;
            }
        }
        Ok(())
    }
}

fn metrics_router(waiting: Watched<bool>) -> Router {
    let metrics = async |State(waiting): State<Watched<bool>>| {
        let value = u8::from(waiting.read(|w| *w));
        format!("# TYPE kube_pod_container_status_waiting_reason gauge\n{SERIES} {value}\n")
    };
    Router::new()
        .route("/metrics", get(metrics))
        .with_state(waiting)
}

/// Returns an address that was free a moment ago: neither program can be told to take any and say which.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}

fn write_configs(
    folder: &Path,
    metrics: SocketAddr,
    alertmanager: SocketAddr,
    webhook_url: &str,
) -> std::io::Result<()> {
    let prometheus = format!(
        r#"global:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 1s
  external_labels: {{ cluster: cluster-main, region: us-west-1 }}
rule_files: [rules.yml]
alerting:
  alertmanagers:
    - static_configs: [{{ targets: ["{alertmanager}"] }}]
scrape_configs:
  - job_name: kube-state-metrics
    honor_labels: true
    static_configs: [{{ targets: ["{metrics}"] }}]
"#
    );
    // The rule of kube-prometheus, without its 5m window and its `for: 15m`.
    let rules = r#"groups:
  - name: kubernetes-apps
    rules:
      - alert: KubePodCrashLooping
        expr: kube_pod_container_status_waiting_reason{reason="CrashLoopBackOff", job="kube-state-metrics"} >= 1
        labels: { severity: critical }
        annotations:
          description: 'Pod {{ $labels.namespace }}/{{ $labels.pod }} ({{ $labels.container }}) is in waiting state (reason: "CrashLoopBackOff").'
          runbook_url: https://runbooks.prometheus-operator.dev/runbooks/kubernetes/kubepodcrashlooping
          summary: Pod is crash looping.
"#;
    let receiver = format!(
        r#"route:
  receiver: alert-manager
  group_by: [alertname, cluster, namespace]
  group_wait: 1s
  group_interval: 1s
  repeat_interval: 4h
receivers:
  - name: alert-manager
    webhook_configs:
      - url: "{webhook_url}"
        send_resolved: true
"#
    );
    fs::write(folder.join("prometheus.yml"), prometheus)?;
    fs::write(folder.join("rules.yml"), rules)?;
    fs::write(folder.join("alertmanager.yml"), receiver)
}

fn start_prometheus(binary: &Path, folder: &Path, addr: SocketAddr) -> anyhow::Result<Child> {
    let mut command = Command::new(binary);
    command
        .arg(format!(
            "--config.file={}",
            folder.join("prometheus.yml").display()
        ))
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.join("tsdb").display()
        ))
        .arg(format!("--web.listen-address={addr}"))
        // So that a resolved alert is told at the next evaluation.
        .arg("--rules.alert.resend-delay=1s");
    start(command, &folder.join("prometheus.log"))
}

fn start_alertmanager(binary: &Path, folder: &Path, addr: SocketAddr) -> anyhow::Result<Child> {
    let mut command = Command::new(binary);
    command
        .arg(format!(
            "--config.file={}",
            folder.join("alertmanager.yml").display()
        ))
        .arg(format!(
            "--storage.path={}",
            folder.join("alertmanager").display()
        ))
        .arg(format!("--web.listen-address={addr}"))
        // No gossip: one alone needs none, and it would take a public address.
        .arg("--cluster.listen-address=");
    start(command, &folder.join("alertmanager.log"))
}

fn start(mut command: Command, log: &Path) -> anyhow::Result<Child> {
    let log = File::create(log)?;
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true);
    Ok(command.spawn()?)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::print_stderr,
        reason = "tests; a skip is told"
    )]

    use super::*;
    use crate::fakes::Sink;

    #[tokio::test]
    async fn a_rule_fires_and_resolves_through_the_real_programs() {
        let binaries = match find() {
            Found::Both(binaries) => binaries,
            Found::Missing(why) => return eprintln!("{why}"),
        };
        let sink = Sink::start().await;
        let stack = Stack::start(&binaries, &format!("{}/webhook", sink.url()))
            .await
            .unwrap();
        stack.crash_looping(true);
        let firing = sink
            .wait_for(|r| r.json()["status"] == "firing")
            .await
            .json();
        let labels = &firing["alerts"][0]["labels"];
        assert_eq!(
            labels["pod"],
            "customer-rs-transformer-9b75b488c-cpfd7",
            "{}",
            stack.logs()
        );
        assert_eq!(labels["cluster"], "cluster-main");
        stack.crash_looping(false);
        let resolved = sink
            .wait_for(|r| r.json()["status"] == "resolved")
            .await
            .json();
        assert_eq!(
            resolved["alerts"][0]["fingerprint"],
            firing["alerts"][0]["fingerprint"]
        );
    }
}
