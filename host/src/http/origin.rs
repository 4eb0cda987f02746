//! The origin check: keeps web pages of other origins from using the server through a browser on this machine. The server's own
//! page passes: its origin is that which the request was sent to.
//!
//! A page can reach a server on loopback in two ways. It can make cross-origin requests, with the credentials that the browser
//! has for the server (basic authentication too); such a request has a header `Origin`, which no other client sends. Or the
//! page's own name can resolve to 127.0.0.1 after it was loaded (DNS rebinding), which makes the page same-origin with the
//! server; then `Host` is a name that is not the server's. The second way matters only if nothing else is required to
//! authenticate, which is the case on loopback. No other machine can reach the server there, so only this machine's own names
//! are accepted. Names without a dot and names under `.local` and `.lan` are no safer than public ones: whoever answers
//! multicast DNS or DHCP in the network can resolve them to any address.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use url::{Host, Url};

use super::error::ApiError;
use crate::http::server::Bound;
use crate::telemetry;

/// The settings that the check depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// `external_url`: its host is a name of this server, and its origin is not a foreign one.
    pub(crate) external_url: Option<Url>,
    /// `insecure`: everybody who reaches the server is accepted.
    pub(crate) is_insecure: bool,
}

/// The origin check, with the settings in use.
#[derive(Clone, Debug)]
pub(crate) struct OriginCheck {
    pub(crate) settings: Arc<ArcSwap<Settings>>,
    pub(crate) bound: Arc<Bound>,
}

impl OriginCheck {
    /// Checks a request to an endpoint, see [`judge`]. `is_closed` is true if the endpoint itself needs credentials.
    pub(super) fn judge(
        &self,
        is_closed: bool,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<(), ApiError> {
        let settings = self.settings.load();
        let proof = self.proof(&settings, is_closed);
        judge(proof, method, uri, headers, settings.external_url.as_ref())
    }

    /// Checks a request to an endpoint that needs no credentials, see [`judge_reader`]. `is_closed` is true if other endpoints
    /// need some: then the server can be reached from other machines.
    pub(super) fn judge_reader(
        &self,
        is_closed: bool,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<(), ApiError> {
        let settings = self.settings.load();
        match self.proof(&settings, is_closed) {
            Proof::Asked => Ok(()),
            Proof::None => judge_reader(uri, headers, settings.external_url.as_ref()),
        }
    }

    /// Returns whether browsers reach the server by HTTPS, as far as the configuration says.
    pub(super) fn is_https(&self) -> bool {
        let settings = self.settings.load();
        let external = settings.external_url.as_ref();
        self.bound.tls.is_some() || external.is_some_and(|url| url.scheme() == "https")
    }

    fn proof(&self, settings: &Settings, is_closed: bool) -> Proof {
        if is_closed || settings.is_insecure || self.bound.requires_client_certificate() {
            Proof::Asked
        } else {
            Proof::None
        }
    }
}

/// What a request has to prove besides its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// Credentials, a signature or a client's certificate; or the configuration has `insecure`.
    Asked,
    /// Nothing: the address is loopback, and everybody who reaches it is accepted.
    None,
}

/// Returns `Ok` unless the request was made by a page of another origin.
///
/// # Errors
/// 403 for a request of a page of another origin, 421 for a host name that is not the server's.
fn judge(
    proof: Proof,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    external_url: Option<&Url>,
) -> Result<(), ApiError> {
    let asked = named_hosts(uri, headers);
    if proof == Proof::None
        && let Some(stranger) = asked.iter().find(|host| !is_ours(host, external_url))
    {
        return Err(not_known_as(stranger));
    }
    for origin in headers.get_all(header::ORIGIN) {
        let origin = origin.to_str().ok().and_then(|text| Url::parse(text).ok());
        let is_own = origin.as_ref().is_some_and(|origin| {
            let is_external = external_url.is_some_and(|own| own.origin() == origin.origin());
            is_external || (asked.len() == 1 && is_at(origin, &asked[0]))
        });
        if !is_own {
            return Err(foreign_page());
        }
    }
    let fetch = |name: &str| headers.get(name).map(|value| value.as_bytes());
    let is_foreign = matches!(fetch("sec-fetch-site"), Some(b"cross-site" | b"same-site"));
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    // A link is followed. What another page loads into itself, as an image or a script, is refused.
    let is_link = is_read && matches!(fetch("sec-fetch-mode"), None | Some(b"navigate"));
    if is_foreign && !is_link {
        return Err(foreign_page());
    }
    Ok(())
}

/// Returns `Ok` unless the request, to an endpoint without authentication, has a host name that may have been rebound.
///
/// A scraper may use an address that is not loopback, through a proxy on this machine. A page cannot: its origin would be that
/// address, which cannot be rebound.
///
/// # Errors
/// 421 for a host name that is not the server's.
fn judge_reader(
    uri: &Uri,
    headers: &HeaderMap,
    external_url: Option<&Url>,
) -> Result<(), ApiError> {
    let asked = named_hosts(uri, headers);
    let is_stranger = |host: &&Cow<'_, str>| !is_address(host) && !is_ours(host, external_url);
    match asked.iter().find(is_stranger) {
        Some(stranger) => Err(not_known_as(stranger)),
        None => Ok(()),
    }
}

fn not_known_as(stranger: &str) -> ApiError {
    let shown = telemetry::shown(stranger);
    ApiError::new(
        StatusCode::MISDIRECTED_REQUEST,
        format!(
            "this server is not known as {shown:?}: ask it as localhost or 127.0.0.1, set external_url to a URL with this name, or add authorization (webhook.authorization, api.authorization)"
        ),
    )
}

fn foreign_page() -> ApiError {
    ApiError::new(
        StatusCode::FORBIDDEN,
        "requests from web pages of other origins are refused: if this is the server's own page behind a proxy, set external_url to the address in the browser, or have the proxy keep the header Host",
    )
}

/// Returns the host names of the request: in `Host`, and in its target if that is an absolute URL.
fn named_hosts<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Vec<Cow<'a, str>> {
    let hosts = headers.get_all(header::HOST).iter();
    hosts
        .map(|host| String::from_utf8_lossy(host.as_bytes()))
        .chain(uri.authority().map(|named| named.as_str().into()))
        .collect()
}

/// Returns whether it is a loopback address, `localhost`, or the configured name. None of these can be the origin of a foreign
/// page, which would have to come from this machine or from the server itself.
fn is_ours(authority: &str, external_url: Option<&Url>) -> bool {
    if let Ok(address) = authority.parse::<SocketAddr>() {
        // What most senders send; parsing a URL is not needed.
        return is_loopback(address.ip());
    }
    let Ok(url) = Url::parse(&format!("http://{authority}/")) else {
        return false;
    };
    if !url.username().is_empty() || url.password().is_some() {
        return false;
    }
    if url.host().is_some() && url.host() == external_url.and_then(Url::host) {
        return true;
    }
    match url.host() {
        Some(Host::Ipv4(address)) => is_loopback(address.into()),
        Some(Host::Ipv6(address)) => is_loopback(address.into()),
        Some(Host::Domain(name)) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            let is_external = external_url.and_then(Url::host_str) == Some(name);
            is_external || name == "localhost" || name.ends_with(".localhost")
        }
        None => false,
    }
}

/// Returns whether it is an IP address, with or without a port.
fn is_address(authority: &str) -> bool {
    let bare = authority.trim_start_matches('[').trim_end_matches(']');
    authority.parse::<SocketAddr>().is_ok() || bare.parse::<IpAddr>().is_ok()
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Returns whether the origin has the host and port that the request was sent to. The scheme is ignored, because a proxy that
/// terminates TLS forwards plain HTTP.
fn is_at(origin: &Url, authority: &str) -> bool {
    let Ok(asked) = Url::parse(&format!("{}://{authority}/", origin.scheme())) else {
        return false;
    };
    asked.host() == origin.host() && asked.port_or_known_default() == origin.port_or_known_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn judged(proof: Proof, method: &Method, pairs: &[(&'static str, &str)]) -> bool {
        let headers = pairs
            .iter()
            .map(|(name, value)| {
                let name = HeaderName::from_static(name);
                (name, HeaderValue::from_str(value).unwrap())
            })
            .collect();
        let external = Url::parse("https://alerts.example.com/base").unwrap();
        let uri = Uri::from_static("/webhook");
        judge(proof, method, &uri, &headers, Some(&external)).is_ok()
    }

    #[test]
    fn a_name_that_was_turned_to_this_machine_is_not_ours() {
        for host in [
            "127.0.0.1:5000",
            "[::1]:5000",
            "127.8.9.10",
            "[::ffff:127.0.0.1]:5000",
            "localhost:5000",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
            "alerts.example.com",
            "alerts.example.com:8443",
        ] {
            assert!(
                judged(Proof::None, &Method::GET, &[("host", host)]),
                "{host}"
            );
        }
        for host in [
            "evil.example",
            "evil.example:5000",
            "evil.example.",
            // Names that others in the network can resolve, and addresses that are not loopback.
            "x.local",
            "x.lan:5000",
            "router",
            "alert-manager",
            "alert-manager.monitoring.svc:5000",
            "alert-manager.monitoring.svc.cluster.local",
            "x.internal",
            "localhost.local",
            "notlocalhost",
            "10.1.2.3",
            "0.0.0.0:5000",
            "[::]:5000",
            "[::ffff:10.1.2.3]",
            "[fe80::1]:5000",
            "127.0.0.1.nip.io",
            "localhost.evil.example",
            "alerts.example.com.evil.example",
            "alerts.example.com@evil.example",
            "evil.example@127.0.0.1",
            "",
            "a b",
        ] {
            let pairs = [("host", host)];
            assert!(!judged(Proof::None, &Method::GET, &pairs), "{host}");
            assert!(judged(Proof::Asked, &Method::GET, &pairs), "{host}");
        }
        let both = [("host", "localhost"), ("host", "evil.example")];
        assert!(!judged(Proof::None, &Method::GET, &both));
        assert!(
            judged(Proof::None, &Method::GET, &[]),
            "HTTP/1.0 names none"
        );
        let whole = Uri::from_static("http://evil.example/webhook");
        let none = HeaderMap::new();
        assert!(judge(Proof::None, &Method::GET, &whole, &none, None).is_err());
    }

    #[test]
    fn a_scraper_may_ask_by_any_address_and_by_no_name_but_ours() {
        let judged = |host: &str| {
            let headers = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
            let external = Url::parse("https://alerts.example.com/base").unwrap();
            judge_reader(&Uri::from_static("/metrics"), &headers, Some(&external)).is_ok()
        };
        for host in [
            "127.0.0.1:5000",
            "localhost:5000",
            "10.1.2.3:8443",
            "10.1.2.3",
            "[fe80::1]:5000",
            "[fe80::1]",
            "alerts.example.com",
        ] {
            assert!(judged(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:5000",
            "10.1.2.3.nip.io",
            "x.local",
            "router",
            "evil@10.1.2.3",
            "",
        ] {
            assert!(!judged(host), "{host}");
        }
    }

    #[test]
    fn a_page_of_another_origin_is_kept_out_whatever_it_can_prove() {
        let host = ("host", "localhost:5000");
        for (origin, let_in) in [
            ("http://localhost:5000", true),
            ("https://alerts.example.com", true),
            ("http://alerts.example.com", false),
            ("http://localhost", false),
            ("http://localhost:5001", false),
            ("http://evil.example", false),
            ("null", false),
            ("", false),
        ] {
            for proof in [Proof::None, Proof::Asked] {
                let judged = judged(proof, &Method::POST, &[host, ("origin", origin)]);
                assert_eq!(judged, let_in, "{origin}");
            }
        }
        let behind_tls = [
            ("host", "other.example.com"),
            ("origin", "https://other.example.com"),
        ];
        assert!(judged(Proof::Asked, &Method::POST, &behind_tls));
        assert!(!judged(Proof::None, &Method::POST, &behind_tls));
        for (site, let_in) in [("cross-site", false), ("same-site", false), ("none", true)] {
            let pairs = [host, ("sec-fetch-site", site)];
            assert_eq!(
                judged(Proof::Asked, &Method::POST, &pairs),
                let_in,
                "{site}"
            );
            assert!(
                judged(Proof::Asked, &Method::GET, &pairs),
                "a link to a story"
            );
            for (mode, is_link) in [("navigate", true), ("no-cors", false), ("cors", false)] {
                let pairs = [pairs[0], pairs[1], ("sec-fetch-mode", mode)];
                let judged = judged(Proof::Asked, &Method::GET, &pairs);
                assert_eq!(judged, is_link || let_in, "{site} {mode}");
            }
        }
    }
}
