//! What is counted by its reason: the values of labels.

/// The result for an alert at the webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookResult {
    /// It was committed and queued.
    Accepted,
    /// The same event was accepted before.
    Duplicate,
    /// A firing alert whose resolved alert was accepted before.
    Stale,
    /// Not a valid alert; it was stored as a dead delivery with its JSON, or the whole body was refused.
    Rejected,
}

impl WebhookResult {
    /// Returns the values of the label.
    pub(super) fn names() -> Vec<&'static str> {
        Self::ALL.map(Self::as_str).into()
    }

    pub(super) const ALL: [Self; 4] =
        [Self::Accepted, Self::Duplicate, Self::Stale, Self::Rejected];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Stale => "stale",
            Self::Rejected => "rejected",
        }
    }
}

/// Why a connection was refused or cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// There were too many connections, each with a request in progress.
    Full,
    /// It was unauthenticated or had no request, and another connection took its place.
    Displaced,
    /// Its body, from an unauthenticated sender, was dropped in favour of another.
    DisplacedBody,
    /// Its headers did not arrive in time.
    SlowHeaders,
    /// Its body paused for too long or was too slow.
    SlowBody,
    /// It did not read its response.
    SlowReader,
    /// The TLS handshake failed.
    Tls,
}

impl Cut {
    /// Returns the values of the label.
    pub(super) fn names() -> Vec<&'static str> {
        Self::ALL.map(Self::as_str).into()
    }

    pub(super) const ALL: [Self; 7] = [
        Self::Full,
        Self::Displaced,
        Self::DisplacedBody,
        Self::SlowHeaders,
        Self::SlowBody,
        Self::SlowReader,
        Self::Tls,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Displaced => "displaced",
            Self::DisplacedBody => "displaced_body",
            Self::SlowHeaders => "slow_headers",
            Self::SlowBody => "slow_body",
            Self::SlowReader => "slow_reader",
            Self::Tls => "tls",
        }
    }
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It was not authenticated.
    Unauthorized,
    /// Its sender exceeded the rate limit.
    Rate,
    /// It was made by a web page.
    Page,
    /// Its body contains no valid alert.
    Invalid,
    /// Its body is too large.
    TooLarge,
    /// Its body is not JSON, or is compressed.
    MediaType,
    /// Its method is not allowed for its path.
    Method,
    /// It is a POST request to an unknown path.
    Path,
    /// There are too many connections. Counted by `connections_cut_total`.
    Connections,
    /// Its alerts cannot be stored now: the server starts, the queue is full, the store cannot be written, or there are too
    /// many bodies.
    Unavailable,
}

impl Refusal {
    /// Returns the values of the label.
    pub(super) fn names() -> Vec<&'static str> {
        Self::ALL.map(Self::as_str).into()
    }

    /// The reasons for requests that may bring alerts.
    pub(crate) const ALL: [Self; 9] = [
        Self::Unauthorized,
        Self::Rate,
        Self::Page,
        Self::Invalid,
        Self::TooLarge,
        Self::MediaType,
        Self::Method,
        Self::Path,
        Self::Unavailable,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Rate => "rate",
            Self::Page => "page",
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
            Self::MediaType => "media_type",
            Self::Method => "method",
            Self::Path => "path",
            Self::Connections => "connections",
            Self::Unavailable => "unavailable",
        }
    }
}
