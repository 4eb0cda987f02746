//! Alerts in the senders' JSON, for tests that use real alerts.

use std::time::Duration;

use serde_json::Value;

use crate::{Alert, Timestamp};

/// Parses one alert in the senders' JSON: `{"labels": {…}, "annotations": {…}, "startsAt": …, "status": …}`.
/// It was received 30 s after it began, or after it ended.
///
/// # Panics
/// Panics if it cannot be parsed: that is a mistake of the test.
#[track_caller]
pub fn alert_from_json(json: &str) -> Alert {
    let wire: Value = match serde_json::from_str(json) {
        Ok(wire) => wire,
        Err(error) => panic!("the alert is no JSON: {error}"),
    };
    let time = |name: &str| {
        let text = wire[name].as_str()?;
        match text.parse::<Timestamp>() {
            // In Alertmanager's JSON the `endsAt` of a firing alert is in year 1.
            Ok(time) => Some(time).filter(|time| time.seconds > 0),
            Err(error) => panic!("{name}: {error}"),
        }
    };
    let pairs = |name: &str| {
        let object = wire[name].as_object().cloned().unwrap_or_default();
        object
            .into_iter()
            .map(|(name, value)| (name, value.as_str().unwrap_or_default().to_owned()))
    };
    let mut alert = pairs("labels").fold(Alert::new(""), |alert, (name, value)| {
        alert.with_label(name, value)
    });
    alert = pairs("annotations").fold(alert, |alert, (name, value)| {
        alert.with_annotation(name, value)
    });
    let starts_at = time("startsAt").unwrap_or(Timestamp::from_seconds(0));
    alert = alert
        .with_start(starts_at)
        .with_receipt(starts_at.plus(Duration::from_secs(30)));
    alert.generator_url = wire["generatorURL"].as_str().map(str::to_owned);
    if wire["status"] == "resolved" {
        let ends_at = time("endsAt").unwrap_or(starts_at);
        alert = alert
            .into_resolved(ends_at)
            .with_receipt(ends_at.plus(Duration::from_secs(30)));
    }
    alert
}
