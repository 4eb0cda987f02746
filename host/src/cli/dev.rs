//! `dev`: build, serve, and build again whenever a source changes.

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
use super::{build, serve};
use crate::telemetry::log;

/// An editor writes a file in several steps: the build waits for this much silence.
const SETTLE: Duration = Duration::from_millis(150);

/// Builds and serves until a signal.
pub(super) fn run(args: DevArgs) -> anyhow::Result<ExitCode> {
    log::init(
        args.web.log_format,
        args.web.log_level,
        Paint::for_stderr().colours(),
    );
    let dir = args.dir.clone();
    let projects = build::projects(&dir)?;
    if projects.is_empty() {
        print::note(&format!(
            "{}: no handler project found yet; .wasm files that are put there are served",
            dir.display()
        ));
    } else {
        build(&projects, &dir, args.file.config_file.as_deref())?;
    }
    let overrides = args.web.overrides(Some(dir.clone()));
    let (changed, changes) = mpsc::channel(1);
    let watcher = watch(&dir, changed)
        .with_context(|| format!("cannot watch {} for changes", dir.display()))?;
    let file = args.file.config_file.clone();
    let code = serve::serve(serve::source(args.file.config_file, overrides), |_| {
        tokio::spawn(rebuild(dir, file, changes));
    });
    drop(watcher);
    code
}

/// Builds with the cache of the server that serves what is built.
fn build(projects: &[Project], dir: &Path, file: Option<&Path>) -> anyhow::Result<()> {
    let judge = Judge::new(file, dir, CacheUse::Make)?;
    build::build(projects, dir, judge);
    Ok(())
}

/// Tells of each change to a source, never of what a build writes.
fn watch(dir: &Path, changed: mpsc::Sender<()>) -> notify::Result<notify::RecommendedWatcher> {
    let root = dir.to_owned();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        let writes = matches!(
            event.kind,
            EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_)
        );
        if writes && event.paths.iter().any(|path| is_source(&root, path)) {
            // Full means that a build is due anyway.
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

/// The running server takes up what a build leaves in its folder, as anything else that is dropped there.
async fn rebuild(dir: PathBuf, file: Option<PathBuf>, mut changes: mpsc::Receiver<()>) {
    while changes.recv().await.is_some() {
        while tokio::time::timeout(SETTLE, changes.recv()).await.is_ok() {}
        let (dir, file) = (dir.clone(), file.clone());
        let built = tokio::task::spawn_blocking(move || {
            let built =
                build::projects(&dir).and_then(|projects| build(&projects, &dir, file.as_deref()));
            if let Err(error) = built {
                print::error(&error);
            }
        });
        if let Err(error) = built.await {
            tracing::error!(%error, "the build ended unexpectedly");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
