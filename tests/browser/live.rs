//! The script follows what happens, and nothing moves while somebody reads.

use serde_json::json;
use tests::alerts;
use tests::fakes::faults::Gate;
use tests::fakes::{Fault, Slack};
use tests::server::{Server, Setup};

use crate::World;
use crate::driver::Look;

const SHOWN: &str = "document.querySelector('main').innerText";

/// An expression that is true if the page says how it follows.
fn says(text: &str) -> String {
    format!("document.querySelector('.live')?.innerText === '{text}'")
}

pub(crate) async fn a_new_alert_arrives_and_waits_while_somebody_reads(world: &World) {
    let server = Setup::new()
        .config("slack: { preview: true }")
        .start()
        .await;
    server.accept(&alerts::firing("First", &[])).await;
    let browser = world.browser(Look::DESK).await;
    browser.open(&format!("{}/deliveries", server.url)).await;
    browser.wait(&says("live")).await;

    server.accept(&alerts::firing("Second", &[])).await;
    browser.wait(&format!("{SHOWN}.includes('Second')")).await;

    let select = "getSelection().selectAllChildren(document.querySelector('main tbody td.alert'))";
    browser.run::<()>(&format!("{select}; return null")).await;
    server.accept(&alerts::firing("Third", &[])).await;
    browser.wait(&says("paused while you read")).await;
    let shown: String = browser.run(&format!("return {SHOWN}")).await;
    assert!(!shown.contains("Third"), "{shown}");
    let selected: String = browser.run("return getSelection().toString()").await;
    assert!(selected.contains("Second"), "{selected}");

    browser
        .run::<()>("getSelection().removeAllRanges(); return null")
        .await;
    browser.wait(&format!("{SHOWN}.includes('Third')")).await;
    browser.wait(&says("live")).await;

    // What is selected for a retry stays selected, too.
    browser.click("main tbody input[type=checkbox]").await;
    server.accept(&alerts::firing("Fourth", &[])).await;
    browser.wait(&says("paused while you read")).await;
    browser.click("main tbody input[type=checkbox]").await;
    browser.wait(&format!("{SHOWN}.includes('Fourth')")).await;
    browser.close().await;
}

pub(crate) async fn a_page_goes_on_after_the_server_was_killed(world: &World) {
    let day = world.day().await;
    let browser = world.browser(Look::DESK).await;
    browser.open(&format!("{}/deliveries", day.url)).await;
    browser.wait(&says("live")).await;
    day.kill();
    browser.wait(&says("not connected")).await;
    day.start_again();
    browser.wait(&says("live")).await;
    let http = reqwest::Client::new();
    let webhook = format!("{}/webhook", day.url);
    let alert = json!({ "labels": { "alertname": "AfterTheCrash" } });
    let answer = http.post(webhook).json(&alert).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    browser
        .wait(&format!("{SHOWN}.includes('AfterTheCrash')"))
        .await;
    browser.close().await;
}

/// A server whose one handler dies at once, except for what waits.
async fn failing() -> Server {
    Setup::new()
        .module("probe")
        .config("dead_letter: { handlers: [] }\nroutes: [{ handlers: [probe] }]")
        .config(
            "handlers: { probe: { config: { script: panic boom }, retry: { max_attempts: 1 } } }",
        )
        .start()
        .await
}

pub(crate) async fn a_list_follows_though_it_is_empty_and_is_emptied(world: &World) {
    let server = failing().await;
    let browser = world.browser(Look::DESK).await;
    let dead = format!("{}/deliveries?state=dead", server.url);
    browser.open(&dead).await;
    browser.wait(&says("live")).await;
    let shown: String = browser.run(&format!("return {SHOWN}")).await;
    assert!(shown.contains("No delivery matches."), "{shown}");
    server.accept(&alerts::firing("Dies", &[])).await;
    browser.wait(&format!("{SHOWN}.includes('Dies')")).await;

    let server = Setup::new()
        .variable("SLACK_API_URL", "http://127.0.0.1:9/")
        .variable("SLACK_TOKEN", "xoxb-none")
        .config("handlers: { slack-notify: { allow: { slack: [alerts] }, retry: { min_backoff: 1h, max_backoff: 1h } } }")
        .module("slack-notify")
        .start()
        .await;
    let id = server.accept(&alerts::firing("Waits", &[])).await.remove(0);
    server
        .wait_for_story(&id, |story| story["state"] == "retrying")
        .await;
    browser
        .open(&format!("{}/deliveries?waits=time", server.url))
        .await;
    browser.wait(&says("live")).await;
    browser
        .wait(&format!("{SHOWN}.includes('Waits firing')"))
        .await;
    let cancel = format!("/api/v1/deliveries/{id}/cancel");
    assert_eq!(server.command(&cancel).await.0, 200);
    browser
        .wait(&format!("{SHOWN}.includes('No delivery matches.')"))
        .await;
    browser.close().await;
}

pub(crate) async fn a_delivery_gets_what_it_did_not_have_when_it_was_opened(world: &World) {
    let gate = Gate::closed();
    let slack = Slack::start().await;
    slack
        .faults()
        .until_cleared("chat.postMessage", Fault::Hold(gate.clone()));
    let server = Setup::new()
        .slack(&slack)
        .module("slack-notify")
        .config("handlers: { slack-notify: { allow: { slack: [alerts] } } }")
        .start()
        .await;
    let id = server.accept(&alerts::firing("Slow", &[])).await.remove(0);
    let browser = world.browser(Look::DESK).await;
    browser
        .open(&format!("{}/deliveries/{id}", server.url))
        .await;
    browser.wait(&says("live")).await;
    let has = |selector: &str| format!("document.querySelector('{selector}') !== null");
    browser.wait(&has("button[value=cancel]")).await;
    let is_sent: bool = browser
        .run(&format!("return {}", has("#message .message")))
        .await;
    assert!(!is_sent);
    slack.faults().clear();
    gate.open();
    browser.wait(&has("#message .message")).await;
    browser
        .wait(&format!("!({})", has("button[value=cancel]")))
        .await;
    browser.close().await;
}

pub(crate) async fn a_tab_that_nobody_sees_holds_no_connection(world: &World) {
    let server = Setup::new()
        .config("slack: { preview: true }")
        .start()
        .await;
    let browser = world.browser(Look::DESK).await;
    browser.open(&format!("{}/deliveries", server.url)).await;
    browser.wait(&says("live")).await;
    let closed: u32 = browser
        .run(
            "let closed = 0;
            const close = EventSource.prototype.close;
            EventSource.prototype.close = function () { closed += 1; close.call(this); };
            Object.defineProperty(document, 'hidden', { configurable: true, get: () => true });
            document.dispatchEvent(new Event('visibilitychange'));
            return closed",
        )
        .await;
    assert_eq!(closed, 1);
    server.accept(&alerts::firing("Meanwhile", &[])).await;
    browser
        .run::<()>(
            "delete document.hidden; document.dispatchEvent(new Event('visibilitychange')); return null",
        )
        .await;
    browser
        .wait(&format!("{SHOWN}.includes('Meanwhile')"))
        .await;
    browser.wait(&says("live")).await;
    browser.close().await;
}
