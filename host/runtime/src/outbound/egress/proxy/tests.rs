//! Connections through a proxy that records its requests and connects all of them to one origin.

#![allow(clippy::unwrap_used, reason = "tests")]

use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use parking_lot::Mutex;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::super::{SendError, refusal_in, root_cause};
use super::*;
use alert_manager_core::secret::{Secret, SecretSource};

const NAMES: [(&str, &[&str]); 4] = [
    ("api.example.com", &["93.184.216.34"]),
    ("two.example.com", &["93.184.216.35", "93.184.216.36"]),
    ("mixed.example.com", &["169.254.169.254", "93.184.216.34"]),
    ("evil.example.com", &["169.254.169.254", "127.0.0.1"]),
];

/// A proxy and the origin to which it connects.
struct World {
    proxy: SocketAddr,
    /// The heads of the requests that the proxy received.
    asked: Arc<Mutex<Vec<String>>>,
    roots: RootCertStore,
}

impl World {
    /// The proxy gives each of `answers` once, and then connects to the origin.
    async fn start(answers: &[&'static str]) -> Self {
        crate::outbound::egress::install_crypto();
        let pair = rcgen::generate_simple_self_signed(["api.example.com".to_owned()]).unwrap();
        let certificate: CertificateDer<'static> = pair.cert.der().clone();
        let key = PrivateKeyDer::try_from(pair.signing_key.serialize_der()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let tls = ServerConfig::builder().with_no_client_auth();
        let tls = tls.with_single_cert(vec![certificate], key).unwrap();
        let tls = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let heads = Arc::clone(&asked);
        let mut answers = answers.to_vec();
        answers.reverse();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let head = head_of(&mut stream).await;
                let is_tls = head.lines().next().unwrap_or_default().contains(":443 ");
                heads.lock().push(head);
                let answer = answers
                    .pop()
                    .unwrap_or("HTTP/1.1 200 Connection established\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
                if !answer.contains(" 200 ") {
                    continue;
                }
                let tls = tls.clone();
                tokio::spawn(async move {
                    if is_tls {
                        if let Ok(stream) = tls.accept(stream).await {
                            origin(stream).await;
                        }
                    } else {
                        origin(stream).await;
                    }
                });
            }
        });
        Self {
            proxy,
            asked,
            roots,
        }
    }

    fn connector(&self, route: Route, user: &str) -> Connector {
        let url = format!("http://{user}{}", self.proxy);
        connector(&url, route, Roots::Only(self.roots.clone()))
    }

    /// Sends GET for `url` and returns the origin's answer.
    async fn get(&self, route: Route, url: &str) -> Result<String, SendError> {
        get(self.connector(route, ""), url).await
    }

    /// Returns the request lines that the proxy received.
    fn lines(&self) -> Vec<String> {
        let asked = self.asked.lock();
        let first = |head: &String| head.lines().next().unwrap_or_default().to_owned();
        asked.iter().map(first).collect()
    }
}

fn connector(proxy_url: &str, route: Route, roots: Roots) -> Connector {
    let url = SecretSource::value(Secret::new(proxy_url));
    let proxy = Proxy::new(url, Arc::default());
    let mut connector = Connector::new(Arc::new(proxy), route, roots).unwrap();
    let names = NAMES.iter().map(|(name, addresses)| {
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        ((*name).to_owned(), addresses)
    });
    Arc::get_mut(&mut connector.0).unwrap().names = names.collect();
    connector
}

async fn get(connector: Connector, url: &str) -> Result<String, SendError> {
    let client = Client::builder(TokioExecutor::new()).build::<_, reqwest::Body>(connector);
    let request = Request::get(url).body(reqwest::Body::default()).unwrap();
    let response = client.request(request).await?;
    let response: reqwest::Response = response.map(reqwest::Body::wrap).into();
    Ok(response.text().await?)
}

async fn head_of(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// Answers one request with the request's own head.
async fn origin(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let head = head_of(&mut stream).await;
    let answer = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{head}",
        head.len()
    );
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

fn judged(grant: &str) -> Route {
    Route::Judged(HttpGrant::parse(grant).unwrap())
}

#[tokio::test]
async fn connect_names_the_checked_address_and_tls_checks_the_name() {
    let world = World::start(&[]).await;
    let route = judged("https://*.example.com");
    let url = "https://api.example.com/path?query";
    let answer = world.get(route.clone(), url).await.unwrap();
    assert!(
        answer.starts_with("GET /path?query HTTP/1.1\r\n"),
        "{answer}"
    );
    assert!(answer.contains("host: api.example.com\r\n"), "{answer}");
    assert_eq!(world.lines(), ["CONNECT 93.184.216.34:443 HTTP/1.1"]);
    assert!(!world.asked.lock()[0].contains("example.com"));
    // The certificate is for another name.
    let error = world
        .get(route, "https://mixed.example.com/")
        .await
        .unwrap_err();
    assert!(
        root_cause(&error).starts_with("TLS: invalid peer certificate"),
        "{error:?}"
    );
    assert!(error.is_connect(), "nothing was sent");
    assert_eq!(world.lines()[1], "CONNECT 93.184.216.34:443 HTTP/1.1");
}

#[tokio::test]
async fn plain_http_goes_through_a_tunnel_too() {
    let world = World::start(&[]).await;
    let answer = world.get(
        judged("http://api.example.com:81"),
        "http://api.example.com:81/x",
    );
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("GET /x HTTP/1.1\r\n"), "{answer}");
    let answer = world
        .get(judged("http://[2001:db8::7]"), "http://[2001:db8::7]/y")
        .await;
    assert!(answer.unwrap().contains("host: [2001:db8::7]\r\n"));
    let lines = world.lines();
    assert_eq!(
        lines,
        [
            "CONNECT 93.184.216.34:81 HTTP/1.1",
            "CONNECT [2001:db8::7]:80 HTTP/1.1"
        ]
    );
}

#[tokio::test]
async fn addresses_are_checked_as_without_a_proxy() {
    let world = World::start(&[]).await;
    let route = judged("http://evil.example.com");
    let error = world
        .get(route, "http://evil.example.com/")
        .await
        .unwrap_err();
    let refusal = refusal_in(&error).unwrap_or_else(|| panic!("{error:?}"));
    assert!(refusal.reason().contains("169.254.169.254"), "{refusal}");
    let error = world.get(judged("http://x.example"), "http://169.254.169.254/");
    assert!(refusal_in(&error.await.unwrap_err()).is_some());
    assert!(world.lines().is_empty(), "the proxy got no request");
    let error = world
        .get(Route::Trusted, "http://nowhere.invalid/")
        .await
        .unwrap_err();
    let cause = root_cause(&error);
    assert!(
        cause.starts_with("no such name") && cause.contains("via_proxy: true"),
        "{cause}"
    );
}

#[tokio::test]
async fn by_name_the_proxy_resolves() {
    let world = World::start(&[]).await;
    let answer = world.get(Route::ByName, "https://api.example.com/").await;
    assert!(answer.unwrap().contains("host: api.example.com\r\n"));
    assert_eq!(world.lines(), ["CONNECT api.example.com:443 HTTP/1.1"]);
}

#[tokio::test]
async fn the_next_address_is_tried_if_the_proxy_does_not_reach_one() {
    let world = World::start(&["HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"]).await;
    let answer = world.get(Route::Trusted, "http://two.example.com/").await;
    answer.unwrap();
    let lines = world.lines();
    assert_eq!(
        lines,
        [
            "CONNECT 93.184.216.35:80 HTTP/1.1",
            "CONNECT 93.184.216.36:80 HTTP/1.1"
        ]
    );
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_without_its_password() {
    let cases = [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
            "answered 407 Proxy Authentication Required to CONNECT 93.184.216.34:80: put a valid user and password into proxy_url",
        ),
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
            "answered 403 Forbidden to CONNECT 93.184.216.34:80: let it CONNECT",
        ),
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n", "answered 503"),
        (
            "SSH-2.0-OpenSSH_9.2\r\n\r\n",
            "did not connect to 93.184.216.34:80",
        ),
        ("", "did not connect to 93.184.216.34:80"),
    ];
    for (answer, part) in cases {
        let world = World::start(&[answer]).await;
        let connector = world.connector(Route::Trusted, "user:hunter2%40@");
        let error = get(connector, "http://api.example.com/").await.unwrap_err();
        let cause = root_cause(&error);
        assert!(cause.contains(part), "{answer:?}: {cause}");
        assert!(
            cause.contains(&format!("the proxy http://{}", world.proxy)),
            "{cause}"
        );
        assert!(
            !format!("{cause}{error:?}").contains("hunter2"),
            "{error:?}"
        );
        assert!(error.is_connect(), "nothing was sent to the origin");
        let head = world.asked.lock()[0].to_ascii_lowercase();
        // user:hunter2@
        assert!(
            head.contains("proxy-authorization: basic dxnlcjpodw50zxiyqa==\r\n"),
            "{head}"
        );
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let connector = connector(&format!("http://{address}"), Route::Trusted, Roots::None);
    let error = get(connector, "http://api.example.com/").await.unwrap_err();
    let expected = format!("the proxy http://{address} cannot be reached: connection refused");
    assert_eq!(root_cause(&error), expected);
}
