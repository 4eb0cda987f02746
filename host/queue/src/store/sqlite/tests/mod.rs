//! What is `SQLite`'s own: its files, and the layouts that there have been.

#![allow(clippy::unwrap_used, reason = "tests")]

mod files;
mod layouts;
mod watched;

use super::bench::SqliteBench;
use crate::conformance::prelude::*;

type Harness = crate::conformance::prelude::Harness<SqliteBench>;
