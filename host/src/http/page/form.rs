//! Forms that change something.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRef, FromRequest, FromRequestParts as _, Request};
use http::StatusCode;

use super::frame::Visit;
use crate::http::access::Access;
use crate::http::error::ApiError;
use crate::telemetry::Refusal;

/// The name of the field with the token.
const TOKEN: &str = "token";

/// The fields of a form that was posted with the token of a page that this person was shown.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) visit: Visit,
    fields: Fields,
}

/// The fields of any form.
#[derive(Debug)]
pub(super) struct Fields(Vec<(String, String)>);

impl Form {
    /// Returns the value of a field; empty if there is none.
    pub(super) fn get(&self, name: &'static str) -> &str {
        self.fields.get(name)
    }

    /// Returns the values of a field that may be there more than once.
    pub(super) fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.fields.all(name)
    }
}

impl Fields {
    pub(super) fn get(&self, name: &'static str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        let fields = self.0.iter().filter(move |(known, _)| known == name);
        fields.map(|(_, value)| value.as_str())
    }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|error| ApiError::new(error.status(), error.body_text()))?;
        let fields = url::form_urlencoded::parse(&body).into_owned();
        Ok(Self(fields.collect()))
    }
}

impl<S: Send + Sync> FromRequest<S> for Form
where
    Arc<Access>: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let visit = Visit::from_request_parts(&mut parts, state).await?;
        let fields = Fields::from_request(Request::from_parts(parts, body), state).await?;
        let access = Arc::<Access>::from_ref(state);
        if !visit.is_own_form(&access, fields.get(TOKEN)) {
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "this form is not, or no longer, one of yours: go back, load the page again, and repeat what you did",
            )
            .because(Refusal::Page));
        }
        Ok(Self { visit, fields })
    }
}
