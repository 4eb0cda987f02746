//! ARCHITECTURE.md's invariants about who knows what, held against the sources.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Returns every Rust file below `dir` with its lines of code, by its path below `dir`.
fn sources(dir: &str) -> Vec<(String, Vec<String>)> {
    let base = root().join(dir);
    let mut folders = vec![base.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push((below(&base, &path), code(&path)));
            }
        }
    }
    assert!(!files.is_empty(), "{dir} has no sources");
    files
}

fn below(base: &Path, path: &Path) -> String {
    path.strip_prefix(base)
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned()
}

fn code(path: &Path) -> Vec<String> {
    fs::read_to_string(path)
        .unwrap()
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(str::to_owned)
        .collect()
}

fn is_test(file: &str) -> bool {
    let folders = ["/tests/", "/conformance/"];
    folders.iter().any(|folder| file.contains(folder))
        || file.ends_with("tests.rs")
        || file.ends_with("bench.rs")
}

/// Panics unless `what` is written only below `homes` of the server's sources, and in each of them.
fn only_in(what: &str, homes: &[&str]) {
    let mut found_in = BTreeSet::new();
    for (file, lines) in sources("host") {
        let is_test = is_test(&file) || file.ends_with("build.rs");
        let Some(line) = lines.iter().find(|line| line.contains(what)) else {
            continue;
        };
        if is_test {
            continue;
        }
        let Some(home) = homes.iter().find(|home| file.starts_with(**home)) else {
            panic!("{file} knows {what}, which belongs to {homes:?}: {line}");
        };
        found_in.insert(*home);
    }
    // A rule about something that is gone guards nothing.
    assert_eq!(
        found_in.len(),
        homes.len(),
        "{what} is found in {found_in:?}"
    );
}

/// Panics unless the module uses only `others` of its crate's modules, besides itself.
fn uses_only(krate: &str, module: &str, others: &[&str]) {
    let own =
        |file: &str| file == format!("{module}.rs") || file.starts_with(&format!("{module}/"));
    let files: Vec<_> = sources(krate)
        .into_iter()
        .filter(|(file, _)| own(file) && !is_test(file))
        .collect();
    assert!(!files.is_empty(), "there is no module {module}");
    for (file, lines) in files {
        for line in lines {
            for used in line.split("crate::").skip(1) {
                let name: String = used
                    .chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                    .collect();
                assert!(
                    name == module || others.contains(&name.as_str()),
                    "{file} uses {name}, {module} may use {others:?}: {line}"
                );
            }
        }
    }
}

#[test]
fn what_slacks_codes_mean_the_host_alone_knows() {
    let table = code(&root().join("host/runtime/src/calls/endings.rs"));
    let is_code = |text: &&str| {
        text.contains('_') && text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    };
    let codes: BTreeSet<String> = table
        .iter()
        .take_while(|line| !line.starts_with("mod tests"))
        .flat_map(|line| line.split('"').skip(1).step_by(2).filter(is_code))
        .map(str::to_owned)
        .collect();
    assert!(codes.contains("invalid_blocks"), "{codes:?}");
    for dir in ["handler-sdk/src", "handlers"] {
        for (file, lines) in sources(dir) {
            if file.contains("tests/") || file.ends_with("tests.rs") {
                continue;
            }
            for line in lines {
                let known = codes.iter().find(|code| line.contains(code.as_str()));
                assert!(known.is_none(), "{dir}/{file} knows {known:?}: {line}");
            }
        }
    }
}

#[test]
fn only_the_queues_stores_know_sql() {
    only_in("rusqlite", &["queue/src/store/sqlite/"]);
}

#[test]
fn only_the_runtime_knows_wasmtime() {
    only_in("wasmtime", &["runtime/src/"]);
}

#[test]
fn only_http_knows_axum() {
    only_in("axum", &["src/http/"]);
}

#[test]
fn only_the_payload_knows_the_names_of_alertmanagers_fields() {
    only_in("\"truncatedAlerts\"", &["src/http/webhook/payload"]);
}

#[test]
fn only_the_configuration_knows_yaml() {
    only_in("saphyr", &["src/config/"]);
}

#[test]
fn only_the_command_line_reads_variables() {
    only_in("env::var", &["src/cli/"]);
}

#[test]
fn only_the_cache_of_machine_code_is_unsafe() {
    only_in("unsafe ", &["runtime/src/modules/cache.rs"]);
}

#[test]
fn nothing_points_back_up() {
    for module in [
        "alert", "breaker", "rate", "secret", "shapes", "text", "units",
    ] {
        uses_only("host/core/src", module, &[]);
    }
    uses_only("host/core/src", "journal", &["alert"]);
    uses_only("host/core/src", "policy", &["alert"]);
    uses_only("host/core/src", "description", &["alert"]);
    uses_only("host/core/src", "plan", &["alert"]);
    uses_only("host/src", "router", &["alert", "description", "plan"]);
    uses_only("host/queue/src", "model", &[]);
    uses_only("host/queue/src", "schedule", &["model"]);
    uses_only("host/queue/src", "store", &["model"]);
    // The suite has the alerts of tests.
    uses_only("host/queue/src", "rules", &["model", "conformance"]);
    let below = ["model", "rules", "schedule", "store"];
    uses_only("host/queue/src", "commit", &below);
}

#[test]
fn handlers_know_the_sdk_alone() {
    for folder in fs::read_dir(root().join("handlers")).unwrap() {
        let manifest = folder.unwrap().path().join("Cargo.toml");
        let Ok(text) = fs::read_to_string(&manifest) else {
            continue;
        };
        let dependencies = text.split_once("[dependencies]\n").unwrap().1;
        assert!(
            dependencies.contains("handler-sdk"),
            "{}",
            manifest.display()
        );
        for ours in ["alert-manager", "handler-build", "tests", "path"] {
            assert!(
                !dependencies.contains(ours),
                "{} depends on {ours}",
                manifest.display()
            );
        }
    }
}
