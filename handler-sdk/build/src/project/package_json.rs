//! `package.json`: a project if it has the key `alertManager`.

use std::path::Path;

use serde::Deserialize;

use super::{Kind, Manifest, TypeScriptProject, checked_name, checked_needs, line_with, misspelt};
use crate::BuildError;

/// The key that makes it a project.
const KEY: &str = "alertManager";
/// Where `new` puts the SDK.
const SDK: &str = ".sdk/typescript";
/// The file with the author's handler.
const MAIN: &str = "src/handler.ts";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PackageJson {
    name: Option<String>,
    alert_manager: Option<Settings>,
    #[serde(flatten)]
    others: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    needs: Vec<String>,
    sdk: Option<String>,
    main: Option<String>,
}

/// Returns the name and the kind of a project, or `None` if the manifest is that of something else.
pub(super) fn read(path: &Path, text: &str) -> Result<Option<Manifest>, BuildError> {
    let manifest: PackageJson = match serde_json::from_str(text) {
        Ok(manifest) => manifest,
        Err(error) if text.contains(&format!("\"{KEY}\"")) => {
            let shown = error.to_string();
            let problem = shown
                .rsplit_once(" at line ")
                .map_or(&*shown, |(what, _)| what);
            return Err(BuildError::manifest(path, Some(error.line()), problem));
        }
        Err(_) => return Ok(None),
    };
    let Some(settings) = manifest.alert_manager else {
        let names = manifest.others.keys().map(String::as_str);
        return match misspelt(KEY, names) {
            None => Ok(None),
            Some(meant) => {
                let problem =
                    format!("there is a key {meant:?}, but a handler has {KEY:?}: rename it");
                Err(BuildError::manifest(path, line_with(text, meant), problem))
            }
        };
    };
    // A scope says who publishes a package, not what it is.
    let unscoped = manifest.name.map(|name| match name.rsplit_once('/') {
        Some((_, name)) => name.to_owned(),
        None => name,
    });
    let name = checked_name(path, text, unscoped, "add `\"name\": \"disk-full\"`")?;
    let needs = checked_needs(path, text, settings.needs)?;
    Ok(Some(Manifest {
        name,
        kind: Kind::TypeScript(TypeScriptProject {
            needs,
            sdk: settings.sdk.unwrap_or_else(|| SDK.to_owned()).into(),
            main: settings.main.unwrap_or_else(|| MAIN.to_owned()).into(),
        }),
    }))
}
