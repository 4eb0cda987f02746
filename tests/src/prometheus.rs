//! Runs the real `prometheus` and `prometheus-alertmanager` around metrics that a test scripts.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::alertmanager::{self, Alertmanager};
use crate::fakes::Exporter;
use crate::fakes::watched::Watched;

pub use crate::alertmanager::free_address;

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

/// What a Prometheus scrapes, alerts about, and has seen before it starts.
#[derive(Debug)]
pub struct Watching<'a> {
    /// Where it listens; see [`free_address`].
    pub address: SocketAddr,
    /// The configuration's `external_labels` and `scrape_configs`, in YAML.
    pub scraping: &'a str,
    /// The file of rules.
    pub rules: &'a str,
    /// Samples from before the start, in `OpenMetrics`; empty for none.
    pub history: &'a str,
}

/// A Prometheus that scrapes and evaluates once a second, and the Alertmanager that it notifies. Dropping it kills both.
#[derive(Debug)]
pub struct Programs {
    pub alertmanager: Alertmanager,
    folder: TempDir,
    _prometheus: Child,
}

impl Programs {
    /// Starts both and waits until they are ready; alerts go to `webhook_url`, resolved ones too.
    ///
    /// # Errors
    /// If one cannot be started or does not become ready in a minute; its log is in the error.
    pub async fn start(
        binaries: &Binaries,
        webhook_url: &str,
        watching: &Watching<'_>,
    ) -> anyhow::Result<Self> {
        let alertmanager = Alertmanager::start(&binaries.alertmanager, webhook_url)?;
        let folder = TempDir::with_prefix("prometheus-")?;
        fs::write(
            folder.path().join("prometheus.yml"),
            config(alertmanager.addr, watching.scraping),
        )?;
        fs::write(folder.path().join("rules.yml"), watching.rules)?;
        if !watching.history.is_empty() {
            write_history(&binaries.prometheus, folder.path(), watching.history).await?;
        }
        let programs = Self {
            _prometheus: start_prometheus(&binaries.prometheus, folder.path(), watching.address)?,
            alertmanager,
            folder,
        };
        programs.alertmanager.until_ready().await?;
        alertmanager::until_ready(watching.address, || programs.logs()).await?;
        Ok(programs)
    }

    /// Returns the end of both programs' logs, for a failure's message.
    #[must_use]
    pub fn logs(&self) -> String {
        let prometheus = alertmanager::log_tail(&self.folder.path().join("prometheus.log"));
        let alertmanager = self.alertmanager.log();
        format!("--- Prometheus\n{prometheus}\n--- Alertmanager\n{alertmanager}")
    }
}

/// The metric for the crash loop of the pod in the README's alert.
const SERIES: &str = "kube_pod_container_status_waiting_reason{namespace=\"customer\",\
    pod=\"customer-rs-transformer-9b75b488c-cpfd7\",container=\"rs-transformer\",reason=\"CrashLoopBackOff\"}";

/// A Prometheus that fires `KubePodCrashLooping` while [`Stack::crash_looping`], and the Alertmanager that it notifies.
/// Dropping it kills both.
#[derive(Debug)]
pub struct Stack {
    /// Prometheus' own address.
    pub prometheus: SocketAddr,
    programs: Programs,
    waiting: Watched<bool>,
    _metrics: Exporter,
}

impl Stack {
    /// Starts both and waits until they are ready; alerts go to `webhook_url`, resolved ones too.
    /// Nothing fires until [`Stack::crash_looping`].
    ///
    /// # Errors
    /// If one cannot be started or does not become ready in a minute; its log is in the error.
    pub async fn start(binaries: &Binaries, webhook_url: &str) -> anyhow::Result<Self> {
        let waiting = Watched::new(false);
        let is_waiting = waiting.clone();
        let metrics = Exporter::start(move |_| {
            let value = u8::from(is_waiting.read(|w| *w));
            Ok(format!(
                "# TYPE kube_pod_container_status_waiting_reason gauge\n{SERIES} {value}\n"
            ))
        })
        .await?;
        let scraping = format!(
            r#"  external_labels: {{ cluster: cluster-main, region: us-west-1 }}
scrape_configs:
  - job_name: kube-state-metrics
    honor_labels: true
    static_configs: [{{ targets: ["{}"] }}]
"#,
            metrics.addr()
        );
        let watching = Watching {
            address: free_address()?,
            scraping: &scraping,
            rules: CRASH_LOOPING,
            history: "",
        };
        Ok(Self {
            prometheus: watching.address,
            programs: Programs::start(binaries, webhook_url, &watching).await?,
            waiting,
            _metrics: metrics,
        })
    }

    /// Puts the pod into its crash loop (the alert fires within some seconds), or out of it.
    pub fn crash_looping(&self, is_crash_looping: bool) {
        self.waiting.change(|waiting| *waiting = is_crash_looping);
    }

    /// Returns the end of both programs' logs, for a failure's message.
    #[must_use]
    pub fn logs(&self) -> String {
        self.programs.logs()
    }
}

/// The rule of kube-prometheus, without its 5m window and its `for: 15m`.
const CRASH_LOOPING: &str = r#"groups:
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

fn config(alertmanager: SocketAddr, scraping: &str) -> String {
    format!(
        r#"rule_files: [rules.yml]
alerting:
  alertmanagers:
    - static_configs: [{{ targets: ["{alertmanager}"] }}]
global:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 1s
{scraping}"#
    )
}

/// Makes blocks of samples, as one that ran before would have left them. promtool is installed beside Prometheus.
async fn write_history(binary: &Path, folder: &Path, history: &str) -> anyhow::Result<()> {
    let samples = folder.join("history.om");
    fs::write(&samples, history)?;
    let made = Command::new(binary.with_file_name("promtool"))
        .args(["tsdb", "create-blocks-from", "openmetrics", "--quiet"])
        .arg(&samples)
        .arg(folder.join("tsdb"))
        .output()
        .await?;
    anyhow::ensure!(
        made.status.success(),
        "{}{}",
        String::from_utf8_lossy(&made.stdout),
        String::from_utf8_lossy(&made.stderr)
    );
    Ok(())
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
