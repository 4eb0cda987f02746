//! The SDKs that the program carries: nothing of ours is on a registry, so a project that stands alone has a copy.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Lang;

/// The folder below a project that has its SDK.
pub(super) const DIR: &str = ".sdk";

/// The files of the SDKs: the folder of the language, the path in it, and the content. `build.rs` collects them.
static FILES: &[(&str, &str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

const README: &str = "This is the SDK of the program that made this project, since no registry has it. Do not edit it: a newer program\n\
                      replaces it by `alert-manager new --update-sdk DIR`.\n";

/// Returns the name of a language's folder.
pub(super) fn folder(lang: Lang) -> &'static str {
    match lang {
        Lang::Rust => "rust",
        Lang::Python => "python",
        Lang::Typescript => "typescript",
    }
}

/// Returns where this repository has the SDK of a language.
pub(super) fn in_repository(lang: Lang, root: &Path) -> PathBuf {
    let sdk = root.join("handler-sdk");
    match lang {
        Lang::Rust => sdk,
        Lang::Python | Lang::Typescript => sdk.join(folder(lang)),
    }
}

/// Returns whether a folder is the SDK of a language.
pub(super) fn is_at(lang: Lang, dir: &Path) -> bool {
    let file = match lang {
        Lang::Rust => "src/handler.rs",
        Lang::Python => "src/handler_sdk/__init__.py",
        Lang::Typescript => "tsconfig.handler.json",
    };
    dir.join(file).is_file()
}

/// Writes the SDK of a language below a project.
///
/// # Errors
/// If a file cannot be written.
pub(super) fn write_all(lang: Lang, project: &Path) -> anyhow::Result<()> {
    write_to(lang, &project.join(DIR))
}

fn write_to(lang: Lang, dir: &Path) -> anyhow::Result<()> {
    write(&dir.join("README.md"), README.as_bytes())?;
    let dir = dir.join(folder(lang));
    for (_, path, content) in FILES.iter().filter(|(of, ..)| *of == folder(lang)) {
        write(&dir.join(path), content)?;
    }
    Ok(())
}

/// The SDK that is being replaced.
const OLD: &str = ".sdk.old";

/// Puts the SDK back that [`replace`] has moved away, if it was cut off before the new one was in place.
///
/// # Errors
/// If it cannot be moved.
pub(super) fn restore(project: &Path) -> anyhow::Result<()> {
    let (dir, old) = (project.join(DIR), project.join(OLD));
    if dir.exists() || !old.exists() {
        return Ok(());
    }
    fs::rename(&old, &dir).with_context(|| format!("cannot restore {}", dir.display()))
}

/// Replaces the SDK of a language below a project.
///
/// # Errors
/// If a file cannot be written or removed.
pub(super) fn replace(lang: Lang, project: &Path) -> anyhow::Result<()> {
    let dir = project.join(DIR);
    let (fresh, old) = (project.join(".sdk.new"), project.join(OLD));
    restore(project)?;
    for left in [&fresh, &old] {
        match fs::remove_dir_all(left) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", left.display()));
            }
            _ => {}
        }
    }
    write_to(lang, &fresh)?;
    fs::rename(&dir, &old).with_context(|| format!("cannot replace {}", dir.display()))?;
    fs::rename(&fresh, &dir).with_context(|| format!("cannot replace {}", dir.display()))?;
    fs::remove_dir_all(&old).with_context(|| format!("cannot remove {}", old.display()))
}

/// Writes a file, and the folders above it.
///
/// # Errors
/// If it cannot be written.
pub(super) fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)
            .with_context(|| format!("cannot make the folder {}", dir.display()))?;
    }
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

/// Gives a folder the permissions that `mkdir` would have given it.
///
/// # Errors
/// If they cannot be set.
pub(super) fn make_usual(dir: &Path) -> anyhow::Result<()> {
    let probe = dir.join(".mode");
    fs::create_dir(&probe)
        .and_then(|()| fs::metadata(&probe))
        .and_then(|made| fs::set_permissions(dir, made.permissions()))
        .and_then(|()| fs::remove_dir(&probe))
        .with_context(|| format!("cannot set the permissions of {}", dir.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_replacement_that_was_cut_off_is_done_again() {
        let project = tempfile::tempdir().unwrap();
        let dir = project.path().join(DIR);
        write_all(Lang::Python, project.path()).unwrap();
        fs::write(dir.join("python/edited"), "").unwrap();
        // Between the two renames.
        fs::rename(&dir, project.path().join(OLD)).unwrap();
        fs::create_dir(project.path().join(".sdk.new")).unwrap();
        restore(project.path()).unwrap();
        assert!(dir.join("python/edited").is_file());
        replace(Lang::Python, project.path()).unwrap();
        assert!(is_at(Lang::Python, &dir.join("python")));
        assert!(!dir.join("python/edited").exists());
        assert_eq!(fs::read_dir(project.path()).unwrap().count(), 1);
    }
}
