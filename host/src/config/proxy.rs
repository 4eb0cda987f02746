//! `proxy_url` and `no_proxy`: by which way requests leave, spelled as Prometheus spells them.

use std::sync::Arc;

use super::credentials::secret;
use super::sections::Env;
use super::yaml::{Node, Reader, Section};
use crate::runtime::{NoProxy, Proxy, ProxyUrlError};

/// The keys that name a proxy.
const URL_KEYS: [&str; 3] = ["proxy_url", "proxy_url_file", "proxy_url_env"];

pub(super) fn no_proxy(reader: &mut Reader, node: Option<(&Node, String)>) -> Arc<NoProxy> {
    let Some((node, path)) = node else {
        return Arc::default();
    };
    let text = reader.text(node, &path).unwrap_or_default();
    let no_proxy = NoProxy::parse(text).unwrap_or_else(|entry| {
        let message = format!("{path}: {entry:?} is no name, address or network");
        let advice =
            "write what is asked without the proxy, as in 10.0.0.0/8, .svc, git.example.com:443";
        reader.fail(node.at, message, advice);
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
            for key in URL_KEYS {
                section.take(key);
            }
            return None;
        }
    }
    let url = secret(reader, section, URL_KEYS, env)?;
    let proxy = Proxy::new(url, Arc::clone(no_proxy));
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
pub(super) fn via_proxy(
    reader: &mut Reader,
    node: Option<(&Node, String)>,
    has_proxy: bool,
) -> bool {
    let Some((node, path)) = node else {
        return false;
    };
    let via_proxy = reader.boolean(node, &path).unwrap_or(false);
    if via_proxy && !has_proxy {
        let message = format!("{path} is set, and there is no proxy");
        reader.fail(
            node.at,
            message,
            "add proxy_url: http://HOST:PORT at the top",
        );
    }
    via_proxy
}
