//! `http`: requests to granted origins, with credentials that a handler never sees.

mod headers;
mod mask;
mod readable;

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::bindings::http::{Error, Host, Method, Request, Response};
use crate::calls::endings::{Change, Ending, change_of};
use crate::limits;
use crate::outbound::credential::{Credential, CredentialKind};
use crate::outbound::egress::{HttpClient, SendError, judge_literal, refusal_in, root_cause};
use crate::outbound::rates::{ORIGINS_MAX, TooLate};
use crate::sandbox::state::{Powers, State};
use crate::{Answered, LimitHit, LimitName, Limits};
use alert_manager_core::journal::{CallKind, Dependency};
use alert_manager_core::policy::{Grants, HttpGrant, Refusal, scalar};

use super::{Done, NOT_IN_DESCRIBE, Plan, check_key, may_start, name_of, optional};

use headers::{AddedHeader, Echo};
use mask::Masks;

/// A body that is searched for credentials by the thread that read it; larger ones have a thread of their own.
const MASKED_AT_ONCE_BYTES_MAX: usize = 16 << 10;

/// A reply as it is recorded: the body in base64.
type Reply = Result<Recorded, Error>;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Recorded {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Recorded {
    fn of(response: &Response) -> Self {
        Self {
            status: response.status,
            headers: response.headers.clone(),
            body: STANDARD.encode(&response.body),
        }
    }

    fn into_response(self) -> Response {
        Response {
            status: self.status,
            headers: self.headers,
            body: STANDARD.decode(self.body).unwrap_or_default(),
        }
    }
}

impl Host for State {
    async fn send(&mut self, request: Request) -> wasmtime::Result<Result<Response, Error>> {
        self.count_any()?;
        let Some(powers) = &mut self.powers else {
            return Ok(Err(Error::Denied(NOT_IN_DESCRIBE.to_owned())));
        };
        let counted = powers.count(CallKind::Http, request_bytes(&request));
        if let Err(hit) = counted.and_then(|()| powers.check_in()) {
            self.recorder.turned_away(CallKind::Http, hit.limit);
            return Ok(Err(Error::BudgetExhausted(hit.to_string())));
        }
        let plan = plan(&request);
        if let Some(reply) = self.recorded::<Reply>(&plan)? {
            let reply = reply.map(Recorded::into_response);
            // As the first time, so that it comes to the same limit.
            self.count_response(&reply);
            return Ok(reply);
        }
        let done = self.send_live(&plan, request).await?;
        self.count_response(&done.reply);
        let (kept, reply) = match done.reply {
            Ok(response) => (Ok(Recorded::of(&response)), Ok(response)),
            Err(error) => (Err(error.clone()), Err(error)),
        };
        let done = Done {
            reply: kept,
            result: done.result,
            change: done.change,
            answered: done.answered,
            preview: done.preview,
        };
        let _ = self.finish(plan, done).await?;
        Ok(reply)
    }
}

type Sent = Done<Result<Response, Error>>;

impl State {
    fn count_response(&mut self, reply: &Result<Response, Error>) {
        let Some(powers) = &mut self.powers else {
            return;
        };
        match reply {
            Ok(response) => {
                powers.count_in(response.body.len() + headers_bytes(&response.headers));
            }
            // Up to there it was read, whatever the guest hears of it.
            Err(Error::TooLarge(max)) => powers.count_in(*max as usize),
            Err(_) => {}
        }
    }

    async fn send_live(&mut self, plan: &Plan, request: Request) -> wasmtime::Result<Sent> {
        let Some(powers) = &self.powers else {
            return Ok(failed(Error::Denied(NOT_IN_DESCRIBE.to_owned())));
        };
        if let Err(hit) = check_body(&request, &powers.limits) {
            self.recorder.met(hit.limit);
            return Ok(failed(Error::InvalidRequest(hit.to_string())));
        }
        let prepared = match prepare(powers, request, plan.changes) {
            Ok(prepared) => prepared,
            Err(error) => return Ok(failed(error)),
        };
        if plan.changes && powers.dry_run {
            return Ok(held_back());
        }
        if plan.changes
            && let Err(hit) = powers.check_record()
        {
            self.recorder.met(hit.limit);
            return Ok(failed(Error::BudgetExhausted(hit.to_string())));
        }
        let outages = Arc::clone(&powers.services.outages);
        let (handler, origin) = (powers.handler.clone(), prepared.origin.clone());
        let needed = Dependency::Origin(origin.clone());
        if let Some(why) = outages.refuses(&handler, &origin, Instant::now()) {
            self.recorder.needs(needed);
            return Ok(failed(Error::Unreachable(why)));
        }
        match take_turn(powers, &prepared) {
            Ok(Duration::ZERO) => {}
            Ok(wait) => tokio::time::sleep(wait).await,
            Err(why) => {
                self.recorder.met(LimitName::RequestsPerSecond);
                let why = format!("{}: {why}", LimitName::RequestsPerSecond);
                return Ok(failed(Error::Unavailable(why)));
            }
        }
        // Last: the lease may have been lost while it waited.
        if plan.changes
            && let Err(why) = may_start(Some(powers))?
        {
            return Ok(failed(Error::Unavailable(why)));
        }
        if plan.changes
            && let Err(why) = self.note(plan).await?
        {
            return Ok(failed(Error::Unavailable(why)));
        }
        self.begin(plan);
        // Also if the invocation's time ends before the answer.
        self.recorder.needs(needed.clone());
        let body_limit = prepared.body_limit;
        let (sent, withheld_bytes) = exchange(prepared).await;
        if let Some(powers) = &mut self.powers {
            powers.count_in(withheld_bytes);
        }
        if let Err(Error::TooLarge(_)) = sent.reply {
            self.recorder.met(body_limit);
        }
        let failed = match &sent.reply {
            Err(Error::Unreachable(why)) => Some(why.as_str()),
            Err(Error::Timeout) => Some("no answer in time"),
            _ => None,
        };
        match failed {
            Some(why) => outages.failed(&handler, &origin, why, Instant::now()),
            None => outages.answered(&origin),
        }
        match &sent.reply {
            // It is out of order: what needs it waits.
            Err(Error::Unreachable(_) | Error::Timeout) => {}
            Ok(response) if response.status >= 500 => {}
            // It is there, but wants fewer requests: that says nothing about the others' wait.
            Ok(response) if response.status == 429 => self.recorder.needs_no_more(&needed),
            _ => self.recorder.has(needed),
        }
        Ok(sent)
    }
}

/// Takes the handler's turn at an origin; returns how long to wait for it, or why that would be too long.
fn take_turn(powers: &Powers, prepared: &Prepared) -> Result<Duration, String> {
    let (rate, origin) = (powers.limits.requests_per_second_max, &prepared.origin);
    // The other half is the origin's: it is not to be blamed for the time that its turn took to come.
    let wait_max = prepared.deadline.saturating_duration_since(Instant::now()) / 2;
    powers
        .rates
        .take_request(origin, rate, wait_max, Instant::now())
        .map_err(|late| match late {
            TooLate::Turn(wait) => format!(
                "{origin} has had its {rate} requests a second from this handler; \
                 the next turn is in {wait:.1?}"
            ),
            TooLate::Origins => format!(
                "this handler has asked {ORIGINS_MAX} origins within seconds, and {origin} is one \
                 more; ask again when some of them have rested"
            ),
        })
}

/// Names the request, whatever will become of it.
fn plan(request: &Request) -> Plan {
    let method = method_name(request.method);
    let [has_body, body] = optional(request.body.as_deref());
    let [has_credential, credential] = optional(request.credential.as_deref().map(str::as_bytes));
    let mut parts = vec![
        b"http" as &[u8],
        method.as_bytes(),
        request.url.as_bytes(),
        has_body,
        body,
        has_credential,
        credential,
    ];
    for (name, value) in &request.headers {
        parts.extend([name.as_bytes(), value.as_bytes()]);
    }
    Plan::new(
        CallKind::Http,
        name_of(request.key.as_deref(), &parts),
        format!("{method} {}", shown_url(&request.url)),
        !matches!(request.method, Method::Get | Method::Head),
    )
}

/// Returns what the story shows: without a query, which may carry what is nobody's business, and
/// without a user or password.
fn shown_url(text: &str) -> String {
    let parsed = Some(text).filter(|text| text.len() <= limits::HTTP_URL_BYTES_MAX);
    let Some(mut url) = parsed.and_then(|text| Url::parse(text).ok()) else {
        return crate::calls::recorder::cut(text, 64).to_owned();
    };
    url.set_query(None);
    url.set_fragment(None);
    // These fail for URLs that can have neither.
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

/// A request that may go out.
struct Prepared {
    origin: String,
    client: HttpClient,
    request: reqwest::RequestBuilder,
    /// When its time is up, waiting for its turn and for the store included.
    deadline: Instant,
    /// What is masked in the answer.
    masks: Masks,
    echo: Echo,
    handler: alert_manager_core::alert::HandlerName,
    /// For the lines of a refusal.
    grants: Arc<Grants>,
    /// True if it is to change something.
    changes: bool,
    /// What the answer's body may have, and the limit that says so.
    body_bytes_max: u32,
    body_limit: LimitName,
}

fn prepare(powers: &Powers, request: Request, changes: bool) -> Result<Prepared, Error> {
    let denied = |refusal: Refusal| {
        Error::Denied(
            refusal
                .for_handler(&powers.handler, &powers.grants)
                .to_string(),
        )
    };
    let url = check(&request).map_err(Error::InvalidRequest)?;
    let method = method_name(request.method);
    let names: Vec<&str> = request
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    let grant = powers
        .grants
        .request(method, &url, &names)
        .map_err(denied)?;
    judge_literal(grant, &url).map_err(denied)?;
    let credential = match &request.credential {
        Some(name) => Some(credential_for(powers, name, &url)?),
        None => None,
    };
    let added = match &credential {
        Some(credential) => Some(AddedHeader::of(credential).map_err(Error::Unavailable)?),
        None => None,
    };
    let client = powers
        .clients
        .get(
            grant,
            ca_file(grant, credential),
            &url,
            powers.services.proxy.as_ref(),
        )
        .map_err(|error| Error::Unreachable(error.to_string()))?;
    let origin = url.origin().ascii_serialization();
    let method = reqwest::Method::from_bytes(method.as_bytes())
        .map_err(|error| Error::InvalidRequest(error.to_string()))?;
    let mut masks = masks_at(powers, &url, request.credential.as_deref());
    let echo = match (&added, masks.is_empty()) {
        (None, true) => Echo::Impossible,
        _ => Echo::Possible,
    };
    let given =
        headers::check(&request.headers, added.as_ref(), echo).map_err(Error::InvalidRequest)?;
    let mut builder = client.request(method, url);
    for (name, value) in given {
        builder = builder.header(name, value);
    }
    if let Some(added) = added {
        builder = builder.header(added.name, added.value);
        masks.extend(added.masks);
    }
    if let Some(body) = request.body {
        builder = builder.body(body);
    }
    let asked = request
        .timeout_ms
        .map(|ms| Duration::from_millis(ms.into()));
    let left = powers.time_left();
    let bytes_in_left = u32::try_from(powers.bytes_in_left()).unwrap_or(u32::MAX);
    let mut body_bytes_max = powers.limits.response_bytes_max.min(bytes_in_left);
    let mut body_limit = limit_of_body(body_bytes_max, &powers.limits);
    if changes && powers.recorded_body_bytes_max() < body_bytes_max {
        body_bytes_max = powers.recorded_body_bytes_max();
        body_limit = LimitName::RecordBytes;
    }
    Ok(Prepared {
        origin,
        client,
        request: builder,
        deadline: Instant::now() + asked.map_or(left, |asked| asked.min(left)),
        masks,
        echo,
        handler: powers.handler.clone(),
        grants: Arc::clone(&powers.grants),
        changes,
        body_bytes_max,
        body_limit,
    })
}

/// Returns the masks of the other credentials that the handler may send there: what one request left at a service,
/// the next one could read without it.
fn masks_at(powers: &Powers, url: &Url, sent: Option<&str>) -> Masks {
    let mut masks = Masks::default();
    if powers.grants.withheld.is_some() {
        return masks;
    }
    for name in &powers.grants.credentials {
        let credential = powers.services.credentials.get(name);
        if let Some(credential) = credential.filter(|own| Some(name.as_str()) != sent && own.is_for(url))
            // One that cannot be read was not sent.
            && let Ok(added) = AddedHeader::of(credential)
        {
            masks.extend(added.masks);
        }
    }
    masks
}

/// Names the limit by which a body may have `bytes_max`: its own, or what is left of that of the whole step.
fn limit_of_body(bytes_max: u32, limits: &Limits) -> LimitName {
    if bytes_max < limits.response_bytes_max {
        LimitName::BytesIn
    } else {
        LimitName::ResponseBytes
    }
}

/// Returns the URL, or what is wrong with the request.
fn check(request: &Request) -> Result<Url, String> {
    check_key(request.key.as_deref())?;
    if request.url.len() > limits::HTTP_URL_BYTES_MAX {
        let (used, max) = (request.url.len(), limits::HTTP_URL_BYTES_MAX);
        return Err(format!("url: {used} bytes, at most {max}"));
    }
    let url = Url::parse(&request.url).map_err(|error| format!("url: {error}"))?;
    Ok(url)
}

fn check_body(request: &Request, limits: &Limits) -> Result<(), LimitHit> {
    let (used, max) = (
        request.body.as_ref().map_or(0, Vec::len),
        limits.request_bytes_max,
    );
    if used <= max {
        return Ok(());
    }
    Err(LimitHit {
        limit: LimitName::RequestBytes,
        used: used as u64,
        max: max as u64,
        detail: format!("a body of {used} bytes, at most {max}"),
    })
}

/// Returns what a request takes out of the sandbox.
fn request_bytes(request: &Request) -> usize {
    let body = request.body.as_ref().map_or(0, Vec::len);
    request.url.len() + headers_bytes(&request.headers) + body
}

fn headers_bytes(headers: &[(String, String)]) -> usize {
    headers.iter().map(|(n, v)| n.len() + v.len()).sum()
}

fn credential_for<'a>(powers: &'a Powers, name: &str, url: &Url) -> Result<&'a Credential, Error> {
    if !powers.services.credentials.contains_key(name)
        && powers.config.values().any(|value| value.trim() == name)
    {
        // What stands in the configuration where a name belongs may be the secret itself.
        return Err(Error::Denied(
            "A setting of this handler names a credential that is not below `credentials` (not shown, since it may \
             be a secret)."
                .to_owned(),
        ));
    }
    powers.grants.credential(name).map_err(|refusal| {
        Error::Denied(
            refusal
                .for_handler(&powers.handler, &powers.grants)
                .to_string(),
        )
    })?;
    let Some(credential) = powers.services.credentials.get(name) else {
        return Err(Error::Denied(format!(
            "The credential {name:?} is granted, but there is none of that name below `credentials`."
        )));
    };
    if !credential.is_for(url) {
        let origin = url.origin().ascii_serialization();
        let origins = credential.origins.iter().map(ToString::to_string);
        let origins: Vec<_> = origins.chain([origin.clone()]).collect();
        return Err(Error::Denied(format!(
            "The credential {name:?} is not sent to {origin}. To allow it, add {origin} to credentials.{name}.origins.\n\
             credentials:\n  {}:\n    origins: {}",
            scalar(name),
            serde_json::Value::from(origins)
        )));
    }
    Ok(credential)
}

/// The grant's own certificates, else those that come with the credential.
fn ca_file<'a>(
    grant: &'a HttpGrant,
    credential: Option<&'a Credential>,
) -> Option<&'a std::path::Path> {
    grant.ca_file().or_else(|| match &credential?.kind {
        CredentialKind::ServiceAccount { ca_file, .. } => Some(ca_file),
        CredentialKind::Authorization(_) | CredentialKind::Header { .. } => None,
    })
}

/// Sends the request and reads the answer, within its time and the bound of its body.
///
/// Whether the change was made is judged as if every request were to make one: of one that reads, nobody asks. Returns also
/// how many bytes of the body were read and are withheld from the guest.
async fn exchange(prepared: Prepared) -> (Sent, usize) {
    let deadline = prepared.deadline.into();
    let sending = prepared.client.send(prepared.request);
    let mut response = match tokio::time::timeout_at(deadline, sending).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return (not_answered(&error, &prepared.handler, &prepared.grants), 0),
        Err(_) => return (ended(Ending::NotAnswered, Error::Timeout), 0),
    };
    let status = response.status();
    let change = change_of(Ending::Status {
        status: status.as_u16(),
        says_when: response
            .headers()
            .contains_key(reqwest::header::RETRY_AFTER),
    });
    // What is changed stays changed: a failure here would have it done twice.
    let keeps = prepared.changes && change == Change::Made;
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        })
        .collect();
    let unreadable = match prepared.echo {
        Echo::Possible => readable::why_not(status, response.headers()),
        Echo::Impossible => None,
    };
    let body =
        tokio::time::timeout_at(deadline, read_body(&mut response, prepared.body_bytes_max)).await;
    let (body, end) = match body {
        Ok((body, end)) => (body, end),
        Err(_) => (Vec::new(), BodyEnd::Late),
    };
    let end = match (end, unreadable) {
        (BodyEnd::Whole, Some(why)) if !body.is_empty() => BodyEnd::Unreadable(why),
        (end, _) => end,
    };
    let read_bytes = body.len();
    let line = format!("{}, {read_bytes} bytes", status.as_u16());
    // A part of a body may end within the credential.
    let part = |body| match prepared.echo {
        Echo::Possible => Vec::new(),
        Echo::Impossible => body,
    };
    let (reply, result) = match end {
        BodyEnd::Unreadable(why) => {
            let line = format!("{line}, withheld: {why}");
            match keeps {
                true => (Ok(Vec::new()), line),
                false => (Err(Error::Denied(readable::refusal(why))), line),
            }
        }
        BodyEnd::Whole => (Ok(body), line),
        BodyEnd::TooLarge => {
            let (max, limit) = (prepared.body_bytes_max, prepared.body_limit);
            (
                Err(Error::TooLarge(max)),
                format!("{}, a body over {max} bytes ({limit})", status.as_u16()),
            )
        }
        BodyEnd::Broken(why) if keeps => (Ok(part(body)), format!("{line}, then {why}")),
        BodyEnd::Late if keeps => (Ok(part(body)), format!("{line}, then no more in time")),
        BodyEnd::Broken(why) => (
            Err(Error::Unreachable(why.clone())),
            format!("{line}, then {why}"),
        ),
        BodyEnd::Late => (Err(Error::Timeout), format!("{line}, then no more in time")),
    };
    let given_bytes = match &reply {
        Ok(body) => body.len(),
        // Counted by its own error.
        Err(Error::TooLarge(_)) => read_bytes,
        Err(_) => 0,
    };
    let mut reply = reply.map(|body| Response {
        status: status.as_u16(),
        headers,
        body,
    });
    if let Ok(response) = reply {
        reply = masked(prepared.masks, response).await;
    }
    let done = Done {
        change,
        ..Done::live(reply, result)
    };
    (done, read_bytes - given_bytes)
}

/// Masks the credentials in a response. A large body takes a while, in which nobody else is to wait.
async fn masked(masks: Masks, mut response: Response) -> Result<Response, Error> {
    if response.body.len() <= MASKED_AT_ONCE_BYTES_MAX || masks.is_empty() {
        masks.apply(&mut response);
        return Ok(response);
    }
    let masked = tokio::task::spawn_blocking(move || {
        masks.apply(&mut response);
        response
    });
    masked.await.map_err(|error| {
        Error::Unavailable(format!(
            "the answer could not be searched for the credential: {error}"
        ))
    })
}

enum BodyEnd {
    Whole,
    /// All of it has come, and a credential cannot be looked for in it.
    Unreadable(&'static str),
    TooLarge,
    Broken(String),
    Late,
}

async fn read_body(response: &mut reqwest::Response, bytes_max: u32) -> (Vec<u8>, BodyEnd) {
    let max = bytes_max as usize;
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > max => {
                return (Vec::new(), BodyEnd::TooLarge);
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return (body, BodyEnd::Whole),
            Err(error) => return (body, BodyEnd::Broken(root_cause(&error))),
        }
    }
}

fn not_answered(
    error: &SendError,
    handler: &alert_manager_core::alert::HandlerName,
    grants: &Grants,
) -> Sent {
    if let Some(refusal) = refusal_in(error) {
        let refusal = refusal.clone().for_handler(handler, grants);
        return failed(Error::Denied(refusal.to_string()));
    }
    let cause = root_cause(error);
    if error.is_builder() {
        return failed(Error::InvalidRequest(cause));
    }
    let ending = if error.is_connect() {
        Ending::NotConnected
    } else {
        Ending::NotAnswered
    };
    ended(ending, Error::Unreachable(cause))
}

fn ended(ending: Ending<'_>, error: Error) -> Sent {
    Done {
        change: change_of(ending),
        ..failed(error)
    }
}

fn failed(error: Error) -> Sent {
    let line = match &error {
        Error::Denied(why) => format!("denied: {}", why.lines().next().unwrap_or_default()),
        Error::InvalidRequest(why) => format!("invalid request: {why}"),
        Error::Unreachable(why) => format!("unreachable: {why}"),
        Error::Timeout => "no answer in time".to_owned(),
        Error::TooLarge(max) => format!("a body over {max} bytes"),
        Error::BudgetExhausted(which) => which.clone(),
        Error::Unavailable(why) => format!("unavailable: {why}"),
    };
    match error {
        Error::Denied(_) | Error::InvalidRequest(_) | Error::BudgetExhausted(_) => {
            Done::refused(Err(error), line)
        }
        _ => Done::live(Err(error), line),
    }
}

fn held_back() -> Sent {
    let response = Response {
        status: 200,
        headers: Vec::new(),
        body: Vec::new(),
    };
    Done {
        answered: Answered::Preview,
        ..Done::live(Ok(response), "held back; the handler was told 200")
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
        let request = |timeout_ms, body: &str| Request {
            method: Method::Post,
            url: "https://user:pass@example.com/a?token=x".to_owned(),
            headers: given("a", "b"),
            body: Some(body.as_bytes().to_vec()),
            credential: None,
            key: None,
            timeout_ms,
        };
        let first = plan(&request(None, "x"));
        assert!(first.changes);
        assert_eq!(first.request, "POST https://example.com/a");
        assert_eq!(first.name, plan(&request(Some(5), "x")).name);
        assert_ne!(first.name, plan(&request(None, "y")).name);
    }

    #[test]
    fn a_response_survives_the_record() {
        let response = Response {
            status: 201,
            headers: given("a", "b"),
            body: vec![0, 255, 10],
        };
        let text = serde_json::to_string(&Reply::Ok(Recorded::of(&response))).unwrap();
        let back: Reply = serde_json::from_str(&text).unwrap();
        assert_eq!(back.unwrap().into_response(), response);
    }
}
