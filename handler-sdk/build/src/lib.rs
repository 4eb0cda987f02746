//! Finds handler projects and builds them to WebAssembly components.
//!
//! ```no_run
//! use handler_build::{Options, build_all, discover};
//!
//! let found = discover("handlers".as_ref())?;
//! for result in build_all(&found.projects, &Options::new("handlers")) {
//!     let artifact = result?;
//!     println!("{} ({} bytes)", artifact.path.display(), artifact.bytes);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![warn(missing_docs)]

mod contract;
mod error;
mod freshness;
mod language;
mod platform;
mod project;
mod publish;
mod python;
mod run;
mod rust;
mod sources;
mod text;
mod tools;
mod typescript;

use std::ffi::OsString;
use std::fmt;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

pub use error::{BuildError, shell_word};
pub use language::Language;
pub use project::{Found, Project, discover, is_project};
pub use sources::{Snapshot, Walk, is_source_name, walk};

use project::Kind;

/// The compilation target of Rust handlers.
pub const RUST_TARGET: &str = "wasm32-wasip2";

/// The most files of a project that are looked at.
pub const FILES_MAX: usize = 20_000;

/// Builds one project; the component is at [`Artifact::path`].
///
/// # Errors
/// Returns an error if the target or a tool is missing, the code does not compile, or the component cannot be written.
pub fn build(project: &Project, options: &Options) -> Result<Artifact, BuildError> {
    let mut results = build_all(std::slice::from_ref(project), options);
    results.remove(0)
}

/// Builds several projects: first those in Rust, the ones of a workspace together, then the others, as many at a time as
/// there are processors. The results are in the order of `projects`.
///
/// A project that does not compile does not affect the components of the others.
pub fn build_all(projects: &[Project], options: &Options) -> Vec<Result<Artifact, BuildError>> {
    let (mut rust, mut others) = (Vec::new(), Vec::new());
    for (index, project) in projects.iter().enumerate() {
        match &project.kind {
            Kind::Rust(kind) => rust.push((index, (project, kind))),
            Kind::Python(_) | Kind::TypeScript(_) => others.push((index, project)),
        }
    }
    let members: Vec<_> = rust.iter().map(|(_, member)| *member).collect();
    for (project, kind) in &members {
        for text in platform::notes(project, kind) {
            (options.progress)(Event::Note { text: &text });
        }
    }
    let built = rust::build_all(&members, options);
    let mut results: Vec<_> = rust.iter().map(|(index, _)| *index).zip(built).collect();
    results.extend(build_others(&others, options));
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Builds projects that no build of another one has a part in.
fn build_others(
    projects: &[(usize, &Project)],
    options: &Options,
) -> Vec<(usize, Result<Artifact, BuildError>)> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((index, project)) = projects.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = match &project.kind {
                Kind::Rust(_) => continue,
                Kind::Python(python) => python::build(project, python, options),
                Kind::TypeScript(typescript) => typescript::build(project, typescript, options),
            };
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            results.push((*index, result));
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads.min(projects.len()) {
            scope.spawn(work);
        }
        work();
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// See [`Options::check`].
pub type Check = Arc<dyn Fn(&str, &[u8]) -> Result<Option<Summary>, String> + Send + Sync>;

/// The settings of a build.
#[derive(Clone)]
pub struct Options {
    /// The folder for components, as `NAME.wasm`; created if missing.
    pub out_dir: PathBuf,
    /// Cargo's target directory. By default `target/handlers` below the workspace's root: if it shared the directory of an
    /// outer build, each would wait for the other's lock.
    pub target_dir: Option<PathBuf>,
    /// Whether compiler messages are coloured.
    pub colour: Colour,
    /// The programs to run.
    pub tools: Tools,
    /// Nothing is fetched: neither tools nor packages.
    pub is_offline: bool,
    /// A `Cargo.lock` that is there and does not cover a project's dependencies is an error, instead of being updated.
    pub is_locked: bool,
    /// Checks a component before it is published, given its file name; an error says why a server would reject it.
    pub check: Check,
    /// Called with each event of the build, from any thread.
    pub progress: Arc<dyn Fn(Event<'_>) + Send + Sync>,
}

impl Options {
    /// Returns options that build to `out_dir`, without colour and without a progress callback.
    pub fn new(out_dir: impl Into<PathBuf>) -> Self {
        Self {
            out_dir: out_dir.into(),
            target_dir: None,
            colour: Colour::Never,
            tools: Tools::default(),
            is_offline: false,
            is_locked: false,
            check: Arc::new(|_, _| Ok(None)),
            progress: Arc::new(|_| {}),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("out_dir", &self.out_dir)
            .field("target_dir", &self.target_dir)
            .field("colour", &self.colour)
            .field("tools", &self.tools)
            .field("is_offline", &self.is_offline)
            .field("is_locked", &self.is_locked)
            .finish_non_exhaustive()
    }
}

/// Whether compiler messages are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// For a terminal.
    Always,
    /// For anything else.
    Never,
}

/// The programs that are run, by name or path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// Builds Rust.
    pub cargo: OsString,
    /// Finds out whether the target is installed.
    pub rustc: OsString,
    /// Installs the target.
    pub rustup: OsString,
    /// Runs the tools of Python, in a virtual environment that it makes.
    pub python: OsString,
    /// Runs the tools of TypeScript.
    pub node: OsString,
    /// Installs the tools of TypeScript.
    pub npm: OsString,
    /// The folder for fetched tools; by default the one that `ALERT_MANAGER_TOOLS` names, or else one in the user's cache.
    pub folder: Option<PathBuf>,
}

impl Default for Tools {
    fn default() -> Self {
        Self {
            cargo: "cargo".into(),
            rustc: "rustc".into(),
            rustup: "rustup".into(),
            python: "python3".into(),
            node: "node".into(),
            npm: "npm".into(),
            folder: None,
        }
    }
}

/// An event of a build.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The target is missing; this command installs it.
    InstallingTarget {
        /// The command, as a person would type it.
        command: &'a str,
    },
    /// The tools of a language are missing; they are fetched now.
    FetchingTools {
        /// The language.
        language: Language,
        /// Their names and versions.
        content: &'a str,
        /// The folder that they are put into.
        folder: &'a Path,
    },
    /// Another process fetches the tools of a language; this one waits for it.
    WaitingForTools {
        /// The language.
        language: Language,
    },
    /// A build of these projects begins.
    Building {
        /// Their names.
        projects: &'a [&'a str],
    },
    /// The lockfile does not cover the dependencies; cargo updates it.
    UpdatingLockfile {
        /// The file.
        lockfile: &'a Path,
    },
    /// A line of a tool's output.
    Output(&'a str),
    /// The source has what compiles and is probably not meant.
    Note {
        /// The place, what is wrong with it, and what to write.
        text: &'a str,
    },
    /// A component was published.
    Built(&'a Artifact),
}

/// A component that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The project's name.
    pub name: String,
    /// The component's file.
    pub path: PathBuf,
    /// The component's size.
    pub bytes: u64,
    /// Whether it differs from the previous file.
    pub changed: bool,
    /// What [`Options::check`] found out about it.
    pub summary: Option<Summary>,
}

/// What a component is, as it describes itself and as it was examined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The handler's name.
    pub handler: String,
    /// The handler's version.
    pub version: String,
    /// The alertnames that it serves by default.
    pub alerts: Vec<String>,
    /// The interfaces of the contract that it imports.
    pub imports: Vec<String>,
    /// The component's SHA-256, in hexadecimal digits.
    pub sha256: String,
}
