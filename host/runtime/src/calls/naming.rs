//! The name of a call, by which a retry finds it in the record, and its line in the story.

use std::time::Instant;

use sha2::{Digest, Sha256};

use crate::limits::{EFFECT_KEY_BYTES_MAX, TRACE_LINE_BYTES_MAX};
use crate::text::{cut, hex, masked};
use alert_manager_core::alert::Timestamp;
use alert_manager_core::journal::{CallKind, CallName, Entry, NamedCall};

/// A call before it is made: its name, and its line in the story.
pub(super) struct Plan {
    pub(super) kind: CallKind,
    pub(super) name: CallName,
    /// The line of the story.
    pub(super) request: String,
    /// True if it is an effect if it succeeds.
    pub(super) changes: bool,
    pub(super) began: Instant,
}

impl Plan {
    pub(super) fn new(kind: CallKind, name: CallName, request: &str, changes: bool) -> Self {
        Self {
            kind,
            name,
            request: one_line(request),
            changes,
            began: Instant::now(),
        }
    }

    pub(super) fn named(&self) -> NamedCall {
        NamedCall {
            kind: self.kind,
            name: self.name.clone(),
            request: self.request.clone(),
        }
    }

    /// Returns the entry to record. `clock` is the time that the guest's clock shows.
    pub(super) fn entry(
        &self,
        clock: Timestamp,
        seq: u32,
        effect: bool,
        result: &str,
        reply: String,
    ) -> Entry {
        Entry {
            seq,
            kind: self.kind,
            name: self.name.clone(),
            effect,
            in_doubt: false,
            parked: false,
            failed: false,
            request: cut(&self.request, TRACE_LINE_BYTES_MAX).to_owned(),
            result: cut(result, TRACE_LINE_BYTES_MAX).to_owned(),
            reply,
            at: Timestamp::now(),
            clock,
        }
    }
}

/// Returns a guest's text as a line of the story. It is cut before anything else, because it may be as long as the guest's
/// memory.
fn one_line(text: &str) -> String {
    let beginning = cut(text, 4 * TRACE_LINE_BYTES_MAX);
    let line = alert_manager_core::text::inert(beginning).replace('\n', " ");
    masked(&line, TRACE_LINE_BYTES_MAX)
}

/// Returns the name of a call: the author's key if there is one, else a digest of `parts` and their lengths.
pub(super) fn name_of(key: Option<&str>, parts: &[&[u8]]) -> CallName {
    if let Some(key) = key {
        return CallName::Key(key.to_owned());
    }
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    CallName::Digest(hex(&digest[..16]))
}

/// Checks an author's key.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check_key(key: Option<&str>) -> Result<(), String> {
    match key {
        Some("") => Err("key: it is empty; leave it out if there is none".to_owned()),
        Some(key) if key.len() > EFFECT_KEY_BYTES_MAX => Err(format!(
            "key: {} bytes, at most {EFFECT_KEY_BYTES_MAX}",
            key.len()
        )),
        _ => Ok(()),
    }
}

/// Returns two parts that distinguish an absent part from an empty one.
pub(super) fn optional(part: Option<&[u8]>) -> [&[u8]; 2] {
    match part {
        Some(bytes) => [b"1", bytes],
        None => [b"0", b""],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_named_by_its_key_or_by_all_of_its_parts() {
        assert_eq!(name_of(Some("k"), &[b"x"]), CallName::Key("k".to_owned()));
        let name = |parts: &[&[u8]]| name_of(None, parts);
        assert_eq!(name(&[b"a", b"bc"]), name(&[b"a", b"bc"]));
        assert_ne!(name(&[b"a", b"bc"]), name(&[b"ab", b"c"]));
        assert_ne!(name(&optional(None)), name(&optional(Some(b""))));
        let CallName::Digest(digest) = name(&[]) else {
            panic!("a digest");
        };
        assert_eq!(digest.len(), 32);
    }

    #[test]
    fn the_line_of_a_call_is_cut_before_it_is_masked() {
        let long = format!("a\u{1b}\nb {}", "\u{1b}ghp_".repeat(1_000_000));
        let plan = Plan::new(CallKind::Config, name_of(None, &[]), &long, false);
        assert!(plan.request.len() <= TRACE_LINE_BYTES_MAX);
        assert!(plan.request.starts_with("a b ghp_"), "{}", plan.request);
    }
}
