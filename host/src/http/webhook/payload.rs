//! Reads every body that senders post, and says of a bad one which field is wrong.

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

/// Of the parts of a body that are no alerts, so many are kept with their JSON; the others are counted.
const BAD_KEPT_MAX: usize = 16;

/// Of an alert that is kept because it could not be read, this much of its JSON.
const BAD_JSON_BYTES_MAX: usize = 64 << 10;

/// Of what is wrong with it, in bytes: it may quote the alert, and is listed and answered.
const BAD_ERROR_BYTES_MAX: usize = 400;

/// Of its name, in bytes.
const BAD_ALERTNAME_BYTES_MAX: usize = 256;

/// What a body held, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The good ones; there is at least one.
    pub alerts: Vec<ParsedAlert>,
    /// The parts that are no alerts.
    pub bad: Bad,
    /// Alerts that the sender left out of the group (`max_alerts`): they never come.
    pub truncated_alerts: u64,
    /// Fields that were too long and are cut or not kept.
    pub fields_left_out: u64,
}

/// A good alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedAlert {
    /// As the rest of the server knows it.
    pub alert: Alert,
    /// The sender gave no `startsAt`: the alert holds the time of receipt.
    pub starts_at_missing: bool,
}

/// The parts of a body that are no alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bad {
    /// The first of them.
    pub first: Vec<BadAlert>,
    /// How many there are besides.
    pub more: u64,
}

impl Bad {
    /// Returns how many there are.
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

/// A part of a body that is no alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadAlert {
    /// Its place in the body's list.
    pub index: usize,
    /// Names the field and what was expected.
    pub error: String,
    /// What was sent, cut to 64 KiB.
    pub json: String,
    /// Of all that was sent: the same part again has the same.
    pub digest: [u8; 32],
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

/// Reads a body whole; see [`Payload`].
///
/// # Errors
/// Where the body does not parse, holds no alert, or no alert in it is good.
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

/// Where in a body an alert stands, for the names of its fields.
#[derive(Clone, Copy, Debug)]
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
#[derive(Debug)]
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

fn json_error(error: &serde_json::Error) -> PayloadError {
    let text = error.to_string();
    // serde_json has no kind of its own for it.
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

/// Shortens a text at a character's boundary.
fn cut(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}
