//! The SDKs in languages other than Rust: they pass their own tests, install, and do what the Rust SDK does.

mod typescript;
