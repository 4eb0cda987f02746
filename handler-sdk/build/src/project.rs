//! Finds the folders that hold handler projects.

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
    /// The language that it is written in.
    pub language: Language,
    /// The stem of the compiler's output file.
    pub(crate) library_stem: String,
}

/// The language of a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Language {
    /// A `Cargo.toml` whose library is a `cdylib`.
    Rust,
}

/// The handler projects of a folder.
#[derive(Debug, Default)]
pub struct Found {
    /// Those that can be built, sorted by name.
    pub projects: Vec<Project>,
    /// Errors of those that cannot be read; they do not stop the others.
    pub unreadable: Vec<BuildError>,
}

impl Found {
    fn look_at(&mut self, dir: &Path) {
        match project_at(dir) {
            Ok(project) => self.projects.extend(project),
            Err(error) => self.unreadable.push(error),
        }
    }
}

/// Returns the handler projects of a folder: the folder itself if it is one, otherwise those of its direct subfolders that
/// are. Other folders and files are ignored.
///
/// # Errors
/// Returns an error if the folder cannot be read.
pub fn discover(dir: &Path) -> Result<Found, BuildError> {
    let mut found = Found::default();
    found.look_at(dir);
    if !found.projects.is_empty() {
        return Ok(found);
    }
    let entries = fs::read_dir(dir).map_err(BuildError::io("reading the folder", dir))?;
    for entry in entries {
        let path = entry
            .map_err(BuildError::io("reading the folder", dir))?
            .path();
        if path.is_dir() {
            found.look_at(&path);
        }
    }
    found.projects.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
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
    // Cargo is run in another folder, so the path must be absolute.
    let dir = fs::canonicalize(dir).map_err(BuildError::io("resolving", dir))?;
    Ok(Some(Project {
        name,
        dir,
        language: Language::Rust,
        library_stem,
    }))
}
