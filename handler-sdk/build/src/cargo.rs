//! Builds Rust projects by running cargo.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::publish::publish;
use crate::{Artifact, BuildError, Colour, Event, Options, Project, RUST_TARGET};

/// The profile's name, and the name of its folder below cargo's target directory.
const PROFILE: &str = "handler";

/// Settings for speed; the components are no larger for it, since unused inlined code of the SDK is dropped. They are set
/// on the command line because the workspace's own profiles belong to the host, which must not abort on a panic. Symbols
/// are kept, because a trap's backtrace has no names without them.
const PROFILE_SETTINGS: [&str; 7] = [
    "inherits=\"release\"",
    "panic=\"abort\"",
    "opt-level=3",
    "lto=true",
    "codegen-units=1",
    "debug=false",
    "strip=\"debuginfo\"",
];

/// A quarter of rustc's default stack in a guest's memory: that memory is cleared for every invocation, and even
/// untouched memory has to be examined. A project's own flags for the target replace this setting.
const STACK_BYTES: u32 = 256 << 10;

/// Variables that an outer cargo, or its user, sets for another target.
const FOREIGN_VARIABLES: [&str; 6] = [
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
    "RUSTC_WORKSPACE_WRAPPER",
];

/// How much of the end of cargo's output is kept for an error.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// Builds the projects of each workspace together; the results are in the order of `projects`.
pub(crate) fn build_all(
    projects: &[Project],
    options: &Options,
) -> Vec<Result<Artifact, BuildError>> {
    let mut results = Vec::new();
    let mut workspaces: Vec<(PathBuf, Vec<(usize, &Project)>)> = Vec::new();
    for (index, project) in projects.iter().enumerate() {
        match workspace_root(project, options) {
            Err(error) => results.push((index, Err(error))),
            Ok(root) => match workspaces.iter_mut().find(|(known, _)| *known == root) {
                Some((_, members)) => members.push((index, project)),
                None => workspaces.push((root, vec![(index, project)])),
            },
        }
    }
    for (root, members) in workspaces {
        results.extend(build_workspace(&root, &members, options));
    }
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Builds the projects of one workspace. If they do not compile together, builds each alone, so that an error is reported
/// with its project; what has been compiled is not compiled again.
fn build_workspace(
    root: &Path,
    members: &[(usize, &Project)],
    options: &Options,
) -> Vec<(usize, Result<Artifact, BuildError>)> {
    let projects: Vec<&Project> = members.iter().map(|(_, project)| *project).collect();
    let together = ensure_target(root, options).and_then(|()| compile(root, &projects, options));
    let result = |project: &Project| match &together {
        Ok(()) => take_component(root, project, options),
        Err(BuildError::Compile { .. }) if projects.len() > 1 => {
            compile(root, &[project], options).and_then(|()| take_component(root, project, options))
        }
        Err(error) => Err(error.clone()),
    };
    members
        .iter()
        .map(|(index, project)| (*index, result(project)))
        .collect()
}

/// Returns the workspace's root, as cargo reports it: its rules for `members`, `exclude` and parent folders are complex.
fn workspace_root(project: &Project, options: &Options) -> Result<PathBuf, BuildError> {
    let mut command = cargo(&project.dir, options);
    command.args(["locate-project", "--workspace", "--message-format", "plain"]);
    let (succeeded, output) = run_quietly(&mut command, &options.tools.cargo)?;
    let manifest = PathBuf::from(output.stdout.trim());
    match manifest.parent() {
        Some(root) if succeeded && manifest.is_absolute() => Ok(root.to_owned()),
        _ => Err(BuildError::Compile {
            project: project.name.clone(),
            output: output.stderr,
        }),
    }
}

fn compile(root: &Path, projects: &[&Project], options: &Options) -> Result<(), BuildError> {
    let names: Vec<&str> = projects
        .iter()
        .map(|project| project.name.as_str())
        .collect();
    (options.progress)(Event::Building { projects: &names });

    let mut command = cargo(root, options);
    command.args([
        "build",
        "--lib",
        "--target",
        RUST_TARGET,
        "--profile",
        PROFILE,
    ]);
    command.arg("--target-dir").arg(target_dir(root, options));
    for setting in PROFILE_SETTINGS {
        command
            .arg("--config")
            .arg(format!("profile.{PROFILE}.{setting}"));
    }
    let flags = rust_flags(cargo_home().as_deref());
    command
        .arg("--config")
        .arg(format!("build.rustflags={flags:?}"));
    for name in &names {
        command.args(["--package", name]);
    }
    command.args([
        "--color",
        match options.colour {
            Colour::Always => "always",
            Colour::Never => "never",
        },
    ]);
    if lockfile_covers(root, &names) {
        command.arg("--locked");
    }
    let (succeeded, output) = run_loudly(&mut command, options)?;
    if succeeded {
        return Ok(());
    }
    Err(BuildError::Compile {
        project: names.join(", "),
        output,
    })
}

/// Returns flags that remove the local paths from the messages of panics, so that builds are reproducible.
fn rust_flags(cargo_home: Option<&Path>) -> Vec<String> {
    let mut flags = vec![format!("-Clink-arg=-zstack-size={STACK_BYTES}")];
    if let Some(home) = cargo_home.and_then(Path::to_str) {
        flags.push(format!("--remap-path-prefix={home}=/cargo"));
    }
    flags
}

fn cargo_home() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    set("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(set("HOME")?).join(".cargo")))
}

fn take_component(
    root: &Path,
    project: &Project,
    options: &Options,
) -> Result<Artifact, BuildError> {
    let built = target_dir(root, options)
        .join(RUST_TARGET)
        .join(PROFILE)
        .join(format!("{}.wasm", project.library_stem));
    if !built.is_file() {
        return Err(BuildError::NoComponent {
            project: project.name.clone(),
            expected: built,
        });
    }
    let artifact = publish(&project.name, &built, options)?;
    (options.progress)(Event::Built(&artifact));
    Ok(artifact)
}

/// Installs the target if it is missing. A toolchain file that lists it is not enough if rustup's automatic installation
/// is off.
fn ensure_target(dir: &Path, options: &Options) -> Result<(), BuildError> {
    let tools = &options.tools;
    if target_is_installed(dir, options)? {
        return Ok(());
    }
    let shown = format!("rustup target add {RUST_TARGET}");
    (options.progress)(Event::InstallingTarget { command: &shown });
    let mut command = Command::new(&tools.rustup);
    command
        .current_dir(dir)
        .args(["target", "add", RUST_TARGET]);
    let missing = |why: String| BuildError::MissingTarget {
        command: format!("cd {} && {shown}", dir.display()),
        why,
    };
    match run_quietly(&mut command, &tools.rustup) {
        Ok((true, _)) if target_is_installed(dir, options)? => Ok(()),
        Ok((true, _)) => Err(missing(
            "rustup succeeded, but this rustc is not one of its toolchains".to_owned(),
        )),
        Ok((false, output)) => Err(missing(output.stderr.trim().to_owned())),
        Err(error) => Err(missing(error.to_string())),
    }
}

fn target_is_installed(dir: &Path, options: &Options) -> Result<bool, BuildError> {
    let mut command = Command::new(&options.tools.rustc);
    command
        .current_dir(dir)
        .args(["--print", "target-libdir", "--target", RUST_TARGET]);
    let (succeeded, output) = run_quietly(&mut command, &options.tools.rustc)?;
    Ok(succeeded && Path::new(output.stdout.trim()).is_dir())
}

/// Returns whether a lockfile has all projects; if not, cargo must be allowed to update it.
fn lockfile_covers(root: &Path, names: &[&str]) -> bool {
    let Ok(lockfile) = fs::read_to_string(root.join("Cargo.lock")) else {
        return false;
    };
    let locked = |name: &str| {
        lockfile
            .lines()
            .any(|line| line == format!("name = \"{name}\""))
    };
    names.iter().all(|name| locked(name))
}

fn target_dir(root: &Path, options: &Options) -> PathBuf {
    match &options.target_dir {
        // Cargo is run in the workspace's root, where a relative path would name another folder.
        Some(dir) => std::path::absolute(dir).unwrap_or_else(|_| dir.clone()),
        None => root.join("target").join("handlers"),
    }
}

fn cargo(dir: &Path, options: &Options) -> Command {
    let mut command = Command::new(&options.tools.cargo);
    command.current_dir(dir).stdin(Stdio::null());
    for variable in FOREIGN_VARIABLES {
        command.env_remove(variable);
    }
    command
}

struct Output {
    stdout: String,
    stderr: String,
}

fn run_quietly(command: &mut Command, program: &OsStr) -> Result<(bool, Output), BuildError> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(tool_error(program))?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((
        output.status.success(),
        Output {
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        },
    ))
}

/// Runs cargo and passes on each line immediately; returns whether it succeeded, and its output.
fn run_loudly(command: &mut Command, options: &Options) -> Result<(bool, String), BuildError> {
    let program = &options.tools.cargo;
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(tool_error(program))?;
    let mut output = String::new();
    if let Some(stderr) = child.stderr.take() {
        let mut lines = BufReader::new(stderr);
        let mut line = Vec::new();
        while lines
            .read_until(b'\n', &mut line)
            .map_err(tool_error(program))?
            > 0
        {
            let text = String::from_utf8_lossy(&line);
            (options.progress)(Event::Output(text.trim_end()));
            output.push_str(&text);
            line.clear();
        }
    }
    let status = child.wait().map_err(tool_error(program))?;
    let from = output.len().saturating_sub(OUTPUT_BYTES_MAX);
    let from = (from..=output.len())
        .find(|at| output.is_char_boundary(*at))
        .unwrap_or(0);
    Ok((status.success(), output[from..].trim_end().to_owned()))
}

fn tool_error(program: &OsStr) -> impl FnOnce(std::io::Error) -> BuildError {
    let program = program.to_string_lossy().into_owned();
    move |source| BuildError::Tool {
        program,
        source: std::sync::Arc::new(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_outer_build_set_does_not_reach_the_inner_one() {
        let command = cargo(Path::new("."), &Options::new("out"));
        let removed: Vec<&OsStr> = command
            .get_envs()
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| name)
            .collect();
        for name in [
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "RUSTC_WORKSPACE_WRAPPER",
        ] {
            assert!(removed.contains(&OsStr::new(name)), "{name}");
        }
    }
}
