//! The bodies of every supported sender.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::alerts;
use tests::fakes::Slack;
use tests::server::{Server, Setup};

async fn server(slack: &Slack) -> Server {
    Setup::new()
        .slack(slack)
        .module("slack-notify")
        .start()
        .await
}

#[tokio::test]
async fn alertmanager_grafana_and_prometheus_are_understood() {
    let slack = Slack::start().await;
    for (sender, body) in [
        ("alertmanager", alerts::alertmanager_group()),
        ("grafana", alerts::grafana()),
        ("prometheus", alerts::prometheus_v2()),
        ("json", alerts::readme()),
    ] {
        // Some of the bodies have the same alerts.
        let server = server(&slack).await;
        let sent = body["alerts"]
            .as_array()
            .or(body.as_array())
            .map_or(1, Vec::len);
        let (status, answer) = server.post(&body).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{sender}: {answer}");
        assert_eq!(answer["accepted"], sent, "{sender}: {answer}");
        let id = answer["deliveries"][0]["id"].as_str().unwrap();
        let story = server.wait_settled(id).await;
        assert_eq!(story["alert"]["origin"]["sender"], sender);
    }
}

#[tokio::test]
async fn the_fingerprint_is_alertmanagers() {
    let slack = Slack::start().await;
    let server = server(&slack).await;
    let body = alerts::alertmanager_group();
    let (_, answer) = server.post(&body).await;
    let sent = body["alerts"][0]["fingerprint"].clone();
    assert_eq!(answer["deliveries"][0]["fingerprint"], sent);
    // A sender without fingerprints: it is computed from the labels, with the same result. On another server, since here the
    // alert would be a duplicate.
    let mut without = body["alerts"][0].clone();
    without.as_object_mut().unwrap().remove("fingerprint");
    let server = self::server(&slack).await;
    let (_, answer) = server.post(&without).await;
    assert_eq!(answer["deliveries"][0]["fingerprint"], sent);
}

#[tokio::test]
async fn a_pair_of_alertmanagers_makes_one_message() {
    let slack = Slack::start().await;
    let server = server(&slack).await;
    let body = alerts::alertmanager_group();
    let (first, second) = tokio::join!(server.post(&body), server.post(&body));
    let sum = |key: &str| first.1[key].as_u64().unwrap() + second.1[key].as_u64().unwrap();
    let sent = body["alerts"].as_array().unwrap().len() as u64;
    assert_eq!((sum("accepted"), sum("duplicates")), (sent, sent));
    let deliveries = [&first.1, &second.1]
        .into_iter()
        .flat_map(tests::server::ids);
    for id in deliveries {
        assert_eq!(server.wait_settled(&id).await["state"], "done");
    }
    assert_eq!(slack.messages().len() as u64, sent);
}

#[tokio::test]
async fn what_was_received_is_what_was_counted() {
    let slack = Slack::start().await;
    let server = server(&slack).await;
    let group = json!([
        alerts::resolved("A", &[]),
        alerts::firing("A", &[]),
        alerts::firing("B", &[]),
        alerts::firing("B", &[]),
        { "status": "firing", "labels": { "alertname": 7 } },
    ]);
    let (status, answer) = server
        .post(&json!({ "version": "4", "alerts": group }))
        .await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!(
        (
            &answer["accepted"],
            &answer["stale"],
            &answer["duplicates"],
            answer["rejected"].as_array().unwrap().len()
        ),
        (&json!(2), &json!(1), &json!(1), 1),
        "{answer:#}"
    );
    let (_, metrics) = server.get_text("/metrics").await;
    for line in [
        r#"alert_manager_webhook_alerts_total{result="stale",status="firing"} 1"#,
        r#"alert_manager_webhook_alerts_total{result="accepted",status="resolved"} 1"#,
        r#"alert_manager_webhook_alerts_total{result="rejected",status="firing"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[tokio::test]
async fn put_is_taken_like_post() {
    let slack = Slack::start().await;
    let server = server(&slack).await;
    let answer: Value = reqwest::Client::new()
        .put(format!("{}/webhook", server.url))
        .json(&alerts::grafana())
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert!(answer["accepted"].as_u64() > Some(0), "{answer}");
}

#[tokio::test]
async fn alerts_that_a_sender_cut_off_are_counted() {
    let slack = Slack::start().await;
    let server = server(&slack).await;
    let mut body = alerts::alertmanager_group();
    body["truncatedAlerts"] = json!(17);
    server.post(&body).await;
    let (_, metrics) = server.get_text("/metrics").await;
    assert!(
        metrics.contains("alert_manager_webhook_truncated_alerts_total 17"),
        "{metrics}"
    );
}
