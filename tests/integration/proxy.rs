//! Requests through a proxy: to Slack, of handlers, and pings.

use serde_json::Value;
use tests::alerts;
use tests::fakes::proxy::{Connect, Proxy};
use tests::fakes::{Sink, Slack};
use tests::server::{Server, Setup};

/// `Basic` for `am:hunter2`.
const AUTHORIZATION: &str = "Basic YW06aHVudGVyMg==";

const ROUTES: &str = r#"
routes:
  - matchers: ['alertname="Post"']
    handlers: [post]
  - handlers: [slack-notify]
"#;

fn connect(target: &str) -> Connect {
    Connect {
        target: target.to_owned(),
        authorization: Some(AUTHORIZATION.to_owned()),
    }
}

async fn start(proxy: &Proxy, password: &str, config: &str) -> Server {
    let url = format!("http://am:{password}@{}", proxy.addr());
    Setup::new()
        .module("slack-notify")
        .module("guest-post")
        .variable("SLACK_API_URL", "http://slack.example.com/api/")
        .variable("SLACK_TOKEN", tests::fakes::slack::TOKEN)
        .variable("OUR_PROXY", &url)
        .config("proxy_url_env: OUR_PROXY")
        .config(ROUTES)
        .config(config)
        .start()
        .await
}

const SLACK: &str = "slack: { channels: { alerts: \"#alerts\" }, via_proxy: true }";
const GRANTS: &str = "handlers:
  slack-notify:
    allow: { slack: [alerts] }
    retry: { min_backoff: 1ms, max_backoff: 1ms, max_age: 1ms }
  post:
    allow: { http: ['http://203.0.113.7', { url: 'http://hooks.example.com:8080', via_proxy: true }] }
    retry: { min_backoff: 1ms, max_backoff: 1ms, max_age: 1ms }";

#[tokio::test]
async fn slack_and_granted_origins_are_reached_through_the_proxy_and_no_other_way() {
    let (slack, sink) = (Slack::start().await, Sink::start().await);
    let targets = [
        ("slack.example.com:80", slack.api_url()),
        ("203.0.113.7:80", sink.url()),
        ("hooks.example.com:8080", sink.url()),
    ];
    let targets = targets
        .each_ref()
        .map(|(target, url)| (*target, url.as_str()));
    let proxy = Proxy::start(&targets, Some(AUTHORIZATION)).await;
    let server = start(&proxy, "hunter2", &format!("{SLACK}\n{GRANTS}")).await;

    let ids = server.accept(&alerts::firing("Down", &[])).await;
    let story = server.wait_settled(&ids[0]).await;
    assert_eq!(story["state"], "done", "{story:#}");
    // A server asks Slack at its start, too.
    let asked = proxy.asked();
    let slacks = connect("slack.example.com:80");
    assert!(
        !asked.is_empty() && asked.iter().all(|one| *one == slacks),
        "{asked:?}"
    );
    slack.wait_for(|message| message.contains("Down")).await;

    for (post_to, target) in [
        ("http://203.0.113.7/a", "203.0.113.7:80"),
        ("http://hooks.example.com:8080/b", "hooks.example.com:8080"),
    ] {
        let ids = server
            .accept(&alerts::firing("Post", &[("post_to", post_to)]))
            .await;
        let story = server.wait_settled(&ids[0]).await;
        assert_eq!(story["state"], "done", "{story:#}");
        let asked = proxy.asked();
        assert!(asked.contains(&connect(target)), "{asked:?}");
    }
    let received = sink.wait_for_count(2).await;
    assert_eq!(received[0].header("host"), Some("203.0.113.7"));
    assert_eq!(received[1].header("host"), Some("hooks.example.com:8080"));
    let agent = received[1].header("user-agent").unwrap_or_default();
    assert!(agent.starts_with("alert-manager/"), "{agent}");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_in_the_story_without_its_password() {
    let sink = Sink::start().await;
    let proxy = Proxy::start(&[("203.0.113.7:80", &sink.url())], Some(AUTHORIZATION)).await;
    let server = start(&proxy, "wrong-password", &format!("{SLACK}\n{GRANTS}")).await;
    for alert in [
        alerts::firing("Down", &[]),
        alerts::firing("Post", &[("post_to", "http://203.0.113.7/a")]),
    ] {
        let ids = server.accept(&alert).await;
        let story: Value = server.wait_settled(&ids[0]).await;
        assert_eq!(story["state"], "dead", "{story:#}");
        let text = story.to_string();
        let named = format!("the proxy http://{} answered 407", proxy.addr());
        assert!(text.contains(&named), "{story:#}");
        assert!(!text.contains("wrong-password"), "{story:#}");
    }
    assert!(sink.received().is_empty());
}

#[tokio::test]
async fn what_no_proxy_names_is_asked_directly_and_pings_are_not() {
    let sink = Sink::start().await;
    let proxy = Proxy::start(&[("ping.example.com:80", &sink.url())], Some(AUTHORIZATION)).await;
    let config = "slack: { preview: true }\nno_proxy: '203.0.113.0/24'\n\
        heartbeats: { self: { ping_url: 'http://ping.example.com/alive', every: 1h, via_proxy: true } }\n\
        handlers: { post: { allow: { http: ['http://127.0.0.1:1-65535'] } } }";
    let server = start(&proxy, "hunter2", config).await;
    sink.wait_for(|received| received.path == "/alive").await;
    let post_to = format!("{}/direct", sink.url());
    let ids = server
        .accept(&alerts::firing("Post", &[("post_to", &post_to)]))
        .await;
    let story = server.wait_settled(&ids[0]).await;
    assert_eq!(story["state"], "done", "{story:#}");
    sink.wait_for(|received| received.path == "/direct").await;
    assert_eq!(proxy.asked(), [connect("ping.example.com:80")]);
}
