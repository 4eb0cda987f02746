//! `web`, `tls_server_config`, and what a sender proves itself with beyond a header: the server's own doors.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderName;
use zeroize::Zeroizing;

use super::Webhook;
use super::credentials::secret;
use super::sections::Env;
use super::yaml::{Node, Place, Reader, Section};
use crate::secret::{FileVersion, SecretError, SecretSource};
use crate::units::format_size;

/// Larger than any bundle of certificates.
const PEM_BYTES_MAX: u64 = 4 << 20;

/// What one connection, and all of them, may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Web {
    /// `connections_max`: at one time, 1,000 by default. A few more are kept for loopback peers.
    pub connections_max: u32,
    /// `header_timeout`: from a request's first byte to the end of its headers, 10 s by default.
    pub header_timeout: Duration,
    /// `header_bytes_max`: 64 KiB by default.
    pub header_bytes_max: u64,
    /// `body_timeout`: the longest pause in a body, and the time that a body has beside what
    /// `body_rate_min` gives it; 30 s by default.
    pub body_timeout: Duration,
    /// `body_rate_min`: in bytes a second, 4 KiB by default. A sender that stays slower is cut off, and so is one that is
    /// not done after five minutes (or `body_timeout`, where that is longer).
    pub body_rate_min: u64,
    /// `bodies_bytes_max`: all bodies that are being read, or stored, at one time; 256 MiB by default. Past
    /// it the answer is 503. An eighth of it is kept for bodies of up to 1 MiB. Bodies that are to prove their sender by a
    /// signature have room of their own beside it until they have, see [`Web::room_for_unproved`].
    pub bodies_bytes_max: u64,
    /// `idle_timeout`: how long a connection may wait for its next request, 2 minutes by default.
    pub idle_timeout: Duration,
}

/// A body up to here is small: large ones cannot keep it out.
const SMALL_BODY_BYTES_MAX: u64 = 1 << 20;

impl Web {
    /// Returns how much of `bodies_bytes_max` there is for bodies of this size.
    #[must_use]
    pub fn room_for(&self, body_bytes: u64) -> u64 {
        if body_bytes <= SMALL_BODY_BYTES_MAX {
            self.bodies_bytes_max
        } else {
            self.bodies_bytes_max - self.bodies_bytes_max / 8
        }
    }

    /// Returns how much room there is for all bodies that are being read and whose senders have proved nothing yet. Where
    /// nobody is asked for a proof that is `bodies_bytes_max`; else an eighth of that beside it, or as much as the largest body
    /// takes.
    #[must_use]
    pub fn room_for_unproved(&self, webhook: &Webhook) -> u64 {
        if webhook.is_closed() {
            (self.bodies_bytes_max / 8).max(webhook.body_bytes_max)
        } else {
            self.bodies_bytes_max
        }
    }
}

impl Default for Web {
    fn default() -> Self {
        Self {
            connections_max: 1_000,
            header_timeout: Duration::from_secs(10),
            header_bytes_max: 64 << 10,
            body_timeout: Duration::from_secs(30),
            body_rate_min: 4 << 10,
            bodies_bytes_max: 256 << 20,
            idle_timeout: Duration::from_secs(120),
        }
    }
}

/// `tls_server_config`, as Prometheus' web configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsServer {
    /// `cert_file`: the chain, PEM. Read again when it changes.
    pub cert_file: PathBuf,
    /// `key_file`: PEM. Read again when it changes.
    pub key_file: PathBuf,
    /// `client_auth_type` and `client_ca_file`.
    pub client_auth: ClientAuth,
    /// `min_version`: `TLS12` by default.
    pub min_version: TlsVersion,
}

impl TlsServer {
    /// Returns true where nobody comes in without a certificate that the client CA signed.
    #[must_use]
    pub fn requires_client_certificate(&self) -> bool {
        matches!(self.client_auth, ClientAuth::Required { .. })
    }

    fn client_ca_file(&self) -> Option<&Path> {
        match &self.client_auth {
            ClientAuth::None => None,
            ClientAuth::IfGiven { ca_file } | ClientAuth::Required { ca_file } => Some(ca_file),
        }
    }

    /// Returns what tells one content of the files from the next, without reading them.
    #[must_use]
    pub fn versions(&self) -> Vec<Option<FileVersion>> {
        [self.cert_file.as_path(), &self.key_file]
            .into_iter()
            .chain(self.client_ca_file())
            .map(FileVersion::of)
            .collect()
    }

    /// Reads the files as they are now.
    ///
    /// # Errors
    /// Where one cannot be read.
    pub fn read(&self) -> Result<TlsFiles, SecretError> {
        Ok(TlsFiles {
            cert: read_pem(&self.cert_file)?,
            key: read_pem(&self.key_file)?,
            client_ca: self.client_ca_file().map(read_pem).transpose()?,
        })
    }
}

/// The content of the files, PEM. Wiped from memory when dropped.
pub struct TlsFiles {
    /// Of `cert_file`.
    pub cert: Zeroizing<Vec<u8>>,
    /// Of `key_file`.
    pub key: Zeroizing<Vec<u8>>,
    /// Of `client_ca_file`.
    pub client_ca: Option<Zeroizing<Vec<u8>>>,
}

fn read_pem(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)
        .and_then(|file| file.take(PEM_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(|source| SecretError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
    Ok(bytes)
}

/// Which certificates clients are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// `NoClientCert`.
    None,
    /// `VerifyClientCertIfGiven`.
    IfGiven {
        /// PEM.
        ca_file: PathBuf,
    },
    /// `RequireAndVerifyClientCert`.
    Required {
        /// PEM.
        ca_file: PathBuf,
    },
}

/// The oldest protocol that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// `webhook.hmac`: a signature over the body, as Grafana sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hmac {
    /// `secret`, `secret_file` or `secret_env`.
    pub secret: SecretSource,
    /// `header`: holds the signature in hexadecimal; `X-Grafana-Alerting-Signature` by default.
    pub header: HeaderName,
    /// `timestamp_header`: holds seconds since 1970, which are signed too and may not be old. Absent
    /// where the body alone is signed: a request that was listened to can then be sent again.
    pub timestamp_header: Option<HeaderName>,
}

/// `webhook.rate`: how many requests one sender may make.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SenderRate {
    /// `per_second`: 0 is off, which is the default.
    pub per_second: f64,
    /// `burst`: 100 by default.
    pub burst: u32,
}

impl Default for SenderRate {
    fn default() -> Self {
        Self {
            per_second: 0.0,
            burst: 100,
        }
    }
}

pub(super) fn web(reader: &mut Reader, node: Option<(&Node, String)>) -> Web {
    let mut web = Web::default();
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
pub(super) fn check_room(reader: &mut Reader, at: Place, web: &Web, webhook: &Webhook) {
    let largest = webhook.body_bytes_max;
    if web.room_for(largest) >= largest {
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

pub(super) fn tls_server(reader: &mut Reader, node: Option<(&Node, String)>) -> Option<TlsServer> {
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
    Some(TlsServer {
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
