//! What the source of a Rust project uses that a component does not have. It compiles, since Rust's standard library is whole on
//! every target, and fails only when an alert is handled: so a build says it.

use std::ffi::OsStr;
use std::path::Path;

use crate::Project;
use crate::error::shown;
use crate::project::RustProject;
use crate::sources::walk;
use crate::text::text_of;

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

/// How many lists within one another are looked at.
const LISTS_MAX: usize = 8;

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
    let src = project.dir.join("src");
    for path in walk(std::slice::from_ref(&src)).files {
        if !path.strip_prefix(&src).is_ok_and(is_code) {
            continue;
        }
        let code = text_of(&path).unwrap_or_default();
        let found = uses(&code).into_iter();
        notes.extend(found.map(|(line, what)| format!("{}:{line}: {what}", shown(&path))));
    }
    notes
}

/// Returns whether a path below `src` is that of code which runs in a component. Tests run natively.
fn is_code(path: &Path) -> bool {
    let is_test = |name: &OsStr| {
        let name = name.to_string_lossy();
        name.starts_with("tests") || name.ends_with("_tests.rs")
    };
    !path.iter().any(is_test) && path.extension().is_some_and(|ending| ending == "rs")
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

/// Returns whether a line has `std::MODULE`, alone or in a list: `use std::{env, fs};`. A macro has another meaning: `std::env!`.
fn is_used(line: &str, module: &str) -> bool {
    let trees = line.split("std::").skip(1);
    let mut used = trees.flat_map(|tree| paths(tree, LISTS_MAX));
    used.any(|path| {
        let rest = path.strip_prefix(module);
        let is_it = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
        is_it && !FINE.iter().any(|fine| path.starts_with(fine))
    })
}

/// Returns the paths at the beginning of a text. If there is a list, each of its items is one: those of
/// `{fmt, net::{IpAddr, TcpStream}}` are `fmt`, `net::IpAddr` and `net::TcpStream`. Lists are looked at up to `lists` within one
/// another.
fn paths(text: &str, lists: usize) -> Vec<String> {
    let is_end = |c: char| !(c.is_alphanumeric() || c == '_' || c == ':');
    let (path, rest) = text.split_at(text.find(is_end).unwrap_or(text.len()));
    if rest.starts_with('!') {
        return vec![format!("{path}!")];
    }
    let Some(list) = rest.strip_prefix('{') else {
        return vec![path.to_owned()];
    };
    if lists == 0 {
        return Vec::new();
    }
    let inner = items(list).into_iter();
    let inner = inner.flat_map(|item| paths(item.trim(), lists - 1));
    inner.map(|item| format!("{path}{item}")).collect()
}

/// Splits a list, up to the brace that ends it, at the commas that are in no list within it.
fn items(list: &str) -> Vec<&str> {
    let mut items = Vec::new();
    let (mut start, mut depth) = (0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' => {
                items.push(&list[start..at]);
                return items;
            }
            ',' if depth == 0 => {
                items.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(&list[start..]);
    items
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

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

    #[test]
    fn each_item_of_a_list_is_looked_at_and_a_macro_is_no_module() {
        for (line, expected) in [
            ("use std::{fmt, net::IpAddr};", None),
            ("use std::net::{IpAddr, Ipv4Addr};", None),
            ("const KEY: &str = std::env!(\"KEY\");", None),
            (
                "use std::{collections::{BTreeMap, HashMap}, fs};",
                Some("fs"),
            ),
            ("use std::net::{IpAddr, TcpStream};", Some("net")),
            ("use std::{fmt, net::{self, IpAddr}};", Some("net")),
            (
                "use std::{io::{self, Read}, thread::{sleep, spawn}};",
                Some("thread"),
            ),
            ("use std::{", None),
            ("use std::{env, ", Some("env")),
        ] {
            let used = MODULES.iter().find(|(module, _)| is_used(line, module));
            assert_eq!(used.map(|(module, _)| *module), expected, "{line}");
        }
        let deep = format!("use std::{}fs;", "{".repeat(100_000));
        assert!(uses(&deep).is_empty(), "no list is as deep");
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_a_link_leads_to_is_looked_at_once_and_a_large_file_not_at_all() {
        use crate::project::Kind;
        use std::fs;
        let name = format!("handler-build-notes-{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(dir.join("src")).unwrap();
        let code = "use std::fs;\n";
        fs::write(dir.join("src/lib.rs"), code).unwrap();
        fs::write(dir.join("src/large.rs"), code.repeat(100_000)).unwrap();
        std::os::unix::fs::symlink(dir.join("src"), dir.join("src/circle")).unwrap();
        let rust = RustProject {
            library_stem: "a".to_owned(),
            dependencies: Vec::new(),
        };
        let project = Project {
            name: "a".to_owned(),
            dir: dir.clone(),
            kind: Kind::Rust(rust.clone()),
        };
        let found = notes(&project, &rust);
        assert_eq!(found.len(), 1, "{found:?}");
        fs::remove_dir_all(dir).unwrap();
    }
}
