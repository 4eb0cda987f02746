//! Masks secrets in text that people will read: logs, error bodies, manifests.
//!
//! It goes by shape, not by a list of secrets, so it misses what looks like nothing in particular, and now
//! and then masks what was none. What it knows: PEM blocks, JSON web tokens, tokens with a vendor's prefix
//! (GitHub, GitLab, Slack, AWS, Google, Stripe, Vault, …), passwords in URLs,
//! `Bearer` and `Basic` credentials, and values under names like `password`, `token` or `api_key`, as
//! `name=value`, `name: value` or JSON.

use std::borrow::Cow;

/// What stands in a secret's place.
pub const MASK: &str = "[masked]";

/// Returns the text with secrets masked; the text itself where there are none.
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
        let word_begins = !before.is_some_and(|char| char.is_ascii_alphanumeric());
        let step = match find(&text[at..], word_begins) {
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

/// A secret within a text: so many bytes that stay, so many that go.
struct Secret {
    shown: usize,
    hidden: usize,
}

fn find(rest: &str, word_begins: bool) -> Option<Secret> {
    if !word_begins {
        return None;
    }
    match rest.as_bytes()[0] {
        b'-' => pem(rest),
        b'A'..=b'Z' | b'a'..=b'z' => vendor_token(rest)
            .or_else(|| json_web_token(rest))
            .or_else(|| scheme(rest))
            .or_else(|| url(rest))
            .or_else(|| named(rest)),
        b'_' => named(rest),
        _ => None,
    }
}

/// `-----BEGIN PRIVATE KEY-----` to its end, or to the text's where a log cut it off.
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

/// Prefixes that vendors give their tokens, with the least length of what follows.
const VENDOR_PREFIXES: [(&str, usize); 38] = [
    ("ghp_", 16),
    ("gho_", 16),
    ("ghu_", 16),
    ("ghs_", 16),
    ("ghr_", 16),
    ("github_pat_", 16),
    ("glpat-", 16),
    ("gldt-", 16),
    ("glrt-", 16),
    ("xoxb-", 10),
    ("xoxp-", 10),
    ("xoxa-", 10),
    ("xoxr-", 10),
    ("xoxs-", 10),
    ("xoxe-", 10),
    ("xoxe.", 10),
    ("xapp-", 10),
    ("AKIA", 16),
    ("ASIA", 16),
    ("AIza", 30),
    ("ya29.", 16),
    ("GOCSPX-", 16),
    ("sk_live_", 12),
    ("sk_test_", 12),
    ("rk_live_", 12),
    ("rk_test_", 12),
    ("whsec_", 12),
    ("sk-", 24),
    ("npm_", 20),
    ("pypi-", 20),
    ("hf_", 20),
    ("hvs.", 16),
    ("hvb.", 16),
    ("dop_v1_", 16),
    ("SG.", 20),
    ("shpat_", 16),
    ("dckr_pat_", 16),
    ("glsa_", 16),
];

fn vendor_token(rest: &str) -> Option<Secret> {
    VENDOR_PREFIXES.iter().find_map(|(prefix, follows_min)| {
        let token = &rest.strip_prefix(prefix)?;
        let hidden = token_length(token);
        let aws = prefix.len() == 4 && prefix.ends_with("IA");
        let fits = hidden >= *follows_min
            && (!aws
                || (hidden == 16
                    && token[..16]
                        .bytes()
                        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())));
        fits.then_some(Secret {
            shown: prefix.len(),
            hidden,
        })
    })
}

/// Three parts of base64url, the first of which is an encoded `{"`.
fn json_web_token(rest: &str) -> Option<Secret> {
    let token = &rest[..token_length(rest)];
    let mut parts = token.strip_prefix("eyJ")?.split('.');
    let long = |part: Option<&str>| part.is_some_and(|part| part.len() >= 8);
    (long(parts.next()) && long(parts.next())).then_some(Secret {
        shown: 0,
        hidden: token.len(),
    })
}

/// `Bearer x` and `Basic x`.
fn scheme(rest: &str) -> Option<Secret> {
    let shown = ["bearer ", "basic "].iter().find_map(|scheme| {
        let start = rest.get(..scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(scheme.len())
    })?;
    let hidden = rest[shown..]
        .find(ends_credential)
        .unwrap_or(rest.len() - shown);
    let credential = &rest[shown..shown + hidden];
    // "Basic auth" and "bearer of news" are prose; what holds a digit, a mark or 16 letters is not.
    let prose = credential.len() < 16 && credential.bytes().all(|byte| byte.is_ascii_lowercase());
    (!credential.is_empty() && !prose && credential != MASK).then_some(Secret { shown, hidden })
}

/// The password of `scheme://user:password@host`.
fn url(rest: &str) -> Option<Secret> {
    let scheme_ends =
        rest.find(|char: char| !(char.is_ascii_alphanumeric() || matches!(char, '+' | '-' | '.')))?;
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

/// Names that hold one of the above and are no secret.
const HARMLESS_ENDINGS: [&str; 8] = [
    "name", "count", "type", "file", "path", "length", "expiry", "id",
];

/// The value of `name=value`, `name: value`, `"name": "value"`, `name => value`.
fn named(rest: &str) -> Option<Secret> {
    let name_ends = rest
        .find(|char: char| !(char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.')))
        .filter(|ends| *ends <= 64)?;
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

    // `Authorization: Bearer x` keeps the scheme's name.
    if let Some(inner) = scheme(value) {
        return Some(Secret {
            shown: shown + inner.shown,
            hidden: inner.hidden,
        });
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
    ) || content.contains(MASK);
    (!says_nothing).then_some(Secret {
        shown,
        hidden: content.len(),
    })
}

/// Takes the quote, escaped or not, off the front of a value.
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
    text.find(|char: char| {
        !(char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.' | '=' | '/' | '+'))
    })
    .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(plain: &str, expected: &str) {
        assert_eq!(text(plain), expected);
        assert_eq!(text(expected), expected, "masking twice");
    }

    #[test]
    fn secrets_are_masked_by_their_shape() {
        check("key AKIAIOSFODNN7EXAMPLE used", "key AKIA[masked] used");
        check(
            "git clone with ghp_abcdefghijklmnopqrstuvwxyz0123456789",
            "git clone with ghp_[masked]",
        );
        check("xoxb-1234567890-abcdef", "xoxb-[masked]");
        check(
            "got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc_DEF-1, gone",
            "got [masked], gone",
        );
        check(
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----\nnext",
            "-----BEGIN RSA PRIVATE KEY-----[masked]-----END RSA PRIVATE KEY-----\nnext",
        );
        check(
            "cut -----BEGIN PRIVATE KEY-----\nMIIE",
            "cut -----BEGIN PRIVATE KEY-----[masked]",
        );
    }

    #[test]
    fn values_under_telling_names_are_masked() {
        check(
            "DB_PASSWORD=hunter2 started",
            "DB_PASSWORD=[masked] started",
        );
        check(
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG",
            "aws_secret_access_key = [masked]",
        );
        check("?api_key=abc&page=2", "?api_key=[masked]&page=2");
        check("password: 'a b c' set", "password: '[masked]' set");
        check(r#"{\"token\":\"abc\"}"#, r#"{\"token\":\"[masked]\"}"#);
        check("Set-Cookie: sid=1; Path=/", "Set-Cookie: [masked]; Path=/");
        check("X-Auth-Token: abc", "X-Auth-Token: [masked]");
        check(
            "authorization=\"Basic dXNlcjpwYXNz\"",
            "authorization=\"Basic [masked]\"",
        );
        check(
            "curl -H 'Authorization: Bearer abc123'",
            "curl -H 'Authorization: Bearer [masked]'",
        );
    }

    #[test]
    fn passwords_in_urls_are_masked() {
        check("redis://:pw@cache:6379/0", "redis://:[masked]@cache:6379/0");
        check("amqp://guest:p@ss@mq/v", "amqp://guest:[masked]@mq/v");
        check(
            "https://example.com:8443/a@b",
            "https://example.com:8443/a@b",
        );
    }

    #[test]
    fn what_is_no_secret_stays() {
        for plain in [
            "Basic auth failed",
            "bearer of news",
            "Error: secret \"db\" not found",
            "secretName: db-credentials",
            "token count: 12",
            "password=",
            "sk-learn is installed",
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
            "Grüße – ünïcode 🦀 stays whole",
            "",
        ] {
            check(plain, plain);
        }
    }
}
