//! Which deliveries may run as one in a storm, and by what they are alike.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::alert::{HandlerName, Labels};
use crate::description::Description;

/// How the deliveries of a route run in a storm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InStorm {
    /// Those that are alike run as one: every actor of the route declares `storm: one`.
    One,
    /// Each alert runs by itself.
    Each {
        /// The actors that do not declare `storm: one`; at least one.
        because: Vec<HandlerName>,
    },
}

impl InStorm {
    /// Returns how a pipeline runs. A handler without a module counts as an actor that declares nothing, since one run of it
    /// must not stand for many alerts before it says so. A handler that only enriches does not count.
    pub(super) fn of(pipeline: &[HandlerName], descriptions: &[Description]) -> Self {
        let may_run_as_one = |name: &HandlerName| {
            let mut descriptions = descriptions.iter();
            descriptions
                .find(|description| description.name == *name)
                .is_some_and(|description| description.storm_one || description.enrich_only)
        };
        let because: Vec<_> = pipeline
            .iter()
            .filter(|name| !may_run_as_one(name))
            .cloned()
            .collect();
        if because.is_empty() {
            Self::One
        } else {
            Self::Each { because }
        }
    }
}

/// Returns what alerts of one storm have in common: the labels `by` with their values, as JSON, so that no value can be
/// mistaken for another. A label that an alert does not have is left out, as one with an empty value is.
pub(super) fn key(by: &BTreeSet<String>, labels: &Labels) -> Arc<str> {
    let alike: Labels = by
        .iter()
        .filter_map(|name| Some((name.as_str(), labels.get(name)?)))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    // A map of texts can be written as JSON.
    serde_json::to_string(&alike).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(name: &str, change: fn(&mut Description)) -> Description {
        let mut description = Description {
            name: HandlerName::new(name),
            version: "1.0.0".to_owned(),
            summary: String::new(),
            alerts: Vec::new(),
            act_only: false,
            enrich_only: false,
            storm_one: false,
            settings: None,
        };
        change(&mut description);
        description
    }

    #[test]
    fn a_route_runs_as_one_only_if_every_actor_declares_it() {
        let descriptions = [
            described("notify", |d| d.storm_one = true),
            described("page", |d| d.storm_one = true),
            described("owner", |d| d.enrich_only = true),
            described("restart", |_| ()),
            described("ticket", |d| d.act_only = true),
        ];
        for (pipeline, expected) in [
            (&["notify"][..], &[][..]),
            (&["notify", "page"], &[]),
            (&["owner", "notify"], &[]),
            (&["restart"], &["restart"]),
            (&["notify", "restart"], &["restart"]),
            (
                &["ticket", "owner", "restart", "notify"],
                &["ticket", "restart"],
            ),
            // It has no module, or not yet.
            (&["notify", "unknown"], &["unknown"]),
        ] {
            let names = |names: &[&str]| -> Vec<HandlerName> {
                names.iter().map(|name| HandlerName::new(name)).collect()
            };
            let because = names(expected);
            let expected = if because.is_empty() {
                InStorm::One
            } else {
                InStorm::Each { because }
            };
            assert_eq!(InStorm::of(&names(pipeline), &descriptions), expected);
        }
    }

    fn key_of(by: &[&str], labels: &[(&str, &str)]) -> Arc<str> {
        let by = by.iter().map(|&label| label.to_owned()).collect();
        key(&by, &labels.iter().copied().collect())
    }

    #[test]
    fn alerts_are_alike_if_the_labels_have_equal_values() {
        let by = ["cluster", "alertname"];
        assert_eq!(
            &*key_of(
                &by,
                &[("alertname", "Down"), ("cluster", "eu"), ("pod", "a")]
            ),
            r#"{"alertname":"Down","cluster":"eu"}"#
        );
        let down = key_of(&by, &[("alertname", "Down")]);
        assert_eq!(&*down, r#"{"alertname":"Down"}"#);
        assert_eq!(down, key_of(&by, &[("alertname", "Down"), ("cluster", "")]));
        assert_eq!(&*key_of(&by, &[]), "{}");
    }

    #[test]
    fn no_value_can_be_mistaken_for_another() {
        let by = ["a", "b"];
        let all = [
            &[("a", "x"), ("b", "y")][..],
            &[("a", "y"), ("b", "x")],
            &[("a", "x")],
            &[("b", "x")],
            &[("a", r#"x","b":"y"#)],
            &[("a", "x,y")],
            &[("a", "X"), ("b", "y")],
        ]
        .map(|labels| key_of(&by, labels));
        let different: BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len(), "{all:?}");
    }
}
