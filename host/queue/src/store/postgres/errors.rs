//! Conversion of the database's errors. What they say is the server's message alone: its details quote stored values.

use std::error::Error as _;

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::model::ReadError;
use crate::store::StoreError;

use super::database::Database;

/// Returns the error of a connection that was not made.
pub(super) fn of_connect(database: &Database, error: &Error) -> StoreError {
    let why = reason(error);
    let advice = match error.code() {
        Some(&SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => {
            "; check the user and the password"
        }
        Some(&SqlState::INVALID_CATALOG_NAME) => "; create the database, or name another one",
        _ => "",
    };
    StoreError::Away(format!("cannot connect to {database}: {why}{advice}"))
}

/// Returns true if the database has refused a call, and goes on. It has not if it is being stopped, or the connection has failed.
pub(super) fn is_refusal(error: &Error) -> bool {
    let code = error.code().map(SqlState::code);
    code.is_some_and(|code| !matches!(&code[..2], "57" | "08"))
}

/// Returns the reason of an error, for people.
fn reason(error: &Error) -> String {
    if let Some(db) = error.as_db_error() {
        return match *db.code() {
            SqlState::DISK_FULL => "the database's disk is full".into(),
            SqlState::INSUFFICIENT_PRIVILEGE => format!(
                "{}; grant the user CREATE on the database, or make it the owner of its tables",
                db.message()
            ),
            _ => db.message().to_owned(),
        };
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        let why = reason(&error);
        let Some(code) = error.code() else {
            return match error.is_closed() {
                true => Self::Away("the database has closed the connection".into()),
                false => Self::Away(why),
            };
        };
        match (*code).clone() {
            SqlState::T_R_SERIALIZATION_FAILURE
            | SqlState::T_R_DEADLOCK_DETECTED
            | SqlState::LOCK_NOT_AVAILABLE => Self::Repeat(why),
            SqlState::READ_ONLY_SQL_TRANSACTION | SqlState::INSUFFICIENT_PRIVILEGE => {
                Self::ReadOnly(why)
            }
            SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => Self::Fatal(why),
            // Data that the tables cannot hold, and statements that they do not fit.
            other if matches!(&other.code()[..2], "22" | "23" | "42") => Self::Fatal(why),
            _ => Self::Away(why),
        }
    }
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}
