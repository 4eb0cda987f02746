//! The HTTP clients of one handler. Each address is checked against the grant before a client connects to it. Handlers share
//! no clients.

mod answers;
mod cause;
mod client;
mod proxy;
mod proxy_error;
mod roots;

use std::error::Error as StdError;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use url::{Host, Url};

use crate::limits::{HTTP_CLIENTS_MAX, HTTP_CONNECT_MAX, HTTP_IDLE_FOR, HTTP_IDLE_MAX};
use crate::outbound::proxy::Proxy;
use alert_manager_core::policy::{HttpGrant, Refusal};

pub use answers::{HttpAnswer, HttpAnswers};
use cause::NoSuchName;
pub(crate) use cause::{refusal_in, root_cause};
pub(crate) use client::AGENT;
pub use client::{HttpClient, SendError, install_crypto, without_url};
pub use proxy::Route;
pub use roots::Roots;

/// Clients by their grant: a connection that was opened under one grant is never used under another.
#[derive(Default)]
pub(crate) struct Clients {
    open: Mutex<Vec<(ClientKey, HttpClient)>>,
}

#[derive(Clone, PartialEq, Eq)]
struct ClientKey {
    grant: HttpGrant,
    ca_file: Option<PathBuf>,
    /// The version of the file that was read, because a cluster replaces its certificates.
    ca_version: Option<CaVersion>,
    https: bool,
    proxy: Option<SameProxy>,
}

/// A proxy, compared by identity: a reload of the configuration makes a new one.
#[derive(Clone)]
struct SameProxy(Arc<Proxy>);

impl PartialEq for SameProxy {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for SameProxy {}

impl ClientKey {
    /// Returns true if the keys differ at most in the version of the file or in the proxy, so that one replaces the other.
    fn is_of_same_use(&self, other: &Self) -> bool {
        (&self.grant, &self.ca_file, self.https) == (&other.grant, &other.ca_file, other.https)
    }
}

/// The metadata of a file, by which a change of its content is recognized without reading it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct CaVersion {
    length: u64,
    modified: Option<SystemTime>,
}

impl CaVersion {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
        })
    }
}

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("the certificates of {path} cannot be read: {source}")]
    CaFile {
        path: PathBuf,
        source: Box<dyn StdError + Send + Sync>,
    },
    #[error("no HTTP client can be made: {}", root_cause(.0))]
    Build(#[from] reqwest::Error),
    #[error("no HTTP client can be made: TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl Clients {
    /// Returns the client for requests to `url` under `grant`, through `proxy` if it applies to them. `ca_file` replaces the
    /// system's certificates.
    ///
    /// # Errors
    /// If the certificates cannot be read, or the client cannot be made.
    pub(crate) fn get(
        &self,
        grant: &HttpGrant,
        ca_file: Option<&Path>,
        url: &Url,
        proxy: Option<&Arc<Proxy>>,
    ) -> Result<HttpClient, ClientError> {
        let key = ClientKey {
            grant: grant.clone(),
            ca_file: ca_file.map(Path::to_owned),
            ca_version: ca_file.and_then(CaVersion::of),
            https: url.scheme() == "https",
            proxy: proxy.cloned().map(SameProxy),
        };
        let known = |clients: &[(ClientKey, HttpClient)]| {
            let found = clients.iter().find(|(known, _)| *known == key);
            found.map(|(_, client)| client.clone())
        };
        if let Some(client) = known(&self.open.lock()) {
            return Ok(client);
        }
        // Without the lock, because this reads a file.
        let client = build(&key)?;
        let mut clients = self.open.lock();
        if let Some(client) = known(&clients) {
            return Ok(client);
        }
        clients.retain(|(known, _)| !known.is_of_same_use(&key));
        if clients.len() >= HTTP_CLIENTS_MAX {
            clients.remove(0);
        }
        clients.push((key, client.clone()));
        Ok(client)
    }
}

fn build(key: &ClientKey) -> Result<HttpClient, ClientError> {
    let mut builder = Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        // A guest gets the bytes as they came. It decompresses them itself, within its own memory limit.
        .no_gzip()
        .no_brotli()
        .no_deflate()
        .no_zstd()
        .referer(false)
        .connect_timeout(HTTP_CONNECT_MAX)
        .pool_max_idle_per_host(HTTP_IDLE_MAX)
        .pool_idle_timeout(HTTP_IDLE_FOR)
        .user_agent(AGENT)
        .dns_resolver(Arc::new(JudgingResolver {
            grant: key.grant.clone(),
        }));
    let roots = if let Some(path) = &key.ca_file {
        let pem = read_pem(path)?;
        builder = builder.tls_certs_only(read_certificates(path, &pem)?);
        Roots::Only(read_roots(path, &pem)?)
    } else if !key.https {
        // Plain HTTP also works on a machine without root certificates.
        builder = builder.tls_certs_only([]);
        Roots::None
    } else {
        Roots::System
    };
    let route = if key.grant.has_names_resolved_by_proxy() {
        Route::ByName
    } else {
        Route::Judged(key.grant.clone())
    };
    let proxy = key.proxy.as_ref().map(|proxy| &proxy.0);
    Ok(HttpClient::new(builder.build()?, proxy, route, roots)?)
}

fn read_pem(path: &Path) -> Result<Vec<u8>, ClientError> {
    std::fs::read(path).map_err(|error| ClientError::CaFile {
        path: path.to_owned(),
        source: error.into(),
    })
}

fn read_roots(path: &Path, pem: &[u8]) -> Result<RootCertStore, ClientError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
        added.map_err(|error| ClientError::CaFile {
            path: path.to_owned(),
            source: error.into(),
        })?;
    }
    Ok(roots)
}

fn read_certificates(path: &Path, pem: &[u8]) -> Result<Vec<Certificate>, ClientError> {
    let fail = |source| ClientError::CaFile {
        path: path.to_owned(),
        source,
    };
    let certificates = Certificate::from_pem_bundle(pem).map_err(|error| fail(error.into()))?;
    if certificates.is_empty() {
        return Err(fail("it holds no certificate in PEM".into()));
    }
    Ok(certificates)
}

/// Checks the address of a URL whose host is an address. Names are checked when they are resolved.
///
/// # Errors
/// Why the address is not permitted.
pub(crate) fn judge_literal(grant: &HttpGrant, url: &Url) -> Result<(), Refusal> {
    let address: IpAddr = match url.host() {
        Some(Host::Ipv4(v4)) => v4.into(),
        Some(Host::Ipv6(v6)) => v6.into(),
        _ => return Ok(()),
    };
    grant.permits_address(&address.to_string(), address)
}

/// Resolves names, and returns only addresses that the grant permits. The client connects to these very addresses, so DNS
/// rebinding has no effect.
struct JudgingResolver {
    grant: HttpGrant,
}

impl Resolve for JudgingResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let grant = self.grant.clone();
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0))
                .await
                .map_err(|_| NoSuchName)?
                .collect();
            let mut refusal = None;
            let permitted: Vec<_> = found
                .into_iter()
                .filter(|address| match grant.permits_address(&host, address.ip()) {
                    Ok(()) => true,
                    Err(why) => {
                        refusal.get_or_insert(why);
                        false
                    }
                })
                .collect();
            match (permitted.is_empty(), refusal) {
                (true, Some(why)) => Err(why.into()),
                (true, None) => Err(NoSuchName.into()),
                (false, _) => Ok(Box::new(permitted.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// The certificate of an authority. Nothing is verified with it.
    const PEM: &str = "-----BEGIN CERTIFICATE-----\n\
        MIIBdDCCARugAwIBAgIUcUpwAUECEoa9xA3RFJIn/DvSsPcwCgYIKoZIzj0EAwIw\n\
        DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjIxMDU2MDBaGA8yMTI2MTAyOTEwNTYw\n\
        MFowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABBhN\n\
        iqyl9F7NLEcEqWDRNzUmEdcgpJUlzTb7gwTx3/l8Td7F4Beq8xGb66f5+vS7uhHs\n\
        M4tyCG50H2lOBnwGKZGjUzBRMB0GA1UdDgQWBBSaewMXVl+8qm90nSqILTPfkWQC\n\
        wDAfBgNVHSMEGDAWgBSaewMXVl+8qm90nSqILTPfkWQCwDAPBgNVHRMBAf8EBTAD\n\
        AQH/MAoGCCqGSM49BAMCA0cAMEQCIBOGcN5AMisJ9N/KFSZfnPGWIXRJXxLs/ib8\n\
        6Pk3nFzLAiBSRJ5vN344W4tsTeRrpIcb28471KJa682mjOJ39T8i3A==\n\
        -----END CERTIFICATE-----";

    fn grant(text: &str) -> HttpGrant {
        HttpGrant::parse(text).unwrap()
    }

    async fn error_of(grant: &HttpGrant, url: &str) -> SendError {
        install_crypto();
        let url: Url = url.parse().unwrap();
        let client = Clients::default().get(grant, None, &url, None).unwrap();
        let request = client.request(reqwest::Method::GET, url);
        client.send(request).await.unwrap_err()
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_this_machine_is_refused_when_connecting() {
        let grant = grant("http://localhost:1");
        let error = error_of(&grant, "http://localhost:1/").await;
        let refusal = refusal_in(&error).unwrap();
        assert!(refusal.reason().contains("loopback"), "{refusal}");
    }

    #[tokio::test]
    async fn causes_are_short_and_for_people() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let url = format!("http://127.0.0.1:{port}");
        assert_eq!(
            root_cause(&error_of(&grant(&url), &url).await),
            "connection refused"
        );
        let url = "http://nowhere.invalid";
        assert_eq!(
            root_cause(&error_of(&grant(url), url).await),
            "no such name"
        );
        // Nothing accepts the connection.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let address: Url = url.parse().unwrap();
        let client = Clients::default()
            .get(&grant(&url), None, &address, None)
            .unwrap();
        let request = client.request(reqwest::Method::GET, address);
        let request = request.timeout(std::time::Duration::from_millis(1));
        let error = client.send(request).await.unwrap_err();
        assert_eq!(root_cause(&error), "no connection in time");
    }

    #[test]
    fn an_address_in_the_url_is_checked_without_resolving() {
        let url: Url = "http://127.0.0.1:9999/x".parse().unwrap();
        assert!(judge_literal(&grant("http://127.0.0.1:9999"), &url).is_ok());
        let url: Url = "http://169.254.169.254/latest".parse().unwrap();
        assert!(judge_literal(&grant("http://10.0.0.1"), &url).is_err());
    }

    #[test]
    fn certificates_that_were_replaced_are_read_again() {
        install_crypto();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let (clients, grant) = (Clients::default(), grant("https://127.0.0.1:1"));
        let url: Url = "https://127.0.0.1:1".parse().unwrap();
        std::fs::write(&path, PEM).unwrap();
        clients.get(&grant, Some(&path), &url, None).unwrap();
        std::fs::write(&path, "replaced").unwrap();
        assert!(matches!(
            clients.get(&grant, Some(&path), &url, None),
            Err(ClientError::CaFile { .. })
        ));
        std::fs::write(&path, format!("\n\n{PEM}")).unwrap();
        clients.get(&grant, Some(&path), &url, None).unwrap();
        assert_eq!(clients.open.lock().len(), 1, "the old one is gone");
    }

    #[test]
    fn clients_are_kept_by_grant_and_bounded() {
        install_crypto();
        let clients = Clients::default();
        for port in 1..=2 * u16::try_from(HTTP_CLIENTS_MAX).unwrap() {
            let url: Url = format!("http://127.0.0.1:{port}").parse().unwrap();
            clients.get(&grant(url.as_str()), None, &url, None).unwrap();
        }
        assert_eq!(clients.open.lock().len(), HTTP_CLIENTS_MAX);
    }
}
