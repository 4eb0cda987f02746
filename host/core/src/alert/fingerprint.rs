//! Fingerprints of label sets.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::labels::Labels;

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().copied().collect()
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
}
