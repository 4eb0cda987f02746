//! Which folders hold handler projects.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::BuildError;
use crate::manifest::Manifest;

/// A folder with the source of one handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// The package's name; the component is called `NAME.wasm`.
    pub name: String,
    /// The folder.
    pub dir: PathBuf,
    /// What it is written in.
    pub language: Language,
    /// The stem of the file that the compiler writes.
    pub(crate) library_stem: String,
}

/// What a handler is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Language {
    /// A `Cargo.toml` whose library is a `cdylib`.
    Rust,
}

/// Returns the handler projects of a folder, sorted by name: the folder itself where it is one, else those
/// of its direct subfolders that are. Other folders and files are passed over.
///
/// # Errors
/// Where the folder, or a `Cargo.toml` in it, can't be read.
pub fn discover(dir: &Path) -> Result<Vec<Project>, BuildError> {
    if let Some(project) = project_at(dir)? {
        return Ok(vec![project]);
    }
    let entries = fs::read_dir(dir).map_err(BuildError::io("reading the folder", dir))?;
    let mut projects = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(BuildError::io("reading the folder", dir))?
            .path();
        if path.is_dir() {
            projects.extend(project_at(&path)?);
        }
    }
    projects.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(projects)
}

fn project_at(dir: &Path) -> Result<Option<Project>, BuildError> {
    let path = dir.join("Cargo.toml");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(BuildError::io("reading", path)(error)),
    };
    let manifest = Manifest::parse(&text);
    let (true, Some(name), Some(library_stem)) = (
        manifest.is_handler(),
        manifest.package.clone(),
        manifest.library_stem(),
    ) else {
        return Ok(None);
    };
    // Cargo is run from elsewhere: the folder's path must not depend on where we are.
    let dir = fs::canonicalize(dir).map_err(BuildError::io("resolving", dir))?;
    Ok(Some(Project {
        name,
        dir,
        language: Language::Rust,
        library_stem,
    }))
}
