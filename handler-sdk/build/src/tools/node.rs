//! TypeScript's tools: tsc, esbuild and componentize-qjs, installed by npm.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::Toolset;
use crate::{BuildError, Language, Options, run};

/// The tools in their versions.
const PACKAGE: &str = include_str!("../../tools/package.json");
/// What they consist of, with the digest of each part.
const LOCK: &str = include_str!("../../tools/package-lock.json");

/// The oldest Node.js that runs them.
const OLDEST: (u32, u32) = (18, 0);

const REMEDY: &str = "On Debian and Ubuntu: apt install nodejs npm\nOn macOS: brew install node";

/// The tools' scripts within their folder.
const TSC: &str = "node_modules/typescript/bin/tsc";
const ESBUILD: &str = "node_modules/esbuild/bin/esbuild";
const COMPONENTIZE: &str = "node_modules/componentize-qjs/bin/componentize-qjs";

/// Where the tools are.
pub(crate) struct NodeTools {
    node: OsString,
    folder: PathBuf,
    /// The tools and their versions.
    pub(crate) versions: String,
}

impl NodeTools {
    /// Returns a command that runs a tool's script with Node.js.
    fn script(&self, path: &str) -> Command {
        let mut command = Command::new(&self.node);
        command.arg(self.folder.join(path));
        // An author's settings, such as a debugger's, are not meant for these programs.
        command.env_remove("NODE_OPTIONS");
        command
    }

    pub(crate) fn tsc(&self) -> Command {
        self.script(TSC)
    }

    pub(crate) fn esbuild(&self) -> Command {
        self.script(ESBUILD)
    }

    pub(crate) fn componentize(&self) -> Command {
        self.script(COMPONENTIZE)
    }
}

#[derive(Deserialize)]
struct Pinned {
    dependencies: std::collections::BTreeMap<String, String>,
}

/// Finds the tools; fetches them if they are not here.
pub(crate) fn provide(options: &Options) -> Result<NodeTools, BuildError> {
    check_node(options)?;
    // Its text is a part of this program, and a test reads it.
    let pinned = serde_json::from_str(PACKAGE).unwrap_or(Pinned {
        dependencies: Default::default(),
    });
    let named = |between| {
        let tools = pinned.dependencies.iter();
        let tools: Vec<String> = tools
            .map(|(name, version)| format!("{name}{between}{version}"))
            .collect();
        tools
    };
    let versions = named(" ").join(", ");
    let toolset = Toolset {
        language: Language::TypeScript,
        folder: format!("node-{}", named("-").join("-")),
        content: versions.clone(),
        needed: &[TSC, ESBUILD, COMPONENTIZE],
    };
    let tools = |folder: &Path| NodeTools {
        node: options.tools.node.clone(),
        folder: folder.to_owned(),
        versions: versions.clone(),
    };
    let folder = super::provide(
        &toolset,
        options,
        |folder| install(folder, options),
        |folder| {
            let tools = tools(folder);
            vec![tools.tsc(), tools.esbuild(), tools.componentize()]
        },
    )?;
    Ok(tools(&folder))
}

fn missing(problem: String) -> BuildError {
    BuildError::Prerequisite {
        language: Language::TypeScript,
        problem,
        remedy: REMEDY.to_owned(),
    }
}

/// Runs a program with `--version` and returns the answer.
fn version(program: &OsString) -> Result<String, BuildError> {
    match run::quietly(Command::new(program).arg("--version")) {
        Ok(output) if output.succeeded => Ok(output.stdout),
        Ok(output) => Err(missing(format!(
            "`{}` cannot be run: {}",
            program.display(),
            super::reason(&output)
        ))),
        Err(BuildError::Tool { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Err(missing(format!(
                "`{}` is not installed, or not in PATH",
                program.display()
            )))
        }
        Err(error) => Err(error),
    }
}

fn check_node(options: &Options) -> Result<(), BuildError> {
    let shown = version(&options.tools.node)?;
    match super::numbers(&shown) {
        Some(version) if version >= OLDEST => Ok(()),
        _ => Err(missing(format!(
            "`{}` is Node.js {}, and {} is the oldest that will do",
            options.tools.node.display(),
            shown.trim(),
            OLDEST.0
        ))),
    }
}

fn install(folder: &Path, options: &Options) -> Result<(), BuildError> {
    version(&options.tools.npm)?;
    fs::create_dir_all(folder).map_err(BuildError::io("making the folder", folder))?;
    for (name, text) in [("package.json", PACKAGE), ("package-lock.json", LOCK)] {
        let path = folder.join(name);
        fs::write(&path, text).map_err(BuildError::io("writing", path))?;
    }
    let mut npm = Command::new(&options.tools.npm);
    npm.current_dir(folder)
        // None of these packages needs a script of its own, and none is run.
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        // Programs for this machine are optional packages, which a setting of the author's may leave out.
        .arg("--include=optional")
        .args(["--fetch-retries", "2", "--fetch-retry-mintimeout", "1000"]);
    super::fetch(Language::TypeScript, &mut npm, options)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn each_tool_is_pinned_to_one_version() {
        let pinned: Pinned = serde_json::from_str(PACKAGE).unwrap();
        assert_eq!(pinned.dependencies.len(), 3);
        for (name, version) in pinned.dependencies {
            assert!(
                version.starts_with(|c: char| c.is_ascii_digit()),
                "{name}: {version}"
            );
            assert!(
                LOCK.contains(&format!("\"{name}\": \"{version}\"")),
                "{name}"
            );
        }
    }
}
