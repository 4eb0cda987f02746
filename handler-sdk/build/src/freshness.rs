//! Uses the result of the last build again if nothing that it was made from has changed.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};

use crate::contract::write_if_changed;
use crate::{BuildError, Options, Project, Snapshot, walk};

/// The component within a build folder.
const COMPONENT: &str = "component.wasm";
/// The file that says what it was made from.
const MADE_FROM: &str = "made-from";

/// Returns the component of a project. `make` writes it to the path that it is given, unless it is there and was made from the
/// same sources and the same `settings`. Another process that builds the project is waited for.
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

    let (component, made_from) = (dir.join(COMPONENT), dir.join(MADE_FROM));
    let folders = project.source_folders(options);
    let before = Snapshot::of(&folders);
    let digest = digest(&folders, settings)?;
    if component.is_file() && fs::read_to_string(&made_from).is_ok_and(|made| made == digest) {
        return Ok(component);
    }
    // Whatever happens from here, the component is not that of these sources.
    let _ = fs::remove_file(&made_from);
    make(&component)?;
    // What was saved meanwhile may be in the component, in part.
    if Snapshot::of(&folders) == before {
        write_if_changed(&made_from, &digest)?;
    }
    Ok(component)
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
