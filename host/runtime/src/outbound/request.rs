//! A request that leaves the server for a handler, and what comes of it, whatever interface the handler asked by.

use std::time::Instant;

use crate::limits::quota::LimitName;

/// A request as a handler made it: nothing in it is checked.
#[derive(Clone, Debug)]
pub(crate) struct OutboundRequest {
    pub(crate) method: reqwest::Method,
    /// Absolute.
    pub(crate) url: String,
    /// Names with values; a name may come more than once.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
    /// The name of the credential that is to be added.
    pub(crate) credential: Option<String>,
    /// When its time is up, the wait for the rate limit and for the store included.
    pub(crate) deadline: Instant,
    /// What the body of the answer may have.
    pub(crate) answer: AnswerBound,
}

impl OutboundRequest {
    /// Returns true if it is to change something.
    pub(crate) fn changes(&self) -> bool {
        !matches!(self.method, reqwest::Method::GET | reqwest::Method::HEAD)
    }
}

/// How large the body of an answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AnswerBound {
    pub(crate) bytes_max: u32,
    /// The limit that it comes from.
    pub(crate) limit: LimitName,
}

/// What the server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutboundResponse {
    pub(crate) status: u16,
    /// In the order they came, names in lower case; bytes that are not UTF-8 are replaced.
    pub(crate) headers: Vec<(String, String)>,
    /// As it came: nothing is decompressed.
    pub(crate) body: Vec<u8>,
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OutboundError {
    /// Not granted; with the configuration that would grant it.
    Denied(String),
    /// It cannot be sent as it is.
    Invalid(String),
    /// No connection, no name, TLS refused, or the connection broke.
    Unreachable(String),
    /// Sent or not: unknown.
    Timeout,
    /// The body has more than this many bytes.
    TooLarge(u32),
    /// Any other reason; worth a retry.
    Unavailable(String),
}
