//! Sessions of the page: a cookie that says that its browser has signed in, and the token of its forms.
//!
//! The server keeps nothing. A cookie has its end, a random number and the name that the person gave, under a code that only the
//! server can make, from the store's secret and the credentials. So a session survives a restart, and ends if the credentials
//! change.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::alert::Timestamp;

/// The name of the cookie.
pub(super) const COOKIE: &str = "alert_manager_session";

/// How long a session lasts, in seconds: a week.
pub(super) const SESSION_SECONDS: i64 = 7 * 24 * 60 * 60;

/// The longest name that a person can give, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 100;

/// The longest cookie that is looked at.
const COOKIE_BYTES_MAX: usize = 1 << 10;

/// How many cookies of this name a request may have.
const COOKIES_MAX: usize = 4;

const MAC_BYTES: usize = 32;
const NONCE_BYTES: usize = 16;
const END_BYTES: usize = 8;

/// Makes sessions and checks them.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    key: [u8; 32],
}

/// A browser that has signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    /// When it ends, in seconds since 1970.
    ends_at: i64,
    nonce: [u8; NONCE_BYTES],
    /// What the person gave; empty if nothing.
    pub(super) name: String,
}

impl Session {
    /// Returns a session that begins now.
    pub(super) fn begin(name: &str, now: Timestamp) -> Self {
        let mut end = name.len().min(NAME_BYTES_MAX);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        Self {
            ends_at: now.as_second() + SESSION_SECONDS,
            nonce: rand::random(),
            name: name[..end].to_owned(),
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.ends_at.to_be_bytes().to_vec();
        bytes.extend(self.nonce);
        bytes.extend(self.name.as_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (ends_at, rest) = bytes.split_at_checked(END_BYTES)?;
        let (nonce, name) = rest.split_at_checked(NONCE_BYTES)?;
        Some(Self {
            ends_at: i64::from_be_bytes(ends_at.try_into().ok()?),
            nonce: nonce.try_into().ok()?,
            name: String::from_utf8(name.to_vec()).ok()?,
        })
    }
}

impl Sessions {
    /// Makes sessions under the store's secret for this purpose.
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// Returns the value of the cookie of a session that was begun with `credentials`.
    pub(super) fn seal(&self, session: &Session, credentials: &[u8]) -> String {
        let mut bytes = session.to_bytes();
        let mac = self.mac("session", &[&Sha256::digest(credentials), &bytes]);
        bytes.extend(mac.finalize().into_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Returns the session of a request, if it has one that has not ended and was begun with `credentials`.
    pub(super) fn of(
        &self,
        headers: &HeaderMap,
        credentials: &[u8],
        now: Timestamp,
    ) -> Option<Session> {
        let opened = |value: &str| self.open(value, credentials, now);
        cookies(headers).take(COOKIES_MAX).find_map(opened)
    }

    fn open(&self, value: &str, credentials: &[u8], now: Timestamp) -> Option<Session> {
        if value.len() > COOKIE_BYTES_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(value).ok()?;
        let (bytes, given) = bytes.split_at_checked(bytes.len().checked_sub(MAC_BYTES)?)?;
        let mac = self.mac("session", &[&Sha256::digest(credentials), bytes]);
        mac.verify_slice(given).ok()?;
        let session = Session::from_bytes(bytes)?;
        (now.as_second() < session.ends_at).then_some(session)
    }

    /// Returns the token that a form has to bring. It belongs to the session, if there is one. Else a page of another origin
    /// cannot read it, since it is on pages of this one only.
    pub(super) fn form_token(&self, session: Option<&Session>) -> String {
        let nonce = session.map_or(&[][..], |session| &session.nonce);
        let mac = self.mac("form", &[nonce]);
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }

    /// Returns whether a token is that of the forms of a session.
    pub(super) fn is_form_token(&self, session: Option<&Session>, given: &str) -> bool {
        let wanted = self.form_token(session);
        wanted.as_bytes().ct_eq(given.as_bytes()).into()
    }

    fn mac(&self, purpose: &str, parts: &[&[u8]]) -> Hmac<Sha256> {
        #[allow(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key");
        mac.update(purpose.as_bytes());
        for part in parts {
            mac.update(&[0]);
            mac.update(part);
        }
        mac
    }
}

/// Returns the values of the cookies of sessions.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(header::COOKIE).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn now() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().unwrap()
    }

    fn with_cookie(line: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, line.parse().unwrap())])
    }

    #[test]
    fn a_session_lasts_a_week_and_ends_with_its_credentials() {
        let sessions = Sessions::new([7; 32]);
        let session = Session::begin("Anna", now());
        let sealed = sessions.seal(&session, b"token");
        let headers = with_cookie(&format!("a=b; {COOKIE}={sealed}; c=d"));
        assert_eq!(
            sessions.of(&headers, b"token", now()),
            Some(session.clone())
        );
        let at = |seconds: i64| Timestamp::from_second(now().as_second() + seconds).unwrap();
        let late = at(SESSION_SECONDS - 1);
        assert!(sessions.of(&headers, b"token", late).is_some());
        let over = at(SESSION_SECONDS);
        assert_eq!(sessions.of(&headers, b"token", over), None);
        assert_eq!(sessions.of(&headers, b"another", now()), None);
        let others = Sessions::new([8; 32]);
        assert_eq!(others.of(&headers, b"token", now()), None);
    }

    #[test]
    fn a_cookie_that_was_changed_is_none() {
        let sessions = Sessions::new([7; 32]);
        let sealed = sessions.seal(&Session::begin("", now()), b"token");
        let mut bytes = URL_SAFE_NO_PAD.decode(&sealed).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            let changed = URL_SAFE_NO_PAD.encode(&bytes);
            assert_eq!(sessions.open(&changed, b"token", now()), None, "{at}");
            bytes[at] ^= 1;
        }
        let long = "A".repeat(COOKIE_BYTES_MAX + 1);
        for other in ["", "x", "é", &sealed[1..], &sealed[..8], &long] {
            assert_eq!(sessions.open(other, b"token", now()), None, "{other}");
        }
    }

    #[test]
    fn one_cookie_of_several_that_is_good_is_enough_and_their_number_is_bounded() {
        let sessions = Sessions::new([7; 32]);
        let sealed = sessions.seal(&Session::begin("", now()), b"token");
        let after = |count: usize| {
            let line = format!("{}{COOKIE}={sealed}", format!("{COOKIE}=x; ").repeat(count));
            sessions.of(&with_cookie(&line), b"token", now())
        };
        assert!(after(COOKIES_MAX - 1).is_some());
        assert_eq!(after(COOKIES_MAX), None);
    }

    #[test]
    fn a_form_belongs_to_its_session() {
        let sessions = Sessions::new([7; 32]);
        let (one, other) = (Session::begin("", now()), Session::begin("", now()));
        let token = sessions.form_token(Some(&one));
        assert!(sessions.is_form_token(Some(&one), &token));
        assert!(!sessions.is_form_token(Some(&other), &token));
        assert!(!sessions.is_form_token(None, &token));
        assert!(!sessions.is_form_token(Some(&one), ""));
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let session = Session::begin(&"é".repeat(NAME_BYTES_MAX), now());
        assert_eq!(session.name, "é".repeat(NAME_BYTES_MAX / 2));
    }
}
