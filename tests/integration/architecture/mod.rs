//! Checks the invariants of ARCHITECTURE.md about dependencies against the manifests and the sources.

mod circles;
mod crates;
mod modules;
mod proof;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use circles::Level;
use crates::{CRATES, HOMES, Member, members};
use modules::{Dependency, Id, Modules};

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

/// Panics unless `what` is written only below `homes` of the server's sources, and in each of them.
fn only_in(what: &str, homes: &[&str]) {
    let mut found_in = BTreeSet::new();
    for (file, lines) in sources("host") {
        let is_test = ["/tests/", "/conformance/"]
            .iter()
            .any(|folder| file.contains(folder))
            || file.ends_with("tests.rs")
            || file.ends_with("build.rs");
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
    // A rule about a name that no longer exists would always pass.
    assert_eq!(
        found_in.len(),
        homes.len(),
        "{what} is found in {found_in:?}"
    );
}

/// Returns the crates of the server, which are below `host/`.
fn server_crates() -> Vec<Member> {
    let mut all = members(root());
    all.retain(|member| member.folder == "host" || member.folder.starts_with("host/"));
    all
}

fn read(member: &Member) -> Modules {
    Modules::read(&root().join(&member.folder).join("src/lib.rs"))
}

/// Panics unless a module, with what is below it, uses only `others` of its crate's modules besides.
fn uses_only(modules: &Modules, module: &str, others: &[&str]) {
    let top = |id: Id| modules.ancestry(id).get(1).copied();
    let named = |name: &str| {
        let found = (0..modules.all.len()).find(|id| modules.all[*id].path == name);
        found.unwrap_or_else(|| panic!("there is no module {name}"))
    };
    let allowed: Vec<Id> = others.iter().copied().chain([module]).map(named).collect();
    for used in modules.dependencies() {
        if top(used.from) != Some(named(module)) {
            continue;
        }
        assert!(
            top(used.to).is_some_and(|to| allowed.contains(&to)),
            "{} uses {}; {module} may use {others:?}",
            modules.all[used.from].file.display(),
            used.path
        );
    }
}

#[test]
fn the_crates_of_the_server_depend_on_each_other_as_the_list_says() {
    let crates = server_crates();
    let named: BTreeSet<_> = crates.iter().map(|member| member.name.as_str()).collect();
    let listed: BTreeSet<_> = CRATES.iter().map(|(name, _)| *name).collect();
    assert_eq!(named, listed, "list each crate in architecture/crates.rs");
    for member in &crates {
        let (_, allowed) = CRATES
            .iter()
            .find(|(name, _)| *name == member.name)
            .unwrap();
        let allowed: BTreeSet<_> = allowed.iter().copied().collect();
        assert_eq!(member.ours(), allowed, "{}", member.name);
    }
}

#[test]
fn what_one_crate_hides_from_the_others_is_no_dependency_of_theirs() {
    let crates = server_crates();
    for (what, home) in HOMES {
        let users: Vec<_> = crates
            .iter()
            .filter(|member| member.others().contains(what))
            .map(|member| member.name.as_str())
            .collect();
        assert_eq!(users, [home], "{what}");
    }
}

#[test]
fn handlers_know_the_sdk_and_the_kit_alone() {
    let mut count = 0;
    for member in members(root()) {
        let is_handler = ["handlers/", "tests/handlers/"]
            .iter()
            .any(|folder| member.folder.starts_with(folder));
        if is_handler {
            let ours = member.ours();
            assert!(!ours.is_empty(), "{} knows neither", member.name);
            let known = ["handler-kit", "handler-sdk"].into();
            assert!(ours.is_subset(&known), "{}: {ours:?}", member.name);
            count += 1;
        }
        if member.name == "handler-kit" {
            assert_eq!(member.ours(), ["handler-sdk"].into());
        }
    }
    assert!(count > 2, "{count} handlers");
}

#[test]
fn no_modules_use_each_other_in_a_circle() {
    let mut found = String::new();
    for member in members(root()) {
        let modules = read(&member);
        for level in circles::levels(&modules) {
            let mut left: BTreeSet<(Id, Id)> = level.keys().copied().collect();
            while let Some(circle) = circles::circle(&left) {
                found += &description(&member, &modules, &level, &circle);
                // Each circle is reported once: the search continues without its last use.
                left.remove(&(circle[circle.len() - 1], circle[0]));
            }
        }
    }
    assert!(
        found.is_empty(),
        "modules use each other in a circle:\n{found}"
    );
}

/// Describes a circle: its modules, and for each step a file and what it uses.
fn description(member: &Member, modules: &Modules, level: &Level, circle: &[Id]) -> String {
    let mut text = format!("{}: ", member.name);
    for id in circle {
        let _ = write!(text, "{} -> ", modules.all[*id].path);
    }
    let _ = writeln!(text, "{}", modules.all[circle[0]].path);
    for (at, from) in circle.iter().enumerate() {
        let to = circle[(at + 1) % circle.len()];
        // A `use` is more precise than a path that begins with an imported name.
        let is_import = |used: &&Dependency| {
            ["crate::", "self::", "super::"]
                .iter()
                .any(|start| used.path.starts_with(start))
        };
        let used = &level[&(*from, to)];
        let used = used.iter().find(is_import).unwrap_or(&used[0]);
        let file = &modules.all[used.from].file;
        let _ = writeln!(text, "    {}: {}", below(root(), file), used.path);
    }
    text
}

#[test]
fn modules_of_the_core_and_the_router_use_only_what_is_below_them() {
    let crates = server_crates();
    let named = |name| read(crates.iter().find(|member| member.name == name).unwrap());
    let core = named("alert-manager-core");
    for module in [
        "alert", "breaker", "gate", "rate", "secret", "shapes", "suggest", "text", "units",
    ] {
        uses_only(&core, module, &[]);
    }
    for module in ["policy", "plan"] {
        uses_only(&core, module, &["alert"]);
    }
    uses_only(&core, "description", &["alert", "suggest", "units"]);
    uses_only(&core, "journal", &["alert", "gate"]);
    uses_only(&named("alert-manager"), "router", &[]);
}

#[test]
fn the_queues_folders_are_layers() {
    let crates = server_crates();
    let queue = crates
        .iter()
        .find(|member| member.name == "alert-manager-queue");
    let queue = read(queue.unwrap());
    uses_only(&queue, "model", &[]);
    uses_only(&queue, "schedule", &["model"]);
    uses_only(&queue, "store", &["model", "failpoint"]);
    uses_only(&queue, "rules", &["model"]);
    let below = ["model", "rules", "schedule", "store", "failpoint"];
    uses_only(&queue, "commit", &below);
}

#[test]
fn only_the_queues_stores_know_sql() {
    only_in("rusqlite", &["queue/src/store/sqlite/"]);
    only_in("tokio_postgres", &["queue/src/store/postgres/"]);
}

#[test]
fn the_runtimes_folders_are_layers() {
    let layers: [(&str, &[&str]); 11] = [
        ("limits", &[]),
        ("unescape", &[]),
        ("grant_uses", &[]),
        ("text", &["limits"]),
        ("facts", &["limits", "text"]),
        ("outbound", &["limits", "unescape"]),
        ("slack", &["limits", "outbound", "unescape", "text"]),
        ("services", &["grant_uses", "outbound", "slack"]),
        ("trace", &["limits", "outbound", "slack", "text"]),
        ("sandbox", &["limits", "trace"]),
        (
            "calls",
            &[
                "bindings",
                "facts",
                "grant_uses",
                "limits",
                "outbound",
                "sandbox",
                "services",
                "slack",
                "text",
                "trace",
            ],
        ),
    ];
    let crates = server_crates();
    let runtime = crates
        .iter()
        .find(|member| member.name == "alert-manager-runtime");
    let runtime = read(runtime.unwrap());
    for (module, below) in layers {
        uses_only(&runtime, module, below);
    }
}

#[test]
fn requests_and_slack_know_nothing_of_the_sandbox() {
    for folder in ["outbound", "slack", "trace", "limits"] {
        for (file, lines) in sources(&format!("host/runtime/src/{folder}")) {
            let known = lines.iter().find(|line| line.contains("wasmtime"));
            assert_eq!(known, None, "{folder}/{file}");
        }
    }
}

#[test]
fn what_slacks_codes_mean_the_host_alone_knows() {
    let table = code(&root().join("host/runtime/src/slack/codes.rs"));
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
    only_in("env::var", &["src/cli/", "src/failpoints.rs"]);
}

#[test]
fn only_the_cache_of_machine_code_is_unsafe() {
    only_in("unsafe ", &["runtime/src/modules/cache.rs"]);
}
