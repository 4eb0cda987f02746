//! Who may use the API and the page, and who a request is from.
//!
//! A request is admitted if it does not come from a page of another origin (`origin.rs`), and if it proves itself: by the header
//! `Authorization`, or by the cookie of a browser that has signed in. Without `api.authorization` there is nothing to prove.

mod session;
mod settings;

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::extract::{ConnectInfo, Request};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::answers::Person;
use super::auth::{self, authorize};
use super::error::ApiError;
use super::origin::OriginCheck;
use crate::alert::Timestamp;
use crate::http::server::Standing;
use crate::secret::Authorization;
use crate::text::visible;

pub(crate) use session::Sessions;
use session::{COOKIE, NAME_BYTES_MAX, SESSION_SECONDS, Session};
pub(crate) use settings::Settings;

/// Checks requests to the API and the page.
pub(crate) struct Access {
    pub(crate) settings: Arc<ArcSwap<Settings>>,
    pub(crate) origin: OriginCheck,
    pub(crate) sessions: Sessions,
}

/// What the cookie of a session lets a browser do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cookies {
    /// Read: whoever changes something proves it with the header.
    Read,
    /// Read and change: what changes something checks the token of its form.
    ReadAndChange,
}

/// A request that was admitted.
#[derive(Clone, Debug)]
pub(super) struct Admitted {
    /// Who has made it.
    pub(super) person: Person,
    /// The session that its cookie proves.
    session: Option<Session>,
}

/// How a browser can authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignIn {
    /// Its own dialog asks for a name and a password.
    Dialog,
    /// A form asks for the credentials.
    Form,
}

impl Access {
    /// Checks the origin of a request and its credentials.
    ///
    /// # Errors
    /// 401 if it does not prove itself, 403 and 421 if another origin may have made it, 503 if the credentials of the server
    /// cannot be read.
    pub(super) fn admit(&self, cookies: Cookies, request: &Request) -> Result<Admitted, ApiError> {
        let settings = self.settings.load_full();
        let wanted = settings.authorization.as_ref();
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        self.origin.judge(wanted.is_some(), method, uri, headers)?;
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        let may_use = is_read || cookies == Cookies::ReadAndChange;
        let session = match wanted {
            Some(wanted) if may_use && !headers.contains_key(header::AUTHORIZATION) => {
                self.session(wanted, headers)?
            }
            _ => None,
        };
        if session.is_none() {
            authorize(wanted, headers)?;
        }
        if wanted.is_some()
            && let Some(standing) = request.extensions().get::<Standing>()
        {
            standing.authenticate();
        }
        Ok(Admitted {
            person: person(&settings, session.as_ref(), request),
            session,
        })
    }

    /// Checks a request to an endpoint that needs no credentials and returns names.
    ///
    /// # Errors
    /// 421 if a page of another origin may have made it.
    pub(super) fn admit_reader(&self, request: &Request) -> Result<(), ApiError> {
        let is_closed = self.settings.load().authorization.is_some();
        self.origin
            .judge_reader(is_closed, request.uri(), request.headers())
    }

    /// Checks that a request was not made by a page of another origin.
    ///
    /// # Errors
    /// 403 and 421 if one may have made it.
    pub(super) fn admit_anybody(&self, request: &Request) -> Result<(), ApiError> {
        let is_closed = self.settings.load().authorization.is_some();
        let (method, uri) = (request.method(), request.uri());
        self.origin.judge(is_closed, method, uri, request.headers())
    }

    /// Returns how a browser authenticates; none if there is nothing to prove.
    pub(super) fn sign_in_by(&self) -> Option<SignIn> {
        match self.settings.load().authorization.as_ref()? {
            Authorization::Scheme { .. } => Some(SignIn::Form),
            Authorization::Basic { .. } => Some(SignIn::Dialog),
        }
    }

    /// Begins a session of a person who gives the credentials of `api.authorization`, and returns its cookie.
    ///
    /// # Errors
    /// 401 if the credentials are wrong, 503 if those of the server cannot be read.
    pub(super) fn sign_in(
        &self,
        name: &str,
        credentials: &str,
        headers: &HeaderMap,
    ) -> Result<HeaderValue, ApiError> {
        let settings = self.settings.load_full();
        let wanted = match &settings.authorization {
            Some(Authorization::Scheme { credentials, .. }) => auth::read(credentials)?,
            _ => {
                return Err(ApiError::new(
                    StatusCode::NOT_FOUND,
                    "no token is needed here",
                ));
            }
        };
        if !auth::same(wanted.expose().as_bytes(), credentials.as_bytes()) {
            return Err(ApiError::new(
                StatusCode::UNAUTHORIZED,
                "the token is wrong: it is that of api.authorization in the server's configuration",
            ));
        }
        let session = Session::begin(&visible(name.trim(), " ", " "), Timestamp::now());
        let sealed = self.sessions.seal(&session, wanted.expose().as_bytes());
        cookie(&sealed, SESSION_SECONDS, self.is_secure(headers))
    }

    /// Returns a cookie that ends the session of a browser.
    pub(super) fn sign_out(&self, headers: &HeaderMap) -> Result<HeaderValue, ApiError> {
        cookie("", 0, self.is_secure(headers))
    }

    /// Returns the token that the forms of a page have to bring.
    pub(super) fn form_token(&self, admitted: &Admitted) -> String {
        self.sessions.form_token(admitted.session.as_ref())
    }

    /// Returns whether a form has the token of a page that this person was shown.
    pub(super) fn is_form_token(&self, admitted: &Admitted, given: &str) -> bool {
        let session = admitted.session.as_ref();
        self.sessions.is_form_token(session, given)
    }

    fn session(
        &self,
        wanted: &Authorization,
        headers: &HeaderMap,
    ) -> Result<Option<Session>, ApiError> {
        let Authorization::Scheme { credentials, .. } = wanted else {
            return Ok(None);
        };
        if !headers.contains_key(header::COOKIE) {
            return Ok(None);
        }
        let wanted = auth::read(credentials)?;
        let (sessions, now) = (&self.sessions, Timestamp::now());
        Ok(sessions.of(headers, wanted.expose().as_bytes(), now))
    }

    /// Returns whether the browser reaches the server by HTTPS: as the form's origin says, which every browser sends, even if a
    /// proxy terminates TLS.
    fn is_secure(&self, headers: &HeaderMap) -> bool {
        match headers.get(header::ORIGIN) {
            Some(origin) => origin.as_bytes().starts_with(b"https:"),
            None => self.origin.is_https(),
        }
    }
}

impl Admitted {
    /// Returns whether it was the cookie of a session that proved the request.
    pub(super) fn has_session(&self) -> bool {
        self.session.is_some()
    }
}

fn cookie(value: &str, seconds: i64, is_secure: bool) -> Result<HeaderValue, ApiError> {
    let secure = if is_secure { "; Secure" } else { "" };
    let cookie =
        format!("{COOKIE}={value}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Lax{secure}");
    cookie
        .parse()
        .map_err(|_| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "no cookie can be made"))
}

/// Returns the name in a header. If there are several lines, a client may have sent one of them itself, and none counts.
fn named_once(headers: &HeaderMap, header: &HeaderName) -> Option<String> {
    let mut lines = headers.get_all(header).iter();
    let name = lines.next()?;
    if lines.next().is_some() {
        static LOGGED: std::sync::Once = std::sync::Once::new();
        LOGGED.call_once(|| {
            tracing::warn!(
                "{header} came with several lines, so the person is not known: have the proxy replace the header, not add to it"
            );
        });
        return None;
    }
    Some(String::from_utf8_lossy(name.as_bytes()).into_owned())
}

/// Returns who has made a request: as a trusted proxy says, or else as the person said on signing in.
fn person(settings: &Settings, session: Option<&Session>, request: &Request) -> Person {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let address = peer.map(|ConnectInfo(peer)| peer.ip());
    let headers = request.headers();
    let by_proxy = address
        .filter(|address| settings.trusts(*address))
        .and_then(|_| named_once(headers, settings.user_header.as_ref()?));
    let name = by_proxy
        .or_else(|| match &settings.authorization {
            Some(Authorization::Basic { username, .. }) => Some(username.clone()),
            _ => Some(session?.name.clone()),
        })
        .map(|name| {
            visible(&name, " ", " ")
                .chars()
                .take(NAME_BYTES_MAX)
                .collect()
        })
        .filter(|name: &String| !name.trim().is_empty());
    Person { name, address }
}
