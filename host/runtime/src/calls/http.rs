//! `http`: requests to granted origins, with credentials that the handler never sees.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::bindings::http::{Error, Host, Method, Request, Response};
use crate::calls::HookState;
use crate::calls::bytes::Bytes;
use crate::calls::context::HostContext;
use crate::calls::driver::{Done, Effect, HostCall, Refused};
use crate::calls::naming::{Plan, check_key, name_of, optional};
use crate::grant_uses::GrantKind;
use crate::limits::quota::{LimitHit, LimitName};
use crate::limits::{HTTP_URL_BYTES_MAX, TRACE_LINE_BYTES_MAX};
use crate::outbound::prepare::{NotAdmitted, Prepared};
use crate::outbound::request::{AnswerBound, OutboundError, OutboundRequest, OutboundResponse};
use crate::sandbox::stop::Stop;
use crate::text::{cut, masked};
use alert_manager_core::journal::{CallKind, CallName, Dependency};

impl Host for HookState {
    async fn send(&mut self, request: Request) -> wasmtime::Result<Result<Response, Error>> {
        Ok(self.call(HttpSend(request)).await?.map(Response::from))
    }
}

/// The part of a body that a story shows if it is not sent.
const SHOWN_BODY_BYTES_MAX: usize = 16 << 10;

/// `http.send`.
pub(super) struct HttpSend(pub(super) Request);

/// A response as it is recorded.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RecordedResponse {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
}

/// The part of a recorded body that [`recorded_body`] returns.
const RECORDED_BODY_BYTES_MAX: usize = 2 << 10;

/// Returns the beginning of the body of a recorded reply to `http.send`, with secrets masked; `None` if it has none.
pub fn recorded_body(reply: &str) -> Option<String> {
    let reply: Result<RecordedResponse, Error> = serde_json::from_str(reply).ok()?;
    let Bytes(body) = reply.ok()?.body;
    if body.is_empty() {
        return None;
    }
    Some(match std::str::from_utf8(&body) {
        Ok(text) => masked(text, RECORDED_BODY_BYTES_MAX),
        Err(_) => format!("{} bytes that are no text", body.len()),
    })
}

impl HostCall for HttpSend {
    const KIND: CallKind = CallKind::Http;
    type Reply = Result<RecordedResponse, Error>;
    type Error = Error;
    type Prepared = Prepared;

    /// Digests everything but the timeout.
    fn name(&self) -> CallName {
        let Self(request) = self;
        let [has_body, body] = optional(request.body.as_deref());
        let credential = request.credential.as_deref().map(str::as_bytes);
        let [has_credential, credential] = optional(credential);
        let mut parts = vec![
            b"http" as &[u8],
            method_name(request.method).as_bytes(),
            request.url.as_bytes(),
            has_body,
            body,
            has_credential,
            credential,
        ];
        for (name, value) in &request.headers {
            parts.extend([name.as_bytes(), value.as_bytes()]);
        }
        name_of(request.key.as_deref(), &parts)
    }

    fn line(&self) -> String {
        let method = method_name(self.0.method);
        format!("{method} {}", shown_url(&self.0.url))
    }

    fn changes(&self) -> bool {
        !matches!(self.0.method, Method::Get | Method::Head)
    }

    fn bytes_out(&self) -> usize {
        let body = self.0.body.as_ref().map_or(0, Vec::len);
        self.0.url.len() + bytes_of(&self.0.headers) + body
    }

    fn brings_in(&self) -> bool {
        true
    }

    fn bytes_in(reply: &Self::Reply) -> usize {
        match reply {
            Ok(answer) => answer.body.0.len() + bytes_of(&answer.headers),
            // The body was read up to this bound.
            Err(Error::TooLarge(max)) => *max as usize,
            Err(_) => 0,
        }
    }

    fn is_ok(reply: &Self::Reply) -> bool {
        reply.is_ok()
    }

    fn failed(error: Error) -> Done<Self::Reply> {
        let line = explain(&error);
        match error {
            Error::Denied(why) => Done::denied(&why, line, |why| Err(Error::Denied(why))),
            Error::InvalidRequest(_) | Error::BudgetExhausted(_) => Done::refused(Err(error), line),
            _ => Done::live(Err(error), line),
        }
    }

    fn check(self, host: &HostContext) -> Result<Prepared, Error> {
        let changes = self.changes();
        let Self(request) = self;
        check_key(request.key.as_deref()).map_err(Error::InvalidRequest)?;
        let (used, max) = (
            request.body.as_ref().map_or(0, Vec::len),
            host.limits.request_bytes_max,
        );
        if used > max {
            let hit = LimitHit {
                limit: LimitName::RequestBytes,
                used: used as u64,
                max: max as u64,
                detail: format!("a body of {used} bytes, at most {max}"),
            };
            host.recorder.limit_hit(hit.limit);
            return Err(Error::InvalidRequest(hit.to_string()));
        }
        let asked = request
            .timeout_ms
            .map(|ms| Duration::from_millis(ms.into()));
        let left = host.time_left();
        let prepared = host.requester().prepare(OutboundRequest {
            method: method_of(request.method),
            url: request.url,
            headers: request.headers,
            body: request.body,
            credential: request.credential,
            deadline: Instant::now() + asked.map_or(left, |asked| asked.min(left)),
            answer: answer_bound(host, changes),
        });
        Ok(prepared?)
    }

    /// If nothing is sent and there is an answer, the handler gets that.
    async fn hold_back(
        prepared: Prepared,
        _: &Plan,
        host: &mut HostContext,
    ) -> Result<Done<Self::Reply>, Stop> {
        let preview = Some(shown(&prepared));
        if !prepared.has_answer() {
            let answer = RecordedResponse {
                status: 200,
                headers: Vec::new(),
                body: Bytes::default(),
            };
            let line = "held back; the handler was answered 200";
            return Ok(Done {
                preview,
                ..Done::held_back(Ok(answer), line)
            });
        }
        let sent = prepared.send().await;
        host.count_in(sent.withheld_bytes);
        let line = match sent.line {
            Some(line) => format!("held back; the handler was answered {line}"),
            None => "held back".to_owned(),
        };
        let reply = sent.reply.map(RecordedResponse::from).map_err(Error::from);
        Ok(Done {
            preview,
            ..Done::held_back(reply, line)
        })
    }

    fn admit(prepared: &mut Prepared, host: &HostContext) -> Result<Duration, Done<Self::Reply>> {
        let per_second = host.limits.requests_per_second_max;
        let breakers = &host.services.breakers;
        let admitted = prepared.admit(breakers, &host.rates, per_second, Instant::now());
        admitted.map_err(|why| match why {
            NotAdmitted::Breaker(why) => {
                host.recorder.unanswered(origin_of(prepared));
                Self::failed(Error::Unreachable(why))
            }
            NotAdmitted::Rate(why) => {
                let limit = LimitName::RequestsPerSecond;
                host.recorder.limit_hit(limit);
                Self::failed(Error::Unavailable(format!("{limit}: {why}")))
            }
        })
    }

    async fn live(
        prepared: Prepared,
        _: &Plan,
        host: &mut HostContext,
    ) -> Result<Done<Self::Reply>, Stop> {
        let (needed, limit) = (origin_of(&prepared), prepared.answer_bound().limit);
        let origin = prepared.origin().to_owned();
        host.note_grant(GrantKind::Http, prepared.grant());
        if let Some(name) = prepared.credential() {
            host.note_grant(GrantKind::Credential, name);
        }
        // Before the request is sent, in case the invocation's time ends before the answer.
        host.recorder.unanswered(needed.clone());
        let sent = prepared.send().await;
        host.count_in(sent.withheld_bytes);
        let breakers = Arc::clone(&host.services.breakers);
        let failed = |why: &str| breakers.failed(&host.handler, &origin, why, Instant::now());
        match &sent.reply {
            // A step that fails now waits for this origin.
            Err(OutboundError::Unreachable(why)) => failed(why),
            Err(OutboundError::Timeout) => failed("no answer in time"),
            Ok(response) if response.status >= 500 => breakers.answered(&origin),
            // The origin works but limits the rate: this step need not wait for it, and the steps that do are not woken.
            Ok(response) if response.status == 429 => {
                breakers.answered(&origin);
                host.recorder.not_awaited(&needed);
            }
            reply => {
                if let Err(OutboundError::TooLarge(_)) = reply {
                    host.recorder.limit_hit(limit);
                }
                breakers.answered(&origin);
                host.recorder.answered(needed);
            }
        }
        let done = match (sent.reply.map(RecordedResponse::from), sent.line) {
            (Ok(answer), line) => Done::live(Ok(answer), line.unwrap_or_default()),
            (Err(error), Some(line)) => Done::live(Err(error.into()), line),
            (Err(error), None) => Self::failed(error.into()),
        };
        Ok(Done {
            effect: Effect::Of(sent.change),
            ..done
        })
    }
}

/// Returns the bound of the response body: the lowest of its own limit and what is left of each budget.
fn answer_bound(host: &HostContext, changes: bool) -> AnswerBound {
    let mut bound = AnswerBound {
        bytes_max: host.limits.response_bytes_max,
        limit: LimitName::ResponseBytes,
    };
    let mut lower = |bytes_max, limit| {
        if bytes_max < bound.bytes_max {
            bound = AnswerBound { bytes_max, limit };
        }
    };
    let bytes_in_left = u32::try_from(host.bytes_in_left()).unwrap_or(u32::MAX);
    lower(bytes_in_left, LimitName::BytesIn);
    if changes {
        lower(host.recorded_body_bytes_max(), LimitName::RecordBytes);
    }
    bound
}

/// Returns the URL and the body of a request, for a story that shows them instead of sending them. Headers are left out: the
/// host adds its credential to them.
fn shown(prepared: &Prepared) -> serde_json::Value {
    let request = prepared.unsent();
    let body = request
        .as_ref()
        .and_then(|request| request.body()?.as_bytes());
    let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => masked(text, SHOWN_BODY_BYTES_MAX),
        Err(_) => format!("{} bytes that are no text", bytes.len()),
    };
    let url = request.as_ref().map(|request| request.url().as_str());
    serde_json::json!({
        "url": url.map(|url| masked(url, TRACE_LINE_BYTES_MAX)),
        "body": body.map(text),
    })
}

fn origin_of(prepared: &Prepared) -> Dependency {
    Dependency::Origin(prepared.origin().to_owned())
}

/// Returns the URL for the story, without its query, user and password, which may be confidential.
fn shown_url(text: &str) -> String {
    let parsed = Some(text).filter(|text| text.len() <= HTTP_URL_BYTES_MAX);
    let Some(mut url) = parsed.and_then(|text| Url::parse(text).ok()) else {
        return cut(text, 64).to_owned();
    };
    url.set_query(None);
    url.set_fragment(None);
    // These fail only for URLs that cannot have a user.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

fn method_name(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
    }
}

fn method_of(method: Method) -> reqwest::Method {
    match method {
        Method::Get => reqwest::Method::GET,
        Method::Head => reqwest::Method::HEAD,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
    }
}

fn bytes_of(headers: &[(String, String)]) -> usize {
    headers.iter().map(|(n, v)| n.len() + v.len()).sum()
}

fn explain(error: &Error) -> String {
    match error {
        Error::Denied(why) => format!("denied: {}", why.lines().next().unwrap_or_default()),
        Error::InvalidRequest(why) => format!("invalid request: {why}"),
        Error::Unreachable(why) => format!("unreachable: {why}"),
        Error::Timeout => "no answer in time".to_owned(),
        Error::TooLarge(max) => format!("a body over {max} bytes"),
        Error::BudgetExhausted(which) => which.clone(),
        Error::Unavailable(why) => format!("unavailable: {why}"),
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Limit(hit) => Self::BudgetExhausted(hit.to_string()),
            Refused::Unrecordable(why) => Self::Unavailable(why),
        }
    }
}

impl From<OutboundError> for Error {
    fn from(error: OutboundError) -> Self {
        match error {
            OutboundError::Denied(why) => Self::Denied(why),
            OutboundError::Invalid(why) => Self::InvalidRequest(why),
            OutboundError::Unreachable(why) => Self::Unreachable(why),
            OutboundError::Timeout => Self::Timeout,
            OutboundError::TooLarge(max) => Self::TooLarge(max),
            OutboundError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

impl From<OutboundResponse> for RecordedResponse {
    fn from(response: OutboundResponse) -> Self {
        Self {
            status: response.status,
            headers: response.headers,
            body: Bytes(response.body),
        }
    }
}

impl From<RecordedResponse> for Response {
    fn from(answer: RecordedResponse) -> Self {
        Self {
            status: answer.status,
            headers: answer.headers,
            body: answer.body.0,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn given(name: &str, value: &str) -> Vec<(String, String)> {
        vec![(name.to_owned(), value.to_owned())]
    }

    #[test]
    fn the_timeout_is_no_part_of_a_requests_name_and_all_else_is() {
        let request = |timeout_ms, body: &str| {
            HttpSend(Request {
                method: Method::Post,
                url: "https://user:pass@example.com/a?token=x".to_owned(),
                headers: given("a", "b"),
                body: Some(body.as_bytes().to_vec()),
                credential: None,
                key: None,
                timeout_ms,
            })
        };
        let first = request(None, "x");
        assert!(first.changes());
        assert_eq!(first.line(), "POST https://example.com/a");
        assert_eq!(first.name(), request(Some(5), "x").name());
        assert_ne!(first.name(), request(None, "y").name());
    }

    #[test]
    fn a_reply_is_recorded_as_it_always_was() {
        let replies = [
            (
                Ok(RecordedResponse {
                    status: 201,
                    headers: given("a", "b"),
                    body: Bytes(vec![0, 255, 10]),
                }),
                r#"{"Ok":{"status":201,"headers":[["a","b"]],"body":"AP8K"}}"#,
            ),
            (Err(Error::Timeout), r#"{"Err":"Timeout"}"#),
            (Err(Error::TooLarge(9)), r#"{"Err":{"TooLarge":9}}"#),
        ];
        for (reply, text) in replies {
            assert_eq!(serde_json::to_string(&reply).unwrap(), text);
            let back: Result<RecordedResponse, Error> = serde_json::from_str(text).unwrap();
            assert_eq!(back, reply);
        }
    }
}
