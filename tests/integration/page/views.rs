//! What each view shows of a day, and what its forms do.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::alerts;
use tests::server::{Server, Setup};

use super::{Browser, Page};

/// A server with one handler that works and one that traps.
async fn server() -> Server {
    Setup::new()
        .module("probe")
        .module("slack-notify")
        .config("slack: { preview: true }\ndead_letter: { handlers: [] }")
        .config("heartbeats: { prometheus: { matchers: ['alertname=\"Watchdog\"'], every: 5m } }")
        .config(
            "routes:\n  - { name: traps, matchers: ['alertname=\"Traps\"'], handlers: [probe], priority: critical }\n  \
             - { name: rest, matchers: ['team=~\"a|b\"'], handlers: [slack-notify] }",
        )
        .config(
            "handlers:\n  probe: { config: { script: panic boom }, retry: { min_backoff: 1ms, max_backoff: 1ms } }\n  \
             slack-notify: { allow: { slack: [alerts] } }",
        )
        .start()
        .await
}

/// Sends an alert and waits until its one delivery has ended.
async fn settled(server: &Server, alert: &Value) -> String {
    let ids = server.accept(alert).await;
    server.wait_settled(&ids[0]).await;
    ids[0].clone()
}

fn assert_sound(page: &Page, path: &str) {
    assert_eq!(page.faults(), Vec::<String>::new(), "{path}");
}

#[tokio::test]
async fn now_has_counts_that_are_filters_and_names_what_needs_somebody() {
    let server = server().await;
    let browser = Browser::new(&server);
    let page = browser.see("/").await;
    assert_sound(&page, "/");
    assert!(page.text("#longest").contains("Nothing waits"));
    assert!(page.text("#newest").contains("No alert has come yet"));
    let heartbeats = page.text("#heartbeats");
    assert!(
        heartbeats.contains("prometheus 5m not arrived since the start"),
        "{heartbeats}"
    );
    assert!(page.text("#channels").contains("alerts #alerts 0"));

    server.accept(&alerts::firing("Watchdog", &[])).await;
    let page = browser.see("/").await;
    assert!(page.text("#heartbeats").contains("prometheus 5m ✓ arrives"));

    settled(&server, &alerts::firing("Fine", &[("team", "a")])).await;
    for n in ["1", "2", "3"] {
        settled(&server, &alerts::firing("Traps", &[("n", n)])).await;
    }
    let page = browser.see("/").await;
    assert_sound(&page, "/");
    assert!(page.texts(".counts li").contains(&"3 dead".to_owned()));
    let dead = page.attributes(".counts a.bad", "href");
    assert_eq!(dead, ["./deliveries?state=dead"]);
    assert_eq!(page.elements("#newest tbody tr").len(), 5);
    assert!(
        page.text("#handlers").contains("probe paused"),
        "{}",
        page.text("#handlers")
    );
    let listed = browser.see("/deliveries?state=dead").await;
    assert_eq!(listed.elements("tbody tr").len(), 3);
}

#[tokio::test]
async fn deliveries_are_filtered_by_what_is_in_the_url() {
    let server = server().await;
    for (name, team) in [("A", "a"), ("B", "b"), ("C", "a"), ("D", "none")] {
        settled(&server, &alerts::firing(name, &[("team", team)])).await;
    }
    let browser = Browser::new(&server);
    let names = |page: &Page| page.texts("td.alert a");
    let page = browser.see("/deliveries").await;
    assert_sound(&page, "/deliveries");
    assert_eq!(names(&page), ["D", "C", "B", "A"]);
    for (query, expected) in [
        ("match=team%3D%22a%22", vec!["C", "A"]),
        (
            "match=team%3D%7E%22a%7Cb%22%2C+alertname%21%3D%22B%22",
            vec!["C", "A"],
        ),
        ("reason=unrouted", vec!["D"]),
        ("handler=slack-notify&alertname=B", vec!["B"]),
        ("from=1h", vec!["D", "C", "B", "A"]),
        ("to=1h", vec![]),
        ("state=running", vec![]),
    ] {
        let page = browser.see(&format!("/deliveries?{query}")).await;
        assert_eq!(names(&page), expected, "{query}");
        assert_sound(&page, query);
    }
    let page = browser
        .see("/deliveries?match=team%3D%22a%22&state=done")
        .await;
    assert_eq!(page.attributes("#match", "value"), ["team=\"a\""]);
    let chips = page.attributes("ul[aria-label] a.on", "href");
    assert_eq!(chips, ["?state=done", "?match=team%3D%22a%22"]);

    let first = browser.see("/deliveries?limit=3").await;
    assert_eq!(names(&first), ["D", "C", "B"]);
    let next = first.attributes("a[rel=next]", "href").remove(0);
    let second = browser.see(&format!("/deliveries{next}")).await;
    assert_eq!(names(&second), ["A"]);
    assert!(second.elements("a[rel=next]").is_empty());
    // And back: what would be the newest page is shown as that.
    let link = |page: &Page, rel: &str| {
        let links = page.attributes(&format!("a[rel={rel}]"), "href");
        format!("/deliveries{}", links[0])
    };
    let back = browser.get(&link(&second, "prev")).await;
    assert_eq!(back.status, StatusCode::SEE_OTHER);
    assert_eq!(back.header("location"), "?limit=3");
    assert!(first.elements("a[rel=prev]").is_empty());
    let mut page = browser.see("/deliveries?limit=1").await;
    for name in ["C", "B"] {
        page = browser.see(&link(&page, "next")).await;
        assert_eq!(names(&page), [name]);
    }
    let page = browser.see(&link(&page, "prev")).await;
    assert_eq!(names(&page), ["C"]);
    assert_eq!(
        names(&browser.see(&link(&page, "next")).await),
        ["B"],
        "the way goes on in both directions"
    );

    let wrong = browser.get("/deliveries?state=nonsense&alertname=A").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert!(wrong.text("[role=alert]").contains("state is queued"));
    assert_eq!(
        wrong.attributes("#alertname", "value"),
        ["A"],
        "to be corrected"
    );
    assert_sound(&wrong, "a mistake");
}

#[tokio::test]
async fn what_is_selected_is_retried_after_a_preview_and_by_no_page_of_others() {
    let server = server().await;
    let id = settled(&server, &alerts::firing("Traps", &[])).await;
    let done = settled(&server, &alerts::firing("Fine", &[("team", "a")])).await;
    let attempts = server.delivery(&id).await.delivery.attempts;
    let browser = Browser::new(&server);
    let page = browser.see("/deliveries").await;
    let token = page.token();
    assert_eq!(
        page.attributes("input[name=id]", "value"),
        [done.clone(), id.clone()]
    );

    let selected = [
        ("token", token.as_str()),
        ("action", "retry"),
        ("id", &id),
        ("id", &done),
    ];
    let preview = browser.post("/deliveries/preview", &selected).await;
    assert_eq!(preview.status, StatusCode::OK, "{}", preview.text("main"));
    assert_sound(&preview, "the preview");
    assert!(
        preview
            .text(".notice")
            .starts_with("1 of 2 would run again.")
    );
    assert!(
        preview.text("tbody").contains("act of probe"),
        "{}",
        preview.text("tbody")
    );
    assert!(preview.text("tbody").contains("nothing: it is done"));
    assert!(preview.text("tbody").contains("1 Slack call"));
    assert_eq!(
        preview.attributes("main input[name=id]", "value"),
        [id.as_str()]
    );

    let without_token = [("action", "retry"), ("id", id.as_str())];
    for (headers, fields) in [
        (vec![], &without_token[..]),
        (vec![("origin", "http://evil.example")], &selected[..]),
        (vec![("origin", "null")], &selected[..]),
        (vec![("sec-fetch-site", "cross-site")], &selected[..]),
        (vec![("sec-fetch-site", "same-site")], &selected[..]),
    ] {
        let mut other = Browser::new(&server);
        for (name, value) in &headers {
            other = other.with(name, value);
        }
        for path in ["/deliveries/preview", "/deliveries/apply"] {
            let refused = other.post(path, fields).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path} {headers:?}");
        }
    }
    assert_eq!(server.delivery(&id).await.delivery.attempts, attempts);

    let applied = browser.apply(&selected).await;
    assert_sound(&applied, "what was done");
    let results = applied.text(".results");
    assert!(results.contains("it is done"), "{results}");
    assert!(
        applied
            .text("[role=status]")
            .starts_with("1 retried, 1 not")
    );
    server
        .wait_for_story(&id, |story| {
            story["state"] == "dead" && story["attempts"].as_u64() > Some(u64::from(attempts))
        })
        .await;
    let again = [("token", token.as_str()), ("action", "cancel"), ("id", &id)];
    let applied = browser.apply(&again).await;
    assert!(
        applied
            .text("[role=status]")
            .starts_with("0 cancelled, 1 not")
    );
}

#[tokio::test]
async fn what_a_later_event_has_passed_is_retried_only_if_that_is_confirmed() {
    let setup = |script: &str| {
        Setup::new()
            .module("probe")
            .config("slack: { preview: true }")
            .config("routes: [{ name: rest, handlers: [probe] }]\ndead_letter: { handlers: [] }")
            .config(&format!(
                "handlers: {{ probe: {{ config: {{ script: '{script}' }}, retry: {{ min_backoff: 1ms, max_backoff: 1ms }} }} }}"
            ))
    };
    let server = setup("panic boom").start().await;
    let id = settled(&server, &alerts::firing("Passed", &[])).await;
    let dir = server.stop().await;
    let server = setup("").start_in(dir).await;
    let resolved = settled(&server, &alerts::resolved("Passed", &[])).await;
    let browser = Browser::new(&server);
    let token = browser.see("/deliveries").await.token();
    let selected = [
        ("token", token.as_str()),
        ("action", "retry"),
        ("query", "alertname=Passed&state="),
        ("id", &id),
        ("id", &resolved),
    ];
    let preview = browser.post("/deliveries/preview", &selected).await;
    assert_sound(&preview, "the preview");
    let notice = preview.text(".notice");
    assert!(notice.starts_with("0 of 2 would run again."), "{notice}");
    assert!(
        notice.contains("A later event of the alert has run for 1"),
        "{notice}"
    );
    let overtaken = preview.attributes("input[name=overtaken]", "value");
    assert_eq!(overtaken, [id.as_str()]);
    assert!(
        preview
            .attributes("main input[name=id]", "value")
            .is_empty()
    );
    let back = preview.attributes("form.next a", "href");
    assert_eq!(back, ["../deliveries?alertname=Passed"]);

    let confirmed = |force: &'static str| {
        [
            ("token", token.as_str()),
            ("action", "retry"),
            ("overtaken", id.as_str()),
            ("overtaken", id.as_str()),
            ("force", force),
        ]
    };
    let nothing = browser.post("/deliveries/apply", &confirmed("")).await;
    assert_eq!(nothing.status, StatusCode::BAD_REQUEST);
    assert_eq!(server.story(&id).await["state"], "dead");
    let by_id = [("token", token.as_str()), ("action", "retry"), ("id", &id)];
    let refused = browser.apply(&by_id).await;
    assert!(
        refused
            .text(".results")
            .contains("a later event of this alert has run"),
        "{}",
        refused.text("main")
    );
    let applied = browser.apply(&confirmed("true")).await;
    assert_eq!(applied.text("[role=status]"), "1 retried.");
    assert!(applied.text(".results").contains("Passed"));
    server
        .wait_for_story(&id, |story| story["state"] == "done")
        .await;
}

#[tokio::test]
async fn a_part_of_a_body_that_was_no_alert_is_not_promised_a_retry() {
    let server = server().await;
    let body = json!([alerts::firing("Fine", &[("team", "a")]), { "labels": "none" }]);
    let (_, answer) = server.post(&body).await;
    let id = answer["rejected"][0]["id"].as_str().unwrap().to_owned();
    let browser = Browser::new(&server);
    let token = browser.see("/deliveries").await.token();
    let selected = [("token", token.as_str()), ("action", "retry"), ("id", &id)];
    let preview = browser.post("/deliveries/preview", &selected).await;
    assert!(preview.text(".notice").contains("Nothing can be done"));
    assert!(preview.text("tbody").contains("was not an alert"));
}

#[tokio::test]
async fn no_more_than_two_hundred_are_selected_at_once() {
    let server = server().await;
    settled(&server, &alerts::firing("Fine", &[("team", "a")])).await;
    let browser = Browser::new(&server);
    let token = browser.see("/deliveries").await.token();
    for (count, expected) in [
        (0, StatusCode::BAD_REQUEST),
        (200, StatusCode::OK),
        (201, StatusCode::BAD_REQUEST),
    ] {
        let ids: Vec<_> = (0..count).map(|n| format!("{n:013}")).collect();
        let mut fields = vec![("token", token.as_str()), ("action", "cancel")];
        fields.extend(ids.iter().map(|id| ("id", id.as_str())));
        let page = browser.post("/deliveries/preview", &fields).await;
        assert_eq!(page.status, expected, "{count}: {}", page.text("main"));
    }
}

#[tokio::test]
async fn a_handler_has_a_page_with_its_grants_and_why_it_fails() {
    let server = server().await;
    settled(&server, &alerts::firing("Fine", &[("team", "a")])).await;
    settled(&server, &alerts::firing("Traps", &[])).await;
    let browser = Browser::new(&server);
    let list = browser.see("/handlers").await;
    assert_sound(&list, "/handlers");
    assert_eq!(list.texts("tbody th"), ["probe", "slack-notify"]);
    let page = browser.see("/handlers/slack-notify").await;
    assert_sound(&page, "/handlers/slack-notify");
    let grants = page.texts("[aria-label=Grants] tbody tr");
    assert!(
        grants[0].starts_with("slack alerts 1 0 s ago") || grants[0].starts_with("slack alerts 1"),
        "{grants:?}"
    );
    assert_eq!(page.elements("#newest tbody tr").len(), 1);
    let page = browser.see("/handlers/probe").await;
    assert_sound(&page, "/handlers/probe");
    assert!(page.text("main").contains("boom"), "{}", page.text("main"));
    assert_eq!(
        browser.get("/handlers/none").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn the_box_says_which_routes_an_alert_takes_and_why() {
    let server = server().await;
    let browser = Browser::new(&server);
    let page = browser.see("/routes").await;
    assert_sound(&page, "/routes");
    assert_eq!(page.texts("#routes tbody th"), ["traps", "rest"]);
    let token = page.token();
    let explain = |text: String| {
        let (browser, token) = (&browser, token.clone());
        async move {
            let fields = [("token", token.as_str()), ("alert", text.as_str())];
            browser.post("/routes", &fields).await
        }
    };
    let page = explain("alertname=X, team=b".to_owned()).await;
    assert_eq!(page.status, StatusCode::OK);
    assert_sound(&page, "an explanation");
    let verdicts = page.texts(".verdicts > li");
    assert!(verdicts[0].contains("does not match"), "{verdicts:?}");
    assert!(
        verdicts[0].contains("✕ fails alertname=\"Traps\" the label is X"),
        "{verdicts:?}"
    );
    assert!(verdicts[1].contains("✓ matches"), "{verdicts:?}");
    let link = page.attributes(".explained a", "href").remove(0);
    let linked = browser.see(&format!("/routes{link}")).await;
    assert_eq!(linked.texts(".verdicts > li"), verdicts);

    let group = json!([alerts::firing("Traps", &[]), alerts::firing("Other", &[])]);
    let page = explain(group.to_string()).await;
    assert_eq!(page.elements(".explained").len(), 2);
    assert!(
        page.text(".explained")
            .contains("not reached: route 0 took it")
    );
    assert!(page.text(".explained").contains("No route matches"));

    let wrong = explain("what is this".to_owned()).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert_eq!(wrong.text("textarea"), "what is this");
    let long = explain("x".repeat(1 << 20)).await;
    assert_eq!(long.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn the_timeline_has_what_was_done_and_can_be_taken_along() {
    let server = server().await;
    settled(&server, &alerts::firing("Fine", &[("team", "a")])).await;
    settled(&server, &alerts::firing("Traps", &[("team", "=1|2")])).await;
    let browser = Browser::new(&server);
    let page = browser.see("/timeline").await;
    assert_sound(&page, "/timeline");
    let rows = page.texts(".timeline tbody tr");
    let kinds = |what: &str| rows.iter().filter(|row| row.contains(what)).count();
    assert_eq!(
        (kinds("received"), kinds("✓ done"), kinds("✕ dead")),
        (2, 1, 1),
        "{rows:?}"
    );
    assert!(kinds("effect") >= 1, "{rows:?}");
    let links = page.attributes(".actions a", "href");
    assert_eq!(
        links,
        [
            "./timeline/md?from=1h",
            "./timeline/csv?from=1h",
            "./timeline/json?from=1h"
        ]
    );
    for (format, kind, begins) in [
        ("md", "text/markdown", "| time (UTC) |"),
        ("csv", "text/csv", "time,what,alert"),
        ("json", "application/json", "{"),
    ] {
        let file = browser.see(&format!("/timeline/{format}?from=1h")).await;
        assert!(file.header("content-type").starts_with(kind));
        assert!(file.header("content-disposition").starts_with("attachment"));
        assert!(file.body.starts_with(begins), "{}", file.body);
        assert!(file.body.contains("boom"), "{}", file.body);
    }
    assert_eq!(
        browser.get("/timeline/exe").await.status,
        StatusCode::NOT_FOUND
    );
    let wrong = browser.get("/timeline?from=never").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert_sound(&wrong, "a mistake");
    let over = browser.get("/timeline?limit=201").await;
    assert_eq!(over.status, StatusCode::BAD_REQUEST);
    assert!(
        browser
            .see("/timeline?to=1h")
            .await
            .text("main")
            .contains("Nothing happened then")
    );
}

#[tokio::test]
async fn a_timeline_goes_on_to_earlier_deliveries_and_an_export_has_all_of_them() {
    let server = server().await;
    for (name, team) in [
        ("A", "a"),
        ("B", "b"),
        ("C", "a"),
        ("D", "none"),
        ("E", "none"),
    ] {
        settled(&server, &alerts::firing(name, &[("team", team)])).await;
    }
    let browser = Browser::new(&server);
    // The two newest are unrouted: nothing of their page is of this handler, and it says where to go on.
    let page = browser.see("/timeline?from=1h&limit=2&what=effect").await;
    assert_sound(&page, "a page without entries");
    let said = page.text("main");
    assert!(!said.contains("Nothing happened then"), "{said}");
    let mut effects = page.elements(".timeline tbody tr").len();
    let mut next = page.attributes("a[rel=next]", "href");
    assert_eq!((effects, next.len()), (0, 1), "{said}");
    while let Some(link) = next.pop() {
        let page = browser.see(&format!("/timeline{link}")).await;
        effects += page.elements(".timeline tbody tr").len();
        next = page.attributes("a[rel=next]", "href");
    }
    assert!(effects >= 3, "one of each alert that was posted");
    for format in ["md", "csv", "json"] {
        let file = browser
            .see(&format!("/timeline/{format}?from=1h&limit=2&what=received"))
            .await;
        for name in ["A", "B", "C", "D", "E"] {
            let cell = format!("{name} firing");
            let is_in = file.body.contains(&cell)
                || file.body.contains(&format!("\"alertname\": \"{name}\""));
            assert!(is_in, "{name}: {}", file.body);
        }
        assert!(!file.body.contains("It is cut"), "{}", file.body);
    }
}

#[tokio::test]
async fn what_is_done_after_the_time_of_acceptance_is_in_the_time_in_which_it_was_done() {
    let server = server().await;
    let id = settled(&server, &alerts::firing("Traps", &[])).await;
    let died = server.story(&id).await["settled_at"]
        .as_str()
        .unwrap()
        .to_owned();
    let browser = Browser::new(&server);
    let of_death = browser.see(&format!("/timeline?from={died}")).await;
    let rows = of_death.texts(".timeline tbody tr");
    assert_eq!(rows.len(), 1, "not its acceptance: {rows:?}");
    assert!(rows[0].contains("✕ dead"), "{rows:?}");
}

#[tokio::test]
async fn a_path_that_is_none_is_a_page_for_a_browser_and_json_for_others() {
    let server = server().await;
    let browser = Browser::new(&server).with("accept", "text/html,*/*;q=0.8");
    let page = browser.get("/delivery").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(page.text("main").contains("no such path: /delivery"));
    let wrong_method = browser.get("/deliveries/apply").await;
    assert_eq!(wrong_method.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(
        wrong_method.elements("h1").len(),
        1,
        "{}",
        wrong_method.body
    );
    let other = Browser::new(&server).with("accept", "application/json");
    let answer = other.get("/delivery").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.header("content-type"), "application/json");
}

#[tokio::test]
async fn a_hook_that_a_module_does_not_have_is_not_called() {
    let server = server().await;
    let id = settled(&server, &alerts::firing("Fine", &[("team", "a")])).await;
    let page = Browser::new(&server)
        .see(&format!("/deliveries/{id}"))
        .await;
    let steps = page.text("#steps");
    assert!(
        steps.contains("not called") && steps.contains("1 of "),
        "{steps}"
    );
}
