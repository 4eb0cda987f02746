//! Modules are added to and removed from the folder while the server runs.

use std::fs;

use serde_json::json;
use tests::fakes::Slack;
use tests::server::{Server, Setup, drop_in};
use tests::{alerts, modules};

async fn server(slack: &Slack) -> Server {
    Setup::new()
        .slack(slack)
        .module("slack-notify")
        .start()
        .await
}

#[tokio::test]
async fn a_module_dropped_in_serves_its_alertname_at_once() {
    let slack = Slack::start().await;
    let server = server(&slack).await;
    let before = server.accept(&alerts::readme()).await;
    assert_eq!(
        server.story(&before[0]).await["handlers"],
        json!(["slack-notify"])
    );
    drop_in(
        &modules::path("kube-pod-crash-looping"),
        &server.handlers_dir().join("anything.wasm"),
    );
    let handler = server
        .wait_for_handler(|h| h["name"] == "kube-pod-crash-looping")
        .await;
    assert_eq!(handler["file"], "anything.wasm", "it is known by its name");
    let mut alert = alerts::readme();
    alert["labels"]["pod"] = json!("another");
    let ids = server.accept(&alert).await;
    assert_eq!(
        server.story(&ids[0]).await["handlers"],
        json!(["kube-pod-crash-looping"])
    );
}

#[tokio::test]
async fn a_bad_file_leaves_the_old_one_serving_and_says_why() {
    let slack = Slack::start().await;
    let server = server(&slack).await;
    let file = server.handlers_dir().join("slack-notify.wasm");
    fs::write(&file, b"not a module at all").unwrap();
    let handler = server
        .wait_for_handler(|h| h["file"] == "slack-notify.wasm" && h["last_error"].is_string())
        .await;
    assert_eq!(handler["name"], "slack-notify", "{handler:#}");
    let ids = server.accept(&alerts::firing("A", &[])).await;
    assert_eq!(server.wait_settled(&ids[0]).await["state"], "done");
    let (_, metrics) = server.get_text("/metrics").await;
    assert!(metrics.contains("alert_manager_handler_load_failures_total 1"));

    drop_in(&modules::path("slack-notify"), &file);
    server
        .wait_for_handler(|h| h["name"] == "slack-notify" && h["last_error"].is_null())
        .await;
}

#[tokio::test]
async fn each_kind_of_wrong_file_is_refused_with_what_to_do() {
    let slack = Slack::start().await;
    let server = server(&slack).await;
    let core_module = b"\0asm\x01\0\0\0";
    let empty_component = b"\0asm\x0d\0\x01\0";
    for (file, bytes, named) in [
        ("text.wasm", &b"#!/bin/sh\necho"[..], "component"),
        ("empty.wasm", b"", "empty"),
        ("core.wasm", core_module, "component"),
        ("other-world.wasm", empty_component, "hooks"),
    ] {
        fs::write(server.handlers_dir().join(file), bytes).unwrap();
        let handler = server
            .wait_for_handler(|h| h["file"] == file && h["state"] == "refused")
            .await;
        let reason = handler["last_error"].as_str().unwrap();
        assert!(reason.contains(named), "{file}: {reason}");
    }
    let ids = server.accept(&alerts::firing("A", &[])).await;
    assert_eq!(server.wait_settled(&ids[0]).await["state"], "done");
}

#[tokio::test]
async fn a_half_copied_file_is_not_a_bad_module() {
    let slack = Slack::start().await;
    let server = server(&slack).await;
    let whole = fs::read(modules::path("kube-pod-crash-looping")).unwrap();
    let file = server.handlers_dir().join("slow-copy.wasm");
    let (first, second) = whole.split_at(whole.len() / 2);
    fs::write(&file, first).unwrap();
    let mut open = fs::OpenOptions::new().append(true).open(&file).unwrap();
    std::io::Write::write_all(&mut open, second).unwrap();
    let handler = server
        .wait_for_handler(|h| h["file"] == "slow-copy.wasm" && h["name"].is_string())
        .await;
    assert!(handler["last_error"].is_null(), "{handler:#}");
}

#[tokio::test]
async fn a_second_file_that_claims_a_loaded_name_is_refused() {
    let slack = Slack::start().await;
    let server = server(&slack).await;
    drop_in(
        &modules::path("slack-notify"),
        &server.handlers_dir().join("copy.wasm"),
    );
    let handler = server.wait_for_handler(|h| h["file"] == "copy.wasm").await;
    assert_eq!(handler["state"], "refused");
    assert!(
        handler["last_error"]
            .as_str()
            .unwrap()
            .contains("slack-notify.wasm"),
        "it names the file that has the name: {handler:#}"
    );
}

#[tokio::test]
async fn a_module_that_is_removed_serves_no_more_and_its_alerts_wait() {
    let slack = Slack::start().await;
    let server = server(&slack).await;
    let file = server.handlers_dir().join("slack-notify.wasm");
    fs::remove_file(&file).unwrap();
    let mut changes = server.shared.folder_changes();
    loop {
        changes.mark_unchanged();
        if server.handlers().await.is_empty() {
            break;
        }
        changes.changed().await.unwrap();
    }
    let (_, answer) = server.post(&alerts::firing("A", &[])).await;
    assert_eq!(answer["accepted"], 1, "unrouted, and counted: {answer}");
}

#[cfg(unix)]
#[tokio::test]
async fn links_to_files_are_followed_as_kubernetes_mounts_need_it() {
    let slack = Slack::start().await;
    let server = server(&slack).await;
    let dir = server.handlers_dir();
    let real = server.dir.path().join("..data-1");
    fs::create_dir(&real).unwrap();
    fs::copy(
        modules::path("kube-pod-crash-looping"),
        real.join("kube.wasm"),
    )
    .unwrap();
    std::os::unix::fs::symlink(real.join("kube.wasm"), dir.join("kube.wasm")).unwrap();
    server
        .wait_for_handler(|h| h["file"] == "kube.wasm" && h["name"] == "kube-pod-crash-looping")
        .await;
}

#[tokio::test]
async fn a_module_without_its_grants_serves_as_limited_and_the_lines_to_add_are_printed() {
    let slack = Slack::start().await;
    let server = Setup::new()
        .slack(&slack)
        .module("kube-pod-crash-looping")
        .config(
            r##"
slack: { channels: { alerts: "#alerts" } }
handlers:
  kube-pod-crash-looping: { allow: { slack: [alerts] } }
"##,
        )
        .start()
        .await;
    let handler = server
        .wait_for_handler(|h| h["name"] == "kube-pod-crash-looping")
        .await;
    assert_eq!(handler["state"], "limited", "{handler:#}");
    let lines = handler["missing_grants"].as_str().unwrap();
    assert!(lines.contains("http"), "{lines}");
}

#[tokio::test]
async fn each_bundled_handler_imports_only_what_it_uses() {
    let slack = Slack::start().await;
    let server = Setup::new()
        .slack(&slack)
        .module("slack-notify")
        .module("kube-pod-crash-looping")
        .start()
        .await;
    for (name, imports) in [
        ("slack-notify", json!(["config", "kv", "slack"])),
        (
            "kube-pod-crash-looping",
            json!(["config", "http", "kv", "slack"]),
        ),
    ] {
        let handler = server.wait_for_handler(|h| h["name"] == name).await;
        let mut listed: Vec<_> = handler["imports"].as_array().unwrap().clone();
        listed.retain(|import| import != "log");
        listed.sort_by_key(ToString::to_string);
        assert_eq!(json!(listed), imports, "{name}");
    }
}
