//! Secrets, and `authorization` or `basic_auth`: of clients, and of requests that handlers make.

use zeroize::Zeroizing;

use crate::config::decode::Env;
use crate::config::key::{Key, Written};
use crate::config::reader::Reader;
use crate::config::section::Section;
use crate::secret::{Authorization, Secret, SecretSource};

/// Describes a secret that is in the configuration file itself.
pub(super) const fn inline(name: &'static str) -> Key {
    let about = "The secret itself. Better give it in a file.";
    Key::new(name, Written::Text, about).example("a-secret")
}

/// Describes a secret that is in a file of its own.
pub(super) const fn in_file(name: &'static str) -> Key {
    let about = "A file that holds the secret. It is read again when it changes.";
    Key::new(name, Written::Path, about).example("/run/secrets/token")
}

/// Describes a secret that is in an environment variable.
pub(super) const fn in_variable(name: &'static str) -> Key {
    let about = "The name of an environment variable that holds the secret.";
    Key::new(name, Written::Text, about).example("TOKEN")
}

pub(super) const AUTHORIZATION: Key = Key::new(
    "authorization",
    Written::Mapping(AUTHORIZATION_KEYS),
    "A token in the header `Authorization`. Give it in one of three ways.",
);

const AUTHORIZATION_KEYS: &[Key] = &[
    Key::new(
        "type",
        Written::Scalar("one word, such as Bearer"),
        "The scheme of the header `Authorization`.",
    )
    .default("Bearer")
    .example("Token"),
    inline("credentials"),
    in_file("credentials_file"),
    in_variable("credentials_env"),
];

pub(super) const BASIC_AUTH: Key = Key::new(
    "basic_auth",
    Written::Mapping(BASIC_AUTH_KEYS),
    "A user's name and password (basic authentication), in place of `authorization`.",
);

const BASIC_AUTH_KEYS: &[Key] = &[
    Key::new("username", Written::Text, "The user's name.").example("prometheus"),
    inline("password"),
    in_file("password_file"),
    in_variable("password_env"),
];

/// Reads `authorization` or `basic_auth`, spelled as in Prometheus.
pub(super) fn authorization(
    reader: &mut Reader,
    section: &mut Section<'_>,
    env: Env<'_>,
) -> Option<Authorization> {
    let scheme = section.below(reader, "authorization");
    let basic = section.below(reader, "basic_auth");
    match (scheme, basic) {
        (Some(scheme), Some(_)) => {
            let message = format!("{} has authorization and basic_auth", section.path);
            reader.fail(scheme.at, message, "keep one of them");
            None
        }
        (Some(section), None) => token(reader, section, env),
        (None, Some(section)) => password(reader, section, env),
        (None, None) => None,
    }
}

fn token(reader: &mut Reader, mut section: Section<'_>, env: Env<'_>) -> Option<Authorization> {
    let scheme = section.parsed(reader, "type", |text| {
        let is_token = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        (is_token && !text.is_empty()).then(|| text.to_owned())
    });
    let names = ["credentials", "credentials_file", "credentials_env"];
    let credentials = secret(reader, &mut section, names, env);
    section.finish(reader);
    Some(Authorization::Scheme {
        scheme: scheme.unwrap_or_else(|| "Bearer".to_owned()),
        credentials: credentials?,
    })
}

fn password(reader: &mut Reader, mut section: Section<'_>, env: Env<'_>) -> Option<Authorization> {
    let username = section.text(reader, "username").map(str::to_owned);
    if !section.has_any(&["username"]) {
        let message = format!("{} has no username", section.path);
        reader.fail(section.at, message, "add username");
    }
    let names = ["password", "password_file", "password_env"];
    let password = secret(reader, &mut section, names, env);
    section.finish(reader);
    Some(Authorization::Basic {
        username: username?,
        password: password?,
    })
}

/// Reads how clients of an endpoint authenticate. A secret that cannot be read is a problem: nobody could use the endpoint.
pub(super) fn inbound(
    reader: &mut Reader,
    section: &mut Section<'_>,
    env: Env<'_>,
) -> Option<Authorization> {
    let authorization = authorization(reader, section, env)?;
    if let Some(error) = reader.unreadable(secret_of(&authorization)) {
        let advice = "write the secret into that file, or correct the path";
        reader.refuse(section.at, format!("{}: {error}", section.path), advice);
    }
    Some(authorization)
}

/// Returns the secret of an authorization.
pub(super) fn secret_of(authorization: &Authorization) -> &SecretSource {
    match authorization {
        Authorization::Scheme { credentials, .. } => credentials,
        Authorization::Basic { password, .. } => password,
    }
}

/// Reads a secret that is in the configuration file itself, in another file, or in a variable.
pub(super) fn secret(
    reader: &mut Reader,
    section: &mut Section<'_>,
    [inline, file, variable]: [&str; 3],
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
        if reader.reads_secrets() {
            let message = format!("{path} names the variable {name}, which is not set");
            reader.refuse(node.at, message, "set it before the server starts");
        }
        return Some(SecretSource::value(Secret::new("")));
    };
    Some(SecretSource::value(Secret::new(&value)))
}
