//! The URL of a store, as an operator writes it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::model::{Durability, OpenError};

use super::postgres;
use super::postgres::database::{Database, InvalidDatabase};

/// Where deliveries are kept: `store` in the configuration. The default is `sqlite:alert-manager.db`, in the working directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sqlite:FILE`.
    Sqlite(PathBuf),
    /// `postgres://USER@HOST/DATABASE`.
    Postgres(Box<Database>),
}

impl StoreUrl {
    /// Returns the same store with a relative path resolved against `folder`.
    #[must_use]
    pub fn relative_to(self, folder: &Path) -> Self {
        match self {
            Self::Sqlite(file) => Self::Sqlite(folder.join(file)),
            Self::Postgres(database) => Self::Postgres(database.relative_to(folder).into()),
        }
    }

    /// Returns the same store with the passwords of this file, in libpq's format (`PGPASSFILE`), unless the URL says where the
    /// password is.
    #[must_use]
    pub fn or_passfile(self, path: &Path) -> Self {
        match self {
            Self::Sqlite(_) => self,
            Self::Postgres(database) => Self::Postgres(database.or_passfile(path).into()),
        }
    }

    /// Returns the path on this machine of what belongs to the store but is not part of it, such as `alert-manager.db.cache` for
    /// `cache`. Only the server may write to its folder.
    #[must_use]
    pub fn local_path(&self, extension: &str) -> PathBuf {
        let beside = match self {
            Self::Sqlite(file) => file,
            Self::Postgres(database) => database.beside(),
        };
        let mut path = beside.as_os_str().to_owned();
        path.push(".");
        path.push(extension);
        path.into()
    }
}

impl StoreUrl {
    /// Asks a database whether what it commits outlives a fail-over; returns nothing for a file. Blocks.
    #[must_use]
    pub fn durability(&self) -> Option<Result<Durability, OpenError>> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(database) => Some(postgres::durability(database)),
        }
    }
}

impl Default for StoreUrl {
    fn default() -> Self {
        Self::Sqlite("alert-manager.db".into())
    }
}

/// Writes where the store is, without a password.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(file) => file.display().fmt(f),
            Self::Postgres(database) => database.fmt(f),
        }
    }
}

/// A text that is not the URL of a store. It says what to write, and does not repeat the text, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStoreUrl {
    /// It is meant to name a database.
    #[error(transparent)]
    Database(#[from] InvalidDatabase),
    /// It is anything else.
    #[error("write sqlite:FILE, as in sqlite:alert-manager.db, or postgres://USER@HOST/DATABASE")]
    Malformed,
}

impl FromStr for StoreUrl {
    type Err = InvalidStoreUrl;

    fn from_str(text: &str) -> Result<Self, InvalidStoreUrl> {
        if Database::is_meant(text) {
            return Ok(Self::Postgres(Box::new(text.parse()?)));
        }
        let file = text
            .strip_prefix("sqlite:")
            .map(|file| file.strip_prefix("//").unwrap_or(file))
            .filter(|file| !file.is_empty() && !file.starts_with(':'));
        file.map_or(Err(InvalidStoreUrl::Malformed), |file| {
            Ok(Self::Sqlite(file.into()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_the_file_that_follows_the_scheme_or_is_refused_with_advice() {
        let sqlite = |file: &str| Ok(StoreUrl::Sqlite(file.into()));
        for (text, parsed) in [
            ("sqlite:alert-manager.db", Ok(StoreUrl::default())),
            ("sqlite:/var/lib/a.db", sqlite("/var/lib/a.db")),
            ("sqlite:///var/lib/a.db", sqlite("/var/lib/a.db")),
            ("sqlite:", Err(InvalidStoreUrl::Malformed)),
            ("sqlite://", Err(InvalidStoreUrl::Malformed)),
            ("sqlite::memory:", Err(InvalidStoreUrl::Malformed)),
            ("alert-manager.db", Err(InvalidStoreUrl::Malformed)),
        ] {
            assert_eq!(text.parse(), parsed, "{text}");
        }
    }

    #[test]
    fn a_relative_path_is_resolved_and_an_absolute_one_is_kept() {
        let folder = Path::new("/etc/alert-manager");
        for (file, resolved) in [("a.db", "/etc/alert-manager/a.db"), ("/a.db", "/a.db")] {
            let url = StoreUrl::Sqlite(file.into()).relative_to(folder);
            assert_eq!(url.to_string(), resolved);
            assert_eq!(
                url.local_path("cache"),
                Path::new(&format!("{resolved}.cache"))
            );
        }
    }
}
