//! A handler's settings. Each is declared once; the handler reads it by its declaration, and `alert-manager check` verifies
//! the operator's `config` against it.

use serde_json::{Map, Value, json};

use crate::Description;

/// The name in [`Description::more`] under which [`Description::settings`] declares them.
const MORE: &str = "settings";

/// One setting of a handler: `handlers.NAME.config.SETTING`, or a route's `config`.
///
/// ```
/// use handler_sdk::prelude::*;
///
/// const CHANNEL: Setting = Setting::channel("channel", "the Slack channel").default("alerts");
/// const LINES: Setting = Setting::integer("lines", "how many lines of the log are shown").default("12");
/// const REGION: Setting = Setting::string("region.*", "what the region is called in messages");
///
/// fn describe() -> Description {
///     Description::new("greeter", "1.0.0", "Says which pod it is.").settings([&CHANNEL, &LINES, &REGION])
/// }
///
/// fn act(cx: &Cx) {
///     let channel = cx.setting(&CHANNEL);
///     let region = cx.setting_for(&REGION, "eu-1");
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    name: &'static str,
    kind: &'static str,
    about: &'static str,
    default: Option<&'static str>,
    required: bool,
    values: &'static [&'static str],
    refers_to: Option<&'static str>,
}

impl Setting {
    const fn new(kind: &'static str, name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            kind,
            about,
            default: None,
            required: false,
            values: &[],
            refers_to: None,
        }
    }

    /// Returns a text setting. In each constructor, `*` in `name` matches any text, and `about` is a phrase for the operator.
    pub const fn string(name: &'static str, about: &'static str) -> Self {
        Self::new("string", name, about)
    }

    /// Returns a setting with one of `values`.
    pub const fn one_of(
        name: &'static str,
        values: &'static [&'static str],
        about: &'static str,
    ) -> Self {
        Self {
            values,
            ..Self::new("string", name, about)
        }
    }

    /// Returns a setting with a whole number.
    pub const fn integer(name: &'static str, about: &'static str) -> Self {
        Self::new("integer", name, about)
    }

    /// Returns a setting with a number.
    pub const fn number(name: &'static str, about: &'static str) -> Self {
        Self::new("number", name, about)
    }

    /// Returns a setting with `true` or `false`.
    pub const fn boolean(name: &'static str, about: &'static str) -> Self {
        Self::new("boolean", name, about)
    }

    /// Returns a setting with a duration in Prometheus' syntax: `30s`, `1h30m`.
    pub const fn duration(name: &'static str, about: &'static str) -> Self {
        Self::new("duration", name, about)
    }

    /// Returns a setting with an http or https URL that is shown, not requested.
    pub const fn url(name: &'static str, about: &'static str) -> Self {
        Self::new("url", name, about)
    }

    /// Returns a setting with an http or https URL that the handler sends requests to: `check` verifies that it is granted.
    pub const fn origin(name: &'static str, about: &'static str) -> Self {
        Self {
            refers_to: Some("origin"),
            ..Self::new("url", name, about)
        }
    }

    /// Returns a setting with a list, which the handler gets as JSON.
    pub const fn list(name: &'static str, about: &'static str) -> Self {
        Self::new("list", name, about)
    }

    /// Returns a setting with a mapping, which the handler gets as JSON.
    pub const fn map(name: &'static str, about: &'static str) -> Self {
        Self::new("map", name, about)
    }

    /// Returns a setting with the configured name of a Slack channel to post to: `check` verifies that it is granted.
    pub const fn channel(name: &'static str, about: &'static str) -> Self {
        Self {
            refers_to: Some("channel"),
            ..Self::new("string", name, about)
        }
    }

    /// Returns a setting with the name of a credential, or empty for none: `check` verifies that it is granted.
    pub const fn credential(name: &'static str, about: &'static str) -> Self {
        Self {
            refers_to: Some("credential"),
            ..Self::new("string", name, about)
        }
    }

    /// Sets the default, as it would be written in `config`.
    #[must_use]
    pub const fn default(mut self, value: &'static str) -> Self {
        self.default = Some(value);
        self
    }

    /// Makes it required: `check` rejects a configuration that does not set it.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Returns the name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the default.
    pub const fn default_value(&self) -> Option<&'static str> {
        self.default
    }

    fn to_json(self) -> Value {
        let mut entry = Map::new();
        entry.insert("name".into(), json!(self.name));
        entry.insert("type".into(), json!(self.kind));
        if let Some(default) = self.default {
            entry.insert("default".into(), json!(default));
        }
        entry.insert("about".into(), json!(self.about));
        entry.insert("required".into(), json!(self.required));
        if !self.values.is_empty() {
            entry.insert("values".into(), json!(self.values));
        }
        if let Some(refers_to) = self.refers_to {
            entry.insert("refers_to".into(), json!(refers_to));
        }
        Value::Object(entry)
    }
}

impl Description {
    /// Declares settings of the handler, in addition to those declared before. If a handler declares any, `check` reports
    /// every other key in `config` as unknown.
    #[must_use]
    pub fn settings<'a>(mut self, settings: impl IntoIterator<Item = &'a Setting>) -> Self {
        let before = self.more.iter().position(|(name, _)| name == MORE);
        let mut stated: Vec<Value> = before
            .map(|at| self.more.remove(at).1)
            .and_then(|json| serde_json::from_str(&json).ok())
            .unwrap_or_default();
        stated.extend(settings.into_iter().map(|setting| setting.to_json()));
        self.more
            .push((MORE.into(), Value::Array(stated).to_string()));
        self
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::mock::Host;

    const CHANNEL: Setting = Setting::channel("channel", "where it posts").default("alerts");
    const LOGS: Setting = Setting::one_of("logs", &["on", "off"], "whether logs are shown");
    const URL: Setting = Setting::origin("cluster.*.url", "the API server").required();

    #[test]
    fn settings_are_declared_as_one_list() {
        let described = Description::new("a", "1.0.0", "A.")
            .settings([&CHANNEL, &LOGS])
            .settings([&URL]);
        let [(name, json)] = &described.more[..] else {
            panic!("{:?}", described.more);
        };
        assert_eq!(name, "settings");
        let stated: Value = serde_json::from_str(json).unwrap();
        assert_eq!(
            stated,
            json!([
                {"name": "channel", "type": "string", "default": "alerts", "about": "where it posts",
                 "required": false, "refers_to": "channel"},
                {"name": "logs", "type": "string", "about": "whether logs are shown", "required": false,
                 "values": ["on", "off"]},
                {"name": "cluster.*.url", "type": "url", "about": "the API server", "required": true,
                 "refers_to": "origin"},
            ])
        );
    }

    #[test]
    fn a_setting_is_read_by_its_declaration() {
        let cx = Host::new()
            .config("logs", "off")
            .config("cluster.main.url", "https://k8s")
            .cx();
        assert_eq!(cx.setting(&CHANNEL).as_deref(), Some("alerts"));
        assert_eq!(cx.setting(&LOGS).as_deref(), Some("off"));
        assert_eq!(cx.setting_for(&URL, "main").as_deref(), Some("https://k8s"));
        assert_eq!(cx.setting_for(&URL, "other"), None);
    }
}
