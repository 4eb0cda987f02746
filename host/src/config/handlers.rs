//! Decodes `handlers`: what each one may reach, use and be told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::closest;
use super::limits;
use super::proxy::via_proxy;
use super::yaml::{Node, Reader, Section};
use crate::alert::HandlerName;
use crate::policy::{Grants, HttpGrant};
use crate::shapes;
use crate::units::format_duration;
use crate::worker::{EnrichBudget, HandlerSettings, Retry};

/// The names that grants may use.
pub(super) struct Grantable {
    pub(super) channels: BTreeSet<String>,
    pub(super) credentials: BTreeSet<String>,
    /// Whether there is a `proxy_url`.
    pub(super) has_proxy: bool,
}

pub(super) fn handlers(
    reader: &mut Reader,
    node: Option<(&Node, String)>,
    grantable: &Grantable,
) -> BTreeMap<HandlerName, Arc<HandlerSettings>> {
    let mut handlers = BTreeMap::new();
    let Some((node, path)) = node else {
        return handlers;
    };
    for entry in reader.entries(node, &path) {
        if !is_kebab_case(&entry.key) {
            let message = format!("{:?} is no name of a handler", entry.key);
            reader.fail(
                entry.at,
                message,
                "a name is in kebab-case, as in slack-notify",
            );
        }
        let path = format!("{path}.{}", entry.key);
        let settings = settings(reader, &entry.value, &path, grantable);
        handlers.insert(HandlerName::new(&entry.key), Arc::new(settings));
    }
    handlers
}

/// Returns true for lower-case words of letters and digits, joined by single hyphens.
pub(super) fn is_kebab_case(name: &str) -> bool {
    name.split('-').all(|word| {
        !word.is_empty()
            && word
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    })
}

/// Reads a mapping of settings: scalars as written, lists and mappings as JSON.
pub(super) fn settings_map(
    reader: &mut Reader,
    node: Option<(&Node, String)>,
) -> Arc<BTreeMap<String, String>> {
    let Some((node, path)) = node else {
        return Arc::default();
    };
    let entries = reader.entries(node, &path);
    let pairs = entries
        .iter()
        .map(|entry| (entry.key.clone(), entry.value.as_setting()));
    Arc::new(pairs.collect())
}

fn settings(
    reader: &mut Reader,
    node: &Node,
    path: &str,
    grantable: &Grantable,
) -> HandlerSettings {
    let mut section = reader.section(node, path);
    let sha256 = section.take("sha256").and_then(|(node, path)| {
        let what = "64 hexadecimal digits, as sha256sum prints them";
        reader.scalar(node, &path, what, parse_sha256)
    });
    let grants = match section.take("allow") {
        Some((node, path)) => grants(reader, node, &path, grantable),
        None => Grants::default(),
    };
    let limits = limits::of_handler(reader, section.take("limits"));
    let enrich = enrich(reader, &mut section, limits.wall_max);
    let retry = retry(reader, &mut section);
    let config = settings_map(reader, section.take("config"));
    section.finish(reader);
    HandlerSettings {
        sha256,
        grants: Arc::new(grants),
        limits,
        enrich,
        retry,
        config,
    }
}

fn parse_sha256(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, i) in digest.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[i..i + 2], 16).ok()?;
    }
    Some(digest)
}

fn grants(reader: &mut Reader, node: &Node, path: &str, grantable: &Grantable) -> Grants {
    let mut section = reader.section(node, path);
    let mut grants = Grants::default();
    if let Some((node, path)) = section.take("http") {
        for item in reader.items(node, &path) {
            let grant = http_grant(reader, item, &path, grantable.has_proxy);
            grants.http.extend(grant);
        }
    }
    if let Some((node, path)) = section.take("slack") {
        let known = (&grantable.channels, "slack.channels");
        grants.slack = names(reader, node, &path, known);
    }
    if let Some((node, path)) = section.take("credentials") {
        let known = (&grantable.credentials, "credentials");
        grants.credentials = names(reader, node, &path, known);
    }
    section.finish(reader);
    grants
}

fn names(
    reader: &mut Reader,
    node: &Node,
    path: &str,
    (known, section): (&BTreeSet<String>, &str),
) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, name) in reader.texts(node, path) {
        if !known.contains(name) {
            let list: Vec<_> = known.iter().map(String::as_str).collect();
            let advice = if let Some(meant) = closest(name, &list) {
                format!("did you mean {meant}? Else add it below {section}")
            } else if list.is_empty() {
                format!("add it below {section}")
            } else {
                format!(
                    "add it below {section}, or grant one of {}",
                    list.join(", ")
                )
            };
            // What stands where a credential's name belongs may be the secret itself.
            let message = if section == "credentials" {
                format!(
                    "{path} names a credential that is not below {section} (its name is not shown, since it may be the secret itself)"
                )
            } else {
                let mut name = name.to_owned();
                shapes::mask_named(section, &mut name);
                format!("{path} names {name}, which {section} does not have")
            };
            reader.fail(at, message, advice);
        }
        names.insert(name.to_owned());
    }
    names
}

/// Reads an origin, or `{ url, methods, headers, addresses, ca_file, via_proxy }`.
fn http_grant(reader: &mut Reader, node: &Node, path: &str, has_proxy: bool) -> Option<HttpGrant> {
    const ADVICE: &str = "write an origin such as https://api.github.com";
    if !node.is_mapping() {
        let text = reader.text(node, path)?;
        let grant = HttpGrant::parse(text)
            .map_err(|error| reader.fail(node.at, format!("{path}: {error}"), ADVICE))
            .ok()?;
        refuse_what_leads_nowhere(reader, node, path, &grant);
        return Some(grant);
    }
    let mut section = reader.section(node, path);
    let url = section.take("url");
    let methods = section.take("methods");
    let headers = section.take("headers");
    let addresses = section.take("addresses");
    let ca_file = section.take("ca_file");
    let via_proxy = via_proxy(reader, section.take("via_proxy"), has_proxy);
    section.finish(reader);
    let Some((url_node, url_path)) = url else {
        let message = format!("{path} has an entry without url");
        reader.fail(node.at, message, "add url: https://HOST");
        return None;
    };
    let text = reader.text(url_node, &url_path)?;
    let mut grant = HttpGrant::parse(text)
        .map_err(|error| reader.fail(url_node.at, format!("{url_path}: {error}"), ADVICE))
        .ok()?;
    if let Some((node, path)) = methods {
        let methods = reader.texts(node, &path);
        let advice = "write methods as in [GET, POST]";
        grant = grant
            .with_methods(methods.iter().map(|(_, text)| *text))
            .map_err(|error| reader.fail(node.at, format!("{path}: {error}"), advice))
            .ok()?;
    }
    if let Some((node, path)) = headers {
        let headers = reader.texts(node, &path);
        let advice = "write headers as in [X-HTTP-Method-Override]";
        grant = grant
            .with_headers(headers.iter().map(|(_, text)| *text))
            .map_err(|error| reader.fail(node.at, format!("{path}: {error}"), advice))
            .ok()?;
    }
    if let Some((node, path)) = addresses {
        let addresses = reader.texts(node, &path);
        let advice = "write addresses as in [private] or [10.0.0.0/8]";
        grant = grant
            .with_addresses(addresses.iter().map(|(_, text)| *text))
            .map_err(|error| reader.fail(node.at, format!("{path}: {error}"), advice))
            .ok()?;
    }
    if let Some((node, path)) = ca_file {
        let text = reader.text(node, &path)?;
        let file = reader.resolve(text);
        if !file.is_file() {
            let message = format!("{path}: there is no file {}", file.display());
            reader.warn(node.at, message, "until it is there, those requests fail");
        }
        grant = grant.with_ca_file(file);
    }
    if via_proxy {
        grant = grant.with_names_resolved_by_proxy();
    }
    refuse_what_leads_nowhere(reader, url_node, &url_path, &grant);
    Some(grant)
}

/// A grant that no request can make use of.
fn refuse_what_leads_nowhere(reader: &mut Reader, node: &Node, path: &str, grant: &HttpGrant) {
    reader.refuse_placeholder(node, path);
    let is_this_machine = |name: &str| {
        name == "localhost" || name.ends_with(".localhost") || name.ends_with(".localdomain")
    };
    if grant.name().is_some_and(is_this_machine) && !grant.has_names_resolved_by_proxy() {
        let message = format!(
            "{path}: {grant} leads to this machine itself, which only a grant of the very address opens"
        );
        let port = grant.url().and_then(|url| url.port());
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let scheme = if grant.to_string().starts_with("https") {
            "https"
        } else {
            "http"
        };
        let advice = format!("write {scheme}://127.0.0.1{port}, also in the handler's settings");
        reader.mistake(node.at, message, advice);
    }
}

fn enrich(reader: &mut Reader, settings: &mut Section<'_>, wall: Duration) -> EnrichBudget {
    let mut enrich = EnrichBudget::default();
    let Some((node, path)) = settings.take("enrich") else {
        return enrich;
    };
    let mut section = reader.section(node, &path);
    if let Some((node, path)) = section.take("attempts")
        && let Some(count) = reader.count(node, &path)
    {
        enrich.attempts_max = count;
    }
    if let Some((node, path)) = section.take("within")
        && let Some(time) = reader.duration(node, &path)
    {
        enrich.within = time;
        let most = wall.saturating_mul(enrich.attempts_max);
        if time > most {
            let (given, wall, most) = (
                format_duration(time),
                format_duration(wall),
                format_duration(most),
            );
            let message = format!(
                "{path} is {given}, but its {} attempts end after {wall} each (limits.wall)",
                enrich.attempts_max
            );
            reader.warn(
                node.at,
                message,
                format!("write {most} or less, or raise limits.wall"),
            );
        }
    }
    section.finish(reader);
    enrich
}

fn retry(reader: &mut Reader, settings: &mut Section<'_>) -> Retry {
    let mut retry = Retry::default();
    let Some((node, path)) = settings.take("retry") else {
        return retry;
    };
    let mut section = reader.section(node, &path);
    if let Some((node, path)) = section.take("max_attempts")
        && let Some(count) = reader.count(node, &path)
    {
        retry.attempts_max = count;
    }
    for (key, time) in [
        ("min_backoff", &mut retry.backoff_min),
        ("max_backoff", &mut retry.backoff_max),
        ("max_age", &mut retry.age_max),
    ] {
        if let Some((node, path)) = section.take(key)
            && let Some(given) = reader.duration(node, &path)
        {
            *time = given;
        }
    }
    if retry.backoff_min > retry.backoff_max {
        let message = format!("{path}: min_backoff is longer than max_backoff");
        reader.fail(node.at, message, "raise max_backoff or lower min_backoff");
    } else if retry.age_max < retry.backoff_min {
        let (age, backoff) = (
            format_duration(retry.age_max),
            format_duration(retry.backoff_min),
        );
        let message = format!(
            "{path}: max_age ({age}) is shorter than min_backoff ({backoff}), so nothing is tried again"
        );
        reader.warn(node.at, message, "raise max_age or lower min_backoff");
    }
    section.finish(reader);
    retry
}
