//! `handlers.NAME.allow`: what a handler may reach.

use std::collections::BTreeSet;

use super::proxy::{VIA_PROXY, via_proxy};
use crate::config::closest;
use crate::config::key::{Key, Written};
use crate::config::node::Node;
use crate::config::reader::Reader;
use crate::config::section::Section;
use crate::policy::{Grants, HttpGrant};
use crate::shapes;

pub(super) const ALLOW_KEYS: &[Key] = &[
    Key::new(
        "http",
        Written::ScalarsOrItems("origins such as https://api.github.com", HTTP_KEYS),
        "Where the handler may send requests: origins, or mappings with the keys below.",
    )
    .example("[\"https://api.github.com\"]"),
    Key::new(
        "slack",
        Written::Texts,
        "The names of `slack.channels` that it may post to.",
    )
    .example("[alerts]"),
    Key::new(
        "credentials",
        Written::Texts,
        "The names of `credentials` that it may use.",
    )
    .example("[github]"),
];

const HTTP_KEYS: &[Key] = &[
    Key::new(
        "url",
        Written::Scalar("an origin such as https://api.github.com"),
        "An origin; a path is a prefix, `*.` stands for any subdomain.",
    )
    .example("https://api.github.com/repos"),
    Key::new("methods", Written::Texts, "The methods that are allowed.")
        .default("all")
        .example("[GET, POST]"),
    Key::new(
        "headers",
        Written::Texts,
        "Headers that could lead a request past its grant, and are sent only if they are named here.",
    )
    .example("[X-HTTP-Method-Override]"),
    Key::new(
        "addresses",
        Written::Texts,
        "Addresses that a public name may resolve to in addition to public ones: `private`, or networks.",
    )
    .example("[private, 10.0.0.0/8]"),
    Key::new("ca_file", Written::Path, "The CA that is trusted for the origin, PEM.")
        .example("/etc/ssl/internal-ca.crt"),
    VIA_PROXY,
];

/// The names that grants may use.
pub(super) struct Grantable {
    pub(super) channels: BTreeSet<String>,
    pub(super) credentials: BTreeSet<String>,
    /// True if there is a `proxy_url`.
    pub(super) has_proxy: bool,
}

/// Reads `allow`.
pub(super) fn grants(
    reader: &mut Reader,
    mut section: Section<'_>,
    grantable: &Grantable,
) -> Grants {
    let mut grants = Grants::default();
    if let Some((key, node, path)) = section.find("http") {
        for item in reader.items(node, &path) {
            let grant = http_grant(reader, key, item, &path, grantable.has_proxy);
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
            // In place of a credential's name there may be the secret itself.
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

/// Reads an origin, or a mapping with one.
fn http_grant(
    reader: &mut Reader,
    key: &'static Key,
    node: &Node,
    path: &str,
    has_proxy: bool,
) -> Option<HttpGrant> {
    if node.is_mapping() {
        let section = Section::open(reader, node, path, key.written.keys());
        return detailed_grant(reader, section, has_proxy);
    }
    let text = reader.text(node, path)?;
    let grant = origin(reader, node, path, text)?;
    refuse_unusable(reader, node, path, &grant);
    Some(grant)
}

fn origin(reader: &mut Reader, node: &Node, path: &str, text: &str) -> Option<HttpGrant> {
    HttpGrant::parse(text)
        .map_err(|error| {
            let advice = "write an origin such as https://api.github.com";
            reader.fail(node.at, format!("{path}: {error}"), advice);
        })
        .ok()
}

fn detailed_grant(
    reader: &mut Reader,
    mut section: Section<'_>,
    has_proxy: bool,
) -> Option<HttpGrant> {
    let url = section.take("url");
    let methods = section.take("methods");
    let headers = section.take("headers");
    let addresses = section.take("addresses");
    let ca_file = section.take("ca_file");
    let via_proxy = via_proxy(reader, &mut section, has_proxy);
    let (at, path) = (section.at, section.path.clone());
    section.finish(reader);
    let Some((url_node, url_path)) = url else {
        let message = format!("{path} has an entry without url");
        reader.fail(at, message, "add url: https://HOST");
        return None;
    };
    let text = reader.text(url_node, &url_path)?;
    let mut grant = origin(reader, url_node, &url_path, text)?;
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
    refuse_unusable(reader, url_node, &url_path, &grant);
    Some(grant)
}

/// Reports a grant that no request can use.
fn refuse_unusable(reader: &mut Reader, node: &Node, path: &str, grant: &HttpGrant) {
    reader.refuse_placeholder(node, path);
    let is_this_machine = |name: &str| {
        name == "localhost" || name.ends_with(".localhost") || name.ends_with(".localdomain")
    };
    if grant.name().is_some_and(is_this_machine) && !grant.has_names_resolved_by_proxy() {
        let message = format!(
            "{path}: {grant} leads to this machine itself, which needs a grant of the literal address"
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
