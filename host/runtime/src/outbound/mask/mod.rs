//! Finds a credential in what an answer repeats, whatever escaped or encoded it on the way.

mod runs;
#[cfg(test)]
mod tests;

use std::ops::Range;

use zeroize::Zeroizing;

use crate::outbound::request::OutboundResponse;
use crate::spelling::{self, Reader, Steps};

const MASK: &str = "[credential]";

/// A text this short is in every answer by chance.
const BYTES_MIN: usize = 6;
/// How many encodings may have been applied one over the other: base64 of what holds base64.
const DEPTH_MAX: usize = 2;
/// Steps that a text of no length may take to search, and how many more for each of its bytes and each secret.
const STEPS_MIN: u64 = 1 << 18;
const STEPS_EACH_BYTE: u64 = 64;
/// Steps that a text of any length may take: at most a few seconds, on a thread of its own.
const STEPS_MAX: u64 = 1 << 26;
/// Headers that tell something of the body as it was, from which a guess at the credential could be tried out.
const OF_BODY: [&str; 7] = [
    "content-digest",
    "content-length",
    "content-md5",
    "digest",
    "etag",
    "repr-digest",
    "x-goog-hash",
];

/// What must not come back to a guest: the parts of the credentials that an answer could repeat.
#[derive(Default)]
pub(super) struct Masks(Vec<Zeroizing<Vec<u8>>>);

impl Masks {
    /// Returns the masks of a credential's parts.
    pub(super) fn of(secrets: &[&str]) -> Self {
        let mut masks = Self::default();
        for secret in secrets {
            if secret.len() >= BYTES_MIN {
                masks.0.push(Zeroizing::new(secret.as_bytes().to_vec()));
            }
        }
        masks
    }

    /// Returns true where there is nothing to mask.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds those of another credential.
    pub(super) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Masks the credential wherever the answer has it.
    pub(super) fn apply(&self, response: &mut OutboundResponse) {
        if self.0.is_empty() {
            return;
        }
        // A name cannot hold a mask, and no service needs a header of that name.
        let is_told = |name: &str| self.masked(name.as_bytes()).is_some();
        response.headers.retain(|(name, _)| !is_told(name));
        for (_, value) in &mut response.headers {
            if let Some(masked) = self.masked(value.as_bytes()) {
                *value = String::from_utf8_lossy(&masked).into_owned();
            }
        }
        if let Some(masked) = self.masked(&response.body) {
            response.body = masked;
            let of_body = |name: &str| OF_BODY.iter().any(|own| name.eq_ignore_ascii_case(own));
            response.headers.retain(|(name, _)| !of_body(name));
        }
    }

    /// Returns the text with the credential masked; None where it is not in it. A text that takes more than its steps
    /// to search was made to take them: it is masked as a whole.
    fn masked(&self, text: &[u8]) -> Option<Vec<u8>> {
        let size = text.len() as u64 * self.0.len() as u64;
        let steps = Steps::new((STEPS_MIN + STEPS_EACH_BYTE * size).min(STEPS_MAX));
        let places = self.places(text, DEPTH_MAX, &steps);
        if steps.is_spent() {
            return Some(MASK.as_bytes().to_vec());
        }
        if places.is_empty() {
            return None;
        }
        let mut masked = Vec::with_capacity(text.len());
        let mut taken = 0;
        for place in merged(places) {
            masked.extend_from_slice(&text[taken..place.start]);
            masked.extend_from_slice(MASK.as_bytes());
            taken = place.end;
        }
        masked.extend_from_slice(&text[taken..]);
        Some(masked)
    }

    fn places(&self, text: &[u8], depth: usize, steps: &Steps) -> Vec<Range<usize>> {
        let mut places = Vec::new();
        if steps.is_spent() {
            return places;
        }
        let reader = Reader::new(text, steps);
        for secret in &self.0 {
            let begins: [bool; 256] =
                std::array::from_fn(|byte| spelling::may_begin(secret, byte as u8));
            let mut at = 0;
            while let Some(found) = text[at..].iter().position(|b| begins[usize::from(*b)]) {
                at += found;
                match reader.match_at(at, secret) {
                    Some(end) => {
                        places.push(at..end);
                        at = end;
                    }
                    None => at += 1,
                }
            }
        }
        let shortest = self.0.iter().map(|secret| secret.len()).min();
        if let Some(bytes_min) = shortest.filter(|_| depth > 0) {
            runs::decoded(text, bytes_min, steps, &mut |decoded| {
                let within = self.places(&decoded.bytes, depth - 1, steps);
                places.extend(within.iter().map(|bytes| decoded.place(bytes)));
            });
        }
        places
    }
}

/// In their order, those that overlap or touch as one: a mask may be longer than what it stands for.
fn merged(mut places: Vec<Range<usize>>) -> Vec<Range<usize>> {
    places.sort_by_key(|place| (place.start, place.end));
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(places.len());
    for place in places {
        match merged.last_mut() {
            Some(last) if place.start <= last.end => last.end = last.end.max(place.end),
            _ => merged.push(place),
        }
    }
    merged
}
