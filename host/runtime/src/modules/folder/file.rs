//! One file of the folder: its signature, who could have written it, and its bytes.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::modules::load_error::{LoadError, blocking};
use crate::modules::source::Content;

/// The metadata of a file, by which a change of its content is recognized without reading it. A link to another file or a
/// rename over the file changes the inode, even if time and length are the same. Writing in place and resetting the
/// modification time (`rsync --inplace --times`) changes the inode's change time, which cannot be reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) length: u64,
    pub(super) modified: Option<SystemTime>,
    pub(super) inode: u64,
    /// Seconds and nanoseconds.
    pub(super) inode_changed: (i64, i64),
    pub(super) is_file: bool,
    /// True if others than the owner could write it. A change of this is treated as a change of the file.
    pub(super) is_exposed: bool,
}

impl Signature {
    /// Returns true if it is the same file with another name. A rename changes the inode's change time on most file systems.
    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        (self.inode, self.length, self.modified) == (other.inode, other.length, other.modified)
    }

    /// Returns the signature of the file `path` in the folder `dir`, following links; `None` if there is no file.
    pub(super) fn of(dir: &Path, path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        #[cfg(unix)]
        let (inode, inode_changed) = {
            use std::os::unix::fs::MetadataExt as _;
            (metadata.ino(), (metadata.ctime(), metadata.ctime_nsec()))
        };
        #[cfg(not(unix))]
        let (inode, inode_changed) = (0, (0, 0));
        Some(Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            inode,
            inode_changed,
            is_file: metadata.is_file(),
            is_exposed: exposure(dir, path).is_some(),
        })
    }
}

/// Reads the file that had this signature at the last scan.
///
/// # Errors
/// If it is not a regular file, is larger than `bytes_max`, cannot be read or has changed since.
pub(super) async fn content(
    dir: PathBuf,
    path: PathBuf,
    signature: Signature,
    bytes_max: u64,
) -> Result<Content, LoadError> {
    blocking(move || {
        let content = content_now(&dir, &path, signature, bytes_max);
        // Compared last: neither bytes nor an error count if the file is not the one that was offered.
        match Signature::of(&dir, &path) {
            Some(now) if now != signature => Err(LoadError::Changed),
            _ => content,
        }
    })
    .await
}

fn content_now(
    dir: &Path,
    path: &Path,
    signature: Signature,
    bytes_max: u64,
) -> Result<Content, LoadError> {
    let irregular =
        || LoadError::NotAComponent("it is not a regular file, nor a link to one".to_owned());
    if !signature.is_file {
        return Err(irregular());
    }
    if signature.length > bytes_max {
        return Err(LoadError::NotAComponent(format!(
            "it has {} bytes; at most {bytes_max} are taken (sandbox.module_bytes)",
            signature.length
        )));
    }
    let bytes = read(path, bytes_max)
        .map_err(|error| unreadable(&error))?
        .ok_or_else(irregular)?;
    // Determined after reading: whoever can write to the file now could have written what was read.
    let exposure = exposure(dir, path);
    Ok(Content { bytes, exposure })
}

/// Returns the error for a file that cannot be read. Unless the file is missing, it may be readable later.
pub(super) fn unreadable(error: &io::Error) -> LoadError {
    let why = format!("it cannot be read: {error}");
    match error.kind() {
        io::ErrorKind::NotFound => LoadError::NotAComponent(why),
        _ => LoadError::Host(why),
    }
}

/// Returns who besides the owner could write to a module's file or replace it: everybody who can write to the folder, to the
/// file, or to the folder of a link's target. `None` if nobody could.
#[cfg(unix)]
fn exposure(dir: &Path, path: &Path) -> Option<String> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let look = || {
        let owner = fs::metadata(dir)?.uid();
        let trusted = [owner, 0, rustix::process::geteuid().as_raw()];
        let real = fs::canonicalize(path)?;
        for place in [dir, real.parent().unwrap_or(dir), &real] {
            let metadata = fs::metadata(place)?;
            let mode = metadata.permissions().mode() & 0o7777;
            if mode & 0o022 != 0 {
                let place = place.display();
                return Ok(Some(format!(
                    "{place} can be written to by others than its owner (mode {mode:o})"
                )));
            }
            if !trusted.contains(&metadata.uid()) {
                let (place, dir) = (place.display(), dir.display());
                return Ok(Some(format!("{place} belongs to another user than {dir}")));
            }
        }
        io::Result::Ok(None)
    };
    look().unwrap_or_else(|error| {
        Some(format!(
            "who can write to {} cannot be seen ({error})",
            path.display()
        ))
    })
}

#[cfg(not(unix))]
fn exposure(_dir: &Path, _path: &Path) -> Option<String> {
    None
}

/// Reads at most `bytes_max` + 1 bytes of a file; `None` if it is not a regular file, which may have replaced one since the
/// scan.
fn read(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let mut options = fs::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        // Without this flag, opening a FIFO would wait for a writer.
        let flags = rustix::fs::OFlags::NONBLOCK.bits();
        options.custom_flags(flags.cast_signed());
    }
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
