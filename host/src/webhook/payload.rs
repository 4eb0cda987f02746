//! Reads every body that senders post, and says of a bad one which field is wrong.

mod wire;

#[cfg(test)]
mod tests;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::alert::{Alert, Labels, Origin, Timestamp};

use self::wire::{WireAlert, WireGroup, found};

/// Bodies up to this are read in one go. In larger ones the alerts are read one by one: parsed and not yet taken over,
/// small ones are ten times as large as their JSON.
const ONE_GO_BYTES_MAX: usize = 1 << 20;

/// Of an alert that is kept because it could not be read, this much of its JSON.
const BAD_JSON_BYTES_MAX: usize = 64 << 10;

/// Of what is wrong with it, in bytes: it may quote the alert, and is listed and answered.
const BAD_ERROR_BYTES_MAX: usize = 400;

/// Of its name, in bytes.
const BAD_ALERTNAME_BYTES_MAX: usize = 256;

/// What a body held, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// At least one of them is good.
    pub alerts: Vec<Result<ParsedAlert, BadAlert>>,
    /// Alerts that the sender left out of the group (`max_alerts`): they never come.
    pub truncated_alerts: u64,
}

/// A good alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedAlert {
    /// As the rest of the server knows it.
    pub alert: Alert,
    /// The sender gave no `startsAt`: the alert holds the time of receipt.
    pub starts_at_missing: bool,
}

/// A part of a body that is no alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadAlert {
    /// Its place in the body's list.
    pub index: usize,
    /// Names the field and what was expected.
    pub error: String,
    /// What was sent, cut to 64 KiB.
    pub json: String,
    /// Its alertname, empty where none could be read.
    pub alertname: String,
}

/// Why nothing of a body could be taken. The text is short and holds only names of fields.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Not text.
    #[error("the body is not UTF-8: byte {0} is invalid")]
    NotUtf8(usize),
    /// Not JSON, with the place.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// Deeper than any alert.
    #[error("the body is nested too deeply")]
    TooDeep,
    /// JSON, but no body that any sender posts.
    #[error("{0}")]
    NoAlerts(String),
    /// Every alert is bad; the first one's error.
    #[error("{error}")]
    NoGoodAlert {
        /// What is wrong with the first.
        error: String,
        /// How many there are.
        alerts: usize,
    },
}

impl PayloadError {
    /// Returns how many alerts are refused with the body, as far as they could be counted.
    #[must_use]
    pub fn alerts(&self) -> u64 {
        match self {
            Self::NoGoodAlert { alerts, .. } => u64::try_from(*alerts).unwrap_or(u64::MAX),
            Self::NoAlerts(_) | Self::NotUtf8(_) | Self::NotJson(_) | Self::TooDeep => 0,
        }
    }
}

/// Reads Alertmanager's group (version 4), Grafana's (version 1), Prometheus' bare list and one alert
/// alone. `now` is the time of receipt; an alert without status is resolved where its end has passed.
///
/// # Errors
/// Where the body does not parse, holds no alert, or no alert in it is good.
pub fn parse(body: &[u8], now: Timestamp) -> Result<Parsed, PayloadError> {
    match std::str::from_utf8(body) {
        Ok(text) => check(read(text, now)?),
        Err(error) => read_damaged(body, error.valid_up_to(), now),
    }
}

fn read(text: &str, now: Timestamp) -> Result<Parsed, PayloadError> {
    if text.trim().is_empty() {
        return Err(PayloadError::NoAlerts("the body is empty".to_owned()));
    }
    if !text.trim_start().starts_with('[') {
        return read_object(text, now);
    }
    let origin = sent_by("prometheus");
    if text.len() <= ONE_GO_BYTES_MAX
        && let Ok(alerts) = serde_json::from_str(text)
        && let Some(parsed) = all_good(alerts, &origin, now)
    {
        return Ok(parsed);
    }
    let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|e| json_error(&e))?;
    Ok(read_list(&items, Place::Listed, &origin, now))
}

/// Takes alerts that were read in one go, as nearly all are; absent where one of them is bad, and its JSON is needed.
fn all_good(alerts: Vec<WireAlert<'_>>, origin: &Origin, now: Timestamp) -> Option<Parsed> {
    let alerts = alerts.into_iter();
    let alerts = alerts.map(|wire| wire.into_alert(origin, now).map(Ok));
    Some(Parsed {
        alerts: alerts.collect::<Result<_, _>>().ok()?,
        truncated_alerts: 0,
    })
}

/// Reads a body that is not all UTF-8: an alert that the damage is in is bad, its group is not.
fn read_damaged(body: &[u8], at: usize, now: Timestamp) -> Result<Parsed, PayloadError> {
    let text = String::from_utf8_lossy(body);
    let mut parsed = read(&text, now).map_err(|_| PayloadError::NotUtf8(at))?;
    let place = place_of_first(&text);
    for (index, entry) in parsed.alerts.iter_mut().enumerate() {
        if let Ok(good) = entry
            && let Some(field) = damaged_field(&good.alert)
        {
            let json = serde_json::to_string(&good.alert).unwrap_or_default();
            let problem = format!("not UTF-8 (the body's first bad byte is at {at})");
            let error = FieldError::new(field, problem);
            *entry = Err(bad(index, place, error, &json));
        }
    }
    check(parsed)
}

/// Tells how the alerts of a body that could be read are named.
fn place_of_first(text: &str) -> Place {
    if text.trim_start().starts_with('[') {
        return Place::Listed;
    }
    let alerts = serde_json::from_str::<Value>(text).map(|body| body["alerts"].is_array());
    match alerts {
        Ok(true) => Place::Grouped,
        _ => Place::Alone,
    }
}

fn damaged_field(alert: &Alert) -> Option<&'static str> {
    let is_damaged = |labels: &Labels| {
        let replaced = char::REPLACEMENT_CHARACTER;
        labels
            .iter()
            .any(|(name, value)| name.contains(replaced) || value.contains(replaced))
    };
    if is_damaged(&alert.labels) {
        Some("labels")
    } else if is_damaged(&alert.annotations) {
        Some("annotations")
    } else {
        None
    }
}

/// Where in a body an alert stands, for the names of its fields.
#[derive(Clone, Copy)]
enum Place {
    /// Alone: `labels.x`.
    Alone,
    /// In a group: `alerts[3].labels.x`.
    Grouped,
    /// In a bare list: `[3].labels.x`.
    Listed,
}

impl Place {
    fn name(self, index: usize, field: &str) -> String {
        match self {
            Self::Alone => field.to_owned(),
            Self::Grouped if field.is_empty() => format!("alerts[{index}]"),
            Self::Grouped => format!("alerts[{index}].{field}"),
            Self::Listed if field.is_empty() => format!("[{index}]"),
            Self::Listed => format!("[{index}].{field}"),
        }
    }
}

/// What is wrong with one field of an alert.
struct FieldError {
    /// Empty where the whole alert is meant.
    field: String,
    problem: String,
}

impl FieldError {
    fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            problem: problem.into(),
        }
    }
}

fn check(parsed: Parsed) -> Result<Parsed, PayloadError> {
    let first_bad = parsed.alerts.iter().find_map(|alert| alert.as_ref().err());
    match first_bad {
        None if parsed.alerts.is_empty() => {
            let why = "alerts: the list is empty".to_owned();
            Err(PayloadError::NoAlerts(why))
        }
        Some(bad) if parsed.alerts.iter().all(Result::is_err) => Err(PayloadError::NoGoodAlert {
            error: bad.error.clone(),
            alerts: parsed.alerts.len(),
        }),
        _ => Ok(parsed),
    }
}

fn json_error(error: &serde_json::Error) -> PayloadError {
    let text = error.to_string();
    // serde_json has no kind of its own for it.
    if text.starts_with("recursion limit exceeded") {
        return PayloadError::TooDeep;
    }
    PayloadError::NotJson(text)
}

fn sent_by(sender: &str) -> Origin {
    Origin {
        sender: sender.to_owned(),
        ..Origin::default()
    }
}

/// Reads a group or an alert alone. The typed way is the fast one, and for a group with a bad alert has each alert's own
/// JSON; what it does not take (a field given twice, a field of another type) is read again as a tree, which takes more
/// and knows what is wrong.
fn read_object(text: &str, now: Timestamp) -> Result<Parsed, PayloadError> {
    if text.len() <= ONE_GO_BYTES_MAX
        && let Ok(mut group) = serde_json::from_str::<WireGroup<'_, WireAlert<'_>>>(text)
    {
        let Some(alerts) = group.alerts.take() else {
            return Ok(alone(read_alert(text, &sent_by("json"), now), text));
        };
        let truncated_alerts = group.truncated_alerts.unwrap_or(0);
        if let Some(parsed) = all_good(alerts, &group.into_origin(), now) {
            return Ok(Parsed {
                truncated_alerts,
                ..parsed
            });
        }
    }
    if let Ok(mut group) = serde_json::from_str::<WireGroup<'_, &RawValue>>(text) {
        let Some(items) = group.alerts.take() else {
            return Ok(alone(read_alert(text, &sent_by("json"), now), text));
        };
        let truncated_alerts = group.truncated_alerts.unwrap_or(0);
        let parsed = read_list(&items, Place::Grouped, &group.into_origin(), now);
        return Ok(Parsed {
            truncated_alerts,
            ..parsed
        });
    }
    let value: Value = serde_json::from_str(text).map_err(|e| json_error(&e))?;
    let Value::Object(fields) = &value else {
        let what = found(&value);
        let why = format!("the body is {what}: an object or a list of alerts is expected");
        return Err(PayloadError::NoAlerts(why));
    };
    match fields.get("alerts") {
        None | Some(Value::Null) => {
            let alert = alert_from_tree(&value, &sent_by("json"), now);
            Ok(alone(alert, text))
        }
        Some(Value::Array(items)) => {
            let group = WireGroup::<&RawValue>::from_tree(fields);
            let truncated_alerts = group.truncated_alerts.unwrap_or(0);
            let origin = group.into_origin();
            let alerts = items.iter().enumerate().map(|(index, item)| {
                alert_from_tree(item, &origin, now)
                    .map_err(|error| bad(index, Place::Grouped, error, &item.to_string()))
            });
            Ok(Parsed {
                alerts: alerts.collect(),
                truncated_alerts,
            })
        }
        Some(other) => Err(PayloadError::NoAlerts(format!(
            "alerts: expected a list, found {}",
            found(other)
        ))),
    }
}

fn alone(alert: Result<ParsedAlert, FieldError>, text: &str) -> Parsed {
    let alert = alert.map_err(|mut error| {
        if error.field == "labels" && error.problem == wire::MISSING {
            error = FieldError::new(
                "body",
                "it has neither alerts (a group) nor labels (one alert)",
            );
        }
        bad(0, Place::Alone, error, text)
    });
    Parsed {
        alerts: vec![alert],
        truncated_alerts: 0,
    }
}

fn read_list(items: &[&RawValue], place: Place, origin: &Origin, now: Timestamp) -> Parsed {
    let alerts = items.iter().enumerate().map(|(index, item)| {
        read_alert(item.get(), origin, now).map_err(|error| bad(index, place, error, item.get()))
    });
    Parsed {
        alerts: alerts.collect(),
        truncated_alerts: 0,
    }
}

fn read_alert(text: &str, origin: &Origin, now: Timestamp) -> Result<ParsedAlert, FieldError> {
    if let Ok(wire) = serde_json::from_str::<WireAlert<'_>>(text) {
        return wire.into_alert(origin, now);
    }
    let value: Value = serde_json::from_str(text)
        .map_err(|error| FieldError::new("", json_error(&error).to_string()))?;
    alert_from_tree(&value, origin, now)
}

fn alert_from_tree(
    value: &Value,
    origin: &Origin,
    now: Timestamp,
) -> Result<ParsedAlert, FieldError> {
    WireAlert::from_tree(value)?.into_alert(origin, now)
}

fn bad(index: usize, place: Place, error: FieldError, json: &str) -> BadAlert {
    let name = place.name(index, &error.field);
    let separator = if name.is_empty() { "" } else { ": " };
    let alertname = serde_json::from_str::<Value>(json)
        .ok()
        .and_then(|value| Some(value.get("labels")?.get("alertname")?.as_str()?.to_owned()));
    BadAlert {
        index,
        error: cut(
            format!("{name}{separator}{}", error.problem),
            BAD_ERROR_BYTES_MAX,
        ),
        json: json[..json.floor_char_boundary(BAD_JSON_BYTES_MAX)].to_owned(),
        alertname: cut(alertname.unwrap_or_default(), BAD_ALERTNAME_BYTES_MAX),
    }
}

/// Shortens a text at a character's boundary.
fn cut(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}
