//! Finds a credential in what an answer repeats, in the encodings that services echo things in.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memmem;
use zeroize::Zeroizing;

use crate::runtime::bindings::http::Response;

const MASK: &str = "[credential]";

/// A text this short is in every answer by chance.
const BYTES_MIN: usize = 6;

/// What must not come back to a guest: the forms of one credential, the longest first.
#[derive(Default)]
pub(super) struct Masks(Vec<Zeroizing<Vec<u8>>>);

impl Masks {
    /// Returns the masks of a credential's parts: as they are, in base64 wherever they begin within it, in
    /// hexadecimal, and escaped for a URL, for JSON or for HTML.
    pub(super) fn of(secrets: &[&str]) -> Self {
        let mut forms: Vec<Zeroizing<Vec<u8>>> = secrets
            .iter()
            .filter(|secret| secret.len() >= BYTES_MIN)
            .flat_map(|secret| forms(secret))
            .map(|form| Zeroizing::new(form.into_bytes()))
            .filter(|form| form.len() >= BYTES_MIN)
            .collect();
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        Self(forms)
    }

    /// Replaces every form wherever the answer has it.
    pub(super) fn apply(&self, response: &mut Response) {
        for form in &self.0 {
            let finder = memmem::Finder::new(form.as_slice());
            for (_, value) in &mut response.headers {
                if let Some(masked) = replaced(&finder, value.as_bytes()) {
                    *value = String::from_utf8_lossy(&masked).into_owned();
                }
            }
            if let Some(masked) = replaced(&finder, &response.body) {
                response.body = masked;
            }
        }
    }
}

fn replaced(finder: &memmem::Finder<'_>, text: &[u8]) -> Option<Vec<u8>> {
    let mut at = finder.find(text)?;
    let mut masked = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        masked.extend_from_slice(&rest[..at]);
        masked.extend_from_slice(MASK.as_bytes());
        rest = &rest[at + finder.needle().len()..];
        match finder.find(rest) {
            Some(next) => at = next,
            None => break,
        }
    }
    masked.extend_from_slice(rest);
    Some(masked)
}

fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![
        secret.to_owned(),
        hex(secret, "0123456789abcdef"),
        hex(secret, "0123456789ABCDEF"),
        url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        percent_encoded(secret, "0123456789ABCDEF"),
        percent_encoded(secret, "0123456789abcdef"),
        html_escaped(secret),
    ];
    let json = serde_json::Value::from(secret).to_string();
    let json = json.trim_start_matches('"');
    let json = json.strip_suffix('"').unwrap_or(json);
    forms.push(json.to_owned());
    forms.push(json.replace('/', "\\/"));
    for before in 0..3 {
        let mut bytes = Zeroizing::new(vec![0; before]);
        bytes.extend_from_slice(secret.as_bytes());
        // The characters at both ends hold bits of what stands beside it.
        let first = [0, 2, 3][before];
        let end = bytes.len() * 8 / 6;
        for encoded in [
            STANDARD_NO_PAD.encode(bytes.as_slice()),
            URL_SAFE_NO_PAD.encode(bytes.as_slice()),
        ] {
            forms.push(encoded[first..end].to_owned());
        }
    }
    forms
}

fn hex(text: &str, digits: &str) -> String {
    let digits = digits.as_bytes();
    let digit = |value: u8| char::from(digits[usize::from(value)]);
    text.bytes()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// As JavaScript's `encodeURIComponent` leaves it, but for the marks that other libraries encode too.
fn percent_encoded(text: &str, digits: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~') {
            encoded.push(c);
            continue;
        }
        let pairs = hex(c.encode_utf8(&mut [0; 4]), digits);
        for pair in pairs.as_bytes().chunks(2) {
            encoded.push('%');
            encoded.extend(pair.iter().copied().map(char::from));
        }
    }
    encoded
}

fn html_escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;

    fn masked(secret: &str, body: &str) -> String {
        let mut response = Response {
            status: 200,
            headers: vec![("x-echo".to_owned(), body.to_owned())],
            body: body.as_bytes().to_vec(),
        };
        Masks::of(&[secret]).apply(&mut response);
        let body = String::from_utf8(response.body).unwrap();
        assert_eq!(response.headers[0].1, body, "headers and body alike");
        body
    }

    #[test]
    fn an_answer_that_repeats_the_credential_is_masked() {
        assert_eq!(
            masked("hunter22", "a hunter22 b hunter22"),
            "a [credential] b [credential]"
        );
        assert_eq!(masked("hunter22", "hunter2 hunter"), "hunter2 hunter");
        assert_eq!(masked("abc", "abc"), "abc", "in every text by chance");
    }

    #[test]
    fn no_encoding_that_services_echo_in_gives_it_back() {
        let secret = "ghp/S3cr+t\"&<k>=?~x 9";
        let urls = url::Url::parse_with_params("http://h", [("token", secret)]).unwrap();
        let mut echoes = vec![
            serde_json::json!({ "token": secret }).to_string(),
            urls.query().unwrap().to_owned(),
            percent_encoded(secret, "0123456789abcdef"),
            hex(secret, "0123456789abcdef"),
            hex(secret, "0123456789ABCDEF"),
            html_escaped(secret),
        ];
        for before in ["", "a", "ab", "Bearer ", "user:"] {
            for after in ["", "z", "zz"] {
                let text = format!("{before}{secret}{after}");
                echoes.push(STANDARD.encode(&text));
                echoes.push(URL_SAFE.encode(&text));
            }
        }
        for echo in echoes {
            let masked = masked(secret, &echo);
            assert!(masked.contains(MASK), "{echo} is as it was");
            let left = masked.replace(MASK, "");
            // Of base64, the characters at the ends hold up to a byte of it each.
            assert!(left.len() <= 16, "{echo} left {left}");
        }
    }
}
