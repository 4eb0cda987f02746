//! Uses the result of an earlier build again if it was made from the same sources. So what is undone in an editor has the digest
//! that it had before, although not every tool makes the same bytes of the same sources.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::{BuildError, Options, Project, Snapshot, walk};

/// The component within a build folder, while it is made.
const COMPONENT: &str = "component.wasm";
/// The folder with the latest components, each named by the digest of what it was made from.
const MADE: &str = "made";
/// How many components are kept: a Python component has 18 MB.
const MADE_MAX: usize = 4;

/// Returns the component of a project. `make` writes it to the path that it is given, unless one that was made from the
/// same sources and the same `settings` is kept. Another process that builds the project is waited for.
pub(crate) fn component(
    project: &Project,
    options: &Options,
    settings: &[&str],
    make: impl FnOnce(&Path) -> Result<(), BuildError>,
) -> Result<PathBuf, BuildError> {
    let dir = project.build_dir();
    fs::create_dir_all(&dir).map_err(BuildError::io("making the folder", &dir))?;
    let lock = dir.join("lock");
    let held = File::create(&lock).map_err(BuildError::io("making the file", &lock))?;
    held.lock().map_err(BuildError::io("locking", &lock))?;

    let component = dir.join(COMPONENT);
    let folders = project.source_folders(options);
    let before = Snapshot::of(&folders);
    let made = dir.join(MADE);
    let kept = made.join(format!("{}.wasm", digest(&folders, settings)?));
    if let Ok(file) = File::options().append(true).open(&kept) {
        // The latest to be used is the last to be removed.
        let _ = file.set_modified(SystemTime::now());
        return Ok(kept);
    }
    make(&component)?;
    // What was saved meanwhile may be in the component, in part.
    if Snapshot::of(&folders) != before {
        return Ok(component);
    }
    fs::create_dir_all(&made).map_err(BuildError::io("making the folder", &made))?;
    fs::rename(&component, &kept).map_err(BuildError::io("keeping", &kept))?;
    remove_old(&made);
    Ok(kept)
}

/// Removes the components that were not used for longest.
fn remove_old(made: &Path) {
    let entries = fs::read_dir(made).into_iter().flatten().flatten();
    let mut files: Vec<(SystemTime, PathBuf)> = entries
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    files.sort();
    let old = files.len().saturating_sub(MADE_MAX);
    for (_, path) in files.into_iter().take(old) {
        let _ = fs::remove_file(path);
    }
}

/// Returns a digest of everything that a component is made from. It recognizes changes, not attacks.
fn digest(folders: &[PathBuf], settings: &[&str]) -> Result<String, BuildError> {
    let mut hasher = DefaultHasher::new();
    let mut add = |bytes: &[u8]| {
        hasher.write_usize(bytes.len());
        hasher.write(bytes);
    };
    for setting in settings {
        add(setting.as_bytes());
    }
    let sources = walk(folders);
    if sources.is_cut {
        return Err(BuildError::TooManyFiles {
            folders: folders.to_vec(),
        });
    }
    for file in sources.files {
        add(file.as_os_str().as_encoded_bytes());
        add(&fs::read(&file).map_err(BuildError::io("reading", &file))?);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn sources_that_are_as_they_were_get_the_component_that_they_had() {
        let dir = std::env::temp_dir().join(format!("freshness-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let manifest = "[project]\nname = \"a\"\n[tool.alert-manager]\n";
        fs::write(dir.join("pyproject.toml"), manifest).unwrap();
        fs::write(dir.join("handler.py"), "").unwrap();
        let project = crate::discover(&dir).unwrap().projects.remove(0);
        let options = Options::new(&dir);
        let mut count = 0;
        let mut built = |source: &str| {
            fs::write(dir.join("handler.py"), source).unwrap();
            let made = component(&project, &options, &[], |path| {
                count += 1;
                fs::write(path, count.to_string()).unwrap();
                Ok(())
            });
            fs::read_to_string(made.unwrap()).unwrap()
        };
        let made = ["a", "b", "a", "a", "c", "b"].map(&mut built);
        assert_eq!(made, ["1", "2", "1", "1", "3", "2"]);
        for number in 0..=MADE_MAX {
            built(&number.to_string());
        }
        let kept = fs::read_dir(project.build_dir().join(MADE)).unwrap();
        assert_eq!(kept.count(), MADE_MAX, "the oldest are removed");
        fs::remove_dir_all(dir).unwrap();
    }
}
