//! Runs the real `prometheus` and `prometheus-alertmanager` around a metric that the test switches on and off.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::alertmanager::{self, Alertmanager};
use crate::fakes::serve::Listening;
use crate::fakes::watched::Watched;

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
    let prometheus = alertmanager::find_in_path(&["prometheus"]);
    let alertmanager = alertmanager::in_path();
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

/// The metric for the crash loop of the pod in the README's alert.
const SERIES: &str = "kube_pod_container_status_waiting_reason{namespace=\"customer\",\
    pod=\"customer-rs-transformer-9b75b488c-cpfd7\",container=\"rs-transformer\",reason=\"CrashLoopBackOff\"}";

/// A Prometheus that fires `KubePodCrashLooping` while [`Stack::crash_looping`], and the Alertmanager that it notifies.
/// Dropping it kills both.
#[derive(Debug)]
pub struct Stack {
    pub alertmanager: Alertmanager,
    /// Prometheus' own address.
    pub prometheus: SocketAddr,
    waiting: Watched<bool>,
    folder: TempDir,
    _metrics: Listening,
    _prometheus: Child,
}

impl Stack {
    /// Starts both and waits until they are ready; alerts go to `webhook_url`, resolved ones too.
    /// Nothing fires until [`Stack::crash_looping`].
    ///
    /// # Errors
    /// If a program can't be started or does not become ready in a minute; its log is in the error.
    pub async fn start(binaries: &Binaries, webhook_url: &str) -> anyhow::Result<Self> {
        let waiting = Watched::new(false);
        let metrics = Listening::start(0, metrics_router(waiting.clone())).await?;
        let alertmanager = Alertmanager::start(&binaries.alertmanager, webhook_url)?;
        let folder = TempDir::with_prefix("prometheus-")?;
        write_configs(folder.path(), metrics.addr, alertmanager.addr)?;
        let prometheus = alertmanager::free_address()?;
        let stack = Self {
            _prometheus: start_prometheus(&binaries.prometheus, folder.path(), prometheus)?,
            alertmanager,
            prometheus,
            waiting,
            folder,
            _metrics: metrics,
        };
        stack.alertmanager.until_ready().await?;
        alertmanager::until_ready(prometheus, || stack.logs()).await?;
        Ok(stack)
    }

    /// Puts the pod into its crash loop (the alert fires within some seconds), or out of it.
    pub fn crash_looping(&self, is_crash_looping: bool) {
        self.waiting.change(|waiting| *waiting = is_crash_looping);
    }

    /// Returns the end of both programs' logs, for a failure's message.
    pub fn logs(&self) -> String {
        let prometheus = alertmanager::log_tail(&self.folder.path().join("prometheus.log"));
        let alertmanager = self.alertmanager.log();
        format!("--- Prometheus\n{prometheus}\n--- Alertmanager\n{alertmanager}")
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

fn write_configs(
    folder: &Path,
    metrics: SocketAddr,
    alertmanager: SocketAddr,
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
    fs::write(folder.join("prometheus.yml"), prometheus)?;
    fs::write(folder.join("rules.yml"), rules)
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
        // So that a resolved alert is sent at the next evaluation.
        .arg("--rules.alert.resend-delay=1s");
    alertmanager::spawn(command, &folder.join("prometheus.log"))
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
