//! The errors of regular expressions.

/// Why an expression is rejected, by RE2 or by this server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::router) enum Re2Error {
    #[error("{0} repeats a repetition: put the inner one into a group, as in (?:a*)*")]
    RepeatedRepetition(String),
    #[error("{0} has nothing before it to repeat: write \\{0} for the literal character")]
    NothingToRepeat(String),
    #[error(
        "the repetition {0} is over 1,000 (nested ones are multiplied), or its end is before its start"
    )]
    RepetitionSize(String),
    #[error("a closing ) is missing: write \\( for a literal one")]
    MissingParenthesis,
    #[error("a ) closes nothing: write \\) for a literal one")]
    UnexpectedParenthesis,
    #[error("the closing ] of {0} is missing: write \\[ for a literal one")]
    MissingBracket(String),
    #[error("RE2 has no escape {0}: write \\\\ for a literal backslash")]
    Escape(String),
    #[error("a backslash at the end escapes nothing: write \\\\ for a literal one")]
    TrailingBackslash,
    #[error("the range {0} is not valid: write \\- for a literal dash")]
    Range(String),
    #[error("RE2 has no class {0}: valid ones are for example \\pL, \\p{{Greek}} and [[:alpha:]]")]
    ClassName(String),
    #[error(
        "RE2 has no group {0}: there are (?:…), (?P<name>…), and the flags i, m, s and U, but no look-around"
    )]
    Group(String),
    #[error("{0} is not a valid name of a group: names have ASCII letters, digits and _")]
    GroupName(String),
    #[error("it is nested more than 1,000 levels deep")]
    Nesting,
    #[error("it is too large: repeat less, or split it")]
    TooLarge,
}

impl Re2Error {
    /// Removes the suffix that was added to the expression from the quoted text.
    pub(super) fn without(mut self, suffix: &str) -> Self {
        if let Self::MissingBracket(quoted)
        | Self::Escape(quoted)
        | Self::ClassName(quoted)
        | Self::Group(quoted)
        | Self::GroupName(quoted) = &mut self
            && let Some(rest) = quoted.strip_suffix(suffix)
        {
            quoted.truncate(rest.len());
        }
        self
    }
}
