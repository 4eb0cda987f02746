//! Handlers by name, and their steps.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name of a handler in kebab-case, from its description; it identifies the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HandlerName(std::sync::Arc<str>);

impl HandlerName {
    /// Wraps a name from the configuration or from a module's description.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// Returns whether a text can be a handler's name: words of lower case letters and digits, joined by single hyphens,
    /// beginning with a letter, at most 63 characters.
    #[must_use]
    pub fn is_kebab_case(name: &str) -> bool {
        let is_part = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        name.len() <= 63
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .split('-')
                .all(|word| !word.is_empty() && word.bytes().all(is_part))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HandlerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for HandlerName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for HandlerName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Ok(Self::new(&text))
    }
}

/// The two steps of a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepKind {
    /// Adds what a person needs to know.
    Enrich,
    /// Responds to the alert.
    Act,
}

impl StepKind {
    /// Returns the name of the hook.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enrich => "enrich",
            Self::Act => "act",
        }
    }
}
