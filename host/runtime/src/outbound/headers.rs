//! The headers of a request: checks those of the handler, and makes the one with the credential.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{HeaderName, HeaderValue};
use zeroize::Zeroizing;

use super::mask::Masks;
use crate::limits;
use crate::outbound::credential::{Credential, CredentialKind};
use alert_manager_core::policy::folded;
use alert_manager_core::secret::Authorization;
use alert_manager_core::secret::SecretSource;
use alert_manager_core::text::inert;

/// Headers of the connection or the framing. Only the host may set these and those that begin with `proxy-`.
const RESERVED_HEADERS: [&str; 11] = [
    "alt-used",
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Returns true for a header that only the host may set. Servers that pass headers on as CGI does treat `content_length` as
/// `content-length`.
fn is_reserved(name: &str) -> bool {
    let name = folded(name);
    RESERVED_HEADERS.contains(&name.as_str()) || name.starts_with("proxy-")
}

/// Whether the response can repeat a credential, and so has to be searched for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Echo {
    Possible,
    Impossible,
}

/// Returns true for a header that asks for a response in which a credential would not be found: a part of the response, a
/// difference, a digest, or another encoding or character set.
fn hides_echoes(name: &str, value: &str) -> bool {
    match folded(name).as_str() {
        "accept-encoding" | "x-accept-encoding" => !value.trim().eq_ignore_ascii_case("identity"),
        "accept-charset" => !value.trim().eq_ignore_ascii_case("utf-8"),
        "range" | "request-range" | "a-im" | "want-digest" => true,
        // `Content-Range` describes the request's own body.
        "content-range" => false,
        other => other.ends_with("-range") || other.starts_with("want-"),
    }
}

/// The header with a credential.
pub(super) struct AddedHeader {
    pub(super) name: HeaderName,
    pub(super) value: HeaderValue,
    /// The forms of the credential that are masked in the response.
    pub(super) masks: Masks,
}

impl AddedHeader {
    /// Reads the credential's current value.
    ///
    /// # Errors
    /// Why it cannot be sent, without any part of it.
    pub(super) fn of(credential: &Credential) -> Result<Self, String> {
        let read = |source: &SecretSource| {
            source
                .read()
                .map_err(|error| format!("the credential: {error}"))
        };
        let (name, masks, text) = match &credential.kind {
            CredentialKind::Authorization(Authorization::Scheme {
                scheme,
                credentials,
            }) => {
                let secret = read(credentials)?;
                let text = format!("{scheme} {}", secret.expose());
                ("authorization", Masks::of(&[secret.expose()]), text)
            }
            CredentialKind::Authorization(Authorization::Basic { username, password }) => {
                let secret = read(password)?;
                let decoded = Zeroizing::new(format!("{username}:{}", secret.expose()));
                let pair = Zeroizing::new(STANDARD.encode(decoded.as_bytes()));
                let masks = Masks::of(&[&pair, &decoded, secret.expose()]);
                ("authorization", masks, format!("Basic {}", *pair))
            }
            CredentialKind::Header { name, value } => {
                let secret = read(value)?;
                let text = secret.expose().to_owned();
                (name.as_str(), Masks::of(&[&text]), text)
            }
            CredentialKind::ServiceAccount { token, .. } => {
                let secret = read(token)?;
                let text = format!("Bearer {}", secret.expose());
                ("authorization", Masks::of(&[secret.expose()]), text)
            }
        };
        let text = Zeroizing::new(text);
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("the credential: {name:?} is no header's name"))?;
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| "the credential holds what no header can carry".to_owned())?;
        value.set_sensitive(true);
        Ok(Self { name, value, masks })
    }
}

/// Checks the handler's headers.
///
/// # Errors
/// Which of them cannot be sent, and why.
pub(super) fn check(
    given: &[(String, String)],
    added: Option<&AddedHeader>,
    echo: Echo,
) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let bytes: usize = given.iter().map(|(n, v)| n.len() + v.len()).sum();
    if given.len() > limits::HTTP_HEADERS_MAX || bytes > limits::HTTP_HEADER_BYTES_MAX {
        return Err(format!(
            "headers: {} of {bytes} bytes, at most {} of {}",
            given.len(),
            limits::HTTP_HEADERS_MAX,
            limits::HTTP_HEADER_BYTES_MAX
        ));
    }
    let mut headers = Vec::with_capacity(given.len());
    for (name, value) in given {
        let shown = inert(name);
        let parsed = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("headers: {shown:?} is no header's name"))?;
        if is_reserved(parsed.as_str()) {
            return Err(format!(
                "headers: {shown} is the host's to set: leave it out"
            ));
        }
        if echo == Echo::Possible && hides_echoes(name, value) {
            return Err(format!(
                "headers: {shown} is not sent together with a credential: the answer could repeat the credential in parts \
                 or in a coding that is not looked into; leave it out"
            ));
        }
        if added.is_some_and(|added| folded(added.name.as_str()) == folded(name)) {
            return Err(format!(
                "headers: {shown} is what the credential adds: leave out one of the two"
            ));
        }
        let value = HeaderValue::from_str(value).map_err(|_| {
            format!("headers: the value of {shown} holds a line break or another character that no header carries")
        })?;
        headers.push((parsed, value));
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::outbound::request::OutboundResponse;
    use alert_manager_core::secret::Secret;

    fn given(name: &str, value: &str) -> Vec<(String, String)> {
        vec![(name.to_owned(), value.to_owned())]
    }

    fn bearer() -> AddedHeader {
        AddedHeader::of(&Credential {
            kind: CredentialKind::Authorization(Authorization::Scheme {
                scheme: "Bearer".to_owned(),
                credentials: SecretSource::value(Secret::new("hunter22")),
            }),
            origins: vec![],
        })
        .unwrap()
    }

    #[test]
    fn headers_of_the_framing_are_refused() {
        for (name, value) in [
            ("Host", "evil"),
            ("content-length", "3"),
            ("Transfer-Encoding", "chunked"),
            ("Connection", "close"),
            ("Keep-Alive", "timeout=5"),
            ("TE", "trailers"),
            ("Trailer", "x"),
            ("Upgrade", "h2c"),
            ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
            ("Expect", "100-continue"),
            ("Proxy-Authorization", "Basic x"),
            ("Proxy-Connection", "keep-alive"),
            ("Proxy-Anything", "x"),
            (":authority", "evil"),
            (":path", "/evil"),
            ("x-a", "b\r\nHost: evil"),
            ("x-a", "b\nc"),
            ("x-a", "b\rc"),
            ("x-a", "b\0c"),
            ("x-a\r\nb", "c"),
            ("x-a:", "c"),
            ("x a", "b"),
            (" host", "b"),
            ("", "b"),
            ("content_length", "3"),
            ("Transfer.Encoding", "chunked"),
            ("proxy_authorization", "Basic x"),
        ] {
            assert!(
                check(&given(name, value), None, Echo::Impossible).is_err(),
                "{name:?}: {value:?}"
            );
        }
        let fine = check(&given("Accept", "text/plain"), None, Echo::Possible).unwrap();
        assert_eq!(fine.len(), 1);
        assert!(check(&vec![("a".into(), "b".into()); 101], None, Echo::Impossible).is_err());
    }

    #[test]
    fn headers_that_ask_for_a_part_or_an_encoding_are_refused_with_a_credential() {
        for (name, value) in [
            ("Range", "bytes=0-3"),
            ("range", "bytes=0-3,8-11"),
            ("Request-Range", "bytes=0-3"),
            ("If-Range", "\"1\""),
            ("x-ms-range", "bytes=0-3"),
            ("X_Ms_Range", "bytes=0-3"),
            ("A-IM", "vcdiff"),
            ("Accept-Encoding", "gzip"),
            ("Accept-Encoding", "identity, br"),
            ("Accept-Encoding", "*"),
            ("X-Accept-Encoding", "zstd"),
            ("Accept-Charset", "utf-7"),
            ("Want-Digest", "sha-256"),
            ("Want-Content-Digest", "sha-256=1"),
            ("Want-Repr-Digest", "sha-256=1"),
        ] {
            let own = given(name, value);
            let why = check(&own, None, Echo::Possible).unwrap_err();
            assert!(why.contains(name) && why.contains("leave it out"), "{why}");
            assert!(check(&own, None, Echo::Impossible).is_ok(), "{name}");
        }
        for (name, value) in [
            ("Accept-Encoding", "identity"),
            ("Accept-Charset", "UTF-8"),
            ("Content-Range", "bytes 0-3/4"),
            ("If-None-Match", "\"1\""),
        ] {
            assert!(
                check(&given(name, value), None, Echo::Possible).is_ok(),
                "{name}"
            );
        }
    }

    #[test]
    fn a_header_with_the_name_of_the_credentials_header_is_refused() {
        let own = given("AUTHORIZATION", "Bearer mine");
        assert!(check(&own, None, Echo::Possible).is_ok());
        for name in ["AUTHORIZATION", "authorization"] {
            let own = given(name, "Bearer mine");
            assert!(check(&own, Some(&bearer()), Echo::Possible).is_err());
        }
        assert_eq!(bearer().value, "Bearer hunter22");
        assert!(!format!("{:?}", bearer().value).contains("hunter22"));
    }

    #[test]
    fn no_form_of_a_basic_credential_comes_back() {
        let added = AddedHeader::of(&Credential {
            kind: CredentialKind::Authorization(Authorization::Basic {
                username: "robot".to_owned(),
                password: SecretSource::value(Secret::new("hunter22")),
            }),
            origins: vec![],
        })
        .unwrap();
        let value = added.value.to_str().unwrap().to_owned();
        let pair = STANDARD.encode("robot:hunter22");
        assert_eq!(value, format!("Basic {pair}"));
        let body = format!("{value} {pair} robot:hunter22 hunter22 robot");
        let mut response = OutboundResponse {
            status: 200,
            headers: given("x-echo", &value),
            body: body.into_bytes(),
        };
        added.masks.apply(&mut response);
        assert_eq!(response.headers[0].1, "Basic [credential]");
        assert_eq!(
            String::from_utf8(response.body).unwrap(),
            "Basic [credential] [credential] [credential] [credential] robot"
        );
    }
}
