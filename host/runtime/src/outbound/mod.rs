//! Outgoing requests of handlers, independent of the interface by which they were made. A request is checked against the
//! grants, given its credential, admitted by circuit breaker and rate limit, and sent; the response is read within a bound
//! and masked.

pub(crate) mod breakers;
pub(crate) mod change;
pub(crate) mod credential;
pub(crate) mod egress;
mod exchange;
mod headers;
mod mask;
pub(crate) mod prepare;
pub(crate) mod proxy;
pub(crate) mod rates;
mod readable;
pub(crate) mod request;
