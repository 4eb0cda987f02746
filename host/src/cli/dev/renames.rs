//! Gives modules the new names of their projects.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A module that is to have another name.
struct Rename {
    before: String,
    now: String,
    from: PathBuf,
    to: PathBuf,
    /// It has a temporary name, since its new one is not free yet.
    is_aside: bool,
}

/// Renames modules of a folder from old names to new ones, and returns those that it has renamed. A module may take the name that
/// another of them gives up, and two may change names. No other file is replaced.
pub(super) fn rename_modules(dir: &Path, names: Vec<(String, String)>) -> Vec<(String, String)> {
    let module = |name: &str| dir.join(format!("{name}.wasm"));
    let renames = names.into_iter().map(|(before, now)| Rename {
        from: module(&before),
        to: module(&now),
        before,
        now,
        is_aside: false,
    });
    let mut left: Vec<Rename> = renames.filter(|rename| rename.from.is_file()).collect();
    keep_possible(&mut left);
    let mut done = Vec::new();
    while !left.is_empty() {
        if let Some(at) = left.iter().position(|rename| !rename.to.exists()) {
            if fs::rename(&left[at].from, &left[at].to).is_err() {
                break;
            }
            let rename = left.swap_remove(at);
            done.push((rename.before, rename.now));
        } else {
            // Each waits for another to give up its name: one gets a temporary name, with which no server loads it.
            let first = &mut left[0];
            let aside = dir.join(format!(".{}.renamed", first.before));
            if first.is_aside || fs::rename(&first.from, &aside).is_err() {
                break;
            }
            (first.from, first.is_aside) = (aside, true);
        }
    }
    // Only after an error.
    for rename in left.into_iter().filter(|rename| rename.is_aside) {
        let before = module(&rename.before);
        if !before.exists() {
            let _ = fs::rename(&rename.from, &before);
        }
    }
    done
}

/// Takes out those whose new name is that of a file that keeps it.
fn keep_possible(renames: &mut Vec<Rename>) {
    loop {
        let count = renames.len();
        let given_up: BTreeSet<PathBuf> = renames.iter().map(|one| one.from.clone()).collect();
        renames.retain(|rename| !rename.to.exists() || given_up.contains(&rename.to));
        if renames.len() == count {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// Renames modules, each of which has its first name as its content, and returns what there is then, as `name:content`.
    fn renamed(files: &[&str], names: &[(&str, &str)]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            fs::write(dir.path().join(format!("{file}.wasm")), file).unwrap();
        }
        let names = names
            .iter()
            .map(|(before, now)| ((*before).to_owned(), (*now).to_owned()));
        rename_modules(dir.path(), names.collect());
        let entries = fs::read_dir(dir.path()).unwrap();
        let mut found: Vec<String> = entries
            .map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                format!("{name}:{}", fs::read_to_string(path).unwrap())
            })
            .collect();
        found.sort();
        found
    }

    #[test]
    fn a_module_takes_the_name_that_another_one_gives_up() {
        assert_eq!(
            renamed(&["a", "b"], &[("a", "b"), ("b", "c")]),
            ["b.wasm:a", "c.wasm:b"]
        );
        assert_eq!(
            renamed(&["a", "b"], &[("a", "b"), ("b", "a")]),
            ["a.wasm:b", "b.wasm:a"]
        );
        assert_eq!(
            renamed(
                &["a", "b", "c", "x"],
                &[("x", "y"), ("a", "b"), ("b", "c"), ("c", "a")]
            ),
            ["a.wasm:c", "b.wasm:a", "c.wasm:b", "y.wasm:x"]
        );
    }

    #[test]
    fn a_file_that_keeps_its_name_is_not_replaced() {
        assert_eq!(
            renamed(&["a", "b", "c"], &[("a", "b"), ("b", "c")]),
            ["a.wasm:a", "b.wasm:b", "c.wasm:c"]
        );
        assert_eq!(
            renamed(&["b"], &[("a", "b")]),
            ["b.wasm:b"],
            "a was never built"
        );
    }
}
