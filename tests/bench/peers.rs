//! The servers that ours is compared with, as Debian and `PyPI` have them.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tempfile::TempDir;
use tests::modules::workspace;
use tokio::net::TcpStream;

/// The application that gunicorn runs: a typical webhook receiver that posts to Slack and stores nothing.
const FLASK_APP: &str = r##"
import os
from flask import Flask, request
from slack_sdk import WebClient

app = Flask(__name__)
slack = WebClient(token="xoxb-bench", base_url=os.environ["SLACK"] + "/")

@app.post("/webhook")
def webhook():
    alert = request.get_json()
    labels = alert["labels"]
    text = f'{labels["alertname"]} at {labels["namespace"]}/{labels["pod"]}'
    slack.chat_postMessage(channel="#alerts", text=text)
    return {"accepted": 1}, 202
"##;

/// Ends its process and that process's children when dropped.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        // gunicorn ends its workers on SIGTERM; killed, it would leave them.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// Debian's Alertmanager with one receiver that does nothing.
pub(crate) struct Alertmanager {
    pub(crate) address: SocketAddr,
    _dir: TempDir,
    _process: Peer,
}

impl Alertmanager {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let dir = TempDir::new_in(workspace().join("target"))?;
        fs::write(
            dir.path().join("alertmanager.yml"),
            "route: { receiver: nobody }\nreceivers: [{ name: nobody }]\n",
        )?;
        let address = free_address()?;
        let child = Command::new("prometheus-alertmanager")
            .current_dir(dir.path())
            .args([
                "--config.file=alertmanager.yml",
                "--storage.path=data",
                "--cluster.listen-address=",
                "--log.level=error",
            ])
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("prometheus-alertmanager is not installed (Debian has it under that name)")?;
        let process = Peer(child);
        listening(address).await?;
        Ok(Self {
            address,
            _dir: dir,
            _process: process,
        })
    }
}

/// Flask and Slack's own SDK under gunicorn with four workers.
pub(crate) struct Gunicorn {
    pub(crate) address: SocketAddr,
    _dir: TempDir,
    _process: Peer,
}

impl Gunicorn {
    pub(crate) async fn start(slack_url: &str) -> anyhow::Result<Self> {
        let python = environment()?;
        let dir = TempDir::new_in(workspace().join("target"))?;
        fs::write(dir.path().join("app.py"), FLASK_APP)?;
        let address = free_address()?;
        let child = Command::new(python)
            .current_dir(dir.path())
            .args(["-m", "gunicorn", "--workers", "4", "--log-level", "error"])
            .args(["--bind", &address.to_string(), "app:app"])
            .env("SLACK", slack_url)
            .spawn()?;
        let process = Peer(child);
        listening(address).await?;
        Ok(Self {
            address,
            _dir: dir,
            _process: process,
        })
    }
}

/// Makes the Python environment once, below `target/`, and returns its interpreter.
fn environment() -> anyhow::Result<PathBuf> {
    let dir = workspace().join("target/bench-python");
    let python = dir.join("bin/python");
    if dir.join("complete").exists() {
        return Ok(python);
    }
    let made = Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&dir)
        .status()
        .context("python3 is not installed")?;
    anyhow::ensure!(made.success(), "python3 cannot make an environment");
    let installed = Command::new(&python)
        .args(["-m", "pip", "install", "--quiet"])
        .args(["flask", "slack_sdk", "gunicorn"])
        .status()?;
    anyhow::ensure!(installed.success(), "pip cannot install Flask");
    fs::write(dir.join("complete"), "")?;
    Ok(python)
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

async fn listening(address: SocketAddr) -> anyhow::Result<()> {
    let began = Instant::now();
    while TcpStream::connect(address).await.is_err() {
        anyhow::ensure!(
            began.elapsed() < Duration::from_secs(30),
            "nothing listens on {address}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
