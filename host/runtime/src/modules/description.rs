//! Checks the result of `describe`, field by field.

use crate::bindings::hooks;
use crate::limits;
use crate::modules::settings;
use crate::text::cut;
use alert_manager_core::alert::HandlerName;
use alert_manager_core::description::Description;

/// Returns the description if every field is valid.
///
/// # Errors
/// The field that is not, and what to write instead.
pub(crate) fn checked(given: hooks::Description) -> Result<Description, String> {
    let alerts: usize = given.alerts.iter().map(|name| name.len() + 32).sum();
    let bytes = given.name.len() + given.version.len() + given.summary.len() + alerts;
    if bytes > limits::DESCRIPTION_BYTES_MAX {
        let max = limits::DESCRIPTION_BYTES_MAX;
        return Err(format!(
            "describe returned {bytes} bytes; at most {max} are taken"
        ));
    }
    if !HandlerName::is_kebab_case(&given.name) {
        return Err(format!(
            "describe().name is {:?}: write it in lower case letters, digits and single hyphens, \
             beginning with a letter, at most 63 of them, as in kube-pod-crash-looping",
            cut(&given.name, 64)
        ));
    }
    if !is_semantic_version(&given.version) {
        return Err(format!(
            "describe().version is {:?}: write it as MAJOR.MINOR.PATCH, as in 1.0.0",
            cut(&given.version, 64)
        ));
    }
    let summary = given.summary.trim();
    if summary.is_empty() || summary.contains(char::is_control) {
        return Err("describe().summary is to be one sentence on one line".to_owned());
    }
    let mut alerts = given.alerts;
    alerts.sort();
    alerts.dedup();
    if let Some(name) = alerts.iter().find(|n| n.contains(char::is_control)) {
        return Err(format!(
            "describe().alerts holds {name:?}, which is no alertname"
        ));
    }
    let settings = settings::stated(&given.more)?;
    // In `handler.wit`, at `more`.
    let declared = |name: &str| {
        let mut more = given.more.iter();
        more.find(|(given, _)| given == name)
            .map(|(_, value)| value.as_str())
    };
    let steps = declared("steps");
    let storm_one = runs_as_one(declared("storm"))?;
    Ok(Description {
        name: HandlerName::new(&given.name),
        version: given.version,
        summary: summary.to_owned(),
        alerts,
        // `wit/handler.wit` documents these at `more`.
        act_only: steps == Some("act"),
        enrich_only: steps == Some("enrich"),
        storm_one,
        settings,
    })
}

/// Reads what a handler declares about storms: by default each alert runs by itself.
fn runs_as_one(storm: Option<&str>) -> Result<bool, String> {
    match storm {
        Some("one") => Ok(true),
        Some("each") | None => Ok(false),
        Some(other) => Err(format!(
            "describe().more has the storm {:?}: write `one` if one run may stand for many alerts, else `each`",
            cut(other, 64)
        )),
    }
}

fn is_semantic_version(version: &str) -> bool {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<_> = core.split('.').collect();
    version.len() <= 64
        && numbers.len() == 3
        && numbers
            .iter()
            .all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        && version
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn description(name: &str, version: &str, summary: &str) -> Result<Description, String> {
        checked(hooks::Description {
            name: name.to_owned(),
            version: version.to_owned(),
            summary: summary.to_owned(),
            alerts: vec!["B".to_owned(), "A".to_owned(), "B".to_owned()],
            more: vec![],
        })
    }

    fn with_more(more: &[(&str, &str)]) -> Result<Description, String> {
        let more = more.iter();
        checked(hooks::Description {
            name: "a".to_owned(),
            version: "1.0.0".to_owned(),
            summary: "Does.".to_owned(),
            alerts: vec![],
            more: more
                .map(|&(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        })
    }

    #[test]
    fn a_handler_declares_which_of_its_hooks_is_called() {
        for (more, act_only, enrich_only) in [
            (&[][..], false, false),
            (&[("steps", "act")], true, false),
            (&[("steps", "enrich")], false, true),
            (&[("steps", "something new")], false, false),
            // Never both: nothing would run.
            (&[("steps", "act"), ("steps", "enrich")], true, false),
        ] {
            let read = with_more(more).unwrap();
            assert_eq!(
                (read.act_only, read.enrich_only),
                (act_only, enrich_only),
                "{more:?}"
            );
        }
    }

    #[test]
    fn one_run_stands_for_many_alerts_only_if_the_handler_declares_it() {
        for (more, storm_one) in [
            (&[][..], false),
            (&[("storm", "one")], true),
            (&[("storm", "each")], false),
        ] {
            assert_eq!(with_more(more).unwrap().storm_one, storm_one, "{more:?}");
        }
        for wrong in ["", "One", "once", "yes"] {
            let error = with_more(&[("storm", wrong)]).unwrap_err();
            assert_eq!(
                error,
                format!(
                    "describe().more has the storm {wrong:?}: write `one` if one run may stand for many alerts, else `each`"
                )
            );
        }
    }

    #[test]
    fn a_description_is_checked_field_by_field() {
        let good = description("kube-pod-2", "1.0.0-rc.1+5", " Says so. ").unwrap();
        assert_eq!(good.alerts, ["A", "B"]);
        assert_eq!(good.summary, "Says so.");
        for name in ["", "Kube", "a--b", "-a", "a-", "a_b", "1a", &"a".repeat(64)] {
            let error = description(name, "1.0.0", "x").unwrap_err();
            assert!(error.starts_with("describe().name"), "{error}");
        }
        for version in ["", "1", "1.0", "v1.0.0", "1.0.x", "1.0.0 beta"] {
            let error = description("a", version, "x").unwrap_err();
            assert!(error.starts_with("describe().version"), "{error}");
        }
        for summary in ["", "  ", "a\nb"] {
            let error = description("a", "1.0.0", summary).unwrap_err();
            assert!(error.starts_with("describe().summary"), "{error}");
        }
    }
}
