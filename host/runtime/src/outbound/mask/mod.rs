//! Masks credentials that a response repeats, in any escaping and encoding that services use.

mod runs;
#[cfg(test)]
mod tests;

use std::ops::Range;

use zeroize::Zeroizing;

use crate::outbound::request::OutboundResponse;
use crate::unescape::{self, Reader, Steps};

const MASK: &str = "[credential]";

/// Shorter secrets are not masked, because they occur in responses by chance.
const BYTES_MIN: usize = 6;
/// The most nested encodings that are decoded, as in base64 of JSON that contains base64.
const DEPTH_MAX: usize = 2;
/// The steps that the search of a text may take, whatever its length.
const STEPS_MIN: u64 = 1 << 18;
/// The additional steps for each byte of the text and each secret.
const STEPS_EACH_BYTE: u64 = 64;
/// The most steps of the search of one text: a few seconds, on a blocking thread.
const STEPS_MAX: u64 = 1 << 26;
/// Headers that describe the unmasked body. They are removed from a masked response, because a handler could use them to
/// verify a guess at the credential.
const OF_BODY: [&str; 7] = [
    "content-digest",
    "content-length",
    "content-md5",
    "digest",
    "etag",
    "repr-digest",
    "x-goog-hash",
];

/// The secrets to mask: the parts of credentials that a response could repeat.
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

    /// Returns true if there is nothing to mask.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the masks of another credential.
    pub(super) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Masks the credentials in the headers and the body of a response.
    pub(super) fn apply(&self, response: &mut OutboundResponse) {
        if self.0.is_empty() {
            return;
        }
        // A header whose name contains a credential is removed, since a name cannot contain the mask.
        let is_leaked = |name: &str| self.masked(name.as_bytes()).is_some();
        response.headers.retain(|(name, _)| !is_leaked(name));
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

    /// Returns the text with the credentials masked; `None` if it contains none. A text that exceeds its steps must have
    /// been made for that purpose, and is masked as a whole.
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

    /// Returns the ranges of the text that are credentials, also within encodings up to this depth.
    fn places(&self, text: &[u8], depth: usize, steps: &Steps) -> Vec<Range<usize>> {
        let mut places = Vec::new();
        if steps.is_spent() {
            return places;
        }
        let reader = Reader::new(text, steps);
        for secret in &self.0 {
            let begins: [bool; 256] =
                std::array::from_fn(|byte| unescape::may_begin(secret, byte as u8));
            let mut at = 0;
            while let Some(found) = text[at..].iter().position(|b| begins[usize::from(*b)]) {
                at += found;
                match reader.secret_end(at, secret) {
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

/// Returns the ranges in order, with overlapping and adjacent ones merged.
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
