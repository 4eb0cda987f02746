//! The API's document, against what a real server answers.

use std::fs;

use alert_manager::api as types;
use reqwest::header::{CONTENT_TYPE, HOST, ORIGIN};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tests::alerts;
use tests::fakes::{Fault, Slack};
use tests::modules::workspace;
use tests::openapi::Api;
use tests::server::{Server, Setup, ids};

/// Fields that need a crash, a failing disk, several servers or a story of half a megabyte: other tests cover them.
///
/// A name that ends with a dot stands for all below it.
const RARE: [&str; 43] = [
    "Attempt.after_crash",
    "Attempt.left_out",
    "Block.fields",
    "Block.header",
    "Block.media_type",
    "Block.rows",
    "Block.text",
    "Block.title",
    "Block.url",
    "Call.bytes_in",
    "Channels.token_refused.",
    "Delivery.coalesced_into",
    "Delivery.storm",
    "Delivery.timer",
    "Delivery.timer.",
    "Disagreement.",
    "Doubt.",
    "Handlers.disagreements",
    "JournalEntry.answer",
    "NamedCall.",
    "Now.longest.waiting.behind",
    "Now.longest.waiting.handler",
    "Reloaded.keep_settings",
    "Retried.rest.",
    "ServedBy.",
    "Story.coalesced_into",
    "Story.members",
    "Story.members.",
    "Story.storm",
    "Story.timer",
    "Story.timer.",
    "Story.timers",
    "Story.timers.",
    "Story.waiting.behind",
    "Story.waiting.handler",
    "Story.waiting.why",
    "Step.begun",
    "Step.begun.",
    "Step.cut_off",
    "Step.doubts",
    "StepTry.calls_dropped",
    "StepTry.in_doubt",
    "StepTry.logs_dropped",
];

struct Asker<'a> {
    server: &'a Server,
    api: &'a mut Api,
    http: Client,
}

impl Asker<'_> {
    async fn ask(
        &mut self,
        method: Method,
        template: &str,
        path: &str,
        change: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> (u16, Value) {
        let url = format!("{}{path}", self.server.url);
        let request = change(self.http.request(method.clone(), url));
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.text().await.unwrap();
        let method = method.as_str().to_ascii_lowercase();
        let problems = self.api.check(&method, template, status, &body);
        assert!(problems.is_empty(), "{problems:#?}\n{body}");
        let Ok(body) = serde_json::from_str(&body) else {
            return (status, Value::Null);
        };
        check_types(template, status, &body);
        (status, body)
    }

    async fn get(&mut self, template: &str, path: &str) -> (u16, Value) {
        self.ask(Method::GET, template, path, |r| r).await
    }

    async fn command(&mut self, template: &str, path: &str) -> (u16, Value) {
        self.ask(Method::POST, template, path, |r| r).await
    }

    async fn post(&mut self, template: &str, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        self.ask(Method::POST, template, template, |request| {
            request.header(CONTENT_TYPE, "application/json").body(body)
        })
        .await
    }
}

/// Reads an answer as its type and writes it again: nothing is lost, and nothing is of a kind that the type does not know.
macro_rules! check_type {
    ($kind:ty, $body:expr) => {{
        let read: $kind = serde_json::from_value($body.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), *$body);
        assert!(!format!("{read:?}").contains("Unknown("), "{read:?}");
    }};
}

/// Checks that the public types of the API hold all of an answer.
fn check_types(template: &str, status: u16, body: &Value) {
    match (template, status) {
        (LIST, 200) => check_type!(types::Deliveries, body),
        (ONE, 200) => check_type!(types::Story, body),
        (RELATED, 200) => check_type!(types::Related, body),
        (RETRY, 200) => check_type!(types::SentAgain, body),
        (CANCEL, 200) => check_type!(types::Cancelled, body),
        (RETRY_ALL, 200) => check_type!(types::Retried, body),
        ("/api/v1/handlers", 200) => check_type!(types::Handlers, body),
        ("/api/v1/channels", 200) => check_type!(types::Channels, body),
        ("/api/v1/replicas", 200) => check_type!(types::Replicas, body),
        (NOW, 200) => check_type!(types::Now, body),
        (ROUTES, 200) => check_type!(types::Routes, body),
        (ACTIVITY, 200) => check_type!(types::Activity, body),
        (HANDLER, 200) => check_type!(types::HandlerDetail, body),
        (TIMELINE, 200) => check_type!(types::Timeline, body),
        ("/-/reload", 200) => check_type!(types::Reloaded, body),
        (_, 202) => check_type!(types::Accepted, body),
        (_, 400..) => check_type!(types::Error, body),
        _ => panic!("{template} {status}: which type is this?\n{body}"),
    }
}

fn document() -> Api {
    Api::parse(&fs::read_to_string(workspace().join("docs/openapi.json")).unwrap())
}

const LIST: &str = "/api/v1/deliveries";
const NOW: &str = "/api/v1/now";
const ROUTES: &str = "/api/v1/routes";
const ACTIVITY: &str = "/api/v1/activity";
const HANDLER: &str = "/api/v1/handlers/{name}";
const TIMELINE: &str = "/api/v1/timeline";
const ONE: &str = "/api/v1/deliveries/{id}";
const RELATED: &str = "/api/v1/deliveries/{id}/related";
const RETRY: &str = "/api/v1/deliveries/{id}/retry";
const CANCEL: &str = "/api/v1/deliveries/{id}/cancel";
const RETRY_ALL: &str = "/api/v1/deliveries/retry";

/// Modules that are served and refused, deliveries that are done, and bodies that are no alerts.
async fn what_is_done(api: &mut Api) {
    let server = Setup::new()
        .config("slack: { preview: true }\nwebhook: { body_bytes_max: 64KiB }")
        .config("handlers: { slack-notify: { allow: { slack: [alerts] } } }")
        .module("slack-notify")
        .module("kube-pod-crash-looping")
        .start()
        .await;
    fs::write(server.handlers_dir().join("broken.wasm"), "no module").unwrap();
    server.wait_for_handler(|h| h["state"] == "refused").await;
    let http = Client::new();
    let mut asker = Asker {
        server: &server,
        api,
        http,
    };
    let group: Value = serde_json::from_str(
        &fs::read_to_string(workspace().join("tests/fixtures/alertmanager-group.json")).unwrap(),
    )
    .unwrap();
    let (_, taken) = asker.post("/webhook", &group).await;
    for id in ids(&taken) {
        server.wait_settled(&id).await;
        asker.get(ONE, &format!("{LIST}/{id}")).await;
        let settled = format!("{LIST}/{id}/cancel");
        assert_eq!(asker.command(CANCEL, &settled).await.0, 409);
        let done = format!("{LIST}/{id}/retry");
        asker.command(RETRY, &done).await;
    }
    asker.post("/webhook", &group).await;
    for alert in [
        alerts::firing("Related", &[]),
        alerts::resolved("Related", &[]),
    ] {
        let (_, taken) = asker.post("/webhook", &alert).await;
        let id = ids(&taken).remove(0);
        server.wait_settled(&id).await;
        let (_, related) = asker.get(RELATED, &format!("{LIST}/{id}/related")).await;
        assert_eq!(related["routes"][0]["outcome"], "no_match", "{related}");
        let earlier = related["earlier"].as_array().unwrap().len();
        assert_eq!(earlier, usize::from(alert["status"] == "resolved"));
    }
    for body in [
        alerts::readme(),
        json!([alerts::resolved("A", &[]), { "labels": 1 }]),
    ] {
        let (_, taken) = asker.post("/webhook", &body).await;
        for rejected in taken["rejected"].as_array().unwrap() {
            let id = rejected["id"].as_str().unwrap();
            asker.get(ONE, &format!("{LIST}/{id}")).await;
        }
        for id in ids(&taken) {
            server.wait_settled(&id).await;
            asker.get(ONE, &format!("{LIST}/{id}")).await;
        }
    }
    for path in ["/webhook/api/v2/alerts", "/api/v2/alerts"] {
        asker.post(path, &json!([alerts::firing(path, &[])])).await;
    }
    for path in ["/webhook/api/v1/alerts", "/api/v1/alerts"] {
        assert_eq!(asker.post(path, &json!([])).await.0, 410);
    }
    assert_eq!(asker.post("/webhook", &json!({ "a": 1 })).await.0, 400);
    let long = json!({ "labels": { "alertname": "x".repeat(70_000) } });
    assert_eq!(asker.post("/webhook", &long).await.0, 413);
    let (status, _) = asker
        .ask(Method::POST, "/webhook", "/webhook", |r| {
            r.header(CONTENT_TYPE, "text/plain").body("x")
        })
        .await;
    assert_eq!(status, 415);
    asker
        .ask(Method::GET, LIST, LIST, |r| r.header(HOST, "evil.example"))
        .await;
    asker
        .ask(Method::GET, LIST, LIST, |r| {
            r.header(ORIGIN, "http://evil.example")
        })
        .await;
    for path in [
        "/healthz",
        "/-/healthy",
        "/readyz",
        "/-/ready",
        "/metrics",
        "/api/v1/handlers",
        NOW,
        ACTIVITY,
        ROUTES,
        TIMELINE,
        LIST,
    ] {
        assert_eq!(asker.get(path, path).await.0, 200, "{path}");
    }
    let (_, page) = asker.get(LIST, &format!("{LIST}?limit=1")).await;
    assert!(page["next"].is_string(), "{page}");
    assert_eq!(asker.get(LIST, &format!("{LIST}?state=x")).await.0, 400);
    assert_eq!(asker.get(ONE, &format!("{LIST}/x")).await.0, 400);
    let unknown = "0000000000000";
    assert_eq!(asker.get(ONE, &format!("{LIST}/{unknown}")).await.0, 404);
    assert_eq!(asker.command("/-/reload", "/-/reload").await.0, 200);
    fs::write(server.dir.path().join("alert-manager.yml"), "x: 1").unwrap();
    assert_eq!(asker.command("/-/reload", "/-/reload").await.0, 400);
}

/// Deliveries that wait for Slack, are dead-lettered and sent again; and requests without authorization.
async fn what_waits(api: &mut Api) {
    let server = Setup::new()
        .variable("SLACK_API_URL", "http://127.0.0.1:9/")
        .variable("SLACK_TOKEN", "xoxb-none")
        .config("handlers: { slack-notify: { allow: { slack: [alerts] }, retry: { min_backoff: 1h, max_backoff: 1h } } }")
        .config("heartbeats: { prometheus: { matchers: ['alertname=\"Watchdog\"'], every: 5m } }")
        .module("slack-notify")
        .start()
        .await;
    let mut asker = Asker {
        server: &server,
        api,
        http: Client::new(),
    };
    let (_, taken) = asker.post("/webhook", &alerts::firing("A", &[])).await;
    let id = ids(&taken).remove(0);
    server
        .wait_for_story(&id, |story| story["state"] == "retrying")
        .await;
    let (_, story) = asker.get(ONE, &format!("{LIST}/{id}")).await;
    assert!(story["not_before"].is_string(), "{story}");
    let (_, now) = asker.get(NOW, NOW).await;
    assert_eq!(now["longest"][0]["delivery"]["id"], json!(id), "{now}");
    let retry = format!("{LIST}/{id}/retry");
    let (_, hurried) = asker.command(RETRY, &retry).await;
    assert_eq!(hurried["was"], "retrying", "{hurried}");
    let cancel = format!("{LIST}/{id}/cancel");
    assert_eq!(asker.command(CANCEL, &cancel).await.0, 200);
    asker.get(ONE, &format!("{LIST}/{id}")).await;
    let (_, again) = asker.command(RETRY, &retry).await;
    assert_eq!(again["was"], "dead", "{again}");
    asker.command(RETRY_ALL, RETRY_ALL).await;
    asker.get(LIST, LIST).await;
    asker.get("/api/v1/handlers", "/api/v1/handlers").await;

    let closed = Setup::new()
        .config("slack: { preview: true }")
        .config("api: { authorization: { credentials: secret } }")
        .config("webhook: { authorization: { credentials: secret } }")
        .start()
        .await;
    let mut asker = Asker {
        server: &closed,
        api: asker.api,
        http: Client::new(),
    };
    for path in [
        LIST,
        NOW,
        "/api/v1/handlers",
        "/api/v1/channels",
        "/api/v1/replicas",
    ] {
        assert_eq!(asker.get(path, path).await.0, 401);
    }
    assert_eq!(asker.post("/webhook", &json!({})).await.0, 401);
}

/// Deliveries that are not sent again, a channel that Slack refuses, and parts of bodies that are no alerts.
async fn what_is_held(api: &mut Api) {
    let slack = Slack::start().await;
    let server = Setup::new()
        .slack(&slack)
        .config("handlers: { slack-notify: { allow: { slack: [alerts] } } }")
        .module("slack-notify")
        .start()
        .await;
    let mut asker = Asker {
        server: &server,
        api,
        http: Client::new(),
    };
    let fault = Fault::slack_error("no_text");
    slack.faults().next("chat.postMessage", fault);
    let mut settled = Vec::new();
    for alert in [alerts::firing("A", &[]), alerts::resolved("A", &[])] {
        let (_, taken) = asker.post("/webhook", &alert).await;
        let id = ids(&taken).remove(0);
        settled.push((server.wait_settled(&id).await["state"].clone(), id));
    }
    assert_eq!(settled[0].0, "dead");
    asker.get(ONE, &format!("{LIST}/{}", settled[1].1)).await;
    let (_, retried) = asker.command(RETRY_ALL, RETRY_ALL).await;
    assert_eq!(retried["left"][0]["id"], json!(settled[0].1), "{retried}");

    slack.refuse_channel("alerts", Some("not_in_channel"));
    let (_, taken) = asker.post("/webhook", &alerts::grafana()).await;
    let id = ids(&taken).remove(0);
    server
        .wait_for_story(&id, |story| story["state"] == "retrying")
        .await;
    asker.get(ONE, &format!("{LIST}/{id}")).await;
    asker.get("/api/v1/channels", "/api/v1/channels").await;
    let (_, handlers) = asker.get("/api/v1/handlers", "/api/v1/handlers").await;
    assert_eq!(handlers["handlers"][0]["held"][0]["channel"], "alerts");

    let bad = json!([alerts::firing("A", &[]), { "labels": 1 }]);
    asker.post("/webhook", &bad).await;
    let (_, taken) = asker.post("/webhook", &bad).await;
    assert_eq!(taken["rejected"][0]["duplicate"], true, "{taken}");
    let many: Vec<_> = (0..20).map(|n| json!({ "labels": n })).collect();
    let many = json!([vec![alerts::firing("B", &[])], many].concat());
    let (_, taken) = asker.post("/webhook", &many).await;
    assert!(taken["rejected_more"].is_u64(), "{taken}");
}

/// A message that waits for its turn, since Slack has said to wait.
async fn what_waits_for_its_turn(api: &mut Api) {
    let slack = Slack::start().await;
    let server = Setup::new()
        .slack(&slack)
        .config("handlers: { slack-notify: { allow: { slack: [alerts] } } }")
        .module("slack-notify")
        .start()
        .await;
    let mut asker = Asker {
        server: &server,
        api,
        http: Client::new(),
    };
    let limited = Fault::rate_limited(1_800);
    slack.faults().next("chat.postMessage", limited);
    let (_, taken) = asker.post("/webhook", &alerts::firing("A", &[])).await;
    let id = ids(&taken).remove(0);
    let waits = |story: &Value| story["waiting"]["for"] == "gate";
    server.wait_for_story(&id, waits).await;
    asker.get(ONE, &format!("{LIST}/{id}")).await;
    asker.get("/api/v1/handlers", "/api/v1/handlers").await;
    let path = "/api/v1/replicas";
    let (_, replicas) = asker.get(path, path).await;
    assert_eq!(replicas["replicas"][0]["term"], true, "{replicas}");
    let path = "/api/v1/channels";
    let (_, channels) = asker.get(path, path).await;
    assert_eq!(channels["channels"][0]["name"], "alerts", "{channels}");
    assert_eq!(channels["gates"][0]["name"], "slack workspace");
    let origin = |r: reqwest::RequestBuilder| r.header(ORIGIN, "http://evil.example");
    assert_eq!(asker.ask(Method::GET, path, path, origin).await.0, 403);
}

/// A handler that traps each time.
async fn what_traps(api: &mut Api) {
    let server = Setup::new()
        .module("probe")
        .config("slack: { preview: true }\ndead_letter: { handlers: [] }\nroutes: [{ handlers: [probe] }]")
        .config("handlers: { probe: { config: { script: panic boom }, retry: { min_backoff: 1ms, max_backoff: 1ms } } }")
        .start()
        .await;
    let mut asker = Asker {
        server: &server,
        api,
        http: Client::new(),
    };
    // Two tries each: the fifth failure in a row is in the third delivery.
    let is_paused = |story: &Value| story["last_error"].to_string().contains("paused");
    for n in ["1", "2", "3"] {
        let alert = alerts::firing("Traps", &[("n", n)]);
        let (_, taken) = asker.post("/webhook", &alert).await;
        let is_over = |story: &Value| story["state"] == "dead" || is_paused(story);
        server.wait_for_story(&ids(&taken)[0], is_over).await;
    }
    asker.get("/api/v1/handlers", "/api/v1/handlers").await;
    let path = "/api/v1/handlers/probe";
    // That it was swapped in is stored by a transaction of its own.
    let mut versions = Value::Null;
    while !versions.is_object() {
        let (_, detail) = asker.get(HANDLER, path).await;
        assert_eq!(detail["failures"][0]["reason"], "failed", "{detail}");
        versions = detail["versions"][0].clone();
    }
    let unknown = "/api/v1/handlers/none";
    assert_eq!(asker.get(HANDLER, unknown).await.0, 404);
    let wrong = format!("{path}?over=2d");
    assert_eq!(asker.get(HANDLER, &wrong).await.0, 400);
    let wrong = format!("{ACTIVITY}?over=1h&under=2h");
    assert_eq!(asker.get(ACTIVITY, &wrong).await.0, 400);
}

#[tokio::test]
async fn the_document_of_the_api_is_what_a_server_answers() {
    let mut api = document();
    what_is_done(&mut api).await;
    what_waits(&mut api).await;
    what_is_held(&mut api).await;
    what_waits_for_its_turn(&mut api).await;
    what_traps(&mut api).await;
    let unseen: Vec<_> = api
        .unseen()
        .into_iter()
        .filter(|name| !name.contains(' '))
        .filter(|name| {
            !RARE
                .iter()
                .any(|rare| name == rare || (rare.ends_with('.') && name.starts_with(rare)))
        })
        .collect();
    assert!(
        unseen.is_empty(),
        "documented and in no answer: {unseen:#?}"
    );
}

/// Every path that the document has answers, and every path of the server is in the document.
#[test]
fn the_document_has_every_path_of_the_server() {
    let text = fs::read_to_string(workspace().join("docs/openapi.json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let mut served = Vec::new();
    let quoted = |text: &str| text.split('"').nth(1).map(str::to_owned);
    let api = fs::read_to_string(workspace().join("host/src/http/api/mod.rs")).unwrap();
    served.extend(api.split(".route(").skip(1).filter_map(quoted));
    // The webhook's paths are a list, since other code needs them too.
    let webhook =
        fs::read_to_string(workspace().join("host/src/http/webhook/endpoint.rs")).unwrap();
    let (_, list) = webhook.split_once("const PATHS").unwrap();
    let (list, _) = list.split_once("];").unwrap();
    served.extend(
        list.lines()
            .filter(|line| !line.contains("//"))
            .filter_map(quoted),
    );
    let mut documented: Vec<_> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    documented.sort();
    served.sort();
    assert_eq!(documented, served);
}
