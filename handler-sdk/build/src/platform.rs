//! What the source of a Rust project uses that a component does not have. It compiles, since Rust's standard library is whole on
//! every target, and fails only when an alert is handled: so a build says it.

use std::fs;
use std::path::Path;

use crate::error::shown;
use crate::project::RustProject;
use crate::{Project, is_source_name};

/// Modules of the standard library that always fail in a component, with what to use instead.
const MODULES: [(&str, &str); 6] = [
    (
        "fs",
        "a handler has no files: use include_str!, a Setting, or cx.kv()",
    ),
    (
        "net",
        "a handler has no network of its own: use cx.http(), which the operator grants",
    ),
    (
        "env",
        "a handler has no environment variables: declare a Setting, and read it with cx.setting()",
    ),
    (
        "thread",
        "a handler runs one step on one thread: call the function",
    ),
    (
        "process",
        "a handler starts no programs, and returns instead of exiting",
    ),
    ("os", "a handler has no operating system"),
];

/// Functions and types of these modules that do work.
const FINE: [&str; 4] = [
    "net::Ip",
    "net::Addr",
    "thread::sleep",
    "process::Termination",
];

/// Packages that need what a component does not have.
const PACKAGES: [(&[&str], &str); 2] = [
    (
        &[
            "reqwest",
            "ureq",
            "hyper",
            "curl",
            "isahc",
            "attohttpc",
            "kube",
            "octocrab",
            "slack-morphism",
        ],
        "it cannot reach the network from a handler: use cx.http() and cx.slack(), which the operator grants",
    ),
    (
        &["tokio", "async-std", "smol", "rayon"],
        "a handler runs one step on one thread and has no event loop: write plain functions",
    ),
];

/// Returns a line for each such use: `src/lib.rs:3: …`.
pub(crate) fn notes(project: &Project, rust: &RustProject) -> Vec<String> {
    let manifest = project.dir.join("Cargo.toml");
    let packages = PACKAGES.iter().flat_map(|(names, remedy)| {
        let used = rust.dependencies.iter();
        let used = used.filter(|name| names.contains(&name.as_str()));
        used.map(move |name| (name, remedy))
    });
    let packages = packages
        .map(|(name, remedy)| format!("{}: the dependency {name}: {remedy}", shown(&manifest)));
    let mut notes: Vec<String> = packages.collect();
    look_below(&project.dir.join("src"), &mut notes);
    notes
}

fn look_below(folder: &Path, notes: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Tests run natively.
        if !is_source_name(&name) || name.starts_with("tests") || name.ends_with("_tests.rs") {
            continue;
        }
        if path.is_dir() {
            look_below(&path, notes);
        } else if name.ends_with(".rs")
            && let Ok(code) = fs::read_to_string(&path)
        {
            let found = uses(&code).into_iter();
            notes.extend(found.map(|(line, what)| format!("{}:{line}: {what}", shown(&path))));
        }
    }
}

/// Returns the lines that use such a module, up to the tests at the end of a file.
fn uses(code: &str) -> Vec<(usize, String)> {
    let lines = code.lines().enumerate();
    let lines = lines.take_while(|(_, line)| line.trim() != "#[cfg(test)]");
    let lines = lines.filter(|(_, line)| !line.trim_start().starts_with("//"));
    lines
        .filter_map(|(at, line)| {
            let (module, remedy) = MODULES.iter().find(|(module, _)| is_used(line, module))?;
            Some((at + 1, format!("std::{module}: {remedy}")))
        })
        .collect()
}

/// Returns whether a line has `std::MODULE`, alone or in a list: `use std::{env, fs};`.
fn is_used(line: &str, module: &str) -> bool {
    line.split("std::").skip(1).any(|path| {
        let is_fine = FINE.iter().any(|fine| path.starts_with(fine));
        let is_it = |path: &str| {
            let rest = path.trim_start().strip_prefix(module);
            rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        };
        match path.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or(list).split(',').any(is_it),
            None => is_it(path) && !is_fine,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_component_does_not_have_is_found_with_its_line() {
        let code = "use std::fmt;\nuse std::{env, fs as files};\n// std::net\nfn a() { let _ = std::net::TcpStream::connect(x); }\n\
                    fn b() { std::thread::spawn(a); }\nuse std::net::Ipv4Addr;\nfn c() { std::environment(); }\n#[cfg(test)]\nmod tests { use std::fs; }\n";
        let found: Vec<_> = uses(code)
            .into_iter()
            .map(|(line, what)| (line, what.split(": ").next().map(str::to_owned)))
            .collect();
        let expected = [(2, "std::fs"), (4, "std::net"), (5, "std::thread")];
        assert_eq!(
            found,
            expected.map(|(line, what)| (line, Some(what.to_owned())))
        );
    }
}
