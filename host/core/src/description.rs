//! A module's description of its handler and of the handler's settings.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::alert::HandlerName;
use crate::suggest::closest;
use crate::units::parse_duration;

/// The setting by which handlers learn where stories are: `BASE/ID` is one. The server sets it.
pub const STORY_BASE: &str = "story_base";

/// The setting by which handlers get `routes[].slack.thread_by`. The server sets it.
pub const THREAD_BY: &str = "slack.thread_by";

/// The settings that messages of the SDK read. A handler declares those that its operator may set.
const OF_THE_SDK: [&str; 7] = [
    "emoji",
    "emoji.critical",
    "emoji.warning",
    "emoji.info",
    "emoji.unknown",
    "emoji.resolved",
    "runbook_base",
];

/// Returns whether a handler may read a setting that it does not declare: the server sets it, or the SDK reads it.
#[must_use]
pub fn needs_no_declaration(key: &str) -> bool {
    [STORY_BASE, THREAD_BY].contains(&key) || OF_THE_SDK.contains(&key)
}

/// Returns whether a handler with these settings may read a setting of this name.
#[must_use]
pub fn is_declared(key: &str, declared: &[Setting]) -> bool {
    needs_no_declaration(key) || declared.iter().any(|setting| setting.is_named(key))
}

/// Returns the warning that a handler reads a setting that it does not declare, with the declared name that was probably meant.
#[must_use]
pub fn undeclared(handler: &HandlerName, key: &str, declared: &[Setting]) -> String {
    let names: Vec<&str> = declared.iter().map(|setting| &*setting.name).collect();
    let meant = match closest(key, &names) {
        Some(name) => format!(" (did you mean {name:?}?)"),
        None => String::new(),
    };
    let consequence = match declared {
        [] => "`check` cannot verify it",
        _ => "`check` and loading refuse a configuration that sets it",
    };
    format!(
        "{handler} reads the setting {key:?}, which it does not declare{meant}: {consequence}. Add it to the settings of its \
         description."
    )
}

/// The description that a module's `describe` returns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The handler's name in kebab-case; it identifies the module.
    pub name: HandlerName,
    /// A semantic version.
    pub version: String,
    /// What the handler does, in one sentence.
    pub summary: String,
    /// The alertnames that are routed to it if the configuration has no routes.
    pub alerts: Vec<String>,
    /// True if its `enrich` adds nothing and is not called.
    #[serde(default)]
    pub act_only: bool,
    /// True if its `act` does nothing and is not called.
    #[serde(default)]
    pub enrich_only: bool,
    /// True if one run of its `act` may stand for many alerts of a storm (`storm` is `one`).
    #[serde(default)]
    pub storm_one: bool,
    /// Its settings; absent if it does not declare any.
    #[serde(default)]
    pub settings: Option<Vec<Setting>>,
}

/// A setting, as its module declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The name; `*` in it matches any text.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean`, `duration`, `url`, `list` or `map`. Other types are not verified.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The default, as it would be written in `config`.
    #[serde(default, deserialize_with = "as_written")]
    pub default: Option<String>,
    /// What it is for, for people.
    #[serde(default)]
    pub about: String,
    /// True if the operator has to set it.
    #[serde(default)]
    pub required: bool,
    /// The allowed values; empty if all values of the type are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// What the value refers to: `channel`, `credential` or `origin`. Other values are ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refers_to: Option<String>,
}

impl Setting {
    /// Returns whether `key` matches this setting's name.
    #[must_use]
    pub fn is_named(&self, key: &str) -> bool {
        is_like(key, &self.name)
    }

    /// Returns whether its value refers to something of this kind. The key `channel` always refers to a Slack channel.
    #[must_use]
    pub fn names_a(&self, kind: &str) -> bool {
        match &self.refers_to {
            Some(refers_to) => refers_to == kind,
            None => kind == "channel" && self.name == "channel",
        }
    }

    /// Returns what a value has to be: `a whole number`. `None` for a type that is not known.
    #[must_use]
    pub fn should_be(&self) -> Option<&'static str> {
        Some(match self.kind.as_str() {
            "string" => "a text",
            "integer" => "a whole number",
            "number" => "a number",
            "boolean" => "true or false",
            "duration" => "a duration such as 30s, 5m or 1h30m",
            "url" => "a URL such as https://alerts.example.com",
            "list" => "a list",
            "map" => "a mapping",
            _ => return None,
        })
    }

    /// Returns what a value has to be, if this one is not of the setting's type. Any text is a string, and types that are not
    /// known are not verified.
    #[must_use]
    pub fn not_of_its_type(&self, value: &str) -> Option<&'static str> {
        let value = value.trim();
        let json = || serde_json::from_str::<Value>(value).ok();
        let is_fine = match self.kind.as_str() {
            "integer" => value.parse::<i64>().is_ok(),
            "number" => value.parse::<f64>().is_ok_and(f64::is_finite),
            "boolean" => matches!(value, "true" | "false"),
            "duration" => parse_duration(value).is_some(),
            "url" => parse_http_url(value).is_some(),
            "list" => json().is_some_and(|json| json.is_array()),
            "map" => json().is_some_and(|json| json.is_object()),
            _ => true,
        };
        self.should_be().filter(|_| !is_fine)
    }

    /// Returns whether a value is one of the allowed ones.
    #[must_use]
    pub fn allows(&self, value: &str) -> bool {
        self.values.is_empty() || self.values.iter().any(|one| one == value.trim())
    }

    /// Returns whether its name contains a `*`.
    #[must_use]
    pub fn is_pattern(&self) -> bool {
        self.name.contains('*')
    }
}

/// Reads an http or https URL.
#[must_use]
pub fn parse_http_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

/// Returns whether `text` is `pattern`, in which each `*` stands for any text.
#[must_use]
pub fn is_like(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
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

/// Reads a default: scalars as written, lists and mappings as JSON.
fn as_written<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(match Option::<Value>::deserialize(from)? {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text),
        Some(other) => Some(other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_setting_that_is_not_declared_is_named_with_the_one_that_was_probably_meant() {
        let json = serde_json::json!({ "name": "channel", "type": "string" });
        let declared: [Setting; 1] = [serde_json::from_value(json).unwrap()];
        let handler = HandlerName::new("h");
        assert!(is_declared("channel", &declared) && is_declared(STORY_BASE, &declared));
        assert!(!is_declared("chanel", &declared));
        let warning = undeclared(&handler, "chanel", &declared);
        assert!(
            warning.contains("\"chanel\", which it does not declare (did you mean \"channel\"?)"),
            "{warning}"
        );
        let warning = undeclared(&handler, "zone", &[]);
        assert!(
            warning.contains("does not declare: `check` cannot verify it."),
            "{warning}"
        );
    }
}
