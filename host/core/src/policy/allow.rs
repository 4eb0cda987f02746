//! The lines of configuration that grant something, and what a module needs that is not granted.

use std::collections::BTreeSet;

use crate::alert::HandlerName;

use super::Grants;
use super::grant::HttpGrant;
use super::yaml::{quoted, scalar};

/// Imports for which a handler has no grant: the handler runs, and these calls return `denied`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingGrants {
    /// The imports, `http` or `slack`.
    pub imports: Vec<&'static str>,
    /// The lines to add to the configuration. Words in capitals are placeholders for the operator to replace; what nobody but its
    /// documentation knows is said in a comment.
    pub configuration: String,
}

/// What a handler is known to need, for the lines that grant it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The URLs that it requests.
    pub origins: BTreeSet<String>,
    /// The channels that it posts to.
    pub channels: BTreeSet<String>,
    /// The configured credentials that it names.
    pub credentials: BTreeSet<String>,
}

/// Returns the imports of a module for which nothing is granted. An import can be the interface's short name or its full
/// name (`alert-manager:handler/http@0.1.0`); kv, config and log need no grant.
#[must_use]
pub fn imports_missing(
    handler: &HandlerName,
    grants: &Grants,
    imports: &[&str],
    needs: &Needs,
) -> Option<MissingGrants> {
    let wanted = |interface: &str| {
        imports.iter().any(|import| {
            let name = import.rsplit('/').next().unwrap_or(import);
            name.split('@').next() == Some(interface)
        })
    };
    let mut missing = Vec::new();
    let mut allow = Allow::of(grants);
    if wanted("http") && grants.http.is_empty() {
        missing.push("http");
        let origins = needs.origins.iter().map(|url| vec![quoted(url)]);
        allow.http.extend(origins);
        allow.is_http_open = needs.origins.is_empty();
        for name in &needs.credentials {
            allow.add_credential(name);
        }
    }
    if wanted("slack") && grants.slack.is_empty() {
        missing.push("slack");
        let channels = needs.channels.iter().map(String::as_str);
        let channels = channels.chain(needs.channels.is_empty().then_some("CHANNEL"));
        channels.for_each(|channel| allow.add_slack(channel));
    }
    (!missing.is_empty()).then(|| MissingGrants {
        imports: missing,
        configuration: allow.yaml(handler.as_str()),
    })
}

/// Returns the lines that grant `handler` its current grants and, in addition, the channel, the credential or the URL.
pub fn allow_with(
    handler: &HandlerName,
    grants: &Grants,
    change: impl FnOnce(&mut Allow),
) -> String {
    let mut allow = Allow::of(grants);
    change(&mut allow);
    allow.yaml(handler.as_str())
}

/// A builder for the lines of `allow`. They are complete, because a key in the configuration replaces an earlier one.
pub struct Allow {
    /// The lines of each entry.
    pub(super) http: Vec<Vec<String>>,
    /// True if there is an entry to add, and which one is not known.
    is_http_open: bool,
    slack: BTreeSet<String>,
    credentials: BTreeSet<String>,
}

impl Allow {
    pub(super) fn of(grants: &Grants) -> Self {
        Self {
            http: grants.http.iter().map(HttpGrant::yaml).collect(),
            is_http_open: false,
            slack: grants.slack.clone(),
            credentials: grants.credentials.clone(),
        }
    }

    pub fn add_http(&mut self, url: &str) {
        self.http.push(vec![quoted(url)]);
    }

    pub fn add_slack(&mut self, channel: &str) {
        self.slack.insert(channel.to_owned());
    }

    pub fn add_credential(&mut self, name: &str) {
        self.credentials.insert(name.to_owned());
    }

    /// Returns block YAML, from `handlers:` on.
    pub(super) fn yaml(&self, handler: &str) -> String {
        let mut lines = Vec::new();
        if self.is_http_open {
            let example = "http: []      # put in the origins that it requests, as in [\"https://api.example.com\"]; its author knows which";
            lines.push(example.to_owned());
        }
        if self.http.iter().all(|entry| entry.len() == 1) && !self.http.is_empty() {
            let entries = self.http.concat().join(", ");
            lines.push(format!("http: [{entries}]"));
        } else if !self.http.is_empty() {
            lines.push("http:".to_owned());
            for entry in &self.http {
                for (i, line) in entry.iter().enumerate() {
                    let lead = if i == 0 { "- " } else { "  " };
                    lines.push(format!("  {lead}{line}"));
                }
            }
        }
        for (key, names) in [("slack", &self.slack), ("credentials", &self.credentials)] {
            let names: Vec<_> = names.iter().map(|name| scalar(name)).collect();
            if !names.is_empty() {
                lines.push(format!("{key}: [{}]", names.join(", ")));
            }
        }
        let mut text = format!("handlers:\n  {}:\n    allow:", scalar(handler));
        for line in lines {
            text.push_str("\n      ");
            text.push_str(&line);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn only_interfaces_that_reach_outside_need_a_grant() {
        let name = HandlerName::new("x");
        let all = [
            "alert-manager:handler/http@0.1.0",
            "alert-manager:handler/kv@0.1.0",
            "slack",
            "log",
        ];
        let none = Needs::default();
        let missing = imports_missing(&name, &Grants::default(), &all, &none).unwrap();
        assert_eq!(missing.imports, ["http", "slack"]);
        assert_eq!(
            missing.configuration,
            "handlers:\n  x:\n    allow:\n      http: []      # put in the origins that it requests, as in \
             [\"https://api.example.com\"]; its author knows which\n      slack: [CHANNEL]"
        );
        let granted = Grants {
            slack: ["alerts".to_owned()].into(),
            ..Grants::default()
        };
        let slack_alone = ["slack", "config"];
        assert_eq!(imports_missing(&name, &granted, &slack_alone, &none), None);
        let needs = Needs {
            origins: ["https://kubernetes.default.svc".to_owned()].into(),
            credentials: ["kubernetes".to_owned()].into(),
            ..Needs::default()
        };
        let missing = imports_missing(&name, &granted, &all, &needs).unwrap();
        assert_eq!(
            missing.configuration,
            "handlers:\n  x:\n    allow:\n      http: [\"https://kubernetes.default.svc\"]\n      \
             slack: [alerts]\n      credentials: [kubernetes]"
        );
    }
}
