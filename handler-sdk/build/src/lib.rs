//! Finds handler projects and builds them to WebAssembly components.
//!
//! It depends only on std, because it is compiled before everything else.
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

mod cargo;
mod error;
mod manifest;
mod project;
mod publish;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

pub use error::BuildError;
pub use project::{Found, Language, Project, discover};

/// The compilation target of Rust handlers.
pub const RUST_TARGET: &str = "wasm32-wasip2";

/// Builds one project; the component is at [`Artifact::path`].
///
/// # Errors
/// Returns an error if the target or a tool is missing, the code does not compile, or the component cannot be written.
pub fn build(project: &Project, options: &Options) -> Result<Artifact, BuildError> {
    let mut results = build_all(std::slice::from_ref(project), options);
    results.remove(0)
}

/// Builds several projects, those of one workspace together; the results are in the order of `projects`.
///
/// A project that does not compile does not affect the components of the others.
pub fn build_all(projects: &[Project], options: &Options) -> Vec<Result<Artifact, BuildError>> {
    cargo::build_all(projects, options)
}

/// See [`Options::check`].
pub type Check = Arc<dyn Fn(&str, &[u8]) -> Result<(), String> + Send + Sync>;

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
    /// Checks a component before it is published, given its file name; an error says why a server would reject it.
    pub check: Check,
    /// Called with each event of the build.
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
            check: Arc::new(|_, _| Ok(())),
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
}

impl Default for Tools {
    fn default() -> Self {
        Self {
            cargo: "cargo".into(),
            rustc: "rustc".into(),
            rustup: "rustup".into(),
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
    /// A build of these projects begins.
    Building {
        /// Their names.
        projects: &'a [&'a str],
    },
    /// A line of the compiler's output.
    Output(&'a str),
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
}
