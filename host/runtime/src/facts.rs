//! Checks facts that a handler hands over, and masks secrets in them.

use std::fmt;

use crate::limits::TRACE_LINE_BYTES_MAX;
use crate::limits::quota::{LimitName, Limits};
use crate::text::masked;
use alert_manager_core::alert::Labels;
use alert_manager_core::shapes;

/// Why facts are not taken.
#[derive(Debug)]
pub(crate) enum RefusedFacts {
    /// They are over a limit.
    Over {
        limit: LimitName,
        used: usize,
        /// What is over it, for people.
        what: String,
        max: usize,
    },
    /// The name of one of them, with the reason.
    Name(String),
}

impl fmt::Display for RefusedFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Over {
                limit, what, max, ..
            } => write!(f, "{limit}: {what}, at most {max} are taken"),
            Self::Name(why) => write!(f, "a fact {why}: give it another name"),
        }
    }
}

/// Checks facts; returns how many bytes they have.
///
/// # Errors
/// The limit that they exceed, or the name of one that cannot be taken.
pub(crate) fn check(facts: &[(String, String)], limits: &Limits) -> Result<usize, RefusedFacts> {
    let over = |limit, used, what, max| {
        Err(RefusedFacts::Over {
            limit,
            used,
            what,
            max,
        })
    };
    if facts.len() > limits.facts_max {
        let what = format!("{} facts", facts.len());
        return over(LimitName::Facts, facts.len(), what, limits.facts_max);
    }
    let mut bytes = 0;
    for (name, value) in facts {
        if name.len() > limits.fact_name_bytes_max {
            let what = format!(
                "the name of the fact {:?} with {} bytes",
                masked(name, 32),
                name.len()
            );
            let max = limits.fact_name_bytes_max;
            return over(LimitName::FactNameBytes, name.len(), what, max);
        }
        check_name(name).map_err(RefusedFacts::Name)?;
        if value.len() > limits.fact_bytes_max {
            let name = masked(name, TRACE_LINE_BYTES_MAX);
            let what = format!("the fact {name:?} with {} bytes", value.len());
            return over(
                LimitName::FactBytes,
                value.len(),
                what,
                limits.fact_bytes_max,
            );
        }
        bytes += name.len() + value.len();
    }
    Ok(bytes)
}

/// Checks the name of a fact.
fn check_name(name: &str) -> Result<(), String> {
    let shown = || masked(name, TRACE_LINE_BYTES_MAX);
    if name.is_empty() {
        Err("without a name".to_owned())
    } else if name.contains(char::is_control) {
        Err(format!(
            "{:?}, whose name holds a control character",
            shown()
        ))
    } else if let Some(prefix) = hosts_prefix(name) {
        Err(format!(
            "{:?}: names that begin with {prefix} are the host's",
            shown()
        ))
    } else {
        Ok(())
    }
}

/// Returns the prefix of a name that is reserved for facts of the host.
pub(crate) fn hosts_prefix(name: &str) -> Option<&'static str> {
    ["enrich_failed.", "storm.", "timer."]
        .into_iter()
        .find(|prefix| name.starts_with(prefix))
}

/// Masks secrets in facts, since stories show them. They are recognized by their shape, not by the name of the fact.
pub(crate) fn without_secrets(mut facts: Vec<(String, String)>) -> Labels {
    for (name, value) in &mut facts {
        shapes::mask(name);
        shapes::mask(value);
    }
    Labels::from_iter(facts)
}
