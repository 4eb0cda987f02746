//! A group's own fields: parsed leniently, limited, and then shared by the group's alerts.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::left_out::LeftOut;
use super::lenient::{Text, lenient_pairs, scalar};
use crate::alert::{Common, Labels, Origin, Status};

/// The size limit of a group's own fields, which are stored with each of its alerts.
const GROUP_BYTES_MAX: usize = 16 << 10;

/// Each delivery stores the group's fields. For all alerts of a body together they are limited to this multiple of the body, or
/// to [`GROUPS_BYTES_MIN`] if that is more, so that a group of up to 256 alerts can always have [`GROUP_BYTES_MAX`].
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

/// A group's own fields and its alerts; unknown fields are ignored.
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
    // Grafana's fields. `message` is left out: it renders all alerts, and would be stored with each. So are the labels and
    // annotations that all alerts have in common, since each alert has them itself.
    org_id: Option<i64>,
    title: Option<Text<'a>>,
    state: Option<Text<'a>>,
}

/// The data that alerts have from their group.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    /// The origin of the alerts; clones share long texts.
    pub(super) origin: Origin,
    /// Used for alerts without a status.
    pub(super) status: Option<Status>,
    pub(super) truncated_alerts: u64,
    /// The fields that were too long.
    pub(super) left_out: LeftOut,
}

impl Group {
    /// Returns the data for alerts that came without a group.
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

/// Returns the size limit of a group's own fields, in a body of so many bytes and alerts.
pub(super) fn bytes_max(body_bytes: usize, alerts: usize) -> usize {
    let all = body_bytes
        .saturating_mul(GROUPS_TIMES_BODY_MAX)
        .max(GROUPS_BYTES_MIN);
    GROUP_BYTES_MAX.min(all / alerts.max(1))
}

impl<'a, A> WireGroup<'a, A> {
    /// Reads the fields that have the right type and ignores others: an error in a group's own field must not cost its alerts.
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

    /// Keeps the fields, in the order of their importance, as far as they fit into `bytes_max`.
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
        // One alert, an ordinary large group, and a body with hardly anything but alerts.
        assert_eq!(bytes_max(20_000, 1), GROUP_BYTES_MAX);
        assert_eq!(bytes_max(400 << 10, 256), GROUP_BYTES_MAX);
        assert_eq!(bytes_max(11 << 20, 10_000), 9_227);
        assert_eq!(bytes_max(3 << 19, 75_000), 167);
    }
}
