//! What `/deliveries/{id}` shows.

use serde_json::{Value, json};
use tests::alerts;
use tests::fakes::Slack;
use tests::server::{Server, Setup};

use super::Browser;

const HOSTILE: &str = "</td></table></pre><script>alert(1)</script><img src=x onerror=alert(1)>\" onmouseover=\"alert(1)";

async fn server(slack: &Slack) -> Server {
    Setup::new()
        .slack(slack)
        .module("slack-notify")
        .config(
            "routes:\n  - { name: others, matchers: ['team=\"b\"'], handlers: [slack-notify] }\n  \
             - { name: ours, matchers: ['team=\"a\"'], handlers: [slack-notify] }\n  \
             - { name: never, handlers: [slack-notify] }",
        )
        .config("handlers: { slack-notify: { allow: { slack: [alerts] } } }")
        .start()
        .await
}

async fn settled(server: &Server, alert: &Value) -> String {
    let ids = server.accept(alert).await;
    server.wait_settled(&ids[0]).await;
    ids[0].clone()
}

#[tokio::test]
async fn a_delivery_shows_the_message_the_calls_why_this_route_and_what_was_earlier() {
    let slack = Slack::start().await;
    let server = server(&slack).await;
    let firing = settled(&server, &alerts::firing("Down", &[("team", "a")])).await;
    let resolved = settled(&server, &alerts::resolved("Down", &[("team", "a")])).await;
    let browser = Browser::new(&server);

    let page = browser.see(&format!("/deliveries/{firing}")).await;
    assert_eq!(page.faults(), Vec::<String>::new());
    let message = page.text("#message .message");
    assert!(message.contains("Alert Manager in alerts"), "{message}");
    assert!(message.contains("Down"), "{message}");
    let calls = page.texts(".waterfall tr.call");
    assert!(
        calls.iter().any(|call| call.contains("post to alerts")),
        "{calls:?}"
    );
    assert!(
        page.text(".waterfall tr.call td:nth-child(3)")
            .contains("B out")
    );
    assert!(!page.elements(".waterfall tr.call svg rect").is_empty());
    let request = page.text(".waterfall tr.call details pre");
    assert!(request.contains("\"method\": \"post\""), "{request}");
    let verdicts = page.texts(".verdicts > li");
    assert!(verdicts[0].contains("does not match"), "{verdicts:?}");
    assert!(
        verdicts[0].contains("✕ fails team=\"b\" the label is a"),
        "{verdicts:?}"
    );
    assert!(
        verdicts[1].contains("1 ours → slack-notify : ✓ matches"),
        "{verdicts:?}"
    );
    assert!(
        verdicts[2].contains("not reached: route 1 took it"),
        "{verdicts:?}"
    );
    assert!(page.elements(".earlier").is_empty(), "it is the first");

    let page = browser.see(&format!("/deliveries/{resolved}")).await;
    assert_eq!(page.faults(), Vec::<String>::new());
    let message = page.text("#message");
    assert!(
        message.contains("In place of a message that another delivery posted"),
        "{message}"
    );
    let earlier = page.texts(".earlier tbody tr");
    assert_eq!(earlier.len(), 1);
    assert!(
        earlier[0].contains(&firing) && earlier[0].contains("slack"),
        "{earlier:?}"
    );
    let (status, json) = server
        .get(&format!("/api/v1/deliveries/{resolved}/related"))
        .await;
    assert_eq!(status, 200);
    assert_eq!(json["earlier"][0]["delivery"]["id"], firing, "{json}");
}

#[tokio::test]
async fn a_call_keeps_when_it_began_and_the_message_that_was_sent() {
    let slack = Slack::start().await;
    let server = server(&slack).await;
    let id = settled(&server, &alerts::firing("Down", &[("team", "a")])).await;
    let story = server.story(&id).await;
    let call = &story["story"][0]["steps"][0]["calls"][0];
    assert!(call["offset_us"].is_u64(), "{call}");
    let sent = story["story"][0]["steps"].to_string();
    assert!(
        sent.contains("\"thread_ts\""),
        "the message is kept: {sent}"
    );
}

#[tokio::test]
async fn what_an_alert_says_stays_text_in_the_message_and_the_calls() {
    let slack = Slack::start().await;
    let server = server(&slack).await;
    let mut alert = alerts::firing(HOSTILE, &[("team", "a"), ("pod", HOSTILE)]);
    alert["annotations"] = json!({ "summary": HOSTILE, "description": format!("```{HOSTILE}") });
    let id = settled(&server, &alert).await;
    let browser = Browser::new(&server);
    let page = browser.see(&format!("/deliveries/{id}")).await;
    assert_eq!(page.faults(), Vec::<String>::new());
    assert!(page.text("#message").contains("<script>alert(1)</script>"));
    assert!(page.text(".waterfall details").contains("alert(1)"));
    let alive = page.elements("[onmouseover], [onerror], img, script:not([src])");
    assert!(alive.is_empty());
}
