//! Says of which commit a program is, for `--version`.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=ALERT_MANAGER_COMMIT");
    println!(
        "cargo::rustc-env=ALERT_MANAGER_COMMIT={}",
        commit().unwrap_or_else(|| "unknown".to_owned())
    );
}

/// Returns the variable that builds outside a clone set, else what git says.
fn commit() -> Option<String> {
    if let Ok(commit) = std::env::var("ALERT_MANAGER_COMMIT")
        && !commit.is_empty()
    {
        return Some(commit);
    }
    // A debug build is of no commit in particular; to say so spares a build of everything after each commit.
    if std::env::var("PROFILE").as_deref() != Ok("release") {
        return Some("of a debug build".to_owned());
    }
    // Sources that were unpacked within another project's clone are not of its commit.
    if !Path::new("../.git").exists() {
        return None;
    }
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    // The file that changes with every commit, checkout and reset.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    if Path::new(&log).exists() {
        println!("cargo::rerun-if-changed={log}");
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}
