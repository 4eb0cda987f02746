//! Refusals: why something is not allowed, with the lines of configuration that would allow it.

use std::collections::BTreeSet;
use std::fmt;

use crate::alert::HandlerName;

use super::Grants;
use super::allow::Allow;
use super::grant::HttpGrant;
use super::yaml::scalar;

/// The placeholder in a refusal for which no handler was set.
const UNNAMED: &str = "HANDLER";

/// Why something is not allowed. Displayed, it is one or two sentences on the first line: the reason and, if configuration
/// can allow it, what to change. The lines of configuration follow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    reason: String,
    // Boxed, because refusals are part of results that every request returns.
    change: Option<Box<Change>>,
    handler: Option<HandlerName>,
    granted: Box<Grants>,
}

/// The change of configuration that would allow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Adds an entry of `allow.http`.
    AddHttp(HttpGrant),
    /// Adds `what` to an entry of `allow.http`.
    WidenHttp {
        from: HttpGrant,
        /// The lines of the changed entry.
        to: Vec<String>,
        what: String,
    },
    AddSlack(String),
    AddCredential(String),
    Pin(MissingPin),
}

impl Refusal {
    pub(super) fn new(reason: String, change: Option<Change>) -> Self {
        Self {
            reason,
            change: change.map(Box::new),
            handler: None,
            granted: Box::default(),
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
        Self::new(reason, Some(Change::AddSlack(channel.to_owned())))
    }

    pub(super) fn credential(name: &str) -> Self {
        Self::new(
            format!("The credential {name:?} is not granted."),
            Some(Change::AddCredential(name.to_owned())),
        )
    }

    pub(super) fn method(grant: &HttpGrant, method: &str) -> Self {
        let granted = grant.methods().collect::<Vec<_>>().join(", ");
        let change = grant.clone().with_methods([method]).ok().map(|to| {
            let from = grant.clone();
            let (to, what) = (to.yaml(), format!("the method {method}"));
            Change::WidenHttp { from, to, what }
        });
        Self::new(
            format!("{method} to {grant} is not granted; {granted} is."),
            change,
        )
    }

    /// Refuses a header that could steer the request past the grant.
    pub(super) fn header(grant: &HttpGrant, name: &str) -> Self {
        let change = Change::WidenHttp {
            from: grant.clone(),
            // In the spelling of the request; the grant itself keeps the folded one.
            to: grant.yaml_with(Some(name)),
            what: format!("the header {name}"),
        };
        Self::new(
            format!(
                "The header {name} could have {grant} taken for another method, path, host or user, so it is sent \
                 only if the grant names it."
            ),
            Some(change),
        )
    }

    pub(super) fn withheld(name: &str, missing: &MissingPin) -> Self {
        let reason = format!(
            "The credential {name:?} is withheld: {}. {}",
            missing.exposure,
            MissingPin::ADVICE,
        );
        Self::new(reason, Some(Change::Pin(missing.clone())))
    }

    /// Returns the refusal with the lines for the handler `name`, whose current grants are `granted`.
    #[must_use]
    pub fn for_handler(mut self, name: &HandlerName, granted: &Grants) -> Self {
        self.handler = Some(name.clone());
        *self.granted = granted.clone();
        self
    }

    /// Returns the reason without the lines of configuration.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Returns the lines of configuration; empty if none would allow it. Their keys replace those of the configuration, so
    /// they contain the current grants too.
    #[must_use]
    pub fn configuration(&self) -> String {
        let mut allow = Allow::of(&self.granted);
        match self.change.as_deref() {
            None => return String::new(),
            Some(Change::Pin(missing)) => return missing.configuration(),
            Some(Change::AddHttp(grant)) => allow.http.push(grant.yaml()),
            Some(Change::WidenHttp { from, to, .. }) => {
                let place = self.granted.http.iter().position(|grant| grant == from);
                match place {
                    Some(place) => allow.http[place].clone_from(to),
                    None => allow.http.push(to.clone()),
                }
            }
            Some(Change::AddSlack(channel)) => allow.add_slack(channel),
            Some(Change::AddCredential(name)) => allow.add_credential(name),
        }
        allow.yaml(self.handler.as_ref().map_or(UNNAMED, HandlerName::as_str))
    }

    /// Returns the sentence that says what to change.
    fn remedy(&self) -> Option<String> {
        let handler = self.handler.as_ref().map_or(UNNAMED, HandlerName::as_str);
        let allow = format!("handlers.{handler}.allow");
        Some(match self.change.as_deref()? {
            Change::AddHttp(grant) => format!("To allow it, add {grant} to {allow}.http."),
            Change::WidenHttp { from, what, .. } => {
                format!("To allow it, add {what} to {from} in {allow}.http.")
            }
            Change::AddSlack(channel) => {
                format!("To allow it, add {} to {allow}.slack.", scalar(channel))
            }
            Change::AddCredential(name) => {
                format!("To allow it, add {} to {allow}.credentials.", scalar(name))
            }
            Change::Pin(_) => {
                format!("Or pin the module that you mean with handlers.{handler}.sha256.")
            }
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        let Some(remedy) = self.remedy() else {
            return Ok(());
        };
        write!(f, " {remedy}")?;
        if self.granted.is_without_file {
            write!(f, " {WITHOUT_FILE}")?;
        }
        write!(f, "\n{}", self.configuration())
    }
}

/// The sentence before lines of configuration if there is no configuration file yet.
pub const WITHOUT_FILE: &str = "There is no configuration file yet: `alert-manager init` writes one that grants what \
     is granted now; change it there, and start with --config alert-manager.yml.";

/// A module without a pin that is granted credentials and that others could have written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingPin {
    /// The handler's name according to the module.
    pub handler: HandlerName,
    /// The digest of the module's file.
    pub sha256: String,
    /// Who else could have written the file.
    pub exposure: String,
}

impl MissingPin {
    const ADVICE: &str = "Let only its owner write there (chmod go-w).";

    /// Returns the lines to add to the configuration, with the reason as a comment above them.
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_refusal_prints_the_lines_that_would_allow_it() {
        let none = Grants::default();
        let refusal = none.slack("oncall").unwrap_err();
        let refusal = refusal.for_handler(&HandlerName::new("kube-pod"), &none);
        assert_eq!(
            refusal.to_string(),
            "No Slack channel is granted, so nothing is posted to \"oncall\". \
             To allow it, add oncall to handlers.kube-pod.allow.slack.\n\
             handlers:\n  kube-pod:\n    allow:\n      slack: [oncall]"
        );
    }

    /// A key that replaces the one in the file must not remove what is granted there.
    #[test]
    fn the_lines_hold_what_is_granted_already() {
        let api = HttpGrant::parse("https://api.example.org").unwrap();
        let grants = Grants {
            http: vec![
                api.clone().with_methods(["GET"]).unwrap(),
                HttpGrant::parse("https://other.example.org").unwrap(),
            ],
            slack: ["alerts".to_owned()].into(),
            credentials: ["github".to_owned()].into(),
            ..Grants::default()
        };
        let name = HandlerName::new("x");
        let lines = |refusal: Refusal| refusal.for_handler(&name, &grants).configuration();
        assert_eq!(
            lines(grants.slack("oncall").unwrap_err()),
            "handlers:\n  x:\n    allow:\n      http:\n        - url: \"https://api.example.org\"\n          \
             methods: [GET]\n        - \"https://other.example.org\"\n      slack: [alerts, oncall]\n      \
             credentials: [github]"
        );
        let url = "https://api.example.org/".parse().unwrap();
        let widened = lines(grants.http("POST", &url).unwrap_err());
        assert!(widened.contains("methods: [GET, POST]"), "{widened}");
        assert_eq!(widened.matches("api.example.org").count(), 1, "{widened}");
        assert!(
            widened.contains("- \"https://other.example.org\""),
            "{widened}"
        );
    }

    #[test]
    fn without_a_file_the_sentence_says_how_to_get_one() {
        let grants = Grants {
            slack: ["alerts".to_owned()].into(),
            is_without_file: true,
            ..Grants::default()
        };
        let refusal = grants.slack("oncall").unwrap_err();
        let text = refusal
            .for_handler(&HandlerName::new("x"), &grants)
            .to_string();
        let (sentence, lines) = text.split_once('\n').unwrap();
        assert!(sentence.contains("`alert-manager init`"), "{sentence}");
        assert!(lines.ends_with("slack: [alerts, oncall]"), "{lines}");
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
             (chmod go-w). Or pin the module that you mean with handlers.HANDLER.sha256.\n\
             handlers:\n  x:\n    sha256: 9f86"
        );
        let other = withheld.credential("other").unwrap_err();
        assert!(other.reason().contains("not granted"), "{other}");
        let none = Arc::new(Grants::default());
        assert!(Arc::ptr_eq(&none, &none.for_unpinned(missing)));
    }
}
