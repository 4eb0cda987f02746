//! The errors of a build; each text says what to do.

use std::borrow::Cow;
use std::env;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Language;

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
    /// A manifest is wrong.
    Manifest {
        /// The file.
        path: PathBuf,
        /// The line, from 1, if it is known.
        line: Option<usize>,
        /// What is wrong, and what to write.
        problem: String,
    },
    /// Two projects have one name, and so one component.
    SameName {
        /// The name.
        name: String,
        /// The project that is built.
        first: PathBuf,
        /// The project that is not.
        second: PathBuf,
    },
    /// This machine lacks a program that the tools of a language need.
    Prerequisite {
        /// The language.
        language: Language,
        /// What is missing.
        problem: String,
        /// The commands that bring it.
        remedy: String,
    },
    /// The tools of a language are not here and could not be fetched.
    Fetch {
        /// The language.
        language: Language,
        /// The reason.
        why: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The folders of a project have more than [`FILES_MAX`](crate::FILES_MAX) files.
    TooManyFiles {
        /// The folders.
        folders: Vec<PathBuf>,
    },
    /// The lockfile does not cover the dependencies of the projects, and must not be updated.
    Lockfile {
        /// The file.
        lockfile: PathBuf,
        /// The command that updates it.
        remedy: String,
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
    /// Returns whether the project cannot be built on this machine as it is, whatever its source: tools are missing.
    #[must_use]
    pub fn is_about_tools(&self) -> bool {
        matches!(self, Self::Prerequisite { .. } | Self::Fetch { .. })
    }

    pub(crate) fn manifest(path: &Path, line: Option<usize>, problem: impl Into<String>) -> Self {
        Self::Manifest {
            path: path.to_owned(),
            line,
            problem: problem.into(),
        }
    }

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
                "`{program}` is not installed, or not in PATH{}",
                if is_of_rust(program) {
                    "; https://rustup.rs installs it"
                } else {
                    ""
                }
            ),
            Self::Tool { program, source } => write!(f, "`{program}` can't be started: {source}"),
            Self::MissingTarget { command, why } => write!(
                f,
                "this Rust can't build WebAssembly components yet, and installing that failed: {why}\nrun by hand: {command}"
            ),
            Self::Manifest {
                path,
                line: Some(line),
                problem,
            } => write!(f, "{}:{line}: {problem}", shown(path)),
            Self::Manifest { path, problem, .. } => write!(f, "{}: {problem}", shown(path)),
            Self::SameName {
                name,
                first,
                second,
            } => write!(
                f,
                "{}: its name, {name}, is that of {} too: give one of them another",
                shown(second),
                shown(first)
            ),
            Self::Prerequisite {
                language,
                problem,
                remedy,
            } => write!(
                f,
                "{language} handlers cannot be built here: {problem}\n{remedy}"
            ),
            Self::Fetch {
                language,
                why,
                remedy,
            } => write!(
                f,
                "the tools for {language} handlers are not here, and fetching them failed: {why}\n{remedy}"
            ),
            Self::TooManyFiles { folders } => {
                let folders: Vec<String> = folders.iter().map(|folder| shown(folder)).collect();
                write!(
                    f,
                    "more than {} files are below {}, and a build reads each: move what is no source out of there, or into a folder whose name begins with a dot",
                    crate::FILES_MAX,
                    folders.join(" and ")
                )
            }
            Self::Lockfile { lockfile, remedy } => write!(
                f,
                "{} does not cover the dependencies in Cargo.toml, and is not updated because of --locked or the variable CI\nRun this command and commit the lockfile: {remedy}",
                shown(lockfile)
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
            | Self::Manifest { .. }
            | Self::SameName { .. }
            | Self::Prerequisite { .. }
            | Self::Fetch { .. }
            | Self::TooManyFiles { .. }
            | Self::Lockfile { .. }
            | Self::Compile { .. }
            | Self::NoComponent { .. }
            | Self::Refused { .. } => None,
        }
    }
}

/// Returns whether rustup installs a program, given by name or path.
fn is_of_rust(program: &str) -> bool {
    let name = Path::new(program).file_stem().unwrap_or_default();
    ["cargo", "rustc", "rustup"]
        .iter()
        .any(|known| name == *known)
}

/// Returns a path as a person would type it: relative, if it is below the current folder.
pub(crate) fn shown(path: &Path) -> String {
    let current = env::current_dir().and_then(std::fs::canonicalize).ok();
    let below = current.and_then(|current| path.strip_prefix(current).ok());
    match below {
        Some(below) if below.as_os_str().is_empty() => ".".to_owned(),
        below => below.unwrap_or(path).display().to_string(),
    }
}

/// Quotes a path as one word of a shell command.
#[must_use]
pub fn shell_word(path: &Path) -> Cow<'_, str> {
    let text = path.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_a_command() {
        for (path, word) in [
            ("conf/am.yml", "conf/am.yml"),
            ("my conf/am.yml", "'my conf/am.yml'"),
            ("it's;rm", r"'it'\''s;rm'"),
        ] {
            assert_eq!(shell_word(Path::new(path)), word);
        }
    }
}
