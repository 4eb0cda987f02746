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
