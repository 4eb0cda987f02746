//! Views that are made once for all who see the same: everybody who follows a view asks for it at each change.

use std::io::{self, Write as _};
use std::sync::{Arc, OnceLock};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::frame::Visit;
use crate::http::answers::ByQuestion;
use crate::http::error::{Answered, ApiError};

/// A view of fewer bytes is sent as it is.
const COMPRESSED_BYTES_MIN: usize = 1 << 10;

/// From where a request of a browser comes.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Views, by who sees them, path and query.
pub(super) type Shared = ByQuestion<Made>;

/// A view that was made.
#[derive(Debug)]
pub(super) struct Made {
    parts: Parts,
    body: Bytes,
    /// The body as it is sent to those who take it compressed, made for the first of them.
    compressed: OnceLock<Option<Bytes>>,
}

/// Makes a view for all who ask for it at the same time.
pub(super) async fn share(
    State(views): State<Arc<Shared>>,
    visit: Visit,
    request: Request,
    next: Next,
) -> Response {
    if request.method() != Method::GET {
        return next.run(request).await;
    }
    let question = format!("{:?} {}", visit.identity(), request.uri());
    let compressed = takes_compressed(request.headers());
    let make = async move || next.run(request).await;
    shared(&views, &question, compressed, make).await
}

async fn shared(
    views: &Shared,
    question: &str,
    compressed: bool,
    make: impl AsyncFnOnce() -> Response,
) -> Response {
    let make = async move || Made::of(make().await).await;
    match views.answer(question, make).await {
        Ok(made) => made.response(compressed),
        Err(error) => error.into_response(),
    }
}

impl Made {
    async fn of(response: Response) -> Result<Self, ApiError> {
        let (mut parts, body) = response.into_parts();
        // It is that of the body that is sent.
        parts.headers.remove(header::CONTENT_LENGTH);
        let body = to_bytes(body, usize::MAX).await.map_err(|error| {
            tracing::error!(%error, "a page cannot be read");
            ApiError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the page cannot be read: the log has the reason",
            )
        })?;
        Ok(Self {
            parts,
            body,
            compressed: OnceLock::new(),
        })
    }

    fn response(&self, compressed: bool) -> Response {
        let compressed = match compressed {
            true => self.compressed.get_or_init(|| self.compress()).as_ref(),
            false => None,
        };
        let mut response = Response::new(Body::from(compressed.unwrap_or(&self.body).clone()));
        *response.status_mut() = self.parts.status;
        *response.extensions_mut() = self.parts.extensions.clone();
        let headers = response.headers_mut();
        headers.clone_from(&self.parts.headers);
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if compressed.is_some() {
            let gzip = HeaderValue::from_static("gzip");
            headers.insert(header::CONTENT_ENCODING, gzip);
        }
        response
    }

    /// Returns the body compressed; nothing if it is short, or of an error, for which another one will be sent.
    fn compress(&self) -> Option<Bytes> {
        if self.body.len() < COMPRESSED_BYTES_MIN
            || self.parts.extensions.get::<Answered>().is_some()
        {
            return None;
        }
        // Cannot fail: it is written to memory.
        gzip(&self.body).ok().map(Bytes::from)
    }
}

fn gzip(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

/// Returns whether an answer is compressed. Not for a request that a page of another site has caused: such a page could choose the
/// query, see how many bytes are sent, and so guess the token of the forms, which is compressed with what was asked (BREACH).
fn takes_compressed(headers: &HeaderMap) -> bool {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let is_own = matches!(text(&FETCH_SITE), None | Some("same-origin" | "none"));
    is_own && text(&header::ACCEPT_ENCODING).is_some_and(takes_gzip)
}

/// Returns whether gzip is among the encodings of the header `Accept-Encoding`, and not with the weight 0.
fn takes_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|encoding| {
        let mut parts = encoding.split(';').map(str::trim);
        let is_gzip = parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        is_gzip && weight.is_none_or(|weight| weight.parse::<f32>().is_ok_and(|q| q > 0.0))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::io::Read as _;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::response::Html;
    use flate2::read::GzDecoder;
    use tokio::sync::Notify;

    use super::*;

    async fn body(response: Response) -> Bytes {
        to_bytes(response.into_body(), usize::MAX).await.unwrap()
    }

    #[tokio::test]
    async fn a_hundred_who_ask_at_once_cost_two_views() {
        let (views, begin) = (Shared::default(), Notify::new());
        let (asked, made) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let ask = async |compressed: bool| {
            let make = async || {
                begin.notified().await;
                let number = made.fetch_add(1, Ordering::Relaxed) + 1;
                let html = Html(format!("{number} {}", "long ".repeat(1_000)));
                (StatusCode::BAD_REQUEST, [("x-view", "of all")], html).into_response()
            };
            asked.fetch_add(1, Ordering::Relaxed);
            shared(&views, "/", compressed, make).await
        };
        // One is made for the first, and the next for all others, who come meanwhile.
        begin.notify_one();
        let others = futures_util::future::join_all((1..100).map(|n| ask(n % 2 == 0)));
        let (first, others, ()) = tokio::join!(ask(false), others, async {
            while asked.load(Ordering::Relaxed) < 100 {
                tokio::task::yield_now().await;
            }
            begin.notify_one();
        });
        assert!(body(first).await.starts_with(b"1 long"));
        for (response, n) in others.into_iter().zip(1..) {
            assert_eq!(response.status(), StatusCode::BAD_REQUEST);
            assert_eq!(response.headers()["x-view"], "of all");
            assert_eq!(response.headers()[header::VARY], "accept-encoding");
            let encoding = response.headers().get(header::CONTENT_ENCODING).cloned();
            let body = body(response).await;
            let mut text = String::new();
            match encoding {
                Some(encoding) => {
                    assert!(encoding == "gzip" && body.len() < 1_000 && n % 2 == 0);
                    GzDecoder::new(&*body).read_to_string(&mut text).unwrap();
                }
                None => {
                    assert_eq!(n % 2, 1);
                    text.push_str(std::str::from_utf8(&body).unwrap());
                }
            }
            assert!(text.starts_with("2 long") && text.len() > 5_000);
        }
        assert_eq!(made.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn what_is_short_and_what_is_an_error_is_sent_as_it_is() {
        let error = || ApiError::new(StatusCode::NOT_FOUND, "long ".repeat(1_000)).into_response();
        let short = || Html("short").into_response();
        for make in [&error as &dyn Fn() -> Response, &short] {
            let response = shared(&Shared::default(), "/", true, async || make()).await;
            assert!(!response.headers().contains_key(header::CONTENT_ENCODING));
        }
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it_and_whom_no_other_site_has_sent() {
        for (accepted, site, compressed) in [
            (None, None, false),
            (Some("gzip"), None, true),
            (Some("br, GZIP;q=0.5"), None, true),
            (Some("gzip;q=0"), None, false),
            (Some("gzip; q=0.0, br"), None, false),
            (Some("identity, br"), None, false),
            (Some("gzip"), Some("same-origin"), true),
            (Some("gzip"), Some("none"), true),
            (Some("gzip"), Some("same-site"), false),
            (Some("gzip"), Some("cross-site"), false),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [(header::ACCEPT_ENCODING, accepted), (FETCH_SITE, site)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            assert_eq!(
                takes_compressed(&headers),
                compressed,
                "{accepted:?}, {site:?}"
            );
        }
    }
}
