//! The dependencies that a delivery can wait for; the runtime, the worker and the queue share these types.

use std::fmt;
use std::str::FromStr;

/// Something that a step needs and that may be unavailable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dependency {
    /// An HTTP origin, as `https://api.example.com`.
    Origin(String),
    /// One of Slack's channels, by its name below `slack.channels`.
    SlackChannel(String),
    /// All of Slack.
    Slack,
    /// A handler whose circuit breaker is open.
    Handler(String),
}

/// The stored and displayed form: `origin https://api.example.com`, `slack channel alerts`, `slack`, `handler NAME`.
impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Origin(origin) => write!(f, "origin {origin}"),
            Self::SlackChannel(channel) => write!(f, "slack channel {channel}"),
            Self::Slack => f.write_str("slack"),
            Self::Handler(handler) => write!(f, "handler {handler}"),
        }
    }
}

/// The error for text that is not a dependency known to this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a dependency")]
pub struct NotADependency;

impl FromStr for Dependency {
    type Err = NotADependency;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "slack" {
            return Ok(Self::Slack);
        }
        if let Some(channel) = text.strip_prefix("slack channel ") {
            return Ok(Self::SlackChannel(channel.to_owned()));
        }
        if let Some(handler) = text.strip_prefix("handler ") {
            return Ok(Self::Handler(handler.to_owned()));
        }
        let origin = text.strip_prefix("origin ").ok_or(NotADependency)?;
        Ok(Self::Origin(origin.to_owned()))
    }
}

/// Several dependencies as one text, one per line, for storage and display.
///
/// Unknown ones, which a newer version wrote, are ignored: the delivery then waits only for its time.
pub mod lines {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::Dependency;

    /// Returns the text of dependencies.
    pub fn to_text(dependencies: &[Dependency]) -> String {
        let lines: Vec<_> = dependencies.iter().map(ToString::to_string).collect();
        lines.join("\n")
    }

    /// Parses the text.
    pub fn of_text(text: &str) -> Vec<Dependency> {
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    pub fn serialize<S: Serializer>(
        dependencies: &[Dependency],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_text(dependencies))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Dependency>, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(value.as_str().map(of_text).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_survives_being_stored() {
        for (dependency, text) in [
            (
                Dependency::Origin("https://a.example".into()),
                "origin https://a.example",
            ),
            (
                Dependency::SlackChannel("on call".into()),
                "slack channel on call",
            ),
            (Dependency::Slack, "slack"),
            (Dependency::Handler("h".into()), "handler h"),
        ] {
            assert_eq!(dependency.to_string(), text);
            assert_eq!(text.parse(), Ok(dependency.clone()));
        }
        assert_eq!("pager".parse::<Dependency>(), Err(NotADependency));
    }

    #[test]
    fn several_are_a_line_each_and_what_is_not_known_is_left_out() {
        let both = [Dependency::Slack, Dependency::Handler("h".into())];
        let text = lines::to_text(&both);
        assert_eq!(text, "slack\nhandler h");
        assert_eq!(lines::of_text(&text), both);
        assert_eq!(lines::of_text("pager\nhandler h"), both[1..]);
        assert_eq!(lines::of_text(""), []);
    }
}
