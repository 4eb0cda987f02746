//! Signing in with the token of `api.authorization`, and out again.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};

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
    /// The name that the person gave before.
    name: &'a str,
    message: &'a str,
}

/// What a form had that was refused, to be in the next one.
#[derive(Clone, Debug)]
pub(super) struct Given {
    to: String,
    name: String,
}

/// Asks for credentials in the place of a view. The status is that of the error, 401.
pub(super) fn ask(
    by: SignIn,
    (method, uri): (&Method, &Uri),
    given: Option<&Given>,
    message: &str,
) -> Result<Response, ApiError> {
    let wanted = match *method {
        Method::GET | Method::HEAD => uri.path_and_query().map_or("/", |wanted| wanted.as_str()),
        // What a form would have done is not done by following a link.
        _ => match uri.path() {
            "/deliveries/preview" | "/deliveries/apply" => "/deliveries",
            "/routes" => "/routes",
            _ => "/",
        },
    };
    let mut response = show(&SignInView {
        frame: Frame::for_anybody("Sign in", uri),
        by,
        to: given.map_or(wanted, |given| &given.to),
        name: given.map_or("", |given| &given.name),
        // After a wrong token the form is what was asked for.
        message: if given.is_some() { message } else { "" },
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
            name: "",
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
    let cookie = match access.sign_in(name, credentials, &headers) {
        Ok(cookie) => cookie,
        Err(error) => {
            let mut response = error.into_response();
            response.extensions_mut().insert(Given {
                to: fields.get("to").to_owned(),
                name: name.to_owned(),
            });
            return Ok(response);
        }
    };
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
