//! The errors of a build; each text says what to do.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a project could not be built.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum BuildError {
    /// A program does not exist or cannot be started.
    Tool {
        /// The program's name.
        program: String,
        /// The error of the operating system.
        source: Arc<io::Error>,
    },
    /// The WebAssembly target is missing, and installing it failed.
    MissingTarget {
        /// The command that installs it.
        command: String,
        /// Why installing it failed.
        why: String,
    },
    /// The code does not compile, or cargo rejects the project.
    Compile {
        /// The project.
        project: String,
        /// The compiler's output.
        output: String,
    },
    /// The code compiled, but there is no component.
    NoComponent {
        /// The project.
        project: String,
        /// Where it was expected.
        expected: PathBuf,
    },
    /// A server would reject the component; no file was replaced.
    Refused {
        /// The project.
        project: String,
        /// The reason.
        why: String,
        /// The file that was kept; `None` if there was none.
        kept: Option<PathBuf>,
    },
    /// A file or folder cannot be read or written.
    Io {
        /// The action that failed.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
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
