//! Masks secrets in text that people will read: logs, error bodies, manifests.
//!
//! Secrets are recognized by their shape, not by a list of values, so some are missed and now and then a harmless text
//! is masked. Recognized are PEM blocks, JSON web tokens, tokens with a vendor's prefix (those of gitleaks' rules),
//! passwords in URLs, `Bearer` and `Basic` credentials, and values under names like `password`, `token` or `api_key`,
//! as `name=value`, `name: value` or JSON.
//!
//! The host masks Slack messages, log lines and stories again, by all of gitleaks' rules. This module is for text that a
//! handler cuts, because half a token can no longer be recognized.

mod prefixes;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use prefixes::PREFIXES;

/// The text that replaces a secret.
pub const MASK: &str = "[masked]";

/// Returns the text with secrets masked, or the text itself if there are none.
///
/// ```
/// use handler_sdk::mask;
///
/// assert_eq!(mask::text("connecting to postgres://app:hunter2@db/x"), "connecting to postgres://app:[masked]@db/x");
/// assert_eq!(mask::text(r#"{"user":"ada","password":"hunter2"}"#), r#"{"user":"ada","password":"[masked]"}"#);
/// assert_eq!(mask::text("Authorization: Bearer abc.def"), "Authorization: Bearer [masked]");
/// assert_eq!(mask::text("exit code 137"), "exit code 137");
/// ```
pub fn text(text: &str) -> Cow<'_, str> {
    let mut masked = String::new();
    let mut copied = 0;
    let mut at = 0;
    let mut before: Option<char> = None;
    while let Some(next) = text[at..].chars().next() {
        let step = match find(&text[at..], before) {
            Some(Secret { shown, hidden }) => {
                masked.push_str(&text[copied..at + shown]);
                masked.push_str(MASK);
                copied = at + shown + hidden;
                shown + hidden
            }
            None => next.len_utf8(),
        };
        before = text[at..at + step].chars().next_back();
        at += step;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    masked.push_str(&text[copied..]);
    Cow::Owned(masked)
}

/// The longest name of a value, and the longest scheme of a URL.
const NAME_BYTES_MAX: usize = 64;

/// A value that contains the mask within this distance of its beginning has been masked before.
const MASKED_WITHIN_BYTES: usize = 1 << 10;

/// A secret at the start of a text: how many bytes stay, and how many are replaced.
struct Secret {
    shown: usize,
    hidden: usize,
}

fn find(rest: &str, before: Option<char>) -> Option<Secret> {
    let within_word = before.is_some_and(|char| char.is_ascii_alphanumeric());
    if within_word {
        return None;
    }
    match rest.as_bytes()[0] {
        b'-' => pem(rest),
        b'A'..=b'Z' | b'a'..=b'z' => vendor_token(rest)
            .or_else(|| json_web_token(rest, before))
            .or_else(|| scheme(rest))
            .or_else(|| url(rest))
            .or_else(|| named(rest)),
        b'0'..=b'9' => vendor_token(rest),
        b'_' => vendor_token(rest).or_else(|| named(rest)),
        _ => None,
    }
}

/// Finds `-----BEGIN PRIVATE KEY-----` up to its end, or to the end of the text if the block was cut off.
fn pem(rest: &str) -> Option<Secret> {
    let inner = rest.strip_prefix("-----BEGIN ")?;
    let label_ends = inner.find("-----")?;
    let label = &inner[..label_ends];
    if label.contains('\n') || label.contains("CERTIFICATE") || label.contains("PUBLIC") {
        return None;
    }
    let shown = "-----BEGIN ".len() + label_ends + "-----".len();
    let hidden = rest[shown..]
        .find("-----END ")
        .unwrap_or(rest.len() - shown);
    Some(Secret { shown, hidden })
}

/// The alphabets of tokens, each with its bit in [`prefixes::PREFIXES`].
const KINDS: [&str; 11] = [
    "0123456789",
    "abcdef",
    "ghijklmnopqrstuvwxyz",
    "ABCDEF",
    "GHIJKLMNOPQRSTUVWXYZ",
    "-",
    "_",
    ".",
    "=",
    "/",
    "+",
];

/// Prefixes that the list lacks or for which this module requires more letters, with the least number of letters.
const MORE_PREFIXES: [(&str, usize); 7] = [
    ("GOCSPX-", 16),
    ("dckr_pat_", 16),
    ("hvb.", 16),
    ("hvs.", 16),
    ("sk-", 24),
    ("whsec_", 12),
    ("ya29.", 16),
];

fn vendor_token(rest: &str) -> Option<Secret> {
    // The list is in byte order, so the entries that begin with the same byte are adjacent.
    let first = &rest[..1];
    let begin = PREFIXES.partition_point(|(prefix, ..)| &prefix[..1] < first);
    let listed = PREFIXES[begin..]
        .iter()
        .take_while(|(prefix, ..)| prefix.starts_with(first))
        .filter_map(|(prefix, kinds, least, most)| {
            let token = rest.strip_prefix(prefix)?;
            let most = match *most {
                u16::MAX => usize::MAX - 1,
                most => usize::from(most),
            };
            let letters = token.bytes().take(most + 1);
            let hidden = letters.take_while(|byte| is_of(*kinds, *byte)).count();
            (usize::from(*least)..=most)
                .contains(&hidden)
                .then_some(Secret {
                    shown: prefix.len(),
                    hidden,
                })
        })
        .max_by_key(|secret| secret.shown + secret.hidden);
    listed.or_else(|| {
        MORE_PREFIXES.iter().find_map(|(prefix, least)| {
            let token = rest.strip_prefix(prefix)?;
            let hidden = token_length(token);
            (hidden >= *least).then_some(Secret {
                shown: prefix.len(),
                hidden,
            })
        })
    })
}

fn is_of(kinds: u16, byte: u8) -> bool {
    let mut letters = KINDS.iter().enumerate();
    letters.any(|(bit, kind)| kinds & (1 << bit) != 0 && kind.as_bytes().contains(&byte))
}

/// Finds three parts of base64url, of which the first is an encoded `{"`.
fn json_web_token(rest: &str, before: Option<char>) -> Option<Secret> {
    let in_web_token = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.');
    let after = rest.strip_prefix("eyJ")?;
    // Only from the start of the token: a text of dashes would otherwise be scanned again from each of them.
    if before.is_some_and(in_web_token) {
        return None;
    }
    let length = after
        .find(|char| !in_web_token(char))
        .unwrap_or(after.len());
    let mut parts = after[..length].split('.');
    let long = |part: Option<&str>| part.is_some_and(|part| part.len() >= 5);
    (long(parts.next()) && long(parts.next())).then_some(Secret {
        shown: 0,
        hidden: "eyJ".len() + length,
    })
}

/// Finds `Bearer x` and `Basic x`.
fn scheme(rest: &str) -> Option<Secret> {
    let shown = ["bearer ", "basic "].iter().find_map(|scheme| {
        let start = rest.get(..scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(scheme.len())
    })?;
    let hidden = rest[shown..]
        .find(ends_credential)
        .unwrap_or(rest.len() - shown);
    let credential = &rest[shown..shown + hidden];
    // "Basic auth" and "bearer of news" are prose. A credential has a digit, a symbol or at least 16 letters.
    let prose = credential.len() < 16 && credential.bytes().all(|byte| byte.is_ascii_lowercase());
    (!credential.is_empty() && !prose && credential != MASK).then_some(Secret { shown, hidden })
}

/// Finds the password of `scheme://user:password@host`.
fn url(rest: &str) -> Option<Secret> {
    let in_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let scheme_ends = rest
        .bytes()
        .take(NAME_BYTES_MAX)
        .take_while(in_scheme)
        .count();
    let authority = rest[scheme_ends..].strip_prefix("://")?;
    let authority = &authority[..authority
        .find(|char: char| char.is_whitespace() || matches!(char, '/' | '?' | '#' | '"' | '\''))
        .unwrap_or(authority.len())];
    let host_begins = authority.rfind('@')?;
    let password_begins = authority[..host_begins].find(':')? + 1;
    let hidden = host_begins - password_begins;
    (hidden > 0).then_some(Secret {
        shown: scheme_ends + "://".len() + password_begins,
        hidden,
    })
}

/// Parts of names whose values are secrets, in lower case and without separators.
const SECRET_NAMES: [&str; 15] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "signingkey",
    "encryptionkey",
    "credential",
    "authorization",
    "cookie",
    "authkey",
];

/// Endings of names that contain one of the above and whose values are not secret.
const HARMLESS_ENDINGS: [&str; 8] = [
    "name", "count", "type", "file", "path", "length", "expiry", "id",
];

/// Finds the value of `name=value`, `name: value`, `"name": "value"` and `name => value`.
fn named(rest: &str) -> Option<Secret> {
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let name_ends = rest
        .bytes()
        .take(NAME_BYTES_MAX + 1)
        .take_while(in_name)
        .count();
    if name_ends > NAME_BYTES_MAX {
        return None;
    }
    let name: String = rest[..name_ends]
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|char| char.to_ascii_lowercase())
        .collect();
    let secret = SECRET_NAMES.iter().any(|part| name.contains(part));
    if !secret || HARMLESS_ENDINGS.iter().any(|ending| name.ends_with(ending)) {
        return None;
    }
    let after = &rest[name_ends..];
    let quoted_name = after.trim_start_matches(['\\', '"', '\'']);
    let separator = quoted_name.trim_start_matches(' ');
    let value = ["=>", ":=", "=", ":"]
        .iter()
        .find_map(|mark| separator.strip_prefix(mark))?
        .trim_start_matches(' ');
    let (value, quote) = opening_quote(value);
    let shown = rest.len() - value.len();

    // Of `Authorization: Bearer x` the name of the scheme stays.
    if let Some(inner) = scheme(value) {
        return Some(Secret {
            shown: shown + inner.shown,
            hidden: inner.hidden,
        });
    }
    // Checked first, and only near the beginning: a hostile text would otherwise be scanned again from each name.
    let near = &value[..value.floor_char_boundary(MASKED_WITHIN_BYTES)];
    let near = match quote {
        Some(quote) => near.split([quote, '\n']).next(),
        None => near.split(ends_credential).next(),
    };
    if near.is_some_and(|near| near.contains(MASK)) {
        return None;
    }
    let hidden = match quote {
        Some(quote) => value
            .find(quote)
            .or_else(|| value.find('\n'))
            .unwrap_or(value.len()),
        None => value.find(ends_credential).unwrap_or(value.len()),
    };
    let content = value[..hidden].trim_end_matches('\\');
    let says_nothing = matches!(
        content,
        "" | "null" | "nil" | "None" | "true" | "false" | "***" | "Bearer" | "Basic"
    );
    (!says_nothing).then_some(Secret {
        shown,
        hidden: content.len(),
    })
}

/// Splits an opening quote, escaped or not, off the front of a value.
fn opening_quote(value: &str) -> (&str, Option<char>) {
    let bare = value.trim_start_matches('\\');
    match bare.chars().next() {
        Some(quote @ ('"' | '\'')) => (&bare[1..], Some(quote)),
        _ => (value, None),
    }
}

fn ends_credential(char: char) -> bool {
    char.is_whitespace()
        || matches!(
            char,
            '"' | '\'' | ',' | ';' | '&' | '}' | ')' | '<' | '>' | '`'
        )
}

fn token_length(text: &str) -> usize {
    let in_token = |char: char| {
        char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.' | '=' | '/' | '+')
    };
    text.find(|char| !in_token(char)).unwrap_or(text.len())
}
