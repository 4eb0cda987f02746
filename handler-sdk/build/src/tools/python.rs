//! Python's tools: componentize-py in a virtual environment.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Toolset;
use crate::{BuildError, Language, Options, run};

/// The tool in its version, with the digest of each of its builds.
const REQUIREMENTS: &str = include_str!("../../tools/requirements.txt");

/// The oldest Python that the SDK supports.
const OLDEST: (u32, u32) = (3, 10);

/// The Python that componentize-py puts into a component: packages are chosen for it.
pub(crate) const EMBEDDED: &str = "3.14";

const REMEDY: &str =
    "On Debian and Ubuntu: apt install python3 python3-venv\nOn macOS: brew install python";

/// The interpreter and the tool within the virtual environment.
const PYTHON: &str = "bin/python";
const COMPONENTIZE: &str = "bin/componentize-py";

/// Where the tools are.
pub(crate) struct PythonTools {
    /// The interpreter of the virtual environment.
    pub(crate) python: PathBuf,
    /// componentize-py
    pub(crate) componentize: PathBuf,
    /// The tool and its version.
    pub(crate) version: &'static str,
}

/// Finds the tools; fetches them if they are not here.
pub(crate) fn provide(options: &Options) -> Result<PythonTools, BuildError> {
    let (major, minor) = interpreter(options)?;
    let version = requirement();
    let toolset = Toolset {
        language: Language::Python,
        folder: format!("python{major}.{minor}-{}", version.replace("==", "-")),
        content: version.replace("==", " "),
        needed: &[PYTHON, COMPONENTIZE],
    };
    let folder = super::provide(
        &toolset,
        options,
        |folder| install(folder, options),
        |folder| vec![Command::new(folder.join(COMPONENTIZE))],
    )?;
    Ok(PythonTools {
        python: folder.join(PYTHON),
        componentize: folder.join(COMPONENTIZE),
        version,
    })
}

/// Returns the pinned tool, as `NAME==VERSION`.
fn requirement() -> &'static str {
    let first = REQUIREMENTS.split_whitespace().next();
    first.unwrap_or_default()
}

fn missing(problem: String) -> BuildError {
    BuildError::Prerequisite {
        language: Language::Python,
        problem,
        remedy: REMEDY.to_owned(),
    }
}

/// Returns the version of the interpreter, which can make virtual environments.
fn interpreter(options: &Options) -> Result<(u32, u32), BuildError> {
    let program = options.tools.python.to_string_lossy();
    let mut command = Command::new(&options.tools.python);
    // Without -I, a module of the working folder would be taken for one of Python's own.
    command.args([
        "-I",
        "-c",
        "import platform; print(platform.python_version()); import venv, ensurepip",
    ]);
    let output = match run::quietly(&mut command) {
        Ok(output) => output,
        Err(BuildError::Tool { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Err(missing(format!(
                "`{program}` is not installed, or not in PATH"
            )));
        }
        Err(error) => return Err(error),
    };
    let version = super::numbers(&output.stdout).ok_or_else(|| {
        missing(format!(
            "`{program}` cannot be run: {}",
            super::reason(&output)
        ))
    })?;
    if version < OLDEST {
        return Err(missing(format!(
            "`{program}` is Python {}.{}, and {}.{} is the oldest that will do",
            version.0, version.1, OLDEST.0, OLDEST.1
        )));
    }
    if !output.succeeded {
        return Err(missing(format!(
            "`{program}` has no module `venv` or no `ensurepip`, so it cannot make a virtual environment"
        )));
    }
    Ok(version)
}

fn install(folder: &Path, options: &Options) -> Result<(), BuildError> {
    let mut venv = Command::new(&options.tools.python);
    venv.args(["-I", "-m", "venv"]).arg(folder);
    let made = run::quietly(&mut venv)?;
    if !made.succeeded {
        return Err(missing(super::reason(&made)));
    }
    let requirements = folder.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).map_err(BuildError::io("writing", &requirements))?;
    let mut pip = pip(&folder.join(PYTHON));
    pip.args(["--require-hashes", "--no-deps", "--requirement"])
        .arg(&requirements);
    super::fetch(Language::Python, &mut pip, options)
}

/// Returns `pip install`, which takes built packages alone, so that nothing of theirs is run, and asks nothing.
pub(crate) fn pip(python: &Path) -> Command {
    let mut command = Command::new(python);
    command
        .args(["-I", "-m", "pip", "install", "--only-binary", ":all:"])
        .args([
            "--no-input",
            "--disable-pip-version-check",
            "--retries",
            "2",
        ])
        // Set for an environment of the author's, which is not this one.
        .env_remove("PIP_TARGET")
        .env_remove("PIP_PREFIX")
        .env_remove("PIP_USER");
    command
}
