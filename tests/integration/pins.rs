//! A module that others than its owner could have written gets no credential, unless its pin matches.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use tests::harness::{Answer, World};
use tests::server::{Server, Setup};

fn config(world: &World, pin: &str) -> String {
    let url = &world.url;
    format!(
        r#"
slack: {{ preview: true }}
credentials:
  github: {{ authorization: {{ credentials: hunter2-secret }}, origins: ["{url}"] }}
handlers:
  probe:
    {pin}
    allow: {{ http: ["{url}"], credentials: [github], slack: [alerts] }}
"#
    )
}

/// Makes the probe send a request with its credential, and returns the result that the probe got.
async fn ask(server: &Server, world: &World, n: &str) -> String {
    let mut alert = tests::alerts::firing("Probe", &[("n", n)]);
    alert["annotations"] = json!({ "script": format!("credential github {}/a", world.url) });
    let ids = server.accept(&alert).await;
    let story = server.wait_settled(&ids[0]).await;
    assert_eq!(story["state"], "done", "{story}");
    story.to_string()
}

fn probe(handler: &Value) -> bool {
    handler["name"] == "probe"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_anybody_can_write_to_takes_a_pin_for_credentials() {
    let world = World::start().await;
    let server = Setup::new()
        .module("probe")
        .config(&config(&world, ""))
        .start()
        .await;
    let dir = server.handlers_dir();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    server
        .wait_for_handler(|h| probe(h) && h["state"] == "ready")
        .await;
    world.then(Answer::new(200, "first"));
    assert!(ask(&server, &world, "1").await.contains("200 first"));
    assert_eq!(
        world.asked()[0].headers["authorization"],
        "Bearer hunter2-secret"
    );

    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
    let limited = server
        .wait_for_handler(|h| probe(h) && h["state"] == "limited")
        .await;
    let sha256 = limited["sha256"].as_str().unwrap().to_owned();
    let lines = limited["missing_grants"].as_str().unwrap();
    assert!(lines.contains(&format!("sha256: {sha256}")), "{lines}");
    assert!(
        lines.contains("mode 777") && lines.contains("chmod go-w"),
        "{lines}"
    );
    let asked = world.asked().len();
    let told = ask(&server, &world, "2").await;
    assert!(
        told.contains("is withheld") && told.contains(&sha256),
        "{told}"
    );
    assert_eq!(world.asked().len(), asked, "nothing went out");

    let folder = server.stop().await;
    let pin = format!("sha256: {sha256}");
    let server = Setup::new()
        .config(&config(&world, &pin))
        .start_in(folder)
        .await;
    server
        .wait_for_handler(|h| probe(h) && h["state"] == "ready")
        .await;
    world.then(Answer::new(200, "pinned"));
    assert!(ask(&server, &world, "3").await.contains("200 pinned"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_before_its_file_is_a_problem_of_the_reload() {
    let world = World::start().await;
    let server = Setup::new()
        .module("probe")
        .config(&config(&world, ""))
        .start()
        .await;
    server
        .wait_for_handler(|h| probe(h) && h["state"] == "ready")
        .await;
    let reload = async |pin: &str| {
        let harness = "handlers_dir: handlers\nstore: sqlite:alert-manager.db\n";
        let path = server.dir.path().join("alert-manager.yml");
        fs::write(path, format!("{harness}{}", config(&world, pin))).unwrap();
        server.shared.reload().await.unwrap()
    };
    let early = reload(&format!("sha256: '{}'", "0".repeat(64))).await;
    let [problem] = &early.problems[..] else {
        panic!("{early:?}");
    };
    for part in [
        "handlers.probe: probe.wasm is refused, so nothing is served",
        "change the pin",
    ] {
        assert!(problem.contains(part), "{part}: {problem}");
    }
    let back = reload("").await;
    assert_eq!(back.problems, [""; 0]);
    server
        .wait_for_handler(|h| probe(h) && h["state"] == "ready")
        .await;
}
