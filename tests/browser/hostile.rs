//! Text that would do something if it were not text, in a real browser.

use serde_json::json;
use tests::alerts;
use tests::fakes::Slack;
use tests::server::Setup;

use crate::World;
use crate::driver::Look;

const MARKUP: &str = "</td></table><script>alert(1)</script><img src=x onerror=alert(1)>\" autofocus onfocus=\"alert(1)' style='x";
/// A letter with so many marks that they would reach into other lines.
const STACKED: &str =
    "Z\u{300}\u{301}\u{302}\u{303}\u{304}\u{306}\u{307}\u{308}\u{309}\u{30a}Stacked";
const REVERSED: &str = "gpj.\u{202e}exe\u{2066}\u{0}\u{1b}[2J";

pub(crate) async fn text_from_outside_stays_text_and_in_its_place(world: &World) {
    let slack = Slack::start().await;
    let server = Setup::new()
        .slack(&slack)
        .module("slack-notify")
        .config(
            "slack: { channels: { alerts: \"#alerts\" } }\nroutes: [{ handlers: [slack-notify] }]",
        )
        .config("handlers: { slack-notify: { allow: { slack: [alerts] } } }")
        .start()
        .await;
    let mut labels = serde_json::Map::new();
    let name = format!("{MARKUP}{REVERSED}{}", "W".repeat(2_000));
    labels.insert("alertname".to_owned(), json!(name));
    labels.insert("severity".to_owned(), json!("critical"));
    for n in 0..200 {
        labels.insert(
            format!("label_{n}"),
            json!(format!("{MARKUP}{}", "x".repeat(n * 5))),
        );
    }
    let alert = json!({
        "status": "firing",
        "labels": labels,
        "annotations": { "summary": MARKUP, "long": "<b>".repeat(340_000), "reversed": REVERSED, "wide": "\u{fdfd}".repeat(500) },
    });
    let id = server.accept(&alert).await.remove(0);
    server.wait_settled(&id).await;
    let (_, answer) = server.post(&json!([alert, { "labels": MARKUP }])).await;
    for name in ["  ", STACKED] {
        server.accept(&alerts::firing(name, &[])).await;
    }
    let rejected = answer["rejected"][0]["id"].as_str().unwrap().to_owned();
    let escaped: String = url::form_urlencoded::byte_serialize(MARKUP.as_bytes()).collect();
    let escaped = escaped.replace('+', "%20");

    let browser = world.browser(Look::DESK).await;
    let mut wrong = Vec::new();
    for look in [Look::DESK, Look::PHONE] {
        browser.look(look).await;
        for path in [
            "/".to_owned(),
            "/deliveries".to_owned(),
            format!("/deliveries/{id}"),
            format!("/deliveries/{rejected}"),
            format!("/deliveries?alertname={escaped}"),
            format!("/deliveries?state={escaped}"),
            format!("/handlers/{escaped}"),
            format!("/routes?alert=alertname%3D%22{escaped}%22"),
            format!("/timeline?alertname={escaped}"),
            "/timeline".to_owned(),
        ] {
            browser.open(&format!("{}{path}", server.url)).await;
            assert!(!browser.has_dialog().await, "{path}: a script ran");
            let faults: Vec<String> = browser
                .run(
                    "const faults = [];
                    const made = document.querySelectorAll('main img, main style, main script, [onerror], [onfocus], [style]');
                    for (const element of made) faults.push(element.outerHTML.slice(0, 200));
                    const page = document.documentElement;
                    const width = screen.width < 500 ? screen.width : innerWidth;
                    if (page.scrollWidth > width) {
                        faults.push(`${page.scrollWidth} px are wider than ${width}`);
                        for (const wide of document.querySelectorAll('main *'))
                            if (wide.getBoundingClientRect().right > width + 1 && !wide.parentElement.closest('.sheet, pre'))
                                faults.push(wide.outerHTML.slice(0, 120));
                    }
                    if (document.querySelectorAll('main').length !== 1) faults.push('no main');
                    const frame = ['header.bar', 'main', 'h1'].map((name) => document.querySelector(name));
                    if (frame.some((part) => part === null || part.parentElement.closest('td'))) faults.push('out of its place');
                    for (const link of document.querySelectorAll('main a'))
                        if (link.textContent.trim() === '') faults.push(`a link without a text: ${link.outerHTML.slice(0, 200)}`);
                    if (/[\\u0300-\\u036f]{4}/.test(document.body.innerText)) faults.push('a stack of marks');
                    if (/[\\u202a-\\u202e\\u2066-\\u2069]/.test(document.body.innerText)) faults.push('a direction');
                    return faults;",
                )
                .await;
            wrong.extend(
                faults
                    .iter()
                    .map(|fault| format!("{path} {look:?}: {fault}")),
            );
            wrong.extend(browser.complaints().await);
        }
        browser
            .open(&format!("{}/deliveries/{id}", server.url))
            .await;
        browser.picture(&format!("hostile-{}", look.width_px)).await;
        browser.open(&format!("{}/deliveries", server.url)).await;
        browser
            .picture(&format!("hostile-list-{}", look.width_px))
            .await;
    }
    browser.close().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
