//! Decodes `web`, `tls_server_config` and `webhook`: how clients connect and authenticate.

use std::path::PathBuf;

use http::HeaderName;

use super::credentials::secret;
use super::sections::Env;
use super::yaml::{Node, Place, Reader, Section};
use crate::http::server::{self, ClientAuth, SMALL_BODY_BYTES_MAX, TlsSettings, TlsVersion};
use crate::http::webhook::{self, Hmac, SenderRate};
use crate::units::format_size;

pub(super) fn web(reader: &mut Reader, node: Option<(&Node, String)>) -> server::Settings {
    let mut web = server::Settings::default();
    let Some((node, path)) = node else {
        return web;
    };
    let mut section = reader.section(node, &path);
    if let Some((node, path)) = section.take("connections_max") {
        web.connections_max = reader.count(node, &path).unwrap_or(web.connections_max);
    }
    for (key, time) in [
        ("header_timeout", &mut web.header_timeout),
        ("body_timeout", &mut web.body_timeout),
        ("idle_timeout", &mut web.idle_timeout),
    ] {
        if let Some((node, path)) = section.take(key) {
            *time = reader.time(node, &path).unwrap_or(*time);
        }
    }
    if let Some((node, path)) = section.take("header_bytes_max") {
        let what = "a size from 8KiB to 1MiB";
        let size = reader.scalar(node, &path, what, |text| {
            crate::units::parse_size(text).filter(|size| (8 << 10..=1 << 20).contains(size))
        });
        web.header_bytes_max = size.unwrap_or(web.header_bytes_max);
    }
    if let Some((node, path)) = section.take("body_rate_min") {
        let what = "a size for each second, such as 4KiB";
        let rate = reader.scalar(node, &path, what, |text| {
            crate::units::parse_size(text).filter(|size| *size > 0)
        });
        web.body_rate_min = rate.unwrap_or(web.body_rate_min);
    }
    if let Some((node, path)) = section.take("bodies_bytes_max") {
        let size = reader.scalar(node, &path, "a size such as 256MiB", |text| {
            crate::units::parse_size(text).filter(|size| *size > 0)
        });
        web.bodies_bytes_max = size.unwrap_or(web.bodies_bytes_max);
    }
    section.finish(reader);
    web
}

/// Checks that the largest body that is taken has room where there is no other: else it is refused for ever, with an
/// answer that asks its sender to try again.
pub(super) fn check_room(
    reader: &mut Reader,
    at: Place,
    web: &server::Settings,
    webhook: &webhook::Settings,
) {
    let largest = webhook.body_bytes_max;
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
    reader.fail(at, message, advice);
}

pub(super) fn tls_server(
    reader: &mut Reader,
    node: Option<(&Node, String)>,
) -> Option<TlsSettings> {
    let (node, path) = node?;
    let mut section = reader.section(node, &path);
    let cert_file = file(reader, &mut section, "cert_file");
    let key_file = file(reader, &mut section, "key_file");
    for (key, file) in [("cert_file", &cert_file), ("key_file", &key_file)] {
        if file.is_none() && !section.has_any(&[key]) {
            let message = format!("{path} has no {key}");
            reader.fail(node.at, message, format!("add {key}: FILE, in PEM"));
        }
    }
    let ca_file = file(reader, &mut section, "client_ca_file");
    let client_auth = client_auth(reader, &mut section, ca_file);
    let mut min_version = TlsVersion::Tls12;
    if let Some((node, path)) = section.take("min_version") {
        let version = reader.scalar(node, &path, "TLS12 or TLS13", |text| match text {
            "TLS12" => Some(TlsVersion::Tls12),
            "TLS13" => Some(TlsVersion::Tls13),
            _ => None,
        });
        min_version = version.unwrap_or(min_version);
    }
    section.finish(reader);
    Some(TlsSettings {
        cert_file: cert_file?,
        key_file: key_file?,
        client_auth: client_auth?,
        min_version,
    })
}

fn client_auth(
    reader: &mut Reader,
    section: &mut Section<'_>,
    ca_file: Option<PathBuf>,
) -> Option<ClientAuth> {
    let at = section.at;
    let given = section.take("client_auth_type");
    let place = given.as_ref().map_or(at, |(node, _)| node.at);
    let kind = match &given {
        None => "NoClientCert",
        Some((node, path)) => {
            let what = "NoClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert";
            let kinds = [
                "NoClientCert",
                "VerifyClientCertIfGiven",
                "RequireAndVerifyClientCert",
            ];
            reader.scalar(node, path, what, |text| {
                kinds.into_iter().find(|kind| *kind == text)
            })?
        }
    };
    match (kind, ca_file) {
        ("NoClientCert", None) => Some(ClientAuth::None),
        ("NoClientCert", Some(_)) => {
            let message = format!("{} has a client_ca_file that nothing uses", section.path);
            let advice = "add client_auth_type: RequireAndVerifyClientCert, or take it out";
            reader.fail(place, message, advice);
            None
        }
        (_, None) => {
            if !section.has_any(&["client_ca_file"]) {
                let message = format!("{} has no client_ca_file to verify with", section.path);
                reader.fail(place, message, "add client_ca_file: FILE, in PEM");
            }
            None
        }
        ("VerifyClientCertIfGiven", Some(ca_file)) => Some(ClientAuth::IfGiven { ca_file }),
        (_, Some(ca_file)) => Some(ClientAuth::Required { ca_file }),
    }
}

fn file(reader: &mut Reader, section: &mut Section<'_>, key: &'static str) -> Option<PathBuf> {
    let (node, path) = section.take(key)?;
    let text = reader.text(node, &path)?;
    let file = reader.resolve(text);
    if !file.is_file() {
        let message = format!("{path}: there is no file {}", file.display());
        reader.fail(node.at, message, "correct the path");
    }
    Some(file)
}

pub(super) fn hmac(
    reader: &mut Reader,
    node: Option<(&Node, String)>,
    env: Env<'_>,
) -> Option<Hmac> {
    const WHAT: &str = "the name of a header, such as X-Grafana-Alerting-Signature";
    let (node, path) = node?;
    let mut section = reader.section(node, &path);
    let names = ["secret", "secret_file", "secret_env"];
    let secret = secret(reader, &mut section, names, env);
    let parse = |text: &str| HeaderName::from_bytes(text.as_bytes()).ok();
    let mut header = HeaderName::from_static("x-grafana-alerting-signature");
    if let Some((node, path)) = section.take("header") {
        header = reader.scalar(node, &path, WHAT, parse).unwrap_or(header);
    }
    let timestamp_header = section
        .take("timestamp_header")
        .and_then(|(node, path)| reader.scalar(node, &path, WHAT, parse));
    section.finish(reader);
    let secret = secret?;
    if let Err(error) = secret.read() {
        let advice = "write the secret into that file, or correct the path";
        reader.fail(node.at, format!("{path}: {error}"), advice);
    }
    Some(Hmac {
        secret,
        header,
        timestamp_header,
    })
}

pub(super) fn sender_rate(reader: &mut Reader, node: Option<(&Node, String)>) -> SenderRate {
    let mut rate = SenderRate::default();
    let Some((node, path)) = node else {
        return rate;
    };
    let mut section = reader.section(node, &path);
    if let Some((node, path)) = section.take("per_second") {
        rate.per_second = reader.rate(node, &path).unwrap_or(rate.per_second);
    }
    if let Some((node, path)) = section.take("burst") {
        rate.burst = reader.count(node, &path).unwrap_or(rate.burst);
    }
    section.finish(reader);
    rate
}
