//! Tests of what only the `SQLite` store has: files and earlier layouts.

#![allow(clippy::unwrap_used, reason = "tests")]

mod files;
mod layouts;
mod watched;

use super::bench::SqliteBench;
use crate::conformance::prelude::*;

type Harness = crate::conformance::prelude::Harness<SqliteBench>;
