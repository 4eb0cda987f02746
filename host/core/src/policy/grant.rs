//! An entry of `allow.http`: its syntax, the requests that it covers, and the addresses that it permits.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use url::{Host, Url};

use super::address;
use super::target::{Scheme, Target, TargetHost, path_is_below};
use super::yaml::{quoted, scalar};

/// A grant to send requests to an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpGrant {
    scheme: Scheme,
    pub(super) host: HostPattern,
    ports: RangeInclusive<u16>,
    /// Begins with a slash; `/` covers all paths.
    path: String,
    /// In upper case; empty for all.
    methods: BTreeSet<String>,
    /// The steering headers that requests may have. Folded.
    pub(super) headers: BTreeSet<String>,
    pub(super) addresses: Vec<AddressRange>,
    ca_file: Option<PathBuf>,
    via_proxy: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HostPattern {
    /// A name in lower case, punycode, without a trailing dot.
    Name(String),
    /// `*.example.com`, kept as `.example.com`: all names below it, but not the name itself.
    Below(String),
    /// An address; as IPv4 if it is an IPv4 address embedded in IPv6.
    Address(IpAddr),
}

/// An entry of `addresses`: private addresses that a public name may resolve to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressRange {
    /// `private`: RFC 1918, RFC 6598 and ULA.
    Private,
    /// A network in CIDR notation, or a single address.
    Net(IpNet),
}

/// The error for an entry of `allow.http` that cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct GrantError(String);

impl GrantError {
    pub(super) fn new(why: String) -> Self {
        Self(why)
    }
}

/// The methods that the contract defines.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

impl HttpGrant {
    /// Parses `scheme://host[:port[-port]][/path]`; the host can be `*.suffix` or an address.
    ///
    /// # Errors
    /// Returns which part is wrong, and what to write instead.
    pub fn parse(text: &str) -> Result<Self, GrantError> {
        let fail = |why: String| GrantError(format!("{text:?}: {why}"));
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Scheme::Http, rest),
            Some(("https", rest)) => (Scheme::Https, rest),
            Some((other, _)) => {
                return Err(fail(format!("the scheme is http or https, not {other:?}")));
            }
            None => {
                return Err(fail(
                    "write the scheme too, as in https://example.com".into(),
                ));
            }
        };
        if let Some(at) = rest.find(['?', '#']) {
            let part = &rest[at..];
            return Err(fail(format!(
                "a grant has no query and no fragment: leave out {part:?}"
            )));
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(fail(
                "a grant holds no user or password: use a credential".into(),
            ));
        }
        let (host, ports) = split_port(authority);
        Ok(Self {
            scheme,
            host: HostPattern::parse(host).map_err(fail)?,
            ports: match ports {
                Some(ports) => parse_ports(ports).map_err(fail)?,
                None => scheme.port()..=scheme.port(),
            },
            path: parse_path(path).map_err(fail)?,
            methods: BTreeSet::new(),
            headers: BTreeSet::new(),
            addresses: Vec::new(),
            ca_file: None,
            via_proxy: false,
        })
    }

    /// Narrows the grant to `methods`, ignoring case.
    ///
    /// # Errors
    /// Returns the method that the contract does not define.
    pub fn with_methods<'a>(
        mut self,
        methods: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, GrantError> {
        for method in methods {
            let upper = method.to_ascii_uppercase();
            if !METHODS.contains(&upper.as_str()) {
                let known = METHODS.join(", ");
                return Err(GrantError(format!("{method:?} is none of {known}")));
            }
            self.methods.insert(upper);
        }
        Ok(self)
    }

    /// Permits `addresses`: each is `private`, an address, or a network in CIDR notation.
    ///
    /// # Errors
    /// Returns an error if an entry is none of these, or is a network that only a grant of the exact address can permit.
    pub fn with_addresses<'a>(
        mut self,
        addresses: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, GrantError> {
        for text in addresses {
            self.addresses.push(AddressRange::parse(text)?);
        }
        Ok(self)
    }

    /// Trusts the certificates in `ca_file` (PEM) for this grant.
    #[must_use]
    pub fn with_ca_file(mut self, ca_file: PathBuf) -> Self {
        self.ca_file = Some(ca_file);
        self
    }

    /// Returns the file of certificates to trust in addition to the public ones.
    #[must_use]
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// Lets the proxy resolve the names that the grant covers, if requests go through one. The server then cannot check the
    /// addresses that they resolve to.
    #[must_use]
    pub fn with_names_resolved_by_proxy(mut self) -> Self {
        self.via_proxy = true;
        self
    }

    /// Returns whether the proxy resolves the names that the grant covers.
    #[must_use]
    pub fn has_names_resolved_by_proxy(&self) -> bool {
        self.via_proxy
    }

    /// Iterates over the methods that it is narrowed to; none if it covers all.
    pub(super) fn methods(&self) -> impl Iterator<Item = &str> {
        self.methods.iter().map(String::as_str)
    }

    /// Returns whether the grant covers the host, ignoring scheme, port and path.
    pub(super) fn covers_host(&self, host: &TargetHost<'_>) -> bool {
        self.host.covers(host)
    }

    /// Returns whether the grant covers `url`, for any method.
    #[must_use]
    pub fn covers(&self, url: &Url) -> bool {
        Target::of(url).is_ok_and(|target| self.covers_target(&target))
    }

    pub(super) fn covers_target(&self, target: &Target<'_>) -> bool {
        self.scheme == target.scheme
            && self.ports.contains(&target.port)
            && self.host.covers(&target.host)
            && path_is_below(target.path, &self.path)
    }

    pub(super) fn has_method(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }

    /// Returns whether both can cover the same request, ignoring methods.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let (own, theirs) = (&self.ports, &other.ports);
        self.scheme == other.scheme
            && own.start() <= theirs.end()
            && theirs.start() <= own.end()
            && self.host.overlaps(&other.host)
            && (path_is_below(&self.path, &other.path) || path_is_below(&other.path, &self.path))
    }

    /// Returns the host name that it covers, if it is one that can be resolved.
    pub fn name(&self) -> Option<&str> {
        match &self.host {
            HostPattern::Name(name) => Some(name),
            HostPattern::Below(_) | HostPattern::Address(_) => None,
        }
    }

    /// Returns a URL that it covers; `None` if it has a wildcard.
    pub fn url(&self) -> Option<Url> {
        if matches!(self.host, HostPattern::Below(_)) {
            return None;
        }
        let (scheme, port) = (self.scheme.as_str(), self.ports.start());
        Url::parse(&format!("{scheme}://{}:{port}{}", self.host, self.path)).ok()
    }

    /// Returns the YAML lines of its entry in `allow.http`.
    pub(super) fn yaml(&self) -> Vec<String> {
        self.yaml_with(None)
    }

    /// Returns the YAML lines of its entry with one more header.
    pub(super) fn yaml_with(&self, header: Option<&str>) -> Vec<String> {
        let url = quoted(&self.to_string());
        let mut lines = Vec::new();
        let list = |items: Vec<String>| items.join(", ");
        if !self.methods.is_empty() {
            let methods = list(self.methods.iter().cloned().collect());
            lines.push(format!("methods: [{methods}]"));
        }
        let headers = self.headers.iter().map(String::as_str).chain(header);
        let headers = list(headers.map(scalar).collect());
        if !headers.is_empty() {
            lines.push(format!("headers: [{headers}]"));
        }
        if !self.addresses.is_empty() {
            let addresses = self.addresses.iter().map(|range| match range {
                AddressRange::Private => "private".to_owned(),
                AddressRange::Net(net) => quoted(&net.to_string()),
            });
            lines.push(format!("addresses: [{}]", list(addresses.collect())));
        }
        if let Some(file) = &self.ca_file {
            let file = quoted(&file.to_string_lossy());
            lines.push(format!("ca_file: {file}"));
        }
        if self.via_proxy {
            lines.push("via_proxy: true".to_owned());
        }
        if lines.is_empty() {
            return vec![url];
        }
        lines.insert(0, format!("url: {url}"));
        lines
    }
}

/// The grant's URL, in the form that [`HttpGrant::parse`] accepts.
impl fmt::Display for HttpGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.host)?;
        let (first, last) = (*self.ports.start(), *self.ports.end());
        if first != last {
            write!(f, ":{first}-{last}")?;
        } else if first != self.scheme.port() {
            write!(f, ":{first}")?;
        }
        if self.path != "/" {
            f.write_str(&self.path)?;
        }
        Ok(())
    }
}

impl HostPattern {
    fn parse(text: &str) -> Result<Self, String> {
        let (wildcard, name) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if name.contains('*') {
            return Err("a * stands only at the front, as in https://*.example.com".into());
        }
        match Host::parse(name) {
            Ok(Host::Domain(name)) => {
                let name = name.strip_suffix('.').unwrap_or(&name);
                if name.is_empty() || name.ends_with('.') {
                    return Err("there is no host".into());
                }
                Ok(if wildcard {
                    Self::Below(format!(".{name}"))
                } else {
                    Self::Name(name.to_owned())
                })
            }
            Ok(_) if wildcard => Err("an address takes no *".into()),
            Ok(Host::Ipv4(v4)) => Ok(Self::Address(v4.into())),
            Ok(Host::Ipv6(v6)) => Ok(Self::Address(address::canonical(v6.into()))),
            Err(error) => Err(format!("the host {name:?} cannot be read ({error})")),
        }
    }

    fn covers(&self, host: &TargetHost<'_>) -> bool {
        match (self, host) {
            (Self::Name(name), TargetHost::Name(host)) => name == host,
            (Self::Below(suffix), TargetHost::Name(host)) => {
                host.len() > suffix.len() && host.ends_with(suffix.as_str())
            }
            (Self::Address(own), TargetHost::Address(address)) => own == address,
            _ => false,
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Below(one), Self::Below(other)) => {
                one.ends_with(other.as_str()) || other.ends_with(one.as_str())
            }
            (Self::Below(suffix), Self::Name(name)) | (Self::Name(name), Self::Below(suffix)) => {
                name.len() > suffix.len() && name.ends_with(suffix.as_str())
            }
            _ => self == other,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Below(suffix) => write!(f, "*{suffix}"),
            Self::Address(IpAddr::V4(v4)) => write!(f, "{v4}"),
            Self::Address(IpAddr::V6(v6)) => write!(f, "[{v6}]"),
        }
    }
}

impl AddressRange {
    fn parse(text: &str) -> Result<Self, GrantError> {
        if text == "private" {
            return Ok(Self::Private);
        }
        let net = text
            .parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| {
                GrantError(format!(
                    "{text:?} is neither `private` nor a network such as 10.0.0.0/8"
                ))
            })?;
        let (first, last) = (
            address::reach(net.network()),
            address::reach(net.broadcast()),
        );
        if first.needs_literal() && last.needs_literal() {
            return Err(GrantError(format!(
                "{text:?} is {}: no range opens that, only a grant whose url is the very address, such as http://127.0.0.1:9999",
                first.described()
            )));
        }
        Ok(Self::Net(net))
    }
}

/// Splits the port off an authority; the colons of an IPv6 address are within brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rfind(':') {
        Some(at) if !authority[at..].contains(']') => {
            (&authority[..at], Some(&authority[at + 1..]))
        }
        _ => (authority, None),
    }
}

fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) if first > 0 && first <= last => Ok(first..=last),
        _ => Err(format!(
            "{text:?} is no port and no range such as 8000-8999"
        )),
    }
}

/// Normalizes a path as `Url` normalizes that of a request.
fn parse_path(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok("/".to_owned());
    }
    Url::parse(&format!("http://host{text}"))
        .map(|url| url.path().to_owned())
        .map_err(|error| format!("the path {text:?} cannot be read ({error})"))
}

#[cfg(test)]
mod tests;
