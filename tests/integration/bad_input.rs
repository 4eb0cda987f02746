//! Bad input gets a clear answer, and the good alerts in the same body are kept.

use reqwest::StatusCode;
use serde_json::json;
use tests::alerts;
use tests::server::{Server, Setup};

async fn server() -> Server {
    Setup::new()
        .config("slack: { preview: true }\nwebhook: { body_bytes_max: 10000 }")
        .module("slack-notify")
        .start()
        .await
}

/// A server without handlers: good alerts are done as soon as they are accepted.
async fn unrouted() -> Server {
    Setup::new()
        .config("slack: { preview: true }")
        .start()
        .await
}

#[tokio::test]
async fn each_mistake_is_named() {
    let server = server().await;
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    for (body, named) in [
        ("{\"labels\":", "JSON"),
        ("", "empty"),
        ("[]", "empty"),
        (r#"{"version":"4","alerts":[]}"#, "alerts"),
        (r#"{"status":"firing","labels":{}}"#, "labels"),
        (r#"{"status":"firing"}"#, "labels"),
        (r#"{"status":"firing","labels":{"a":1}}"#, "labels.a"),
        (r#"{"status":"firing","labels":["a"]}"#, "labels"),
        (r#"{"status":"gone","labels":{"a":"b"}}"#, "status"),
        (
            r#"{"status":"firing","labels":{"a":"b"},"startsAt":"yesterday"}"#,
            "startsAt",
        ),
        (
            r#"{"version":"4","alerts":[{"status":"firing","labels":{"a":{}}}]}"#,
            "alerts[0].labels.a",
        ),
        (deep.as_str(), "nested"),
        ("7", "alert"),
    ] {
        let (status, answer) = server.post_raw(body.to_owned(), "application/json").await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body:.60}: {answer}");
        let error = answer["error"].as_str().unwrap();
        assert!(
            error.to_lowercase().contains(&named.to_lowercase()),
            "{body:.60} should name {named}: {error}"
        );
        assert!(error.len() < 400, "short: {error}");
    }
    let (status, answer) = server
        .post_raw(
            b"{\"labels\":{\"a\":\"\xff\"}}".to_vec(),
            "application/json",
        )
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    assert!(
        answer["error"]
            .as_str()
            .unwrap()
            .starts_with("labels: not UTF-8"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_body_at_the_limit_is_taken_and_one_byte_more_is_not() {
    let server = server().await;
    let mut body = alerts::firing("A", &[]).to_string();
    body.push_str(&" ".repeat(10_000 - body.len()));
    let (status, answer) = server.post_raw(body.clone(), "application/json").await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    body.push(' ');
    let (status, answer) = server.post_raw(body, "application/json").await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(
        answer["error"].as_str().unwrap().contains("body_bytes_max"),
        "{answer}"
    );
}

/// A body of over 128 KiB is parsed on another thread.
#[tokio::test]
async fn a_large_body_is_taken_or_refused_like_a_small_one() {
    let server = Setup::new()
        .config("slack: { preview: true }")
        .module("slack-notify")
        .start()
        .await;
    let alerts: Vec<_> = (0..8_000)
        .map(|n| alerts::firing("Large", &[("pod", &format!("pod-{n}"))]))
        .collect();
    let body = json!(alerts).to_string();
    assert!(body.len() > 1 << 20, "{} bytes", body.len());
    let (status, answer) = server.post_raw(body.clone(), "application/json").await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    assert_eq!(answer["accepted"], 8_000);
    assert_eq!(answer["deliveries"].as_array().unwrap().len(), 8_000);
    let (status, answer) = server
        .post_raw(body[..body.len() - 1].to_owned(), "application/json")
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    let (_, metrics) = server.get_text("/metrics").await;
    let accepted = r#"alert_manager_webhook_alerts_total{result="accepted",status="firing"} 8000"#;
    assert!(metrics.contains(accepted), "{metrics}");
}

#[tokio::test]
async fn the_answer_to_a_wrong_content_type_path_or_method_says_what_to_send() {
    let server = server().await;
    let body = alerts::firing("A", &[]).to_string();
    let (status, answer) = server
        .post_raw(body.clone(), "application/x-www-form-urlencoded")
        .await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(
        answer["error"]
            .as_str()
            .unwrap()
            .contains("application/json")
    );
    let (status, answer) = server
        .post_raw(body, "application/json; charset=utf-8")
        .await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let (status, answer) = server.get("/webhooks").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(answer["error"].as_str().unwrap().contains("/webhook"));
    let (status, answer) = server.get("/webhook").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(
        answer["error"].as_str().unwrap().contains("GET: POST"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_compressed_body_is_distinguished_from_a_damaged_one() {
    let server = server().await;
    let post = |coding: &'static str| {
        reqwest::Client::new()
            .post(format!("{}/webhook", server.url))
            .header("content-encoding", coding)
            .body(alerts::firing("A", &[]).to_string())
            .send()
    };
    let refused = post("gzip").await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let answer = refused.text().await.unwrap();
    assert!(answer.contains("gzip"), "{answer}");
    let taken = post("identity").await.unwrap();
    assert_eq!(taken.status(), StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_bad_alert_is_kept_dead_and_does_not_refuse_its_group() {
    let server = server().await;
    let bad = json!({ "status": "firing", "labels": { "alertname": "Broken", "n": 1 } });
    let (status, answer) = server
        .post(&json!({ "version": "4", "alerts": [alerts::firing("Good", &[]), bad] }))
        .await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    assert_eq!(answer["accepted"], 1);
    assert_eq!(answer["rejected"][0]["index"], 1);
    let error = answer["rejected"][0]["error"].as_str().unwrap();
    assert!(error.contains("labels.n"), "{error}");
    let (_, list) = server.get("/api/v1/deliveries?state=dead").await;
    // A notice about it may have died as well: nothing here reports.
    let mut listed = list["deliveries"].as_array().unwrap().iter();
    let dead = listed.find(|dead| dead["alertname"] == "Broken");
    let dead = dead.unwrap_or_else(|| panic!("{list:#}"));
    assert!(dead["last_error"].as_str().unwrap().contains("labels.n"));
    let story = server.story(dead["id"].as_str().unwrap()).await;
    assert!(
        story["alert"].to_string().contains("Broken"),
        "its JSON is kept: {story:#}"
    );
}

#[tokio::test]
async fn a_query_that_is_not_understood_says_what_would_be() {
    let server = server().await;
    for (path, status) in [
        ("/api/v1/deliveries?limit=1001", StatusCode::BAD_REQUEST),
        ("/api/v1/deliveries?limit=0", StatusCode::BAD_REQUEST),
        ("/api/v1/deliveries?state=lost", StatusCode::BAD_REQUEST),
        ("/api/v1/deliveries?before=x", StatusCode::BAD_REQUEST),
        ("/api/v1/deliveries?fingerprint=zz", StatusCode::BAD_REQUEST),
        ("/api/v1/deliveries?colour=red", StatusCode::BAD_REQUEST),
        ("/api/v1/deliveries/0000000000000", StatusCode::NOT_FOUND),
        ("/api/v1/deliveries/nonsense", StatusCode::BAD_REQUEST),
    ] {
        let (answered, answer) = server.get(path).await;
        assert_eq!(answered, status, "{path}: {answer}");
        assert!(answer["error"].is_string(), "{path}: {answer}");
    }
    let (_, answer) = server.get("/api/v1/deliveries?state=lost").await;
    assert_eq!(
        answer["error"],
        "state is queued, running, retrying, done or dead, not \"lost\""
    );
    let empty = "/api/v1/deliveries?state=&alertname=&handler=&fingerprint=&limit=&before=";
    let (status, answer) = server.get(empty).await;
    assert_eq!(status, StatusCode::OK, "empty is not given: {answer}");
}

#[tokio::test]
async fn what_stands_beside_an_alert_never_costs_the_alert() {
    let server = unrouted().await;
    let bodies = [
        "\u{feff}{\"version\":\"4\",\"alerts\":[{\"labels\":{\"alertname\":\"Mark\"}}]}",
        r#"{"version":"1","orgId":1,"title":"disk \ud83d","alerts":[
            {"labels":{"alertname":"Cut"},"annotations":{"summary":"cut \ud83d"}},{"labels":{"alertname":"Whole"}}]}"#,
        r#"{"groupLabels":[],"title":7,"receiver":null,"truncatedAlerts":"x","alerts":[{"labels":{"alertname":"Odd"}}]}"#,
        r#"[{"status":"firing","labels":{"alertname":"Zone"},"startsAt":"2026-11-01T18:00:00+08:00","endsAt":"0001-01-01T08:05:43+08:05"}]"#,
        r#"[{"labels":{"alertname":"Ever"},"startsAt":"2026-11-01T18:00:00Z","endsAt":"9999-12-31T23:59:59Z"}]"#,
    ];
    for body in bodies {
        let (status, answer) = server.post_raw(body, "application/json").await;
        assert_eq!(status, StatusCode::ACCEPTED, "{body}: {answer}");
        assert_eq!(answer["rejected"], json!([]), "{body}: {answer}");
        for id in tests::server::ids(&answer) {
            assert_eq!(server.wait_settled(&id).await["state"], "done", "{body}");
        }
        if body.contains("Zone") {
            let id = &tests::server::ids(&answer)[0];
            let story = server.story(id).await;
            assert!(story["alert"]["ends_at"].is_null(), "{story:#}");
            assert_eq!(story["alert"]["starts_at"], "2026-11-01T10:00:00Z");
        }
    }
    let (_, list) = server.get("/api/v1/deliveries").await;
    assert_eq!(list["deliveries"].as_array().unwrap().len(), 6);
}

#[tokio::test]
async fn a_bad_part_that_is_sent_again_is_kept_and_reported_once() {
    let server = unrouted().await;
    let bad = json!({ "status": "firing", "labels": { "alertname": "Broken", "n": 1 } });
    let post = async |good: &str, after: &[serde_json::Value]| {
        let mut group = vec![alerts::firing(good, &[]), bad.clone()];
        group.extend_from_slice(after);
        let (status, answer) = server
            .post(&json!({ "version": "4", "alerts": group }))
            .await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        answer["rejected"].clone()
    };
    let first = post("A", &[]).await;
    assert!(first[0].get("duplicate").is_none(), "{first}");
    let again = post("A", &[]).await;
    assert_eq!(again[0]["duplicate"], true, "{again}");
    assert_eq!(again[0]["id"], first[0]["id"]);
    assert_eq!(again[0]["error"], first[0]["error"]);
    // Another one beside it is kept by itself.
    let other = post("B", &[json!({ "labels": 7 })]).await;
    assert_eq!(other[0]["duplicate"], true, "{other}");
    assert!(other[1].get("duplicate").is_none(), "{other}");
    let (_, list) = server.get("/api/v1/deliveries?state=dead").await;
    assert_eq!(list["deliveries"].as_array().unwrap().len(), 2, "{list:#}");
    let (_, metrics) = server.get_text("/metrics").await;
    assert!(
        metrics.contains("alert_manager_dead_deliveries 2"),
        "{metrics}"
    );
    let rejected = r#"alert_manager_webhook_alerts_total{result="rejected",status="firing"} 4"#;
    assert!(metrics.contains(rejected), "{metrics}");
}

#[tokio::test]
async fn of_bad_parts_without_end_the_first_are_kept_and_the_rest_is_counted() {
    let server = unrouted().await;
    let body = format!("[{}{}]", alerts::firing("Good", &[]), ",1".repeat(500_000));
    let (status, answer) = server.post_raw(body, "application/json").await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    assert_eq!(answer["accepted"], 1);
    assert_eq!(answer["rejected"].as_array().unwrap().len(), 16);
    assert_eq!(answer["rejected_more"], 500_000 - 16);
    let (_, list) = server.get("/api/v1/deliveries?state=dead").await;
    let why = "they are the same part";
    assert_eq!(list["deliveries"].as_array().unwrap().len(), 1, "{why}");
    let (_, metrics) = server.get_text("/metrics").await;
    let line = r#"alert_manager_webhook_alerts_total{result="rejected",status="firing"} 500000"#;
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn what_a_group_says_of_itself_is_not_stored_with_each_of_thousands() {
    let server = unrouted().await;
    let alerts: Vec<_> = (0..20_000)
        .map(|n| json!({ "labels": { "n": n.to_string() } }))
        .collect();
    let group = json!({ "version": "4", "groupKey": "k".repeat(200_000), "receiver": "r", "alerts": alerts });
    let body = group.to_string();
    let (status, answer) = server.post_raw(body.clone(), "application/json").await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    assert_eq!(answer["accepted"], 20_000);
    let id = &tests::server::ids(&answer)[0];
    let origin = server.story(id).await["alert"]["origin"].clone();
    assert_eq!(origin["receiver"], "r");
    assert_eq!(origin["extra"]["alert_manager.left_out"], "groupKey");
    let (_, metrics) = server.get_text("/metrics").await;
    assert!(
        metrics.contains("alert_manager_webhook_fields_left_out_total 1\n"),
        "{metrics}"
    );
    let store = server.stop().await;
    let stored = store
        .path()
        .join("alert-manager.db")
        .metadata()
        .unwrap()
        .len();
    assert!(
        stored < 40 << 20,
        "{stored} bytes for a body of {}",
        body.len()
    );
}

#[tokio::test]
async fn prometheus_and_vmalert_post_below_their_path_prefix() {
    let server = Setup::new()
        .config("slack: { preview: true }\nwebhook: { authorization: { credentials: a } }")
        .module("slack-notify")
        .start()
        .await;
    let client = reqwest::Client::new();
    let post = async |path: &str, alert: &str, proof: &str, origin: Option<&str>| {
        let mut request = client
            .post(format!("{}{path}", server.url))
            .bearer_auth(proof);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let body = json!([{ "labels": { "alertname": alert }, "annotations": {}, "startsAt": "2026-11-01T10:00:00Z",
            "endsAt": "2099-01-01T00:00:00Z", "generatorURL": "http://p/graph" }]);
        let answer = request.json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    for (path, alert) in [
        ("/webhook/api/v2/alerts", "Prefixed"),
        ("/api/v2/alerts", "Bare"),
    ] {
        let (status, answer) = post(path, alert, "a", None).await;
        assert_eq!(status, 202, "{path}: {answer}");
        assert!(answer.contains(r#""accepted":1"#), "{answer}");
        assert_eq!(post(path, "C", "b", None).await.0, 401, "{path}");
        assert_eq!(
            post(path, "C", "a", Some("http://evil.example")).await.0,
            403
        );
    }
    for path in ["/webhook/api/v1/alerts", "/api/v1/alerts"] {
        let (status, answer) = post(path, "C", "a", None).await;
        assert_eq!(status, 410, "{path}: {answer}");
        assert!(answer.contains("api_version: v2"), "{answer}");
        assert_eq!(post(path, "C", "b", None).await.0, 401, "{path}");
    }
}
