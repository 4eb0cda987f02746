//! `dev`: builds, serves, and builds a project again if its sources change.

mod changes;
mod renames;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use handler_build::{Language, Project};
use tokio::sync::mpsc;

use super::args::DevArgs;
use super::module_check::ModuleCheck;
use super::modules::CacheUse;
use super::print::{self, Paint};
use super::serve::Audience;
use super::{build, paths, serve};
use crate::telemetry::log;
use build::ToolsMissing;
use changes::Changes;

/// How long there must be no change before a build starts, since an editor writes a file in several steps.
const SETTLE: Duration = Duration::from_millis(50);
/// How long a build waits at most for that: something may write all the time.
const SETTLE_MAX: Duration = Duration::from_secs(1);
/// How often the sources are looked at even if no change was reported, since some file systems report none.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The handler for the README's alert, and the fallback: they are built and served before the rest.
const FIRST: [&str; 2] = ["kube-pod-crash-looping", "slack-notify"];

/// Builds and serves until a signal.
pub(super) fn run(args: DevArgs) -> anyhow::Result<ExitCode> {
    log::init(
        args.web.log_format,
        args.web.log_level,
        Paint::for_stderr().colours(),
    );
    let dir = build::folder(args.dir.as_deref()).to_owned();
    let (changed, reports) = mpsc::channel(1);
    let changes = Changes::watch(&dir, changed)
        .with_context(|| format!("cannot watch {} for changes", dir.display()))?;
    let mut builder = Builder {
        dir: dir.clone(),
        file: args.file.config_file.clone(),
        changes,
        unreadable: Vec::new(),
    };
    let first = first(builder.changed_projects()?);
    if first.is_empty() {
        print::note(&format!(
            "{}: no handler project found yet; .wasm files that are put there are served",
            dir.display()
        ));
    } else {
        builder.build(&first)?;
    }
    let alert = alert_of(&dir, &first);
    let overrides = args.web.overrides(Some(dir));
    let source = serve::source(args.file.config_file, overrides);
    serve::serve(source, Audience::Developer { alert }, || {
        tokio::spawn(keep_built(builder, reports));
    })
}

/// Returns the test alert of the project that is served, or of the first of several; `None` if there is none, or if the handlers
/// for the README's alert are among them.
fn alert_of(dir: &Path, first: &[Project]) -> Option<PathBuf> {
    let mut dirs = vec![dir];
    if !handler_build::is_project(dir) {
        let mut names = first.iter().map(|project| project.name.as_str());
        if names.any(|name| FIRST.contains(&name)) {
            return None;
        }
        dirs = first.iter().map(|project| project.dir.as_path()).collect();
    }
    let mut files = dirs.into_iter().map(|dir| paths::below(dir, "alert.json"));
    files.find(|file| file.is_file())
}

/// Returns the projects to build before the server starts. The others are built while it serves.
fn first(projects: Vec<Project>) -> Vec<Project> {
    let is_first = |project: &Project| FIRST.contains(&project.name.as_str());
    let is_rust = |project: &Project| project.language() == Language::Rust;
    let has = |kind: &dyn Fn(&Project) -> bool| projects.iter().any(kind);
    match (has(&is_first), has(&is_rust)) {
        (true, _) => projects.into_iter().filter(is_first).collect(),
        // The tools of the other languages may have to be fetched.
        (false, true) => projects.into_iter().filter(is_rust).collect(),
        (false, false) => projects,
    }
}

/// Builds the projects that have changed.
struct Builder {
    dir: PathBuf,
    file: Option<PathBuf>,
    changes: Changes,
    /// The errors of projects that cannot be read, as they were printed.
    unreadable: Vec<String>,
}

impl Builder {
    /// Returns the projects whose sources are not those of their last build.
    fn changed_projects(&mut self) -> anyhow::Result<Vec<Project>> {
        let found = build::projects(&self.dir)?;
        let unreadable: Vec<_> = found.unreadable.iter().map(ToString::to_string).collect();
        if unreadable != self.unreadable {
            build::report_unreadable(&found);
            self.unreadable = unreadable;
        }
        self.follow_names(&found.projects);
        Ok(self.changes.of(found.projects))
    }

    /// Gives the module of a project that was renamed its new name, so that it is replaced: beside the old one, a server would
    /// refuse the new one. A module whose project is gone is named, and stays.
    fn follow_names(&mut self, projects: &[Project]) {
        let names = self.changes.renamed(projects);
        for (before, now) in renames::rename_modules(&self.dir, names) {
            print::note(&format!(
                "{before}.wasm is now {now}.wasm, like its project"
            ));
        }
        for name in self.changes.gone(projects) {
            let file = self.dir.join(format!("{name}.wasm"));
            if file.is_file() {
                print::note(&format!(
                    "the project {name} is gone; {} is served until you remove it",
                    file.display()
                ));
            }
        }
    }

    /// Builds with the compilation cache of the server that serves the result.
    fn build(&mut self, projects: &[Project]) -> anyhow::Result<()> {
        let module_check = ModuleCheck::new(self.file.as_deref(), &self.dir, CacheUse::Dev)?;
        let options = build::options(&self.dir, module_check);
        self.changes.begin(projects, &options);
        build::build(projects, &options, ToolsMissing::Skips);
        self.changes.end(projects, &options);
        Ok(())
    }

    /// Builds until nothing has changed.
    fn build_changed(&mut self) -> anyhow::Result<()> {
        loop {
            let projects = self.changed_projects()?;
            // Rust is quick, and the others need not wait for each other: each is served as soon as it is built.
            let (rust, others): (Vec<_>, Vec<_>) = projects
                .into_iter()
                .partition(|project| project.language() == Language::Rust);
            let next = if rust.is_empty() { others } else { rust };
            if next.is_empty() {
                return Ok(());
            }
            self.build(&next)?;
        }
    }
}

/// Builds the remaining projects, then those that change. The running server loads the results from its folder like any other
/// file.
async fn keep_built(mut builder: Builder, mut reports: mpsc::Receiver<()>) {
    loop {
        let built = tokio::task::spawn_blocking(move || {
            let result = builder.build_changed();
            (builder, result)
        });
        match built.await {
            Ok((back, result)) => {
                builder = back;
                if let Err(error) = result {
                    print::error(&error);
                }
            }
            Err(error) => {
                tracing::error!(%error, "the build ended unexpectedly");
                return;
            }
        }
        if let Ok(Some(())) = tokio::time::timeout(LOOK_EVERY, reports.recv()).await {
            let silence =
                async { while tokio::time::timeout(SETTLE, reports.recv()).await.is_ok() {} };
            // If it does not settle, what is there now is built, and then what is there after that.
            let _ = tokio::time::timeout(SETTLE_MAX, silence).await;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_readmes_handlers_are_built_before_the_rest_if_they_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let project = |name: &str, file: &str, text: String| {
            let dir = dir.path().join(name);
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join(file), text).unwrap();
            let found = handler_build::discover(&dir).unwrap();
            found.projects.into_iter().next().unwrap()
        };
        let of = |all: &[&str]| {
            let all = all.iter().map(|name| match name.strip_prefix("py-") {
                None => project(
                    name,
                    "Cargo.toml",
                    format!("[package]\nname = \"{name}\"\n[lib]\ncrate-type = [\"cdylib\"]\n"),
                ),
                Some(_) => project(
                    name,
                    "pyproject.toml",
                    format!("[project]\nname = \"{name}\"\n[tool.alert-manager]\n"),
                ),
            });
            let names: Vec<String> = first(all.collect())
                .into_iter()
                .map(|project| project.name)
                .collect();
            names.join(" ")
        };
        assert_eq!(
            of(&["a", "py-c", "slack-notify", "z", "kube-pod-crash-looping"]),
            "slack-notify kube-pod-crash-looping"
        );
        assert_eq!(of(&["a", "py-c", "b"]), "a b");
        assert_eq!(of(&["py-c", "py-d"]), "py-c py-d");
        assert_eq!(of(&[]), "");
    }

    #[test]
    fn the_alert_to_post_next_is_one_that_a_served_handler_answers() {
        let dir = tempfile::tempdir().unwrap();
        let project = |name: &str, has_alert: bool| {
            let dir = dir.path().join(name);
            std::fs::create_dir_all(&dir).unwrap();
            let manifest = format!("[project]\nname = \"{name}\"\n[tool.alert-manager]\n");
            std::fs::write(dir.join("pyproject.toml"), manifest).unwrap();
            if has_alert {
                std::fs::write(dir.join("alert.json"), "{}").unwrap();
            }
            let found = handler_build::discover(&dir).unwrap();
            found.projects.into_iter().next().unwrap()
        };
        let (bare, disk) = (project("bare", false), project("disk-full", true));
        let file = disk.dir.join("alert.json");
        let of = |dir: &Path, projects: &[&Project]| {
            let projects: Vec<_> = projects.iter().map(|&project| project.clone()).collect();
            alert_of(dir, &projects)
        };
        assert_eq!(of(&disk.dir, &[&disk]), Some(file.clone()));
        assert_eq!(of(dir.path(), &[&bare, &disk]), Some(file));
        assert_eq!(of(dir.path(), &[&bare]), None);
        let readmes = project("slack-notify", true);
        assert_eq!(of(dir.path(), &[&disk, &readmes]), None, "the README's");
    }
}
