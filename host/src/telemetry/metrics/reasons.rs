//! What is counted by its reason: the values of labels.

/// What became of an alert at the webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookResult {
    /// Committed, and queued.
    Accepted,
    /// The same event was taken before.
    Duplicate,
    /// A firing whose resolved was taken before.
    Stale,
    /// No alert; kept dead with its JSON, or refused with the whole body.
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
    /// There were too many, each with a request under way.
    Full,
    /// It had proved nothing, or asked nothing, and another took its place.
    Displaced,
    /// Its body, whose sender had proved nothing, made room for another.
    DisplacedBody,
    /// Its headers did not come in time.
    SlowHeaders,
    /// Its body paused too long or was too slow.
    SlowBody,
    /// It did not read its answer.
    SlowReader,
    /// No TLS connection came about.
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
    /// It did not prove who it is from.
    Unauthorized,
    /// Its sender made too many.
    Rate,
    /// A web page is behind it.
    Page,
    /// Nothing in its body is an alert.
    Invalid,
    /// Its body is too large.
    TooLarge,
    /// Its body is not JSON, or compressed.
    MediaType,
    /// Its path does not take its method.
    Method,
    /// It was posted to an unknown path.
    Path,
    /// There are too many connections. Counted by `connections_cut_total`.
    Connections,
    /// Its alerts cannot be stored now: a start, a full queue, a store that cannot be written, too many bodies.
    Unavailable,
}

impl Refusal {
    /// Returns the values of the label.
    pub(super) fn names() -> Vec<&'static str> {
        Self::ALL.map(Self::as_str).into()
    }

    /// Those of requests that may bring alerts.
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
