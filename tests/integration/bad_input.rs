//! Bad input gets a clear answer, and nothing good that came with it is lost.

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

/// A body of over 128 KiB is worked on beside the others.
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
async fn another_content_type_path_or_method_is_told_what_to_send() {
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
async fn a_compressed_body_is_told_apart_from_a_damaged_one() {
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
    let dead = &list["deliveries"][0];
    assert_eq!(dead["alertname"], "Broken");
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
