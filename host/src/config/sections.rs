//! Decodes the parts of the file, one function for each.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use url::Url;

use super::yaml::{Node, Place, Reader, Section};
use super::{
    Api, Authorization, Credential, CredentialKind, Retention, Secret, SecretSource, SlackRate,
    Store, Webhook,
};
use crate::policy::HttpGrant;

/// Where Kubernetes puts a pod's own token and the CA of its API server.
const SERVICE_ACCOUNT_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

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

/// Reads an http or https URL that a path can be added to.
pub(super) fn parse_base_url(text: &str) -> Option<Url> {
    let mut url = Url::parse(text).ok()?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || url.query().is_some() {
        return None;
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Some(url)
}

pub(super) fn retention(reader: &mut Reader, node: Option<(&Node, String)>) -> Retention {
    let mut retention = Retention::default();
    let Some((node, path)) = node else {
        return retention;
    };
    let mut section = reader.section(node, &path);
    if let Some((node, path)) = section.take("time")
        && let Some(time) = reader.duration(node, &path)
    {
        retention.time = time;
    }
    if let Some((node, path)) = section.take("size")
        && let Some(size) = reader.size(node, &path)
    {
        retention.size_bytes_max = size;
    }
    section.finish(reader, &[]);
    retention
}

pub(super) fn webhook(reader: &mut Reader, node: Option<(&Node, String)>, env: Env<'_>) -> Webhook {
    let mut webhook = Webhook::default();
    let Some((node, path)) = node else {
        return webhook;
    };
    let mut section = reader.section(node, &path);
    webhook.authorization = inbound(reader, &mut section, env);
    if let Some((node, path)) = section.take("body_bytes_max")
        && let Some(size) = reader.size(node, &path)
    {
        webhook.body_bytes_max = size;
    }
    if let Some((node, path)) = section.take("queue_depth_max")
        && let Some(count) = reader.count(node, &path)
    {
        webhook.queue_depth_max = count;
    }
    section.finish(reader, &[]);
    webhook
}

pub(super) fn api(reader: &mut Reader, node: Option<(&Node, String)>, env: Env<'_>) -> Api {
    let Some((node, path)) = node else {
        return Api::default();
    };
    let mut section = reader.section(node, &path);
    let authorization = inbound(reader, &mut section, env);
    section.finish(reader, &[]);
    Api { authorization }
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

fn authorization(
    reader: &mut Reader,
    section: &mut Section<'_>,
    env: Env<'_>,
) -> Option<Authorization> {
    let scheme = section.take("authorization");
    let basic = section.take("basic_auth");
    match (scheme, basic) {
        (Some((node, _)), Some(_)) => {
            let message = format!("{} has authorization and basic_auth", section.path);
            reader.fail(node.at, message, "keep one of them");
            None
        }
        (Some((node, path)), None) => {
            let mut section = reader.section(node, &path);
            let scheme = section
                .take("type")
                .and_then(|(node, path)| {
                    reader.scalar(node, &path, "one word, such as Bearer", |text| {
                        let is_token = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
                        (is_token && !text.is_empty()).then(|| text.to_owned())
                    })
                })
                .unwrap_or_else(|| "Bearer".to_owned());
            let names = ["credentials", "credentials_file", "credentials_env"];
            let credentials = secret(reader, &mut section, names, env);
            section.finish(reader, &[]);
            Some(Authorization::Scheme {
                scheme,
                credentials: credentials?,
            })
        }
        (None, Some((node, path))) => {
            let mut section = reader.section(node, &path);
            let username = section
                .take("username")
                .and_then(|(node, path)| reader.text(node, &path))
                .map(str::to_owned);
            if !section.has_any(&["username"]) {
                let message = format!("{path} has no username");
                reader.fail(node.at, message, "add username");
            }
            let names = ["password", "password_file", "password_env"];
            let password = secret(reader, &mut section, names, env);
            section.finish(reader, &[]);
            Some(Authorization::Basic {
                username: username?,
                password: password?,
            })
        }
        (None, None) => None,
    }
}

/// Reads a secret that stands in the file itself, in another file, or in a variable.
fn secret(
    reader: &mut Reader,
    section: &mut Section<'_>,
    [inline, file, variable]: [&'static str; 3],
    env: Env<'_>,
) -> Option<SecretSource> {
    let given = [
        section.take(inline),
        section.take(file),
        section.take(variable),
    ];
    let count = given.iter().flatten().count();
    if count != 1 {
        let message = format!(
            "{} has {count} of {inline}, {file} and {variable}",
            section.path
        );
        reader.fail(section.at, message, format!("give one, best {file}"));
        return None;
    }
    let [inline, file, variable] = given;
    if let Some((node, path)) = inline {
        let text = reader.text(node, &path)?;
        return Some(SecretSource::value(Secret::new(text)));
    }
    if let Some((node, path)) = file {
        let text = reader.text(node, &path)?;
        return Some(SecretSource::file(reader.resolve(text)));
    }
    let (node, path) = variable?;
    let name = reader.text(node, &path)?;
    let Some(value) = env(name) else {
        let message = format!("{path} names the variable {name}, which is not set");
        reader.fail(node.at, message, "set it before the server starts");
        return None;
    };
    Some(SecretSource::value(Secret::new(&value)))
}

pub(super) fn slack(reader: &mut Reader, node: Option<(&Node, String)>) -> SlackSection {
    let mut slack = SlackSection::default();
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
        slack.channels = Some(texts_by_name(reader, node, &path));
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
    }
    section.finish(reader, &[]);
    slack
}

fn slack_rate(reader: &mut Reader, node: &Node, path: &str) -> SlackRate {
    let mut rate = SlackRate::default();
    let mut section = reader.section(node, path);
    if let Some((node, path)) = section.take("per_second") {
        let what = "a number, 0 or more; 0 is off";
        let per_second = reader.scalar(node, &path, what, |text| {
            let number = text.parse::<f64>().ok()?;
            (number.is_finite() && number >= 0.0).then_some(number)
        });
        rate.per_second = per_second.unwrap_or(rate.per_second);
    }
    if let Some((node, path)) = section.take("burst") {
        rate.burst = reader.count(node, &path).unwrap_or(rate.burst);
    }
    section.finish(reader, &[]);
    rate
}

fn texts_by_name(reader: &mut Reader, node: &Node, path: &str) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for entry in reader.entries(node, path) {
        let path = format!("{path}.{}", entry.key);
        if let Some(text) = reader.text(&entry.value, &path) {
            texts.insert(entry.key.clone(), text.to_owned());
        } else {
            let message = format!("{path} has no value");
            let advice = "write the channel in quotes (a bare # begins a comment), or its id";
            reader.fail(entry.at, message, advice);
        }
    }
    texts
}

pub(super) fn credentials(
    reader: &mut Reader,
    node: Option<(&Node, String)>,
    env: Env<'_>,
) -> BTreeMap<String, Arc<Credential>> {
    let mut credentials = BTreeMap::new();
    let Some((node, path)) = node else {
        return credentials;
    };
    for entry in reader.entries(node, &path) {
        let path = format!("{path}.{}", entry.key);
        if let Some(credential) = credential(reader, &entry.value, &path, env) {
            credentials.insert(entry.key.clone(), Arc::new(credential));
        }
    }
    credentials
}

fn credential(reader: &mut Reader, node: &Node, path: &str, env: Env<'_>) -> Option<Credential> {
    let mut section = reader.section(node, path);
    let header = section.take("header");
    let service_account = section.take("service_account");
    let authorization = authorization(reader, &mut section, env).map(CredentialKind::Authorization);
    let header = header.and_then(|(node, path)| header_kind(reader, node, &path, env));
    let account = service_account.and_then(|(node, path)| account_kind(reader, node, &path));
    let mut kinds: Vec<_> = [authorization, header, account]
        .into_iter()
        .flatten()
        .collect();

    let mut origins = Vec::new();
    if let Some((node, path)) = section.take("origins") {
        for (at, text) in reader.texts(node, &path) {
            match HttpGrant::parse(text) {
                Ok(origin) => origins.push(origin),
                Err(error) => {
                    let advice = "write an origin such as https://api.github.com";
                    reader.fail(at, format!("{path}: {error}"), advice);
                }
            }
        }
    } else {
        let message = format!("{path} has no origins, so it would be sent nowhere");
        reader.fail(node.at, message, "add origins: [\"https://HOST\"]");
    }
    if kinds.len() > 1 {
        let message = format!("{path} says more than once what to send");
        reader.fail(
            node.at,
            message,
            "keep one of authorization, basic_auth, header, service_account",
        );
    } else if kinds.is_empty() && !section.has_any(&["authorization", "basic_auth", "header"]) {
        let message = format!("{path} does not say what to send");
        reader.fail(
            node.at,
            message,
            "add authorization, basic_auth, header or service_account: true",
        );
    }
    section.finish(reader, &[]);
    let kind = kinds.pop()?;
    warn_unreadable(reader, node.at, path, &kind);
    Some(Credential { kind, origins })
}

fn header_kind(
    reader: &mut Reader,
    node: &Node,
    path: &str,
    env: Env<'_>,
) -> Option<CredentialKind> {
    let mut section = reader.section(node, path);
    let name = section.take("name").and_then(|(node, path)| {
        reader.scalar(
            node,
            &path,
            "the name of a header, such as X-Api-Key",
            |text| {
                http::HeaderName::from_bytes(text.as_bytes())
                    .ok()
                    .map(|_| text.to_owned())
            },
        )
    });
    if !section.has_any(&["name"]) {
        reader.fail(
            node.at,
            format!("{path} has no name"),
            "add name: X-Api-Key",
        );
    }
    let names = ["value", "value_file", "value_env"];
    let value = secret(reader, &mut section, names, env);
    section.finish(reader, &[]);
    Some(CredentialKind::Header {
        name: name?,
        value: value?,
    })
}

/// Reads `true`, or where the token and the CA lie instead.
fn account_kind(reader: &mut Reader, node: &Node, path: &str) -> Option<CredentialKind> {
    let folder = PathBuf::from(SERVICE_ACCOUNT_DIR);
    let (mut token_file, mut ca_file) = (folder.join("token"), folder.join("ca.crt"));
    if node.is_mapping() {
        let mut section = reader.section(node, path);
        for (key, file) in [("token_file", &mut token_file), ("ca_file", &mut ca_file)] {
            if let Some((node, path)) = section.take(key)
                && let Some(text) = reader.text(node, &path)
            {
                *file = reader.resolve(text);
            }
        }
        section.finish(reader, &[]);
    } else if !reader.boolean(node, path)? {
        return None;
    }
    Some(CredentialKind::ServiceAccount {
        token: SecretSource::file(token_file),
        ca_file,
    })
}

/// A credential that cannot be read fails the requests that name it; it is no reason to leave every
/// alert unanswered.
fn warn_unreadable(reader: &mut Reader, at: Place, path: &str, kind: &CredentialKind) {
    let source = match kind {
        CredentialKind::Authorization(
            Authorization::Scheme { credentials, .. }
            | Authorization::Basic {
                password: credentials,
                ..
            },
        ) => credentials,
        CredentialKind::Header { value, .. } => value,
        CredentialKind::ServiceAccount { token, .. } => token,
    };
    if let Err(error) = source.read() {
        let advice = "until it can be read, requests that use it fail";
        reader.warn(at, format!("{path}: {error}"), advice);
    }
}
