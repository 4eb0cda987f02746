//! What to do about a limit that a guest met.

use crate::limits::quota::LimitName;

/// Whose limit it is: those of a handler can be raised, those of `describe` cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// Of an invocation of `enrich` or `act`.
    Handler,
    /// Of `describe`: nobody set limits yet for a name that nobody knows.
    Describe,
}

impl Advice {
    /// Returns the advice about `limits.LIMIT`; `instead` is what the handler can do, as in "make it do less".
    pub(crate) fn about(self, limit: LimitName, instead: &str) -> String {
        match self {
            Self::Handler => {
                format!("Raise limits.{limit} of this handler, or make it {instead}.")
            }
            Self::Describe => {
                "describe has this bound whatever is configured: make it do less.".to_owned()
            }
        }
    }
}
