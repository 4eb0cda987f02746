//! The files that a project is built from.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use crate::project::Kind;
use crate::{Options, Project, rust};

/// The most files of a project that are looked at.
const FILES_MAX: usize = 20_000;

/// Folders that a build, a package manager or a test makes.
const MADE: [&str; 9] = [
    "target",
    "node_modules",
    "__pycache__",
    "venv",
    "site-packages",
    "dist",
    "out",
    "test",
    "tests",
];

/// The folder of the SDK that `new` writes: a source, though its name begins with a dot.
const SDK: &str = ".sdk";

/// Endings of files that are no source: components, compiled code, lockfiles, and what an editor keeps beside a file.
const NO_SOURCE: [&str; 13] = [
    ".wasm",
    ".pyc",
    ".lock",
    "~",
    ".swp",
    ".swx",
    ".tmp",
    ".bak",
    ".orig",
    "#",
    ".md",
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
}

/// What changes of a file when it is written, even if its content and its time stay the same.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    bytes: u64,
    modified: Option<std::time::SystemTime>,
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
    // vim creates files of this kind to find out whether it may.
    let is_a_trial = name.bytes().all(|b| b.is_ascii_digit());
    let is_of_an_editor = name.starts_with('.') || name.starts_with('#') || name.contains("___jb_");
    let is_no_source = NO_SOURCE.iter().any(|ending| name.ends_with(ending));
    let is_test = name.starts_with("test_") && name.ends_with(".py") || name == "conftest.py";
    !(is_a_trial || is_of_an_editor || is_no_source || is_test || MADE.contains(&name))
}

/// What there is below some folders, sorted.
#[derive(Debug, Default)]
pub struct Walk {
    /// The source files.
    pub files: Vec<PathBuf>,
    /// The folders that may have some, the given ones among them.
    pub folders: Vec<PathBuf>,
}

/// Returns the source files below the folders.
#[must_use]
pub fn walk(folders: &[PathBuf]) -> Walk {
    let mut walk = Walk::default();
    let mut open = folders.to_vec();
    while let Some(folder) = open.pop() {
        // A folder that disappears meanwhile has no sources.
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if !is_source_name(&name.to_string_lossy()) {
                continue;
            }
            // A link to a folder is not followed, since it may lead in a circle.
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                Ok(_) if walk.files.len() < FILES_MAX => walk.files.push(entry.path()),
                _ => {}
            }
        }
        walk.folders.push(folder);
    }
    walk.files.sort();
    walk.folders.sort();
    walk
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
        ] {
            assert!(is_source_name(name), "{name}");
        }
        for name in [
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
}
