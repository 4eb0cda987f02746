//! Describes why a request was not answered, in a few words for people.

use std::error::Error as StdError;

use super::proxy_error::ProxyError;
use alert_manager_core::policy::Refusal;

#[derive(Debug, thiserror::Error)]
#[error("no such name")]
pub(super) struct NoSuchName;

/// Returns the refusal of an address among the causes of an error.
pub(crate) fn refusal_in<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e Refusal> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// Returns the deepest cause in a few words, without a URL or the names of libraries.
pub(crate) fn root_cause(error: &(dyn StdError + 'static)) -> String {
    for cause in causes(error) {
        if let Some(proxy) = cause.downcast_ref::<ProxyError>() {
            return proxy.to_string();
        }
        if cause.is::<NoSuchName>() {
            return "no such name".to_owned();
        }
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            use std::io::ErrorKind;
            let words = match io.kind() {
                ErrorKind::ConnectionRefused => "connection refused",
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "the connection was reset",
                ErrorKind::UnexpectedEof => "the connection was closed early",
                ErrorKind::HostUnreachable => "host unreachable",
                ErrorKind::NetworkUnreachable => "network unreachable",
                ErrorKind::TimedOut => "no answer to the connection in time",
                // A TLS error may be wrapped in this I/O error.
                _ => continue,
            };
            return words.to_owned();
        }
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return format!("TLS: {tls}");
        }
    }
    let is_timeout = |error: &reqwest::Error| error.is_timeout();
    if causes(error).any(|cause| cause.downcast_ref().is_some_and(is_timeout)) {
        return "no connection in time".to_owned();
    }
    let deepest = causes(error).last().map(ToString::to_string);
    deepest.unwrap_or_else(|| "the request failed".to_owned())
}

fn causes<'e>(
    error: &'e (dyn StdError + 'static),
) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    std::iter::from_fn(move || {
        let current = next?;
        // `source` of an I/O error does not return the error that it wraps.
        next = match current
            .downcast_ref::<std::io::Error>()
            .and_then(|io| io.get_ref())
        {
            Some(inner) => Some(inner),
            None => current.source(),
        };
        Some(current)
    })
}
