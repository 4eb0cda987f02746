//! `pyproject.toml`: a project if it has a table `[tool.alert-manager]`.

use std::path::Path;

use serde::Deserialize;

use super::{Kind, Manifest, PythonProject, checked_name, checked_needs, line_with, misspelt};
use crate::BuildError;

/// The table that makes it a project.
const TABLE: &str = "alert-manager";
/// Where `new` puts the SDK.
const SDK: &str = ".sdk/python";
/// The author's module.
const MODULE: &str = "handler";

#[derive(Deserialize)]
struct PyprojectToml {
    project: Option<ProjectTable>,
    #[serde(default)]
    tool: toml::Table,
}

#[derive(Deserialize)]
struct ProjectTable {
    name: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

#[derive(Deserialize)]
struct WithSettings {
    tool: Tool,
}

#[derive(Deserialize)]
struct Tool {
    #[serde(rename = "alert-manager")]
    alert_manager: Settings,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    needs: Vec<String>,
    sdk: Option<String>,
    module: Option<String>,
}

/// Returns the name and the kind of a project, or `None` if the manifest is that of something else.
pub(super) fn read(path: &Path, text: &str) -> Result<Option<Manifest>, BuildError> {
    let manifest: PyprojectToml = match toml::from_str(text) {
        Ok(manifest) => manifest,
        Err(error) if text.contains("[tool.alert") => {
            return Err(super::toml_error(path, text, &error));
        }
        Err(_) => return Ok(None),
    };
    let names = manifest.tool.keys().map(String::as_str);
    if let Some(meant) = misspelt(TABLE, names) {
        let problem =
            format!("there is a table [tool.{meant}], but a handler has [tool.{TABLE}]: rename it");
        return Err(BuildError::manifest(path, line_with(text, meant), problem));
    }
    if !manifest.tool.contains_key(TABLE) {
        return Ok(None);
    }
    // Parsed once more, because the places of mistakes are known only from the text.
    let settings = toml::from_str(text).map(|file: WithSettings| file.tool.alert_manager);
    let settings = settings.map_err(|error| super::toml_error(path, text, &error))?;
    let project = manifest.project;
    let dependencies = project.as_ref().map(|project| project.dependencies.clone());
    let name = checked_name(
        path,
        text,
        project.and_then(|project| project.name),
        "add `name = \"disk-full\"` below `[project]`",
    )?;
    let needs = checked_needs(path, text, settings.needs)?;
    let module = settings.module.unwrap_or_else(|| MODULE.to_owned());
    Ok(Some(Manifest {
        name,
        kind: Kind::Python(PythonProject {
            needs,
            sdk: settings.sdk.unwrap_or_else(|| SDK.to_owned()).into(),
            module,
            requirements: dependencies.unwrap_or_default(),
        }),
    }))
}
