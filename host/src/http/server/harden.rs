//! Headers that every answer carries, whatever it says.

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};

/// Whether an answer may be kept by what lies between us and who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cache {
    /// It holds what alerts said.
    Never,
    /// Nothing is said about it.
    Unsaid,
}

pub(super) fn cache_of(path: &str) -> Cache {
    if path.starts_with("/api/") || path == "/webhook" {
        Cache::Never
    } else {
        Cache::Unsaid
    }
}

/// Adds them; a page that needs more than nothing brings its own policy.
pub(super) fn harden(headers: &mut HeaderMap, cache: Cache) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // Pages of other origins cannot load it either, as an image or a script of theirs.
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    );
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(
            "default-src 'none'; frame-ancestors 'none'",
        ));
    if cache == Cache::Never {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}
