//! Counted repetitions.

/// The greatest count of a repetition; counts of nested repetitions are multiplied.
pub(super) const REPETITIONS_MAX: u32 = 1_000;

/// A repetition `{n}`, `{n,}` or `{n,m}`.
pub(super) struct Bounds<'e> {
    pub(super) min: u32,
    pub(super) max: Option<u32>,
    /// The text after it.
    pub(super) after: &'e str,
}

impl<'e> Bounds<'e> {
    /// Returns `None` for a literal brace.
    pub(super) fn read(text: &'e str) -> Option<Self> {
        let (min, after) = number(text.strip_prefix('{')?)?;
        let (max, after) = match after.strip_prefix(',') {
            None => (Some(min), after),
            Some(after) if after.starts_with('}') => (None, after),
            Some(after) => {
                let (max, after) = number(after)?;
                (Some(max), after)
            }
        };
        let after = after.strip_prefix('}')?;
        Some(Self { min, max, after })
    }
}

/// Parses a number without leading zeros; a number that is too large becomes the largest one.
fn number(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (digits, after) = text.split_at(end.unwrap_or(text.len()));
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    Some((digits.parse().unwrap_or(u32::MAX), after))
}
