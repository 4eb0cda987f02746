//! TypeScript packages of this repository, copied below `target/` with their dependencies from npm, and run there.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use parking_lot::Mutex;

use crate::modules::workspace;

/// Tests of one program ask for the same packages at once.
static MAKING: Mutex<()> = Mutex::new(());

/// Folders that are made by tools and are not copied.
const MADE: [&str; 4] = ["node_modules", "dist", "out", "target"];

/// Copies a package to the same place below `target/typescript/`, installs its dependencies if they are not there, and returns
/// the copy. `path` is relative to the workspace; a package that it refers to by a path is copied by another call.
///
/// # Errors
/// What is missing, and which package of Debian brings it; or what npm said.
pub fn package(path: &str) -> anyhow::Result<PathBuf> {
    let _making = MAKING.lock();
    let dir = copied(path)?;
    let wanted = std::fs::read_to_string(dir.join("package.json"))?;
    let complete = dir.join("node_modules/complete");
    if std::fs::read_to_string(&complete).is_ok_and(|has| has == wanted) {
        return Ok(dir);
    }
    npm(&dir, &["install"])?;
    std::fs::write(complete, wanted)?;
    Ok(dir)
}

/// Copies a folder that packages read, such as tables of their tests, to the same place below `target/typescript/`, and returns
/// the copy.
///
/// # Errors
/// If a file cannot be copied.
pub fn folder(path: &str) -> anyhow::Result<PathBuf> {
    let _making = MAKING.lock();
    copied(path)
}

fn copied(path: &str) -> anyhow::Result<PathBuf> {
    let dir = workspace().join("target/typescript").join(path);
    copy(&workspace().join(path), &dir)?;
    Ok(dir)
}

/// Runs npm in a folder, without what it says to people, and returns what it printed.
///
/// # Errors
/// All that it printed, if it failed; and what brings it, if it is missing.
pub fn npm(dir: &Path, args: &[&str]) -> anyhow::Result<String> {
    let quiet = ["--silent", "--no-audit", "--no-fund", "--prefer-offline"];
    run(Command::new("npm").args(args).args(quiet).current_dir(dir))
        .with_context(|| format!("npm {}", args.join(" ")))
}

/// Runs a program in a folder and returns what it printed.
///
/// # Errors
/// All that it printed, if it failed; and what brings it, if it is missing.
pub fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .output()
        .context("Node.js is missing: apt-get install nodejs npm")?;
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    anyhow::ensure!(output.status.success(), "{out}{err}");
    Ok(out.into_owned())
}

/// Copies what differs, so that tools find unchanged files as old as they were; a file that is gone is removed.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    let is_made = |name: &std::ffi::OsStr| {
        let name = name.to_string_lossy();
        MADE.contains(&name.as_ref())
            || name == "package-lock.json"
            || name.ends_with(".tsbuildinfo")
    };
    for entry in std::fs::read_dir(to)? {
        let entry = entry?;
        if is_made(&entry.file_name()) || from.join(entry.file_name()).exists() {
            continue;
        }
        let path = entry.path();
        match entry.file_type()?.is_dir() {
            true => std::fs::remove_dir_all(path)?,
            false => std::fs::remove_file(path)?,
        }
    }
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if is_made(&entry.file_name()) {
            continue;
        }
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&source, &target)?;
        } else {
            let content = std::fs::read(&source)?;
            if std::fs::read(&target).is_ok_and(|has| has == content) {
                continue;
            }
            std::fs::write(target, content)?;
        }
    }
    Ok(())
}
