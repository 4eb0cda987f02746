//! The packages that a Python project depends on, brought by pip into the build folder.

use std::fs;
use std::path::{Path, PathBuf};

use crate::project::PythonProject;
use crate::tools::python::{EMBEDDED, PythonTools, pip};
use crate::tools::reason;
use crate::{BuildError, Options, Project, run};

/// The file that has the requirements of what was brought, written last.
const BROUGHT: &str = "brought";

/// Endings of compiled code, which a component cannot have.
const NATIVE: [&str; 4] = [".so", ".pyd", ".dylib", ".dll"];

/// Returns the folder with the packages that the project depends on; `None` if there are none but the SDK.
pub(super) fn provide(
    project: &Project,
    python: &PythonProject,
    sdk: &Path,
    tools: &PythonTools,
    options: &Options,
) -> Result<Option<PathBuf>, BuildError> {
    let sdk_has = |requirement: &str| {
        let package = name_of(requirement);
        sdk.join(package.replace('-', "_")).is_dir()
    };
    let wanted: Vec<&str> = python
        .requirements
        .iter()
        .map(String::as_str)
        .filter(|requirement| !sdk_has(requirement))
        .collect();
    if wanted.is_empty() {
        return Ok(None);
    }
    let folder = project.build_dir().join("packages");
    let brought = folder.join(BROUGHT);
    let list = wanted.join("\n");
    if fs::read_to_string(&brought).is_ok_and(|before| before == list) {
        return Ok(Some(folder));
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(BuildError::io("removing", &folder))?;
    }
    let failed = |problem: String| {
        let manifest = project.dir.join("pyproject.toml");
        BuildError::manifest(&manifest, None, problem)
    };
    if options.is_offline {
        return Err(failed(format!(
            "`dependencies` must be fetched, which --offline forbids: {}",
            wanted.join(", ")
        )));
    }
    let mut command = pip(&tools.python);
    command
        .args(["--python-version", EMBEDDED, "--no-compile", "--target"])
        .arg(&folder)
        .arg("--")
        .args(&wanted);
    let output = run::loudly(&mut command, options)?;
    if !output.succeeded {
        let reason = reason(&output);
        // So pip says that a package has wheels, but none that fits, too.
        let hint = match reason.contains("No matching distribution") {
            true => {
                "; a component needs a wheel that is pure Python (its name ends in none-any.whl): compiled code does not run in it"
            }
            false => "",
        };
        return Err(failed(format!(
            "pip cannot bring `dependencies` for Python {EMBEDDED}: {reason}{hint}"
        )));
    }
    if let Some(package) = with_native_code(&folder) {
        return Err(failed(format!(
            "the package {package} has code that is compiled for a processor, which a component cannot have: use one that is pure Python"
        )));
    }
    fs::write(&brought, list).map_err(BuildError::io("writing", brought))?;
    Ok(Some(folder))
}

/// Returns the package's name in a requirement, as it is compared: `Some.Name[extra] >= 1` is `some-name`.
fn name_of(requirement: &str) -> String {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let name: String = requirement
        .trim()
        .chars()
        .take_while(|c| is_of_name(*c))
        .collect();
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// Returns the first package that has native code, by the list of files that each brings.
fn with_native_code(folder: &Path) -> Option<String> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let mut packages: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    packages.sort();
    packages.into_iter().find_map(|package| {
        let name = package
            .file_name()?
            .to_str()?
            .strip_suffix(".dist-info")?
            .to_owned();
        let record = fs::read_to_string(package.join("RECORD")).ok()?;
        let has_native_code = record.lines().any(|line| {
            let file = line.split(',').next().unwrap_or_default();
            NATIVE.iter().any(|ending| file.ends_with(ending))
        });
        has_native_code.then(|| name.replacen('-', " ", 1))
    })
}

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn the_name_of_a_requirement_is_compared_in_one_spelling() {
        for (requirement, name) in [
            ("handler_sdk", "handler-sdk"),
            ("Some.Name[extra] >= 1", "some-name"),
            ("yaml==6; python_version > '3'", "yaml"),
            (" six ", "six"),
        ] {
            assert_eq!(name_of(requirement), name);
        }
    }
}
