//! An HTTP client for the origins that the operator granted.

mod error;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::alert_manager::handler::http as wire;
use crate::imports::Imports;
use crate::{Timestamp, mask};

pub use error::{Error, ErrorKind};
pub use wire::Method;

/// An HTTP client for the origins that the operator granted.
///
/// Redirects are not followed and bodies are not decompressed. The host adds a credential by its name; the handler
/// never sees its value.
///
/// ```
/// # use handler_sdk::prelude::*;
/// # #[derive(serde::Deserialize)] struct Pod {}
/// # fn enrich(cx: &Cx, url: &str) -> Result<(), Failure> {
/// let pod: Pod = cx.http().get(url).credential("kubernetes").send()?.error_for_status()?.json()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Http<'a> {
    imports: &'a Imports,
}

impl<'a> Http<'a> {
    pub(crate) const fn new(imports: &'a Imports) -> Self {
        Self { imports }
    }

    /// Starts a GET request.
    pub fn get(&self, url: impl Into<String>) -> RequestBuilder<'a> {
        self.request(Method::Get, url)
    }

    /// Starts a POST request.
    pub fn post(&self, url: impl Into<String>) -> RequestBuilder<'a> {
        self.request(Method::Post, url)
    }

    /// Starts a PUT request.
    pub fn put(&self, url: impl Into<String>) -> RequestBuilder<'a> {
        self.request(Method::Put, url)
    }

    /// Starts a PATCH request.
    pub fn patch(&self, url: impl Into<String>) -> RequestBuilder<'a> {
        self.request(Method::Patch, url)
    }

    /// Starts a DELETE request.
    pub fn delete(&self, url: impl Into<String>) -> RequestBuilder<'a> {
        self.request(Method::Delete, url)
    }

    /// Starts a request; `url` is absolute.
    pub fn request(&self, method: Method, url: impl Into<String>) -> RequestBuilder<'a> {
        RequestBuilder {
            imports: self.imports,
            unwritable: None,
            request: wire::Request {
                method,
                url: url.into(),
                headers: Vec::new(),
                body: None,
                credential: None,
                key: None,
                timeout_ms: None,
            },
        }
    }
}

/// A request that is being built; [`send`](Self::send) sends it.
#[derive(Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct RequestBuilder<'a> {
    imports: &'a Imports,
    request: wire::Request,
    /// Why the body could not be written as JSON; `send` returns it, so that calls can be chained.
    unwritable: Option<String>,
}

impl RequestBuilder<'_> {
    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.request.headers.push((name.into(), value.into()));
        self
    }

    /// Adds a parameter to the URL's query; name and value are percent-encoded.
    pub fn query(mut self, name: &str, value: impl ToString) -> Self {
        let separator = if self.request.url.contains('?') {
            '&'
        } else {
            '?'
        };
        self.request.url.push(separator);
        self.request.url.push_str(&encode(name));
        self.request.url.push('=');
        self.request.url.push_str(&encode(&value.to_string()));
        self
    }

    /// Names a credential of the operator's configuration that the host adds.
    pub fn credential(mut self, name: impl Into<String>) -> Self {
        self.request.credential = Some(name.into());
        self
    }

    /// Limits the time from connecting to the end of the body. If the step's deadline is sooner, the deadline applies.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.request.timeout_ms = Some(u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
        self
    }

    /// Sets a name for the effect, unique within this step. Needed only if the request can differ between attempts, for
    /// example because its body has a list in no fixed order: a retry then finds the recorded response by this name.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.request.key = Some(key.into());
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.request.body = Some(body.into());
        self
    }

    /// Sets the body to JSON, and the header `Content-Type`.
    pub fn json(mut self, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => self.body(body).header("content-type", "application/json"),
            Err(error) => {
                self.unwritable = Some(format!("the body can't be written as JSON: {error}"));
                self
            }
        }
    }

    /// Sends the request. Every status is a response; see [`Response::error_for_status`].
    ///
    /// # Errors
    /// Returns an error if there is no response: denied, unreachable, timed out, too large. `?` in a handler turns it into
    /// the matching [`Failure`](crate::Failure).
    pub fn send(self) -> Result<Response, Error> {
        let name = RequestName::of(&self.request);
        if let Some(why) = self.unwritable {
            return Err(Error {
                request: name,
                kind: ErrorKind::InvalidRequest(why),
            });
        }
        match self.imports.http_send(&self.request) {
            Ok(response) => Ok(Response::new(name, response, self.imports)),
            Err(error) => Err(Error {
                request: name,
                kind: error.into(),
            }),
        }
    }
}

/// The response of a server.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers in the order received, names in lower case; bytes that are not UTF-8 are replaced by U+FFFD.
    pub headers: Vec<(String, String)>,
    /// The body as received.
    pub body: Vec<u8>,
    request: RequestName,
    retry_after: Option<Duration>,
}

impl Response {
    fn new(request: RequestName, response: wire::Response, imports: &Imports) -> Self {
        let wire::Response {
            status,
            headers,
            body,
        } = response;
        let mut response = Self {
            status,
            headers,
            body,
            request,
            retry_after: None,
        };
        response.retry_after =
            response
                .header("retry-after")
                .and_then(|value| match value.parse() {
                    Ok(seconds) => Some(Duration::from_secs(seconds)),
                    // The wait is the date less the server's own clock, so that a difference of the clocks does not matter.
                    Err(_) => {
                        let date = response.header("date").and_then(Timestamp::parse_http_date);
                        Some(
                            Timestamp::parse_http_date(value)?
                                .since(&date.unwrap_or_else(|| imports.now())),
                        )
                    }
                });
        response
    }

    /// Returns the first header of this name, ignoring case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Returns whether the status is 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Returns the header `Retry-After`, given in seconds or as a date, as the time from now.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns the body as text; bytes that are not UTF-8 are replaced by U+FFFD.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the body, parsed as JSON.
    ///
    /// # Errors
    /// Returns an error if it is not the JSON of a `T`: the position, and how the body begins.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let hint = match self.is_success() {
                true => String::new(),
                false => format!(
                    "it was answered {}, so call error_for_status() before json(); ",
                    self.status
                ),
            };
            let why = format!("{hint}{error}; it begins `{}`", self.excerpt(80));
            Error {
                request: self.request.clone(),
                kind: ErrorKind::Unreadable(why),
            }
        })
    }

    /// Returns the response if the status is 200 to 299.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Status`] for every other status, including redirects, which are not followed.
    pub fn error_for_status(self) -> Result<Self, Error> {
        if self.is_success() {
            return Ok(self);
        }
        let said = match self.header("location") {
            Some(to) if (300..400).contains(&self.status) => {
                format!("redirects to {to}; redirects are not followed")
            }
            _ => self.excerpt(200),
        };
        let kind = ErrorKind::Status {
            status: self.status,
            said,
            retry_after: self.retry_after,
        };
        Err(Error {
            request: self.request,
            kind,
        })
    }

    /// Returns the beginning of the body on one line, with secrets masked, for use in messages.
    fn excerpt(&self, chars_max: usize) -> String {
        let start = &self.body[..self.body.len().min(chars_max * 8)];
        let text = String::from_utf8_lossy(start);
        let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        mask::text(&line).chars().take(chars_max).collect()
    }
}

/// The method and the URL, without userinfo and query, which may hold secrets. Messages name a request by it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RequestName(String);

impl RequestName {
    fn of(request: &wire::Request) -> Self {
        let url = request.url.split(['?', '#']).next().unwrap_or_default();
        let url = match url.split_once("://") {
            Some((scheme, rest)) => {
                let authority_ends = rest.find('/').unwrap_or(rest.len());
                let host_begins = rest[..authority_ends].rfind('@').map_or(0, |at| at + 1);
                format!("{scheme}://{}", &rest[host_begins..])
            }
            None => url.to_owned(),
        };
        Self(format!("{} {url}", method_name(request.method)))
    }
}

pub(crate) fn method_name(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
    }
}

/// Percent-encodes text for use as one segment of a path, or one name or value of a query.
///
/// ```
/// assert_eq!(handler_sdk::http::encode("a/b c=é"), "a%2Fb%20c%3D%C3%A9");
/// ```
pub fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(byte as char);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
