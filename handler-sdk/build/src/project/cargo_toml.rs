//! `Cargo.toml`: a project if its library is a `cdylib`. Cargo checks the rest of the file. A library that exports a handler and is
//! none is a mistake.

use std::path::{Component, Path};

use serde::Deserialize;

use super::{Kind, Manifest, RustProject};
use crate::BuildError;
use crate::text::text_of;

#[derive(Default, Deserialize)]
struct CargoToml {
    package: Option<Package>,
    #[serde(default)]
    lib: Library,
    #[serde(default)]
    dependencies: toml::Table,
}

#[derive(Deserialize)]
struct Package {
    name: Option<String>,
}

#[derive(Default, Deserialize)]
struct Library {
    name: Option<String>,
    path: Option<String>,
    #[serde(default, rename = "crate-type", alias = "crate_type")]
    crate_type: Vec<String>,
}

impl CargoToml {
    /// Returns whether the library, of the manifest at `path`, uses the SDK and exports a handler. A file that is not below the
    /// manifest's folder is not read.
    fn exports_a_handler(&self, path: &Path) -> bool {
        let library = Path::new(self.lib.path.as_deref().unwrap_or("src/lib.rs"));
        let is_name =
            |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        self.dependencies.contains_key("handler-sdk")
            && library.components().all(is_name)
            && text_of(&path.with_file_name(library))
                .is_some_and(|code| code.lines().any(is_export))
    }
}

/// Returns whether a line of code is the macro by which a handler is exported.
fn is_export(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("handler_sdk::export!") || line.starts_with("export!")
}

/// Returns the name and the kind of a project, or `None` if the manifest is that of something else.
pub(super) fn read(path: &Path, text: &str) -> Result<Option<Manifest>, BuildError> {
    let manifest: CargoToml = match toml::from_str(text) {
        Ok(manifest) => manifest,
        Err(error) if text.contains("cdylib") => {
            return Err(super::toml_error(path, text, &error));
        }
        Err(_) => return Ok(None),
    };
    let is_handler = manifest.lib.crate_type.iter().any(|kind| kind == "cdylib");
    let name = manifest
        .package
        .as_ref()
        .and_then(|package| package.name.clone());
    if !is_handler && manifest.exports_a_handler(path) {
        let problem = "its library exports a handler, but is no WebAssembly module: write `crate-type = [\"cdylib\", \"rlib\"]` below `[lib]`";
        return Err(BuildError::manifest(
            path,
            super::line_with(text, "[lib]"),
            problem,
        ));
    }
    let (true, Some(name)) = (is_handler, name) else {
        return Ok(None);
    };
    // The component's file has it, so it must not lead to another folder.
    let is_plain = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || !name.chars().all(is_plain) {
        let problem = format!(
            "a package cannot have the name {name:?}: write lowercase words, such as disk-full"
        );
        return Err(BuildError::manifest(
            path,
            super::line_of(text, &name),
            problem,
        ));
    }
    // The file stem that rustc gives to the library.
    let library_stem = manifest
        .lib
        .name
        .as_ref()
        .unwrap_or(&name)
        .replace('-', "_");
    Ok(Some(Manifest {
        name,
        kind: Kind::Rust(RustProject {
            library_stem,
            dependencies: manifest.dependencies.keys().cloned().collect(),
        }),
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use std::fs;

    fn project(text: &str) -> Option<(String, String)> {
        let manifest = read(Path::new("Cargo.toml"), text).unwrap()?;
        let Kind::Rust(RustProject { library_stem, .. }) = manifest.kind else {
            panic!("a Rust project")
        };
        Some((manifest.name, library_stem))
    }

    #[test]
    fn a_handler_is_a_cdylib() {
        let manifest = project(
            "[package]\nname = \"my-handler\" # \"other\"\n[lib]\ncrate-type = [\n  \"cdylib\", # for wasm\n  \"rlib\",\n]\n[dependencies]\nname = \"x\"\n",
        );
        assert_eq!(manifest, Some(("my-handler".into(), "my_handler".into())));
    }

    #[test]
    fn other_spellings_are_read() {
        let manifest =
            project("package.name = 'a'\nlib.crate-type = [\"cdylib\"]\nlib.name = \"b\"");
        assert_eq!(manifest, Some(("a".into(), "b".into())));
    }

    #[test]
    fn a_library_or_a_program_is_not_a_handler() {
        for text in [
            "",
            "[package]\nname = \"a\"",
            "[lib]\ncrate-type = [\"rlib\"]",
            "[[bin]]\nname = \"cdylib\"",
            "# crate-type = [\"cdylib\"]",
        ] {
            assert_eq!(project(text), None, "{text}");
        }
    }

    #[test]
    fn a_name_that_leads_to_another_folder_is_an_error() {
        for name in ["", "..", "../a", "a/b", "/a"] {
            let text = format!("[package]\nname = \"{name}\"\n[lib]\ncrate-type = [\"cdylib\"]\n");
            let error = read(Path::new("Cargo.toml"), &text).err().unwrap();
            let error = error.to_string();
            assert!(error.contains("a package cannot have the name"), "{error}");
        }
    }

    #[test]
    fn an_export_is_looked_for_in_a_small_file_of_the_project_alone() {
        let name = format!("handler-build-library-{}", std::process::id());
        let root = std::env::temp_dir().join(name);
        fs::create_dir_all(root.join("one/src")).unwrap();
        let export = "handler_sdk::export!(A);\n";
        fs::write(root.join("other.rs"), export).unwrap();
        fs::write(root.join("one/src/lib.rs"), export).unwrap();
        fs::write(root.join("one/src/large.rs"), export.repeat(50_000)).unwrap();
        let is_found = |library: &str| {
            let text = format!(
                "[package]\nname = \"a\"\n[lib]\npath = '{library}'\n[dependencies]\nhandler-sdk = \"0\"\n"
            );
            read(&root.join("one/Cargo.toml"), &text).is_err()
        };
        assert!(is_found("src/lib.rs"));
        let absolute = root.join("other.rs").display().to_string();
        for library in ["../other.rs", &absolute, "src/large.rs"] {
            assert!(!is_found(library), "{library}");
        }
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_handlers_manifest_that_is_no_toml_is_an_error_with_its_line() {
        let text = "[package]\nname = a\n[lib]\ncrate-type = [\"cdylib\"]\n";
        let error = read(Path::new("Cargo.toml"), text).err().unwrap();
        assert!(error.to_string().starts_with("Cargo.toml:2: "), "{error}");
    }
}
