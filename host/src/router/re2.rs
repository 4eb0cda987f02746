//! RE2's syntax as Go's `regexp` package accepts it, compiled for the engine of the regex crate.
//!
//! The two syntaxes are similar but differ: here `\w`, `\d`, `\s` and `\b` are ASCII, a dash after a class is literal, `&&` in a
//! class has no meaning, a brace that begins no repetition is literal, and there are `\Q…\E` and octal escapes. So an
//! expression is parsed by the rules of Go's `regexp/syntax` (1.25, with the flags `syntax.Perl`) and passed to the engine
//! as a tree, not as text.

mod class;
mod error;
mod escape;
mod parse;
mod repeat;
#[cfg(test)]
mod tests;
mod tree;

use std::fmt;

use regex_automata::meta;

pub(super) use error::Re2Error;

/// The size limit of a compiled expression. A typical one takes 6 KiB, `.{1000}` 1 MiB, `\pL{100}` 4.7 MiB.
const PROGRAM_BYTES_MAX: usize = 8 << 20;
/// The size limit of the cache that the engine uses while it matches.
const CACHE_BYTES_MAX: usize = 1 << 20;

/// Expressions with more groups are compiled on a thread with [`STACK_BYTES`].
const GROUPS_ON_THIS_STACK_MAX: usize = 50;
/// Enough for the deepest nesting that is accepted, even in a debug build.
const STACK_BYTES: usize = 64 << 20;

/// The suffix of an expression that must match a whole value.
const SUFFIX: &str = ")$";

/// A compiled expression.
#[derive(Clone)]
pub(super) struct Re2(meta::Regex);

/// Prints no program, which would be of no use.
impl fmt::Debug for Re2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Re2")
    }
}

impl Re2 {
    /// Compiles an expression that must match a whole value. As in Alertmanager (pkg/labels/matcher.go), it is put between
    /// `^(?:` and `)$` before it is parsed, so `b)|(c` is valid, though rarely intended.
    pub(super) fn whole(expression: &str) -> Result<Self, Re2Error> {
        // Only groups nest, and the engine processes the tree recursively.
        if expression.bytes().filter(|byte| *byte == b'(').count() <= GROUPS_ON_THIS_STACK_MAX {
            return Self::compile(expression);
        }
        let compiled = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
            let thread = thread.spawn_scoped(scope, || Self::compile(expression));
            thread.map(|thread| thread.join())
        });
        match compiled {
            Ok(Ok(compiled)) => compiled,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(_) => Err(Re2Error::TooLarge),
        }
    }

    fn compile(expression: &str) -> Result<Self, Re2Error> {
        let tree = parse::parse(&format!("^(?:{expression}{SUFFIX}"))
            .map_err(|error| error.without(SUFFIX))?;
        let config = meta::Config::new()
            .nfa_size_limit(Some(PROGRAM_BYTES_MAX))
            .hybrid_cache_capacity(CACHE_BYTES_MAX);
        let regex = meta::Builder::new()
            .configure(config)
            .build_from_hir(&tree)
            .map_err(|_| Re2Error::TooLarge)?;
        Ok(Self(regex))
    }

    pub(super) fn is_match(&self, value: &str) -> bool {
        self.0.is_match(value)
    }
}
