//! The settings of connections: the address, limits, TLS.

use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::secret::{FileVersion, SecretError};

/// Larger than any certificate bundle.
const PEM_BYTES_MAX: u64 = 4 << 20;

/// A body of up to this size is small: large bodies cannot use up its share of the byte budget.
pub(crate) const SMALL_BODY_BYTES_MAX: u64 = 1 << 20;

/// `web`: what one connection, and all of them together, may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `connections_max`: at one time, 1,000 by default. A few more are kept for loopback peers.
    pub connections_max: u32,
    /// `header_timeout`: from a request's first byte to the end of its headers, 10 s by default.
    pub header_timeout: Duration,
    /// `header_bytes_max`: 64 KiB by default.
    pub header_bytes_max: u64,
    /// `body_timeout`: the longest pause in a body, and the time that a body has in addition to what `body_rate_min`
    /// gives it; also the longest pause in a response that is sent. 30 s by default.
    pub body_timeout: Duration,
    /// `body_rate_min`: in bytes a second, 4 KiB by default. A sender that stays slower is cut off, and so is one that is
    /// not done after five minutes (or `body_timeout`, if that is longer).
    pub body_rate_min: u64,
    /// `bodies_bytes_max`: all bodies that are being read, or stored, at one time; 256 MiB by default. Past it the answer
    /// is 503. An eighth of it is kept for bodies of up to 1 MiB. Bodies whose sender is authenticated by a signature have
    /// a budget of their own until the signature is verified, see `webhook::Settings::unauthenticated_bodies_bytes_max`.
    pub bodies_bytes_max: u64,
    /// `idle_timeout`: how long a connection may wait for its next request, 2 minutes by default.
    pub idle_timeout: Duration,
}

impl Settings {
    /// Returns how much of `bodies_bytes_max` bodies of this size may use.
    #[must_use]
    pub fn budget_for(&self, body_bytes: u64) -> u64 {
        if body_bytes <= SMALL_BODY_BYTES_MAX {
            self.bodies_bytes_max
        } else {
            self.bodies_bytes_max - self.bodies_bytes_max / 8
        }
    }
}

impl Default for Settings {
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

/// What the server listens on for as long as it runs: a new configuration changes neither.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    /// As it was configured.
    pub(crate) listen: SocketAddr,
    /// Absent if HTTP is plain.
    pub(crate) tls: Option<TlsSettings>,
}

impl Bound {
    /// Returns true if a client needs a certificate.
    pub(crate) fn requires_client_certificate(&self) -> bool {
        let tls = self.tls.as_ref();
        tls.is_some_and(TlsSettings::requires_client_certificate)
    }
}

/// `tls_server_config`, as in Prometheus' web configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// `cert_file`: the chain, PEM. Read again when it changes.
    pub cert_file: PathBuf,
    /// `key_file`: PEM. Read again when it changes.
    pub key_file: PathBuf,
    /// `client_auth_type` and `client_ca_file`.
    pub client_auth: ClientAuth,
    /// `min_version`: `TLS12` by default.
    pub min_version: TlsVersion,
}

impl TlsSettings {
    /// Returns true if a client needs a certificate that the client CA signed.
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

    /// Returns the versions of the files, which differ after each change; none of them is read.
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
    /// If one cannot be read.
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

/// The oldest TLS version that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}
