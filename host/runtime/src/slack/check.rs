//! Checks, without posting anything, that the token is valid and that each configured channel accepts the app's messages.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::{Method, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::form_urlencoded;

use super::answer::{advice_of, code_of, scopes_of};
use super::api::{SlackApi, not_sent};
use super::codes::{Meaning, meaning};
use super::outcome::SlackFailure;

/// The longest time of one call. Slack usually answers within a second.
const CALL_MAX: Duration = Duration::from_secs(10);
/// The largest answer, in bytes. A page of channels has some hundred kilobytes.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// The most pages, of 1,000 channels each, that are searched for a name.
const PAGES_MAX: usize = 10;

/// The result of a check of the token and the channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlackReport {
    /// The bot that the token belongs to.
    pub bot: Result<Bot, TokenProblem>,
    /// The state of each channel, by its name below `slack.channels`. Empty if the bot is not known.
    pub channels: BTreeMap<String, ChannelState>,
}

/// The bot that a token belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bot {
    /// Its name, without `@`.
    pub user: String,
    /// The workspace's name.
    pub team: String,
    /// The scopes of the token; `None` if Slack's answer does not list them.
    pub scopes: Option<BTreeSet<String>>,
}

impl Bot {
    /// Returns true if the token's scopes are known and `scope` is not among them.
    #[must_use]
    pub fn lacks(&self, scope: &str) -> bool {
        let scopes = self.scopes.as_ref();
        scopes.is_some_and(|scopes| !scopes.contains(scope))
    }

    fn has(&self, scope: &str) -> bool {
        let scopes = self.scopes.as_ref();
        scopes.is_some_and(|scopes| scopes.contains(scope))
    }
}

/// Why the bot that a token belongs to is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenProblem {
    /// Slack did not answer, or with an error that is not about the token.
    Unreachable(String),
    /// Slack rejects the token: its error code, and what to do.
    Refused(String),
}

/// Whether the bot can post to a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelState {
    /// It can.
    Fine,
    /// Not before it is invited.
    NotMember,
    /// There is no such channel.
    Missing,
    /// The channel is archived.
    Archived,
    /// Not known, for this reason.
    Unchecked(String),
}

#[derive(Deserialize)]
struct Envelope<T> {
    ok: bool,
    #[serde(default)]
    error: String,
    #[serde(default)]
    needed: String,
    #[serde(flatten)]
    answer: Option<T>,
}

#[derive(Deserialize)]
struct Identity {
    #[serde(default)]
    user: String,
    #[serde(default)]
    team: String,
}

#[derive(Deserialize)]
struct Info {
    channel: ChannelInfo,
}

#[derive(Deserialize)]
struct Page {
    channels: Vec<ChannelInfo>,
    #[serde(default)]
    response_metadata: Metadata,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    next_cursor: String,
}

#[derive(Clone, Deserialize)]
struct ChannelInfo {
    #[serde(default)]
    name: String,
    #[serde(default)]
    is_archived: bool,
    #[serde(default)]
    is_member: bool,
    #[serde(default)]
    is_private: bool,
}

impl ChannelInfo {
    fn state(&self, bot: &Bot) -> ChannelState {
        if self.is_archived {
            ChannelState::Archived
        } else if self.is_member || (!self.is_private && bot.has("chat:write.public")) {
            ChannelState::Fine
        } else {
            ChannelState::NotMember
        }
    }
}

/// Why a call has no result.
enum CallError {
    Unreachable(String),
    Code { code: String, needed: String },
}

impl CallError {
    fn into_state(self, scopes: &str) -> ChannelState {
        ChannelState::Unchecked(match self {
            Self::Unreachable(why) => why,
            Self::Code { code, needed } if code == "missing_scope" => {
                let needed = if needed.is_empty() { scopes } else { &needed };
                format!("the token lacks the scope {needed} for this check")
            }
            Self::Code { code, .. } => format!("Slack answered {code}"),
        })
    }
}

impl SlackApi {
    /// Checks the token and, if it is valid, each channel.
    pub(crate) async fn check(&self) -> SlackReport {
        let bot = self.identify().await;
        let mut channels = BTreeMap::new();
        if let Ok(bot) = &bot {
            let mut by_name = None;
            for (name, text) in &self.settings.channels {
                let state = if is_person(text) {
                    ChannelState::Unchecked("a person's id is not looked up".to_owned())
                } else if is_id(text) {
                    self.state_by_id(bot, text).await
                } else {
                    if by_name.is_none() {
                        by_name = Some(self.list_channels(bot).await);
                    }
                    let known = by_name.as_ref().map(|known| known.as_ref());
                    state_by_name(bot, known, text.trim_start_matches('#'))
                };
                channels.insert(name.clone(), state);
            }
        }
        SlackReport { bot, channels }
    }

    async fn identify(&self) -> Result<Bot, TokenProblem> {
        match self.post::<Identity>("auth.test", &[]).await {
            Ok((identity, scopes)) => Ok(Bot {
                user: identity.user,
                team: identity.team,
                scopes,
            }),
            Err(CallError::Unreachable(why)) => Err(TokenProblem::Unreachable(why)),
            Err(CallError::Code { code, needed }) => Err(match meaning(&code) {
                Meaning::SlackRefused(advice) => {
                    let advice = advice_of(&code, &needed, advice);
                    TokenProblem::Refused(format!("{code}: {advice}"))
                }
                // Any other code is not about the token.
                _ => TokenProblem::Unreachable(format!("Slack answered {code}")),
            }),
        }
    }

    async fn state_by_id(&self, bot: &Bot, id: &str) -> ChannelState {
        match self
            .post::<Info>("conversations.info", &[("channel", id)])
            .await
        {
            Ok((info, _)) => info.channel.state(bot),
            Err(CallError::Code { code, .. }) if code == "channel_not_found" => {
                state_if_not_found(bot)
            }
            Err(why) => why.into_state("channels:read (groups:read if the channel is private)"),
        }
    }

    /// Lists the channels that the token can see, by name.
    ///
    /// # Errors
    /// The state of every channel that is configured by name, if the list is not complete.
    async fn list_channels(
        &self,
        bot: &Bot,
    ) -> Result<BTreeMap<String, ChannelInfo>, ChannelState> {
        let types = if bot.lacks("groups:read") {
            "public_channel"
        } else if bot.lacks("channels:read") {
            "private_channel"
        } else {
            "public_channel,private_channel"
        };
        let mut found = BTreeMap::new();
        let mut cursor = String::new();
        for _ in 0..PAGES_MAX {
            let form = [("types", types), ("limit", "1000"), ("cursor", &cursor)];
            let page = self.post::<Page>("conversations.list", &form).await;
            let (page, _) = page.map_err(|why| {
                why.into_state("channels:read (groups:read if the channel is private)")
            })?;
            found.extend(page.channels.into_iter().map(|c| (c.name.clone(), c)));
            cursor = page.response_metadata.next_cursor;
            if cursor.is_empty() {
                return Ok(found);
            }
        }
        Err(ChannelState::Unchecked(format!(
            "the workspace has more than {} channels: give its id instead of its name",
            PAGES_MAX * 1_000
        )))
    }

    async fn post<T: DeserializeOwned>(
        &self,
        method: &str,
        form: &[(&str, &str)],
    ) -> Result<(T, Option<BTreeSet<String>>), CallError> {
        match tokio::time::timeout(CALL_MAX, self.post_form(method, form)).await {
            Ok(answer) => answer,
            Err(_) => Err(CallError::Unreachable(format!(
                "Slack has not answered for {} s",
                CALL_MAX.as_secs()
            ))),
        }
    }

    async fn post_form<T: DeserializeOwned>(
        &self,
        method: &str,
        form: &[(&str, &str)],
    ) -> Result<(T, Option<BTreeSet<String>>), CallError> {
        let unreachable = |why: String| CallError::Unreachable(why);
        let url = self.settings.api_url.join(method);
        let url = url.map_err(|error| unreachable(format!("slack.api_url: {error}")))?;
        let Some(source) = &self.settings.token else {
            return Err(unreachable("there is no token".to_owned()));
        };
        let token = source.read();
        let token = token.map_err(|error| unreachable(format!("the token: {error}")))?;
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form.iter().filter(|(_, value)| !value.is_empty()))
            .finish();
        let request = self
            .client
            .request(Method::POST, url)
            .bearer_auth(token.expose())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
        let mut response = self.client.send(request).await.map_err(|error| {
            unreachable(match not_sent(&error) {
                SlackFailure::Unavailable(why) | SlackFailure::Unknown(why, _) => why,
                other => format!("{other:?}"),
            })
        })?;
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Err(unreachable("Slack says to ask later".to_owned()));
        }
        if !status.is_success() {
            return Err(unreachable(format!("Slack answered {status}")));
        }
        let scopes = response.headers().get("x-oauth-scopes");
        let scopes = scopes.and_then(|value| value.to_str().ok()).map(|text| {
            let scopes = text.split(',').map(|scope| scope.trim().to_owned());
            scopes.filter(|scope| !scope.is_empty()).collect()
        });
        let mut bytes = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|_| unreachable("the connection to Slack broke".to_owned()))?
        {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(unreachable(
                    "Slack answered with more than any answer has".to_owned(),
                ));
            }
            bytes.extend_from_slice(&chunk);
        }
        let unreadable =
            || unreachable("what answered is not Slack: check slack.api_url".to_owned());
        let answer: Envelope<T> = serde_json::from_slice(&bytes).map_err(|_| unreadable())?;
        match answer {
            Envelope {
                ok: true,
                answer: Some(answer),
                ..
            } => Ok((answer, scopes)),
            Envelope { ok: true, .. } => Err(unreadable()),
            Envelope { error, needed, .. } => Err(CallError::Code {
                code: code_of(error),
                needed: scopes_of(needed),
            }),
        }
    }
}

fn state_by_name(
    bot: &Bot,
    known: Option<Result<&BTreeMap<String, ChannelInfo>, &ChannelState>>,
    name: &str,
) -> ChannelState {
    match known {
        Some(Ok(known)) => known
            .get(name)
            .map_or_else(|| state_if_not_found(bot), |channel| channel.state(bot)),
        Some(Err(state)) => state.clone(),
        None => ChannelState::Unchecked("it was not asked".to_owned()),
    }
}

/// Returns the state of a channel that Slack did not find. A token that lacks a scope cannot see the channels of that kind.
fn state_if_not_found(bot: &Bot) -> ChannelState {
    if bot.lacks("groups:read") {
        return ChannelState::Unchecked(
            "there is no public channel of this name or id; if it is private, the scope groups:read would show it"
                .to_owned(),
        );
    }
    if bot.lacks("channels:read") {
        return ChannelState::Unchecked(
            "there is no private channel of this name or id with the bot in it; if it is public, the scope channels:read would show it"
                .to_owned(),
        );
    }
    ChannelState::Missing
}

fn is_id(text: &str) -> bool {
    text.len() >= 8
        && text.starts_with(['C', 'G'])
        && text
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

/// Returns true for the ID of a user or a direct message, which need no invitation.
fn is_person(text: &str) -> bool {
    text.len() >= 8
        && text.starts_with(['D', 'U', 'W'])
        && text
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}
