//! Counted repetitions, as they are written.

/// How often anything may be repeated, the counts of nested repetitions multiplied.
pub(super) const REPETITIONS_MAX: u32 = 1_000;

/// `{n}`, `{n,}` or `{n,m}`.
pub(super) struct Bounds<'e> {
    pub(super) min: u32,
    pub(super) max: Option<u32>,
    /// What stands behind it.
    pub(super) after: &'e str,
}

impl<'e> Bounds<'e> {
    /// Returns None for a brace that is itself.
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

/// Reads a number without leading zeros; one that is too large counts as the largest.
fn number(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (digits, after) = text.split_at(end.unwrap_or(text.len()));
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    Some((digits.parse().unwrap_or(u32::MAX), after))
}
