//! The cache of compiled modules on disk. Its files run as machine code, so only this server may write to the folder.

use std::collections::HashMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::sandbox::engine::Effort;
use alert_manager_core::description::Description;

/// The version of the format of the stored files.
const FORMAT: u32 = 3;

/// Why the folder of the cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The folder cannot be created or written to.
    #[error("the folder for precompiled modules, {path}, cannot be used: {source}")]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Another user owns the folder, and could put code into it.
    #[error(
        "the folder for precompiled modules, {0}, belongs to another user: name one of your own"
    )]
    NotOurs(PathBuf),
    /// The path is a link or a file.
    #[error("the folder for precompiled modules, {0}, is a link, or not a folder: remove it")]
    NotAFolder(PathBuf),
}

/// The description of a module and its imports. If they are stored, loading the module again needs no call of `describe`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) description: Description,
    pub(crate) imports: Vec<String>,
}

/// A cache in a folder.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
    /// The checked folder, held open so that it is used even if its path refers to another one later.
    #[cfg(target_os = "linux")]
    _held: fs::File,
    /// The prefix of file names, which depends on the engine, its settings, the processor, [`FORMAT`] and [`Effort`].
    prefix: String,
    bytes_max: u64,
}

impl Cache {
    /// Opens the cache in `dir`, which is created if it is missing.
    ///
    /// # Errors
    /// If the folder cannot be used.
    pub(crate) fn open(
        dir: PathBuf,
        engine: &Engine,
        effort: Effort,
        bytes_max: u64,
    ) -> Result<Self, CacheError> {
        let unusable = |source| CacheError::Unusable {
            path: dir.clone(),
            source,
        };
        let found = private(&dir).map_err(unusable)?;
        let held = match found {
            Found::Ours(held) => held,
            Found::Another => return Err(CacheError::NotOurs(dir)),
            Found::NoFolder => return Err(CacheError::NotAFolder(dir)),
        };
        let dir = path_of(&held, dir);
        let mut hasher = DefaultHasher::new();
        FORMAT.hash(&mut hasher);
        effort.hash(&mut hasher);
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self {
            prefix: format!("{:016x}-", hasher.finish()),
            dir,
            #[cfg(target_os = "linux")]
            _held: held,
            bytes_max,
        })
    }

    /// Returns the module with this hash and its description, if both are stored.
    pub(crate) fn get(&self, engine: &Engine, sha256: &str) -> Option<(Component, Known)> {
        let code = self.path(sha256, "cwasm");
        let known = fs::read(self.path(sha256, "json")).ok()?;
        let known = serde_json::from_slice(&known).ok()?;
        let component = deserialize(engine, &code).ok()?;
        // Eviction goes by this time.
        let _ = fs::File::open(&code).and_then(|file| file.set_modified(SystemTime::now()));
        Some((component, known))
    }

    /// Creates a file for compiled code. It is deleted when it is dropped, unless it was passed to [`Self::put`].
    pub(crate) fn new_file(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::new_in(&self.dir)
    }

    /// Stores compiled code and returns it as a component, which is mapped from the file and so shares the page cache.
    pub(crate) fn put(
        &self,
        engine: &Engine,
        sha256: &str,
        code: NamedTempFile,
    ) -> Result<Component, LoadFromCacheError> {
        let path = self.path(sha256, "cwasm");
        code.as_file().sync_all()?;
        code.persist(&path).map_err(|error| error.error)?;
        let component = deserialize(engine, &path).map_err(LoadFromCacheError::Code)?;
        self.evict(&path);
        Ok(component)
    }

    /// Stores the description of a module.
    pub(crate) fn put_known(&self, sha256: &str, known: &Known) -> io::Result<()> {
        let text = serde_json::to_vec(known)?;
        self.write(&self.path(sha256, "json"), &text)
    }

    fn path(&self, sha256: &str, extension: &str) -> PathBuf {
        self.dir
            .join(format!("{}{sha256}.{extension}", self.prefix))
    }

    /// Writes a file completely or not at all, even if the machine stops meanwhile.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        use std::io::Write as _;
        let mut file = self.new_file()?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }

    /// Deletes the least recently used modules, except `kept`, until the rest is within the bound. A module's code and
    /// description are deleted together, because neither is of use without the other.
    fn evict(&self, kept: &Path) {
        let Ok(entries) = fs::read_dir(&self.dir) else {
            return;
        };
        let mut modules = HashMap::<_, (SystemTime, Vec<(u64, PathBuf)>)>::new();
        let mut bytes = 0;
        for entry in entries.flatten() {
            let path = entry.path();
            let (Ok(metadata), Some(stem)) = (entry.metadata(), path.file_stem()) else {
                continue;
            };
            bytes += metadata.len();
            let (used_at, files) = modules
                .entry(stem.to_owned())
                .or_insert((SystemTime::UNIX_EPOCH, Vec::new()));
            *used_at = metadata.modified().unwrap_or(*used_at).max(*used_at);
            files.push((metadata.len(), path));
        }
        modules.retain(|stem, _| kept.file_stem() != Some(stem));
        let mut modules: Vec<_> = modules.into_values().collect();
        modules.sort();
        for (_, files) in modules {
            if bytes <= self.bytes_max {
                break;
            }
            for (length, path) in files {
                if fs::remove_file(&path).is_ok() {
                    bytes -= length;
                }
            }
        }
    }
}

/// Why compiled code could not be stored or mapped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadFromCacheError {
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

/// What is at the folder's path.
enum Found {
    Ours(fs::File),
    Another,
    NoFolder,
}

/// Creates the folder if it is missing. Removes the permissions of other users; deletes its content if others could write to
/// it.
fn private(dir: &Path) -> io::Result<Found> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .or_else(|error| match error.kind() {
            // What is there is examined below.
            io::ErrorKind::AlreadyExists => Ok(()),
            _ => Err(error),
        })?;
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    let held = match rustix::fs::open(dir, flags, Mode::empty()) {
        Ok(held) => fs::File::from(held),
        Err(Errno::LOOP | Errno::NOTDIR) => return Ok(Found::NoFolder),
        // Only another user's folder cannot be read.
        Err(Errno::ACCESS) => return Ok(Found::Another),
        Err(error) => return Err(error.into()),
    };
    let metadata = held.metadata()?;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Ok(Found::Another);
    }
    let mode = metadata.permissions().mode();
    if mode & 0o077 != 0 {
        held.set_permissions(fs::Permissions::from_mode(0o700))?;
    }
    if mode & 0o022 != 0 {
        // Others may have put code there.
        for entry in fs::read_dir(dir)? {
            fs::remove_file(entry?.path())?;
        }
    }
    Ok(Found::Ours(held))
}

/// Returns a path to the folder that is held open, which stays valid if `dir` refers to another one later.
#[cfg(target_os = "linux")]
fn path_of(held: &fs::File, dir: PathBuf) -> PathBuf {
    use std::os::fd::AsRawFd as _;
    let path = PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()));
    if path.is_dir() { path } else { dir }
}

#[cfg(not(target_os = "linux"))]
fn path_of(_held: &fs::File, dir: PathBuf) -> PathBuf {
    dir
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn open(dir: &Path) -> Result<Cache, CacheError> {
        Cache::open(dir.to_owned(), &Engine::default(), Effort::Full, 1 << 20)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn only_the_owner_can_read_the_folder_and_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("a/cache");
        let cache = open(&dir).unwrap();
        let file = cache.new_file().unwrap();
        assert_eq!((mode(&dir), mode(file.path())), (0o700, 0o600));
    }

    #[test]
    fn the_content_of_a_folder_that_others_could_write_to_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("cache");
        for (before, stays) in [(0o755, true), (0o775, false), (0o777, false)] {
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("planted.cwasm"), "code").unwrap();
            fs::set_permissions(&dir, fs::Permissions::from_mode(before)).unwrap();
            open(&dir).unwrap();
            assert_eq!(mode(&dir), 0o700);
            assert_eq!(dir.join("planted.cwasm").exists(), stays, "{before:o}");
        }
    }

    #[test]
    fn a_link_instead_of_the_folder_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("elsewhere")).unwrap();
        let link = folder.path().join("cache");
        symlink("elsewhere", &link).unwrap();
        assert!(matches!(open(&link), Err(CacheError::NotAFolder(_))));
        fs::write(folder.path().join("file"), "").unwrap();
        let file = folder.path().join("file");
        assert!(matches!(open(&file), Err(CacheError::NotAFolder(_))));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_folder_that_replaces_it_later_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("cache");
        let cache = open(&dir).unwrap();
        fs::rename(&dir, folder.path().join("moved")).unwrap();
        fs::create_dir(&dir).unwrap();
        cache.write(&cache.path("x", "json"), b"ours").unwrap();
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
        let kept = fs::read_dir(folder.path().join("moved")).unwrap().count();
        assert_eq!(kept, 1);
    }

    #[test]
    fn the_code_that_was_used_longest_ago_is_removed_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = open(&folder.path().join("cache")).unwrap();
        for (name, seconds) in [("old", 1), ("older", 0), ("new", 2)] {
            let path = cache.path(name, "cwasm");
            cache.write(&path, &vec![0; 600 << 10]).unwrap();
            let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            fs::File::open(&path).unwrap().set_modified(at).unwrap();
        }
        cache.evict(&cache.path("new", "cwasm"));
        let left: Vec<_> = ["older", "old", "new"]
            .map(|name| cache.path(name, "cwasm").exists())
            .into();
        assert_eq!(left, [false, false, true]);
    }

    #[test]
    fn what_is_known_of_a_module_is_removed_together_with_its_code() {
        let folder = tempfile::tempdir().unwrap();
        let cache = open(&folder.path().join("cache")).unwrap();
        let put = |name, extension, bytes, seconds| {
            let path = cache.path(name, extension);
            cache.write(&path, &vec![0; bytes]).unwrap();
            let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            fs::File::open(&path).unwrap().set_modified(at).unwrap();
        };
        // `daily` was described long ago and used today; `idle` was described later, and used before that.
        put("daily", "json", 100, 0);
        put("daily", "cwasm", 400 << 10, 9);
        put("idle", "cwasm", 400 << 10, 2);
        put("idle", "json", 100, 3);
        put("new", "cwasm", 400 << 10, 10);
        cache.evict(&cache.path("new", "cwasm"));
        let has = |name, extension| cache.path(name, extension).exists();
        assert!(has("daily", "json") && has("daily", "cwasm"));
        assert!(!has("idle", "json") && !has("idle", "cwasm"));
        assert!(has("new", "cwasm"));
    }
}
