//! The alert in the server's own form: parsed, sorted, fingerprinted.

mod common;
mod labels;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use common::Common;
pub use labels::Labels;

/// A moment in UTC with nanoseconds.
pub type Timestamp = jiff::Timestamp;

/// Alertmanager's fingerprint of a label set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// Computes FNV-1a-64 over the sorted pairs, each name and value followed by the byte 0xff
    /// (`LabelSet.Fingerprint` in prometheus/common, `model/signature.go`).
    #[must_use]
    pub fn of(labels: &Labels) -> Self {
        const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let mut hash = OFFSET_BASIS;
        let mut add = |text: &str| {
            for byte in text.bytes().chain([0xff]) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
            }
        };
        for (name, value) in labels.iter() {
            add(name);
            add(value);
        }
        Self(hash)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The error for text that is not 1 to 16 hexadecimal digits.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a fingerprint is 1 to 16 hexadecimal digits")]
pub struct FingerprintError;

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.len() > 16 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(FingerprintError);
        }
        u64::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| FingerprintError)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The status of an alert, as in Alertmanager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The problem exists now.
    Firing,
    /// The alert has resolved.
    Resolved,
}

impl Status {
    /// Returns Alertmanager's name of the status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where an alert came from. All alerts of a group share the group's fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// `alertmanager`, `grafana`, `prometheus` or `json`.
    pub sender: String,
    /// The name of Alertmanager's receiver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiver: Option<Common<str>>,
    /// Alertmanager's key of the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_key: Option<Common<str>>,
    /// The labels by which the alert was grouped.
    #[serde(default, skip_serializing_if = "no_labels")]
    pub group_labels: Common<Labels>,
    /// The URL of the sender's web interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_url: Option<Common<str>>,
    /// The sender's other fields by their JSON names.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub extra: Labels,
}

fn no_labels(labels: &Common<Labels>) -> bool {
    labels.is_empty()
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Alertmanager's fingerprint of the labels.
    pub fingerprint: Fingerprint,
    /// Whether the alert fires or has resolved.
    pub status: Status,
    /// The alert's labels, including `alertname`.
    pub labels: Labels,
    /// The alert's annotations.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub annotations: Labels,
    /// When it began to fire.
    pub starts_at: Timestamp,
    /// When it ended or will end; absent if it fires and its end is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    /// The URL of the alert's expression in Prometheus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator_url: Option<String>,
    /// When this server received it.
    pub received_at: Timestamp,
    /// Where it came from.
    pub origin: Origin,
}

impl Alert {
    /// Returns the label `alertname`; empty if there is none, since Alertmanager does not require it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.labels.get("alertname").unwrap_or_default()
    }

    /// Returns the event that the alert belongs to.
    #[must_use]
    pub fn event(&self) -> Event {
        Event {
            fingerprint: self.fingerprint,
            starts_at: self.starts_at,
            status: self.status,
            occurrence: self.occurrence(),
        }
    }

    /// Returns the number of the occurrence that [`Alert::set_occurrence`] has set.
    #[must_use]
    pub fn occurrence(&self) -> Occurrence {
        let noted = self.origin.extra.get(OCCURRENCE);
        noted
            .and_then(|text| text.parse().ok())
            .map_or(Occurrence::FIRST, Occurrence::from_raw)
    }

    /// Sets the number of the occurrence in [`OCCURRENCE`], replacing a value that a sender set. The first occurrence has no
    /// such field.
    pub fn set_occurrence(&mut self, occurrence: Occurrence) {
        let extra = &mut self.origin.extra;
        if extra.get(OCCURRENCE).is_some() {
            *extra = extra
                .iter()
                .filter(|(name, _)| *name != OCCURRENCE)
                .collect();
        }
        if occurrence > Occurrence::FIRST {
            *extra = extra.merged(&Labels::from_iter([(OCCURRENCE, occurrence.to_string())]));
        }
    }
}

/// The name in [`Origin::extra`] under which handlers find the occurrence, from the second one on. It is there because the
/// contract's records are frozen.
pub const OCCURRENCE: &str = "alert_manager.occurrence";

/// How often an alert has begun to fire with the same labels and the same `startsAt`, from 1.
///
/// The second occurrence begins if an alert fires again after its resolved alert was sent, for example because Prometheus
/// could not reach Alertmanager for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Occurrence(u32);

impl Occurrence {
    /// The first occurrence.
    pub const FIRST: Self = Self(1);
    /// The greatest number that can be counted to.
    pub const LAST: Self = Self(u32::MAX);

    /// Wraps a stored number.
    #[must_use]
    pub fn from_raw(raw: u32) -> Self {
        Self(raw.max(1))
    }

    /// Returns the number to store.
    #[must_use]
    pub fn as_raw(self) -> u32 {
        self.0
    }

    /// Returns the number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Occurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The identity of an alert: an alert with the same event as an earlier one is a duplicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Event {
    /// The fingerprint of the labels.
    pub fingerprint: Fingerprint,
    /// The start with nanoseconds, which distinguishes two firings of one label set.
    pub starts_at: Timestamp,
    /// Firing or resolved.
    pub status: Status,
    /// The number of the occurrence: a firing alert after a resolved one begins the next.
    pub occurrence: Occurrence,
}

/// The priority of a delivery; deliveries with a higher one are leased first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// `severity` is `critical`, in any case.
    Critical,
    /// `severity` is `warning`, in any case.
    Warning,
    /// Any other severity, or none.
    Normal,
}

impl Priority {
    /// Returns its name in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Normal => "normal",
        }
    }

    /// Returns the priority for the label `severity`, ignoring case.
    #[must_use]
    pub fn of(labels: &Labels) -> Self {
        match labels.get("severity") {
            Some(s) if s.eq_ignore_ascii_case("critical") => Self::Critical,
            Some(s) if s.eq_ignore_ascii_case("warning") => Self::Warning,
            _ => Self::Normal,
        }
    }
}

/// Content for people, found by a handler's `enrich`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Block {
    /// Paragraphs, emphasis, code, links and lists.
    Markdown {
        /// The text.
        text: String,
    },
    /// Name and value pairs, shown in this order.
    Fields {
        /// The pairs.
        fields: Vec<(String, String)>,
    },
    /// Rows under a header.
    Table {
        /// Shown above the table.
        title: String,
        /// The names of the columns.
        header: Vec<String>,
        /// The rows, from top to bottom.
        rows: Vec<Vec<String>>,
    },
    /// Preformatted text in a monospaced font.
    Excerpt {
        /// Shown above the text.
        title: String,
        /// The text.
        text: String,
    },
    /// A link.
    Link {
        /// The text of the link.
        title: String,
        /// An `https` or `http` URL.
        url: String,
    },
    /// A picture.
    Image {
        /// Shown above the picture.
        title: String,
        /// Its media type.
        media_type: String,
        /// The content of the file; stored as base64.
        #[serde(with = "base64_bytes")]
        data: Vec<u8>,
    },
    /// A block of a kind that this version does not define.
    Custom {
        /// The kind of `data`.
        name: String,
        /// Markdown, shown by a reader that does not know the kind.
        fallback: String,
        /// The block's content, as JSON.
        data: String,
    },
}

/// What the handlers have found out about an alert.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrichment {
    /// Facts, for programs.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub facts: Labels,
    /// Content for people, in reading order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<Block>,
}

impl Enrichment {
    /// Adds what a later handler found; a fact of the same name is replaced.
    pub fn add(&mut self, later: Self) {
        self.facts = self.facts.merged(&later.facts);
        self.blocks.extend(later.blocks);
    }
}

/// The name of a handler in kebab-case, from its description; it identifies the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HandlerName(std::sync::Arc<str>);

impl HandlerName {
    /// Wraps a name from the configuration or from a module's description.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HandlerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for HandlerName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for HandlerName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Ok(Self::new(&text))
    }
}

/// The two steps of a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepKind {
    /// Adds what a person needs to know.
    Enrich,
    /// Responds to the alert.
    Act,
}

impl StepKind {
    /// Returns the name of the hook.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enrich => "enrich",
            Self::Act => "act",
        }
    }
}

/// The route of alerts about dead letters. No configured route may have this name. If such an alert is dead-lettered itself,
/// it is sent by the next alternative instead of being reported as another dead letter.
pub const DEAD_LETTER_ROUTE: &str = "dead-letter";

/// Returns whether a route is one on which the server reports dead letters: [`DEAD_LETTER_ROUTE`], or that of an alternative,
/// `dead-letter@CHANNEL` or `dead-letter:HANDLER`.
#[must_use]
pub fn is_dead_letter_route(name: &str) -> bool {
    name.strip_prefix(DEAD_LETTER_ROUTE)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['@', ':']))
}

/// The id of a delivery: milliseconds since 1970 and a counter. Ids are in the order of acceptance, and in the order of time as
/// long as the clock is right; code that needs the time has to read the stored time.
///
/// Written as 13 characters of Crockford's base 32, in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryId(i64);

/// The error for text that is not an id of this server.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a delivery's id is 13 letters and digits, as `deliveries` lists them")]
pub struct DeliveryIdError;

const CROCKFORD: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl DeliveryId {
    /// Wraps a stored number.
    #[must_use]
    pub fn from_raw(raw: i64) -> Self {
        Self(raw)
    }

    /// Returns the number to store.
    #[must_use]
    pub fn as_raw(self) -> i64 {
        self.0
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0.cast_unsigned();
        let text: [u8; 13] = std::array::from_fn(|i| {
            CROCKFORD[usize::try_from((bits >> (5 * (12 - i))) & 31).unwrap_or(0)]
        });
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for DeliveryId {
    type Err = DeliveryIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 13 {
            return Err(DeliveryIdError);
        }
        let mut bits: u128 = 0;
        for byte in text.bytes() {
            let digit = CROCKFORD
                .iter()
                .position(|c| *c == byte.to_ascii_lowercase())
                .ok_or(DeliveryIdError)?;
            bits = (bits << 5) | digit as u128;
        }
        i64::try_from(bits).map(Self).map_err(|_| DeliveryIdError)
    }
}

impl Serialize for DeliveryId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeliveryId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(data: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(data))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().copied().collect()
    }

    #[test]
    fn an_identifier_survives_the_text() {
        for raw in [0, 1, i64::MAX, 7_477_000_000_000_000_000] {
            let id = DeliveryId::from_raw(raw);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        assert_eq!("zzzzzzzzzzzzz".parse::<DeliveryId>(), Err(DeliveryIdError));
        assert_eq!("12".parse::<DeliveryId>(), Err(DeliveryIdError));
    }

    #[test]
    fn an_empty_label_set_has_the_offset_basis() {
        assert_eq!(
            Fingerprint::of(&Labels::default()).to_string(),
            "cbf29ce484222325"
        );
    }

    /// The expected values were computed with this independent implementation in Python:
    ///
    /// ```python
    /// def fingerprint(labels):
    ///     h = 0xcbf29ce484222325
    ///     for name, value in sorted(labels.items()):
    ///         for byte in name.encode() + b"\xff" + value.encode() + b"\xff":
    ///             h = (h ^ byte) * 0x100000001b3 % 2**64
    ///     return f"{h:016x}"
    /// ```
    #[test]
    fn fingerprints_are_those_of_alertmanager() {
        let readme = [
            ("alertname", "KubePodCrashLooping"),
            ("cluster", "cluster-main"),
            ("container", "rs-transformer"),
            ("endpoint", "http"),
            ("job", "kube-state-metrics"),
            ("namespace", "customer"),
            ("pod", "customer-rs-transformer-9b75b488c-cpfd7"),
            ("priority", "P0"),
            ("prometheus", "monitoring/kube-prometheus-stack-prometheus"),
            ("region", "us-west-1"),
            ("replica", "0"),
            ("service", "kube-prometheus-stack-kube-state-metrics"),
            ("severity", "CRITICAL"),
        ];
        let cases = [
            (&readme[..], "7fc7f2dba047ac87"),
            (&[("alertname", "Watchdog")], "003b0a0f7d3fa569"),
            (&[("b", "2"), ("a", "1")], "1cc37fac8a64ae01"),
            (&[("größe", "日本")], "8acfedfe11daecc0"),
        ];
        for (pairs, expected) in cases {
            assert_eq!(Fingerprint::of(&labels(pairs)).to_string(), expected);
        }
    }

    #[test]
    fn a_fingerprint_survives_the_text_and_nothing_else_is_one() {
        for text in ["0000000000000001", "cbf29ce484222325"] {
            assert_eq!(text.parse::<Fingerprint>().unwrap().to_string(), text);
        }
        for text in ["", "xyz", "+1", "11112222333344445"] {
            assert_eq!(text.parse::<Fingerprint>(), Err(FingerprintError), "{text}");
        }
    }

    #[test]
    fn severity_decides_the_priority_in_whatever_case() {
        for (severity, expected) in [
            ("CRITICAL", Priority::Critical),
            ("Warning", Priority::Warning),
            ("info", Priority::Normal),
        ] {
            assert_eq!(Priority::of(&labels(&[("severity", severity)])), expected);
        }
        assert_eq!(Priority::of(&Labels::default()), Priority::Normal);
    }

    #[test]
    fn an_occurrence_is_noted_from_the_second_one_on_and_nobody_else_s_note_counts() {
        let labels = labels(&[("alertname", "A")]);
        let mut alert = Alert {
            fingerprint: Fingerprint::of(&labels),
            status: Status::Firing,
            labels,
            annotations: Labels::default(),
            starts_at: Timestamp::UNIX_EPOCH,
            ends_at: None,
            generator_url: None,
            received_at: Timestamp::UNIX_EPOCH,
            origin: Origin::default(),
        };
        let extra = [("title", "T"), (OCCURRENCE, "7")];
        alert.origin.extra = extra.into_iter().collect();
        alert.set_occurrence(Occurrence::FIRST);
        assert_eq!(alert.origin.extra, Labels::from_iter([("title", "T")]));
        assert_eq!(alert.occurrence(), Occurrence::FIRST);
        let second = Occurrence::FIRST.next();
        alert.set_occurrence(second);
        alert.set_occurrence(second);
        let noted = Labels::from_iter([("title", "T"), (OCCURRENCE, "2")]);
        assert_eq!(alert.origin.extra, noted);
        assert_eq!(alert.event().occurrence, second);
    }
}
