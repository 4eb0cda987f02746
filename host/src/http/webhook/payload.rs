//! Parses the bodies of all senders; errors name the field that is wrong.

mod group;
mod left_out;
mod lenient;
mod reader;
mod wire;

#[cfg(test)]
mod tests;

use sha2::{Digest as _, Sha256};

use crate::alert::{Alert, Timestamp};

use self::lenient::pick;

pub(super) use self::reader::Payload;

/// How many invalid parts of a body are stored with their JSON; further ones are only counted.
const BAD_KEPT_MAX: usize = 16;

/// To how many bytes the JSON of an invalid alert is cut.
const BAD_JSON_BYTES_MAX: usize = 64 << 10;

/// To how many bytes its error is cut, since it may quote the alert.
const BAD_ERROR_BYTES_MAX: usize = 400;

/// To how many bytes its name is cut.
const BAD_ALERTNAME_BYTES_MAX: usize = 256;

/// The content of a body, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The valid alerts, at least one.
    pub alerts: Vec<ParsedAlert>,
    /// The parts that are not valid alerts.
    pub bad: Bad,
    /// The number of alerts that the sender left out of the group (`max_alerts`).
    pub truncated_alerts: u64,
    /// The number of fields that were too long and were cut or dropped.
    pub fields_left_out: u64,
}

/// A valid alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedAlert {
    /// Its index in the body's list.
    pub index: usize,
    /// The alert in the server's form.
    pub alert: Alert,
    /// True if the sender gave no `startsAt`; the alert then has the time of receipt.
    pub starts_at_missing: bool,
}

/// The parts of a body that are not valid alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bad {
    /// The first of them.
    pub first: Vec<BadAlert>,
    /// The number of further ones.
    pub more: u64,
}

impl Bad {
    /// Returns their number.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.more
            .saturating_add(u64::try_from(self.first.len()).unwrap_or(u64::MAX))
    }

    fn add(&mut self, make: impl FnOnce() -> BadAlert) {
        if self.first.len() < BAD_KEPT_MAX {
            self.first.push(make());
        } else {
            self.more += 1;
        }
    }
}

/// A part of a body that is not a valid alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadAlert {
    /// Its index in the body's list.
    pub index: usize,
    /// Names the field and what was expected.
    pub error: String,
    /// The JSON that was sent, cut to 64 KiB.
    pub json: String,
    /// The digest of the JSON before it was cut; the same part has the same digest.
    pub digest: [u8; 32],
    /// Its alertname; empty if it could not be read.
    pub alertname: String,
}

/// Why no part of a body could be accepted. The text is short and contains only names of fields.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// The body is not UTF-8.
    #[error("the body is not UTF-8: byte {0} is invalid")]
    NotUtf8(usize),
    /// The body is not JSON; has the position.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// The body is nested more deeply than any alert.
    #[error("the body is nested too deeply")]
    TooDeep,
    /// The body is JSON, but not one that a sender posts.
    #[error("{0}")]
    NoAlerts(String),
    /// Every alert is invalid; has the first one's error.
    #[error("{error}")]
    NoGoodAlert {
        /// The error of the first one.
        error: String,
        /// Their number.
        alerts: u64,
    },
}

impl PayloadError {
    /// Returns how many alerts are refused with the body, as far as they could be counted.
    #[must_use]
    pub fn alerts(&self) -> u64 {
        match self {
            Self::NoGoodAlert { alerts, .. } => *alerts,
            Self::NoAlerts(_) | Self::NotUtf8(_) | Self::NotJson(_) | Self::TooDeep => 0,
        }
    }
}

/// Parses a body at once; see [`Payload`].
///
/// # Errors
/// Returns an error if the body cannot be parsed, has no alert, or has no valid one.
pub fn parse(body: &[u8], now: Timestamp) -> Result<Parsed, PayloadError> {
    let mut payload = Payload::open(body.to_vec(), now)?;
    let mut alerts = Vec::new();
    while !payload.is_read() {
        alerts.extend(payload.next_portion()?);
    }
    Ok(Parsed {
        alerts,
        truncated_alerts: payload.truncated_alerts(),
        fields_left_out: payload.take_fields_left_out(),
        bad: std::mem::take(payload.bad()),
    })
}

/// The position of an alert in a body, for the names of its fields.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// A single alert: `labels.x`.
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

/// An error in one field of an alert.
#[derive(Debug)]
struct FieldError {
    /// Empty if the whole alert is meant.
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

fn json_error(error: &serde_json::Error) -> PayloadError {
    let text = error.to_string();
    // serde_json has no kind for this error.
    if text.starts_with("recursion limit exceeded") {
        return PayloadError::TooDeep;
    }
    PayloadError::NotJson(text)
}

fn bad(index: usize, place: Place, mut error: FieldError, json: &str) -> BadAlert {
    if matches!(place, Place::Alone) && error.field == "labels" && error.problem == wire::MISSING {
        error = FieldError::new(
            "body",
            "it has neither alerts (a group) nor labels (one alert)",
        );
    }
    let name = place.name(index, &error.field);
    let separator = if name.is_empty() { "" } else { ": " };
    BadAlert {
        index,
        error: cut(
            format!("{name}{separator}{}", error.problem),
            BAD_ERROR_BYTES_MAX,
        ),
        json: json[..json.floor_char_boundary(BAD_JSON_BYTES_MAX)].to_owned(),
        digest: Sha256::digest(json).into(),
        alertname: cut(alertname(json).unwrap_or_default(), BAD_ALERTNAME_BYTES_MAX),
    }
}

fn alertname(json: &str) -> Option<String> {
    let [labels] = pick(json, ["labels"]).ok()?;
    let [name] = pick(labels?.get(), ["alertname"]).ok()?;
    lenient::string(name?).map(|name| name.0.into_owned())
}

/// Cuts a text at a character's boundary.
fn cut(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}
