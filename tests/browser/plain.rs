//! The page without a script, as a browser has it that blocks all scripts.

use tests::PATIENCE;

use crate::World;
use crate::driver::{Browser, Look};

/// Returns the text of the elements of a selector.
async fn texts(browser: &Browser, selector: &str) -> String {
    let mut texts = Vec::new();
    for element in browser.all(selector).await {
        texts.push(element.text().await.unwrap());
    }
    texts.join("\n")
}

pub(crate) async fn everything_can_be_used_without_a_script(world: &World) {
    let day = world.day().await;
    let browser = world.browser(Look::WITHOUT_SCRIPT).await;
    browser.open(&day.url).await;
    assert!(browser.all(".live").await.is_empty(), "the script runs");
    let times = texts(&browser, "time").await;
    assert!(times.contains("ago"), "{times}");

    browser.follow("header nav a[href$=deliveries]").await;
    browser.fill("#match", r#"namespace="orders""#).await;
    browser.follow("form[role=search] button").await;
    let found = texts(&browser, "main tbody").await;
    assert!(
        found.contains("ReplicationLag") && found.contains("DiskFull"),
        "{found}"
    );
    assert!(!found.contains("HighErrorRate"), "{found}");
    browser.follow("[aria-label='Filters in use'] a").await;
    let found = texts(&browser, "main tbody").await;
    assert!(
        found.contains("EtcdMembersDown"),
        "the filter is gone: {found}"
    );

    browser.follow("main tbody a").await;
    assert!(!browser.text("h1").await.is_empty());
    for (link, heading) in [
        ("handlers", "Handlers"),
        ("routes", "Routes"),
        ("timeline", "Timeline"),
    ] {
        browser.follow(&format!("header nav a[href$={link}]")).await;
        assert_eq!(browser.text("h1").await, heading);
    }
    browser.follow("header nav a[href$=routes]").await;
    browser
        .fill("#alert", r#"alertname="A", team="billing""#)
        .await;
    browser.follow("main form button").await;
    let verdicts = browser.text(".verdicts").await;
    assert!(
        verdicts.contains("matches") && verdicts.contains("effects"),
        "{verdicts}"
    );

    browser
        .open(&format!("{}/deliveries?state=dead", day.url))
        .await;
    browser.click("main tbody input[type=checkbox]").await;
    browser.follow("button[value=retry]").await;
    assert_eq!(browser.text("h1").await, "Retry deliveries?");
    browser.close().await;
}

pub(crate) async fn a_dead_delivery_is_retried_from_the_page(world: &World) {
    let day = world.day().await;
    let id = &day.dead[0];
    let posts = || {
        let calls = day.slack.calls().into_iter();
        calls.filter(|call| call.body["text"] == "alert 1").count()
    };
    assert_eq!(posts(), 1);
    let browser = world.browser(Look::DESK).await;
    browser
        .open(&format!("{}/deliveries?state=dead", day.url))
        .await;
    browser
        .click(&format!("input[name=id][value='{id}']"))
        .await;
    browser.follow("button[value=retry]").await;
    let preview = browser.text("main").await;
    assert!(preview.contains("1 of 1 would run again."), "{preview}");
    assert!(
        preview.contains("1 Slack call") && preview.contains("not repeated"),
        "{preview}"
    );
    browser.picture("preview").await;
    browser.follow("form[action$=apply] button").await;
    let applied = browser.text("main").await;
    assert!(applied.contains("1 retried"), "{applied}");
    browser.picture("applied").await;
    browser.follow(&format!("a[href$='{id}']")).await;
    let story = tokio::time::timeout(PATIENCE, day.wait_for(id, "done"));
    story.await.expect("it is done");
    browser
        .wait("document.querySelector('main').innerText.includes('done')")
        .await;
    assert_eq!(posts(), 1, "the message is not repeated");
    browser.close().await;
}
