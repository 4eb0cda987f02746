//! Builds Rust projects by running cargo.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use crate::error::{shell_word, shown};
use crate::project::RustProject;
use crate::publish::publish;
use crate::text::text_of;
use crate::{Artifact, BuildError, Colour, Event, Options, Project, RUST_TARGET, run};

/// A project with what its manifest says of it.
pub(crate) type Member<'a> = (&'a Project, &'a RustProject);

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

/// Builds the projects of each workspace together; the results are in the order of `projects`.
pub(crate) fn build_all(
    projects: &[Member<'_>],
    options: &Options,
) -> Vec<Result<Artifact, BuildError>> {
    let mut results = Vec::new();
    let mut workspaces: Vec<(PathBuf, Vec<(usize, Member<'_>)>)> = Vec::new();
    for (index, member) in projects.iter().copied().enumerate() {
        match workspace_root(member.0, options) {
            Err(error) => results.push((index, Err(error))),
            Ok(root) => match workspaces.iter_mut().find(|(known, _)| *known == root) {
                Some((_, members)) => members.push((index, member)),
                None => workspaces.push((root, vec![(index, member)])),
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
    members: &[(usize, Member<'_>)],
    options: &Options,
) -> Vec<(usize, Result<Artifact, BuildError>)> {
    let projects: Vec<&Project> = members.iter().map(|(_, (project, _))| *project).collect();
    let together = ensure_target(root, options).and_then(|()| compile(root, &projects, options));
    let result = |member: Member<'_>| match &together {
        Ok(()) => take_component(root, member, options),
        Err(BuildError::Compile { .. }) if projects.len() > 1 => {
            compile(root, &[member.0], options).and_then(|()| take_component(root, member, options))
        }
        Err(error) => Err(error.clone()),
    };
    members
        .iter()
        .map(|(index, member)| (*index, result(*member)))
        .collect()
}

/// Returns the workspace's root, as cargo reports it: its rules for `members`, `exclude` and parent folders are complex.
fn workspace_root(project: &Project, options: &Options) -> Result<PathBuf, BuildError> {
    let mut command = cargo(&project.dir, options);
    command.args(["locate-project", "--workspace", "--message-format", "plain"]);
    let output = run::quietly(&mut command)?;
    let manifest = PathBuf::from(output.stdout.trim());
    match manifest.parent() {
        Some(root) if output.succeeded && manifest.is_absolute() => Ok(root.to_owned()),
        _ => Err(BuildError::Compile {
            project: project.name.clone(),
            output: output.stderr,
        }),
    }
}

/// Compiles projects of one workspace. A lockfile that does not cover their manifests, such as after a dependency was added, is
/// updated, unless [`Options::is_locked`].
fn compile(root: &Path, projects: &[&Project], options: &Options) -> Result<(), BuildError> {
    let names: Vec<&str> = projects
        .iter()
        .map(|project| project.name.as_str())
        .collect();
    (options.progress)(Event::Building { projects: &names });

    let lockfile = root.join("Cargo.lock");
    let is_fixed = lockfile_covers(root, &names) || options.is_locked && lockfile.exists();
    let lock = if is_fixed { Lock::Fixed } else { Lock::MayGrow };
    let command = &mut cargo_build(root, &names, lock, options);
    let mut output = run::loudly(command, &without_lockfile(options))?;
    if !output.succeeded && output.stderr.contains(LOCKFILE_IS_OLD) {
        if options.is_locked {
            return Err(BuildError::Lockfile {
                lockfile,
                remedy: format!(
                    "cargo update --workspace --manifest-path {}",
                    shell_word(shown(&root.join("Cargo.toml")).as_ref())
                ),
            });
        }
        (options.progress)(Event::UpdatingLockfile {
            lockfile: &lockfile,
        });
        let command = &mut cargo_build(root, &names, Lock::MayGrow, options);
        output = run::loudly(command, options)?;
    }
    if output.succeeded {
        return Ok(());
    }
    let mut said = output.stderr;
    if let Some(hint) = about_prelude(&said, projects) {
        said = format!("{}\n{hint}\n", said.trim_end());
    }
    Err(BuildError::Compile {
        project: names.join(", "),
        output: said,
    })
}

/// Names of the SDK's prelude that every handler uses.
const OF_THE_PRELUDE: [&str; 6] = [
    "Handler",
    "Description",
    "Cx",
    "Facts",
    "Failure",
    "Enrichment",
];

/// Returns the line to add if the compiler does not find the names of the SDK. It lists a `use` for each of them.
fn about_prelude(said: &str, projects: &[&Project]) -> Option<String> {
    let is_missing = |name: &&&str| {
        ["trait", "type", "struct, variant or union type"]
            .iter()
            .any(|kind| said.contains(&format!("cannot find {kind} `{name}` in this scope")))
    };
    if OF_THE_PRELUDE.iter().filter(is_missing).count() < 2 {
        return None;
    }
    let main = projects
        .iter()
        .map(|project| project.dir.join("src/lib.rs"));
    let without = main
        .filter(|path| path.is_file())
        .find(|path| !text_of(path).is_some_and(|code| code.contains("handler_sdk::prelude")))?;
    let file = shown(&without);
    Some(format!(
        "These names are the SDK's: write `use handler_sdk::prelude::*;` at the top of {file}"
    ))
}

/// Returns options whose progress has no lines about an old lockfile: that it is updated is an event of its own.
fn without_lockfile(options: &Options) -> Options {
    let pass_on = Arc::clone(&options.progress);
    Options {
        progress: Arc::new(move |event| match event {
            Event::Output(line) if LINES_ABOUT_LOCKFILE.iter().any(|part| line.contains(part)) => {}
            event => pass_on(event),
        }),
        ..options.clone()
    }
}

const LINES_ABOUT_LOCKFILE: [&str; 2] = [LOCKFILE_IS_OLD, "remove the --locked flag"];

/// In cargo's error for a lockfile that does not cover the manifests.
const LOCKFILE_IS_OLD: &str = "--locked was passed";

/// Whether cargo may change the lockfile.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lock {
    Fixed,
    MayGrow,
}

/// Returns the command that builds packages of a workspace.
fn cargo_build(root: &Path, names: &[&str], lock: Lock, options: &Options) -> Command {
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
    for name in names {
        command.args(["--package", name]);
    }
    command.args([
        "--color",
        match options.colour {
            Colour::Always => "always",
            Colour::Never => "never",
        },
    ]);
    if lock == Lock::Fixed {
        command.arg("--locked");
    }
    if options.is_offline {
        command.arg("--offline");
    }
    command
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
    (project, rust): Member<'_>,
    options: &Options,
) -> Result<Artifact, BuildError> {
    let built = output_dir(root, options).join(format!("{}.wasm", rust.library_stem));
    if !built.is_file() {
        return Err(BuildError::NoComponent {
            project: project.name.clone(),
            expected: built,
        });
    }
    publish(&project.name, &built, options)
}

/// Returns the source files that the last build compiled, of the project and of what it depends on by path. Empty if there
/// was no build.
pub(crate) fn compiled_sources((project, rust): Member<'_>, options: &Options) -> Vec<PathBuf> {
    let Ok(root) = workspace_root(project, options) else {
        return Vec::new();
    };
    let list = output_dir(&root, options).join(format!("{}.d", rust.library_stem));
    let list = fs::read_to_string(list).unwrap_or_default();
    // The form of make: a target, a colon, and its sources; a space within a path is escaped.
    let Some((_, sources)) = list.lines().next().and_then(|line| line.split_once(": ")) else {
        return Vec::new();
    };
    let escaped = sources.replace("\\ ", "\0");
    escaped
        .split_whitespace()
        .map(|path| PathBuf::from(path.replace('\0', " ")))
        .collect()
}

fn output_dir(root: &Path, options: &Options) -> PathBuf {
    target_dir(root, options).join(RUST_TARGET).join(PROFILE)
}

/// Installs the target if it is missing. A toolchain file that lists it is not enough if rustup's automatic installation
/// is off.
fn ensure_target(dir: &Path, options: &Options) -> Result<(), BuildError> {
    let tools = &options.tools;
    if target_is_installed(dir, options)? {
        return Ok(());
    }
    let shown = format!("rustup target add {RUST_TARGET}");
    let missing = |why: String| BuildError::MissingTarget {
        command: format!("cd {} && {shown}", dir.display()),
        why,
    };
    if options.is_offline {
        return Err(missing("not tried, because of --offline".to_owned()));
    }
    (options.progress)(Event::InstallingTarget { command: &shown });
    let mut command = Command::new(&tools.rustup);
    command
        .current_dir(dir)
        .args(["target", "add", RUST_TARGET]);
    match run::quietly(&mut command) {
        Ok(output) if !output.succeeded => Err(missing(output.stderr.trim().to_owned())),
        Ok(_) if target_is_installed(dir, options)? => Ok(()),
        Ok(_) => Err(missing(
            "rustup succeeded, but this rustc is not one of its toolchains".to_owned(),
        )),
        Err(error) => Err(missing(error.to_string())),
    }
}

fn target_is_installed(dir: &Path, options: &Options) -> Result<bool, BuildError> {
    let mut command = Command::new(&options.tools.rustc);
    command
        .current_dir(dir)
        .args(["--print", "target-libdir", "--target", RUST_TARGET]);
    let output = run::quietly(&mut command)?;
    Ok(output.succeeded && Path::new(output.stdout.trim()).is_dir())
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
    command.current_dir(dir);
    for variable in FOREIGN_VARIABLES {
        command.env_remove(variable);
    }
    command
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

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
