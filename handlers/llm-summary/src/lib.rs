//! Adds a language model's guess: at most five lines, marked as one. It decides nothing, and its failure changes nothing.

mod answer;
mod budget;
mod prompt;
#[cfg(test)]
mod tests;

use std::time::Duration;

use handler_sdk::http::ErrorKind;
use handler_sdk::prelude::*;
use handler_sdk::time::DAY;
use handler_sdk::{mask, serde_json};

use budget::{Budget, Limits};

const URL: Setting = Setting::origin(
    "url",
    "the address below which `/chat/completions` is: https://llm.example.com/v1",
);
const MODEL: Setting = Setting::string("model", "the name of the model");
const CREDENTIAL: Setting =
    Setting::credential("credential", "the credential with the key; empty for none").default("llm");
const CALLS: Setting =
    Setting::integer("calls_per_day", "the most calls in a day (UTC)").default("100");
const TOKENS: Setting = Setting::integer(
    "tokens_per_day",
    "the most tokens in a day (UTC), of questions and answers",
)
.default("200000");
const ANSWER_TOKENS: Setting = Setting::integer(
    "answer_tokens",
    "the most tokens of one answer, from 50 to 2000",
)
.default("300");

/// The longest time that an answer is waited for; less if the step has less.
const TIMEOUT_MAX: Duration = Duration::from_secs(20);
/// What is left of the step's time for the rest of it.
const REST: Duration = Duration::from_millis(500);
/// What the kept answer of an alert is called.
const KEPT: &str = "answer.";

/// The handler.
#[derive(Debug)]
pub struct LlmSummary;

impl Handler for LlmSummary {
    fn describe() -> Description {
        Description::new(
            env!("CARGO_PKG_NAME"),
            env!("CARGO_PKG_VERSION"),
            "Adds a language model's guess about the alert, of at most five lines and marked as one.",
        )
        .settings([&URL, &MODEL, &CREDENTIAL, &CALLS, &TOKENS, &ANSWER_TOKENS])
        .enrich_only()
    }

    fn enrich(cx: &Cx, alert: &Alert, so_far: &Enrichment) -> Result<Enrichment, Failure> {
        if alert.is_resolved() {
            return Ok(Enrichment::new());
        }
        let asked = Asked::of(cx)?;
        // A reminder shows the answer of the first message: the facts are nearly the same.
        let key = format!("{KEPT}{}", so_far.incident_key(alert));
        if let Some(lines) = cx.kv().get_json::<Vec<String>>(&key)? {
            return Ok(shown(&asked.model, &lines));
        }
        let lines = asked.answer(cx, alert, so_far).map_err(|why| {
            cx.log().warn("no summary", &[("why", &why)]);
            // The message says so in its last line. It is not tried again: what is missing is a guess.
            Failure::permanent(why)
        })?;
        cx.kv().set_json(&key, &lines, Some(DAY))?;
        Ok(shown(&asked.model, &lines))
    }

    fn act(_: &Cx, _: &Alert, _: &Enrichment) -> Result<Facts, Failure> {
        Ok(Facts::new())
    }
}

handler_sdk::export!(LlmSummary);

/// Returns the lines as preformatted text, in which neither links nor mentions nor markup mean anything.
fn shown(model: &str, lines: &[String]) -> Enrichment {
    let title = format!(
        "A guess by a language model ({}), not verified",
        answer::clean(model, 60)
    );
    Enrichment::new().with_block(Block::excerpt(title, lines.join("\n")))
}

/// The endpoint, the model and the limits.
struct Asked {
    url: String,
    model: String,
    credential: Option<String>,
    limits: Limits,
    answer_tokens: u32,
}

impl Asked {
    fn of(cx: &Cx) -> Result<Self, Failure> {
        let text = |setting: &Setting| cx.setting(setting).filter(|text| !text.trim().is_empty());
        let needed = |setting: &Setting| {
            text(setting).ok_or_else(|| {
                Failure::permanent(format!("the setting `{}` is missing", setting.name()))
            })
        };
        let number = |setting: &Setting, (least, most): (u32, u32)| {
            let written = text(setting).unwrap_or_default();
            let number = written
                .trim()
                .parse::<u32>()
                .ok()
                .filter(|number| (least..=most).contains(number));
            number.ok_or_else(|| {
                let name = setting.name();
                Failure::permanent(format!(
                    "the setting `{name}` is `{written}`: write a number from {least} to {most}"
                ))
            })
        };
        Ok(Self {
            url: format!("{}/chat/completions", needed(&URL)?.trim_end_matches('/')),
            model: needed(&MODEL)?,
            credential: text(&CREDENTIAL),
            limits: Limits {
                calls: number(&CALLS, (0, 1_000_000))?,
                tokens: number(&TOKENS, (0, 1_000_000_000))?,
            },
            answer_tokens: number(&ANSWER_TOKENS, (50, 2_000))?,
        })
    }

    /// Asks the model, within the budget of the day.
    ///
    /// # Errors
    /// Why there is no answer, for people.
    fn answer(&self, cx: &Cx, alert: &Alert, so_far: &Enrichment) -> Result<Vec<String>, String> {
        let question = prompt::question(alert, so_far);
        let estimate = prompt::tokens(&question) + self.answer_tokens;
        let budget = Budget::take(cx, self.limits, estimate)?;
        let body = serde_json::json!({
            "model": self.model,
            "messages": [
                { "role": "system", "content": prompt::INSTRUCTIONS },
                { "role": "user", "content": question },
            ],
            "max_tokens": self.answer_tokens,
            "stream": false,
        });
        let timeout = cx
            .call()
            .time_left()
            .saturating_sub(REST)
            .clamp(REST, TIMEOUT_MAX);
        let mut request = cx.http().post(&self.url).json(&body).timeout(timeout);
        if let Some(credential) = &self.credential {
            request = request.credential(credential);
        }
        let response = request
            .send()
            .and_then(handler_sdk::http::Response::error_for_status)
            .map_err(|error| why(&error))?;
        let json: serde_json::Value = response.json().map_err(|error| why(&error))?;
        if let Some(used) = json["usage"]["total_tokens"].as_u64() {
            budget.used(cx, u32::try_from(used).unwrap_or(u32::MAX));
        }
        answer::lines(&json).ok_or_else(|| "the model's answer has no text".to_owned())
    }
}

fn why(error: &handler_sdk::http::Error) -> String {
    match error.kind() {
        ErrorKind::Denied(_) => "the language model's endpoint is not granted".to_owned(),
        ErrorKind::Unreachable(_) => "the language model is unreachable".to_owned(),
        ErrorKind::Timeout => "the language model did not answer in time".to_owned(),
        ErrorKind::Status {
            status: 401 | 403, ..
        } => "the language model refuses the credential".to_owned(),
        ErrorKind::Status { status: 429, .. } => "the language model asks to wait (429)".to_owned(),
        ErrorKind::Status { status, .. } => {
            format!("the language model answers with status {status}")
        }
        ErrorKind::Unreadable(_) => "the language model's answer is no JSON".to_owned(),
        ErrorKind::TooLarge(_) => "the language model's answer is too large".to_owned(),
        // The words of the host: they name what was used up.
        _ => mask::text(&error.to_string()).into_owned(),
    }
}
