//! Builds Python projects with componentize-py.

mod packages;
mod traceback;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::contract::{self, write_if_changed};
use crate::error::shown;
use crate::project::PythonProject;
use crate::publish::publish;
use crate::tools::python::{PythonTools, provide};
use crate::{Artifact, BuildError, Event, Options, Project, freshness, run};

/// The module that joins the author's code, the SDK and the interfaces of the world.
const ENTRY: &str = "alert_manager_entry";

/// Builds one project.
pub(crate) fn build(
    project: &Project,
    python: &PythonProject,
    options: &Options,
) -> Result<Artifact, BuildError> {
    let tools = provide(options)?;
    let sdk = sdk(project, python)?;
    check_module(project, python)?;
    let entry = entry(python);
    let settings = [tools.version, contract::WIT, &entry];
    let component = freshness::component(project, options, &settings, |component| {
        (options.progress)(Event::Building {
            projects: &[&project.name],
        });
        let dir = project.build_dir();
        contract::write(&dir.join("wit"), &python.needs)?;
        write_if_changed(&dir.join(format!("{ENTRY}.py")), &entry)?;
        let packages = packages::provide(project, python, &sdk, &tools, options)?;
        check_needs(project, &sdk, &tools)?;
        componentize(project, &sdk, packages, &tools, component)
    })?;
    publish(&project.name, &component, options)
}

fn entry(python: &PythonProject) -> String {
    let imports = contract::imports(&python.needs);
    let given: Vec<String> = imports
        .iter()
        .map(|interface| format!("{interface}={interface}"))
        .collect();
    format!(
        "# Written by `alert-manager build`.\nfrom wit_world.imports import {}\n\nimport {} as author\nfrom handler_sdk.guest import export\n\nHooks = export(author, {})\n",
        imports.join(", "),
        python.module,
        given.join(", ")
    )
}

/// Returns the folder of the SDK's sources.
fn sdk(project: &Project, python: &PythonProject) -> Result<PathBuf, BuildError> {
    let sources = project.dir.join(&python.sdk).join("src");
    if sources.join("handler_sdk/__init__.py").is_file() {
        return Ok(sources);
    }
    let problem = format!(
        "the SDK is not at {}: set `sdk` below `[tool.alert-manager]` to the folder that has src/handler_sdk",
        python.sdk.display()
    );
    Err(BuildError::manifest(&manifest(project), None, problem))
}

fn manifest(project: &Project) -> PathBuf {
    project.dir.join("pyproject.toml")
}

fn check_module(project: &Project, python: &PythonProject) -> Result<(), BuildError> {
    let path = python.module.replace('.', "/");
    let file = format!("{path}.py");
    if project.dir.join(&file).is_file() || project.dir.join(&path).join("__init__.py").is_file() {
        return Ok(());
    }
    let problem = format!(
        "there is no {file}: write the handler there, or set `module` below `[tool.alert-manager]` to the module that has it"
    );
    Err(BuildError::manifest(&manifest(project), None, problem))
}

/// Runs the SDK's check; the first argument is the folder of the SDK.
const CHECK_NEEDS: &str = "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module('handler_sdk.check_needs', run_name='__main__')";

/// Has the SDK look in the author's source for interfaces that are not in `needs`.
fn check_needs(project: &Project, sdk: &Path, tools: &PythonTools) -> Result<(), BuildError> {
    if !sdk.join("handler_sdk/check_needs.py").is_file() {
        return Ok(());
    }
    let mut command = Command::new(&tools.python);
    command
        .current_dir(&project.dir)
        // With -I, no module of the project is taken for one of Python's own.
        .args(["-I", "-B", "-c", CHECK_NEEDS])
        .arg(sdk)
        .arg(".");
    let output = run::quietly(&mut command)?;
    if output.succeeded {
        return Ok(());
    }
    let dir = shown(&project.dir);
    let lines: Vec<String> = output
        .both()
        .lines()
        .map(|line| format!("{dir}/{line}"))
        .collect();
    Err(BuildError::Compile {
        project: project.name.clone(),
        output: lines.join("\n"),
    })
}

fn componentize(
    project: &Project,
    sdk: &Path,
    packages: Option<PathBuf>,
    tools: &PythonTools,
    component: &Path,
) -> Result<(), BuildError> {
    let dir = project.build_dir();
    let mut path = vec![dir.clone(), project.dir.clone(), sdk.to_owned()];
    path.extend(packages);
    let mut command = Command::new(&tools.componentize);
    command
        .current_dir(&dir)
        // componentize-py looks for packages there; without it, in the environment of the user who builds.
        .env("VIRTUAL_ENV", dir.join("no-packages"))
        .env_remove("PYTHONPATH")
        .env_remove("PYTHONHOME")
        .arg("--quiet")
        .arg("--wit-path")
        .arg(dir.join("wit"))
        .args([
            "--world",
            contract::WORLD,
            "componentize",
            ENTRY,
            "--output",
        ])
        .arg(component);
    let empty = dir.join("no-packages/site-packages");
    std::fs::create_dir_all(&empty).map_err(BuildError::io("making the folder", empty))?;
    for folder in &path {
        command.arg("--python-path").arg(folder);
    }
    let output = run::quietly(&mut command)?;
    if output.succeeded {
        return Ok(());
    }
    let roots = traceback::Roots {
        // In the order of `path`: how the program calls the folders.
        folders: path.iter().map(|folder| shown(folder)).collect(),
        entry: 0,
        author: 1,
        sdk: 2,
    };
    Err(BuildError::Compile {
        project: project.name.clone(),
        output: traceback::cleaned(&output.both(), &roots),
    })
}
