//! Finds the folders that hold handler projects.

mod cargo_toml;
mod package_json;
mod pyproject_toml;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::{BuildError, Language, contract};

/// A folder with the source of one handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// The package's name; the component is called `NAME.wasm`.
    pub name: String,
    /// The folder.
    pub dir: PathBuf,
    /// What its language needs to know.
    pub(crate) kind: Kind,
}

/// What a manifest says of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Rust(RustProject),
    Python(PythonProject),
    TypeScript(TypeScriptProject),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RustProject {
    /// The stem of the compiler's output file.
    pub(crate) library_stem: String,
    /// The packages that it depends on.
    pub(crate) dependencies: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PythonProject {
    /// The interfaces that it imports, besides those that every handler has.
    pub(crate) needs: Vec<String>,
    /// The SDK's folder, below the project's if it is relative.
    pub(crate) sdk: PathBuf,
    /// The author's module.
    pub(crate) module: String,
    /// The packages that it depends on, as pip takes them.
    pub(crate) requirements: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TypeScriptProject {
    /// The interfaces that it imports, besides those that every handler has.
    pub(crate) needs: Vec<String>,
    /// The SDK's folder, below the project's if it is relative.
    pub(crate) sdk: PathBuf,
    /// The author's file, below the project's folder.
    pub(crate) main: PathBuf,
}

impl Project {
    /// Returns the language that it is written in.
    #[must_use]
    pub fn language(&self) -> Language {
        match self.kind {
            Kind::Rust(_) => Language::Rust,
            Kind::Python(_) => Language::Python,
            Kind::TypeScript(_) => Language::TypeScript,
        }
    }

    /// Returns the folder for what its build makes on the way, in Python and TypeScript.
    pub(crate) fn build_dir(&self) -> PathBuf {
        self.dir.join("target/alert-manager").join(&self.name)
    }
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

    /// Takes out projects whose name another one has: each would replace the other's component.
    fn refuse_duplicates(&mut self) {
        self.projects
            .sort_by(|a, b| (&a.name, &a.dir).cmp(&(&b.name, &b.dir)));
        let mut before: Option<(String, PathBuf)> = None;
        let unreadable = &mut self.unreadable;
        self.projects.retain(|project| {
            let other = before.as_ref().filter(|(name, _)| *name == project.name);
            if let Some((_, other)) = other {
                unreadable.push(BuildError::SameName {
                    name: project.name.clone(),
                    first: other.clone(),
                    second: project.dir.clone(),
                });
                return false;
            }
            before = Some((project.name.clone(), project.dir.clone()));
            true
        });
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
    found.refuse_duplicates();
    Ok(found)
}

/// Returns whether a folder is a handler project itself, even if its manifest has a mistake.
#[must_use]
pub fn is_project(dir: &Path) -> bool {
    !matches!(project_at(dir), Ok(None))
}

/// What a manifest says.
struct Manifest {
    name: String,
    kind: Kind,
}

type Read = fn(&Path, &str) -> Result<Option<Manifest>, BuildError>;

/// The manifests by which a folder is recognized.
const MANIFESTS: [(&str, Read); 3] = [
    ("Cargo.toml", cargo_toml::read),
    ("pyproject.toml", pyproject_toml::read),
    ("package.json", package_json::read),
];

fn project_at(dir: &Path) -> Result<Option<Project>, BuildError> {
    for (file, read) in MANIFESTS {
        let path = dir.join(file);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                continue;
            }
            Err(error) => return Err(BuildError::io("reading", path)(error)),
        };
        if let Some(Manifest { name, kind }) = read(&path, &text)? {
            // Tools are run in other folders, so the path must be absolute.
            let dir = fs::canonicalize(dir).map_err(BuildError::io("resolving", dir))?;
            return Ok(Some(Project { name, dir, kind }));
        }
    }
    Ok(None)
}

/// Returns the name if it is one that a file and a handler can have.
fn checked_name(
    path: &Path,
    text: &str,
    name: Option<String>,
    remedy: &str,
) -> Result<String, BuildError> {
    let Some(name) = name else {
        let problem = format!("the project has no name: {remedy}");
        return Err(BuildError::manifest(path, None, problem));
    };
    let is_kebab_case = name.split('-').all(|word| {
        !word.is_empty()
            && word
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    });
    if is_kebab_case {
        return Ok(name);
    }
    let problem =
        format!("the name {name:?} is not in kebab-case: write lowercase words, such as disk-full");
    Err(BuildError::manifest(path, line_of(text, &name), problem))
}

/// Returns the interfaces of `needs`, each of them once and in the contract's order.
fn checked_needs(path: &Path, text: &str, needs: Vec<String>) -> Result<Vec<String>, BuildError> {
    let known = contract::interfaces();
    for need in &needs {
        if known.contains(&need.as_str()) {
            continue;
        }
        let line = line_of(text, need);
        let problem = match &**need {
            "config" | "log" => {
                format!("`needs` has {need:?}, which every handler has: remove it")
            }
            _ => {
                let meant = closest(need, &known)
                    .map(|meant| format!(". Did you mean {meant:?}?"))
                    .unwrap_or_default();
                format!(
                    "`needs` has {need:?}, but the interfaces are {}{meant}",
                    known.join(", ")
                )
            }
        };
        return Err(BuildError::manifest(path, line, problem));
    }
    let is_needed = |interface: &&str| needs.iter().any(|need| need == interface);
    Ok(known
        .into_iter()
        .filter(is_needed)
        .map(str::to_owned)
        .collect())
}

/// Returns the number of the first line that has `value` in quotes.
fn line_of(text: &str, value: &str) -> Option<usize> {
    let quoted = [
        format!("\"{value}"),
        format!("'{value}"),
        format!("/{value}\""),
    ];
    let has_it = |line: &str| quoted.iter().any(|quoted| line.contains(quoted));
    text.lines().position(has_it).map(|at| at + 1)
}

/// Returns the number of the first line that has `word`.
fn line_with(text: &str, word: &str) -> Option<usize> {
    let at = text.lines().position(|line| line.contains(word));
    at.map(|at| at + 1)
}

/// Returns the one of the names that is `word` but for case, hyphens and underscores, or for a character.
fn misspelt<'a>(word: &str, mut names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| {
        let letters = name.chars().filter(|c| !matches!(c, '-' | '_'));
        letters.collect::<String>().to_ascii_lowercase()
    };
    let plain_word = plain(word);
    names.find(|name| *name != word && distance(&plain(name), &plain_word) <= 1)
}

fn toml_error(path: &Path, text: &str, error: &toml::de::Error) -> BuildError {
    let line = error.span().map(|span| {
        text.as_bytes()[..span.start.min(text.len())]
            .iter()
            .filter(|b| **b == b'\n')
            .count()
            + 1
    });
    let problem = error.message().lines().collect::<Vec<_>>().join(", ");
    BuildError::manifest(path, line, problem)
}

/// Returns the word that differs from `word` in the fewest characters, if at most two of them.
fn closest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let distances = known.iter().map(|known| (distance(word, known), *known));
    distances
        .filter(|(distance, known)| *distance <= 2 && *distance < known.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Returns how many characters must be inserted, removed or replaced (the Levenshtein distance).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_interface_is_recognized() {
        let known = ["http", "slack", "kv"];
        for (word, meant) in [
            ("slak", Some("slack")),
            ("htttp", Some("http")),
            ("vk", None),
            ("kvs", Some("kv")),
            ("database", None),
        ] {
            assert_eq!(closest(word, &known), meant, "{word}");
        }
    }
}
