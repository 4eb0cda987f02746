//! Security headers of all responses.

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};

/// Whether caches between the server and the client may store a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cache {
    /// They may not: it has the content of alerts.
    Never,
    /// The response does not say.
    Unsaid,
}

pub(super) fn cache_of(path: &str) -> Cache {
    if path.starts_with("/api/") || path == "/webhook" {
        Cache::Never
    } else {
        Cache::Unsaid
    }
}

/// Adds the headers; a page that needs more sets its own policy.
pub(super) fn harden(headers: &mut HeaderMap, cache: Cache) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
        .entry(REFERRER_POLICY)
        .or_insert(HeaderValue::from_static("no-referrer"));
    // Prevents pages of other origins from loading it, as an image or a script.
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
