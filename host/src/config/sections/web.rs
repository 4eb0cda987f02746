//! `web` and `tls_server_config`: connections of clients.

use std::path::PathBuf;

use crate::config::compare::{Compare, Restart};
use crate::config::decode::{Decoding, Part};
use crate::config::key::{Key, Written};
use crate::config::reader::Reader;
use crate::config::section::Section;
use crate::http::server::{ClientAuth, SMALL_BODY_BYTES_MAX, Settings, TlsSettings, TlsVersion};
use crate::units::{format_duration, format_size};

pub(in crate::config) const WEB: Part = Part {
    keys: &[Key::new(
        "web",
        Written::Mapping(WEB_KEYS),
        "What one connection, and all of them together, may use.",
    )],
    read: web,
    compare: Compare::Whole("web", |old, new| old.server != new.server),
    restart: Restart::No,
};

const WEB_KEYS: &[Key] = &[
    Key::new(
        "connections_max",
        Written::Count,
        "How many connections may be open. Past it a new one evicts the least useful one: of those that have proved \
         nothing the oldest, else one that is idle.",
    )
    .default_of(|| Settings::default().connections_max.to_string())
    .example("5000"),
    Key::new(
        "header_timeout",
        Written::Time,
        "The time from a request's first byte to the end of its headers.",
    )
    .default_of(|| format_duration(Settings::default().header_timeout))
    .example("5s"),
    Key::new("header_bytes_max", Written::SizeBetween(8 << 10, 1 << 20), "The size of a request's headers.")
        .default_of(|| format_size(Settings::default().header_bytes_max))
        .example("16KiB"),
    Key::new(
        "body_timeout",
        Written::Time,
        "The longest pause in a body, and the time that a body has in addition to what `body_rate_min` gives it. No body \
         may take longer than five minutes, or than `body_timeout` if that is longer. \
         It is the longest pause in a response that is sent, too.",
    )
    .default_of(|| format_duration(Settings::default().body_timeout))
    .example("10s"),
    Key::new(
        "body_rate_min",
        Written::Bytes,
        "The slowest rate of a body, a second. A sender that stays slower is cut off.",
    )
    .default_of(|| format_size(Settings::default().body_rate_min))
    .example("16KiB"),
    Key::new(
        "bodies_bytes_max",
        Written::Bytes,
        "The byte budget of all bodies that are being read or stored. Past it the answer is 503. An eighth is kept for \
         bodies of up to 1 MiB, and the rest must have room for one of `webhook.body_bytes_max`. Bodies whose signature is \
         not verified yet have a budget of their own: an eighth of this one, or `webhook.body_bytes_max` if that is more. \
         In that budget, and if senders do not authenticate, the oldest body that is being read makes room for a new one.",
    )
    .default_of(|| format_size(Settings::default().bodies_bytes_max))
    .example("512MiB"),
    Key::new("idle_timeout", Written::Time, "How long a connection may wait for its next request.")
        .default_of(|| format_duration(Settings::default().idle_timeout))
        .example("30s"),
];

fn web(d: &mut Decoding<'_>) {
    let Some(mut section) = d.top.below(d.reader, "web") else {
        return;
    };
    let (reader, web) = (&mut *d.reader, &mut d.config.server);
    section.set(reader, "connections_max", &mut web.connections_max);
    section.set(reader, "header_timeout", &mut web.header_timeout);
    section.set(reader, "header_bytes_max", &mut web.header_bytes_max);
    section.set(reader, "body_timeout", &mut web.body_timeout);
    section.set(reader, "body_rate_min", &mut web.body_rate_min);
    section.set(reader, "bodies_bytes_max", &mut web.bodies_bytes_max);
    section.set(reader, "idle_timeout", &mut web.idle_timeout);
    section.finish(reader);
}

/// Checks that the byte budget has room for the largest body that is accepted. Without it such a body would be refused each
/// time, with an answer that asks its sender to try again.
pub(in crate::config) fn check_budget(d: &mut Decoding<'_>) {
    let (web, largest) = (&d.config.server, d.config.webhook.body_bytes_max);
    if web.budget_for(largest) >= largest {
        return;
    }
    let needed = if largest <= SMALL_BODY_BYTES_MAX {
        largest
    } else {
        largest.div_ceil(7).saturating_mul(8)
    };
    let message = format!(
        "web.bodies_bytes_max is {} (an eighth of it for small bodies), which has no room for one of \
         webhook.body_bytes_max, {}",
        format_size(web.bodies_bytes_max),
        format_size(largest)
    );
    let advice = format!(
        "write bodies_bytes_max: {} or more, or a smaller webhook.body_bytes_max",
        format_size(needed.next_multiple_of(1 << 20))
    );
    let places = [["web", "bodies_bytes_max"], ["webhook", "body_bytes_max"]];
    let at = places.iter().find_map(|keys| d.document.place_of(keys));
    d.reader.fail(at.unwrap_or(d.document.at), message, advice);
}

pub(in crate::config) const TLS: Part = Part {
    keys: &[Key::new(
        "tls_server_config",
        Written::Mapping(TLS_KEYS),
        "TLS, as in Prometheus' web configuration. The files are read again when they change.",
    )],
    read: tls,
    compare: Compare::Whole("tls_server_config", |old, new| {
        old.tls_server != new.tls_server
    }),
    restart: Restart::Yes,
};

const CLIENT_AUTH_TYPES: [&str; 3] = [
    "NoClientCert",
    "VerifyClientCertIfGiven",
    "RequireAndVerifyClientCert",
];

const TLS_KEYS: &[Key] = &[
    Key::new(
        "cert_file",
        Written::Path,
        "The certificate with its chain, PEM.",
    )
    .example("/run/secrets/tls.crt"),
    Key::new("key_file", Written::Path, "The certificate's key, PEM.")
        .example("/run/secrets/tls.key"),
    Key::new(
        "client_auth_type",
        Written::Scalar("NoClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert"),
        "Which certificates clients are asked for: `NoClientCert`, `VerifyClientCertIfGiven` or \
         `RequireAndVerifyClientCert`.",
    )
    .default("NoClientCert")
    .example("RequireAndVerifyClientCert"),
    Key::new(
        "client_ca_file",
        Written::Path,
        "The CA that signs the certificates of clients, PEM.",
    )
    .example("/run/secrets/clients.crt"),
    Key::new(
        "min_version",
        Written::Scalar("TLS12 or TLS13"),
        "The oldest version of TLS that is accepted: `TLS12` or `TLS13`.",
    )
    .default("TLS12")
    .example("TLS13"),
];

fn tls(d: &mut Decoding<'_>) {
    if let Some(section) = d.top.below(d.reader, "tls_server_config") {
        d.config.tls_server = tls_server(d.reader, section);
    }
}

fn tls_server(reader: &mut Reader, mut section: Section<'_>) -> Option<TlsSettings> {
    let cert_file = file(reader, &mut section, "cert_file");
    let key_file = file(reader, &mut section, "key_file");
    for (key, file) in [("cert_file", &cert_file), ("key_file", &key_file)] {
        if file.is_none() && !section.has_any(&[key]) {
            let message = format!("{} has no {key}", section.path);
            reader.fail(section.at, message, format!("add {key}: FILE, in PEM"));
        }
    }
    let ca_file = file(reader, &mut section, "client_ca_file");
    let client_auth = client_auth(reader, &mut section, ca_file);
    let min_version = section.parsed(reader, "min_version", |text| match text {
        "TLS12" => Some(TlsVersion::Tls12),
        "TLS13" => Some(TlsVersion::Tls13),
        _ => None,
    });
    section.finish(reader);
    Some(TlsSettings {
        cert_file: cert_file?,
        key_file: key_file?,
        client_auth: client_auth?,
        min_version: min_version.unwrap_or(TlsVersion::Tls12),
    })
}

fn client_auth(
    reader: &mut Reader,
    section: &mut Section<'_>,
    ca_file: Option<PathBuf>,
) -> Option<ClientAuth> {
    let given = section.find("client_auth_type");
    let at = given.as_ref().map_or(section.at, |(_, node, _)| node.at);
    let kind = match &given {
        None => "NoClientCert",
        Some((key, node, path)) => reader.scalar(node, path, &key.written.expected(), |text| {
            CLIENT_AUTH_TYPES.into_iter().find(|kind| *kind == text)
        })?,
    };
    match (kind, ca_file) {
        ("NoClientCert", None) => Some(ClientAuth::None),
        ("NoClientCert", Some(_)) => {
            let message = format!("{} has a client_ca_file that nothing uses", section.path);
            let advice = "add client_auth_type: RequireAndVerifyClientCert, or remove it";
            reader.fail(at, message, advice);
            None
        }
        (_, None) => {
            if !section.has_any(&["client_ca_file"]) {
                let message = format!("{} has no client_ca_file to verify with", section.path);
                reader.fail(at, message, "add client_ca_file: FILE, in PEM");
            }
            None
        }
        ("VerifyClientCertIfGiven", Some(ca_file)) => Some(ClientAuth::IfGiven { ca_file }),
        (_, Some(ca_file)) => Some(ClientAuth::Required { ca_file }),
    }
}

fn file(reader: &mut Reader, section: &mut Section<'_>, name: &str) -> Option<PathBuf> {
    let (node, path) = section.take(name)?;
    let text = reader.text(node, &path)?;
    let file = reader.resolve(text);
    if !file.is_file() {
        let message = format!("{path}: there is no file {}", file.display());
        reader.fail(node.at, message, "correct the path");
    }
    Some(file)
}
