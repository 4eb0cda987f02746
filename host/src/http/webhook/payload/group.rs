//! What a group says of itself, beside its alerts: read leniently, bounded, and then shared by them.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::left_out::LeftOut;
use super::lenient::{Text, lenient_pairs, scalar};
use crate::alert::{Common, Labels, Origin, Status};

/// Kept of a group's own fields with each of its alerts, at most.
const GROUP_BYTES_MAX: usize = 16 << 10;

/// Each delivery stores them once more. Over all alerts of a body they come to this many times the body, or to
/// [`GROUPS_BYTES_MIN`] where that is more: a group of up to 256 alerts always has all of [`GROUP_BYTES_MAX`].
const GROUPS_TIMES_BODY_MAX: usize = 8;
const GROUPS_BYTES_MIN: usize = 4 << 20;

/// A group's fields, by their JSON names; the alerts are last.
pub(super) const FIELDS: [&str; 11] = [
    "truncatedAlerts",
    "version",
    "status",
    "receiver",
    "groupKey",
    "groupLabels",
    "externalURL",
    "orgId",
    "title",
    "state",
    "alerts",
];

/// A group's own fields and its alerts; unknown ones are ignored.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "A: Deserialize<'de>"))]
pub(super) struct WireGroup<'a, A> {
    pub(super) alerts: Option<Vec<A>>,
    truncated_alerts: Option<u64>,
    #[serde(borrow)]
    version: Option<Text<'a>>,
    status: Option<Text<'a>>,
    receiver: Option<Text<'a>>,
    group_key: Option<Text<'a>>,
    group_labels: Option<Labels>,
    #[serde(rename = "externalURL")]
    external_url: Option<Text<'a>>,
    // Grafana's. Its `message` is left out: it renders all alerts, and would be kept with each. So are the labels and
    // annotations that all alerts have: each has them itself.
    org_id: Option<i64>,
    title: Option<Text<'a>>,
    state: Option<Text<'a>>,
}

/// What alerts have from their group.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    /// Where they came from. A clone shares what may be long.
    pub(super) origin: Origin,
    /// Holds for alerts without one.
    pub(super) status: Option<Status>,
    pub(super) truncated_alerts: u64,
    /// Fields that were too long.
    pub(super) left_out: LeftOut,
}

impl Group {
    /// Returns what is known of alerts that came without a group.
    pub(super) fn none(sender: &str) -> Self {
        Self {
            origin: Origin {
                sender: sender.to_owned(),
                ..Origin::default()
            },
            ..Self::default()
        }
    }
}

/// Returns how long a group's own fields may be in a body of so many bytes and alerts.
pub(super) fn bytes_max(body_bytes: usize, alerts: usize) -> usize {
    let all = body_bytes
        .saturating_mul(GROUPS_TIMES_BODY_MAX)
        .max(GROUPS_BYTES_MIN);
    GROUP_BYTES_MAX.min(all / alerts.max(1))
}

impl<'a, A> WireGroup<'a, A> {
    /// Takes what has a type that can be used; nothing that a group says beside its alerts is worth losing them.
    pub(super) fn lenient(fields: &[Option<&'a RawValue>; FIELDS.len()]) -> Self {
        let [
            truncated_alerts,
            version,
            status,
            receiver,
            group_key,
            group_labels,
            external_url,
            org_id,
            title,
            state,
            _,
        ] = fields;
        let text = |raw: &Option<&'a RawValue>| raw.and_then(scalar);
        Self {
            alerts: None,
            truncated_alerts: text(truncated_alerts).and_then(|count| count.0.parse().ok()),
            version: text(version),
            status: text(status),
            receiver: text(receiver),
            group_key: text(group_key),
            group_labels: group_labels.map(lenient_pairs),
            external_url: text(external_url),
            org_id: text(org_id).and_then(|id| id.0.parse().ok()),
            title: text(title),
            state: text(state),
        }
    }

    /// Keeps the fields, in the order of their worth, as long as they have room in `bytes_max`.
    pub(super) fn into_group(self, bytes_max: usize) -> Group {
        let version = self.version.as_ref().map_or("", |version| &*version.0);
        let sender = match (version, self.org_id, &self.group_key) {
            ("4", _, _) => "alertmanager",
            ("1", _, _) | (_, Some(_), _) => "grafana",
            (_, None, Some(_)) => "alertmanager",
            (_, None, None) => "json",
        };
        let mut kept = Kept {
            bytes_left: bytes_max,
            left_out: LeftOut::default(),
        };
        let mut origin = Group::none(sender).origin;
        origin.receiver = kept.text("receiver", self.receiver.as_ref());
        origin.group_key = kept.text("groupKey", self.group_key.as_ref());
        origin.external_url = kept.text("externalURL", self.external_url.as_ref());
        let labels = self.group_labels.unwrap_or_default();
        if kept.has_room("groupLabels", labels.bytes()) {
            origin.group_labels = Common::from(labels);
        }
        let org_id = self.org_id.map(|id| id.to_string());
        let extra = [
            ("orgId", org_id.as_deref()),
            ("state", self.state.as_ref().map(|state| &*state.0)),
            ("title", self.title.as_ref().map(|title| &*title.0)),
        ];
        origin.extra = extra
            .into_iter()
            .filter_map(|(name, text)| Some((name, text.filter(|text| !text.is_empty())?)))
            .filter(|(name, text)| kept.has_room(name, text.len()))
            .collect();
        Group {
            origin,
            status: self.status.and_then(|status| status_of(&status.0)),
            truncated_alerts: self.truncated_alerts.unwrap_or(0),
            left_out: kept.left_out,
        }
    }
}

/// Reads a status, in whatever case.
pub(super) fn status_of(text: &str) -> Option<Status> {
    [Status::Firing, Status::Resolved]
        .into_iter()
        .find(|status| text.eq_ignore_ascii_case(status.as_str()))
}

struct Kept {
    bytes_left: usize,
    left_out: LeftOut,
}

impl Kept {
    fn has_room(&mut self, name: &str, bytes: usize) -> bool {
        let has_room = bytes <= self.bytes_left;
        if has_room {
            self.bytes_left -= bytes;
        } else {
            self.left_out.add(name);
        }
        has_room
    }

    fn text(&mut self, name: &str, text: Option<&Text<'_>>) -> Option<Common<str>> {
        let text = text.map(|text| &*text.0).filter(|text| !text.is_empty())?;
        self.has_room(name, text.len()).then(|| text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_group_says_comes_to_a_small_multiple_of_its_body() {
        // One alert, an ordinary large group, and a body of next to nothing but alerts.
        assert_eq!(bytes_max(20_000, 1), GROUP_BYTES_MAX);
        assert_eq!(bytes_max(400 << 10, 256), GROUP_BYTES_MAX);
        assert_eq!(bytes_max(11 << 20, 10_000), 9_227);
        assert_eq!(bytes_max(3 << 19, 75_000), 167);
    }
}
