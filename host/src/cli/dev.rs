//! `dev`: builds, serves, and builds again if a source changes.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use handler_build::Project;
use notify::{EventKind, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use super::args::DevArgs;
use super::judge::Judge;
use super::modules::CacheUse;
use super::print::{self, Paint};
use super::serve::Audience;
use super::{build, serve};
use crate::telemetry::log;

/// How long there must be no change before a build starts, since an editor writes a file in several steps.
const SETTLE: Duration = Duration::from_millis(150);

/// The handler for the README's alert, and the fallback: they are built and served before the rest.
const FIRST: [&str; 2] = ["kube-pod-crash-looping", "slack-notify"];

/// Builds and serves until a signal.
pub(super) fn run(args: DevArgs) -> anyhow::Result<ExitCode> {
    log::init(
        args.web.log_format,
        args.web.log_level,
        Paint::for_stderr().colours(),
    );
    let dir = args.dir.clone();
    let file = args.file.config_file.clone();
    let (first, rest) = in_two(build::projects(&dir)?.projects);
    if first.is_empty() {
        print::note(&format!(
            "{}: no handler project found yet; .wasm files that are put there are served",
            dir.display()
        ));
    } else {
        build(&first, &dir, file.as_deref())?;
    }
    let overrides = args.web.overrides(Some(dir.clone()));
    let (changed, changes) = mpsc::channel(1);
    let watcher = watch(&dir, changed)
        .with_context(|| format!("cannot watch {} for changes", dir.display()))?;
    let source = serve::source(args.file.config_file, overrides);
    let code = serve::serve(source, Audience::Developer, || {
        tokio::spawn(keep_built(dir, file, rest, changes));
    });
    drop(watcher);
    code
}

/// Returns the projects to build before the server starts, and those to build while it serves.
fn in_two(projects: Vec<Project>) -> (Vec<Project>, Vec<Project>) {
    let (first, rest): (Vec<_>, Vec<_>) = projects
        .into_iter()
        .partition(|project| FIRST.contains(&project.name.as_str()));
    if first.is_empty() {
        (rest, first)
    } else {
        (first, rest)
    }
}

/// Builds with the compilation cache of the server that serves the result.
fn build(projects: &[Project], dir: &Path, file: Option<&Path>) -> anyhow::Result<()> {
    let judge = Judge::new(file, dir, CacheUse::Make)?;
    build::build(projects, dir, judge);
    Ok(())
}

/// Notifies of each change to a source, but not of files that a build writes.
fn watch(dir: &Path, changed: mpsc::Sender<()>) -> notify::Result<notify::RecommendedWatcher> {
    let root = dir.to_owned();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        let writes = matches!(
            event.kind,
            EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_)
        );
        if writes && event.paths.iter().any(|path| is_source(&root, path)) {
            // If the channel is full, a build is due already.
            let _ = changed.try_send(());
        }
    })?;
    watcher.watch(dir, RecursiveMode::Recursive)?;
    Ok(watcher)
}

fn is_source(root: &Path, path: &Path) -> bool {
    let below = path.strip_prefix(root).unwrap_or(path);
    let made = below.components().any(|part| {
        let part = part.as_os_str().to_string_lossy();
        part.starts_with('.') || part == "target" || part == "node_modules" || part == "__pycache__"
    });
    let ending = path.extension().unwrap_or_default();
    !made && ending != "wasm" && ending != "lock" && !ending.to_string_lossy().ends_with('~')
}

/// Builds the remaining projects, then all projects after each change. The running server loads the results from its folder
/// like any other file.
async fn keep_built(
    dir: PathBuf,
    file: Option<PathBuf>,
    rest: Vec<Project>,
    mut changes: mpsc::Receiver<()>,
) {
    if !rest.is_empty() {
        let (dir, file) = (dir.clone(), file.clone());
        in_background(move || build(&rest, &dir, file.as_deref())).await;
    }
    while changes.recv().await.is_some() {
        while tokio::time::timeout(SETTLE, changes.recv()).await.is_ok() {}
        let (dir, file) = (dir.clone(), file.clone());
        in_background(move || build(&build::projects(&dir)?.projects, &dir, file.as_deref())).await;
    }
}

async fn in_background(build: impl FnOnce() -> anyhow::Result<()> + Send + 'static) {
    match tokio::task::spawn_blocking(build).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => print::error(&error),
        Err(error) => tracing::error!(%error, "the build ended unexpectedly"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_readmes_handlers_are_built_before_the_rest_if_they_are_there() {
        let project = |name: &str| {
            let dir = tempfile::tempdir().unwrap();
            let manifest =
                format!("[package]\nname = \"{name}\"\n[lib]\ncrate-type = [\"cdylib\"]\n");
            std::fs::write(dir.path().join("Cargo.toml"), manifest).unwrap();
            let found = handler_build::discover(dir.path()).unwrap();
            found.projects.into_iter().next().unwrap()
        };
        let names = |projects: Vec<Project>| -> Vec<String> {
            projects.into_iter().map(|project| project.name).collect()
        };
        let of = |all: &[&str]| {
            let (first, rest) = in_two(all.iter().map(|name| project(name)).collect());
            (names(first).join(" "), names(rest).join(" "))
        };
        let pair = |first: &str, rest: &str| (first.to_owned(), rest.to_owned());
        assert_eq!(
            of(&["a", "slack-notify", "z", "kube-pod-crash-looping"]),
            pair("slack-notify kube-pod-crash-looping", "a z")
        );
        assert_eq!(of(&["a", "b"]), pair("a b", ""));
        assert_eq!(of(&[]), pair("", ""));
    }

    #[test]
    fn what_a_build_writes_does_not_start_the_next() {
        let root = Path::new("/h");
        for (path, source) in [
            ("/h/a/src/lib.rs", true),
            ("/h/a/Cargo.toml", true),
            ("/h/a.wasm", false),
            ("/h/a/target/x/lib.rs", false),
            ("/h/a/.git/index", false),
            ("/h/a/Cargo.lock", false),
        ] {
            assert_eq!(is_source(root, Path::new(path)), source, "{path}");
        }
    }
}
