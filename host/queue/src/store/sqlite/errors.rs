//! What `SQLite`'s errors mean, and what is to be done about them.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::model::OpenError;
use crate::store::StoreError;

/// Says that a store is damaged.
pub(super) fn damaged(path: &Path, reason: &str) -> OpenError {
    OpenError::Damaged {
        path: path.into(),
        reason: reason.replace('\n', "; "),
    }
}

/// Says that the system does not let the store be written.
pub(super) fn unwritable(path: &Path, error: &std::io::Error) -> OpenError {
    OpenError::Unwritable {
        path: path.into(),
        reason: error.to_string(),
    }
}

/// Sorts an error of the store by what is to be done about it.
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

/// Returns why the store fails, for the person who has to mend it.
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
