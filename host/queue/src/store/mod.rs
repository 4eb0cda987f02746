//! Where deliveries are kept.

pub(crate) mod sqlite;
