//! Precompiled modules on disk, in a folder that only this server writes to: what is in it runs as machine code.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::Description;

/// Changes whenever what is stored beside a module changes its form.
const FORMAT: u32 = 1;

/// Why the cache's folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// It cannot be made or written to.
    #[error("the folder for precompiled modules, {path}, cannot be used: {source}")]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another user owns it, and could put code into it.
    #[error(
        "the folder for precompiled modules, {0}, belongs to another user: name one of your own"
    )]
    NotOurs(PathBuf),
}

/// What a module says of itself, kept so that a start does not have to ask again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) description: Description,
    pub(super) imports: Vec<String>,
}

/// The folder.
#[derive(Debug)]
pub(super) struct Cache {
    dir: PathBuf,
    /// Code compiled for another engine, processor or version is another file.
    prefix: String,
    bytes_max: u64,
}

impl Cache {
    /// Makes the folder, or takes over the one that is there.
    pub(super) fn open(dir: PathBuf, engine: &Engine, bytes_max: u64) -> Result<Self, CacheError> {
        let unusable = |source| CacheError::Unusable {
            path: dir.clone(),
            source,
        };
        make_private(&dir).map_err(unusable)?;
        if !is_ours(&dir).map_err(unusable)? {
            return Err(CacheError::NotOurs(dir));
        }
        let mut hasher = DefaultHasher::new();
        FORMAT.hash(&mut hasher);
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self {
            prefix: format!("{:016x}-", hasher.finish()),
            dir,
            bytes_max,
        })
    }

    /// Returns the module of this hash, and what is known of it.
    pub(super) fn get(&self, engine: &Engine, sha256: &str) -> Option<(Component, Known)> {
        let code = self.path(sha256, "cwasm");
        let known = fs::read(self.path(sha256, "json")).ok()?;
        let known = serde_json::from_slice(&known).ok()?;
        let component = deserialize(engine, &code).ok()?;
        // The oldest by this go first where the folder is full.
        let _ =
            fs::File::open(&code).and_then(|file| file.set_modified(std::time::SystemTime::now()));
        Some((component, known))
    }

    /// Keeps compiled code and returns it as a module: mapped from the file, so that its pages are
    /// shared with the page cache.
    pub(super) fn put(
        &self,
        engine: &Engine,
        sha256: &str,
        code: &[u8],
    ) -> Result<Component, LoadFromCacheError> {
        let path = self.path(sha256, "cwasm");
        self.write(&path, code)?;
        let component = deserialize(engine, &path).map_err(LoadFromCacheError::Code)?;
        self.evict(&path);
        Ok(component)
    }

    /// Keeps what a module said of itself: from now on it is loaded without asking.
    pub(super) fn put_known(&self, sha256: &str, known: &Known) -> io::Result<()> {
        let text = serde_json::to_vec(known)?;
        self.write(&self.path(sha256, "json"), &text)
    }

    fn path(&self, sha256: &str, extension: &str) -> PathBuf {
        self.dir
            .join(format!("{}{sha256}.{extension}", self.prefix))
    }

    /// Writes whole or not at all, also where the machine stops in between.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        use std::io::Write as _;
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }

    /// Removes the files used longest ago until the rest is within the bound.
    fn evict(&self, kept: &Path) {
        let Ok(entries) = fs::read_dir(&self.dir) else {
            return;
        };
        let mut files: Vec<_> = entries
            .flatten()
            .filter_map(|entry| {
                let metadata = entry.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len(), entry.path()))
            })
            .collect();
        files.sort();
        let mut bytes: u64 = files.iter().map(|(_, length, _)| length).sum();
        for (_, length, path) in files {
            if bytes <= self.bytes_max {
                break;
            }
            if path != kept && fs::remove_file(&path).is_ok() {
                bytes -= length;
            }
        }
    }
}

/// Why code that was just compiled could not be kept or mapped.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadFromCacheError {
    #[error("it cannot be written: {0}")]
    Write(#[from] io::Error),
    #[error("it cannot be mapped: {0:#}")]
    Code(wasmtime::Error),
}

#[allow(
    unsafe_code,
    reason = "machine code is trusted here because only this server writes to the folder (mode 0700, \
              checked to be its own), and a file there is named by the hash of what it was compiled from"
)]
fn deserialize(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file was written whole by `Cache::write` from this engine's own output: its name
    // holds the engine's compatibility hash, and nobody else can write to the folder.
    unsafe { Component::deserialize_file(engine, path) }
}

#[cfg(unix)]
fn make_private(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).or_else(|error| {
        // Another's folder cannot be changed: the next check says so in better words.
        if error.kind() == io::ErrorKind::PermissionDenied {
            Ok(())
        } else {
            Err(error)
        }
    })
}

#[cfg(not(unix))]
fn make_private(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)
}

/// Compares the folder's owner with that of a file that this process makes in it.
#[cfg(unix)]
fn is_ours(dir: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let probe = tempfile::NamedTempFile::new_in(dir)?;
    Ok(fs::metadata(dir)?.uid() == probe.as_file().metadata()?.uid())
}

#[cfg(not(unix))]
fn is_ours(_dir: &Path) -> io::Result<bool> {
    Ok(true)
}
