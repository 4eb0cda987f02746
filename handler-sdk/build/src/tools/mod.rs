//! The tools of Python and TypeScript: fetched once into a folder of this user, and used from there.
//!
//! Their versions are those of `tools/requirements.txt` and `tools/package-lock.json`, which pip and npm compare with the
//! digest of what they fetch.

pub(crate) mod node;
pub(crate) mod python;

use std::env;
use std::fs::{self, File, TryLockError};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{self, Output};
use crate::{BuildError, Event, Language, Options};

/// The file that is written last: a folder without it is that of an installation that was cut off.
const FINISHED: &str = "finished";

/// What to do if a registry cannot be reached.
const NO_REGISTRY: &str = "A network is needed once: the tools stay in the folder that ALERT_MANAGER_TOOLS names, ~/.cache/alert-manager/tools by default.\nA mirror of the registry is used if pip's or npm's own settings name one. Without a network, copy that folder from a machine of the same kind, to the same path: what is in it names it.";

/// What to do if a tool was fetched and does not run.
const NO_USE: &str = "A setting of pip or npm may leave a part of it out, or there is no build of it for this machine. Look at the output above and at `npm config ls` or `pip config list`, and build again: it is fetched anew.";

/// The tools of one language, in one version.
struct Toolset {
    language: Language,
    /// The name of the folder: what is in it, and for which interpreter.
    folder: String,
    /// What is fetched, for people.
    content: String,
    /// The files within the folder without which it is of no use.
    needed: &'static [&'static str],
}

impl Toolset {
    /// Returns whether the folder has the toolset. An interpreter may be gone that a virtual environment links to, or that a
    /// script names by its path, because the folder was moved.
    fn is_in(&self, folder: &Path) -> bool {
        let is_usable = |file: &&str| {
            let file = folder.join(file);
            file.is_file() && has_its_interpreter(&file)
        };
        folder.join(FINISHED).is_file() && self.needed.iter().all(is_usable)
    }
}

/// Returns whether the interpreter is there that the first line of a script names; true for what is no script.
fn has_its_interpreter(file: &Path) -> bool {
    let mut line = Vec::new();
    let read = File::open(file).and_then(|file| {
        let mut beginning = BufReader::new(file.take(INTERPRETER_BYTES_MAX));
        beginning.read_until(b'\n', &mut line)
    });
    let line = String::from_utf8_lossy(&line);
    let named = line
        .strip_prefix("#!")
        .and_then(|line| line.split_whitespace().next());
    read.is_ok() && named.is_none_or(|interpreter| Path::new(interpreter).is_file())
}

/// How much of a script is read for the name of its interpreter; Linux itself reads less.
const INTERPRETER_BYTES_MAX: u64 = 1024;

/// Returns the folder with a toolset. Installs it if it is missing or incomplete, or if its installation was cut off; another
/// process that installs it is waited for. `tools_of` returns a command for each of its tools.
fn provide(
    toolset: &Toolset,
    options: &Options,
    install: impl FnOnce(&Path) -> Result<(), BuildError>,
    tools_of: impl FnOnce(&Path) -> Vec<Command>,
) -> Result<PathBuf, BuildError> {
    let tools = folder_of_tools(options, toolset.language)?;
    let folder = tools.join(&toolset.folder);
    for place in [&tools, &folder] {
        check_private(place, toolset.language)?;
    }
    if toolset.is_in(&folder) {
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
    if toolset.is_in(&folder) {
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
    make_private(&folder)?;
    install(&folder)?;
    for mut tool in tools_of(&folder) {
        check_runs(&mut tool, toolset.language)?;
    }
    let finished = folder.join(FINISHED);
    fs::write(&finished, &toolset.content).map_err(BuildError::io("writing", finished))?;
    Ok(folder)
}

/// Runs a tool to find out whether it is complete and made for this machine.
fn check_runs(tool: &mut Command, language: Language) -> Result<(), BuildError> {
    let why = match run::quietly(tool.arg("--help")) {
        Ok(output) if output.succeeded => return Ok(()),
        Ok(output) => reason(&output),
        Err(error) => error.to_string(),
    };
    let shown: Vec<_> = [tool.get_program()]
        .into_iter()
        .chain(tool.get_args())
        .map(|part| part.to_string_lossy())
        .collect();
    Err(BuildError::Fetch {
        language,
        why: format!("`{}` does not run: {why}", shown.join(" ")),
        remedy: NO_USE,
    })
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

/// Checks that nobody else can write to a folder whose programs are run, if it exists.
#[cfg(unix)]
fn check_private(folder: &Path, language: Language) -> Result<(), BuildError> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = match fs::metadata(folder) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(BuildError::io("looking at", folder)(error)),
    };
    let place = folder.display();
    let mode = metadata.mode() & 0o7777;
    let (problem, remedy) = if metadata.uid() != rustix::process::geteuid().as_raw() {
        (
            "belongs to another user".to_owned(),
            "Set ALERT_MANAGER_TOOLS to a folder of yours.".to_owned(),
        )
    } else if mode & 0o022 != 0 {
        (
            format!("can be written to by others (mode {mode:o})"),
            format!(
                "If they have not changed it: chmod go-w {place}\nIf they may have: remove it, and it is fetched again."
            ),
        )
    } else {
        return Ok(());
    };
    Err(BuildError::Prerequisite {
        language,
        problem: format!(
            "the folder for its tools, {place}, {problem}, and the programs in it are run"
        ),
        remedy,
    })
}

#[cfg(not(unix))]
fn check_private(_folder: &Path, _language: Language) -> Result<(), BuildError> {
    Ok(())
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
