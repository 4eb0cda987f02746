//! Requests that leave the server for handlers, whatever interface the handler asked by: judge, add the credential, keep the
//! rate limit and the circuit breaker, send, read within the bound, mask.

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
