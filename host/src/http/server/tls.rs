//! TLS for the listener; certificates are read again when they change.

use std::sync::Arc;

use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio_rustls::TlsAcceptor;

use super::settings::{ClientAuth, TlsSettings, TlsVersion};
use crate::secret::FileVersion;

/// Why TLS cannot be used. Never contains a part of the key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("tls_server_config: {0}")]
    Unreadable(#[from] crate::secret::SecretError),
    /// A file is not PEM, or has other content.
    #[error("tls_server_config: {file} {what}")]
    NotPem {
        /// The key of the configuration that names it.
        file: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// Certificate, key and settings do not match.
    #[error("tls_server_config: certificate and key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
    /// The client CA cannot be used.
    #[error("tls_server_config: client_ca_file cannot be used: {0}")]
    ClientCa(#[from] rustls::server::VerifierBuilderError),
}

/// The current TLS settings.
pub(crate) struct Tls {
    settings: TlsSettings,
    current: Mutex<Current>,
}

struct Current {
    acceptor: TlsAcceptor,
    /// The versions of the files that were read last, valid or not, so that an invalid pair is reported once.
    seen: Vec<Option<FileVersion>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Returns an error if one of them cannot be read or used.
    pub(crate) fn new(settings: TlsSettings) -> Result<Self, TlsError> {
        let seen = settings.versions();
        let acceptor = load(&settings)?;
        Ok(Self {
            settings,
            current: Mutex::new(Current { acceptor, seen }),
        })
    }

    /// Returns whether every client needs a certificate.
    pub(super) fn requires_client_certificate(&self) -> bool {
        self.settings.requires_client_certificate()
    }

    /// Returns the settings for the next connection. Files that have changed are read again; if they cannot be used, the old ones
    /// stay in use.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        // The versions are read before the files, so that a change in between is noticed the next time.
        let versions = self.settings.versions();
        let mut current = self.current.lock();
        if versions != current.seen {
            current.seen = versions;
            match load(&self.settings) {
                Ok(acceptor) => {
                    current.acceptor = acceptor;
                    tracing::info!("TLS certificate and key read again");
                }
                Err(error) => {
                    tracing::error!(%error, "cannot read the new TLS certificate and key; those read before stay in use");
                }
            }
        }
        current.acceptor.clone()
    }
}

fn load(settings: &TlsSettings) -> Result<TlsAcceptor, TlsError> {
    let files = settings.read()?;
    let certificates = certificates("cert_file", &files.cert)?;
    let key = PrivateKeyDer::from_pem_slice(&files.key).map_err(|error| TlsError::NotPem {
        file: "key_file",
        what: format!("holds no private key in PEM ({error})"),
    })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions: &[&SupportedProtocolVersion] = match settings.min_version {
        TlsVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::Tls13 => &[&rustls::version::TLS13],
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in self::certificates("client_ca_file", pem)? {
                roots.add(certificate)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            let verifier = match settings.client_auth {
                ClientAuth::Required { .. } => verifier,
                ClientAuth::IfGiven { .. } | ClientAuth::None => verifier.allow_unauthenticated(),
            };
            builder.with_client_cert_verifier(verifier.build()?)
        }
    };
    let mut config = builder.with_single_cert(certificates, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(file: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let not_pem = |what: String| TlsError::NotPem { file, what };
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| not_pem(format!("is no PEM ({error})")))?;
    if certificates.is_empty() {
        return Err(not_pem("holds no certificate in PEM".to_owned()));
    }
    Ok(certificates)
}
