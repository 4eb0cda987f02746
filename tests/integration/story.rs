//! What the server reports about itself and about each alert.

use std::process::{Command, Stdio};

use reqwest::StatusCode;
use tests::alerts;
use tests::fakes::Slack;
use tests::process::{finished, run};
use tests::server::Setup;

#[tokio::test]
async fn explain_tells_the_story_of_an_alert() {
    let slack = Slack::start().await;
    let server = Setup::new()
        .slack(&slack)
        .module("kube-pod-crash-looping")
        .start()
        .await;
    let ids = server.accept(&alerts::readme()).await;
    server.wait_settled(&ids[0]).await;
    let (url, id) = (server.url.clone(), ids[0].clone());
    let dir = server.dir.path().to_owned();
    let told = tokio::task::spawn_blocking(move || run(&dir, &["explain", &id, "--url", &url]))
        .await
        .unwrap();
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    for part in [
        "KubePodCrashLooping firing: done",
        "attempt 1",
        "enrich kube-pod-crash-looping",
        "act kube-pod-crash-looping",
        "slack",
        "pod: customer-rs-transformer-9b75b488c-cpfd7",
        &ids[0],
    ] {
        assert!(told.stdout.contains(part), "{part} in\n{}", told.stdout);
    }
    assert!(
        !told.stdout.contains('\u{1b}'),
        "no colour without a terminal"
    );
}

#[tokio::test]
async fn a_handler_that_only_acts_is_not_started_to_enrich() {
    let slack = Slack::start().await;
    let server = Setup::new()
        .slack(&slack)
        .module("kube-pod-crash-looping")
        .module("slack-notify")
        .config("routes:\n  - { name: both, handlers: [kube-pod-crash-looping, slack-notify] }\n")
        .start()
        .await;
    let ids = server.accept(&alerts::readme()).await;
    let story = server.wait_settled(&ids[0]).await;
    let mut ran: Vec<_> = story["story"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|attempt| attempt["steps"].as_array().unwrap())
        .map(|step| {
            (
                step["handler"].as_str().unwrap(),
                step["step"].as_str().unwrap(),
            )
        })
        .collect();
    ran.sort_unstable();
    assert_eq!(
        ran,
        [
            ("kube-pod-crash-looping", "act"),
            ("kube-pod-crash-looping", "enrich"),
            ("slack-notify", "act"),
        ]
    );
}

#[tokio::test]
async fn lists_are_paged_newest_first() {
    let slack = Slack::start().await;
    let server = Setup::new()
        .slack(&slack)
        .module("slack-notify")
        .start()
        .await;
    let mut ids = Vec::new();
    for name in ["A", "B", "C"] {
        ids.extend(server.accept(&alerts::firing(name, &[])).await);
    }
    ids.reverse();
    let (_, page) = server.get("/api/v1/deliveries?limit=2").await;
    let listed: Vec<_> = page["deliveries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(listed, ids[..2]);
    let next = page["next"].as_str().expect("there is more");
    let (_, page) = server
        .get(&format!("/api/v1/deliveries?limit=2&before={next}"))
        .await;
    assert_eq!(page["deliveries"][0]["id"], ids[2].as_str());
    assert!(page["next"].is_null(), "{page}");
    let (_, page) = server.get("/api/v1/deliveries?alertname=B").await;
    assert_eq!(page["deliveries"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_the_metrics() {
    let slack = Slack::start().await;
    let server = Setup::new()
        .slack(&slack)
        .module("slack-notify")
        .start()
        .await;
    let ids = server.accept(&alerts::firing("A", &[])).await;
    server.wait_settled(&ids[0]).await;
    let (status, metrics) = server.get_text("/metrics").await;
    assert_eq!(status, StatusCode::OK);
    for name in [
        "alert_manager_webhook_alerts_total",
        "alert_manager_webhook_truncated_alerts_total",
        "alert_manager_deliveries_total",
        "alert_manager_dead_deliveries",
        "alert_manager_queue_depth",
        "alert_manager_queue_oldest_timestamp_seconds",
        "alert_manager_step_duration_seconds",
        "alert_manager_delivery_duration_seconds",
        "alert_manager_host_calls_total",
        "alert_manager_handler_info",
        "alert_manager_handler_load_failures_total",
        "alert_manager_config_last_reload_successful",
        "alert_manager_build_info",
        "process_resident_memory_bytes",
    ] {
        assert!(metrics.contains(&format!("# HELP {name} ")), "{name}");
    }
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    match promtool {
        Ok(mut child) => {
            let mut stdin = child.stdin.take().unwrap();
            std::io::Write::write_all(&mut stdin, metrics.as_bytes()).unwrap();
            drop(stdin);
            let checked = finished(child.wait_with_output().unwrap());
            assert_eq!(
                checked.code,
                Some(0),
                "{}{}",
                checked.stdout,
                checked.stderr
            );
        }
        Err(_) => tests::skipped(
            "SKIPPED: promtool did not check the metrics, since it is not installed. On Debian: apt-get install --no-install-recommends prometheus",
        ),
    }
}

#[tokio::test]
async fn live_and_ready_answer_under_both_names() {
    let slack = Slack::start().await;
    let server = Setup::new().slack(&slack).start().await;
    for path in ["/healthz", "/readyz", "/-/healthy", "/-/ready"] {
        let (status, _) = server.get_text(path).await;
        assert_eq!(status, StatusCode::OK, "{path}");
    }
}
