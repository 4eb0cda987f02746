//! `proxy_url` and `no_proxy`: the proxy of outgoing connections, spelled as in Prometheus.

use std::sync::Arc;

use super::access::secret;
use crate::config::compare::{Compare, Restart};
use crate::config::decode::{Decoding, Env, Part};
use crate::config::key::{Key, Written};
use crate::config::reader::Reader;
use crate::config::section::Section;
use crate::runtime::{NoProxy, Proxy, ProxyUrlError};

/// The keys that name a proxy.
const URL_KEYS: [&str; 3] = ["proxy_url", "proxy_url_file", "proxy_url_env"];

pub(super) const PROXY_URL: Key = Key::new(
    "proxy_url",
    Written::Text,
    "The URL of the proxy. `HTTPS_PROXY` and similar variables are not read.",
)
.example("http://proxy.example.com:3128");

pub(super) const PROXY_URL_FILE: Key = Key::new(
    "proxy_url_file",
    Written::Path,
    "A file with the URL, for one that has a password.",
)
.example("/run/secrets/proxy");

pub(super) const PROXY_URL_ENV: Key = Key::new(
    "proxy_url_env",
    Written::Text,
    "The name of an environment variable with the URL.",
)
.example("PROXY_URL");

pub(super) const VIA_PROXY: Key = Key::new(
    "via_proxy",
    Written::Boolean,
    "Has the proxy resolve the name, not this machine.",
)
.default("false")
.example("true");

pub(in crate::config) const PROXY: Part = Part {
    keys: &[
        PROXY_URL,
        PROXY_URL_FILE,
        PROXY_URL_ENV,
        Key::new(
            "no_proxy",
            Written::Text,
            "What is connected to without the proxy: names, addresses and networks, with commas.",
        )
        .example("10.0.0.0/8, .svc, .cluster.local"),
    ],
    read: |d| {
        d.no_proxy = no_proxy(d);
        d.config.proxy = proxy(d.reader, &mut d.top, d.env, &d.no_proxy);
    },
    compare: Compare::Whole("proxy_url, no_proxy", |old, new| old.proxy != new.proxy),
    restart: Restart::No,
};

fn no_proxy(d: &mut Decoding<'_>) -> Arc<NoProxy> {
    let Some((node, path)) = d.top.take("no_proxy") else {
        return Arc::default();
    };
    let text = d.reader.text(node, &path).unwrap_or_default();
    let no_proxy = NoProxy::parse(text).unwrap_or_else(|entry| {
        let message = format!("{path}: {entry:?} is not a name, address or network");
        let advice =
            "write what is connected to without the proxy, as in 10.0.0.0/8, .svc, git.example.com:443";
        d.reader.fail(node.at, message, advice);
        NoProxy::default()
    });
    Arc::new(no_proxy)
}

/// Reads the proxy that a section names, if it names one.
pub(super) fn proxy(
    reader: &mut Reader,
    section: &mut Section<'_>,
    env: Env<'_>,
    no_proxy: &Arc<NoProxy>,
) -> Option<Arc<Proxy>> {
    let given = URL_KEYS.iter().filter(|key| section.has_any(&[key]));
    match given.count() {
        0 => return None,
        1 => {}
        _ => {
            let message = format!("there is more than one of {}", URL_KEYS.join(", "));
            reader.fail(section.at, message, "give one, best proxy_url_file");
            section.accept(&URL_KEYS);
            return None;
        }
    }
    let url = secret(reader, section, URL_KEYS, env)?;
    let proxy = Proxy::new(url, Arc::clone(no_proxy));
    if !reader.reads_secrets() {
        return Some(Arc::new(proxy));
    }
    match proxy.address() {
        Ok(_) => {}
        // As for other secrets: the file may be written later.
        Err(ProxyUrlError::Secret(error)) => {
            let advice = "until it can be read, nothing is sent through the proxy";
            reader.warn(section.at, format!("the URL of the proxy: {error}"), advice);
        }
        // It may hold a password: it is not repeated.
        Err(error) => {
            let advice = "write one such as http://user:password@proxy.example.com:3128";
            reader.fail(section.at, format!("the URL of the proxy: {error}"), advice);
        }
    }
    Some(Arc::new(proxy))
}

/// Reads `via_proxy`, which needs a proxy.
pub(super) fn via_proxy(reader: &mut Reader, section: &mut Section<'_>, has_proxy: bool) -> bool {
    let Some((key, node, path)) = section.find("via_proxy") else {
        return false;
    };
    let via_proxy = reader.value(node, &path, key).unwrap_or(false);
    if via_proxy && !has_proxy {
        let message = format!("{path} is set, and there is no proxy");
        let advice = "add proxy_url: http://HOST:PORT at the top";
        reader.fail(node.at, message, advice);
    }
    via_proxy
}
