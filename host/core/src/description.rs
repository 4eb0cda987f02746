//! Who a handler is, and which settings it has, as its module states it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::alert::HandlerName;

/// Who a module is, from its `describe`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// In kebab-case; the module is known by it.
    pub name: HandlerName,
    /// Semantic versioning.
    pub version: String,
    /// One sentence.
    pub summary: String,
    /// The alertnames that it serves where no route says otherwise.
    pub alerts: Vec<String>,
    /// Its `enrich` adds nothing, and need not be called.
    #[serde(default)]
    pub act_only: bool,
    /// The settings that it has; absent where it does not state them.
    #[serde(default)]
    pub settings: Option<Vec<Setting>>,
}

/// One setting as its module states it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// `*` in it stands for any text.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean`, `duration`, `url`, `list` or `map`. Another one is not verified.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// What counts if the operator says nothing, as `config` would say it.
    #[serde(default, deserialize_with = "as_written")]
    pub default: Option<String>,
    /// For people.
    #[serde(default)]
    pub about: String,
    /// The operator has to set it.
    #[serde(default)]
    pub required: bool,
    /// What it may be; empty if anything of its type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// What it names: `channel`, `credential` or `origin`. Another word means nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refers_to: Option<String>,
}

impl Setting {
    /// Returns true where `key` is this setting's name.
    #[must_use]
    pub fn is_named(&self, key: &str) -> bool {
        let mut parts = self.name.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = key.strip_prefix(first) else {
            return false;
        };
        let mut parts = parts.peekable();
        if parts.peek().is_none() {
            return rest.is_empty();
        }
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return rest.ends_with(part);
            }
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        false
    }

    /// Returns true where it names something of this kind. The key `channel` always names a Slack channel.
    #[must_use]
    pub fn names_a(&self, kind: &str) -> bool {
        match &self.refers_to {
            Some(refers_to) => refers_to == kind,
            None => kind == "channel" && self.name == "channel",
        }
    }

    /// Returns true where its name stands for many.
    #[must_use]
    pub fn is_pattern(&self) -> bool {
        self.name.contains('*')
    }
}

/// Settings hold scalars as written, lists and mappings as JSON.
fn as_written<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(match Option::<Value>::deserialize(from)? {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text),
        Some(other) => Some(other.to_string()),
    })
}
