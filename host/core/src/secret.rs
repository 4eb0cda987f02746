//! Secrets, which are never printed, and the files that they are read from.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use zeroize::Zeroizing;

/// A file for a secret that is larger than this is refused: it must be another file.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// A token, password or key. Its `Debug` does not print it, and its memory is zeroed when the last clone is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<Zeroizing<Box<str>>>);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(value: &str) -> Self {
        Self(Arc::new(Zeroizing::new(value.into())))
    }

    /// Returns the text. To be called only where the secret is sent or compared.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}

/// Why a secret could not be read. Never contains a part of it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file does not exist or cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The file is empty.
    #[error("{0} is empty")]
    Empty(PathBuf),
    /// The file contains characters that no header can contain.
    #[error("{0} holds more than one line of text: it should hold the secret alone")]
    NotOneLine(PathBuf),
    /// The file is larger than any secret.
    #[error("{0} is larger than 64 KiB: it should hold the secret alone")]
    TooLarge(PathBuf),
}

/// The source of a secret. Clones share the value that was read last.
#[derive(Clone, Debug)]
pub struct SecretSource(Source);

#[derive(Clone, Debug)]
enum Source {
    Value(Secret),
    File(Arc<SecretFile>),
}

#[derive(Debug)]
struct SecretFile {
    path: PathBuf,
    last: Mutex<Option<(FileVersion, Secret)>>,
}

/// Identifies the content of a file without reading it. Kubernetes replaces a mounted secret by changing a symbolic link,
/// which changes the inode although time and length may be equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileVersion {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

/// Equal if the place is the same: a changed secret in the same file needs no new configuration.
impl PartialEq for SecretSource {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Source::Value(own), Source::Value(other)) => own == other,
            (Source::File(own), Source::File(other)) => own.path == other.path,
            _ => false,
        }
    }
}

impl Eq for SecretSource {}

impl SecretSource {
    /// Returns a source that always returns `secret`.
    #[must_use]
    pub fn value(secret: Secret) -> Self {
        Self(Source::Value(secret))
    }

    /// Returns a source that reads the file `path`, and reads it again if it has changed.
    #[must_use]
    pub fn file(path: PathBuf) -> Self {
        Self(Source::File(Arc::new(SecretFile {
            path,
            last: Mutex::new(None),
        })))
    }

    /// Returns the file, if any.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            Source::Value(_) => None,
            Source::File(file) => Some(&file.path),
        }
    }

    /// Returns the current secret, without the white space around it.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or does not contain a single line of text.
    pub fn read(&self) -> Result<Secret, SecretError> {
        match &self.0 {
            Source::Value(secret) => Ok(secret.clone()),
            Source::File(file) => file.read(),
        }
    }
}

impl SecretFile {
    fn read(&self) -> Result<Secret, SecretError> {
        let unreadable = |source| SecretError::Unreadable {
            path: self.path.clone(),
            source,
        };
        let version = FileVersion::from_metadata(&fs::metadata(&self.path).map_err(unreadable)?);
        let mut last = self.last.lock();
        if let Some((known, secret)) = last.as_ref()
            && *known == version
        {
            return Ok(secret.clone());
        }
        if version.length > SECRET_BYTES_MAX {
            return Err(SecretError::TooLarge(self.path.clone()));
        }
        let bytes = read_once(&self.path, version.length).map_err(unreadable)?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| SecretError::NotOneLine(self.path.clone()))?
            .trim();
        if text.is_empty() {
            return Err(SecretError::Empty(self.path.clone()));
        }
        if text.contains(char::is_control) {
            return Err(SecretError::NotOneLine(self.path.clone()));
        }
        let secret = Secret::new(text);
        *last = Some((version, secret.clone()));
        Ok(secret)
    }
}

/// Reads a file into one buffer that is zeroed when dropped: a growing buffer would leave copies of the secret in memory.
fn read_once(path: &Path, length: u64) -> std::io::Result<Zeroizing<Vec<u8>>> {
    use std::io::Read as _;
    // Larger than the file, so that its end is found without growing.
    let capacity = usize::try_from(length).unwrap_or(0) + 64;
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    fs::File::open(path)?
        .take(SECRET_BYTES_MAX)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl FileVersion {
    /// Returns the current version of a file; `None` if its metadata cannot be read.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        fs::metadata(path)
            .ok()
            .map(|metadata| Self::from_metadata(&metadata))
    }

    fn from_metadata(metadata: &fs::Metadata) -> Self {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            inode,
        }
    }
}

/// What a request proves itself with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// The header `Authorization: SCHEME CREDENTIALS`.
    Scheme {
        /// `type`: `Bearer` by default.
        scheme: String,
        /// `credentials`, `credentials_file` or `credentials_env`.
        credentials: SecretSource,
    },
    /// HTTP's basic authentication.
    Basic {
        /// `username`.
        username: String,
        /// `password`, `password_file` or `password_env`.
        password: SecretSource,
    },
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_secret_does_not_print() {
        let source = SecretSource::value(Secret::new("hunter2"));
        assert!(!format!("{source:?}").contains("hunter2"));
        assert_eq!(source.read().unwrap().expose(), "hunter2");
    }

    #[test]
    fn a_secret_is_read_without_its_buffer_growing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "x".repeat(5_000)).unwrap();
        let bytes = read_once(&path, 5_000).unwrap();
        assert_eq!((bytes.len(), bytes.capacity()), (5_000, 5_064));
    }

    #[test]
    fn a_file_is_read_again_when_it_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "first\n").unwrap();
        let source = SecretSource::file(path.clone());
        assert_eq!(source.read().unwrap().expose(), "first");

        let next = folder.path().join("next");
        fs::write(&next, "other\n").unwrap();
        fs::rename(&next, &path).unwrap();
        assert_eq!(source.clone().read().unwrap().expose(), "other");
    }

    #[test]
    fn a_file_that_holds_no_secret_is_named_and_its_text_is_not() {
        let folder = tempfile::tempdir().unwrap();
        for (content, part) in [
            (" \n", "is empty"),
            ("hunter2\nhunter3", "more than one line"),
        ] {
            let path = folder.path().join("token");
            fs::write(&path, content).unwrap();
            let error = SecretSource::file(path).read().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
            assert!(!error.contains("hunter"), "{error}");
        }
        let missing = SecretSource::file(folder.path().join("none"));
        assert!(missing.read().unwrap_err().to_string().contains("none"));
    }
}
