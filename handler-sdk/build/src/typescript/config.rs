//! The settings of tsc and esbuild for one project.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::project::TypeScriptProject;
use crate::{BuildError, Project};

/// The file in the build folder that declares what the component imports.
pub(super) const NEEDS: &str = "needs.d.ts";

/// What a build needs to know besides the manifest.
pub(super) struct Config {
    /// The author's file.
    pub(super) main: PathBuf,
    /// The name of the SDK's package.
    pub(super) sdk_name: String,
    /// The settings of tsc, which esbuild reads too.
    pub(super) tsconfig: String,
}

impl Config {
    pub(super) fn of(
        project: &Project,
        typescript: &TypeScriptProject,
    ) -> Result<Self, BuildError> {
        let manifest = project.dir.join("package.json");
        let main = project.dir.join(&typescript.main);
        if !main.is_file() {
            let problem = format!(
                "there is no {}: write the handler there, or set `main` below \"alertManager\" to the file that has it",
                typescript.main.display()
            );
            return Err(BuildError::manifest(&manifest, None, problem));
        }
        let sdk = project.dir.join(&typescript.sdk);
        let Some((sdk_name, exports)) = package(&sdk) else {
            let problem = format!(
                "the SDK is not at {}: set `sdk` below \"alertManager\" to its folder",
                typescript.sdk.display()
            );
            return Err(BuildError::manifest(&manifest, None, problem));
        };
        let paths = paths(&sdk, &sdk_name, &exports);
        let mut files = vec![json!(NEEDS), json!(main)];
        // The globals of a handler: neither Node.js' nor a browser's.
        files.extend(file_of(&sdk, exports.get("./guest-globals")).map(|path| json!(path)));
        let mut settings = json!({
            "compilerOptions": {
                "strict": true,
                "noEmit": true,
                "allowImportingTsExtensions": true,
                "lib": ["ES2023"],
                "types": [],
                "composite": false,
                "incremental": true,
                "tsBuildInfoFile": "./types.tsbuildinfo",
                // The SDK's files are not below the author's folder.
                "rootDir": "/",
                "skipLibCheck": true,
                "paths": paths,
            },
            // The author's tests run in Node.js, and `npm test` checks them.
            "files": files,
            "include": [],
            "references": [],
        });
        let own = [
            project.dir.join("tsconfig.json"),
            sdk.join("tsconfig.handler.json"),
        ];
        if let Some(own) = own.into_iter().find(|path| path.is_file()) {
            settings["extends"] = json!(own);
        }
        Ok(Self {
            main,
            sdk_name,
            tsconfig: format!("{settings:#}\n"),
        })
    }
}

/// Returns the name and the exports of the package in a folder.
fn package(folder: &Path) -> Option<(String, Value)> {
    let text = fs::read(folder.join("package.json")).ok()?;
    let package: Value = serde_json::from_slice(&text).ok()?;
    let name = package.get("name")?.as_str()?.to_owned();
    Some((name, package.get("exports")?.clone()))
}

/// Returns where each of the SDK's exports is, so that a build does not need `npm install`. Its sources are used if they are
/// there, since a stack then names their lines.
fn paths(sdk: &Path, name: &str, exports: &Value) -> Value {
    let mut paths = Map::new();
    for (export, target) in exports.as_object().into_iter().flatten() {
        if let (Some(below), Some(path)) = (export.strip_prefix('.'), file_of(sdk, Some(target))) {
            paths.insert(format!("{name}{below}"), json!([path]));
        }
    }
    paths.into()
}

/// Returns the file of an export: its source, if that is there, or else what was compiled from it.
fn file_of(sdk: &Path, target: Option<&Value>) -> Option<PathBuf> {
    let target = match target? {
        Value::String(target) => target,
        target => target.get("default")?.as_str()?,
    };
    let source = target
        .replacen("./dist/", "./src/", 1)
        .replace(".js", ".ts");
    [&*source, target]
        .map(|path| sdk.join(path.trim_start_matches("./")))
        .into_iter()
        .find(|path| path.is_file())
}
