//! The proxy of outgoing requests: `proxy_url` and `no_proxy`, with the same meaning as in Prometheus.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use alert_manager_core::secret::{Secret, SecretError, SecretSource};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use url::{Host, Url};
use zeroize::Zeroizing;

/// A proxy for outgoing requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// `proxy_url`, `proxy_url_file` or `proxy_url_env`. It may contain a password.
    url: SecretSource,
    no_proxy: Arc<NoProxy>,
}

impl Proxy {
    /// Makes a proxy for all hosts except those in `no_proxy`.
    #[must_use]
    pub fn new(url: SecretSource, no_proxy: Arc<NoProxy>) -> Self {
        Self { url, no_proxy }
    }

    /// Returns true if requests to `url` go through the proxy: unless its host is this machine or in `no_proxy`.
    #[must_use]
    pub fn is_for(&self, url: &Url) -> bool {
        let port = url.port_or_known_default().unwrap_or_default();
        match url.host() {
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                let is_here = name == "localhost" || name.ends_with(".localhost");
                !is_here && !self.no_proxy.has_name(&name, port)
            }
            Some(Host::Ipv4(v4)) => self.is_for_address(v4.into(), port),
            Some(Host::Ipv6(v6)) => self.is_for_address(v6.into(), port),
            None => false,
        }
    }

    fn is_for_address(&self, address: IpAddr, port: u16) -> bool {
        let address = address.to_canonical();
        !address.is_loopback() && !self.no_proxy.has_address(address, port)
    }

    /// Reads the address of the proxy from its URL.
    ///
    /// # Errors
    /// If the URL cannot be read, or is not the URL of a proxy.
    pub fn address(&self) -> Result<ProxyAddress, ProxyUrlError> {
        ProxyAddress::parse(self.url.read()?.expose())
    }
}

/// The address of a proxy. It is printed without user and password.
#[derive(Clone, Debug)]
pub struct ProxyAddress {
    /// True if the connection to the proxy itself is TLS.
    pub is_tls: bool,
    /// A name, or an address without brackets.
    pub host: String,
    /// 80 or 443 by default.
    pub port: u16,
    /// The value of the header `Proxy-Authorization`.
    pub authorization: Option<Secret>,
}

/// Why the address of a proxy is not known. Contains no part of the URL.
#[derive(Debug, thiserror::Error)]
pub enum ProxyUrlError {
    /// The secret cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// It is not the URL of a proxy.
    #[error("it is not a URL such as http://proxy.example.com:3128")]
    NoUrl,
    /// The proxy is of a kind that is not supported.
    #[error("the proxy's scheme is http or https")]
    Scheme,
}

impl ProxyAddress {
    fn parse(text: &str) -> Result<Self, ProxyUrlError> {
        let url = Url::parse(text).map_err(|_| ProxyUrlError::NoUrl)?;
        let is_tls = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err(ProxyUrlError::Scheme),
        };
        let has_more = url.query().is_some() || url.fragment().is_some() || url.path() != "/";
        let host = match url.host() {
            Some(_) if has_more => return Err(ProxyUrlError::NoUrl),
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(v4)) => v4.to_string(),
            Some(Host::Ipv6(v6)) => v6.to_string(),
            None => return Err(ProxyUrlError::NoUrl),
        };
        Ok(Self {
            is_tls,
            host,
            port: url.port_or_known_default().ok_or(ProxyUrlError::NoUrl)?,
            authorization: basic(&url),
        })
    }
}

/// Returns the header's value for the user and password of a URL.
fn basic(url: &Url) -> Option<Secret> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut pair = Zeroizing::new(Vec::with_capacity(url.as_str().len()));
    pair.extend(percent_decode_str(url.username()));
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or_default()));
    let encoded = Zeroizing::new(format!("Basic {}", STANDARD.encode(&*pair)));
    Some(Secret::new(&encoded))
}

impl fmt::Display for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

/// `no_proxy`: the hosts that are reached without the proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoProxy {
    /// `*`: every host.
    all: bool,
    entries: Vec<(NoProxyHost, Option<u16>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum NoProxyHost {
    /// `example.com`: this name and its subdomains.
    Name(String),
    /// `.example.com` or `*.example.com`, stored with the dot: only subdomains.
    Below(String),
    Net(IpNet),
}

impl NoProxy {
    /// Parses the syntax of Go's `httpproxy.Config.NoProxy`: names, `.suffix`, addresses and networks, separated by commas,
    /// each optionally with a port; `*` is every host.
    ///
    /// # Errors
    /// The entry that is none of these.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut no_proxy = Self::default();
        for entry in text.split(',').map(str::trim) {
            match entry {
                "" => {}
                "*" => no_proxy.all = true,
                _ => {
                    let entry = Self::entry(entry).ok_or_else(|| entry.to_owned())?;
                    no_proxy.entries.push(entry);
                }
            }
        }
        Ok(no_proxy)
    }

    fn entry(entry: &str) -> Option<(NoProxyHost, Option<u16>)> {
        if let Ok(net) = entry.parse::<IpNet>() {
            return Some((NoProxyHost::Net(net), None));
        }
        if let Ok(address) = entry.parse::<IpAddr>() {
            return Some((NoProxyHost::Net(address.to_canonical().into()), None));
        }
        let (host, port) = match entry.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (entry, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = host.parse::<IpAddr>() {
            return Some((NoProxyHost::Net(address.to_canonical().into()), port));
        }
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        let name = name.strip_prefix('*').unwrap_or(&name);
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.trim_matches('.').is_empty() || !name.chars().all(is_name) {
            return None;
        }
        let host = match name.strip_prefix('.') {
            Some(_) => NoProxyHost::Below(name.to_owned()),
            None => NoProxyHost::Name(name.to_owned()),
        };
        Some((host, port))
    }

    fn has_name(&self, name: &str, port: u16) -> bool {
        self.has(port, |host| match host {
            NoProxyHost::Name(own) => {
                let above = name.strip_suffix(own.as_str());
                above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
            }
            NoProxyHost::Below(suffix) => name.len() > suffix.len() && name.ends_with(suffix),
            NoProxyHost::Net(_) => false,
        })
    }

    fn has_address(&self, address: IpAddr, port: u16) -> bool {
        self.has(
            port,
            |host| matches!(host, NoProxyHost::Net(net) if net.contains(&address)),
        )
    }

    fn has(&self, port: u16, is_host: impl Fn(&NoProxyHost) -> bool) -> bool {
        let is_it = |(host, only): &(NoProxyHost, Option<u16>)| {
            only.is_none_or(|only| only == port) && is_host(host)
        };
        self.all || self.entries.iter().any(is_it)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn proxy(no_proxy: &str) -> Proxy {
        Proxy {
            url: SecretSource::value(Secret::new("http://proxy:3128")),
            no_proxy: Arc::new(NoProxy::parse(no_proxy).unwrap()),
        }
    }

    #[test]
    fn this_machine_and_hosts_in_no_proxy_are_reached_without_the_proxy() {
        let list = "10.0.0.0/8, example.com,.svc, *.corp.example, 192.0.2.7,git.example.org:8443 , [2001:db8::1]:80,";
        let cases = [
            ("https://slack.com/api/", true),
            ("http://localhost:1", false),
            ("http://a.localhost", false),
            ("http://127.9.9.9", false),
            ("http://[::1]", false),
            ("http://[::ffff:127.0.0.1]", false),
            ("http://10.1.2.3", false),
            ("http://[::ffff:10.1.2.3]", false),
            ("http://11.1.2.3", true),
            ("https://EXAMPLE.com.", false),
            ("https://a.example.com", false),
            ("https://badexample.com", true),
            ("https://kubernetes.default.svc", false),
            ("https://svc", true),
            ("https://corp.example", true),
            ("https://a.corp.example", false),
            ("https://192.0.2.7:1", false),
            ("https://git.example.org:8443", false),
            ("https://git.example.org", true),
            ("http://[2001:db8::1]", false),
            ("https://[2001:db8::1]", true),
        ];
        let proxy_of_list = proxy(list);
        for (url, expected) in cases {
            let url: Url = url.parse().unwrap();
            assert_eq!(proxy_of_list.is_for(&url), expected, "{url}");
        }
        assert!(!proxy("*").is_for(&"https://slack.com".parse().unwrap()));
        for bad in ["a b", "a:b:c", "https://example.com", ".", "a*b", "x:99999"] {
            assert_eq!(NoProxy::parse(bad), Err(bad.to_owned()));
        }
    }

    #[test]
    fn a_proxy_prints_without_its_password() {
        let address = ProxyAddress::parse("https://user:p%40ss@[2001:db8::1]:3128").unwrap();
        assert_eq!(address.to_string(), "https://[2001:db8::1]:3128");
        assert!(!format!("{address:?}").contains("ss@"));
        let header = address.authorization.unwrap();
        assert_eq!(header.expose(), "Basic dXNlcjpwQHNz");
        let address = ProxyAddress::parse("http://proxy").unwrap();
        assert_eq!((address.port, address.is_tls), (80, false));
        assert!(address.authorization.is_none());
        for bad in [
            "proxy:3128",
            "socks5://proxy",
            "http://proxy/path",
            "http://",
            "http://p?x",
        ] {
            let error = ProxyAddress::parse(bad).unwrap_err().to_string();
            assert!(!error.contains("//proxy/"), "{error}");
        }
    }
}
