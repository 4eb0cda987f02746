//! The files that a project is built from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::project::Kind;
use crate::{FILES_MAX, Options, Project, rust};

/// Folders that a build, a package manager or an interpreter makes.
const MADE: [&str; 5] = [
    "target",
    "node_modules",
    "__pycache__",
    "venv",
    "site-packages",
];

/// Folders that tsc writes to, if they are beside a `tsconfig.json`.
const MADE_BY_TSC: [&str; 2] = ["dist", "out"];

/// The folder of the SDK that `new` writes: a source, though its name begins with a dot.
const SDK: &str = ".sdk";

/// Files that no build reads: for people, written by cargo, or vim's trial of whether it may create files.
const NO_SOURCES: [&str; 4] = ["README.md", "CHANGELOG.md", "Cargo.lock", "4913"];

/// Endings of files that are no source: components, compiled code, tests, what an editor keeps beside a file, and the store of a
/// server that was started in the project.
const NO_SOURCE: [&str; 14] = [
    ".wasm",
    ".db",
    ".db-wal",
    ".db-shm",
    ".db.lock",
    ".db.cache",
    ".pyc",
    "~",
    ".swp",
    ".swx",
    ".tmp",
    "#",
    ".test.ts",
    ".tsbuildinfo",
];

/// The state of a project's sources at one moment: equal as long as no file was written, added or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    folders: Vec<PathBuf>,
    files: BTreeMap<PathBuf, State>,
}

impl Snapshot {
    /// Returns the state of the source files below these folders.
    #[must_use]
    pub fn of(folders: &[PathBuf]) -> Self {
        let files = walk(folders).files.into_iter().filter_map(|path| {
            let state = fs::metadata(&path).ok()?.into();
            Some((path, state))
        });
        Self {
            files: files.collect(),
            folders: folders.to_vec(),
        }
    }

    /// Returns whether no file below the folders of this one was written, added or removed until `later`, which may be of
    /// more folders.
    #[must_use]
    pub fn is_unchanged_in(&self, later: &Self) -> bool {
        let is_ours = |path: &Path| self.folders.iter().any(|folder| path.starts_with(folder));
        let theirs = later.files.iter().filter(|(path, _)| is_ours(path));
        self.files.iter().eq(theirs)
    }

    /// Returns whether a file that is not below the folders of `earlier` was written at `moment` or after it. Until then nobody
    /// looked there.
    #[must_use]
    pub fn has_news(&self, earlier: &Self, moment: SystemTime) -> bool {
        let is_known = |path: &Path| {
            earlier
                .folders
                .iter()
                .any(|folder| path.starts_with(folder))
        };
        self.files.iter().any(|(path, state)| {
            !is_known(path) && state.modified.is_none_or(|time| time >= moment)
        })
    }
}

/// What changes of a file when it is written, even if its content and its time stay the same.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    bytes: u64,
    modified: Option<SystemTime>,
    #[cfg(unix)]
    inode: (u64, i64, i64),
}

impl From<Metadata> for State {
    fn from(metadata: Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt as _;
        Self {
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            inode: (metadata.ino(), metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Project {
    /// Returns the folders that have the project's sources: its own, and that of the SDK. In Rust, that of each package that
    /// it depends on by path, as far as a build has found them out.
    #[must_use]
    pub fn source_folders(&self, options: &Options) -> Vec<PathBuf> {
        let mut folders = vec![self.dir.clone()];
        match &self.kind {
            Kind::Rust(rust) => {
                let sources = rust::compiled_sources((self, rust), options);
                folders.extend(
                    sources
                        .iter()
                        .filter_map(|source| folder_of_package(source)),
                );
            }
            Kind::Python(python) => folders.push(self.dir.join(&python.sdk).join("src")),
            Kind::TypeScript(typescript) => {
                folders.push(self.dir.join(&typescript.sdk).join("src"));
            }
        }
        folders = folders
            .iter()
            .filter_map(|folder| fs::canonicalize(folder).ok())
            .collect();
        folders.sort();
        // A folder within another one is looked at with it.
        folders.dedup_by(|inner, outer| inner.starts_with(&*outer));
        folders
    }
}

/// Returns whether a file of this name, or a folder, can be or hold a source: not what a build, a test or an editor made.
#[must_use]
pub fn is_source_name(name: &str) -> bool {
    if name == SDK {
        return true;
    }
    let is_of_an_editor = name.starts_with('.') || name.starts_with('#') || name.contains("___jb_");
    let is_no_source =
        NO_SOURCES.contains(&name) || NO_SOURCE.iter().any(|ending| name.ends_with(ending));
    let is_test = name.starts_with("test_") && name.ends_with(".py") || name == "conftest.py";
    !(is_of_an_editor || is_no_source || is_test || MADE.contains(&name))
}

/// What there is below some folders, sorted.
#[derive(Debug, Default)]
pub struct Walk {
    /// The source files, at most [`FILES_MAX`].
    pub files: Vec<PathBuf>,
    /// The folders that may have some, the given ones among them.
    pub folders: Vec<PathBuf>,
    /// Whether there are more files, which were left out.
    pub is_cut: bool,
}

/// Returns the source files below the folders. Links are followed; each folder is looked at once.
#[must_use]
pub fn walk(folders: &[PathBuf]) -> Walk {
    let mut walk = Walk::default();
    let mut open = folders.to_vec();
    let mut links = Vec::new();
    // A link may lead in a circle.
    let mut seen = BTreeSet::new();
    // Links come last, so that a folder that has its own place here is listed by that.
    while let Some(folder) = open.pop().or_else(|| links.pop()) {
        // A folder that disappears meanwhile has no sources.
        let (Ok(real), Ok(entries)) = (fs::canonicalize(&folder), fs::read_dir(&folder)) else {
            continue;
        };
        if !seen.insert(real) {
            continue;
        }
        let is_of_tsc = folder.join("tsconfig.json").is_file();
        for entry in entries.flatten() {
            let (name, path) = (entry.file_name(), entry.path());
            let name = name.to_string_lossy();
            if !is_source_name(&name) || is_of_tsc && MADE_BY_TSC.contains(&&*name) {
                continue;
            }
            // A link that leads nowhere is no source.
            let Ok(kind) = fs::metadata(&path) else {
                continue;
            };
            if kind.is_dir() {
                if !path.is_symlink() {
                    open.push(path);
                } else if !leads_to_output(&path, folders) {
                    links.push(path);
                }
            } else if kind.is_file() {
                // A pipe or a socket cannot be read like a file.
                walk.files.push(path);
            }
        }
        walk.folders.push(folder);
        if walk.files.len() > FILES_MAX {
            walk.files.truncate(FILES_MAX);
            walk.is_cut = true;
            break;
        }
    }
    walk.files.sort();
    walk.folders.sort();
    walk
}

/// Returns whether a link leads to what a build has made within the folders.
fn leads_to_output(link: &Path, folders: &[PathBuf]) -> bool {
    let Ok(real) = fs::canonicalize(link) else {
        return false;
    };
    folders.iter().any(|folder| {
        real.strip_prefix(folder).is_ok_and(|below| {
            below
                .iter()
                .any(|part| !is_source_name(&part.to_string_lossy()))
        })
    })
}

/// Returns the folder of a package's sources, given one of them: `src` beside its `Cargo.toml`, which may have other
/// packages below it.
fn folder_of_package(source: &Path) -> Option<PathBuf> {
    let package = source
        .ancestors()
        .skip(1)
        .find(|folder| folder.join("Cargo.toml").is_file())?;
    let first = source.strip_prefix(package).ok()?.iter().next()?;
    // What a build script has generated is below `target`, and changes with each build.
    if !is_source_name(&first.to_string_lossy()) {
        return None;
    }
    let folder = package.join(first);
    Some(if folder.is_dir() {
        folder
    } else {
        package.to_owned()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_a_build_or_an_editor_writes_is_no_source() {
        for name in [
            "lib.rs",
            "handler.py",
            "handler.ts",
            "Cargo.toml",
            "pyproject.toml",
            "package.json",
            "src",
            ".sdk",
            "table.json",
            "runbook.md",
            "2026",
            "uv.lock",
            "tests",
            "out",
        ] {
            assert!(is_source_name(name), "{name}");
        }
        for name in [
            "alert-manager.db",
            "alert-manager.db-wal",
            "alert-manager.db.cache",
            "a.wasm",
            "target",
            "node_modules",
            ".venv",
            "venv",
            "__pycache__",
            "handler.pyc",
            ".git",
            "Cargo.lock",
            ".handler.py.swp",
            "handler.py~",
            "4913",
            "#handler.py#",
            ".#handler.py",
            "handler.py___jb_tmp___",
            "test_handler.py",
            "handler.test.ts",
            "README.md",
            ".one.17.tmp",
        ] {
            assert!(!is_source_name(name), "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_once_and_what_cannot_be_read_is_left_out() {
        use std::os::unix::fs::symlink;
        let root = std::env::temp_dir().join(format!("handler-build-links-{}", std::process::id()));
        for folder in [
            "project/src",
            "project/target",
            "project/out",
            "shared/deep",
        ] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let root = fs::canonicalize(root).unwrap();
        let project = root.join("project");
        for file in [
            "project/src/a.py",
            "project/target/made.py",
            "project/out/data.json",
            "shared/deep/b.py",
            "single.py",
        ] {
            fs::write(root.join(file), "").unwrap();
        }
        for (to, link) in [
            (root.join("shared"), "linked"),
            (project.clone(), "src/circle"),
            (project.join("target"), "latest"),
            (root.join("single.py"), "c.py"),
            (root.join("nothing"), "broken.py"),
        ] {
            symlink(to, project.join(link)).unwrap();
        }
        let _socket = std::os::unix::net::UnixListener::bind(project.join("socket")).unwrap();
        let below = |walk: Walk| -> Vec<String> {
            let files = walk
                .files
                .iter()
                .map(|file| file.strip_prefix(&project).unwrap());
            files.map(|file| file.display().to_string()).collect()
        };
        assert_eq!(
            below(walk(std::slice::from_ref(&project))),
            ["c.py", "linked/deep/b.py", "out/data.json", "src/a.py"]
        );
        fs::write(project.join("tsconfig.json"), "{}").unwrap();
        assert_eq!(
            below(walk(std::slice::from_ref(&project))),
            ["c.py", "linked/deep/b.py", "src/a.py", "tsconfig.json"],
            "tsc writes to `out`"
        );
        fs::remove_dir_all(root).unwrap();
    }
}
