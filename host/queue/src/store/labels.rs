//! Labels as hashes, eight bytes for each: what is only compared needs no JSON, and a scan over many deliveries parses none.

use alert_manager_core::alert::{Alert, Labels};

/// Returns labels as they are stored.
pub(super) fn hashed(labels: &Labels) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 * labels.len());
    for (name, value) in labels.iter() {
        bytes.extend(pair(name, value));
    }
    bytes
}

/// What one label has to be. Two different values are taken for the same once in four thousand million comparisons.
#[derive(Clone, Copy, Debug)]
pub(super) enum Same {
    /// It has this name and value.
    Pair([u8; 8]),
    /// There is no label of this name.
    Absent([u8; 4]),
}

impl Same {
    /// Returns what it is in an alert.
    pub(super) fn of(alert: &Alert, name: &str) -> Self {
        match alert.labels.get(name) {
            Some(value) => Self::Pair(pair(name, value)),
            None => Self::Absent(hash(name)),
        }
    }

    /// Returns true if labels as they are stored have it.
    pub(super) fn holds(&self, labels: &[u8]) -> bool {
        let mut pairs = labels.chunks_exact(8);
        match self {
            Self::Pair(pair) => pairs.any(|of| of == pair),
            Self::Absent(name) => !pairs.any(|of| of[..4] == *name),
        }
    }
}

/// Returns one label as it is stored.
pub(super) fn pair(name: &str, value: &str) -> [u8; 8] {
    let ([a, b, c, d], [e, f, g, h]) = (hash(name), hash(value));
    [a, b, c, d, e, f, g, h]
}

/// Returns a hash that is the same for ever: FNV-1a, folded to 32 bits.
fn hash(text: &str) -> [u8; 4] {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let hash = text.bytes().fold(OFFSET_BASIS, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(PRIME)
    });
    let [a, b, c, d, e, f, g, h] = hash.to_be_bytes();
    [a ^ e, b ^ f, c ^ g, d ^ h]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::prelude::alert;

    #[test]
    fn labels_are_compared_by_name_and_value_and_an_absent_one_is_absent() {
        let with = |pairs: &[(&str, &str)]| hashed(&pairs.iter().copied().collect());
        let mut asking = alert("A", 0);
        asking.labels = [("pod", "a"), ("ns", "x")].into_iter().collect();
        let pod = Same::of(&asking, "pod");
        let node = Same::of(&asking, "node");
        assert!(pod.holds(&with(&[("pod", "a"), ("ns", "y")])));
        assert!(!pod.holds(&with(&[("pod", "b"), ("ns", "a")])));
        assert!(!pod.holds(&with(&[("ns", "a")])));
        assert!(node.holds(&with(&[("pod", "a")])) && node.holds(&with(&[])));
        assert!(!node.holds(&with(&[("node", "n")])) && !node.holds(&with(&[("node", "")])));
    }
}
