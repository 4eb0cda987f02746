//! A document as a tree, each node with its place.

use std::fmt;

use zeroize::Zeroize as _;

/// A place in the file, both counted from 1; printed as `line:column`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// The top of the file.
impl Default for Place {
    fn default() -> Self {
        Self { line: 1, column: 1 }
    }
}

/// A value with its place.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: Place,
    pub(super) value: Value,
}

/// A value.
#[derive(Debug)]
pub(super) enum Value {
    Null,
    /// As written, without quotes, and as YAML resolves it.
    Scalar(String, serde_json::Value),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its place, and its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: Place,
    pub(super) value: Node,
}

/// Some of the file's values are secrets, and which ones is known only later.
impl Drop for Node {
    fn drop(&mut self) {
        if let Value::Scalar(text, json) = &mut self.value {
            text.zeroize();
            if let serde_json::Value::String(text) = json {
                text.zeroize();
            }
        }
    }
}

impl Node {
    /// Returns a scalar as written; nothing if it is something else.
    pub(super) fn scalar(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text, _) => Some(text),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Returns an empty value at the top of a file.
    pub(super) fn nothing() -> Self {
        Self {
            at: Place::default(),
            value: Value::Null,
        }
    }

    /// Returns true for `key:` with nothing behind it, which counts as absent.
    pub(super) fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// Returns the place of the value of these keys, each below the one before it, if there is one.
    pub(super) fn place_of(&self, keys: &[&str]) -> Option<Place> {
        let [first, below @ ..] = keys else {
            return (!self.is_null()).then_some(self.at);
        };
        let Value::Map(entries) = &self.value else {
            return None;
        };
        let entry = entries.iter().find(|entry| entry.key == *first)?;
        entry.value.place_of(below)
    }

    /// Returns true for a list with an item.
    pub(super) fn has_items(&self) -> bool {
        matches!(&self.value, Value::List(items) if !items.is_empty())
    }

    /// Returns true for a list without items.
    pub(super) fn is_empty_list(&self) -> bool {
        matches!(&self.value, Value::List(items) if items.is_empty())
    }

    /// Returns true for a mapping.
    pub(super) fn is_mapping(&self) -> bool {
        matches!(self.value, Value::Map(_))
    }

    /// Returns the value as a sentence names it.
    pub(super) fn described(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Scalar(text, _) if text.chars().count() > 40 => {
                format!("\"{}…\"", text.chars().take(40).collect::<String>())
            }
            Value::Scalar(text, _) => format!("{text:?}"),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }

    /// Returns a scalar as written, a list or mapping as JSON.
    pub(super) fn as_setting(&self) -> String {
        match &self.value {
            Value::Null => String::new(),
            Value::Scalar(text, _) => text.clone(),
            Value::List(_) | Value::Map(_) => self.to_json().to_string(),
        }
    }

    /// Calls `see` with the path and the place of each key and item below this node, from the top down. The place of a key is
    /// that of its value; if the value is a mapping, that of the key itself.
    pub(super) fn walk(&self, path: &str, see: &mut impl FnMut(String, Place)) {
        match &self.value {
            Value::Map(entries) => {
                for entry in entries {
                    let path = match path {
                        "" => entry.key.clone(),
                        _ => format!("{path}.{}", entry.key),
                    };
                    let at = match entry.value.value {
                        Value::Map(_) | Value::Null => entry.at,
                        Value::Scalar(..) | Value::List(_) => entry.value.at,
                    };
                    see(path.clone(), at);
                    entry.value.walk(&path, see);
                }
            }
            Value::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    let path = format!("{path}[{i}]");
                    see(path.clone(), item.at);
                    item.walk(&path, see);
                }
            }
            Value::Null | Value::Scalar(..) => {}
        }
    }

    /// Returns it as JSON.
    pub(super) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Scalar(_, json) => json.clone(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.value.to_json()))
                .collect(),
        }
    }
}
