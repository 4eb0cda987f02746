//! Recognizes responses that cannot be searched for a credential. They are withheld if they could repeat one.

use reqwest::StatusCode;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};

/// Returns why a response cannot be searched; `None` if it can.
pub(super) fn why_not(status: StatusCode, headers: &HeaderMap) -> Option<&'static str> {
    let values = |name| {
        headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase())
    };
    if status == StatusCode::PARTIAL_CONTENT {
        return Some("it is a part of an answer (206)");
    }
    // `none` and `utf-8` are not encodings, but some servers send them.
    let is_coded = |coding: &str| !matches!(coding.trim(), "" | "identity" | "none" | "utf-8");
    if values(CONTENT_ENCODING).any(|value| value.split(',').any(is_coded)) {
        return Some("it is packed (content-encoding)");
    }
    let has_other_letters = |value: String| match value.split_once("charset=") {
        Some((_, set)) => !has_the_letters_of_ascii(set),
        None => false,
    };
    if values(CONTENT_TYPE).any(has_other_letters) {
        return Some("its character set is not looked into");
    }
    None
}

/// Returns the text of the handler's error.
pub(super) fn refusal(why: &str) -> String {
    format!(
        "The answer is withheld, since {why}, and a credential that it repeats could not be found in it. \
         Ask for a whole answer in UTF-8 that is not packed."
    )
}

/// Returns true for a character set in which ASCII text has the bytes of ASCII, possibly with zero bytes between them.
fn has_the_letters_of_ascii(set: &str) -> bool {
    const BEGINNINGS: [&str; 19] = [
        "ascii",
        "big5",
        "cp12",
        "cp437",
        "cp850",
        "cp866",
        "euc-",
        "gb",
        "iso-8859-",
        "iso8859",
        "koi8",
        "latin",
        "macintosh",
        "shift",
        "us-ascii",
        "utf-16",
        "utf-32",
        "utf-8",
        "windows-",
    ];
    let set = set.trim_start_matches(['"', '\'', ' ']);
    set.starts_with("utf8") || BEGINNINGS.iter().any(|own| set.starts_with(own))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn partial_compressed_and_differently_encoded_responses_cannot_be_searched() {
        let judged = |status, name, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            why_not(status, &headers).is_some()
        };
        let ok = StatusCode::OK;
        assert!(judged(
            StatusCode::PARTIAL_CONTENT,
            CONTENT_TYPE,
            "text/plain"
        ));
        for coding in ["gzip", "br", "zstd", "deflate", "identity, GZIP", "x-own"] {
            assert!(judged(ok, CONTENT_ENCODING, coding), "{coding}");
        }
        for coding in ["", "identity", "UTF-8"] {
            assert!(!judged(ok, CONTENT_ENCODING, coding), "{coding}");
        }
        for set in [
            "text/plain; charset=UTF-7",
            "text/html;charset=\"ibm037\"",
            "a/b; charset=hz-gb-2312",
        ] {
            assert!(judged(ok, CONTENT_TYPE, set), "{set}");
        }
        for set in [
            "application/json",
            "text/plain; charset=utf-8",
            "text/plain; charset=\"UTF8\"",
            "text/plain;charset=ISO-8859-1",
            "text/plain; charset=utf-16le",
        ] {
            assert!(!judged(ok, CONTENT_TYPE, set), "{set}");
        }
    }
}
