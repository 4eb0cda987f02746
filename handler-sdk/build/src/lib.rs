//! Finds handler projects and builds them to WebAssembly components.
//!
//! Nothing but std: it is compiled before anything else can be built.
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

/// The target that a Rust handler is built for.
pub const RUST_TARGET: &str = "wasm32-wasip2";

/// Builds one project; the component is at [`Artifact::path`].
///
/// # Errors
/// Where the target or a tool is missing, the code does not compile, or the component can't be written.
pub fn build(project: &Project, options: &Options) -> Result<Artifact, BuildError> {
    let mut results = build_all(std::slice::from_ref(project), options);
    results.remove(0)
}

/// Builds several projects, those of one workspace together; the results are in the order of `projects`.
///
/// A project that does not compile leaves the others' components as good as they would be alone.
pub fn build_all(projects: &[Project], options: &Options) -> Vec<Result<Artifact, BuildError>> {
    cargo::build_all(projects, options)
}

/// See [`Options::check`].
pub type Check = Arc<dyn Fn(&str, &[u8]) -> Result<(), String> + Send + Sync>;

/// How to build.
#[derive(Clone)]
pub struct Options {
    /// Where components go, as `NAME.wasm`; made where it is missing.
    pub out_dir: PathBuf,
    /// Where cargo works. By default `target/handlers` below the workspace's root: a build that shared the
    /// outer build's directory would wait for its lock, and the outer build for this one.
    pub target_dir: Option<PathBuf>,
    /// Whether compiler messages are coloured.
    pub colour: Colour,
    /// The programs to run.
    pub tools: Tools,
    /// Judges a component before it is put in place, by the name of its file; the error says why it is of no use.
    pub check: Check,
    /// Told what happens, as it happens.
    pub progress: Arc<dyn Fn(Event<'_>) + Send + Sync>,
}

impl Options {
    /// Returns options that build to `out_dir`, without colour, and tell nobody.
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

/// The programs to run, by name or path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// Builds Rust.
    pub cargo: OsString,
    /// Tells whether the target is installed.
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

/// What happens during a build.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The target is missing; this command is run to install it.
    InstallingTarget {
        /// The command, as a person would type it.
        command: &'a str,
    },
    /// A build of these projects begins.
    Building {
        /// Their names.
        projects: &'a [&'a str],
    },
    /// A line that the compiler printed.
    Output(&'a str),
    /// A component is in its place.
    Built(&'a Artifact),
}

/// A component that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The project's name.
    pub name: String,
    /// The component's file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Whether it differs from the file that was there before.
    pub changed: bool,
}
