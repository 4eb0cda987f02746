//! What a delivery can wait for besides its time: the words that the runtime, the worker and the queue share.

use std::fmt;
use std::str::FromStr;

/// Something that a step needs, and that can be out of order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dependency {
    /// An HTTP origin, as `https://api.example.com`.
    Origin(String),
    /// One of Slack's channels, by its name below `slack.channels`.
    SlackChannel(String),
    /// All of Slack.
    Slack,
    /// A handler that is paused, since it failed again and again.
    Handler(String),
}

/// As it is stored and shown: `origin https://api.example.com`, `slack channel alerts`, `slack`, `handler NAME`.
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

/// The text is no dependency that this version knows.
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

impl serde::Serialize for Dependency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Dependency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

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
            let json = serde_json::to_string(&dependency).unwrap();
            assert_eq!(
                serde_json::from_str::<Dependency>(&json).unwrap(),
                dependency
            );
        }
        assert_eq!("pager".parse::<Dependency>(), Err(NotADependency));
    }
}
