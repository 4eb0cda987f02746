//! Decodes the parts of the file, one function for each.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use url::Url;

use super::Store;
use super::credentials::authorization;
use super::proxy::{proxy, via_proxy};
use super::web::{hmac, sender_rate};
use super::yaml::{Node, Place, Reader, Section};
use crate::http::{api, webhook};
use crate::queue;
use crate::runtime::{NoProxy, Proxy, SlackRate};
use crate::secret::Authorization;

/// Looks a variable up; the empty text counts as unset.
pub(super) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// `slack`, before variables and defaults are laid over it.
#[derive(Debug, Default)]
pub(super) struct SlackSection {
    pub(super) token_file: Option<(Place, PathBuf)>,
    pub(super) channels: Option<BTreeMap<String, String>>,
    pub(super) rate: Option<SlackRate>,
    pub(super) preview: bool,
    pub(super) api_url: Option<Url>,
    pub(super) proxy: Option<Arc<Proxy>>,
    pub(super) via_proxy: bool,
}

/// Reads `HOST:PORT`; `:PORT` is every address of the machine, as Prometheus has it.
pub(super) fn parse_listen(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = match host {
        "" => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        "localhost" => IpAddr::from(Ipv4Addr::LOCALHOST),
        _ => host.parse().ok()?,
    };
    Some(SocketAddr::new(address, port))
}

/// Reads `sqlite:FILE`, with the path as written.
pub(super) fn parse_store(text: &str) -> Result<Store, &'static str> {
    if text.starts_with("postgres:") || text.starts_with("postgresql:") {
        return Err("PostgreSQL is not supported by this version: write sqlite:FILE");
    }
    let path = text
        .strip_prefix("sqlite:")
        .map(|path| path.strip_prefix("//").unwrap_or(path))
        .filter(|path| !path.is_empty() && !path.starts_with(':'));
    match path {
        Some(path) => Ok(Store::Sqlite(path.into())),
        None => Err("write sqlite:FILE, as in sqlite:alert-manager.db"),
    }
}

/// Reads an http or https URL.
pub(crate) fn parse_http_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

/// Reads an http or https URL that a path can be added to.
pub(super) fn parse_base_url(text: &str) -> Option<Url> {
    let mut url = parse_http_url(text).filter(|url| url.query().is_none())?;
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Some(url)
}

pub(super) fn retention(
    reader: &mut Reader,
    node: Option<(&Node, String)>,
    queue: &mut queue::Options,
) {
    let Some((node, path)) = node else {
        return;
    };
    let mut section = reader.section(node, &path);
    if let Some((node, path)) = section.take("time")
        && let Some(time) = reader.duration(node, &path)
    {
        queue.retention_time = time;
    }
    if let Some((node, path)) = section.take("size")
        && let Some(size) = reader.size(node, &path)
    {
        queue.retention_bytes_max = size;
    }
    section.finish(reader);
}

pub(super) fn webhook(
    reader: &mut Reader,
    node: Option<(&Node, String)>,
    env: Env<'_>,
    queue: &mut queue::Options,
) -> webhook::Settings {
    let mut webhook = webhook::Settings::default();
    let Some((node, path)) = node else {
        return webhook;
    };
    let mut section = reader.section(node, &path);
    webhook.authorization = inbound(reader, &mut section, env);
    webhook.hmac = hmac(reader, section.take("hmac"), env);
    webhook.rate = sender_rate(reader, section.take("rate"));
    if let Some((node, path)) = section.take("body_bytes_max")
        && let Some(size) = reader.size(node, &path)
    {
        webhook.body_bytes_max = size;
    }
    if let Some((node, path)) = section.take("queue_depth_max")
        && let Some(count) = reader.count(node, &path)
    {
        queue.queue_depth_max = count;
    }
    section.finish(reader);
    webhook
}

pub(super) fn api(
    reader: &mut Reader,
    node: Option<(&Node, String)>,
    env: Env<'_>,
) -> api::Settings {
    let Some((node, path)) = node else {
        return api::Settings::default();
    };
    let mut section = reader.section(node, &path);
    let authorization = inbound(reader, &mut section, env);
    section.finish(reader);
    api::Settings { authorization }
}

/// Reads who may come in, and that its secret can be read: a door that nobody can open is a mistake.
fn inbound(reader: &mut Reader, section: &mut Section<'_>, env: Env<'_>) -> Option<Authorization> {
    let authorization = authorization(reader, section, env)?;
    let (Authorization::Scheme { credentials, .. }
    | Authorization::Basic {
        password: credentials,
        ..
    }) = &authorization;
    if let Err(error) = credentials.read() {
        let advice = "write the secret into that file, or correct the path";
        reader.fail(section.at, format!("{}: {error}", section.path), advice);
    }
    Some(authorization)
}

/// Reads `slack`; `default` is the proxy of the whole configuration.
pub(super) fn slack(
    reader: &mut Reader,
    node: Option<(&Node, String)>,
    env: Env<'_>,
    no_proxy: &Arc<NoProxy>,
    default: Option<&Arc<Proxy>>,
) -> SlackSection {
    let mut slack = SlackSection {
        proxy: default.cloned(),
        ..SlackSection::default()
    };
    let Some((node, path)) = node else {
        return slack;
    };
    let mut section = reader.section(node, &path);
    if let Some((node, path)) = section.take("token_file")
        && let Some(text) = reader.text(node, &path)
    {
        slack.token_file = Some((node.at, reader.resolve(text)));
    }
    if let Some((node, path)) = section.take("channels") {
        let channels = texts_by_name(reader, node, &path);
        for (at, path, text) in channels
            .iter()
            .map(|(name, (at, text))| (*at, format!("{path}.{name}"), text))
        {
            check_channel(reader, at, &path, text);
        }
        warn_of_twins(reader, &channels);
        let channels = channels.into_iter();
        slack.channels = Some(channels.map(|(name, (_, text))| (name, text)).collect());
    }
    if let Some((node, path)) = section.take("rate") {
        slack.rate = Some(slack_rate(reader, node, &path));
    }
    if let Some((node, path)) = section.take("preview") {
        slack.preview = reader.boolean(node, &path).unwrap_or(false);
    }
    if let Some((node, path)) = section.take("api_url") {
        let what = "a URL such as https://slack.com/api/";
        slack.api_url = reader.scalar(node, &path, what, parse_base_url);
        reader.refuse_placeholder(node, &path);
    }
    slack.proxy = proxy(reader, &mut section, env, no_proxy).or(slack.proxy);
    let has_proxy = slack.proxy.is_some();
    slack.via_proxy = via_proxy(reader, section.take("via_proxy"), has_proxy);
    section.finish(reader);
    slack
}

fn slack_rate(reader: &mut Reader, node: &Node, path: &str) -> SlackRate {
    let mut rate = SlackRate::default();
    let mut section = reader.section(node, path);
    if let Some((node, path)) = section.take("per_second") {
        rate.per_second = reader.rate(node, &path).unwrap_or(rate.per_second);
    }
    if let Some((node, path)) = section.take("burst") {
        rate.burst = reader.count(node, &path).unwrap_or(rate.burst);
    }
    section.finish(reader);
    rate
}

/// Compares a channel with how Slack writes names (`#alerts`) and ids (`C0123456789`).
fn check_channel(reader: &mut Reader, at: Place, path: &str, text: &str) {
    const ADVICE: &str = "write its name as Slack shows it (\"#alerts\") or its id (C0123456789)";
    let is_id = text.len() >= 8
        && text.starts_with(['C', 'G', 'D', 'U', 'W'])
        && text
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    let name = text.strip_prefix('#').unwrap_or(text);
    let is_bad =
        |c: char| c.is_whitespace() || c.is_control() || ".,;:!?\"'<>@#()[]{}/|".contains(c);
    if is_id {
        return;
    }
    if name == "CHANNEL" {
        reader.mistake(at, format!("{path}: {text:?} is a placeholder"), ADVICE);
    } else if name.is_empty() || name.contains(is_bad) || name.chars().count() > 80 {
        let message = format!("{path}: {text:?} is no channel that Slack can have");
        reader.mistake(at, message, ADVICE);
    } else if name.chars().any(char::is_uppercase) {
        let message =
            format!("{path}: {text:?} has capitals, and Slack's names of channels have none");
        reader.mistake(at, message, ADVICE);
    } else if name == text {
        let message = format!("{path}: {text:?} is neither a name with its # nor an id");
        reader.warn(at, message, ADVICE);
    }
}

/// Warns of two names for one channel: somebody may have meant another one.
fn warn_of_twins(reader: &mut Reader, channels: &BTreeMap<String, (Place, String)>) {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    let mut in_order: Vec<_> = channels.iter().collect();
    in_order.sort_by_key(|(_, (at, _))| *at);
    for (name, (at, text)) in in_order {
        if let Some(first) = seen.insert(text, name) {
            let message = format!("slack.channels.{name} and {first} are the same channel, {text}");
            reader.warn(
                *at,
                message,
                "name the channel once, or correct one of them",
            );
        }
    }
}

/// Returns each text with its place.
fn texts_by_name(
    reader: &mut Reader,
    node: &Node,
    path: &str,
) -> BTreeMap<String, (Place, String)> {
    let mut texts = BTreeMap::new();
    for entry in reader.entries(node, path) {
        let path = format!("{path}.{}", entry.key);
        if let Some(text) = reader.text(&entry.value, &path) {
            texts.insert(entry.key.clone(), (entry.value.at, text.to_owned()));
        } else {
            let message = format!("{path} has no value");
            let advice = "write the channel in quotes (a bare # begins a comment), or its id";
            reader.fail(entry.at, message, advice);
        }
    }
    texts
}
