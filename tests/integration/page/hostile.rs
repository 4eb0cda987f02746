//! Text that would do something if it were not text, in every place that an alert fills.

use serde_json::json;
use tests::server::Setup;

use super::Browser;

const MARKUP: &str = "</td></table><script>alert(1)</script><img src=x onerror=alert(1)>\" onmouseover=\"alert(1)' style='x";
const REVERSED: &str = "gpj.\u{202e}exe\u{2066}\u{0}\u{1b}[2J";

#[tokio::test]
async fn what_an_alert_says_stays_text_in_every_view() {
    let server = Setup::new()
        .module("slack-notify")
        .config("slack: { preview: true }\nroutes: [{ handlers: [slack-notify] }]")
        .config("handlers: { slack-notify: { allow: { slack: [alerts] } } }")
        .start()
        .await;
    let mut labels = serde_json::Map::new();
    labels.insert("alertname".to_owned(), json!(format!("{MARKUP}{REVERSED}")));
    for n in 0..200 {
        labels.insert(format!("label_{n}"), json!(MARKUP));
    }
    let alert = json!({
        "status": "firing",
        "labels": labels,
        "annotations": { "summary": MARKUP, "long": "<b>".repeat(340_000), "reversed": REVERSED },
    });
    let ids = server.accept(&alert).await;
    server.wait_settled(&ids[0]).await;
    let refused = json!([alert, { "labels": MARKUP }]);
    let (_, answer) = server.post(&refused).await;
    let rejected = answer["rejected"][0]["id"].as_str().unwrap().to_owned();

    let browser = Browser::new(&server);
    let alert = format!("alertname={MARKUP:?}");
    let routes = format!("/routes?alert={}", escaped(&alert));
    let query = format!(
        "/deliveries?alertname={}&match={}",
        escaped(MARKUP),
        escaped(&alert)
    );
    let mistake = format!("/deliveries?state={}", escaped(MARKUP));
    let unknown = format!("/deliveries?{}=1", escaped(MARKUP));
    let handler = format!("/handlers/{}", escaped(MARKUP));
    for path in [
        "/",
        "/deliveries",
        &format!("/deliveries/{}", ids[0]),
        &format!("/deliveries/{rejected}"),
        "/handlers",
        "/handlers/slack-notify",
        "/timeline",
        &routes,
        &query,
        &mistake,
        &unknown,
        &handler,
    ] {
        let page = browser.get(path).await;
        assert_eq!(page.faults(), Vec::<String>::new(), "{path}");
        assert!(page.elements("script:not([src])").is_empty(), "{path}");
        let cells = page.elements("[onmouseover], [onerror], [style], img");
        assert!(cells.is_empty(), "{path}");
        assert!(
            !page.body.contains(['\u{202e}', '\u{2066}', '\u{1b}', '\0']),
            "{path}"
        );
        assert!(
            page.body.len() < 1 << 20,
            "{path}: {} bytes",
            page.body.len()
        );
    }
    let page = browser.see(&format!("/deliveries/{}", ids[0])).await;
    assert_eq!(
        page.elements("section[aria-labelledby=labels-title] dt")
            .len(),
        201
    );
    let annotations = page.text(".pairs");
    assert!(
        annotations.contains("(1020000 characters)"),
        "it says what was cut"
    );
    assert!(
        annotations.contains("gpj. U+202E exe"),
        "what is invisible is shown"
    );
    assert!(annotations.contains("<script>alert(1)</script>"), "as text");
}

fn escaped(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

#[tokio::test]
async fn a_secret_in_an_alert_is_masked_wherever_a_delivery_shows_the_alert() {
    let server = Setup::new()
        .config("slack: { preview: true }")
        .start()
        .await;
    let token = format!("ghp_{}", "0123456789abcdefghij0123456789abcdef");
    let alert = json!({
        "status": "firing",
        "labels": { "alertname": "Leaks", "store": "postgres://u:hunter2hunter2@h/db" },
        "annotations": { "summary": format!("the token is {token}"), "plain": "stays as it is" },
    });
    let id = server.accept(&alert).await.remove(0);
    let page = Browser::new(&server)
        .see(&format!("/deliveries/{id}"))
        .await;
    assert!(!page.body.contains("hunter2hunter2"), "{}", page.body);
    assert!(!page.body.contains(&token), "{}", page.body);
    assert!(page.text("main").contains("[masked]"));
    assert!(page.text("main").contains("stays as it is"));
}
