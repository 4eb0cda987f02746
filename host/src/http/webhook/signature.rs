//! Verifies the signature of a body, in the format of Grafana.

use axum::http::{HeaderMap, StatusCode};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::settings;
use crate::alert::Timestamp;
use crate::http::error::ApiError;
use crate::secret::SecretSource;

/// How far a signed time may differ from the server's, in seconds, so that a recorded request cannot be replayed later.
const AGE_MAX_SECONDS: i64 = 5 * 60;

/// A signature whose body has not been read yet.
pub(super) struct Claim {
    /// Initialized with everything that precedes the body.
    mac: Hmac<Sha256>,
    signature: Vec<u8>,
}

impl Claim {
    /// Reads the signature from the headers; `None` if there is none.
    ///
    /// # Errors
    /// Returns an error if it can match no body: it is invalid, or its time is missing or old.
    pub(super) fn read(
        wanted: &settings::Hmac,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Option<Self>, ApiError> {
        let Some(given) = headers.get(&wanted.header) else {
            return Ok(None);
        };
        let signature = given.to_str().ok().and_then(from_hex).ok_or_else(|| {
            refused(format!(
                "{} is not a SHA-256 digest in hexadecimal",
                wanted.header
            ))
        })?;
        let mut mac = keyed(&wanted.secret)?;
        if let Some(header) = &wanted.timestamp_header {
            let text = headers
                .get(header)
                .and_then(|value| value.to_str().ok())
                .ok_or_else(|| refused(format!("this needs the header {header}")))?;
            let seconds: i64 = text
                .parse()
                .map_err(|_| refused(format!("{header} is not a time in seconds since 1970")))?;
            if now.as_second().abs_diff(seconds) > AGE_MAX_SECONDS.unsigned_abs() {
                let why = "is more than 5 minutes from this server's time; check both clocks";
                return Err(refused(format!("{header} {why}")));
            }
            mac.update(text.as_bytes());
            mac.update(b":");
        }
        Ok(Some(Self { mac, signature }))
    }

    /// Adds the next part of the body.
    pub(super) fn update(&mut self, part: &[u8]) {
        self.mac.update(part);
    }

    /// Verifies the signature in constant time.
    ///
    /// # Errors
    /// Returns an error if the signature does not match.
    pub(super) fn verify(self) -> Result<(), ApiError> {
        self.mac
            .verify_slice(&self.signature)
            .map_err(|_| refused("the signature does not match the body".to_owned()))
    }
}

fn keyed(secret: &SecretSource) -> Result<Hmac<Sha256>, ApiError> {
    let unreadable = || {
        let what = "the server cannot read its own credentials now";
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, what)
    };
    let secret = secret.read().map_err(|error| {
        tracing::error!(%error, "cannot read the secret of webhook.hmac; requests are answered 503 until it can be read");
        unreadable()
    })?;
    Hmac::new_from_slice(secret.expose().as_bytes()).map_err(|_| unreadable())
}

fn refused(message: String) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, message)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    digits
        .chunks_exact(2)
        .map(|pair| {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use axum::http::HeaderName;

    use super::*;
    use crate::secret::Secret;

    const SIGNATURE: &str = "x-grafana-alerting-signature";
    const TIMESTAMP: &str = "x-grafana-alerting-timestamp";

    fn wanted(timestamp_header: Option<&'static str>) -> settings::Hmac {
        settings::Hmac {
            secret: SecretSource::value(Secret::new("key")),
            header: HeaderName::from_static(SIGNATURE),
            timestamp_header: timestamp_header.map(HeaderName::from_static),
        }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    fn judge(
        wanted: &settings::Hmac,
        pairs: &[(&'static str, &str)],
        body: &[u8],
        now: i64,
    ) -> Result<(), String> {
        let now = Timestamp::from_second(now).unwrap();
        let mut claim = Claim::read(wanted, &headers(pairs), now)
            .map_err(|error| format!("{error:?}"))?
            .expect("a signature is there");
        body.chunks(7).for_each(|part| claim.update(part));
        claim.verify().map_err(|error| format!("{error:?}"))
    }

    // RFC 2104's example for other functions, with SHA-256: HMAC("key", "The quick brown fox …").
    const FOX: &[u8] = b"The quick brown fox jumps over the lazy dog";
    const OF_FOX: &str = "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8";

    #[test]
    fn the_body_alone_is_signed_where_no_time_is_asked_for() {
        let wanted = wanted(None);
        judge(&wanted, &[(SIGNATURE, OF_FOX)], FOX, 0).unwrap();
        judge(&wanted, &[(SIGNATURE, &OF_FOX.to_uppercase())], FOX, 0).unwrap();
        let error = judge(&wanted, &[(SIGNATURE, OF_FOX)], b"another", 0).unwrap_err();
        assert!(error.contains("does not match"), "{error}");
        let cut = judge(&wanted, &[(SIGNATURE, &OF_FOX[..62])], FOX, 0).unwrap_err();
        assert!(cut.contains("not a SHA-256"), "{cut}");
        let none = Claim::read(&wanted, &HeaderMap::new(), Timestamp::UNIX_EPOCH);
        assert!(none.unwrap().is_none());
    }

    #[test]
    fn a_time_is_signed_with_the_body_and_may_not_be_old() {
        let wanted = wanted(Some(TIMESTAMP));
        let signed = {
            let mut mac = Hmac::<Sha256>::new_from_slice(b"key").unwrap();
            mac.update(b"1700000000:{}");
            mac.finalize()
                .into_bytes()
                .iter()
                .fold(String::new(), |mut hex, byte| {
                    use std::fmt::Write as _;
                    let _ = write!(hex, "{byte:02x}");
                    hex
                })
        };
        let both = [(SIGNATURE, signed.as_str()), (TIMESTAMP, "1700000000")];
        judge(&wanted, &both, b"{}", 1_700_000_300).unwrap();
        judge(&wanted, &both, b"{}", 1_699_999_700).unwrap();
        for now in [1_700_000_301, 1_699_999_699] {
            let error = judge(&wanted, &both, b"{}", now).unwrap_err();
            assert!(error.contains("5 minutes"), "{error}");
        }
        let moved = [(SIGNATURE, signed.as_str()), (TIMESTAMP, "1700000001")];
        judge(&wanted, &moved, b"{}", 1_700_000_000).unwrap_err();
        let missing = judge(&wanted, &[(SIGNATURE, &signed)], b"{}", 1_700_000_000);
        assert!(missing.unwrap_err().contains(TIMESTAMP));
    }
}
