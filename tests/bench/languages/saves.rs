//! How soon `dev` serves what was saved.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use handler_build::Language;
use serde_json::Value;
use tempfile::TempDir;
use tests::modules;
use tests::process::Process;

use super::LANGUAGES;
use super::project::{self, NAME, author};
use crate::load::Client;
use crate::show::{Figures, Target, quantile};

const SAVES: usize = 5;
/// How often the server is asked: the figure is coarser by no more than this.
const POLL: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(300);

/// How many seconds a save should take at most.
fn seconds_max(language: Language) -> f64 {
    match language {
        Language::Python => 8.0,
        _ => 3.0,
    }
}

/// For each language, starts `dev` with one project and saves it again and again.
pub(crate) fn run(figures: &mut Figures) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for language in LANGUAGES {
        let mut times = runtime.block_on(measure(language))?;
        times.sort();
        for (what, share) in [("median", 0.5), ("worst", 1.0)] {
            figures.add(
                &format!("{language}: from save to served, {what} of {SAVES}"),
                quantile(&times, share).as_secs_f64(),
                "s",
                Target::AtMost(seconds_max(language)),
            );
        }
    }
    Ok(())
}

async fn measure(language: Language) -> anyhow::Result<Vec<Duration>> {
    let folder = TempDir::new()?;
    let dir: PathBuf = folder.path().join(NAME);
    project::write(folder.path(), language)?;
    let server = Process::start(author(&dir, &["dev", "."], &modules::tools()));
    let mut served = wait_for_other(&server, "").await?;
    let mut times = Vec::new();
    for number in 0..SAVES {
        let saved = Instant::now();
        project::change(&dir, language, number)?;
        served = wait_for_other(&server, &served).await?;
        times.push(saved.elapsed());
    }
    Ok(times)
}

/// Waits until the server serves another module than that with this digest, and returns its digest.
async fn wait_for_other(server: &Process, before: &str) -> anyhow::Result<String> {
    let address = server.url.strip_prefix("http://").context("plain HTTP")?;
    let address = address.parse()?;
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let mut client = Client::connect(address).await?;
        let answer = client.get("/api/v1/handlers").await?;
        let (_, body) = answer.split_once("\r\n\r\n").context("a body")?;
        let answer: Value = serde_json::from_str(body)?;
        let handlers = answer["handlers"].as_array().into_iter().flatten();
        let mut digests = handlers
            .filter(|handler| handler["state"] == "ready")
            .filter_map(|handler| handler["sha256"].as_str());
        if let Some(other) = digests.find(|digest| *digest != before) {
            return Ok(other.to_owned());
        }
        tokio::time::sleep(POLL).await;
    }
    anyhow::bail!("what was saved is not served")
}
