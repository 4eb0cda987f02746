//! How the fake Slack fails when it is run by hand: asked for by options at the start, or by HTTP meanwhile.

use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::json;

use super::faults::{ANY, Fault, Faults};
use super::slack_api::CHANNELS;
use crate::dice::Dice;

/// The methods that fail with a code that is about a channel or a message.
const POSTING: [&str; 3] = ["chat.postMessage", "chat.update", "reactions.add"];

/// Codes that are about the token: every method fails with them.
const OF_THE_TOKEN: [&str; 6] = [
    "account_inactive",
    "invalid_auth",
    "missing_scope",
    "not_authed",
    "token_expired",
    "token_revoked",
];

/// What `--help` says of the options.
pub const OPTIONS: &str = "\
  --down                   cut every connection without an answer
  --code CODE              refuse with this code of Slack's: messages (not_in_channel, is_archived, ...), or everything
                           if it is about the token (invalid_auth, missing_scope, ...)
  --rate-limited SECONDS   answer 429 with Retry-After
  --slow DURATION          answer after this time (500ms, 2s)
  --status STATUS          answer with this HTTP status
  --fail PERCENT           fail so many of a hundred calls only (30%); without another option, with status 500";

/// Which calls fail, and how.
#[derive(Clone, Debug)]
pub struct Outage {
    percent: usize,
    fault: Option<Fault>,
    code: Option<String>,
}

impl Default for Outage {
    fn default() -> Self {
        Self {
            percent: 100,
            fault: None,
            code: None,
        }
    }
}

impl Outage {
    /// Takes one option by its name, without the dashes; false if there is no such option.
    ///
    /// # Errors
    /// If its value cannot be read, or it is a second way to fail.
    pub fn option(&mut self, name: &str, value: Option<&str>) -> anyhow::Result<bool> {
        let given = || value.filter(|value| !value.is_empty());
        let needed = || given().with_context(|| format!("{name} needs a value"));
        let fault = match name {
            "down" => Fault::Cut,
            "code" => Fault::slack_error(needed()?),
            "rate-limited" => Fault::rate_limited(
                needed()?
                    .parse()
                    .context("rate-limited: write a number of seconds")?,
            ),
            "slow" => Fault::Slow(duration(needed()?)?),
            "status" => {
                let status = needed()?.parse().ok();
                let status = status.filter(|status| (200..=599).contains(status));
                Fault::status(status.context("status: write a number from 200 to 599")?)
            }
            "fail" => {
                let percent = needed()?.trim_end_matches('%').parse().ok();
                let percent = percent.filter(|percent| *percent <= 100);
                self.percent = percent.context("fail: write a percentage such as 30%")?;
                self.fault.get_or_insert(Fault::status(500));
                return Ok(true);
            }
            _ => return Ok(false),
        };
        let is_usual = matches!(self.fault, Some(Fault::Status { status: 500, .. }) | None);
        if !is_usual {
            bail!("{name}: it fails in another way already; choose one");
        }
        self.code = given().filter(|_| name == "code").map(str::to_owned);
        self.fault = Some(fault);
        Ok(true)
    }

    /// Lets calls fail from now on in this way alone.
    pub fn begin(&self, faults: &Faults) {
        faults.clear();
        let Some(fault) = &self.fault else {
            return;
        };
        let of_channels = self.code.as_deref();
        let of_channels = of_channels.filter(|code| !OF_THE_TOKEN.contains(code));
        let faulty = match of_channels {
            None => vec![(ANY, fault.clone())],
            Some(code) => {
                let posting = POSTING.into_iter().map(|path| (path, fault.clone()));
                posting.chain(lookups(code)).collect()
            }
        };
        for (path, fault) in faulty {
            let dice = Dice::from_seed(crate::dice::seed());
            faults.share(path, self.percent, fault, dice);
        }
    }
}

/// The answers of the methods that look up channels, if posting fails with `code`: a client that looks up the channel first
/// gets a matching error.
fn lookups(code: &str) -> Vec<(&'static str, Fault)> {
    let channel = |name: &str| {
        json!({
            "id": name, "name": name, "is_private": false,
            "is_member": code != "not_in_channel", "is_archived": code == "is_archived",
        })
    };
    let answer = |body| Fault::Json { status: 200, body };
    let (info, names) = match code {
        "not_in_channel" | "is_archived" => {
            let info = answer(json!({ "ok": true, "channel": channel("") }));
            (info, &CHANNELS[..])
        }
        "channel_not_found" => (Fault::slack_error(code), &[][..]),
        _ => return Vec::new(),
    };
    let all: Vec<_> = names.iter().map(|name| channel(name)).collect();
    let list = answer(json!({ "ok": true, "channels": all }));
    vec![("conversations.info", info), ("conversations.list", list)]
}

fn duration(text: &str) -> anyhow::Result<Duration> {
    let parsed = alert_manager::units::parse_duration(text);
    parsed.with_context(|| format!("{text}: write a duration such as 500ms or 2s"))
}

/// `POST /fail?code=not_in_channel&fail=30%25` fails from now on, `POST /heal` works again.
pub(crate) fn endpoints(faults: &Faults) -> Router {
    Router::new()
        .route("/fail", post(fail))
        .route("/heal", post(heal))
        .with_state(faults.clone())
}

async fn fail(State(faults): State<Faults>, RawQuery(query): RawQuery) -> (StatusCode, String) {
    match read(query.as_deref().unwrap_or_default()) {
        Ok(outage) => {
            outage.begin(&faults);
            (StatusCode::OK, "failing until POST /heal\n".to_owned())
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error:#}\n")),
    }
}

async fn heal(State(faults): State<Faults>) -> &'static str {
    faults.clear();
    "working again\n"
}

fn read(query: &str) -> anyhow::Result<Outage> {
    let mut outage = Outage::default();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if !outage.option(&name, Some(&value))? {
            bail!("{name} is not an option; those are:\n{OPTIONS}");
        }
    }
    if outage.fault.is_none() {
        bail!("say how to fail: POST /fail?code=not_in_channel; the options are:\n{OPTIONS}");
    }
    Ok(outage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_what_makes_no_sense_is_refused() {
        for query in [
            "down",
            "code=is_archived",
            "rate-limited=30",
            "slow=2s",
            "status=503",
            "fail=30%25",
            "fail=30",
            "fail=30&code=not_in_channel",
            "code=not_in_channel&fail=30",
        ] {
            assert!(read(query).is_ok(), "{query}");
        }
        for query in [
            "",
            "code",
            "down&code=x",
            "fail=130",
            "slow=soon",
            "status=9",
            "rate-limited=x",
            "up",
        ] {
            assert!(read(query).is_err(), "{query}");
        }
        let share = read("code=not_in_channel&fail=30").expect("it is read");
        assert_eq!(
            (share.percent, share.code.as_deref()),
            (30, Some("not_in_channel"))
        );
    }
}
