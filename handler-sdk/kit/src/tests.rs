//! The kit as a whole, by a handler that asks one question of each server.
#![allow(clippy::unwrap_used, reason = "tests")]

use handler_sdk::http::{ErrorKind, Method};
use handler_sdk::mock::{Host, Reply};
use handler_sdk::serde_json::{Value, json};

use crate::kubernetes::{Extent, Node, Pod};
use crate::mock::{Case, KUBERNETES, PROMETHEUS};
use crate::prelude::*;
use crate::prometheus::Query;
use crate::{Answering, Package};

struct Asking;

impl Package for Asking {
    const NAME: &'static str = "asking";
    const VERSION: &'static str = "1.0.0";
}

impl Answer for Asking {
    const SUMMARY: &'static str = "Asks.";
    const ALERTS: &'static [&'static str] = &["Down"];
    const READS: Reads = Reads::KubernetesAndPrometheus;
    const CALLS_MAX: u32 = 5;

    fn firing(look: &Look<'_>) -> Report {
        let pods = look.place("pod").map(|place| {
            look.kubernetes()
                .list::<Pod>(place.namespace(), &Select::all())
        });
        let up = Query::new("up{namespace=$namespace}")
            .bind("namespace", look.label("namespace").unwrap_or_default());
        let up = look.prometheus().number("up", &up);
        let read = pods.map(|pods| match pods.read {
            Extent::Nothing => "nothing",
            Extent::Part => "part",
            Extent::All => "all",
        });
        Report::new()
            .verdict(up.map(|up| Verdict::proves("up", "It is up", up.to_string())))
            .field_if("Read", read)
    }

    fn resolved(look: &Look<'_>) -> End {
        let node = look.name("node").map(Place::of_cluster);
        let node = node.and_then(|place| look.kubernetes().get::<Node>(&place));
        match node {
            Some(node) => {
                End::new("there", "there").says("It is there:", node.troubles().join(", "))
            }
            None => End::unknown("It is not known."),
        }
    }
}

fn alert() -> Alert {
    Alert::new("Down")
        .with_label("namespace", "shop")
        .with_label("pod", "web-1")
        .with_annotation("summary", "It is down.")
}

fn host() -> Host {
    Host::new()
        .config("kubernetes.url", KUBERNETES)
        .config("prometheus.url", PROMETHEUS)
        .http_get(&format!("{KUBERNETES}/*"), 200, page(&[1], ""))
        .http(
            Method::Get,
            &format!("{PROMETHEUS}/*"),
            Reply::json(200, &vector("3")),
        )
}

fn page(pods: &[u32], more: &str) -> String {
    let pods = pods
        .iter()
        .map(|n| json!({ "metadata": { "name": format!("web-{n}") } }));
    json!({ "metadata": { "continue": more }, "items": pods.collect::<Vec<_>>() }).to_string()
}

fn vector(value: &str) -> Value {
    json!({ "status": "success", "data": { "resultType": "vector", "result": [{ "metric": {}, "value": [0, value] }] } })
}

#[track_caller]
fn shown(host: &Host, alert: &Alert) -> String {
    let run = host.run::<Answering<Asking>>(alert);
    assert!(run.result.is_ok(), "{run:?}");
    host.posts()[0].visible()
}

#[test]
fn only_the_servers_of_the_alerts_cluster_are_asked() {
    let elsewhere = alert().with_label("cluster", "eu-1");
    let plain = host();
    let text = shown(&plain, &elsewhere);
    assert!(plain.requests().is_empty(), "{:?}", plain.requests());
    for why in [
        "Kubernetes: no API server is configured for the cluster eu-1",
        "Prometheus: no server is configured for the cluster eu-1",
    ] {
        assert!(text.contains(why), "{text}");
    }

    let both = host()
        .config("cluster.eu-1.url", "https://eu.example")
        .config("cluster.eu-1.prometheus", "https://eu-prometheus.example")
        .http_get("https://eu.example/*", 200, page(&[1], ""))
        .http(
            Method::Get,
            "https://eu-prometheus.example/*",
            Reply::json(200, &vector("7")),
        );
    assert!(shown(&both, &elsewhere).contains("*It is up:* 7."));
    let asked = both.requests();
    assert!(
        asked.iter().all(|request| request.url.contains("eu")),
        "{asked:?}"
    );

    let global = host().config("prometheus.cluster_label", "region");
    shown(&global, &elsewhere);
    let query = &global.requests()[0].url;
    assert!(
        query.contains("up%7Bregion%3D%22eu-1%22%2Cnamespace%3D%22shop%22%7D"),
        "{query}"
    );

    let bad = host().config("prometheus.cluster_label", "a}b");
    let text = shown(&bad, &elsewhere);
    assert!(
        bad.requests().is_empty() && text.contains("is no label"),
        "{text}"
    );
}

#[test]
fn more_requests_than_stated_are_not_made_and_said_to_be_missing() {
    let endless = host().http_get(&format!("{KUBERNETES}/*"), 200, page(&[1], "x"));
    let text = shown(&endless, &alert());
    assert!(
        text.contains("not fetched: pod: only the first 3 were read"),
        "{text}"
    );
    assert!(text.contains("*Read:* part"), "{text}");

    struct Greedy;
    impl Package for Greedy {
        const NAME: &'static str = "greedy";
        const VERSION: &'static str = "1.0.0";
    }
    impl Answer for Greedy {
        const SUMMARY: &'static str = "Asks too much.";
        const ALERTS: &'static [&'static str] = &[];
        const READS: Reads = Reads::KubernetesAndPrometheus;
        const CALLS_MAX: u32 = 2;
        fn firing(look: &Look<'_>) -> Report {
            for name in ["a", "b", "c"] {
                let place = Place::of_cluster(Name::of(name).unwrap());
                look.kubernetes().get::<Node>(&place);
            }
            Report::new()
        }
        fn resolved(_: &Look<'_>) -> End {
            End::default()
        }
    }
    let host = host();
    host.run::<Answering<Greedy>>(&alert());
    assert_eq!(host.requests().len(), 2);
    let text = host.posts()[0].visible();
    assert!(
        text.contains("not fetched: node: the limit of 2 requests is used up"),
        "{text}"
    );
}

#[test]
fn a_server_in_trouble_gets_one_more_try_and_is_asked_no_more_then() {
    let down = || Reply::error(ErrorKind::Unreachable("refused".to_owned()));
    let host = host().http(Method::Get, &format!("{KUBERNETES}/*"), down());
    let failure = host
        .enrich::<Answering<Asking>>(&alert(), &Enrichment::new())
        .unwrap_err();
    assert!(!failure.is_permanent());
    let text = shown(&host.attempt(2), &alert());
    assert!(
        text.contains("not fetched: pod: the API server is unreachable"),
        "{text}"
    );
    assert!(
        text.contains("*It is up:* 3."),
        "the other server is asked: {text}"
    );
}

#[test]
fn what_the_credential_needs_is_in_the_log() {
    let host = host().http(
        Method::Get,
        &format!("{KUBERNETES}/*"),
        Reply::status(403, "{}"),
    );
    let text = shown(&host, &alert());
    assert!(text.contains("not fetched: pod: forbidden (403)"), "{text}");
    let needs = ("needs".to_owned(), "pods: list".to_owned());
    assert!(
        host.logs().iter().any(|line| line.fields.contains(&needs)),
        "{:?}",
        host.logs()
    );
}

#[test]
fn labels_that_are_no_names_reach_no_path() {
    let host = host();
    let text = shown(&host, &alert().with_label("pod", "../secrets"));
    assert!(
        text.contains("the label `pod` is no name of Kubernetes"),
        "{text}"
    );
    assert!(
        host.requests()
            .iter()
            .all(|request| request.url.starts_with(PROMETHEUS))
    );
    let text = shown(&self::host(), &alert().with_label("namespace", ""));
    assert!(
        text.contains("the alert has no label `namespace`"),
        "{text}"
    );
}

#[test]
fn what_was_not_found_out_at_the_end_is_not_claimed() {
    let case = Case::<Asking>::of(&json!({
        "alert": { "labels": { "alertname": "Down", "namespace": "shop", "node": "n1" }, "startsAt": "2026-11-01T09:50:00Z" },
        "now": "2026-11-01T10:00:00Z",
        "resolved": { "now": "2026-11-01T10:10:00Z", "kubernetes": { "/api/v1/nodes/n1": 403 } },
    }));
    case.fires();
    case.resolves();
    let update = case.host.updates()[0].visible();
    assert!(
        update.contains("It is not known.")
            && update.contains("not fetched: node: forbidden (403)"),
        "{update}"
    );
}

#[test]
fn an_enricher_gets_the_facts_and_says_what_is_missing() {
    let host = host().http(
        Method::Get,
        &format!("{KUBERNETES}/*"),
        Reply::status(403, "{}"),
    );
    let (cx, alert) = (host.cx(), alert());
    let found = Look::enrich(&cx, &alert, ("recent", 3), |look| {
        let place = look.place("pod").unwrap();
        assert_eq!(look.kubernetes().find::<Pod>(&place), Read::Unknown);
        Ok(Enrichment::new().with_fact("recent", "none"))
    });
    let found = found.unwrap();
    assert_eq!(found.fact("recent"), Some("none"));
    assert_eq!(
        found.fact("not_fetched.recent"),
        Some("pod: forbidden (403)")
    );
}

#[test]
fn prometheus_answers_are_read() {
    let answers = |path: &str, data: &Value| {
        host().http(
            Method::Get,
            &format!("{PROMETHEUS}/api/v1/{path}?*"),
            Reply::json(200, &json!({ "status": "success", "data": data })),
        )
    };
    let matrix = json!({ "resultType": "matrix", "result": [
        { "metric": { "pod": "a" }, "values": [[100, "1"], [160.5, "NaN"], [220, "+Inf"]] }] });
    let host = answers("query_range", &matrix);
    let (cx, alert) = (host.cx(), alert());
    let look = Look::new(&cx, &alert, (3, false));
    let series = look
        .prometheus()
        .range("up", &Query::new("up{}"), 86_400)
        .unwrap();
    let points: Vec<i64> = series[0].points.iter().map(|(at, _)| *at).collect();
    assert_eq!(
        (points, series[0].points[2].1),
        (vec![100, 160, 220], f64::INFINITY)
    );
    assert!(
        host.requests()[0].url.ends_with("&step=360"),
        "{:?}",
        host.requests()
    );

    let rules = json!({ "groups": [{ "rules": [{ "name": "Other" }, { "name": "Down", "query": "up == 0", "duration": 300 }] }] });
    let host = answers("rules", &rules);
    let (cx, alert) = (host.cx(), alert.clone());
    let rules = Look::new(&cx, &alert, (3, false))
        .prometheus()
        .rules()
        .unwrap();
    assert_eq!(
        (rules.len(), rules[0].query.as_str(), rules[0].for_seconds),
        (1, "up == 0", 300)
    );

    let targets = json!({ "activeTargets": [{ "labels": { "job": "api" }, "scrapeUrl": "http://10.0.0.1:80/metrics?token=x",
        "health": "down", "lastError": "connection refused", "lastScrape": "2026-11-01T10:00:00Z" }] });
    let host = answers("targets", &targets);
    let cx = host.cx();
    let targets = Look::new(&cx, &alert, (3, false))
        .prometheus()
        .targets(None)
        .unwrap();
    assert_eq!(targets[0].url, "http://10.0.0.1:80/metrics");
    assert_eq!(targets[0].last_error.as_deref(), Some("connection refused"));
    assert_eq!(
        (targets[0].label("job"), targets[0].label("none")),
        ("api", "")
    );
}
