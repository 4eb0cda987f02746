//! Decodes `credentials`, and what they share with the server's own doors.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::placeholder;
use super::sections::Env;
use super::yaml::{Node, Place, Reader, Section};
use crate::policy::HttpGrant;
use crate::runtime::{Credential, CredentialKind};
use crate::secret::Authorization;
use crate::secret::{Secret, SecretSource};

/// Where Kubernetes puts a pod's own token and the CA of its API server.
const SERVICE_ACCOUNT_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

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
                Ok(origin) => {
                    if let Some(left) = placeholder(text) {
                        let message = format!("{path}: {left:?} is a placeholder");
                        let advice = "write the name of the host that is meant";
                        reader.mistake(at, message, advice);
                    }
                    origins.push(origin);
                }
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
    section.finish(reader);
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
    section.finish(reader);
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
        section.finish(reader);
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

/// Reads `authorization` or `basic_auth`, as Prometheus spells them.
pub(super) fn authorization(
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
            section.finish(reader);
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
            section.finish(reader);
            Some(Authorization::Basic {
                username: username?,
                password: password?,
            })
        }
        (None, None) => None,
    }
}

/// Reads a secret that stands in the file itself, in another file, or in a variable.
pub(super) fn secret(
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
    let Some(value) = env(name).map(Zeroizing::new) else {
        let message = format!("{path} names the variable {name}, which is not set");
        reader.fail(node.at, message, "set it before the server starts");
        return None;
    };
    Some(SecretSource::value(Secret::new(&value)))
}
