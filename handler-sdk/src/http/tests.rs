//! How responses and errors become a handler's failures.
#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};

use super::*;
use crate::mock::{Host, Reply};
use crate::{Alert, Cx, Description, Enrichment, Facts, Failure, Handler};

const URL: &str = "https://user:pw@api.example.com/v1/x?token=abc";

struct Asks;

impl Handler for Asks {
    fn describe() -> Description {
        Description::new("asks", "0.1.0", "Asks.")
    }

    fn act(cx: &Cx, _: &Alert, _: &Enrichment) -> Result<Facts, Failure> {
        let answer: Value = cx.http().get(URL).send()?.error_for_status()?.json()?;
        Ok(Facts::new().with("answer", answer))
    }
}

fn asked(reply: Reply) -> Result<Facts, Failure> {
    let host = Host::new()
        .now(Timestamp::from_seconds(1_792_567_680))
        .http(Method::Get, URL, reply);
    host.run::<Asks>(&Alert::new("A")).result
}

#[track_caller]
fn check(reply: Reply, expected: Failure) {
    assert_eq!(asked(reply).unwrap_err(), expected);
}

#[test]
fn transient_errors_are_unavailable_and_name_no_secret() {
    let at = "GET https://api.example.com/v1/x";
    check(
        Reply::unreachable(),
        Failure::unavailable(format!("{at}: unreachable: connection refused")),
    );
    check(
        Reply::timeout(),
        Failure::unavailable(format!("{at}: timed out")),
    );
    for status in [408, 425, 429, 500, 503, 599] {
        check(
            Reply::status(status, ""),
            Failure::unavailable(format!("{at}: answered {status}")),
        );
    }
}

#[test]
fn retry_after_is_honoured() {
    let failure = |seconds| {
        Failure::unavailable("GET https://api.example.com/v1/x: answered 429")
            .after(Duration::from_secs(seconds))
    };
    let limited = || Reply::status(429, "");
    check(limited().header("Retry-After", "17"), failure(17));
    let date = "Wed, 21 Oct 2026 07:28:30 GMT";
    check(
        limited()
            .header("Retry-After", date)
            .header("Date", "Wed, 21 Oct 2026 07:28:00 GMT"),
        failure(30),
    );
    // If the server sends no date, the handler's clock is used, which is at 07:28:00.
    check(limited().header("Retry-After", date), failure(30));
    check(
        limited().header("Retry-After", "soon"),
        Failure::unavailable("GET https://api.example.com/v1/x: answered 429"),
    );
}

#[test]
fn errors_that_a_retry_cannot_fix_are_permanent() {
    let at = "GET https://api.example.com/v1/x";
    check(
        Reply::status(403, "pods is forbidden,\n password=hunter2"),
        Failure::permanent(format!(
            "{at}: answered 403: pods is forbidden, password=[masked]"
        )),
    );
    check(
        Reply::status(302, "").header("Location", "https://elsewhere.example.com"),
        Failure::permanent(format!(
            "{at}: answered 302: redirects to https://elsewhere.example.com; redirects are not followed"
        )),
    );
    check(
        Reply::denied(),
        Failure::permanent(format!("{at}: not granted: not granted by the test")),
    );
    check(
        Reply::error(ErrorKind::TooLarge(1024)),
        Failure::permanent(format!("{at}: the response is larger than 1024 bytes")),
    );
    check(
        Reply::error(ErrorKind::BudgetExhausted("50 calls".to_owned())),
        Failure::permanent(format!("{at}: the step's limit is used up: 50 calls")),
    );
}

#[test]
fn a_body_that_cannot_be_read_is_retried() {
    let failure = asked(Reply::status(200, "<html>login</html>")).unwrap_err();
    assert!(matches!(failure, Failure::Retryable(_)), "{failure:?}");
    assert!(
        failure
            .message()
            .contains("expected value at line 1 column 1; it begins `<html>login</html>`"),
        "{failure}"
    );
}

#[test]
fn json_of_a_failed_request_names_its_status() {
    let host = Host::new().http_get("https://a.example/x", 404, "<html>");
    let response = host.cx().http().get("https://a.example/x").send().unwrap();
    let why = response.json::<Value>().unwrap_err().to_string();
    let hint = "it was answered 404, so call error_for_status() before json(); expected value";
    assert!(why.contains(hint), "{why}");
}

#[test]
fn a_request_is_sent_as_it_was_built() {
    struct Posts;
    impl Handler for Posts {
        fn describe() -> Description {
            Description::new("posts", "0.1.0", "Posts.")
        }
        fn act(cx: &Cx, _: &Alert, _: &Enrichment) -> Result<Facts, Failure> {
            let response = cx
                .http()
                .post("https://api.example.com/x")
                .query("field selector", "a=b")
                .query("limit", 3)
                .header("x-trace", "1")
                .credential("github")
                .timeout(Duration::from_millis(1_500))
                .key("comment")
                .json(&json!({"body": "hi"}))
                .send()?;
            Ok(Facts::new().with("etag", response.header("ETag").unwrap_or_default()))
        }
    }
    let host = Host::new().http(
        Method::Post,
        "https://api.example.com/*",
        Reply::json(201, &json!({})).header("ETag", "v1"),
    );
    let run = host.run::<Posts>(&Alert::new("A"));
    assert_eq!(run.facts().get("etag"), Some("v1"));
    let sent = &host.requests()[0];
    assert_eq!(
        sent.line(),
        "POST https://api.example.com/x?field%20selector=a%3Db&limit=3"
    );
    assert_eq!(
        sent.headers,
        [
            ("x-trace".to_owned(), "1".to_owned()),
            ("content-type".to_owned(), "application/json".to_owned())
        ]
    );
    assert_eq!(sent.credential.as_deref(), Some("github"));
    assert_eq!(
        (sent.timeout_ms, sent.key.as_deref()),
        (Some(1_500), Some("comment"))
    );
    assert_eq!(sent.json(), json!({"body": "hi"}));
}
