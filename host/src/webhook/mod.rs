//! How alerts come in.

mod payload;

pub use payload::*;
