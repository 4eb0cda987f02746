//! Slack's Web API: three methods, and what each of its many ways to say no means for a retry.

mod ask;
pub(crate) mod holds;
pub(crate) mod message_ref;
pub(crate) mod pace;
pub(crate) mod preview;
pub(crate) mod settings;

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::calls::endings::{Change, Ending, Reported, SlackCode, change_of, slack_code_of};
use crate::limits;
use crate::outbound::egress::{
    AGENT, ClientError, HttpClient, Roots, Route, SendError, root_cause,
};
pub(super) use crate::slack::pace::Paces;
use crate::slack::settings::Settings;
pub use ask::{Bot, ChannelState, SlackReport, SlackTrouble};

/// Where Slack says 429 without saying for how long.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);
/// However long Slack, or what stands in between, says to wait: asked again after this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// A client of Slack's Web API under one set of settings.
pub(super) struct SlackApi {
    pub(super) settings: Settings,
    pub(super) paces: Arc<Paces>,
    client: HttpClient,
}

/// A method of the API that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    PostMessage,
    Update,
    AddReaction,
}

impl Method {
    fn path(self) -> &'static str {
        match self {
            Self::PostMessage => "chat.postMessage",
            Self::Update => "chat.update",
            Self::AddReaction => "reactions.add",
        }
    }

    /// How many characters of `text` Slack takes.
    fn text_chars_max(self) -> usize {
        match self {
            Self::Update => limits::SLACK_UPDATE_TEXT_CHARS_MAX,
            Self::PostMessage | Self::AddReaction => limits::SLACK_TEXT_CHARS_MAX,
        }
    }
}

/// What Slack did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Posted {
    pub(super) channel_id: String,
    pub(super) ts: String,
    /// Why the message went out as plain text.
    pub(super) degraded: Option<String>,
}

/// Why Slack did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SlackFailure {
    /// The request is at fault: Slack's code, and what to change.
    Invalid(String),
    /// The message to change is gone or too old.
    NotFound,
    /// Come back after this long.
    RateLimited(Duration),
    /// Nothing happened, and the next try may succeed.
    Unavailable(String),
    /// Done or not: unknown; why, and what the guest is told.
    Unknown(String, Reported),
    /// The token is refused, or none can be read: all of Slack is held until the operator mends it.
    SlackHeld { code: String, advice: String },
    /// The channel does not take the app's messages: it is held until the operator mends it.
    ChannelHeld { code: String, advice: String },
}

#[derive(Deserialize)]
struct Answer {
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
    pub(super) fn new(settings: Settings, paces: Arc<Paces>) -> Result<Self, ClientError> {
        let mut client = reqwest::Client::builder()
            .redirect(Policy::none())
            // A variable of the environment is not to send the token by way of somebody else.
            .no_proxy()
            .referer(false)
            .connect_timeout(limits::HTTP_CONNECT_MAX)
            .user_agent(AGENT);
        let mut roots = Roots::System;
        if settings.api_url.scheme() == "http" {
            // A stand-in: there is nothing to verify, and this machine may have no root certificates.
            client = client.tls_certs_only([]);
            roots = Roots::None;
        }
        let route = Route::trusted(settings.via_proxy);
        let proxy = settings.proxy.as_ref();
        Ok(Self {
            client: HttpClient::new(client.build()?, proxy, route, roots)?,
            settings,
            paces,
        })
    }

    /// Calls `method` with `body` and, where Slack refuses the blocks, once more with the text alone.
    ///
    /// `channel` is where the pace is kept; `within` is the time that is left.
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
                Err(_) => return Err(ended(Ending::NotAnswered, "no answer in time".to_owned())),
            };
            if answer.ok {
                return Ok(Posted {
                    channel_id: answer.channel,
                    ts: answer.ts,
                    degraded,
                });
            }
            let code = code_of(answer.error);
            if slack_code_of(method, &code) == SlackCode::BlocksRefused
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
    ) -> Result<Answer, SlackFailure> {
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

    async fn read(&self, channel: &str, mut response: Response) -> Result<Answer, SlackFailure> {
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS {
            let wait = retry_after(response.headers());
            self.paces.close(channel, wait, Instant::now());
            return Err(SlackFailure::RateLimited(wait));
        }
        let says_when = response.headers().contains_key(header::RETRY_AFTER);
        if !status.is_success() && !status.is_client_error() {
            return Err(refused_by_status(status, says_when));
        }
        let answer = read_answer(&mut response).await;
        if status.is_client_error() {
            // Slack's word counts, whatever the status. Whoever else answered has posted nothing.
            let refusal = answer.ok().filter(|a| !a.ok && is_code(&a.error));
            return refusal.ok_or_else(|| refused_by_status(status, says_when));
        }
        answer.map_err(|why| {
            ended(
                Ending::SlackUnreadable,
                format!("Slack answered {status}, but {why}"),
            )
        })
    }
}

/// Reads what is to be Slack's JSON; says why it is not.
async fn read_answer(response: &mut Response) -> Result<Answer, String> {
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

fn not_sent(error: &SendError) -> SlackFailure {
    let cause = root_cause(error);
    if error.is_connect() || error.is_builder() {
        ended(
            Ending::NotConnected,
            format!("Slack cannot be reached: {cause}"),
        )
    } else {
        ended(
            Ending::NotAnswered,
            format!("the connection to Slack broke: {cause}"),
        )
    }
}

/// Returns the failure of a call that ended without Slack's own word.
fn ended(ending: Ending<'_>, why: String) -> SlackFailure {
    match change_of(ending) {
        Change::Unknown => SlackFailure::Unknown(why, Reported::AsTimeout),
        _ => SlackFailure::Unavailable(why),
    }
}

fn refused_by_status(status: StatusCode, says_when: bool) -> SlackFailure {
    let why = format!("Slack answered {status}");
    let ending = Ending::SlackStatus {
        status: status.as_u16(),
        says_when,
    };
    match change_of(ending) {
        Change::Unknown => SlackFailure::Unknown(why, Reported::AsUnavailable),
        _ if status.is_server_error() => SlackFailure::Unavailable(why),
        // Not Slack: a proxy or a portal, or another server. It says nothing of the message.
        _ => SlackFailure::Unavailable(format!(
            "{why}, but not as Slack does: check slack.api_url and the proxy"
        )),
    }
}

fn retry_after(headers: &header::HeaderMap) -> Duration {
    headers
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.trim().parse().ok())
        .map_or(RETRY_AFTER_DEFAULT, Duration::from_secs)
        .clamp(RETRY_AFTER_DEFAULT, RETRY_AFTER_MAX)
}

/// Slack's codes are words. Whatever else stands there is not repeated: it may be anything, the token too.
fn code_of(error: String) -> String {
    if is_code(&error) {
        return error;
    }
    "an error without a code".to_owned()
}

fn is_code(error: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    !error.is_empty() && error.len() <= 64 && error.chars().all(is_word)
}

/// Scopes are words, too.
fn scopes_of(needed: String) -> String {
    let is_scope = |c: char| c.is_ascii_lowercase() || ":._,".contains(c);
    if needed.len() <= 100 && needed.chars().all(is_scope) {
        return needed;
    }
    String::new()
}

/// Returns what can be done about a code: where Slack names the scopes that it needs, with these.
fn advice_of(code: &str, needed: &str, advice: &str) -> String {
    match code {
        "missing_scope" if !needed.is_empty() => {
            format!("give the app the scope {needed}, and install it again")
        }
        _ => advice.to_owned(),
    }
}

/// Returns what a code means for the caller; `None` where it is as good as success.
fn failure(method: Method, code: &str, needed: &str) -> Option<SlackFailure> {
    if change_of(Ending::SlackError(code)) == Change::Made {
        return None;
    }
    let advice_of = |advice| advice_of(code, needed, advice);
    let explained = |advice| format!("{code}: {}", advice_of(advice));
    Some(match slack_code_of(method, code) {
        SlackCode::RateLimited => SlackFailure::RateLimited(RETRY_AFTER_DEFAULT),
        SlackCode::Transient => SlackFailure::Unavailable(format!("Slack answered {code}")),
        SlackCode::MayBeDone(reported) => {
            SlackFailure::Unknown(format!("Slack answered {code}"), reported)
        }
        SlackCode::SlackRefused(advice) => SlackFailure::SlackHeld {
            code: code.to_owned(),
            advice: advice_of(advice),
        },
        SlackCode::ChannelRefused(advice) => SlackFailure::ChannelHeld {
            code: code.to_owned(),
            advice: advice_of(advice),
        },
        SlackCode::Gone => SlackFailure::NotFound,
        SlackCode::BlocksRefused | SlackCode::AlreadyDone => {
            SlackFailure::Invalid(explained("Slack takes neither its blocks nor its text"))
        }
        SlackCode::Other(advice) => SlackFailure::Invalid(explained(advice)),
    })
}

/// Leaves the text alone, cut to what Slack takes; returns false where nothing would change.
fn make_plain(body: &mut Map<String, Value>, chars_max: usize) -> bool {
    let had_blocks = body.remove("blocks").is_some();
    if body.contains_key("ts") {
        // An update without blocks keeps the old ones (slackapi/python-slack-sdk#523).
        body.insert("blocks".into(), Value::Array(Vec::new()));
    }
    let Some(Value::String(text)) = body.get_mut("text") else {
        return false;
    };
    let end = text.char_indices().nth(chars_max).map(|(at, _)| at);
    if let Some(end) = end {
        text.truncate(end);
        text.push('…');
    }
    if text.trim().is_empty() {
        "(Slack refused this message's blocks, and it has no text.)".clone_into(text);
    }
    had_blocks || end.is_some()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use serde_json::json;

    #[test]
    fn every_code_of_slack_leads_to_the_right_retry() {
        let after = |code| failure(Method::PostMessage, code, "");
        let is_rate = |f: &Option<_>| matches!(f, Some(SlackFailure::RateLimited(_)));
        assert!(is_rate(&after("ratelimited")) && is_rate(&after("message_limit_exceeded")));
        assert!(matches!(
            after("service_unavailable"),
            Some(SlackFailure::Unavailable(_))
        ));
        let unknown = |code, reported| {
            Some(SlackFailure::Unknown(
                format!("Slack answered {code}"),
                reported,
            ))
        };
        assert_eq!(
            after("internal_error"),
            unknown("internal_error", Reported::AsUnavailable)
        );
        assert_eq!(
            after("fatal_error"),
            unknown("fatal_error", Reported::AsTimeout)
        );
        assert!(
            matches!(after("invalid_auth"), Some(SlackFailure::SlackHeld { code, advice })
                if code == "invalid_auth" && advice.contains("slack.token_file"))
        );
        for code in ["channel_not_found", "not_in_channel", "is_archived"] {
            assert!(
                matches!(after(code), Some(SlackFailure::ChannelHeld { code: held, advice })
                    if held == code && !advice.contains("docs.slack.dev")),
                "{code}"
            );
        }
        assert_eq!(after("edit_window_closed"), Some(SlackFailure::NotFound));
        assert!(matches!(
            after("something_new"),
            Some(SlackFailure::Invalid(why)) if why.starts_with("something_new: ")
        ));
        assert_eq!(after("already_reacted"), None);
        assert!(matches!(
            failure(Method::AddReaction, "not_in_channel", ""),
            Some(SlackFailure::Invalid(_))
        ));
    }

    #[test]
    fn the_scope_that_is_missing_is_the_one_that_slack_names() {
        for (method, needed, scope) in [
            (
                Method::PostMessage,
                "chat:write.customize",
                "chat:write.customize",
            ),
            (Method::PostMessage, "", "chat:write"),
            (Method::AddReaction, "reactions:write", "reactions:write"),
            (Method::AddReaction, "", "reactions:write"),
        ] {
            let Some(SlackFailure::SlackHeld { advice: said, .. } | SlackFailure::Invalid(said)) =
                failure(method, "missing_scope", needed)
            else {
                panic!("{method:?} {needed}");
            };
            let expected = format!("give the app the scope {scope}, and install it again");
            assert!(said.ends_with(&expected), "{said}");
        }
        assert_eq!(scopes_of("xoxb-12-Secret".to_owned()), "");
    }

    #[test]
    fn an_error_that_is_no_code_is_not_repeated() {
        assert_eq!(code_of("channel_not_found".to_owned()), "channel_not_found");
        for error in ["xoxb-12-secret", "", "a b", "\u{1b}[2J", &"a".repeat(65)] {
            assert_eq!(code_of(error.to_owned()), "an error without a code");
        }
    }

    #[test]
    fn no_retry_after_closes_a_channel_for_ever() {
        for (said, seconds) in [
            ("0", 1),
            ("30", 30),
            ("18446744073709551615", 3_600),
            ("soon", 1),
        ] {
            let mut headers = header::HeaderMap::new();
            headers.insert(header::RETRY_AFTER, said.parse().unwrap());
            assert_eq!(retry_after(&headers).as_secs(), seconds, "{said}");
        }
    }

    #[test]
    fn a_refused_message_keeps_its_text_within_the_bound() {
        let Value::Object(mut body) = json!({"text": "ééé", "blocks": [], "channel": "C"})
        else {
            unreachable!()
        };
        assert!(make_plain(&mut body, 2));
        assert_eq!(
            Value::Object(body.clone()),
            json!({"text": "éé…", "channel": "C"})
        );
        body.insert("text".into(), json!(""));
        body.insert("blocks".into(), json!([]));
        body.insert("ts".into(), json!("1.1"));
        assert!(make_plain(&mut body, 2_000));
        assert_eq!(body["blocks"], json!([]), "the old ones go");
        body.remove("ts");
        assert!(make_plain(&mut body, 2_000));
        assert!(
            !make_plain(&mut body, 2_000),
            "nothing is left to take away"
        );
    }
}
