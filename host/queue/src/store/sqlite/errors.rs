//! Conversion of `SQLite`'s errors.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::model::OpenError;
use crate::store::StoreError;

/// Returns the error of a store that is damaged.
pub(super) fn damaged(path: &Path, reason: &str) -> OpenError {
    OpenError::Damaged {
        path: path.into(),
        reason: reason.replace('\n', "; "),
    }
}

/// Returns the error of a store that the system does not allow to be written.
pub(super) fn unwritable(path: &Path, error: &std::io::Error) -> OpenError {
    OpenError::Unwritable {
        path: path.into(),
        reason: error.to_string(),
    }
}

/// Returns the error of a store that cannot be opened.
pub(super) fn failed(path: &Path, error: &rusqlite::Error) -> OpenError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            damaged(path, &error.to_string())
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            OpenError::Unwritable {
                path: path.into(),
                reason: error.to_string(),
            }
        }
        _ => OpenError::Failed {
            path: path.into(),
            reason: reason(error),
        },
    }
}

/// Returns the reason of an error, for people.
pub(super) fn reason(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk is full".into(),
        Some(ErrorCode::SystemIoFailure) => format!("the disk fails ({error})"),
        Some(ErrorCode::DatabaseCorrupt) => format!("the store is damaged ({error})"),
        _ => error.to_string(),
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let why = reason(&error);
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Repeat(why),
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly(why),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Fatal(why),
            _ => Self::Away(why),
        }
    }
}
