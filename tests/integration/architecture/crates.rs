//! The one list of which crate may depend on which, compared with every `Cargo.toml` as cargo reads it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What each crate of the server may depend on, of the crates of this workspace.
pub(super) const CRATES: [(&str, &[&str]); 4] = [
    ("alert-manager-core", &[]),
    ("alert-manager-queue", &["alert-manager-core"]),
    ("alert-manager-runtime", &["alert-manager-core"]),
    (
        "alert-manager",
        &[
            "alert-manager-core",
            "alert-manager-queue",
            "alert-manager-runtime",
            "handler-build",
        ],
    ),
];

/// Libraries that only one crate of the server may depend on, with that crate.
pub(super) const HOMES: [(&str, &str); 8] = [
    ("axum", "alert-manager"),
    ("clap", "alert-manager"),
    ("prometheus", "alert-manager"),
    ("rusqlite", "alert-manager-queue"),
    ("saphyr", "alert-manager"),
    ("tokio-postgres", "alert-manager-queue"),
    ("wasmtime", "alert-manager-runtime"),
    ("wasmtime-wasi", "alert-manager-runtime"),
];

/// A member of the workspace.
pub(super) struct Member {
    pub(super) name: String,
    /// Its folder, below the workspace's.
    pub(super) folder: String,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    /// It is a member of the workspace too.
    is_ours: bool,
    /// It is for tests alone.
    is_for_tests: bool,
}

impl Member {
    /// Returns what it depends on, of the members of the workspace, but for what its tests need.
    pub(super) fn ours(&self) -> BTreeSet<&str> {
        self.named(|dependency| dependency.is_ours)
    }

    /// Returns what it depends on, of crates that are not in the workspace, but for what its tests need.
    pub(super) fn others(&self) -> BTreeSet<&str> {
        self.named(|dependency| !dependency.is_ours)
    }

    fn named(&self, is_wanted: impl Fn(&Dependency) -> bool) -> BTreeSet<&str> {
        self.dependencies
            .iter()
            .filter(|dependency| !dependency.is_for_tests && is_wanted(dependency))
            .map(|dependency| dependency.name.as_str())
            .collect()
    }
}

/// Returns the members of the workspace in this folder.
///
/// # Panics
/// If cargo cannot read them.
pub(super) fn members(workspace: &Path) -> Vec<Member> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(workspace)
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {said}");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let root = text(&metadata["workspace_root"]);
    list(&metadata["packages"])
        .map(|package| {
            let manifest = text(&package["manifest_path"]);
            let folder = Path::new(&manifest)
                .parent()
                .expect("a file is in a folder");
            let folder = folder.strip_prefix(&root).expect("members are below it");
            Member {
                name: text(&package["name"]),
                folder: folder.to_string_lossy().into_owned(),
                dependencies: list(&package["dependencies"]).map(dependency).collect(),
            }
        })
        .collect()
}

fn dependency(value: &Value) -> Dependency {
    Dependency {
        name: text(&value["name"]),
        is_ours: value["path"].is_string(),
        is_for_tests: value["kind"] == "dev",
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().expect("a list").iter()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
