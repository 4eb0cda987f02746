//! An outgoing request of a handler and its result, independent of the interface by which it was made.

use std::time::Instant;

use crate::limits::quota::LimitName;

/// A request of a handler, unchecked.
#[derive(Clone, Debug)]
pub(crate) struct OutboundRequest {
    pub(crate) method: reqwest::Method,
    /// The absolute URL.
    pub(crate) url: String,
    /// Names with values. A name may occur more than once.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
    /// The name of the credential to add.
    pub(crate) credential: Option<String>,
    /// The end of its time, which includes waits for the rate limit and the store.
    pub(crate) deadline: Instant,
    /// The bound of the response body.
    pub(crate) answer: AnswerBound,
}

impl OutboundRequest {
    /// Returns true unless the method is GET or HEAD.
    pub(crate) fn changes(&self) -> bool {
        !matches!(self.method, reqwest::Method::GET | reqwest::Method::HEAD)
    }
}

/// The bound of a response body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AnswerBound {
    pub(crate) bytes_max: u32,
    /// The limit from which it was computed.
    pub(crate) limit: LimitName,
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutboundResponse {
    pub(crate) status: u16,
    /// The headers in their order, with names in lower case. Bytes that are not UTF-8 are replaced.
    pub(crate) headers: Vec<(String, String)>,
    /// The body as it came, without decompression.
    pub(crate) body: Vec<u8>,
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OutboundError {
    /// Not granted. The text has the configuration that would grant it.
    Denied(String),
    /// The request is not valid.
    Invalid(String),
    /// The name was not found, there was no connection, TLS failed, or the connection broke.
    Unreachable(String),
    /// No response in time. The request may have been sent.
    Timeout,
    /// The response body has more than this many bytes.
    TooLarge(u32),
    /// Any other reason. A retry may succeed.
    Unavailable(String),
}
