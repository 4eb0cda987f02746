//! `new`: what it refuses, and where a project goes. `guides.rs` has the way of an author from there.

use std::fs;
use std::path::{Path, PathBuf};

use tests::modules;
use tests::process::{Finished, command, finished};

const ALERT: &str = "NodeFilesystemSpaceFillingUp";

/// Runs the command line in a folder, with the tests' own tools for Python and TypeScript.
fn run(dir: &Path, args: &[&str]) -> Finished {
    let mut command = command(dir, args);
    command
        .env("ALERT_MANAGER_TOOLS", modules::tools())
        // The packages of the workspace's lock file are here.
        .env("CARGO_NET_OFFLINE", "true");
    finished(command.output().unwrap())
}

#[track_caller]
fn succeeds(dir: &Path, args: &[&str]) -> String {
    let ran = run(dir, args);
    assert_eq!(ran.code, Some(0), "{args:?}: {}{}", ran.stdout, ran.stderr);
    ran.stdout
}

fn make(dir: &Path, lang: &str) -> PathBuf {
    let args = ["new", "disk-full", "--lang", lang, "--alert", ALERT];
    let said = succeeds(dir, &args);
    assert!(said.contains("made disk-full"), "{said}");
    dir.join("disk-full")
}

#[test]
fn nothing_is_overwritten_and_each_mistake_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), "python");
    let long = "a".repeat(64);
    let alert = "A".repeat(201);
    for (args, part) in [
        (
            vec!["new", "disk-full"],
            "exists already, and nothing is overwritten: choose another name",
        ),
        (vec!["new"], "name the handler: alert-manager new disk-full"),
        (
            vec!["new", "Disk"],
            "write it in lower case letters, digits and single hyphens",
        ),
        (vec!["new", &long], "at most 63 of them"),
        (vec!["new", "match"], "choose another, as in match-alert"),
        (
            vec!["new", "a", "--alert", "a\"b"],
            "without quotes, or * for any",
        ),
        (vec!["new", "a", "--alert", &alert], "of at most 200 bytes"),
        (
            vec!["new", "a", "--sdk", "."],
            "there is no SDK for Rust there: name its folder",
        ),
        (
            vec!["new", "--update-sdk", "."],
            "name the folder that `new` has made",
        ),
    ] {
        let ran = run(dir.path(), &args);
        assert_eq!(ran.code, Some(1), "{args:?}");
        assert!(ran.stderr.contains(part), "{args:?}: {}", ran.stderr);
    }
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn the_sdk_beside_a_project_is_replaced_whole() {
    let dir = tempfile::tempdir().unwrap();
    let project = make(dir.path(), "typescript");
    let sdk = project.join(".sdk/typescript");
    let of_before = sdk.join("src/of-an-earlier-version.ts");
    fs::write(&of_before, "").unwrap();
    fs::write(sdk.join("src/index.ts"), "").unwrap();
    succeeds(dir.path(), &["new", "--update-sdk", "disk-full"]);
    assert!(!of_before.exists());
    assert!(!fs::read(sdk.join("src/index.ts")).unwrap().is_empty());
    let left: Vec<_> = fs::read_dir(&project)
        .unwrap()
        .flatten()
        .map(|e| e.file_name())
        .collect();
    assert!(
        !left
            .iter()
            .any(|name| name == ".sdk.old" || name == ".sdk.new"),
        "{left:?}"
    );
}

#[test]
fn within_the_repository_a_project_is_a_member_of_the_workspace() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for (path, text) in [
        ("wit/handler.wit", ""),
        ("handler-sdk/Cargo.toml", ""),
        ("handlers/a/Cargo.toml", "[package]\nname = \"pager\"\n"),
        (
            "Cargo.toml",
            "[workspace]\nmembers = [\n    \"handler-sdk\",\n    \"handlers/a\",\n]\n",
        ),
    ] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let said = succeeds(
        &root.join("handlers/a"),
        &["new", "disk-full", "--lang", "rust"],
    );
    assert!(said.contains("cargo test -p disk-full"), "{said}");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    assert!(
        manifest.contains("    \"handlers/a\",\n    \"handlers/disk-full\",\n]"),
        "{manifest}"
    );
    let project = fs::read_to_string(root.join("handlers/disk-full/Cargo.toml")).unwrap();
    assert!(
        project.contains("handler-sdk.workspace = true"),
        "{project}"
    );
    let taken = run(root, &["new", "pager", "--lang", "rust"]);
    assert!(
        taken.stderr.contains("the package in handlers/a"),
        "{}",
        taken.stderr
    );
    succeeds(root, &["new", "disk-slow", "--lang", "python"]);
    let project = fs::read_to_string(root.join("handlers/disk-slow/pyproject.toml")).unwrap();
    assert!(
        project.contains("sdk = \"../../handler-sdk/python\""),
        "{project}"
    );
}
