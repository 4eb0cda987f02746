//! Names of Kubernetes objects, checked once.

use std::fmt;
use std::ops::Deref;

/// The longest name that Kubernetes accepts, in bytes.
const NAME_BYTES_MAX: usize = 253;

/// A valid name of a Kubernetes object or namespace: lower-case letters, digits, `-` and `.`.
///
/// Labels of alerts are untrusted, and paths, selectors and commands take a `Name` only, so no text from outside can change
/// them.
///
/// ```
/// use handler_kit::Name;
///
/// assert_eq!(Name::of("checkout-6c9f8d7b5c-x2xkz").as_deref(), Some("checkout-6c9f8d7b5c-x2xkz"));
/// assert_eq!(Name::of("../secrets"), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// Returns the name; `None` if the text is not a valid one.
    pub fn of(text: &str) -> Option<Self> {
        is_name(text).then(|| Self(text.to_owned()))
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_name(text: &str) -> bool {
    let is_letter_or_digit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_allowed = |byte: u8| is_letter_or_digit(byte) || byte == b'-' || byte == b'.';
    text.len() <= NAME_BYTES_MAX
        && text.bytes().all(is_allowed)
        && text.bytes().next().is_some_and(is_letter_or_digit)
        && text.bytes().last().is_some_and(is_letter_or_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_objects_go_into_paths() {
        for good in [
            "customer",
            "customer-rs-transformer-9b75b488c-cpfd7",
            "ip-10-0-4-17.us-west-1.compute.internal",
            "0",
        ] {
            assert!(Name::of(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "..",
            ".",
            "a/b",
            "../secrets",
            "A",
            "a_b",
            "-a",
            "a-",
            "a b",
            "a%2f",
            "é",
            "<!channel>",
        ] {
            assert!(Name::of(bad).is_none(), "{bad}");
        }
        assert!(Name::of(&"a".repeat(NAME_BYTES_MAX + 1)).is_none());
    }
}
