//! Says why something is not allowed, and prints the lines of configuration that would allow it.

use std::collections::BTreeSet;
use std::fmt;

use crate::alert::HandlerName;

use super::Grants;
use super::grant::HttpGrant;

/// Stands where a refusal was not told whose it is.
const UNNAMED: &str = "HANDLER";

/// Why something is not allowed. Printed, it is a sentence or two and, where configuration could
/// change it, the lines to add.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    reason: String,
    /// Below `allow:`, without indentation.
    lines: Vec<String>,
    handler: Option<HandlerName>,
}

impl Refusal {
    pub(super) fn new(reason: String, lines: Vec<String>) -> Self {
        Self {
            reason,
            lines,
            handler: None,
        }
    }

    pub(super) fn slack(channel: &str, granted: &BTreeSet<String>) -> Self {
        let granted = granted.iter().map(String::as_str).collect::<Vec<_>>();
        let reason = if granted.is_empty() {
            format!("No Slack channel is granted, so nothing is posted to {channel:?}.")
        } else {
            let granted = granted.join(", ");
            format!("The Slack channel {channel:?} is not granted; these are: {granted}.")
        };
        Self::new(reason, vec![format!("slack: [{}]", scalar(channel))])
    }

    pub(super) fn credential(name: &str) -> Self {
        Self::new(
            format!("The credential {name:?} is not granted."),
            vec![format!("credentials: [{}]", scalar(name))],
        )
    }

    pub(super) fn method(grant: &HttpGrant, method: &str) -> Self {
        let granted = grant.methods().collect::<Vec<_>>().join(", ");
        let mut lines = grant_lines(grant);
        lines.push(format!("    methods: [{granted}, {}]", scalar(method)));
        Self::new(
            format!("{method} to {grant} is not granted; {granted} is."),
            lines,
        )
    }

    /// A header that could steer the request past the grant.
    pub(super) fn header(grant: &HttpGrant, name: &str) -> Self {
        let mut lines = grant_lines(grant);
        let methods = grant.methods().collect::<Vec<_>>().join(", ");
        if !methods.is_empty() {
            lines.push(format!("    methods: [{methods}]"));
        }
        let granted = grant.headers().iter().map(String::as_str);
        let granted = granted.chain([name]).map(scalar).collect::<Vec<_>>();
        lines.push(format!("    headers: [{}]", granted.join(", ")));
        Self::new(
            format!(
                "The header {name} could have {grant} taken for another method, path, host or user, so it is sent \
                 only where the grant names it."
            ),
            lines,
        )
    }

    pub(super) fn withheld(name: &str, missing: &MissingPin) -> Self {
        let reason = format!(
            "The credential {name:?} is withheld: {}. {} Or pin the module that you mean, by adding to the configuration:\n{}",
            missing.exposure,
            MissingPin::ADVICE,
            missing.configuration()
        );
        Self::new(reason, Vec::new())
    }

    /// Returns the refusal with the lines for the handler `name`.
    #[must_use]
    pub fn for_handler(mut self, name: &HandlerName) -> Self {
        self.handler = Some(name.clone());
        self
    }

    /// Returns why, without the lines.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Returns the lines of configuration, empty where none would allow it.
    #[must_use]
    pub fn configuration(&self) -> String {
        if self.lines.is_empty() {
            return String::new();
        }
        let handler = self.handler.as_ref().map_or(UNNAMED, HandlerName::as_str);
        allow_lines(handler, &self.lines)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        if self.lines.is_empty() {
            return Ok(());
        }
        write!(
            f,
            " To allow it, add to the configuration:\n{}",
            self.configuration()
        )
    }
}

/// A module that is granted credentials, and that anybody could have put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingPin {
    /// Whose it says to be.
    pub handler: HandlerName,
    /// Of its file.
    pub sha256: String,
    /// Who else could have written it.
    pub exposure: String,
}

impl MissingPin {
    const ADVICE: &str = "Let only its owner write there (chmod go-w).";

    /// Returns the lines to add to the configuration, the reason as a comment above them.
    #[must_use]
    pub fn lines(&self) -> String {
        let Self { exposure, .. } = self;
        format!(
            "# {exposure}, so its credentials are withheld. {}\n# Or pin the module that you mean:\n{}",
            Self::ADVICE,
            self.configuration()
        )
    }

    fn configuration(&self) -> String {
        let handler = scalar(self.handler.as_str());
        format!("handlers:\n  {handler}:\n    sha256: {}", self.sha256)
    }
}

/// Imports for which a handler has no grant: it runs, and those calls answer `denied`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingGrants {
    /// `http`, `slack`.
    pub imports: Vec<&'static str>,
    /// Lines to add to the configuration; capitals stand for what only the operator knows.
    pub configuration: String,
}

impl fmt::Display for MissingGrants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "It imports {} but is granted none of it, so those calls are denied. To grant it, add to the configuration:\n{}",
            self.imports.join(" and "),
            self.configuration
        )
    }
}

/// Returns which of a module's imports nothing is granted for. An import may be the interface's bare
/// name or its full one (`alert-manager:handler/http@0.1.0`); kv, config and log need no grant.
#[must_use]
pub fn imports_missing(
    handler: &HandlerName,
    grants: &Grants,
    imports: &[&str],
) -> Option<MissingGrants> {
    let wanted = |interface: &str| {
        imports.iter().any(|import| {
            let name = import.rsplit('/').next().unwrap_or(import);
            name.split('@').next() == Some(interface)
        })
    };
    let mut missing = Vec::new();
    let mut lines = Vec::new();
    if wanted("http") && grants.http.is_empty() {
        missing.push("http");
        lines.push("http: [\"https://HOST\"]".to_owned());
    }
    if wanted("slack") && grants.slack.is_empty() {
        missing.push("slack");
        lines.push("slack: [CHANNEL]".to_owned());
    }
    (!missing.is_empty()).then(|| MissingGrants {
        imports: missing,
        configuration: allow_lines(handler.as_str(), &lines),
    })
}

/// Returns the first lines of the entry of `allow.http` that widens `grant`.
fn grant_lines(grant: &HttpGrant) -> Vec<String> {
    vec!["http:".to_owned(), format!("  - url: \"{grant}\"")]
}

/// Returns block YAML down to `allow:` and the lines below it.
fn allow_lines(handler: &str, lines: &[String]) -> String {
    let mut text = format!("handlers:\n  {}:\n    allow:", scalar(handler));
    for line in lines {
        text.push_str("\n      ");
        text.push_str(line);
    }
    text
}

/// Writes `text` so that YAML reads it back as this string: bare where it is a plain word.
pub(crate) fn scalar(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        && !["true", "false", "null", "yes", "no", "on", "off"].contains(&text);
    if is_plain {
        text.to_owned()
    } else {
        // JSON's strings are YAML's double-quoted ones.
        serde_json::Value::from(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_refusal_prints_the_lines_that_would_allow_it() {
        let refusal = Grants::default().slack("oncall").unwrap_err();
        let refusal = refusal.for_handler(&HandlerName::new("kube-pod"));
        assert_eq!(
            refusal.to_string(),
            "No Slack channel is granted, so nothing is posted to \"oncall\". \
             To allow it, add to the configuration:\n\
             handlers:\n  kube-pod:\n    allow:\n      slack: [oncall]"
        );
    }

    #[test]
    fn names_that_yaml_would_misread_are_quoted() {
        let refusal = Grants::default().credential("on").unwrap_err();
        assert!(refusal.configuration().ends_with("credentials: [\"on\"]"));
        let refusal = Grants::default().credential("a: b\n").unwrap_err();
        assert!(
            refusal
                .configuration()
                .ends_with(r#"credentials: ["a: b\n"]"#)
        );
    }

    #[test]
    fn a_credential_is_withheld_from_a_module_that_anybody_could_have_put_there() {
        let granted = Arc::new(Grants {
            credentials: ["github".to_owned()].into(),
            ..Grants::default()
        });
        let missing = || MissingPin {
            handler: HandlerName::new("x"),
            sha256: "9f86".to_owned(),
            exposure: "/h can be written to by others".to_owned(),
        };
        assert!(granted.credential("github").is_ok());
        let withheld = granted.for_unpinned(missing);
        let told = withheld.credential("github").unwrap_err().to_string();
        assert_eq!(
            told,
            "The credential \"github\" is withheld: /h can be written to by others. Let only its owner write there \
             (chmod go-w). Or pin the module that you mean, by adding to the configuration:\n\
             handlers:\n  x:\n    sha256: 9f86"
        );
        let other = withheld.credential("other").unwrap_err();
        assert!(other.reason().contains("not granted"), "{other}");
        let none = Arc::new(Grants::default());
        assert!(Arc::ptr_eq(&none, &none.for_unpinned(missing)));
    }

    #[test]
    fn only_interfaces_that_reach_outside_need_a_grant() {
        let name = HandlerName::new("x");
        let all = [
            "alert-manager:handler/http@0.1.0",
            "alert-manager:handler/kv@0.1.0",
            "slack",
            "log",
        ];
        let missing = imports_missing(&name, &Grants::default(), &all).unwrap();
        assert_eq!(missing.imports, ["http", "slack"]);
        assert_eq!(
            missing.configuration,
            "handlers:\n  x:\n    allow:\n      http: [\"https://HOST\"]\n      slack: [CHANNEL]"
        );
        let granted = Grants {
            slack: ["alerts".to_owned()].into(),
            ..Grants::default()
        };
        assert_eq!(imports_missing(&name, &granted, &["slack", "config"]), None);
    }
}
