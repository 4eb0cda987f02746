//! The bundled enrichers in the real sandbox.

use serde_json::json;
use tests::alerts;
use tests::fakes::{Fault, Sink, Slack};
use tests::server::Setup;

const ANSWER: &str = "The table orders is missing.";

/// The first try of the message fails after the model has answered: the retry shows the recorded answer.
#[tokio::test]
async fn a_retry_of_a_delivery_does_not_ask_the_model_again() {
    let (model, slack) = (Sink::start().await, Slack::start().await);
    let body = json!({ "choices": [{ "message": { "content": ANSWER } }], "usage": { "total_tokens": 40 } });
    model
        .faults()
        .until_cleared("/v1/chat/completions", Fault::Json { status: 200, body });
    slack.faults().next("chat.postMessage", Fault::status(500));
    let url = model.url();
    let config = format!(
        "routes:\n  - handlers: [recurrence, llm-summary, slack-notify]\nhandlers:\n  slack-notify: {{ allow: {{ slack: [alerts] }} }}\n  \
         llm-summary:\n    allow: {{ http: ['{url}'] }}\n    config: {{ url: '{url}/v1', model: small-1, credential: '' }}\n"
    );
    let setup = Setup::new().config(&config).slack(&slack);
    let server = ["recurrence", "llm-summary", "slack-notify"]
        .into_iter()
        .fold(setup, Setup::module)
        .start()
        .await;
    let ids = server.accept(&alerts::firing("A", &[])).await;
    let story = server.wait_settled(&ids[0]).await;
    assert_eq!(story["state"], "done", "{story:#}");
    let message = slack.wait_for(|message| message.contains(ANSWER)).await;
    assert!(
        message.contains("A guess by a language model (small-1), not verified"),
        "{}",
        message.shown()
    );
    assert!(
        message.contains("no earlier one is known of the last 14 days"),
        "{}",
        message.shown()
    );
    assert_eq!(slack.count_calls("chat.postMessage"), 2);
    assert_eq!(model.count(), 1);
}

#[tokio::test]
async fn a_model_that_fails_does_not_keep_the_message_back() {
    let (model, slack) = (Sink::start().await, Slack::start().await);
    model
        .faults()
        .until_cleared("/v1/chat/completions", Fault::rate_limited(60));
    let url = model.url();
    let config = format!(
        "routes:\n  - handlers: [llm-summary, slack-notify]\nhandlers:\n  slack-notify: {{ allow: {{ slack: [alerts] }} }}\n  \
         llm-summary:\n    allow: {{ http: ['{url}'] }}\n    config: {{ url: '{url}/v1', model: small-1, credential: '' }}\n"
    );
    let setup = Setup::new().config(&config).slack(&slack);
    let server = ["llm-summary", "slack-notify"]
        .into_iter()
        .fold(setup, Setup::module)
        .start()
        .await;
    let ids = server.accept(&alerts::firing("A", &[])).await;
    assert_eq!(server.wait_settled(&ids[0]).await["state"], "done");
    let why = "not enriched by llm-summary: the language model asks to wait (429)";
    slack.wait_for(|message| message.contains(why)).await;
    assert_eq!(model.count(), 1, "a guess is not tried again");
}
