//! The client of Slack's Web API. A message whose blocks Slack refuses is sent once more as plain text.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::answer::{code_of, failure, is_code, make_plain, retry_after, scopes_of};
use super::codes::{Meaning, Reported, change_of_status, meaning_for};
use super::method::Method;
use super::outcome::{Posted, SlackFailure};
use super::pacer::Pacer;
use super::settings::Settings;
use crate::limits;
use crate::outbound::change::Change;
use crate::outbound::egress::{
    AGENT, ClientError, HttpClient, Roots, Route, SendError, root_cause,
};

/// A client of Slack's Web API with fixed settings.
pub(crate) struct SlackApi {
    pub(super) settings: Settings,
    pub(super) pacer: Arc<Pacer>,
    pub(super) client: HttpClient,
}

#[derive(Deserialize)]
struct MethodAnswer {
    ok: bool,
    #[serde(default)]
    error: String,
    /// The scopes that the token lacks.
    #[serde(default)]
    needed: String,
    #[serde(default)]
    channel: String,
    #[serde(default)]
    ts: String,
}

impl SlackApi {
    pub(crate) fn new(settings: Settings, pacer: Arc<Pacer>) -> Result<Self, ClientError> {
        let mut client = reqwest::Client::builder()
            .redirect(Policy::none())
            // A proxy from the environment would see the token.
            .no_proxy()
            .referer(false)
            .connect_timeout(limits::HTTP_CONNECT_MAX)
            .user_agent(AGENT);
        let mut roots = Roots::System;
        if settings.api_url.scheme() == "http" {
            // A fake of Slack without TLS. Loading the root certificates could fail on a machine that has none.
            client = client.tls_certs_only([]);
            roots = Roots::None;
        }
        let route = Route::trusted(settings.via_proxy);
        let proxy = settings.proxy.as_ref();
        Ok(Self {
            client: HttpClient::new(client.build()?, proxy, route, roots)?,
            settings,
            pacer,
        })
    }

    /// Calls `method` with `body` and, if Slack refuses the blocks, once more with the text alone. `channel` is the
    /// channel's name or ID at Slack, and `within` the time that is left.
    ///
    /// # Errors
    /// Why the call did not succeed.
    pub(super) async fn call(
        &self,
        method: Method,
        channel: &str,
        mut body: Map<String, Value>,
        within: Duration,
    ) -> Result<Posted, SlackFailure> {
        let deadline = Instant::now() + within.min(limits::SLACK_CALL_MAX);
        let mut degraded = None;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = match tokio::time::timeout(left, self.ask(method, channel, &body)).await {
                Ok(answer) => answer?,
                Err(_) => return Err(unanswered("no answer in time".to_owned())),
            };
            if answer.ok {
                return Ok(Posted {
                    channel_id: answer.channel,
                    ts: answer.ts,
                    degraded,
                });
            }
            let code = code_of(answer.error);
            if meaning_for(method, &code) == Meaning::BlocksRefused
                && degraded.is_none()
                && make_plain(&mut body, method.text_chars_max())
            {
                degraded = Some(code);
                continue;
            }
            let needed = scopes_of(answer.needed);
            return failure(method, &code, &needed).map_or_else(
                || {
                    Ok(Posted {
                        channel_id: answer.channel,
                        ts: answer.ts,
                        degraded: None,
                    })
                },
                Err,
            );
        }
    }

    async fn ask(
        &self,
        method: Method,
        channel: &str,
        body: &Map<String, Value>,
    ) -> Result<MethodAnswer, SlackFailure> {
        let url = self
            .settings
            .api_url
            .join(method.path())
            .map_err(|error| SlackFailure::Unavailable(format!("slack.api_url: {error}")))?;
        let token = match &self.settings.token {
            Some(source) => source.read().map_err(|error| SlackFailure::SlackHeld {
                code: "no_token".to_owned(),
                advice: format!("the token cannot be read: {error}"),
            })?,
            None => {
                return Err(SlackFailure::SlackHeld {
                    code: "no_token".to_owned(),
                    advice: "put a bot token into SLACK_TOKEN or slack.token_file".to_owned(),
                });
            }
        };
        let body = serde_json::to_vec(body)
            .map_err(|error| SlackFailure::Invalid(format!("the message: {error}")))?;
        let request = self
            .client
            .request(reqwest::Method::POST, url)
            .bearer_auth(token.expose())
            .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
            .body(body);
        let response = self.client.send(request).await;
        let response = response.map_err(|error| not_sent(&error))?;
        self.read(channel, response).await
    }

    async fn read(
        &self,
        channel: &str,
        mut response: Response,
    ) -> Result<MethodAnswer, SlackFailure> {
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS {
            let wait = retry_after(response.headers());
            self.pacer.close(channel, wait, Instant::now());
            return Err(SlackFailure::RateLimited(wait));
        }
        let says_when = response.headers().contains_key(header::RETRY_AFTER);
        if !status.is_success() && !status.is_client_error() {
            return Err(refused_by_status(status, says_when));
        }
        let answer = read_answer(&mut response).await;
        if status.is_client_error() {
            // An error with a code comes from Slack, also with a 4xx status. Otherwise another server answered, and posted
            // nothing.
            let refusal = answer.ok().filter(|a| !a.ok && is_code(&a.error));
            return refusal.ok_or_else(|| refused_by_status(status, says_when));
        }
        answer.map_err(|why| unanswered(format!("Slack answered {status}, but {why}")))
    }
}

/// Reads the JSON of an answer.
///
/// # Errors
/// Why it cannot be read, as a continuation of "Slack answered".
async fn read_answer(response: &mut Response) -> Result<MethodAnswer, String> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= limits::SLACK_RESPONSE_BYTES_MAX => {
                body.extend_from_slice(&chunk);
            }
            Ok(Some(_)) => return Err("with more than any answer has".to_owned()),
            Ok(None) => break,
            Err(error) => return Err(root_cause(&error)),
        }
    }
    serde_json::from_slice(&body).map_err(|_| "not with JSON".to_owned())
}

/// Returns the failure of a request that got no response.
pub(super) fn not_sent(error: &SendError) -> SlackFailure {
    let cause = root_cause(error);
    if error.is_connect() || error.is_builder() {
        SlackFailure::Unavailable(format!("Slack cannot be reached: {cause}"))
    } else {
        unanswered(format!("the connection to Slack broke: {cause}"))
    }
}

/// Returns the failure of a call that may have been sent and that Slack itself did not answer.
fn unanswered(why: String) -> SlackFailure {
    SlackFailure::Unknown(why, Reported::AsTimeout)
}

fn refused_by_status(status: StatusCode, says_when: bool) -> SlackFailure {
    let why = format!("Slack answered {status}");
    match change_of_status(status.as_u16(), says_when) {
        Change::Unknown => SlackFailure::Unknown(why, Reported::AsUnavailable),
        _ if status.is_server_error() => SlackFailure::Unavailable(why),
        // A proxy, a portal or another server answered, not Slack.
        _ => SlackFailure::Unavailable(format!(
            "{why}, but not as Slack does: check slack.api_url and the proxy"
        )),
    }
}
