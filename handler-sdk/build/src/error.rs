//! Why a project could not be built, in words that say what to do.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a project could not be built.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum BuildError {
    /// A program is not there, or can't be started.
    Tool {
        /// Its name.
        program: String,
        /// Why.
        source: Arc<io::Error>,
    },
    /// The compiler can't build for WebAssembly, and the attempt to install that failed.
    MissingTarget {
        /// The command to run by hand.
        command: String,
        /// What went wrong when it was run.
        why: String,
    },
    /// The compiler refuses the code, or cargo the project.
    Compile {
        /// The project.
        project: String,
        /// What was printed.
        output: String,
    },
    /// Everything compiled, but there is no component.
    NoComponent {
        /// The project.
        project: String,
        /// Where it was expected.
        expected: PathBuf,
    },
    /// The component would be refused by a server; nothing is replaced.
    Refused {
        /// The project.
        project: String,
        /// Why.
        why: String,
        /// The file that stays as it was; absent if there is none.
        kept: Option<PathBuf>,
    },
    /// A file or folder can't be read or written.
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        source: Arc<io::Error>,
    },
}

impl BuildError {
    pub(crate) fn io(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            doing,
            path,
            source: Arc::new(source),
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tool { program, source } if source.kind() == io::ErrorKind::NotFound => write!(
                f,
                "`{program}` is not installed, or not in PATH; https://rustup.rs installs it"
            ),
            Self::Tool { program, source } => write!(f, "`{program}` can't be started: {source}"),
            Self::MissingTarget { command, why } => write!(
                f,
                "this Rust can't build WebAssembly components yet, and installing that failed: {why}\nrun by hand: {command}"
            ),
            Self::Compile { project, output } => write!(f, "{project} does not build\n{output}"),
            Self::NoComponent { project, expected } => write!(
                f,
                "{project} was built, but left no component at {}; does another `[lib]` name or cargo setting move it?",
                expected.display()
            ),
            Self::Refused { project, why, kept } => {
                writeln!(
                    f,
                    "{project} was built, but a server would refuse it: {why}"
                )?;
                match kept {
                    Some(path) => write!(f, "{} stays as it was", path.display()),
                    None => write!(f, "nothing was put in place"),
                }
            }
            Self::Io {
                doing,
                path,
                source,
            } => write!(f, "{doing} {}: {source}", path.display()),
        }
    }
}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Tool { source, .. } | Self::Io { source, .. } => Some(source.as_ref()),
            Self::MissingTarget { .. }
            | Self::Compile { .. }
            | Self::NoComponent { .. }
            | Self::Refused { .. } => None,
        }
    }
}
