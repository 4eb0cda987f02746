//! The thread that writes.

pub(crate) mod inbox;
