//! What a new configuration changes, by its keys: for the log and for the client that asked for the reload.

use super::Config;
use super::compare::{Compare, Restart};
use super::sections::PARTS;

/// What is different in another configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// One for each key, handler, credential and route: `handlers.NAME: changed (allow, limits)`.
    pub changed: Vec<String>,
    /// Keys whose new values take effect after a restart.
    pub needs_restart: Vec<String>,
}

impl Changes {
    /// Compares the configuration in use with a new one; `started` is that of the start, whose values are still in use for
    /// the keys that need a restart.
    #[must_use]
    pub fn between(started: &Config, old: &Config, new: &Config) -> Self {
        let mut changes = Self::default();
        for part in PARTS {
            match &part.compare {
                Compare::Whole(name, differs) if differs(old, new) => {
                    changes.changed.push(format!("{name}: changed"));
                }
                Compare::Whole(..) => {}
                Compare::Entries(entries) => changes.changed.extend(entries(old, new)),
            }
            let restart = match (&part.restart, &part.compare) {
                (Restart::Yes, Compare::Whole(name, differs)) | (Restart::Of(name, differs), _) => {
                    Some((name, differs))
                }
                _ => None,
            };
            if let Some((name, differs)) = restart
                && differs(started, new)
            {
                changes.needs_restart.push((*name).to_owned());
            }
        }
        changes
    }

    /// Returns `changed` as one line.
    #[must_use]
    pub fn summary(&self) -> String {
        if self.changed.is_empty() {
            "nothing".to_owned()
        } else {
            self.changed.join("; ")
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;

    use super::*;
    use crate::config::Overrides;

    fn read(yaml: &str) -> Config {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.yml");
        std::fs::write(
            &file,
            format!("slack: {{ preview: true, channels: {{ a: \"#a\" }} }}\n{yaml}"),
        )
        .unwrap();
        load(&file)
    }

    fn load(file: &Path) -> Config {
        Config::load(Some(file), &Overrides::default(), &|_| None).unwrap()
    }

    fn changed(old: &str, new: &str) -> Vec<String> {
        let (old, new) = (read(old), read(new));
        Changes::between(&old, &old, &new).changed
    }

    #[test]
    fn what_is_added_removed_and_changed_is_named() {
        let old = "handlers:\n  one: { config: { a: b } }\n  two: {}\nroutes:\n  - name: first\n    handlers: [one]\n";
        let new = "webhook: { body_bytes_max: 1MiB }\nhandlers:\n  one: { config: { a: c }, allow: { slack: [a] } }\n  three: {}\nroutes:\n  - name: first\n    matchers: ['a=\"b\"']\n    handlers: [one]\n  - handlers: [three]\n";
        assert_eq!(
            changed(old, new),
            [
                "webhook: changed",
                "handlers.one: changed (allow, config)",
                "handlers.three: added",
                "handlers.two: removed",
                "routes.first: changed",
                "routes.{} → three: added",
            ]
        );
        assert!(changed(new, new).is_empty());
    }

    #[test]
    fn the_order_of_routes_is_a_change() {
        let routes = |names: [&str; 2]| {
            let route = |name| {
                format!("  - name: {name}\n    matchers: ['a=\"{name}\"']\n    handlers: [one]\n")
            };
            format!("routes:\n{}{}", route(names[0]), route(names[1]))
        };
        assert_eq!(
            changed(&routes(["x", "y"]), &routes(["y", "x"])),
            ["routes: reordered"]
        );
    }

    #[test]
    fn another_secret_is_a_change_and_is_not_shown() {
        let old = "api: { authorization: { credentials: first-secret } }\n";
        let changes = changed(old, &old.replace("first", "second"));
        assert_eq!(changes, ["api: changed"]);
    }

    #[test]
    fn what_takes_a_restart_is_named_until_it_is_as_it_was_at_the_start() {
        let (first, second) = (read(""), read("retention: { time: 1d }\n"));
        let restart = |old, new| Changes::between(&first, old, new).needs_restart;
        assert_eq!(restart(&first, &second), ["retention"]);
        assert_eq!(restart(&second, &second), ["retention"], "still to come");
        assert!(restart(&second, &first).is_empty());
    }

    #[test]
    fn a_mistake_is_new_unless_the_configuration_in_use_has_it() {
        let mistaken = "handlers: { one: { limits: { cpu: 1m } } }\n";
        let (good, bad) = (read(""), read(mistaken));
        assert_eq!(bad.mistakes_beyond(&good).0, bad.mistakes);
        assert_eq!(bad.mistakes.len(), 1);
        let moved = read(&format!("# another line\n{mistaken}"));
        assert_eq!(moved.mistakes_beyond(&bad).0, []);
        let other = read(&mistaken.replace("one", "two"));
        assert_eq!(other.mistakes_beyond(&bad).0.len(), 1);
        assert_eq!(good.mistakes_beyond(&bad).0, []);
    }
}
