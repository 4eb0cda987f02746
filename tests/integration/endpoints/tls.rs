//! Certificates of the server's own, of clients, and of services that a handler calls.

use std::path::Path;
use std::sync::Arc;

use tests::server::{Server, Setup};

use super::PREVIEW;

/// Writes a new certificate for 127.0.0.1 and its key as a deployment would, and returns the certificate.
fn new_pair(dir: &Path) -> String {
    let pair = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    replace(&dir.join("key.pem"), &pair.signing_key.serialize_pem());
    replace(&dir.join("cert.pem"), &pair.cert.pem());
    pair.cert.pem()
}

fn replace(path: &Path, content: &str) {
    let next = path.with_extension("next");
    std::fs::write(&next, content).unwrap();
    std::fs::rename(&next, path).unwrap();
}

fn trusting(certificate: &str) -> reqwest::ClientBuilder {
    let certificate = reqwest::Certificate::from_pem(certificate.as_bytes()).unwrap();
    reqwest::Client::builder().tls_certs_only([certificate])
}

/// Asks over a new connection.
async fn asked(client: reqwest::ClientBuilder, server: &Server) -> Result<u16, reqwest::Error> {
    let url = format!("{}/healthz", server.url.replace("http:", "https:"));
    let answer = client.build().unwrap().get(url).send().await?;
    Ok(answer.status().as_u16())
}

const TLS: &str =
    "tls_server_config: { cert_file: cert.pem, key_file: key.pem, min_version: TLS13 }";

#[tokio::test]
async fn a_new_certificate_is_taken_up_and_a_bad_one_is_not() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let first = new_pair(dir.path());
    let setup = Setup::new().config(PREVIEW).config(TLS);
    let server = setup.start_in(Arc::clone(&dir)).await;
    assert_eq!(asked(trusting(&first), &server).await.unwrap(), 200);
    let plain = server.url.clone() + "/healthz";
    reqwest::get(plain)
        .await
        .expect_err("nothing is said in the clear");

    let second = new_pair(dir.path());
    assert_eq!(asked(trusting(&second), &server).await.unwrap(), 200);
    asked(trusting(&first), &server)
        .await
        .expect_err("the old one is gone");

    replace(&dir.path().join("cert.pem"), "no certificate");
    assert_eq!(asked(trusting(&second), &server).await.unwrap(), 200);
    // A certificate of another key pair is refused.
    replace(&dir.path().join("cert.pem"), &first);
    assert_eq!(asked(trusting(&second), &server).await.unwrap(), 200);
    assert!(asked(trusting(&first), &server).await.is_err());
}

#[tokio::test]
async fn a_client_without_the_certificate_that_is_asked_for_stays_outside() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let certificate = new_pair(dir.path());
    let client = rcgen::generate_simple_self_signed(["prometheus".to_owned()]).unwrap();
    replace(&dir.path().join("clients.pem"), &client.cert.pem());
    // A client certificate authenticates, so a public address needs no other authentication.
    let config = "listen: 0.0.0.0:0\ntls_server_config: { cert_file: cert.pem, key_file: key.pem, \
        client_auth_type: RequireAndVerifyClientCert, client_ca_file: clients.pem }";
    let setup = Setup::new().config(PREVIEW).config(config);
    let server = setup.start_in(Arc::clone(&dir)).await;
    asked(trusting(&certificate), &server)
        .await
        .expect_err("it proves nothing");
    let identity = client.cert.pem() + &client.signing_key.serialize_pem();
    let identity = reqwest::Identity::from_pem(identity.as_bytes()).unwrap();
    let known = trusting(&certificate).identity(identity);
    assert_eq!(asked(known, &server).await.unwrap(), 200);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_told_at_the_start() {
    for (file, content, part) in [
        ("cert.pem", "", "cert_file holds no certificate"),
        ("key.pem", "nothing", "key_file holds no private key"),
    ] {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        new_pair(dir.path());
        replace(&dir.path().join(file), content);
        let setup = Setup::new().config(PREVIEW).config(TLS);
        let Err(error) = setup.try_start_in(dir).await else {
            panic!("it starts without {file}");
        };
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_account_brings_its_token_and_the_authority_to_trust() {
    use alert_manager::runtime::{Credential, CredentialKind};
    use alert_manager::secret::SecretSource;
    let dir = Arc::new(tempfile::tempdir().unwrap());
    new_pair(dir.path());
    replace(&dir.path().join("token"), "account-token\n");
    let setup = Setup::new().config(PREVIEW).config(TLS);
    let setup = setup.config("api: { authorization: { credentials: account-token } }");
    // Any API over TLS will do: this one is at hand.
    let server = setup.start_in(Arc::clone(&dir)).await;
    let url = server.url.replace("http:", "https:");
    let harness = tests::harness::Harness::with_services(|services| {
        let account = Credential {
            kind: CredentialKind::ServiceAccount {
                token: SecretSource::file(dir.path().join("token")),
                ca_file: dir.path().join("cert.pem"),
            },
            origins: vec![alert_manager::policy::HttpGrant::parse(&url).unwrap()],
        };
        let account = Arc::new(account);
        services
            .credentials
            .insert("kubernetes".to_owned(), account);
    });
    let script =
        format!("credential kubernetes {url}/api/v1/deliveries\nget {url}/api/v1/deliveries");
    let call = harness.probe(&script).await.http(&url);
    let told = call.credential("kubernetes").facts().await;
    let nothing = "200 {\"deliveries\":[],\"next\":null";
    assert!(told[0].starts_with(nothing), "{}", told[0]);
    let why = "without it nobody vouches for the certificate";
    assert!(told[1].contains("Unreachable"), "{why}: {}", told[1]);
}
