//! Starts the fake of the Kubernetes API by hand, with a scenario chosen by name.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context as _;
use tests::fakes::time::unix_now;
use tests::fakes::{Cluster, CrashLoop, Kubernetes};

const USAGE: &str =
    "Usage: fake-kubernetes [PORT [oom|exit1|segfault|not-found|probe|init|recovered|gone]]";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let _ = writeln!(std::io::stderr(), "fake-kubernetes: {e:#}. {USAGE}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let port = args
        .next()
        .map_or(Ok(9999), |port| port.parse())
        .context("the port is no number")?;
    let cluster = scenario(args.next().as_deref().unwrap_or("oom"))?;
    let kubernetes = Kubernetes::start_on(port, cluster).await?;
    let url = kubernetes.url();
    let mut out = std::io::stdout();
    writeln!(
        out,
        "The fake of the Kubernetes API is at {url}. A file k8s.yml that grants it:\n"
    )?;
    writeln!(out, "handlers:\n  kube-pod-crash-looping:")?;
    writeln!(out, "    allow: {{ http: [\"{url}\"], slack: [alerts] }}")?;
    writeln!(
        out,
        "    config: {{ kubernetes.url: \"{url}\", credential: \"\", cluster: cluster-main }}"
    )?;
    writeln!(out, "  slack-notify: {{ allow: {{ slack: [alerts] }} }}")?;
    writeln!(
        out,
        "slack: {{ preview: true }}   # not where there is a token\n\nThen: cargo run -- dev --config.file k8s.yml\n"
    )?;
    let mut seen = 0;
    loop {
        let asked = kubernetes.wait_for_more(seen).await;
        for request in &asked[seen..] {
            writeln!(
                out,
                "{} {} {:?}",
                request.method, request.path, request.query
            )?;
        }
        seen = asked.len();
    }
}

fn scenario(name: &str) -> anyhow::Result<Cluster> {
    let now = unix_now();
    let crash_loop = match name {
        "oom" | "gone" => CrashLoop::oom_killed(now),
        "recovered" => CrashLoop::oom_killed(now).recovered(),
        "exit1" => CrashLoop::exit(now, 1, "Error: DATABASE_URL is not set"),
        "segfault" => CrashLoop::exit(now, 139, "Segmentation fault (core dumped)"),
        "not-found" => CrashLoop::exit(now, 127, "/entrypoint.sh: line 3: transform: not found"),
        "probe" => CrashLoop::probe_failed(now),
        "init" => CrashLoop::init_container(now),
        other => anyhow::bail!("no scenario is called {other:?}"),
    };
    Ok(if name == "gone" {
        crash_loop.cluster_without_pod()
    } else {
        crash_loop.cluster()
    })
}
