//! The JSON of Alertmanager, Grafana and Prometheus, field by field.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{FieldError, ParsedAlert};
use crate::alert::{Alert, Fingerprint, Labels, Origin, Status, Timestamp};

/// What is said of a field that must be there.
pub(super) const MISSING: &str = "missing; an alert needs at least one label";

/// The Go zero time, 0001-01-01T00:00:00Z, in seconds since 1970: senders write it for "not set".
const GO_ZERO_SECONDS: i64 = -62_135_596_800;

/// A text that is borrowed from the body where it has no escapes. (Serde does not borrow inside
/// `Option<Cow<str>>` by itself.)
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Text<'_> {
    fn into_filled(self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.into_owned())
    }
}

/// A group's own fields and its alerts, each read as an `A`; unknown ones are ignored.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "A: Deserialize<'de>"))]
pub(super) struct WireGroup<'a, A> {
    pub(super) alerts: Option<Vec<A>>,
    pub(super) truncated_alerts: Option<u64>,
    #[serde(borrow)]
    version: Option<Text<'a>>,
    receiver: Option<Text<'a>>,
    group_key: Option<Text<'a>>,
    group_labels: Option<Labels>,
    #[serde(rename = "externalURL")]
    external_url: Option<Text<'a>>,
    // Grafana's. Its `message` is left out: it renders all alerts, and would be kept with each.
    org_id: Option<i64>,
    title: Option<Text<'a>>,
    state: Option<Text<'a>>,
}

impl<'a, A> WireGroup<'a, A> {
    /// Takes what has the right type; nothing that a group says beside its alerts is worth losing them.
    pub(super) fn from_tree(fields: &'a Map<String, Value>) -> Self {
        let text = |name: &str| scalar(fields.get(name)).map(Text);
        Self {
            alerts: None,
            truncated_alerts: fields.get("truncatedAlerts").and_then(Value::as_u64),
            version: text("version"),
            receiver: text("receiver"),
            group_key: text("groupKey"),
            group_labels: fields
                .get("groupLabels")
                .and_then(|value| pairs(value, "groupLabels").ok()),
            external_url: text("externalURL"),
            org_id: fields.get("orgId").and_then(Value::as_i64),
            title: text("title"),
            state: text("state"),
        }
    }

    pub(super) fn into_origin(self) -> Origin {
        let version = self.version.as_ref().map_or("", |version| &*version.0);
        let sender = match (version, self.org_id, &self.group_key) {
            ("4", _, _) => "alertmanager",
            ("1", _, _) | (_, Some(_), _) => "grafana",
            (_, None, Some(_)) => "alertmanager",
            (_, None, None) => "json",
        };
        let extra = [
            ("orgId", self.org_id.map(|id| id.to_string())),
            ("title", self.title.and_then(Text::into_filled)),
            ("state", self.state.and_then(Text::into_filled)),
        ];
        Origin {
            sender: sender.to_owned(),
            receiver: self.receiver.and_then(Text::into_filled),
            group_key: self.group_key.and_then(Text::into_filled),
            group_labels: self.group_labels.unwrap_or_default(),
            external_url: self.external_url.and_then(Text::into_filled),
            extra: filled(extra),
        }
    }
}

/// An alert's fields, of all senders; unknown ones are ignored.
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
    // Grafana's.
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
    /// `values` where the alert is read from a tree.
    #[serde(skip)]
    values_tree: Option<String>,
}

impl<'a> WireAlert<'a> {
    /// Takes an alert from a tree: what decides (labels, annotations, status, times) must have the right
    /// type, what only informs is left out where it does not.
    pub(super) fn from_tree(value: &'a Value) -> Result<Self, FieldError> {
        let Value::Object(fields) = value else {
            let problem = format!("expected an object, found {}", found(value));
            return Err(FieldError::new("", problem));
        };
        let text = |name: &str| scalar(fields.get(name)).map(Text);
        let strict = |name: &str| match fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(Text(Cow::Borrowed(text.as_str())))),
            Some(other) => Err(expected_string(name, other)),
        };
        let named = |name: &str| match fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => pairs(value, name).map(Some),
        };
        Ok(Self {
            status: strict("status")?,
            labels: named("labels")?,
            annotations: named("annotations")?,
            starts_at: strict("startsAt")?,
            ends_at: strict("endsAt")?,
            generator_url: text("generatorURL"),
            fingerprint: text("fingerprint"),
            silence_url: text("silenceURL"),
            dashboard_url: text("dashboardURL"),
            panel_url: text("panelURL"),
            image_url: text("imageURL"),
            rule_uid: text("ruleUID"),
            value_string: text("valueString"),
            values: None,
            values_tree: fields
                .get("values")
                .filter(|values| !values.is_null())
                .map(Value::to_string),
        })
    }

    pub(super) fn into_alert(
        self,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<ParsedAlert, FieldError> {
        let Some(labels) = self.labels else {
            return Err(FieldError::new("labels", MISSING));
        };
        let labels = labels.without_empty_values();
        if labels.is_empty() {
            let problem = "there is none; an alert needs at least one label with a value";
            return Err(FieldError::new("labels", problem));
        }
        if labels.get("").is_some() {
            return Err(FieldError::new("labels", "a label has no name"));
        }
        let starts_at = moment("startsAt", self.starts_at.as_ref())?;
        let ends_at = moment("endsAt", self.ends_at.as_ref())?;
        let status = match self.status.as_ref().map(|text| &*text.0) {
            Some("firing") => Status::Firing,
            Some("resolved") => Status::Resolved,
            None | Some("") if ends_at.is_some_and(|end| end <= now) => Status::Resolved,
            None | Some("") => Status::Firing,
            Some(_) => {
                let problem = "expected \"firing\" or \"resolved\"";
                return Err(FieldError::new("status", problem));
            }
        };
        let sent = self.fingerprint.filter(|text| text.0.len() == 16);
        let fingerprint = sent.and_then(|text| text.0.parse().ok());
        let extra = filled([
            ("silenceURL", self.silence_url.and_then(Text::into_filled)),
            (
                "dashboardURL",
                self.dashboard_url.and_then(Text::into_filled),
            ),
            ("panelURL", self.panel_url.and_then(Text::into_filled)),
            ("imageURL", self.image_url.and_then(Text::into_filled)),
            ("ruleUID", self.rule_uid.and_then(Text::into_filled)),
            ("valueString", self.value_string.and_then(Text::into_filled)),
            (
                "values",
                self.values
                    .map(|raw| raw.get().to_owned())
                    .or(self.values_tree),
            ),
        ]);
        let mut origin = origin.clone();
        if !extra.is_empty() {
            origin.extra = origin.extra.merged(&extra);
        }
        Ok(ParsedAlert {
            starts_at_missing: starts_at.is_none(),
            alert: Alert {
                fingerprint: fingerprint.unwrap_or_else(|| Fingerprint::of(&labels)),
                status,
                labels,
                annotations: self.annotations.unwrap_or_default(),
                starts_at: starts_at.unwrap_or(now),
                ends_at,
                generator_url: self.generator_url.and_then(Text::into_filled),
                received_at: now,
                origin,
            },
        })
    }
}

/// Returns how a sentence names a value's type.
pub(super) fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn expected_string(field: impl Into<String>, value: &Value) -> FieldError {
    FieldError::new(field, format!("expected a string, found {}", found(value)))
}

fn filled<const N: usize>(pairs: [(&str, Option<String>); N]) -> Labels {
    pairs
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

fn scalar(value: Option<&Value>) -> Option<Cow<'_, str>> {
    match value? {
        Value::String(text) => Some(Cow::Borrowed(text)),
        other @ (Value::Number(_) | Value::Bool(_)) => Some(Cow::Owned(other.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn pairs(value: &Value, name: &str) -> Result<Labels, FieldError> {
    let Value::Object(fields) = value else {
        let problem = format!("expected an object, found {}", found(value));
        return Err(FieldError::new(name, problem));
    };
    fields
        .iter()
        .map(|(key, value)| match value {
            Value::String(text) => Ok((key, text)),
            other => Err(expected_string(format!("{name}.{key}"), other)),
        })
        .collect()
}

/// Reads an RFC 3339 time; absent where it is missing, empty or Go's zero time.
fn moment(field: &str, text: Option<&Text<'_>>) -> Result<Option<Timestamp>, FieldError> {
    let Some(text) = text.map(|text| &*text.0).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let moment: Timestamp = text.parse().map_err(|_| {
        let problem = "expected a time as in RFC 3339, such as 2022-03-02T07:31:57.339Z";
        FieldError::new(field, problem)
    })?;
    if moment.as_second() == GO_ZERO_SECONDS && moment.subsec_nanosecond() == 0 {
        return Ok(None);
    }
    if i64::try_from(moment.as_nanosecond()).is_err() {
        let problem = "the time is not between the years 1678 and 2261";
        return Err(FieldError::new(field, problem));
    }
    Ok(Some(moment))
}
