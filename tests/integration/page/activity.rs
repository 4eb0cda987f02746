//! What the page shows of a time: charts, counts, what routes and handlers received, and what people did.

use reqwest::StatusCode;
use tests::alerts;
use tests::server::{Server, Setup};

use super::{Browser, Page};

/// A server with one handler that works, one that traps, and a route that nothing takes.
fn setup() -> Setup {
    Setup::new()
        .module("probe")
        .module("slack-notify")
        .config("slack: { preview: true }\ndead_letter: { handlers: [] }")
        .config(
            "routes:\n  - { name: traps, matchers: ['alertname=\"Traps\"'], handlers: [probe] }\n  \
             - { name: rest, matchers: ['team=\"a\"'], handlers: [slack-notify] }\n  \
             - { name: never, matchers: ['team=\"b\"'], handlers: [slack-notify] }",
        )
        .config(
            "handlers:\n  probe: { config: { script: panic boom }, retry: { min_backoff: 1ms, max_backoff: 1ms } }\n  \
             slack-notify: { allow: { slack: [alerts] } }",
        )
}

async fn settled(server: &Server, name: &str, labels: &[(&str, &str)]) -> String {
    let ids = server.accept(&alerts::firing(name, labels)).await;
    server.wait_settled(&ids[0]).await;
    ids[0].clone()
}

/// Loads a page again and again until it is as it has to be: counts are written once a second.
async fn eventually(browser: &Browser<'_>, path: &str, is_so: impl Fn(&Page) -> bool) -> Page {
    for _ in 0..600 {
        let page = browser.see(path).await;
        if is_so(&page) {
            assert_eq!(page.faults(), Vec::<String>::new(), "{path}");
            return page;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let page = browser.see(path).await;
    panic!("{path} is not so after a minute: {}", page.text("main"));
}

/// Posts the form that does something with a delivery.
async fn apply(browser: &Browser<'_>, action: &str, id: &str) {
    let token = browser.see("/deliveries").await.token();
    let fields = [("token", token.as_str()), ("action", action), ("id", id)];
    let applied = browser.apply(&fields).await;
    let said = applied.text("[role=status]");
    assert!(said.starts_with("1 "), "{said}");
}

#[tokio::test]
async fn now_has_the_counts_and_charts_of_a_time() {
    let server = setup().start().await;
    let browser = Browser::new(&server);
    let empty = browser.see("/").await;
    assert_eq!(empty.faults(), Vec::<String>::new());
    assert!(
        empty.elements("svg.chart").is_empty(),
        "nothing was counted"
    );
    settled(&server, "Fine", &[("team", "a")]).await;
    settled(&server, "Traps", &[]).await;
    server.accept(&alerts::firing("Nowhere", &[])).await;

    let is_counted = |page: &Page| {
        let rows = page.texts(".lately tbody tr");
        rows.iter().all(|row| {
            let row = row.split_once(' ').map_or("", |(_, counts)| counts);
            row.starts_with("3 1 0 1 1 0")
        })
    };
    let page = eventually(&browser, "/", is_counted).await;
    let links = page.attributes(".lately tbody tr:first-child a", "href");
    assert!(
        links.contains(&"./deliveries?state=dead&ended_from=1h".to_owned()),
        "{links:?}"
    );
    assert_eq!(page.elements("svg.chart").len(), 3);
    let named = page.attributes("svg.chart", "aria-label");
    assert!(
        named.iter().all(|name| name.contains("at most")),
        "{named:?}"
    );
    // The same as text.
    let tables = page.texts(".figure tbody tr");
    assert!(
        tables.iter().any(|row| row.ends_with("3 0 0")),
        "{tables:?}"
    );
    for over in ["1h", "7d", "90d"] {
        let page = browser.see(&format!("/?over={over}")).await;
        assert_eq!(page.text("#activity a[aria-current]"), over);
        assert_eq!(page.faults(), Vec::<String>::new(), "{over}");
    }
    let wrong = browser.get("/?over=2d").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);

    let (_, json) = server.get("/api/v1/activity?over=1h").await;
    assert_eq!(json["last_day"]["received"]["accepted"], 3);
    assert_eq!(json["series"]["buckets"].as_array().map(Vec::len), Some(60));
}

#[tokio::test]
async fn routes_have_what_they_received_and_those_that_were_never_used_are_named() {
    let server = setup().start().await;
    let browser = Browser::new(&server);
    settled(&server, "Fine", &[("team", "a")]).await;
    settled(&server, "Fine", &[("team", "a"), ("n", "2")]).await;
    server.accept(&alerts::firing("Nowhere", &[])).await;
    let page = eventually(&browser, "/routes", |page| {
        page.text("#unrouted").contains("1 in the last hour")
    })
    .await;
    let rows = page.texts("#routes tbody tr");
    assert!(rows[0].ends_with("0 0 never in 90 days"), "{rows:?}");
    assert!(
        rows[1].contains(" 2 2 ") && rows[1].ends_with("ago"),
        "{rows:?}"
    );
    assert!(rows[2].ends_with("0 0 never in 90 days"), "{rows:?}");
    let links = page.attributes("#routes tbody td:last-child a", "href");
    let listed = browser
        .see(&format!("/{}", links[1].trim_start_matches("./")))
        .await;
    assert_eq!(listed.elements("tbody tr").len(), 2);
    assert_eq!(listed.attributes("#route", "value"), ["rest"]);
}

#[tokio::test]
async fn a_handler_has_its_versions_what_it_used_and_how_its_deliveries_ended() {
    let server = setup().start().await;
    let browser = Browser::new(&server);
    settled(&server, "Fine", &[("team", "a")]).await;
    settled(&server, "Traps", &[]).await;
    let path = "/handlers/slack-notify";
    let page = eventually(&browser, path, |page| {
        !page.elements("svg.chart").is_empty() && page.elements(".versions tbody tr").len() == 1
    })
    .await;
    let used = page.texts(".used tbody tr");
    assert!(
        used.iter().any(|row| row.starts_with("act: memory")),
        "{used:?}"
    );
    assert!(used.iter().any(|row| row.ends_with("64 MiB")), "{used:?}");
    // It keeps which message it updates once the alert resolves.
    assert!(page.text("main").contains(" of 50000 keys, "));
    assert!(!page.text("main").contains("kv: 0 of"));
    let dead = browser.see("/handlers/probe").await;
    assert!(
        dead.text("main")
            .contains("kv: 0 of 50000 keys, 0 bytes of 16 MiB")
    );
    let failures = dead.text("section[aria-labelledby=failures-title] tbody tr");
    assert!(failures.starts_with("1 failed"), "{failures}");

    // The version that served before a restart is not swapped in anew.
    let versions = page.texts(".versions tbody tr");
    drop(browser);
    let server = setup().start_in(server.stop().await).await;
    let browser = Browser::new(&server);
    let page = browser.see(path).await;
    assert_eq!(page.texts(".versions tbody tr"), versions);
    let (_, json) = server.get("/api/v1/handlers/slack-notify").await;
    assert_eq!(json["versions"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn the_timeline_has_what_people_did_also_after_a_restart() {
    let setup =
        || setup().config("api: { user_header: X-Forwarded-User, trusted_proxies: [127.0.0.0/8] }");
    let server = setup().start().await;
    let browser = Browser::new(&server).with("x-forwarded-user", "anna");
    let dead = settled(&server, "Traps", &[]).await;
    let attempts = server.story(&dead).await["attempts"].as_u64().unwrap();
    apply(&browser, "retry", &dead).await;
    server
        .wait_for_story(&dead, |story| {
            story["state"] == "dead" && story["attempts"].as_u64() > Some(attempts)
        })
        .await;
    drop(browser);
    let server = setup().start_in(server.stop().await).await;
    let browser = Browser::new(&server);
    let page = browser.see("/timeline?person=anna").await;
    assert_eq!(page.faults(), Vec::<String>::new());
    let rows = page.texts(".timeline tbody tr");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert!(rows[0].contains("● retried Traps firing anna"), "{rows:?}");
    assert!(
        browser
            .see("/timeline")
            .await
            .texts(".timeline tbody tr")
            .len()
            > 3
    );
    let nobody = browser.see("/timeline?person=bob").await;
    assert!(nobody.text("main").contains("Nothing happened then"));
    let only = browser.see("/timeline?what=retried").await;
    assert_eq!(only.texts(".timeline tbody tr"), rows);
    let of_another = browser.see("/timeline?alertname=Fine&what=retried").await;
    assert!(of_another.elements(".timeline tbody tr").is_empty());
    let csv = browser.see("/timeline/csv?person=anna").await;
    assert!(
        csv.body
            .contains("\"retried\",\"Traps firing\",\"\",\"anna\""),
        "{}",
        csv.body
    );
    let wrong = browser.get("/timeline?what=slept").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert!(
        wrong.text("main").contains("retried, cancelled"),
        "{}",
        wrong.text("main")
    );
}

#[tokio::test]
async fn a_count_of_what_waits_leads_to_what_waits_for_that() {
    let server = Setup::new()
        .variable("SLACK_API_URL", "http://127.0.0.1:9/")
        .variable("SLACK_TOKEN", "xoxb-none")
        .config("handlers: { slack-notify: { allow: { slack: [alerts] }, retry: { min_backoff: 1h, max_backoff: 1h } } }")
        .module("slack-notify")
        .start()
        .await;
    let ids = server.accept(&alerts::firing("Waits", &[])).await;
    server
        .wait_for_story(&ids[0], |story| story["state"] == "retrying")
        .await;
    let browser = Browser::new(&server);
    let now = browser.see("/").await;
    let link = now.attributes(".counts a.warn", "href");
    assert_eq!(link, ["./deliveries?waits=time"]);
    let listed = browser.see("/deliveries?waits=time").await;
    assert_eq!(listed.faults(), Vec::<String>::new());
    assert_eq!(listed.texts("td.alert a"), ["Waits"]);
    assert_eq!(listed.attributes("ul[aria-label] a.on", "href"), ["?"]);
    for others in ["waits=slot", "waits=time&alertname=Other"] {
        let listed = browser.see(&format!("/deliveries?{others}")).await;
        assert!(listed.elements("td.alert a").is_empty(), "{others}");
    }
    let wrong = browser.get("/deliveries?waits=godot").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert!(
        wrong
            .text("[role=alert]")
            .contains("gate, slot, order, time, coalesced")
    );
}

#[tokio::test]
async fn what_many_retries_were_about_is_in_the_timeline_and_so_is_each_of_them() {
    let server = setup().start().await;
    let mut ids = Vec::new();
    for n in ["1", "2"] {
        ids.push(settled(&server, "Traps", &[("n", n)]).await);
    }
    let query = "handler=probe&match=alertname%3D%22Traps%22";
    let (status, answer) = server
        .command(&format!("/api/v1/deliveries/retry?{query}"))
        .await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    // Entries are stored a moment later.
    let mut timeline = server.get("/api/v1/timeline?what=retried").await.1;
    for _ in 0..600 {
        if timeline["entries"].as_array().unwrap().len() == 3 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        timeline = server.get("/api/v1/timeline?what=retried").await.1;
    }
    let entries = timeline["entries"].as_array().unwrap();
    let by = "handler=probe match=alertname=\"Traps\"";
    let of_all = entries.iter().find(|entry| entry["delivery"].is_null());
    let of_all = of_all.unwrap_or_else(|| panic!("{timeline:#}"));
    assert_eq!(of_all["detail"], format!("2 deliveries, by {by}"));
    for id in ids {
        let own = entries
            .iter()
            .find(|entry| entry["delivery"] == id.as_str());
        let own = own.unwrap_or_else(|| panic!("{id}: {timeline:#}"));
        assert_eq!(own["detail"], by);
    }
}

#[tokio::test]
async fn what_is_done_is_in_the_timeline_even_if_whoever_asked_has_gone_away() {
    use tokio::io::AsyncWriteExt as _;
    let server = Setup::new()
        .variable("SLACK_API_URL", "http://127.0.0.1:9/")
        .variable("SLACK_TOKEN", "xoxb-none")
        .config("handlers: { slack-notify: { allow: { slack: [alerts] }, retry: { min_backoff: 1h, max_backoff: 1h } } }")
        .module("slack-notify")
        .start()
        .await;
    let mut ids = Vec::new();
    for n in 0..20 {
        let alert = alerts::firing("Waits", &[("n", &n.to_string())]);
        ids.push(server.accept(&alert).await.remove(0));
    }
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    for id in &ids {
        let mut connection = tokio::net::TcpStream::connect(&address).await.unwrap();
        let request = format!(
            "POST /api/v1/deliveries/{id}/cancel HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n"
        );
        connection.write_all(request.as_bytes()).await.unwrap();
    }
    // A request may be cut off before it is read: then nothing has happened. What has happened is noted.
    let mut seen = (0, 0);
    for _ in 0..600 {
        let (_, timeline) = server.get("/api/v1/timeline?what=cancelled").await;
        let noted = timeline["entries"].as_array().unwrap().len();
        let (_, list) = server.get("/api/v1/deliveries?state=dead").await;
        seen = (list["deliveries"].as_array().unwrap().len(), noted);
        if seen.0 > 0 && seen.0 == seen.1 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("cancelled and noted: {seen:?}");
}
