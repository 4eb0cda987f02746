//! The languages of handlers.

use std::fmt;

/// The language of a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Language {
    /// A `Cargo.toml` whose library is a `cdylib`.
    Rust,
    /// A `pyproject.toml` with a table `[tool.alert-manager]`.
    Python,
    /// A `package.json` with the key `alertManager`.
    TypeScript,
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rust => "Rust",
            Self::Python => "Python",
            Self::TypeScript => "TypeScript",
        })
    }
}
