//! Cuts texts for people and masks secrets in them.

use crate::limits;
use alert_manager_core::shapes;

/// Returns the beginning of `text` with secrets masked, including a secret that the cut would split.
pub(crate) fn masked(text: &str, bytes_max: usize) -> String {
    let more = cut(text, bytes_max + limits::SECRET_BYTES_MAX);
    cut(&shapes::masked(more), bytes_max).to_owned()
}

/// Returns the longest beginning of `text` within `bytes_max` that ends between characters.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// Returns bytes as lower case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
        assert_eq!(cut("a", 9), "a");
    }
}
