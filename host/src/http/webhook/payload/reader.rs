//! Reads a body in portions. An alert takes some 500 bytes of memory however short its JSON is, so a portion is limited by number
//! as well as by length, and of invalid parts only the first are kept.

use std::ops::Range;

use serde::Deserialize as _;
use serde_json::value::RawValue;

use super::group::{self, Group, WireGroup};
use super::lenient::{found, mend, mend_bytes, pick};
use super::wire::WireAlert;
use super::{BAD_KEPT_MAX, Bad, FieldError, ParsedAlert, PayloadError, Place, bad, json_error};
use crate::alert::{Labels, Timestamp};

/// A body up to this size is parsed at once, as a single portion.
pub(super) const ONE_GO_BYTES_MAX: usize = 128 << 10;

/// The number of alerts of a portion of a larger body: as many as the store takes in one transaction.
pub(super) const PORTION_ALERTS_MAX: usize = 1_000;

/// The size limit of a portion's JSON, not counting the end of its last alert.
const PORTION_BYTES_MAX: usize = 4 << 20;

/// A byte order mark, which a reader may skip (RFC 8259, 8.1).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A body that is being read: Alertmanager's group (version 4), Grafana's (version 1), Prometheus' list without a group, or a
/// single alert.
#[derive(Debug)]
pub(in crate::http::webhook) struct Payload {
    text: String,
    /// The part of the text that is still to be read: alerts, separated by commas.
    rest: Range<usize>,
    place: Place,
    group: Group,
    now: Timestamp,
    /// The index of the next alert.
    index: usize,
    has_good: bool,
    /// The alerts of a body that was parsed at once.
    ready: Vec<ParsedAlert>,
    bad: Bad,
    fields_left_out: u64,
    /// The first position at which the body was not UTF-8 and was repaired.
    damaged_at: Option<usize>,
}

impl Payload {
    /// Finds the alerts of a body. `now` is the time of receipt; an alert without a status has resolved if its end has passed.
    ///
    /// # Errors
    /// Returns an error if it is not JSON, or not a body that a sender posts. The alerts are not parsed yet.
    pub(in crate::http::webhook) fn open(
        mut body: Vec<u8>,
        now: Timestamp,
    ) -> Result<Self, PayloadError> {
        let skipped = if body.starts_with(BYTE_ORDER_MARK) {
            body.drain(..BYTE_ORDER_MARK.len()).len()
        } else {
            0
        };
        let (text, damaged_at) = match String::from_utf8(body) {
            Ok(text) => (text, None),
            Err(error) => {
                let at = skipped + error.utf8_error().valid_up_to();
                (
                    String::from_utf8_lossy(error.as_bytes()).into_owned(),
                    Some(at),
                )
            }
        };
        let mut payload = Self {
            rest: 0..text.len(),
            text,
            place: Place::Alone,
            group: Group::none("json"),
            now,
            index: 0,
            has_good: false,
            ready: Vec::new(),
            bad: Bad::default(),
            fields_left_out: 0,
            damaged_at,
        };
        if damaged_at.is_some() || !payload.read_in_one_go() {
            payload
                .outline()
                .map_err(|error| damaged_at.map_or(error, PayloadError::NotUtf8))?;
        }
        payload.fields_left_out += payload.group.left_out.count();
        Ok(payload)
    }

    pub(in crate::http::webhook) fn truncated_alerts(&self) -> u64 {
        self.group.truncated_alerts
    }

    /// Returns whether there is nothing left for [`Self::next_portion`].
    pub(in crate::http::webhook) fn is_read(&self) -> bool {
        self.ready.is_empty() && self.rest.is_empty() && (self.has_good || self.bad.count() > 0)
    }

    /// Returns the invalid parts that were read so far.
    pub(in crate::http::webhook) fn bad(&mut self) -> &mut Bad {
        &mut self.bad
    }

    /// Returns how many fields were too long since the last call.
    pub(in crate::http::webhook) fn take_fields_left_out(&mut self) -> u64 {
        std::mem::take(&mut self.fields_left_out)
    }

    /// Reads the next portion. It is empty only if the rest of the body has no valid alert.
    ///
    /// # Errors
    /// Returns an error at the end if no alert was valid.
    pub(in crate::http::webhook) fn next_portion(
        &mut self,
    ) -> Result<Vec<ParsedAlert>, PayloadError> {
        let mut alerts = std::mem::take(&mut self.ready);
        if alerts.is_empty() {
            let begin = self.rest.start;
            while alerts.is_empty()
                || (alerts.len() < PORTION_ALERTS_MAX
                    && self.rest.start - begin < PORTION_BYTES_MAX)
            {
                let Some(item) = next_item(&self.text, &mut self.rest) else {
                    break;
                };
                alerts.extend(self.read_item(item));
            }
        }
        self.has_good |= !alerts.is_empty();
        if self.has_good {
            return Ok(alerts);
        }
        Err(match self.bad.first.first() {
            None => PayloadError::NoAlerts("alerts: the list is empty".to_owned()),
            Some(bad) => PayloadError::NoGoodAlert {
                error: bad.error.clone(),
                alerts: self.bad.count(),
            },
        })
    }

    /// Parses a short body of which every field has the right type, as nearly all do. Returns false if one has not, or if an alert
    /// is invalid and its own JSON is needed.
    fn read_in_one_go(&mut self) -> bool {
        if self.text.len() > ONE_GO_BYTES_MAX {
            return false;
        }
        let text = self.text.trim_ascii_start();
        let (alerts, group) = if text.starts_with('[') {
            let Ok(alerts) = serde_json::from_str::<Vec<WireAlert<'_>>>(text) else {
                return false;
            };
            (alerts, Group::none("prometheus"))
        } else {
            let Ok(mut group) = serde_json::from_str::<WireGroup<'_, WireAlert<'_>>>(text) else {
                return false;
            };
            match group.alerts.take() {
                Some(alerts) => {
                    let bytes_max = group::bytes_max(text.len(), alerts.len());
                    (alerts, group.into_group(bytes_max))
                }
                None => match serde_json::from_str(text) {
                    Ok(alert) => (vec![alert], Group::none("json")),
                    Err(_) => return false,
                },
            }
        };
        let mut left_out = 0;
        let alerts = alerts.into_iter().enumerate().map(|(index, wire)| {
            let (alert, fields) = wire.into_alert(index, &group, self.now)?;
            left_out += fields;
            Ok(alert)
        });
        let Ok(alerts) = alerts.collect::<Result<Vec<_>, FieldError>>() else {
            return false;
        };
        self.ready = alerts;
        self.fields_left_out += left_out;
        self.group = group;
        self.rest = 0..0;
        true
    }

    /// Finds the alerts of a body, and its group's fields.
    fn outline(&mut self) -> Result<(), PayloadError> {
        let start = self.text.len() - self.text.trim_ascii_start().len();
        self.rest.start = start;
        let json = &self.text[start..];
        match json.as_bytes().first() {
            None => Err(PayloadError::NoAlerts("the body is empty".to_owned())),
            Some(b'{') => self.outline_object(start),
            Some(first) => {
                let whole: &RawValue = serde_json::from_str(json).map_err(|e| json_error(&e))?;
                if *first != b'[' {
                    let found = found(whole.get());
                    let why =
                        format!("the body is {found}: an object or a list of alerts is expected");
                    return Err(PayloadError::NoAlerts(why));
                }
                self.rest = start + 1..start + whole.get().len() - 1;
                self.place = Place::Listed;
                self.group = Group::none("prometheus");
                Ok(())
            }
        }
    }

    fn outline_object(&mut self, start: usize) -> Result<(), PayloadError> {
        if let Err(error) = pick(&self.text[start..], group::FIELDS) {
            // The names of fields are affected too.
            let mut bytes = std::mem::take(&mut self.text).into_bytes();
            let is_mended = mend_bytes(&mut bytes);
            self.text = String::from_utf8(bytes).map_err(|_| json_error(&error))?;
            if !is_mended {
                return Err(json_error(&error));
            }
        }
        let json = &self.text[start..];
        let fields = pick(json, group::FIELDS).map_err(|e| json_error(&e))?;
        let Some(alerts) = fields[group::FIELDS.len() - 1] else {
            // A single alert: it is the whole text.
            return Ok(());
        };
        if !alerts.get().starts_with('[') {
            let found = found(alerts.get());
            let why = format!("alerts: expected a list, found {found}");
            return Err(PayloadError::NoAlerts(why));
        }
        // Both are slices of the same text.
        let at = alerts.get().as_ptr().addr() - self.text.as_ptr().addr();
        self.rest = at + 1..at + alerts.get().len() - 1;
        self.place = Place::Grouped;
        let mut rest = self.rest.clone();
        let count = std::iter::from_fn(|| next_item(&self.text, &mut rest)).count();
        let bytes_max = group::bytes_max(self.text.len(), count);
        self.group = WireGroup::<WireAlert<'_>>::lenient(&fields).into_group(bytes_max);
        Ok(())
    }

    /// Parses one part of the body; `None` if it is not a valid alert, which is recorded.
    fn read_item(&mut self, item: Range<usize>) -> Option<ParsedAlert> {
        let (json, place, index) = (&self.text[item], self.place, self.index);
        self.index += 1;
        if !json.starts_with('{') && self.bad.first.len() == BAD_KEPT_MAX {
            // There may be millions of them.
            self.bad.more += 1;
            return None;
        }
        let mut read = read_alert(json, index, &self.group, self.now);
        if let (Ok((parsed, _)), Some(at)) = (&read, self.damaged_at)
            && is_damaged(&parsed.alert.labels)
        {
            let problem = format!("not UTF-8 (the body's first bad byte is at {at})");
            read = Err(FieldError::new("labels", problem));
        }
        match read {
            Ok((parsed, left_out)) => {
                self.fields_left_out += left_out;
                Some(parsed)
            }
            Err(error) => {
                self.bad.add(|| bad(index, place, error, json));
                None
            }
        }
    }
}

/// Returns the range of the next value in a list, which is known to be JSON.
fn next_item(text: &str, rest: &mut Range<usize>) -> Option<Range<usize>> {
    let left = &text[rest.clone()];
    let trimmed = left.trim_start_matches([' ', '\n', '\r', '\t', ',']);
    let start = rest.end - trimmed.len();
    let mut values = serde_json::Deserializer::from_str(trimmed);
    let Ok(item) = <&RawValue>::deserialize(&mut values) else {
        *rest = rest.end..rest.end;
        return None;
    };
    let item = start..start + item.get().len();
    // If only white space is left, the list has ended.
    let more = text[item.end..rest.end].trim_start_matches([' ', '\n', '\r', '\t', ',']);
    *rest = rest.end - more.len()..rest.end;
    Some(item)
}

/// Parses a part of a body as an alert; returns it and how many of its fields were too long.
fn read_alert(
    json: &str,
    index: usize,
    group: &Group,
    now: Timestamp,
) -> Result<(ParsedAlert, u64), FieldError> {
    if let Ok(wire) = serde_json::from_str::<WireAlert<'_>>(json) {
        return wire.into_alert(index, group, now);
    }
    let mended = mend(json);
    WireAlert::lenient(mended.as_deref().unwrap_or(json))?.into_alert(index, group, now)
}

/// Returns whether a label was repaired. Labels identify an alert, so with a changed label it would be another.
fn is_damaged(labels: &Labels) -> bool {
    let replaced = char::REPLACEMENT_CHARACTER;
    labels
        .iter()
        .any(|(name, value)| name.contains(replaced) || value.contains(replaced))
}
