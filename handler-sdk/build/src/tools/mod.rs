//! The tools of Python and TypeScript: fetched once into a folder of this user, and used from there.
//!
//! Their versions are those of `tools/requirements.txt` and `tools/package-lock.json`, which pip and npm compare with the
//! digest of what they fetch.

pub(crate) mod node;
pub(crate) mod python;

use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{self, Output};
use crate::{BuildError, Event, Language, Options};

/// The file that is written last: a folder without it is that of an installation that was cut off.
const FINISHED: &str = "finished";

/// What to do if a registry cannot be reached.
const NO_REGISTRY: &str = "A network is needed once: the tools stay in the folder that ALERT_MANAGER_TOOLS names, ~/.cache/alert-manager/tools by default.\nA mirror of the registry is used if pip's or npm's own settings name one. Without a network, copy that folder from a machine of the same kind.";

/// The tools of one language, in one version.
struct Toolset {
    language: Language,
    /// The name of the folder: what is in it, and for which interpreter.
    folder: String,
    /// What is fetched, for people.
    content: String,
}

/// Returns the folder with a toolset. Installs it if it is missing, or if its installation was cut off; another process
/// that installs it is waited for.
fn provide(
    toolset: &Toolset,
    options: &Options,
    install: impl FnOnce(&Path) -> Result<(), BuildError>,
) -> Result<PathBuf, BuildError> {
    let tools = folder_of_tools(options, toolset.language)?;
    let folder = tools.join(&toolset.folder);
    if folder.join(FINISHED).is_file() {
        return Ok(folder);
    }
    if options.is_offline {
        return Err(BuildError::Fetch {
            language: toolset.language,
            why: "not tried, because of --offline".to_owned(),
            remedy: NO_REGISTRY,
        });
    }
    make_private(&tools)?;
    let lock = tools.join(format!("{}.lock", toolset.folder));
    let held = File::create(&lock).map_err(BuildError::io("making the file", &lock))?;
    match held.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            (options.progress)(Event::WaitingForTools {
                language: toolset.language,
            });
            held.lock().map_err(BuildError::io("locking", &lock))?;
        }
        Err(TryLockError::Error(error)) => return Err(BuildError::io("locking", &lock)(error)),
    }
    if folder.join(FINISHED).is_file() {
        return Ok(folder);
    }
    (options.progress)(Event::FetchingTools {
        language: toolset.language,
        content: &toolset.content,
        folder: &folder,
    });
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(BuildError::io("removing", &folder))?;
    }
    install(&folder)?;
    let finished = folder.join(FINISHED);
    fs::write(&finished, &toolset.content).map_err(BuildError::io("writing", finished))?;
    Ok(folder)
}

/// Runs a package manager; what it prints is passed on.
fn fetch(language: Language, command: &mut Command, options: &Options) -> Result<(), BuildError> {
    let output = run::loudly(command, options)?;
    if output.succeeded {
        return Ok(());
    }
    Err(BuildError::Fetch {
        language,
        why: reason(&output),
        remedy: NO_REGISTRY,
    })
}

/// Returns the lines in which a package manager says why it failed.
pub(crate) fn reason(output: &Output) -> String {
    const LINES_MAX: usize = 4;
    let printed = output.both();
    let mut errors: Vec<&str> = printed
        .lines()
        .filter(|line| {
            let line = line.to_ascii_lowercase();
            line.starts_with("error")
                || line.starts_with("npm error")
                || line.starts_with("npm err")
        })
        .collect();
    errors.dedup();
    if errors.is_empty() {
        errors = printed.lines().rev().take(LINES_MAX).collect();
        errors.reverse();
    }
    errors.truncate(LINES_MAX);
    errors.join("\n")
}

fn folder_of_tools(options: &Options, language: Language) -> Result<PathBuf, BuildError> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    let folder = options
        .tools
        .folder
        .clone()
        .or_else(|| set("ALERT_MANAGER_TOOLS").map(PathBuf::from))
        .or_else(|| Some(PathBuf::from(set("XDG_CACHE_HOME")?).join("alert-manager/tools")))
        .or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache/alert-manager/tools")));
    match folder {
        // Tools are run in other folders, where a relative path would name another one.
        Some(folder) => std::path::absolute(&folder).map_err(BuildError::io("resolving", folder)),
        None => Err(BuildError::Prerequisite {
            language,
            problem: "there is no folder for its tools, since HOME is not set".to_owned(),
            remedy: "Set ALERT_MANAGER_TOOLS to a folder of yours.".to_owned(),
        }),
    }
}

/// Makes the folder for this user alone, since the programs in it are run.
fn make_private(folder: &Path) -> Result<(), BuildError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let made = builder.create(folder);
    made.map_err(BuildError::io("making the folder", folder))
}

/// Returns a version's numbers: `v20.20.2` or `3.11.7`.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim().trim_start_matches('v').split('.');
    let mut next = || parts.next()?.parse().ok();
    Some((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_errors_of_a_package_manager_are_taken_from_its_output() {
        let output = |stderr: &str| Output {
            succeeded: false,
            stdout: "Looking in links: /x\nCollecting y".to_owned(),
            stderr: stderr.to_owned(),
        };
        let pip = "WARNING: Retrying\nERROR: Could not find a version\nERROR: No matching distribution found for y";
        assert_eq!(
            reason(&output(pip)),
            "ERROR: Could not find a version\nERROR: No matching distribution found for y"
        );
        assert_eq!(
            reason(&output("killed")),
            "Looking in links: /x\nCollecting y\nkilled"
        );
    }

    #[test]
    fn versions_are_read_as_node_and_python_print_them() {
        assert_eq!(numbers("v20.20.2\n"), Some((20, 20)));
        assert_eq!(numbers("3.11.7"), Some((3, 11)));
        assert_eq!(numbers("unknown"), None);
    }
}
