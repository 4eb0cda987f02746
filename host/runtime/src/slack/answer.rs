//! Reads Slack's answers: codes, scopes, Retry-After, and what to make of a message whose blocks are refused.

use std::time::Duration;

use reqwest::header;
use serde_json::{Map, Value};

use super::codes::{Meaning, meaning, meaning_for};
use super::method::Method;
use super::outcome::SlackFailure;

/// If Slack answers 429 without saying for how long.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);
/// However long Slack, or a proxy, says to wait: the next call is made after this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// Returns how long a 429 says to wait.
pub(super) fn retry_after(headers: &header::HeaderMap) -> Duration {
    headers
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.trim().parse().ok())
        .map_or(RETRY_AFTER_DEFAULT, Duration::from_secs)
        .clamp(RETRY_AFTER_DEFAULT, RETRY_AFTER_MAX)
}

/// Returns Slack's code. What is no code is not repeated: it may be anything, the token too.
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

/// Returns the scopes that Slack names, if that is what they are.
pub(super) fn scopes_of(needed: String) -> String {
    let is_scope = |c: char| c.is_ascii_lowercase() || ":._,".contains(c);
    if needed.len() <= 100 && needed.chars().all(is_scope) {
        return needed;
    }
    String::new()
}

/// Returns what can be done about a code; with the scopes that it needs, if Slack names them.
pub(super) fn advice_of(code: &str, needed: &str, advice: &str) -> String {
    match code {
        "missing_scope" if !needed.is_empty() => {
            format!("give the app the scope {needed}, and install it again")
        }
        _ => advice.to_owned(),
    }
}

/// Returns what a code means for the caller; `None` if it is as good as success.
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

/// Leaves only the text, cut to what Slack takes; returns false if nothing would change.
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
