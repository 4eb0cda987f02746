//! The script follows what happens, and nothing moves while somebody reads.

use serde_json::json;
use tests::alerts;
use tests::server::Setup;

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
