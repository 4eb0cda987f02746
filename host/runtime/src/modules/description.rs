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
    if !is_kebab_case(&given.name) {
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
    Ok(Description {
        name: HandlerName::new(&given.name),
        version: given.version,
        summary: summary.to_owned(),
        alerts,
        storm_one: false,
        // `wit/handler.wit` documents this at `more`.
        act_only: given
            .more
            .iter()
            .any(|(name, value)| name == "steps" && value == "act"),
        settings,
    })
}

fn is_kebab_case(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.split('-').all(|word| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        })
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
