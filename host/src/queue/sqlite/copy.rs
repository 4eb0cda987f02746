//! The copy of a store that is kept before it is migrated: the way back to the version that made it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::queue::errors::OpenError;

use super::schema::{private, reason};

/// Returns where the copy of a store of this layout is kept: beside it, as `alert-manager.db.layout-3`.
fn place(store: &Path, layout: i64) -> PathBuf {
    with_end(store, &format!(".layout-{layout}"))
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

/// Keeps a copy of the store as it is, in place of an earlier one of the same layout. It is whole on disk once this returns,
/// and has that name only then.
///
/// # Errors
/// If there is no room, or the folder cannot be written.
pub(super) fn keep(conn: &Connection, store: &Path, layout: i64) -> Result<(), OpenError> {
    let to = place(store, layout);
    tracing::info!(
        "the store {} has the layout {layout} of an older version: a copy of it is made as {}",
        store.display(),
        to.display()
    );
    let new = with_end(&to, ".new");
    let kept = write(conn, &new)
        .and_then(|()| fs::rename(&new, &to).map_err(|e| e.to_string()))
        .and_then(|()| sync_folder(store).map_err(|e| e.to_string()));
    kept.map_err(|why| {
        // Nobody asks for a part of a copy.
        let _ = fs::remove_file(&new);
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

fn write(conn: &Connection, to: &Path) -> Result<(), String> {
    match fs::remove_file(to) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.to_string()),
        _ => {}
    }
    // It has what the store has: it is for this user alone, too.
    let file = private(to).map_err(|e| e.to_string())?;
    let name = to.to_str().ok_or("its path is not UTF-8")?;
    conn.execute("VACUUM INTO ?1", [name])
        .map_err(|e| reason(&e))?;
    file.sync_all().map_err(|e| e.to_string())
}

fn sync_folder(store: &Path) -> std::io::Result<()> {
    let folder = store.parent().filter(|p| !p.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
