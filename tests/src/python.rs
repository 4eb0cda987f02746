//! Python environments with packages of `PyPI`, made once below `target/`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use parking_lot::Mutex;

use crate::modules::workspace;

/// Makes the environment `target/NAME` with these packages, unless it is there, and returns its interpreter. `packages` are in
/// pip's words, with their versions: `slack_sdk==3.48.0`.
///
/// # Errors
/// What is missing, and which package of Debian brings it.
pub fn environment(name: &str, packages: &[&str]) -> anyhow::Result<PathBuf> {
    // Tests of one program ask for the same environment at once.
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock();
    let dir = workspace().join("target").join(name);
    let python = dir.join("bin/python");
    // The programs of an environment name its interpreter by its path, so one that was moved is made anew.
    let wanted = format!("{}\n{}", dir.display(), packages.join("\n"));
    let complete = dir.join("complete");
    if std::fs::read_to_string(&complete).is_ok_and(|has| has == wanted) {
        return Ok(python);
    }
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&dir))
    .context("python3 cannot make an environment: apt-get install python3-venv")?;
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ];
    run(Command::new(&python).args(pip).args(packages))
        .with_context(|| format!("pip cannot install {}", packages.join(" ")))?;
    std::fs::write(complete, wanted)?;
    Ok(python)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output()?;
    anyhow::ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// Runs a program of a test, which asserts by itself, and returns what it printed.
///
/// # Errors
/// All that it printed, if it failed.
pub fn program(python: &Path, file: &Path, args: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(python).arg(file).args(args).output()?;
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr),
    );
    anyhow::ensure!(output.status.success(), "{}:\n{out}{err}", file.display());
    Ok(out)
}
