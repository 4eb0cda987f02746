//! The work of a process that compiles modules: it reads a module, writes its code, and reads the next.
//!
//! Modules and code are written with their length before them, as eight bytes, the lowest first. A module that cannot be
//! compiled has no answer: the process ends.

use std::io::{self, Read, Write};

use crate::sandbox::engine::{self, Effort};

/// The length of a module or of its code, in bytes.
#[derive(Clone, Copy)]
pub(super) struct Length(pub(super) u64);

impl Length {
    /// The bytes of the length itself.
    pub(super) const BYTES: usize = size_of::<u64>();

    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(bytes.len() as u64)
    }

    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        self.0.to_le_bytes()
    }

    pub(super) fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(u64::from_le_bytes(bytes))
    }
}

/// Why a process compiles no further module.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The module is not a valid component, with the reason for its author.
    #[error("{0}")]
    Damaged(String),
    /// The compiler cannot run.
    #[error("{0}")]
    Engine(String),
    /// The process cannot give the module its time.
    #[error("the compiler cannot limit itself: {0}")]
    Limit(#[source] io::Error),
    /// The module cannot be read.
    #[error("the module cannot be read: {0}")]
    Read(#[source] io::Error),
    /// The code cannot be written.
    #[error("the code cannot be written: {0}")]
    Write(#[source] io::Error),
}

/// Compiles modules in this process until there are no more: the work of [`COMPILE_COMMAND`](super::COMPILE_COMMAND).
/// `before_each` limits the time of the module that follows.
///
/// # Errors
/// Why the first module that is not compiled is not.
pub fn compile_modules(
    effort: Effort,
    mut modules: impl Read,
    mut code: impl Write,
    before_each: impl Fn() -> io::Result<()>,
) -> Result<(), CompileError> {
    let engine = engine::for_compiling(effort);
    let engine = engine.map_err(|error| CompileError::Engine(error.to_string()))?;
    while let Some(module) = next(&mut modules).map_err(CompileError::Read)? {
        before_each().map_err(CompileError::Limit)?;
        let compiled = engine.precompile_component(&module);
        let compiled = compiled.map_err(|error| CompileError::Damaged(format!("{error:#}")))?;
        code.write_all(&Length::of(&compiled).to_bytes())
            .and_then(|()| code.write_all(&compiled))
            .and_then(|()| code.flush())
            .map_err(CompileError::Write)?;
    }
    Ok(())
}

/// Reads a module; `None` if there are no more.
fn next(modules: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = Vec::with_capacity(Length::BYTES);
    modules
        .take(Length::BYTES as u64)
        .read_to_end(&mut length)?;
    if length.is_empty() {
        return Ok(None);
    }
    let length = length
        .try_into()
        .map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    let length = Length::from_bytes(length).0;
    let mut module = Vec::new();
    modules.take(length).read_to_end(&mut module)?;
    if module.len() as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(module))
}
