//! How long an author takes from `new` to the first handled alert, if every command is typed in no time.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use handler_build::Language;
use tempfile::TempDir;
use tests::modules;

use super::LANGUAGES;
use super::project::{ALERTNAME, NAME, as_author, finish};
use crate::rig::Rig;
use crate::show::{Figures, Target};

/// The commands of the guide between `new` and the copy of the module: the project's own test, then `build`, then `test`.
fn own_test(language: Language) -> &'static str {
    match language {
        Language::Python => {
            "python3 -m venv .venv && .venv/bin/pip install -q pytest mypy && .venv/bin/pytest -q && .venv/bin/mypy"
        }
        Language::TypeScript => "npm install && npm test",
        _ => "cargo test",
    }
}

/// Goes the guide's way in each language: with the tools that are there, and with an empty folder of tools.
pub(crate) fn run(figures: &mut Figures) -> anyhow::Result<()> {
    let fetched = modules::tools();
    for language in LANGUAGES {
        let with = go(language, &fetched)?;
        show(figures, language, "tools fetched", &with);
        // Rust has no tools of ours.
        if language != Language::Rust {
            let empty = TempDir::new()?;
            let without = go(language, empty.path())?;
            show(figures, language, "tools not fetched", &without);
        }
    }
    Ok(())
}

fn show(figures: &mut Figures, language: Language, tools: &str, steps: &[(&str, Duration)]) {
    let all: Duration = steps.iter().map(|(_, time)| *time).sum();
    figures.add(
        &format!("{language}: from new to the first handled alert, {tools}"),
        all.as_secs_f64(),
        "s",
        Target::None,
    );
    for (step, time) in steps {
        let what = format!("{language}:   of it, {step}");
        figures.add(&what, time.as_secs_f64(), "s", Target::None);
    }
}

/// Runs the commands beside a running server, and returns how long each took.
fn go(language: Language, tools: &Path) -> anyhow::Result<Vec<(&'static str, Duration)>> {
    // The operator's part, which `inspect` prints.
    let rig = Rig::new(&format!(
        "slack: {{ preview: true }}\nhandlers: {{ {NAME}: {{ allow: {{ slack: [alerts] }} }} }}\n"
    ))?;
    let server = rig.start()?;
    // Outside of this repository, so that the project stands alone.
    let author = TempDir::new()?;
    let project = author.path().join(NAME);
    let lang = language.to_string().to_lowercase();
    let new = format!("alert-manager new {NAME} --lang {lang} --alert {ALERTNAME}");
    let tested = format!("alert-manager test {NAME}.wasm --alert alert.json");
    let handlers = rig.dir.path().join("handlers");
    let copied = format!("cp {NAME}.wasm '{}/'", handlers.display());
    let steps = [
        ("new", author.path(), new.as_str()),
        ("its own test", &project, own_test(language)),
        ("build", &project, "alert-manager build ."),
        ("test", &project, &tested),
        ("copy", &project, &copied),
        ("from copied to served", &project, SERVED),
        ("send", &project, "alert-manager send --alert alert.json"),
    ];
    let mut times = Vec::new();
    for (name, dir, line) in steps {
        let mut command = Command::new("sh");
        command
            .args(["-c", line])
            .current_dir(dir)
            .env("ALERT_MANAGER_URL", &server.process.url);
        as_author(&mut command, tools);
        let began = Instant::now();
        finish(command)?;
        times.push((name, began.elapsed()));
    }
    server.stop();
    Ok(times)
}

/// Waits until the server lists the handler as ready, for a minute at most.
const SERVED: &str = r#"tries=0
until alert-manager handlers --json | grep -q '"state": *"ready"'; do
    tries=$((tries + 1))
    [ "$tries" -lt 600 ] || { alert-manager handlers; exit 1; }
    sleep 0.1
done"#;
