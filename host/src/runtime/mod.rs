//! Runs handlers: WebAssembly components, each call in a store of its own, with what was granted and no more.

mod types;

pub use types::*;
