//! The advice in the error about a limit that a guest met.

use crate::limits::quota::LimitName;

/// The kind of call whose limit was met: limits of a handler can be raised, those of `describe` cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// An invocation of `enrich` or `act`.
    Handler,
    /// `describe`, which runs before the handler's name and so its configured limits are known.
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
                "describe has this bound with any configuration: make it do less.".to_owned()
            }
        }
    }
}
