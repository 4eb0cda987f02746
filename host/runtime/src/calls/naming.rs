//! What a call is known by on a retry, and how the story shows it.

use std::time::Instant;

use sha2::{Digest, Sha256};

use crate::limits::{EFFECT_KEY_BYTES_MAX, TRACE_LINE_BYTES_MAX};
use crate::text::{cut, hex, masked};
use alert_manager_core::alert::Timestamp;
use alert_manager_core::journal::{CallKind, CallName, Entry, NamedCall};

/// A call of which it is known what it is to be called, and not yet what will become of it.
pub(super) struct Plan {
    pub(super) kind: CallKind,
    pub(super) name: CallName,
    /// One line for people.
    pub(super) request: String,
    /// True if it changes something outside when it succeeds.
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

    /// Returns the entry to record. `clock` is what the guest's clock shows.
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
            request: cut(&self.request, TRACE_LINE_BYTES_MAX).to_owned(),
            result: cut(result, TRACE_LINE_BYTES_MAX).to_owned(),
            reply,
            at: Timestamp::now(),
            clock,
        }
    }
}

/// Returns a guest's text as a line of the story. It is cut first: it may be as long as the guest's memory.
fn one_line(text: &str) -> String {
    let beginning = cut(text, 4 * TRACE_LINE_BYTES_MAX);
    let line = alert_manager_core::text::inert(beginning).replace('\n', " ");
    masked(&line, TRACE_LINE_BYTES_MAX)
}

/// Names a call: by the author's key if there is one, else by the digest of `parts`, each with its length.
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
/// Says what is wrong with it.
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

/// Distinguishes an absent part from an empty one.
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
    fn what_a_story_shows_of_a_call_is_cut_before_anything_is_done_with_it() {
        let long = format!("a\u{1b}\nb {}", "\u{1b}ghp_".repeat(1_000_000));
        let plan = Plan::new(CallKind::Config, name_of(None, &[]), &long, false);
        assert!(plan.request.len() <= TRACE_LINE_BYTES_MAX);
        assert!(plan.request.starts_with("a b ghp_"), "{}", plan.request);
    }
}
