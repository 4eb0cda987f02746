//! Reads Slack's answers: error codes, scopes and Retry-After; makes a plain message of one whose blocks Slack refused.

use std::time::Duration;

use reqwest::header;
use serde_json::{Map, Value};

use super::codes::{Meaning, meaning, meaning_for};
use super::method::Method;
use super::outcome::SlackFailure;

/// The wait after a 429 without a valid Retry-After.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);
/// The longest wait, even if Slack or a proxy asks for a longer one.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// Returns the wait that a 429 asks for.
pub(super) fn retry_after(headers: &header::HeaderMap) -> Duration {
    headers
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.trim().parse().ok())
        .map_or(RETRY_AFTER_DEFAULT, Duration::from_secs)
        .clamp(RETRY_AFTER_DEFAULT, RETRY_AFTER_MAX)
}

/// Returns Slack's error code. Any other text is not repeated, because it may contain anything, even the token.
pub(super) fn code_of(error: String) -> String {
    if is_code(&error) {
        return error;
    }
    "an error without a code".to_owned()
}

pub(super) fn is_code(error: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    !error.is_empty() && error.len() <= 64 && error.chars().all(is_word)
}

/// Returns the scopes that Slack says are missing; empty if the text is not a list of scopes.
pub(super) fn scopes_of(needed: String) -> String {
    let is_scope = |c: char| c.is_ascii_lowercase() || ":._,".contains(c);
    if needed.len() <= 100 && needed.chars().all(is_scope) {
        return needed;
    }
    String::new()
}

/// Returns the advice for a code, with the scopes that Slack says are missing.
pub(super) fn advice_of(code: &str, needed: &str, advice: &str) -> String {
    match code {
        "missing_scope" if !needed.is_empty() => {
            format!("give the app the scope {needed}, and install it again")
        }
        _ => advice.to_owned(),
    }
}

/// Returns the failure that an error code means; `None` if it counts as a success.
pub(super) fn failure(method: Method, code: &str, needed: &str) -> Option<SlackFailure> {
    if meaning(code) == Meaning::AlreadyDone {
        return None;
    }
    let advice_of = |advice| advice_of(code, needed, advice);
    let explained = |advice| format!("{code}: {}", advice_of(advice));
    Some(match meaning_for(method, code) {
        Meaning::RateLimited => SlackFailure::RateLimited(RETRY_AFTER_DEFAULT),
        Meaning::Transient => SlackFailure::Unavailable(format!("Slack answered {code}")),
        Meaning::MayBeDone(reported) => {
            SlackFailure::Unknown(format!("Slack answered {code}"), reported)
        }
        Meaning::SlackRefused(advice) => SlackFailure::SlackHeld {
            code: code.to_owned(),
            advice: advice_of(advice),
        },
        Meaning::ChannelRefused(advice) => SlackFailure::ChannelHeld {
            code: code.to_owned(),
            advice: advice_of(advice),
        },
        Meaning::Gone => SlackFailure::NotFound,
        Meaning::BlocksRefused | Meaning::AlreadyDone => {
            SlackFailure::Invalid(explained("Slack takes neither its blocks nor its text"))
        }
        Meaning::Other(advice) => SlackFailure::Invalid(explained(advice)),
    })
}

/// Removes the blocks and cuts the text to the length that Slack accepts; returns false if nothing changed.
pub(super) fn make_plain(body: &mut Map<String, Value>, chars_max: usize) -> bool {
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

    use crate::slack::codes::Reported;

    #[test]
    fn typical_codes_lead_to_the_right_failure() {
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
    fn the_advice_names_the_scope_that_slack_says_is_missing() {
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
