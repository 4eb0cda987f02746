//! Checks the credentials of requests, in constant time.

use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::error::ApiError;
use crate::secret::Authorization;

/// Checks the header `Authorization`; if no authorization is configured, every request passes.
pub(crate) fn authorize(
    wanted: Option<&Authorization>,
    headers: &HeaderMap,
) -> Result<(), ApiError> {
    let Some(wanted) = wanted else {
        return Ok(());
    };
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '));
    let Some((scheme, credentials)) = given else {
        return Err(ApiError::new(
            StatusCode::UNAUTHORIZED,
            "the request has no header Authorization, which is needed here",
        ));
    };
    if proves(wanted, scheme, credentials.trim())? {
        Ok(())
    } else {
        Err(ApiError::new(
            StatusCode::UNAUTHORIZED,
            "the credentials are wrong",
        ))
    }
}

fn proves(wanted: &Authorization, scheme: &str, credentials: &str) -> Result<bool, ApiError> {
    match wanted {
        Authorization::Scheme {
            scheme: wanted_scheme,
            credentials: secret,
        } => Ok(scheme.eq_ignore_ascii_case(wanted_scheme)
            && same(read(secret)?.expose().as_bytes(), credentials.as_bytes())),
        Authorization::Basic { username, password } => {
            let Some(pair) = STANDARD.decode(credentials).ok() else {
                return Ok(false);
            };
            let wanted_pair = Zeroizing::new(format!("{username}:{}", read(password)?.expose()));
            Ok(scheme.eq_ignore_ascii_case("basic") && same(wanted_pair.as_bytes(), &pair))
        }
    }
}

/// Compares digests, so that the time does not depend on the length either.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    Sha256::digest(a).ct_eq(&Sha256::digest(b)).into()
}

pub(super) fn read(
    secret: &crate::secret::SecretSource,
) -> Result<crate::secret::Secret, ApiError> {
    secret.read().map_err(|error| {
        tracing::error!(%error, "cannot read the credentials of webhook.authorization or api.authorization; requests are answered 503 until they can be read");
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the server cannot read its own credentials now",
        )
    })
}
