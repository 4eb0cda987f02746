//! The JSON of a single alert of Alertmanager, Grafana and Prometheus.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::group::{Group, status_of};
use super::left_out::{self, LeftOut};
use super::lenient::{Text, expected, lenient_pairs, pick, scalar, strict_pairs, string};
use super::{FieldError, ParsedAlert};
use crate::alert::{Alert, Fingerprint, Labels, Status, Timestamp};

/// The error for a missing required field.
pub(super) const MISSING: &str = "missing; an alert needs at least one label";

/// The size limit of an alert's labels, names and values. They identify the alert, so they are not cut.
const LABELS_BYTES_MAX: usize = 1 << 20;

/// The size limit of an alert's annotations, names and values. Longer ones are cut.
const ANNOTATIONS_BYTES_MAX: usize = 1 << 20;

/// The size limit of each other field of an alert. A longer one is dropped, since a cut URL would lead elsewhere.
const FIELD_BYTES_MAX: usize = 64 << 10;

/// The end of a text that was cut.
const CUT: &str = "…";

/// Go's zero time, 0001-01-01T00:00:00Z, in seconds since 1970: senders write it for "not set".
const GO_ZERO_SECONDS: i64 = -62_135_596_800;

/// Go writes an offset without its seconds, which offsets of before 1901 have (Shanghai's was +08:05:43), so that the moment
/// differs by as many seconds.
const OFFSET_SECONDS_MAX: u64 = 59;

/// The fields of an alert, of all senders; unknown fields are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireAlert<'a> {
    #[serde(borrow)]
    status: Option<Text<'a>>,
    labels: Option<Labels>,
    annotations: Option<Labels>,
    starts_at: Option<Text<'a>>,
    ends_at: Option<Text<'a>>,
    #[serde(rename = "generatorURL")]
    generator_url: Option<Text<'a>>,
    fingerprint: Option<Text<'a>>,
    // Grafana's fields.
    #[serde(rename = "silenceURL")]
    silence_url: Option<Text<'a>>,
    #[serde(rename = "dashboardURL")]
    dashboard_url: Option<Text<'a>>,
    #[serde(rename = "panelURL")]
    panel_url: Option<Text<'a>>,
    #[serde(rename = "imageURL")]
    image_url: Option<Text<'a>>,
    #[serde(rename = "ruleUID")]
    rule_uid: Option<Text<'a>>,
    value_string: Option<Text<'a>>,
    values: Option<&'a RawValue>,
}

impl<'a> WireAlert<'a> {
    /// Parses an alert field by field. Fields that decide (labels, status, start) must have the right type; of fields that only
    /// inform, the usable ones are kept.
    pub(super) fn lenient(json: &'a str) -> Result<Self, FieldError> {
        const FIELDS: [&str; 14] = [
            "status",
            "labels",
            "annotations",
            "startsAt",
            "endsAt",
            "generatorURL",
            "fingerprint",
            "silenceURL",
            "dashboardURL",
            "panelURL",
            "imageURL",
            "ruleUID",
            "valueString",
            "values",
        ];
        let whole: &RawValue = serde_json::from_str(json).map_err(unreadable)?;
        if !whole.get().starts_with('{') {
            return Err(expected("an object", "", whole));
        }
        let fields = pick(json, FIELDS).map_err(unreadable)?;
        let [status, labels, annotations, starts_at, ends_at, rest @ ..] = fields;
        let [
            generator_url,
            fingerprint,
            silence_url,
            dashboard_url,
            rest @ ..,
        ] = rest;
        let [panel_url, image_url, rule_uid, value_string, values] = rest;
        let strict = |name: &str, raw: Option<&'a RawValue>| {
            raw.map(|raw| string(raw).ok_or_else(|| expected("a string", name, raw)))
                .transpose()
        };
        let text = |raw: Option<&'a RawValue>| raw.and_then(scalar);
        Ok(Self {
            status: strict("status", status)?,
            labels: labels.map(|raw| strict_pairs(raw, "labels")).transpose()?,
            annotations: annotations.map(lenient_pairs),
            starts_at: strict("startsAt", starts_at)?,
            ends_at: text(ends_at),
            generator_url: text(generator_url),
            fingerprint: text(fingerprint),
            silence_url: text(silence_url),
            dashboard_url: text(dashboard_url),
            panel_url: text(panel_url),
            image_url: text(image_url),
            rule_uid: text(rule_uid),
            value_string: text(value_string),
            values,
        })
    }

    /// Returns the alert, which has this index in its body, and how many of its fields were too long.
    pub(super) fn into_alert(
        self,
        index: usize,
        group: &Group,
        now: Timestamp,
    ) -> Result<(ParsedAlert, u64), FieldError> {
        let Some(labels) = self.labels else {
            return Err(FieldError::new("labels", MISSING));
        };
        let labels = labels.without_empty_values();
        check_labels(&labels)?;
        let starts_at = moment("startsAt", self.starts_at.as_ref())?;
        let ends_at = moment("endsAt", self.ends_at.as_ref());
        let status =
            match self.status.as_ref().map_or("", |text| &*text.0) {
                "" => group.status,
                text => Some(status_of(text).ok_or_else(|| {
                    FieldError::new("status", "expected \"firing\" or \"resolved\"")
                })?),
            };
        let (status, ends_at) = match (status, ends_at) {
            (Some(status), ends_at) => (status, ends_at.unwrap_or_default()),
            (None, Err(error)) => return Err(error),
            (None, Ok(Some(end))) if end <= now => (Status::Resolved, Some(end)),
            (None, Ok(end)) => (Status::Firing, end),
        };
        let mut left_out = group.left_out.clone();
        let (of_group, mut origin) = (left_out.count(), group.origin.clone());
        let annotations = bounded(self.annotations.unwrap_or_default(), &mut left_out);
        let mut field = |name: &'static str, text: Option<Text<'_>>| {
            let text = text.and_then(Text::into_filled)?;
            if text.len() <= FIELD_BYTES_MAX {
                return Some(text);
            }
            left_out.add(name);
            None
        };
        let values = self.values.map(|raw| Text(Cow::Borrowed(raw.get())));
        let generator_url = field("generatorURL", self.generator_url);
        let extra = [
            ("silenceURL", self.silence_url),
            ("dashboardURL", self.dashboard_url),
            ("panelURL", self.panel_url),
            ("imageURL", self.image_url),
            ("ruleUID", self.rule_uid),
            ("valueString", self.value_string),
            ("values", values.filter(|values| values.0 != "null")),
        ]
        .map(|(name, text)| (name, field(name, text)));
        let own = left_out.count() - of_group;
        let said = (left_out.count() > 0).then(|| left_out.to_string());
        let extra: Labels = extra
            .into_iter()
            .chain([(left_out::NAME, said)])
            .filter_map(|(name, text)| Some((name, text?)))
            .collect();
        if !extra.is_empty() {
            origin.extra = origin.extra.merged(&extra);
        }
        let sent = self.fingerprint.filter(|text| text.0.len() == 16);
        let fingerprint = sent.and_then(|text| text.0.parse().ok());
        let parsed = ParsedAlert {
            index,
            starts_at_missing: starts_at.is_none(),
            alert: Alert {
                fingerprint: fingerprint.unwrap_or_else(|| Fingerprint::of(&labels)),
                status,
                labels,
                annotations,
                starts_at: starts_at.unwrap_or(now),
                ends_at,
                generator_url,
                received_at: now,
                origin,
            },
        };
        Ok((parsed, own))
    }
}

fn unreadable(error: serde_json::Error) -> FieldError {
    FieldError::new("", super::json_error(&error).to_string())
}

fn check_labels(labels: &Labels) -> Result<(), FieldError> {
    let problem = if labels.is_empty() {
        "there is none; an alert needs at least one label with a value".to_owned()
    } else if labels.get("").is_some() {
        "a label has no name".to_owned()
    } else if labels.bytes() > LABELS_BYTES_MAX {
        let bytes = labels.bytes();
        format!("they have {bytes} bytes; an alert's labels may have {LABELS_BYTES_MAX}")
    } else {
        return Ok(());
    };
    Err(FieldError::new("labels", problem))
}

/// Cuts annotations to [`ANNOTATIONS_BYTES_MAX`], the last by name first.
fn bounded(annotations: Labels, left_out: &mut LeftOut) -> Labels {
    if annotations.bytes() <= ANNOTATIONS_BYTES_MAX {
        return annotations;
    }
    let mut bytes_left = ANNOTATIONS_BYTES_MAX;
    Labels::gathered(|add| {
        for (name, value) in annotations.iter() {
            let room = bytes_left.saturating_sub(name.len());
            if value.len() <= room {
                bytes_left = room - value.len();
                add(name, value);
                continue;
            }
            left_out.add(&format!("annotations.{name}"));
            if room > CUT.len() {
                let kept = &value[..value.floor_char_boundary(room - CUT.len())];
                bytes_left = 0;
                add(name, &format!("{kept}{CUT}"));
            }
        }
    })
}

/// Reads an RFC 3339 time; absent where it is missing, empty or Go's zero time, in whatever zone that is written.
fn moment(field: &str, text: Option<&Text<'_>>) -> Result<Option<Timestamp>, FieldError> {
    let Some(text) = text.map(|text| &*text.0).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let moment = text
        .parse()
        .ok()
        .or_else(|| last_moment(text))
        .ok_or_else(|| {
            let problem = "expected a time as in RFC 3339, such as 2022-03-02T07:31:57.339Z";
            FieldError::new(field, problem)
        })?;
    let is_unset = moment.as_second().abs_diff(GO_ZERO_SECONDS) <= OFFSET_SECONDS_MAX;
    Ok((!is_unset).then_some(moment))
}

/// Returns the last moment of a [`Timestamp`] for a time in the last hours of the year 9999, which senders write for "for ever"
/// and which a [`Timestamp`] cannot hold.
fn last_moment(text: &str) -> Option<Timestamp> {
    let pieces = jiff::fmt::temporal::Pieces::parse(text).ok()?;
    let offset = pieces.to_numeric_offset()?;
    let local = pieces.date().to_datetime(pieces.time()?);
    let utc = local.checked_sub(jiff::SignedDuration::from_secs(offset.seconds().into()));
    let last = jiff::tz::Offset::UTC.to_datetime(Timestamp::MAX);
    // A time that cannot be converted to UTC is past the end too, as no offset is as long as a year.
    let is_past = utc.map_or(local.year() == last.year(), |utc| utc >= last);
    is_past.then_some(Timestamp::MAX)
}
