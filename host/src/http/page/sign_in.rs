//! Signing in with the token of `api.authorization`, and out again.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderName, HeaderValue, StatusCode, Uri, header};

use super::filters;
use super::form::{Fields, Form};
use super::frame::{Frame, show};
use crate::http::access::{Access, SignIn};
use crate::http::error::ApiError;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInView<'a> {
    frame: Frame,
    by: SignIn,
    /// Where the person wanted to go: a path below `/`.
    to: &'a str,
    message: &'a str,
}

/// Asks for credentials in the place of a view. The status is that of the error, 401.
pub(super) fn ask(by: SignIn, uri: &Uri, message: &str) -> Result<Response, ApiError> {
    // After a wrong token the form is what was asked for.
    let is_form = uri.path() == "/sign-in";
    let wanted = uri.path_and_query().map_or("/", |wanted| wanted.as_str());
    let mut response = show(&SignInView {
        frame: Frame::for_anybody("Sign in", uri),
        by,
        to: if is_form { "/" } else { wanted },
        message: if is_form { message } else { "" },
    })?;
    let challenge = match by {
        SignIn::Form => "Bearer",
        SignIn::Dialog => "Basic realm=\"alert-manager\", charset=\"UTF-8\"",
    };
    response.headers_mut().insert(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static(challenge),
    );
    Ok(response)
}

/// Shows the form.
pub(super) async fn form(
    State(access): State<Arc<Access>>,
    uri: Uri,
) -> Result<Response, ApiError> {
    match access.sign_in_by() {
        Some(by @ SignIn::Form) => show(&SignInView {
            frame: Frame::for_anybody("Sign in", &uri),
            by,
            to: "/",
            message: "",
        }),
        _ => Ok(go_to("./")),
    }
}

/// Begins a session, and goes on to where the person wanted to go.
pub(super) async fn sign_in(
    State(access): State<Arc<Access>>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, ApiError> {
    let (name, credentials) = (fields.get("name"), fields.get("credentials").trim());
    let cookie = access.sign_in(name, credentials, &headers)?;
    let mut response = go_to(&local(fields.get("to")));
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

/// Ends the session of this browser.
pub(super) async fn sign_out(
    State(access): State<Arc<Access>>,
    headers: HeaderMap,
    _form: Form,
) -> Result<Response, ApiError> {
    let mut response = go_to("./sign-in");
    let cookie = access.sign_out(&headers)?;
    let headers = response.headers_mut();
    headers.insert(header::SET_COOKIE, cookie);
    let clear = HeaderName::from_static("clear-site-data");
    headers.insert(clear, HeaderValue::from_static("\"cache\""));
    Ok(response)
}

/// Returns where to go, relative to `/sign-in`: never another server, whatever the form says.
fn local(to: &str) -> String {
    let is_path = to.starts_with('/') && to.bytes().all(|byte| byte.is_ascii_graphic());
    let path = to.trim_start_matches(['/', '\\']);
    if is_path {
        format!("./{path}")
    } else {
        "./".to_owned()
    }
}

fn go_to(location: &str) -> Response {
    let location = HeaderValue::try_from(location).unwrap_or(HeaderValue::from_static("./"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_in_leads_nowhere_else() {
        for (to, location) in [
            ("/", "./"),
            ("/deliveries/x?a=b&c=d", "./deliveries/x?a=b&c=d"),
            ("//evil.example/", "./evil.example/"),
            ("/\\evil.example", "./evil.example"),
            ("https://evil.example/", "./"),
            ("/a\nb", "./"),
            ("javascript:alert(1)", "./"),
            ("", "./"),
        ] {
            assert_eq!(local(to), location, "{to}");
        }
    }
}
