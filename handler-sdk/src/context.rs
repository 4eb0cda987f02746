//! The context: what a handler can ask of its host.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::bindings::alert_manager::handler::types;
use crate::history::History;
use crate::http::Http;
use crate::imports::Imports;
use crate::kv::Kv;
use crate::log::Log;
use crate::slack::Slack;
use crate::timer::Timer;
use crate::{Failure, Setting, Timestamp};

pub use types::Call;

/// The context of an invocation: HTTP, Slack, the key-value store, history, timers, settings and the log.
///
/// A component imports only the parts that its code calls. A call that the operator has not granted returns `denied`.
pub struct Cx {
    call: Call,
    imports: Imports,
}

impl Cx {
    pub(crate) const fn new(call: Call, imports: Imports) -> Self {
        Self { call, imports }
    }

    /// Returns the delivery's id, the attempt and the time limit of this invocation.
    pub const fn call(&self) -> &Call {
        &self.call
    }

    /// Returns a client for the origins that the operator granted.
    pub const fn http(&self) -> Http<'_> {
        Http::new(&self.imports)
    }

    /// Returns a client for the Slack channels that the operator granted. Denied during `enrich`.
    pub const fn slack(&self) -> Slack<'_> {
        Slack::new(&self.imports)
    }

    /// Returns this handler's key-value store, which is kept between alerts.
    pub const fn kv(&self) -> Kv<'_> {
        Kv::new(&self.imports)
    }

    /// Returns what the server knows about earlier alerts.
    pub const fn history(&self) -> History<'_> {
        History::new(&self.imports)
    }

    /// Returns this handler's timers for this alert. Denied during `enrich`.
    pub const fn timer(&self) -> Timer<'_> {
        Timer::new(&self.imports)
    }

    /// Returns the log.
    pub const fn log(&self) -> Log<'_> {
        Log::new(&self.imports)
    }

    /// Returns a setting of the operator: a scalar as written, a list or mapping as JSON.
    pub fn config(&self, key: &str) -> Option<String> {
        self.imports.config_get(key)
    }

    /// Returns the operator's value of a setting, or its default.
    pub fn setting(&self, setting: &Setting) -> Option<String> {
        let given = self.config(setting.name());
        given.or_else(|| setting.default_value().map(str::to_owned))
    }

    /// Returns the operator's value of a setting, or its default; `name` replaces the `*` in the setting's name.
    pub fn setting_for(&self, setting: &Setting, name: &str) -> Option<String> {
        let given = self.config(&setting.name().replacen('*', name, 1));
        given.or_else(|| setting.default_value().map(str::to_owned))
    }

    /// Returns the operator's value of a setting, or its default, parsed as a number, a bool or another type. The default stands
    /// in the declaration alone.
    ///
    /// ```
    /// # use handler_sdk::prelude::*;
    /// const LINES: Setting = Setting::integer("lines", "how many lines are shown").default("12");
    ///
    /// # fn act(cx: &Cx) -> Result<(), Failure> {
    /// let lines: usize = cx.setting_parsed(&LINES)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Returns a permanent failure that names the setting, the value and what is wrong with it; also if it is not set and has no
    /// default. For one that may be absent, [`config_parsed`](Self::config_parsed) takes its name.
    pub fn setting_parsed<T>(&self, setting: &Setting) -> Result<T, Failure>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        let key = setting.name();
        let Some(value) = self.setting(setting) else {
            return Err(Failure::permanent(format!(
                "the setting `{key}` is not set and has no default; set it in the handler's `config`"
            )));
        };
        let parsed = value.trim().parse();
        parsed.map_err(|error| bad_setting(key, &value, &error))
    }

    /// Returns the operator's value of a setting, or `default` if there is none.
    pub fn config_or(&self, key: &str, default: &str) -> String {
        self.config(key).unwrap_or_else(|| default.to_owned())
    }

    /// Returns the operator's value of a setting, parsed as a number, a bool or another type.
    ///
    /// ```
    /// # use handler_sdk::prelude::*;
    /// # fn act(cx: &Cx) -> Result<(), Failure> {
    /// let lines = cx.config_parsed::<usize>("lines")?.unwrap_or(12);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Returns a permanent failure that names the key, the value and what is wrong with it.
    pub fn config_parsed<T>(&self, key: &str) -> Result<Option<T>, Failure>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        self.config(key)
            .map(|value| {
                value
                    .trim()
                    .parse()
                    .map_err(|error| bad_setting(key, &value, &error))
            })
            .transpose()
    }

    /// Returns the operator's list or mapping, read from JSON.
    ///
    /// # Errors
    /// Returns a permanent failure that names the key, the value and what is wrong with it.
    pub fn config_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Failure> {
        self.config(key)
            .map(|value| {
                serde_json::from_str(&value).map_err(|error| bad_setting(key, &value, &error))
            })
            .transpose()
    }

    /// Returns the URL of the page with this delivery's story, the recorded trace of a delivery. It is built from the setting
    /// `story_base`, which the server sets if it has an `external_url`, and the delivery's id. Who may use the API may see it.
    pub fn story_url(&self) -> Option<String> {
        let base = self.config("story_base").filter(|base| !base.is_empty())?;
        let base = base.trim_end_matches('/');
        Some(format!("{base}/{}", self.call.delivery_id))
    }

    /// Returns when this attempt began. On a retry, as long as effects of an earlier attempt are replayed, it returns that
    /// attempt's time, so that the handler makes the same requests again; after that, the current attempt's. In between it
    /// does not advance, and it never goes back.
    pub fn now(&self) -> Timestamp {
        self.imports.now()
    }
}

impl fmt::Debug for Cx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx")
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}

fn bad_setting(key: &str, value: &str, error: &dyn fmt::Display) -> Failure {
    let shown: String = value.chars().take(80).collect();
    Failure::permanent(format!(
        "the setting `{key}` is `{shown}`: {error}; correct it in the handler's `config`"
    ))
}

impl Call {
    /// Returns the wall-clock time that this step had left when it began.
    pub const fn time_left(&self) -> Duration {
        Duration::from_millis(self.time_left_ms as u64)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use crate::log::Level;
    use crate::mock::Host;
    use crate::{Cx, Failure, Setting};

    #[test]
    fn settings_are_read_by_type() {
        let cx = Host::new()
            .config("lines", " 12 ")
            .config("list", r#"["a"]"#)
            .cx();
        assert_eq!(cx.config_parsed::<usize>("lines").unwrap(), Some(12));
        assert_eq!(cx.config_parsed::<usize>("none").unwrap(), None);
        assert_eq!(
            cx.config_json::<Vec<String>>("list").unwrap().unwrap(),
            ["a"]
        );
        assert_eq!(cx.config_or("none", "alerts"), "alerts");
    }

    #[test]
    fn a_setting_is_parsed_with_the_default_of_its_declaration() {
        const LINES: Setting = Setting::integer("lines", "how many").default("12");
        const SHARE: Setting = Setting::number("share", "how much");
        let told = |cx: &Cx| cx.setting_parsed::<f64>(&SHARE).unwrap_err().to_string();
        let cx = Host::new().cx();
        assert_eq!(cx.setting_parsed::<usize>(&LINES).unwrap(), 12);
        assert!(told(&cx).contains("`share` is not set"), "{}", told(&cx));
        let cx = Host::new()
            .config("lines", " 7 ")
            .config("share", "much")
            .cx();
        assert_eq!(cx.setting_parsed::<usize>(&LINES).unwrap(), 7);
        assert!(told(&cx).contains("`share` is `much`"), "{}", told(&cx));
    }

    #[test]
    fn a_bad_setting_says_which_and_why() {
        let cx = Host::new().config("lines", "dozen").cx();
        assert_eq!(
            cx.config_parsed::<usize>("lines").unwrap_err(),
            Failure::permanent(
                "the setting `lines` is `dozen`: invalid digit found in string; correct it in the handler's `config`"
            )
        );
        let failure = cx.config_json::<Vec<String>>("lines").unwrap_err();
        assert!(
            failure
                .message()
                .contains("`dozen`: expected value at line 1"),
            "{failure}"
        );
    }

    #[test]
    fn the_story_has_an_address_where_the_server_has_one() {
        assert_eq!(Host::new().cx().story_url(), None);
        let cx = Host::new()
            .config(
                "story_base",
                "https://alerts.example.com/api/v1/deliveries/",
            )
            .cx();
        assert_eq!(
            cx.story_url().unwrap(),
            format!(
                "https://alerts.example.com/api/v1/deliveries/{}",
                cx.call().delivery_id
            )
        );
    }

    #[test]
    fn lines_are_logged_with_their_fields() {
        let host = Host::new();
        host.cx()
            .log()
            .warn("asked", &[("pods", &3), ("node", &"n1")]);
        let line = &host.logs()[0];
        assert_eq!((line.level, line.message.as_str()), (Level::Warn, "asked"));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(line.fields, [pair("pods", "3"), pair("node", "n1")]);
    }
}
