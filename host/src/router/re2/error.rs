//! Why an expression is refused.

/// Why RE2 refuses an expression, or we do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::router) enum Re2Error {
    #[error("{0} repeats a repetition: put the inner one into a group, as in (?:a*)*")]
    RepeatedRepetition(String),
    #[error("{0} has nothing before it to repeat: write \\{0} for the characters themselves")]
    NothingToRepeat(String),
    #[error(
        "the repetition {0} is over 1,000 (nested ones are multiplied), or its end is before its start"
    )]
    RepetitionSize(String),
    #[error("a closing ) is missing: write \\( for the character itself")]
    MissingParenthesis,
    #[error("a ) closes nothing: write \\) for the character itself")]
    UnexpectedParenthesis,
    #[error("the closing ] of {0} is missing: write \\[ for the character itself")]
    MissingBracket(String),
    #[error("RE2 has no escape {0}: write \\\\ for a backslash itself")]
    Escape(String),
    #[error("a backslash at the end escapes nothing: write \\\\ for the character itself")]
    TrailingBackslash,
    #[error("the range {0} is none: write \\- for a dash itself")]
    Range(String),
    #[error("RE2 knows no class {0}: \\pL, \\p{{Greek}} and [[:alpha:]] are such")]
    ClassName(String),
    #[error(
        "RE2 has no group {0}: there are (?:…), (?P<name>…), and the flags i, m, s and U, but no look-around"
    )]
    Group(String),
    #[error("{0} names no group: a name has ASCII letters, digits and _")]
    GroupName(String),
    #[error("it is nested deeper than 1,000")]
    Nesting,
    #[error("it is too large: repeat less, or split it")]
    TooLarge,
}

impl Re2Error {
    /// Takes from what is quoted the text that was put behind the expression.
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
