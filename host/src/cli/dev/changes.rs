//! Which projects have changed since they were built.
//!
//! The operating system reports that something has changed. What has changed is found by comparing the sources with what they
//! were before the last build, so that a report that is lost, doubled, or about a build's own output does no harm.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use handler_build::{FILES_MAX, Options, Project, Snapshot, is_source_name, walk};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// How much earlier than the clock's a file's time may be: some file systems count in units of two seconds.
const FILE_TIME_UNIT: Duration = Duration::from_secs(2);

/// What is known of the projects of a folder.
pub(super) struct Changes {
    dir: PathBuf,
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
    /// What was built, by the project's folder.
    built: BTreeMap<PathBuf, Built>,
    /// A warning that not all can be watched was logged.
    has_warned: bool,
}

/// A project as it was built.
struct Built {
    project: Project,
    /// Its name when [`Changes::renamed`] last looked at it.
    name: String,
    /// The folders with its sources.
    folders: Vec<PathBuf>,
    /// Its sources before the build.
    sources: Snapshot,
    /// When the build began.
    began: SystemTime,
}

impl Changes {
    /// Watches a folder of projects. `changed` is sent to if something may have changed.
    pub(super) fn watch(dir: &Path, changed: mpsc::Sender<()>) -> notify::Result<Self> {
        // If a folder were watched by two paths, removing one watch would end both.
        let dir = std::fs::canonicalize(dir).map_err(notify::Error::io)?;
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An error, or a request to look at everything again, says that reports were lost.
            let is_of_interest = event.map_or(true, |event| {
                event.need_rescan()
                    || matches!(
                        event.kind,
                        EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_)
                    ) && event.paths.iter().any(|path| is_source(path))
            });
            if is_of_interest {
                // If the channel is full, a look at the sources is due already.
                let _ = changed.try_send(());
            }
        })?;
        let mut changes = Self {
            dir,
            watcher,
            watched: BTreeSet::new(),
            built: BTreeMap::new(),
            has_warned: false,
        };
        changes
            .watcher
            .watch(&changes.dir, RecursiveMode::NonRecursive)?;
        changes.watched.insert(changes.dir.clone());
        Ok(changes)
    }

    /// Returns those of the projects whose sources are not those of their last build. Forgets projects that are gone.
    pub(super) fn of(&mut self, projects: Vec<Project>) -> Vec<Project> {
        self.built.retain(|dir, _| {
            // One whose manifest has a mistake is not gone.
            projects.iter().any(|project| project.dir == *dir) || handler_build::is_project(dir)
        });
        // Before the sources are looked at, so that no later change is missed.
        self.watch_folders(&projects);
        let has_changed = |project: &Project| {
            self.built.get(&project.dir).is_none_or(|built| {
                built.project != *project || built.sources != Snapshot::of(&built.folders)
            })
        };
        projects.into_iter().filter(has_changed).collect()
    }

    /// Returns, once, the projects that were built and have another name now: the old name and the new one.
    pub(super) fn renamed(&mut self, projects: &[Project]) -> Vec<(String, String)> {
        let mut names = Vec::new();
        for project in projects {
            if let Some(built) = self.built.get_mut(&project.dir)
                && built.name != project.name
            {
                let before = std::mem::replace(&mut built.name, project.name.clone());
                names.push((before, project.name.clone()));
            }
        }
        names
    }

    /// Returns the names of projects that were built and are gone.
    pub(super) fn gone(&self, projects: &[Project]) -> Vec<String> {
        let gone = self.built.iter().filter(|(dir, built)| {
            let is_there = |project: &Project| project.dir == **dir || project.name == built.name;
            !projects.iter().any(is_there) && !handler_build::is_project(dir)
        });
        gone.map(|(_, built)| built.name.clone()).collect()
    }

    /// Notes the sources of projects that are about to be built.
    pub(super) fn begin(&mut self, projects: &[Project], options: &Options) {
        for project in projects {
            let folders = project.source_folders(options);
            let built = Built {
                began: SystemTime::now(),
                name: project.name.clone(),
                project: project.clone(),
                sources: Snapshot::of(&folders),
                folders,
            };
            self.built.insert(project.dir.clone(), built);
        }
    }

    /// Adds the sources that a build has found out about. A project that has changed meanwhile stays as it was noted, and one
    /// of whose new sources that is true is forgotten: both are built again.
    pub(super) fn end(&mut self, projects: &[Project], options: &Options) {
        for project in projects {
            let folders = project.source_folders(options);
            let Some(built) = self.built.get_mut(&project.dir) else {
                continue;
            };
            let sources = Snapshot::of(&folders);
            if built.folders == folders || !built.sources.is_unchanged_in(&sources) {
                continue;
            }
            if sources.has_news(&built.sources, built.began - FILE_TIME_UNIT) {
                self.built.remove(&project.dir);
            } else {
                (built.folders, built.sources) = (folders, sources);
            }
        }
    }

    /// Watches the folders that have sources, or may soon have a project, and no others: a package manager's or a
    /// compiler's folders may be thousands.
    fn watch_folders(&mut self, projects: &[Project]) {
        let mut wanted = vec![self.dir.clone()];
        if let Ok(entries) = std::fs::read_dir(&self.dir) {
            let paths = entries.flatten().map(|entry| entry.path());
            wanted.extend(paths.filter(|path| path.is_dir() && is_source(path)));
        }
        let sources = projects.iter().flat_map(|project| {
            let built = self.built.get(&project.dir);
            built.map_or_else(|| vec![project.dir.clone()], |built| built.folders.clone())
        });
        let walk = walk(&sources.collect::<Vec<_>>());
        if walk.is_cut && !self.has_warned {
            self.has_warned = true;
            tracing::warn!(
                "there are more than {FILES_MAX} files below the projects; changes of the rest are not noticed"
            );
        }
        wanted.extend(walk.folders);
        let wanted: BTreeSet<PathBuf> = wanted.into_iter().collect();
        // A folder that was removed is not watched any more.
        for gone in self
            .watched
            .difference(&wanted)
            .filter(|gone| gone.is_dir())
        {
            let _ = self.watcher.unwatch(gone);
        }
        self.watched.retain(|folder| wanted.contains(folder));
        for folder in wanted {
            if self.watched.contains(&folder) {
                continue;
            }
            match self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(folder);
                }
                // A folder may be gone again; another one is looked at from time to time.
                Err(error) if folder.is_dir() && !self.has_warned => {
                    self.has_warned = true;
                    tracing::warn!(%error, "cannot watch {}; changes there are noticed some seconds later", folder.display());
                }
                Err(_) => {}
            }
        }
    }
}

/// Returns whether the last part of a path can be the name of a source.
fn is_source(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| is_source_name(&name.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs;

    use super::*;

    struct Folder {
        dir: tempfile::TempDir,
        changes: Changes,
        options: Options,
        /// Nobody receives the reports: what has changed is found without them.
        _reports: mpsc::Receiver<()>,
    }

    impl Folder {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let (changed, reports) = mpsc::channel(1);
            Self {
                changes: Changes::watch(dir.path(), changed).unwrap(),
                options: Options::new(dir.path()),
                dir,
                _reports: reports,
            }
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn project(&self, name: &str, sdk: &str) {
            self.write(&format!("sdks/{sdk}/src/handler_sdk/__init__.py"), "");
            self.write(&format!("{name}/handler.py"), "");
            let manifest = format!(
                "[project]\nname = \"{name}\"\n[tool.alert-manager]\nsdk = \"../sdks/{sdk}\"\n"
            );
            self.write(&format!("{name}/pyproject.toml"), &manifest);
        }

        fn changed(&mut self) -> Vec<Project> {
            let found = handler_build::discover(self.dir.path()).unwrap();
            self.changes.of(found.projects)
        }

        fn follow(&mut self) -> (Vec<(String, String)>, Vec<String>) {
            let found = handler_build::discover(self.dir.path()).unwrap().projects;
            (self.changes.renamed(&found), self.changes.gone(&found))
        }

        fn names(&mut self) -> Vec<String> {
            let changed = self.changed();
            changed.into_iter().map(|project| project.name).collect()
        }

        /// "Builds" what has changed, while `meanwhile` happens.
        fn build(&mut self, meanwhile: impl FnOnce(&Self)) {
            let changed = self.changed();
            self.changes.begin(&changed, &self.options);
            meanwhile(self);
            self.changes.end(&changed, &self.options);
        }
    }

    #[test]
    fn a_change_is_found_even_if_no_report_of_it_arrives() {
        let mut folder = Folder::new();
        folder.project("a", "x");
        folder.project("b", "y");
        assert_eq!(folder.names(), ["a", "b"]);
        folder.build(|_| ());
        assert!(folder.names().is_empty());
        folder.write("a/handler.py", "changed");
        assert_eq!(folder.names(), ["a"]);
        folder.build(|_| ());
        folder.write("a/new/module.py", "");
        assert_eq!(folder.names(), ["a"]);
        fs::remove_dir_all(folder.dir.path().join("a/new")).unwrap();
        assert!(folder.names().is_empty(), "it is as it was built");
    }

    #[test]
    fn a_change_of_an_sdk_concerns_the_projects_that_use_it() {
        let mut folder = Folder::new();
        folder.project("a", "x");
        folder.project("b", "y");
        folder.project("c", "x");
        folder.build(|_| ());
        folder.write("sdks/x/src/handler_sdk/blocks.py", "");
        assert_eq!(folder.names(), ["a", "c"]);
    }

    #[test]
    fn what_is_saved_during_a_build_is_built_after_it_even_if_it_is_undone() {
        let mut folder = Folder::new();
        folder.project("a", "x");
        folder.build(|folder| {
            folder.write("a/handler.py", "broken");
            folder.write("a/handler.py", "");
        });
        assert_eq!(folder.names(), ["a"]);
        folder.build(|_| ());
        assert!(folder.names().is_empty());
    }

    #[test]
    fn what_a_build_finds_out_about_is_built_again_if_it_was_saved_meanwhile() {
        // Where the sources of the SDK are is known only after the first build, as with a dependency in Rust.
        for (age, names) in [
            (Duration::ZERO, &["a"][..]),
            (Duration::from_secs(3_600), &[]),
        ] {
            let mut folder = Folder::new();
            folder.project("a", "x");
            fs::remove_dir_all(folder.dir.path().join("sdks")).unwrap();
            folder.build(|folder| {
                let path = "sdks/x/src/handler_sdk/__init__.py";
                folder.write(path, "");
                let file = fs::File::options()
                    .write(true)
                    .open(folder.dir.path().join(path))
                    .unwrap();
                file.set_modified(SystemTime::now() - age).unwrap();
            });
            assert_eq!(folder.names(), names, "saved {age:?} before");
            folder.build(|_| ());
            assert!(folder.names().is_empty());
        }
    }

    #[test]
    fn what_a_build_writes_is_no_change() {
        let mut folder = Folder::new();
        folder.project("a", "x");
        folder.build(|folder| {
            for output in [
                "a.wasm",
                "a/target/x/lib.rs",
                "a/Cargo.lock",
                "a/__pycache__/x.pyc",
                ".a.7.tmp",
            ] {
                folder.write(output, "made");
            }
        });
        assert!(folder.names().is_empty());
    }

    #[test]
    fn a_project_that_is_removed_and_comes_back_is_built() {
        let mut folder = Folder::new();
        folder.project("a", "x");
        folder.build(|_| ());
        fs::rename(
            folder.dir.path().join("a"),
            folder.dir.path().join("sdks/a"),
        )
        .unwrap();
        assert!(folder.names().is_empty());
        fs::rename(
            folder.dir.path().join("sdks/a"),
            folder.dir.path().join("a"),
        )
        .unwrap();
        assert_eq!(folder.names(), ["a"]);
    }

    #[test]
    fn projects_that_are_renamed_or_gone_are_noticed_once() {
        let mut folder = Folder::new();
        folder.project("one", "a");
        folder.project("two", "a");
        folder.build(|_| ());
        assert_eq!(folder.follow(), (vec![], vec![]));
        // A manifest with a mistake is that of the same project.
        let manifest = folder.dir.path().join("one/pyproject.toml");
        let text = fs::read_to_string(&manifest).unwrap();
        fs::write(&manifest, "[tool.alert-manager\n").unwrap();
        folder.names();
        fs::write(&manifest, text.replace("name = \"one\"", "name = \"uno\"")).unwrap();
        let renamed = ("one".to_owned(), "uno".to_owned());
        assert_eq!(folder.follow(), (vec![renamed], vec![]));
        assert_eq!(folder.follow(), (vec![], vec![]));
        folder.build(|_| ());
        fs::remove_dir_all(folder.dir.path().join("two")).unwrap();
        assert_eq!(folder.follow(), (vec![], vec!["two".to_owned()]));
        folder.names();
        assert_eq!(folder.follow(), (vec![], vec![]));
    }
}
