//! Builds TypeScript projects: tsc checks the types while esbuild bundles and componentize-qjs makes the component.

mod config;
mod messages;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use serde::Deserialize;

use crate::contract::{self, write_if_changed};
use crate::error::shown;
use crate::project::TypeScriptProject;
use crate::publish::publish;
use crate::tools::node::{NodeTools, provide};
use crate::{Artifact, BuildError, Colour, Event, Options, Project, freshness, run};
use config::Config;

/// The file that joins the author's code, the SDK and the interfaces of the world.
const ENTRY: &str = "entry.js";
/// What esbuild makes of it and of everything that it imports.
const BUNDLE: &str = "bundle.js";

/// What is read of a source map (version 3).
#[derive(Deserialize)]
struct SourceMap {
    sources: Vec<String>,
    mappings: String,
}

/// Builds one project.
pub(crate) fn build(
    project: &Project,
    typescript: &TypeScriptProject,
    options: &Options,
) -> Result<Artifact, BuildError> {
    let tools = provide(options)?;
    let config = Config::of(project, typescript)?;
    let entry = entry(typescript, &config);
    let settings = [&*tools.versions, contract::WIT, &entry, &config.tsconfig];
    let component = freshness::component(project, options, &settings, |component| {
        (options.progress)(Event::Building {
            projects: &[&project.name],
        });
        let dir = project.build_dir();
        contract::write(&dir.join("wit"), &typescript.needs)?;
        write_if_changed(&dir.join(ENTRY), &entry)?;
        write_if_changed(&dir.join(config::NEEDS), &needs(typescript))?;
        write_if_changed(&dir.join("tsconfig.json"), &config.tsconfig)?;
        make(project, typescript, &tools, options, component)
    })?;
    publish(&project.name, &component, options)
}

fn entry(typescript: &TypeScriptProject, config: &Config) -> String {
    let imports = contract::imports(&typescript.needs);
    let mut entry = "// Written by `alert-manager build`.\n".to_owned();
    for interface in &imports {
        let specifier = contract::specifier(interface);
        entry += &format!("import * as {interface} from \"{specifier}\";\n");
    }
    // The author's file is required, not imported, so that the SDK runs before it and reports its errors.
    entry
        + &format!(
            "import {{ exportHooks }} from \"{}/guest\";\n\nexport const hooks = exportHooks(() => require({:?}), {{ {} }}, {:?});\n",
            config.sdk_name,
            config.main.display().to_string(),
            imports.join(", "),
            typescript.main.display().to_string(),
        )
}

/// Returns the declaration by which the SDK's types allow just what the component imports.
fn needs(typescript: &TypeScriptProject) -> String {
    let mut needs = "// Written by `alert-manager build`.\nexport {};\ndeclare global {\n    interface AlertManagerNeeds {\n".to_owned();
    for interface in contract::imports(&typescript.needs) {
        needs += &format!("        {interface}: true;\n");
    }
    needs + "    }\n}\n"
}

/// Checks and bundles at the same time: each takes about a second of one processor.
fn make(
    project: &Project,
    typescript: &TypeScriptProject,
    tools: &NodeTools,
    options: &Options,
    component: &Path,
) -> Result<(), BuildError> {
    let (checked, made) = thread::scope(|scope| {
        let checked = scope.spawn(|| check_types(project, &typescript.needs, tools, options));
        let made = bundle(project, tools)
            .and_then(|()| componentize(project, typescript, tools, component));
        let checked = checked.join();
        // The thread does not panic: it runs a program and reads its output.
        (checked.unwrap_or(Ok(())), made)
    });
    // If both fail, the type checker says more.
    checked.and(made)
}

fn check_types(
    project: &Project,
    needs: &[String],
    tools: &NodeTools,
    options: &Options,
) -> Result<(), BuildError> {
    let mut tsc = tools.tsc();
    tsc.current_dir(&project.dir)
        .arg("--project")
        .arg(project.build_dir())
        .args(match options.colour {
            Colour::Always => ["--pretty", "true"],
            Colour::Never => ["--pretty", "false"],
        });
    let output = run::quietly(&mut tsc)?;
    if output.succeeded {
        return Ok(());
    }
    Err(failed(
        project,
        messages::of_tsc(&output.both(), &shown(&project.dir), needs),
    ))
}

fn bundle(project: &Project, tools: &NodeTools) -> Result<(), BuildError> {
    let dir = project.build_dir();
    let mut esbuild = tools.esbuild();
    esbuild
        .current_dir(&project.dir)
        .arg(dir.join(ENTRY))
        .args([
            "--bundle",
            "--format=esm",
            "--platform=neutral",
            "--target=es2022",
        ])
        .args(["--main-fields=module,main", "--external:alert-manager:*"])
        .args([
            "--sourcemap=external",
            "--sources-content=false",
            "--log-level=warning",
            "--color=false",
        ])
        .arg(format!(
            "--tsconfig={}",
            dir.join("tsconfig.json").display()
        ))
        .arg(format!("--outfile={}", dir.join(BUNDLE).display()));
    let output = run::quietly(&mut esbuild)?;
    if !output.succeeded {
        let mut message = output.both();
        let missing = message.split("Could not resolve \"").nth(1);
        if let Some((package, _)) = missing.and_then(|rest| rest.split_once('"')) {
            let hint = messages::about_package(package, &shown(&project.dir));
            message = format!("{message}\n{hint}");
        }
        return Err(failed(project, message));
    }
    prepend_source_map(project)
}

/// Puts the source map into the first line of the bundle, where the SDK finds it. Its sources are named from the project's
/// folder, as people know them.
fn prepend_source_map(project: &Project) -> Result<(), BuildError> {
    let dir = project.build_dir();
    let (path, map_path) = (dir.join(BUNDLE), dir.join(format!("{BUNDLE}.map")));
    let bundle = fs::read_to_string(&path).map_err(BuildError::io("reading", &path))?;
    let map = fs::read(&map_path).map_err(BuildError::io("reading", &map_path))?;
    let map: SourceMap = serde_json::from_slice(&map)
        .map_err(|error| BuildError::io("reading", map_path)(error.into()))?;
    let named = |source: &String| {
        let source = normal(&dir.join(source));
        let below = source.strip_prefix(&project.dir).unwrap_or(&source);
        below.display().to_string()
    };
    let map = serde_json::json!({
        "sources": map.sources.iter().map(named).collect::<Vec<_>>(),
        "mappings": map.mappings,
    });
    let text = format!("globalThis.handlerSourceMap = {map};\n{bundle}");
    fs::write(&path, text).map_err(BuildError::io("writing", path))
}

/// Returns a path without `..`, where no folder is a link.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                normal.pop();
            }
            part => normal.push(part),
        }
    }
    normal
}

fn componentize(
    project: &Project,
    typescript: &TypeScriptProject,
    tools: &NodeTools,
    component: &Path,
) -> Result<(), BuildError> {
    let dir = project.build_dir();
    let mut command: Command = tools.componentize();
    command
        .current_dir(&dir)
        .arg("--wit")
        .arg(dir.join("wit"))
        .arg("--js")
        .arg(dir.join(BUNDLE))
        .args(["--world", contract::WORLD, "--sync", "--output"])
        .arg(component);
    let output = run::quietly(&mut command)?;
    if output.succeeded {
        return Ok(());
    }
    let (dir, main) = (shown(&project.dir), typescript.main.display().to_string());
    Err(failed(
        project,
        messages::of_componentize(&output.stderr, &dir, &main),
    ))
}

fn failed(project: &Project, output: String) -> BuildError {
    BuildError::Compile {
        project: project.name.clone(),
        output,
    }
}
