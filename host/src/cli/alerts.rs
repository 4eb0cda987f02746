//! Reads a file of alerts, for the commands that need no server.

use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};

use super::{print, send};
use crate::alert::{Alert, Labels, Timestamp};
use crate::http::webhook::{self, Bad, ParsedAlert};

/// The alerts of a body, numbered from 0 as in its list.
pub(super) struct Alerts {
    file: PathBuf,
    /// The valid ones, in the order of the body; at least one.
    valid: Vec<ParsedAlert>,
    bad: Bad,
}

/// Reads a body that the webhook would accept, and names the parts of it that are no valid alerts.
///
/// # Errors
/// If the file cannot be read, or has no valid alert.
pub(super) fn read(file: &Path, now: Timestamp) -> anyhow::Result<Alerts> {
    let parsed = webhook::parse(&send::read(file)?, now)
        .map_err(|error| anyhow!("{}: {error}", file.display()))?;
    for bad in &parsed.bad.first {
        let line = format!("alert {}: {}", bad.index, bad.error);
        print::note(&print::plain(&line));
    }
    if parsed.bad.more > 0 {
        print::note(&format!("{} more parts are not alerts", parsed.bad.more));
    }
    Ok(Alerts {
        file: file.to_owned(),
        valid: parsed.alerts,
        bad: parsed.bad,
    })
}

impl Alerts {
    /// Returns the labels of the valid alerts.
    pub(super) fn labels(self) -> Vec<Labels> {
        let valid = self.valid.into_iter();
        valid.map(|parsed| parsed.alert.labels).collect()
    }

    /// Returns how many there are, with those that are not valid.
    pub(super) fn count(&self) -> usize {
        self.valid.len() + usize::try_from(self.bad.count()).unwrap_or(usize::MAX)
    }

    /// Returns the number of the first valid one.
    pub(super) fn first(&self) -> usize {
        self.valid.first().map_or(0, |parsed| parsed.index)
    }

    /// Returns the alert of this number.
    ///
    /// # Errors
    /// If there is none, or it is not valid.
    pub(super) fn at(&self, index: usize) -> anyhow::Result<Alert> {
        let file = self.file.display();
        if let Some(parsed) = self.valid.iter().find(|parsed| parsed.index == index) {
            return Ok(parsed.alert.clone());
        }
        if let Some(bad) = self.bad.first.iter().find(|bad| bad.index == index) {
            bail!("{file}: alert {index} is not valid: {}", bad.error);
        }
        if index < self.count() {
            // Of many that are not valid, only the errors of the first are kept.
            bail!("{file}: alert {index} is not valid");
        }
        bail!(
            "{file} has {} alerts, so --index is at most {}",
            self.count(),
            self.count().saturating_sub(1)
        );
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn alerts_are_numbered_as_in_the_file_and_a_bad_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("alerts.json");
        let body =
            r#"[7, {"labels": {"alertname": "A"}}, {"labels": 1}, {"labels": {"alertname": "B"}}]"#;
        std::fs::write(&file, body).unwrap();
        let alerts = read(&file, Timestamp::now()).unwrap();
        assert_eq!((alerts.count(), alerts.first()), (4, 1));
        assert_eq!(alerts.at(1).unwrap().name(), "A");
        assert_eq!(alerts.at(3).unwrap().name(), "B");
        let error = alerts.at(2).unwrap_err().to_string();
        assert!(error.contains("alert 2 is not valid: "), "{error}");
        let error = alerts.at(4).unwrap_err().to_string();
        assert!(
            error.ends_with("has 4 alerts, so --index is at most 3"),
            "{error}"
        );
    }

    #[test]
    fn alerts_keep_their_numbers_behind_many_that_are_not_valid() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("alerts.json");
        let bad = "7,".repeat(20);
        let body = format!(
            r#"[{bad}{{"labels": {{"alertname": "A"}}}}, 7, {{"labels": {{"alertname": "B"}}}}]"#
        );
        std::fs::write(&file, body).unwrap();
        let alerts = read(&file, Timestamp::now()).unwrap();
        assert_eq!((alerts.count(), alerts.first()), (23, 20));
        assert_eq!(alerts.at(20).unwrap().name(), "A");
        assert_eq!(alerts.at(22).unwrap().name(), "B");
        for (index, end) in [
            (19, "alert 19 is not valid"),
            (21, "alert 21 is not valid"),
            (23, "has 23 alerts, so --index is at most 22"),
        ] {
            let error = alerts.at(index).unwrap_err().to_string();
            assert!(error.ends_with(end), "{error}");
        }
    }
}
