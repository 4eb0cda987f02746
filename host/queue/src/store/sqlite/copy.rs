//! The copy of a store that is made before a migration, so that an operator can return to the earlier version.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode};

use crate::model::OpenError;

use super::errors::{failed, reason};

/// Returns the path of the copy of a store with this layout, such as `alert-manager.db.layout-3`.
fn place(store: &Path, layout: i64) -> PathBuf {
    with_end(store, &format!(".layout-{layout}"))
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
enum CopyError {
    #[error("{}", reason(.0))]
    Store(#[from] rusqlite::Error),
    #[error(transparent)]
    Disk(#[from] std::io::Error),
    #[error("its path is not UTF-8")]
    Name,
}

/// Copies the store, and replaces an earlier copy of the same layout. The copy is written under another name, and is durable when
/// it gets its own. If `store` is a symbolic link, the copy is in the folder of the file that it points to.
///
/// # Errors
/// If the disk is full, the folder cannot be written, or the store is damaged.
pub(super) fn keep(conn: &Connection, store: &Path, layout: i64) -> Result<(), OpenError> {
    let real = fs::canonicalize(store).unwrap_or_else(|_| store.into());
    let to = place(&real, layout);
    tracing::info!(
        "the store {} has the layout {layout} of an older version: a copy of it is made as {}",
        store.display(),
        to.display()
    );
    let new = with_end(&to, ".new");
    let kept = write(conn, &new)
        .and_then(|()| fs::rename(&new, &to).map_err(CopyError::Disk))
        .and_then(|()| sync_folder(&real).map_err(CopyError::Disk));
    kept.map_err(|why| {
        // A part of a copy is of no use.
        let _ = fs::remove_file(&new);
        if let CopyError::Store(error) = &why
            && error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt)
        {
            return failed(store, error);
        }
        OpenError::Failed {
            path: store.into(),
            reason: format!(
                "it is of an older version, and the copy {} cannot be made that is kept before it is migrated: {why}. \
                 The copy takes as much room as the store: make room there, and start again",
                to.display()
            ),
        }
    })
}

fn write(conn: &Connection, to: &Path) -> Result<(), CopyError> {
    match fs::remove_file(to) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    // Like the store, for this user alone. Creation fails if there is a file or link with this name, which another user may have
    // put there.
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)?;
    let name = to.to_str().ok_or(CopyError::Name)?;
    conn.execute("VACUUM INTO ?1", [name])?;
    file.sync_all()?;
    Ok(())
}

fn sync_folder(store: &Path) -> std::io::Result<()> {
    let folder = store.parent().filter(|p| !p.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use std::os::unix::fs::symlink;

    /// A store in a folder, closed.
    fn store(folder: &Path) -> PathBuf {
        let path = folder.join("store.db");
        let conn = Connection::open(&path).unwrap();
        conn.execute_batch(
            "PRAGMA page_size = 4096;
             CREATE TABLE t (x BLOB);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
             INSERT INTO t SELECT randomblob(200) FROM n;",
        )
        .unwrap();
        path
    }

    #[test]
    fn the_copy_of_a_store_behind_a_link_is_beside_the_store() {
        let (real, links) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = store(real.path());
        let link = links.path().join("alert-manager.db");
        symlink(&path, &link).unwrap();
        keep(&Connection::open(&link).unwrap(), &link, 3).unwrap();
        assert!(real.path().join("store.db.layout-3").exists());
        assert_eq!(fs::read_dir(links.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_in_the_place_of_the_copy_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = store(folder.path());
        let elsewhere = folder.path().join("elsewhere");
        for end in [".layout-3.new", ".layout-3"] {
            symlink(&elsewhere, with_end(&path, end)).unwrap();
        }
        keep(&Connection::open(&path).unwrap(), &path, 3).unwrap();
        assert!(!elsewhere.exists());
        assert!(place(&path, 3).symlink_metadata().unwrap().is_file());
    }

    #[test]
    fn a_store_that_turns_out_to_be_damaged_is_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = store(folder.path());
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2 / 4096 * 4096;
        bytes[middle..middle + 4096].fill(0xff);
        fs::write(&path, bytes).unwrap();
        let refused = keep(&Connection::open(&path).unwrap(), &path, 3).unwrap_err();
        assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
        assert!(!refused.to_string().contains("room"), "{refused}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
