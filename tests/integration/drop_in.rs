//! Modules are added to and removed from the folder while the server runs.

use std::fs;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::fakes::Slack;
use tests::process::{Process, command};
use tests::server::{Server, Setup, drop_in, ids};
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

/// Nothing is compiled yet, so loading takes a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_start_alerts_are_refused_for_now_until_all_modules_are_routed() {
    let dir = tempfile::tempdir().unwrap();
    let handlers = dir.path().join("handlers");
    fs::create_dir(&handlers).unwrap();
    for name in ["slack-notify", "kube-pod-crash-looping"] {
        drop_in(&modules::path(name), &handlers.join(format!("{name}.wasm")));
    }
    fs::write(dir.path().join("am.yml"), "slack: { preview: true }\n").unwrap();
    let start = || {
        let args = ["serve", "--config.file", "am.yml", "--handlers", "handlers"];
        Process::start_listening(command(dir.path(), &args))
    };
    let process = tokio::task::block_in_place(start);
    let http = reqwest::Client::new();
    let post = async || {
        let posted = http.post(format!("{}/webhook", process.url));
        let answer = posted.json(&alerts::readme()).send().await.unwrap();
        let status = answer.status();
        (status, answer.json::<Value>().await.unwrap())
    };
    let (status, answer) = post().await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    assert!(
        answer.to_string().contains("still being loaded"),
        "{answer}"
    );
    // As Alertmanager does, which sends again after a 503.
    let accepted = async {
        loop {
            match post().await {
                (StatusCode::ACCEPTED, answer) => return answer,
                (status, answer) => assert_eq!(status, 503, "{answer}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let answer = tokio::time::timeout(tests::PATIENCE, accepted)
        .await
        .unwrap();
    let url = format!("{}/api/v1/deliveries/{}", process.url, ids(&answer)[0]);
    let story: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    assert_eq!(
        story["handlers"],
        json!(["kube-pod-crash-looping"]),
        "not the fallback"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_module_is_replaced_the_old_one_serves_until_the_new_one_does() {
    let slack = Slack::start().await;
    let setup = Setup::new().slack(&slack).module("slack-notify");
    let server = setup.module("kube-pod-crash-looping").start().await;
    let digest = async || {
        let handlers = server.handlers().await;
        let mut named = handlers.into_iter();
        let is_its = |name: &str| name == "kube-pod-crash-looping";
        let handler = named.find(|h| h.name.as_ref().is_some_and(|n| is_its(n.as_str())));
        handler.unwrap().sha256
    };
    let before = digest().await;
    // A custom section of one byte, whose name is empty: other bytes, which have to be compiled.
    let mut newer = fs::read(modules::path("kube-pod-crash-looping")).unwrap();
    newer.extend([0, 1, 0]);
    let aside = server.handlers_dir().join("newer");
    fs::write(&aside, newer).unwrap();
    let file = server.handlers_dir().join("kube-pod-crash-looping.wasm");
    fs::rename(aside, file).unwrap();
    let replaced = async {
        for number in 0.. {
            let is_replaced = digest().await != before;
            let mut alert = alerts::readme();
            alert["labels"]["pod"] = json!(format!("pod-{number}"));
            let accepted = server.accept(&alert).await;
            let story = server.story(&accepted[0]).await;
            assert_eq!(story["handlers"], json!(["kube-pod-crash-looping"]));
            if is_replaced {
                return;
            }
        }
    };
    tokio::time::timeout(tests::PATIENCE, replaced)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_whose_file_is_renamed_goes_on_serving() {
    let slack = Slack::start().await;
    let server = server(&slack).await;
    let dir = server.handlers_dir();
    fs::rename(dir.join("slack-notify.wasm"), dir.join("renamed.wasm")).unwrap();
    let mut changes = server.shared.folder_changes();
    let renamed = async {
        loop {
            changes.mark_unchanged();
            let listed = server.handlers().await;
            assert_eq!(listed.len(), 1, "{listed:?}");
            assert_eq!(listed[0].last_error, None);
            assert_eq!(listed[0].name.as_ref().unwrap().as_str(), "slack-notify");
            if listed[0].file == "renamed.wasm" {
                return;
            }
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(tests::PATIENCE, renamed)
        .await
        .unwrap();
    let (_, metrics) = server.get_text("/metrics").await;
    assert!(metrics.contains("alert_manager_handler_load_failures_total 0"));
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
