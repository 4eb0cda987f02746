//! `credentials`: what the server adds to requests of handlers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::access::{
    AUTHORIZATION, BASIC_AUTH, authorization, in_file, in_variable, inline, secret, secret_of,
};
use crate::config::compare::{Compare, Restart, entries};
use crate::config::decode::{Decoding, Env, Part};
use crate::config::key::{Key, Written};
use crate::config::node::{Node, Place};
use crate::config::placeholder;
use crate::config::reader::Reader;
use crate::config::section::Section;
use crate::policy::HttpGrant;
use crate::runtime::{Credential, CredentialKind};
use crate::secret::SecretSource;

/// The folder with a pod's own token and the CA of the API server, made by Kubernetes.
const SERVICE_ACCOUNT_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

pub(in crate::config) const CREDENTIALS: Part = Part {
    keys: &[Key::new(
        "credentials",
        Written::Named(CREDENTIAL_KEYS),
        "What the server adds to requests of handlers, by names that handlers use. A handler never sees a credential. Give \
         each its `origins` and one of `authorization`, `basic_auth`, `header`, `service_account`.",
    )],
    read: credentials,
    compare: Compare::Entries(|old, new| {
        let (old, new) = (&old.credentials, &new.credentials);
        entries("credentials", old, new, |_, _| String::new())
    }),
    restart: Restart::No,
};

const CREDENTIAL_KEYS: &[Key] = &[
    AUTHORIZATION,
    BASIC_AUTH,
    Key::new("header", Written::Mapping(HEADER_KEYS), "A header of another name."),
    Key::new(
        "service_account",
        Written::ScalarOrMapping("true", SERVICE_ACCOUNT_KEYS),
        "The token of a service account of Kubernetes, which is read again when it changes; its CA is trusted. `true` is \
         the pod's own.",
    )
    .example("true"),
    Key::new(
        "origins",
        Written::Texts,
        "The only origins that it is sent to; `*.` stands for any subdomain.",
    )
    .example("[\"https://api.github.com\"]"),
];

const HEADER_KEYS: &[Key] = &[
    Key::new(
        "name",
        Written::Scalar("the name of a header, such as X-Api-Key"),
        "The header's name.",
    )
    .example("X-Api-Key"),
    inline("value"),
    in_file("value_file"),
    in_variable("value_env"),
];

const SERVICE_ACCOUNT_KEYS: &[Key] = &[
    Key::new("token_file", Written::Path, "The file with the token.")
        .default("/var/run/secrets/kubernetes.io/serviceaccount/token")
        .example("/etc/kubernetes/token"),
    Key::new(
        "ca_file",
        Written::Path,
        "The file with the CA of the API server, PEM.",
    )
    .default("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")
    .example("/etc/kubernetes/ca.crt"),
];

fn credentials(d: &mut Decoding<'_>) {
    let Some((key, node, path)) = d.top.find("credentials") else {
        return;
    };
    let mut credentials = BTreeMap::new();
    for entry in d.reader.entries(node, &path) {
        let path = format!("{path}.{}", entry.key);
        let section = Section::open(d.reader, &entry.value, &path, key.written.keys());
        if let Some(credential) = credential(d.reader, section, d.env) {
            credentials.insert(entry.key.clone(), Arc::new(credential));
        }
    }
    d.config.credentials = credentials;
}

fn credential(reader: &mut Reader, mut section: Section<'_>, env: Env<'_>) -> Option<Credential> {
    let authorization = authorization(reader, &mut section, env).map(CredentialKind::Authorization);
    let header = section.below(reader, "header");
    let header = header.and_then(|section| header_kind(reader, section, env));
    let account = section.find("service_account");
    let account = account.and_then(|(key, node, path)| account_kind(reader, key, node, &path));
    let mut kinds: Vec<_> = [authorization, header, account]
        .into_iter()
        .flatten()
        .collect();
    let origins = origins(reader, &mut section);
    let (at, path) = (section.at, section.path.clone());
    if kinds.len() > 1 {
        let message = format!("{path} says more than once what to send");
        let advice = "keep one of authorization, basic_auth, header, service_account";
        reader.fail(at, message, advice);
    } else if kinds.is_empty() && !section.has_any(&["authorization", "basic_auth", "header"]) {
        let message = format!("{path} does not say what to send");
        let advice = "add authorization, basic_auth, header or service_account: true";
        reader.fail(at, message, advice);
    }
    section.finish(reader);
    let kind = kinds.pop()?;
    warn_unreadable(reader, at, &path, &kind);
    Some(Credential { kind, origins })
}

fn origins(reader: &mut Reader, section: &mut Section<'_>) -> Vec<HttpGrant> {
    let mut origins = Vec::new();
    let Some((node, path)) = section.take("origins") else {
        let message = format!(
            "{} has no origins, so it would be sent nowhere",
            section.path
        );
        reader.fail(section.at, message, "add origins: [\"https://HOST\"]");
        return origins;
    };
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
    origins
}

fn header_kind(
    reader: &mut Reader,
    mut section: Section<'_>,
    env: Env<'_>,
) -> Option<CredentialKind> {
    let name = section.parsed(reader, "name", |text| {
        let name = http::HeaderName::from_bytes(text.as_bytes());
        name.is_ok().then(|| text.to_owned())
    });
    if !section.has_any(&["name"]) {
        let message = format!("{} has no name", section.path);
        reader.fail(section.at, message, "add name: X-Api-Key");
    }
    let names = ["value", "value_file", "value_env"];
    let value = secret(reader, &mut section, names, env);
    section.finish(reader);
    Some(CredentialKind::Header {
        name: name?,
        value: value?,
    })
}

/// Reads `true`, or the files of the token and the CA.
fn account_kind(
    reader: &mut Reader,
    key: &'static Key,
    node: &Node,
    path: &str,
) -> Option<CredentialKind> {
    let folder = PathBuf::from(SERVICE_ACCOUNT_DIR);
    let (mut token_file, mut ca_file) = (folder.join("token"), folder.join("ca.crt"));
    if node.is_mapping() {
        let mut section = Section::open(reader, node, path, key.written.keys());
        for (name, file) in [("token_file", &mut token_file), ("ca_file", &mut ca_file)] {
            if let Some(text) = section.text(reader, name) {
                *file = reader.resolve(text);
            }
        }
        section.finish(reader);
    } else if !reader.scalar(node, path, &Written::Boolean.expected(), |text| {
        text.parse::<bool>().ok()
    })? {
        return None;
    }
    Some(CredentialKind::ServiceAccount {
        token: SecretSource::file(token_file),
        ca_file,
    })
}

/// Warns if a credential cannot be read. The requests that name it fail until it can be; other alerts are answered.
fn warn_unreadable(reader: &mut Reader, at: Place, path: &str, kind: &CredentialKind) {
    let source = match kind {
        CredentialKind::Authorization(authorization) => secret_of(authorization),
        CredentialKind::Header { value, .. } => value,
        CredentialKind::ServiceAccount { token, .. } => token,
    };
    if let Some(error) = reader.unreadable(source) {
        let advice = "until it can be read, requests that use it fail";
        reader.warn(at, format!("{path}: {error}"), advice);
    }
}
