//! The errors for a project that cannot be built, before any tool is needed.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::Folder;
use handler_build::{Options, build, discover};

/// Returns the errors for a folder with these files, with its path replaced by `DIR`.
fn errors(files: &[(&str, &str)]) -> Vec<String> {
    let folder = Folder::new();
    for (path, text) in files {
        folder.write(path, text);
    }
    let found = discover(&folder.0).unwrap();
    let options = Options {
        is_offline: true,
        ..Options::new(folder.0.join("out"))
    };
    let unreadable = found.unreadable.iter().map(ToString::to_string);
    let failed = found.projects.iter().filter_map(|project| {
        let failed = build(project, &options).err();
        failed.map(|error| error.to_string())
    });
    let here = folder.0.display().to_string();
    unreadable
        .chain(failed)
        .map(|error| error.replace(&here, "DIR"))
        .collect()
}

#[track_caller]
fn assert_told(files: &[(&str, &str)], message: &str) {
    assert_eq!(errors(files), [message]);
}

const PYTHON: &str = "[project]\nname = \"disk-full\"\n\n[tool.alert-manager]\n";

#[test]
fn an_interface_that_does_not_exist() {
    let interfaces = "the interfaces are http, slack, kv, history, timer";
    assert_told(
        &[(
            "a/pyproject.toml",
            &format!("{PYTHON}needs = [\"http\", \"slak\"]\n"),
        )],
        &format!(
            "DIR/a/pyproject.toml:5: `needs` has \"slak\", but {interfaces}. Did you mean \"slack\"?"
        ),
    );
    assert_told(
        &[(
            "a/package.json",
            "{\n  \"name\": \"a\",\n  \"alertManager\": {\n    \"needs\": [\"database\"]\n  }\n}\n",
        )],
        &format!("DIR/a/package.json:4: `needs` has \"database\", but {interfaces}"),
    );
}

#[test]
fn an_interface_that_every_handler_has() {
    assert_told(
        &[("a/pyproject.toml", &format!("{PYTHON}needs = [\"log\"]\n"))],
        "DIR/a/pyproject.toml:5: `needs` has \"log\", which every handler has: remove it",
    );
}

#[test]
fn a_key_that_does_not_exist() {
    assert_told(
        &[("a/pyproject.toml", &format!("{PYTHON}need = [\"http\"]\n"))],
        "DIR/a/pyproject.toml:5: unknown field `need`, expected one of `needs`, `sdk`, `module`",
    );
    assert_told(
        &[(
            "a/package.json",
            "{\n  \"name\": \"a\",\n  \"alertManager\": { \"entry\": \"x\" }\n}",
        )],
        "DIR/a/package.json:3: unknown field `entry`, expected one of `needs`, `sdk`, `main`",
    );
}

#[test]
fn a_manifest_that_cannot_be_parsed() {
    assert_told(
        &[(
            "a/pyproject.toml",
            "[project]\nname = \"a\n\n[tool.alert-manager]\n",
        )],
        "DIR/a/pyproject.toml:2: invalid basic string, expected `\"`",
    );
    assert_told(
        &[(
            "a/package.json",
            "{\n  \"name\": \"a\"\n  \"alertManager\": {}\n}",
        )],
        "DIR/a/package.json:3: expected `,` or `}`",
    );
}

#[test]
fn a_name_that_is_missing_or_not_in_kebab_case() {
    assert_told(
        &[("a/pyproject.toml", "[tool.alert-manager]\n")],
        "DIR/a/pyproject.toml: the project has no name: add `name = \"disk-full\"` below `[project]`",
    );
    assert_told(
        &[(
            "a/package.json",
            "{\n  \"name\": \"@acme/Disk_Full\",\n  \"alertManager\": {}\n}",
        )],
        "DIR/a/package.json:2: the name \"Disk_Full\" is not in kebab-case: write lowercase words, such as disk-full",
    );
}

#[test]
fn two_projects_of_one_name() {
    let cargo = "[package]\nname = \"disk-full\"\n[lib]\ncrate-type = [\"cdylib\"]\n";
    let errors = errors(&[("a/Cargo.toml", cargo), ("b/pyproject.toml", PYTHON)]);
    assert_eq!(
        errors[0],
        "DIR/b: its name, disk-full, is that of DIR/a too: give one of them another"
    );
}

#[test]
fn a_manifest_that_is_almost_one_of_a_handler() {
    assert_told(
        &[(
            "a/pyproject.toml",
            "[project]\nname = \"a\"\n\n[tool.alertmanager]\nneeds = []\n",
        )],
        "DIR/a/pyproject.toml:4: there is a table [tool.alertmanager], but a handler has [tool.alert-manager]: rename it",
    );
    for key in [
        "alertmanager",
        "alert-manager",
        "AlertManager",
        "alertManger",
    ] {
        assert_told(
            &[(
                "a/package.json",
                &format!("{{\n  \"name\": \"a\",\n  \"{key}\": {{}}\n}}\n"),
            )],
            &format!(
                "DIR/a/package.json:3: there is a key {key:?}, but a handler has \"alertManager\": rename it"
            ),
        );
    }
    let cargo =
        "[package]\nname = \"a\"\n\n[lib]\n\n[dependencies]\nhandler-sdk = { path = \"x\" }\n";
    assert_told(
        &[
            ("a/Cargo.toml", cargo),
            ("a/src/lib.rs", "handler_sdk::export!(A);\n"),
        ],
        "DIR/a/Cargo.toml:4: its library exports a handler, but is no WebAssembly module: write `crate-type = [\"cdylib\", \"rlib\"]` below `[lib]`",
    );
}

#[test]
fn a_folder_with_another_manifest_is_no_project() {
    assert!(
        errors(&[
            (
                "a/pyproject.toml",
                "[project]\nname = \"a\"\n[tool.black]\n"
            ),
            ("b/package.json", "{ \"name\": \"b\" }"),
            ("c/package.json", "no JSON"),
            ("d/pyproject.toml", "no TOML ["),
            ("e/notes.md", ""),
            (
                "f/Cargo.toml",
                "[package]\nname = \"f\"\n[dependencies]\nhandler-sdk = \"1\"\n"
            ),
            ("f/src/lib.rs", "//! What handlers have in common.\n"),
        ])
        .is_empty()
    );
}
