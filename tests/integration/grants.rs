//! Which of its grants a handler has used, and since when.

use alert_manager::api::{Grants, Handler};
use serde_json::json;
use tests::alerts;
use tests::harness::World;
use tests::process::run;
use tests::server::{Server, Setup};

async fn grants(server: &Server) -> Grants {
    let mut handlers: Vec<Handler> = server.handlers().await;
    handlers.remove(0).grants.unwrap()
}

/// Returns each grant with the number of its calls.
fn calls(grants: &Grants) -> Vec<(String, String, u64)> {
    let uses = grants.uses.iter();
    uses.map(|used| (used.kind.to_text(), used.grant.clone(), used.calls))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_shows_when_it_was_used_and_that_it_never_was() {
    let world = World::start().await;
    let url = &world.url;
    let setup = Setup::new().module("probe")
        .config(&format!(
            r##"
slack: {{ preview: true, channels: {{ alerts: "#alerts", oncall: "#oncall" }} }}
credentials:
  github: {{ authorization: {{ credentials: hunter2 }}, origins: ["{url}"] }}
handlers:
  probe:
    allow: {{ http: ["{url}", "https://never.example.com"], slack: [alerts, oncall], credentials: [github] }}
"##
        ));
    let server = setup.clone().start().await;
    let before = grants(&server).await;
    assert!(before.uses.iter().all(|used| used.calls == 0));
    assert!(
        before
            .uses
            .iter()
            .all(|used| used.first_used.is_none() && used.last_used.is_none())
    );
    let mut alert = alerts::firing("Probe", &[("step", "act")]);
    let script = format!(
        "get {url}/a\ncredential github {url}/b\nslack alerts hello\nget https://denied.example.com/\nslack general hello"
    );
    alert["annotations"] = json!({ "script": script });
    let ids = server.accept(&alert).await;
    assert_eq!(server.wait_settled(&ids[0]).await["state"], "done");
    let after = grants(&server).await;
    let expected = [
        ("http", url.as_str(), 2),
        ("http", "https://never.example.com", 0),
        ("slack", "alerts", 1),
        ("slack", "oncall", 0),
        ("credential", "github", 1),
    ];
    let expected = expected.map(|(kind, grant, calls)| (kind.to_owned(), grant.to_owned(), calls));
    assert_eq!(calls(&after), expected);
    let used = &after.uses[0];
    assert!(after.uses_since <= used.first_used && used.first_used <= used.last_used);
    // A reload takes nothing away.
    server.shared.reload().await.unwrap();
    assert_eq!(calls(&grants(&server).await), expected);
    let (dir, to) = (server.dir.path().to_owned(), server.url.clone());
    let told = tokio::task::spawn_blocking(move || run(&dir, &["handlers", "--url", &to]));
    let told = told.await.unwrap().stdout;
    let row = |grant: &str| {
        told.lines()
            .find(|line| line.contains(grant))
            .unwrap()
            .to_owned()
    };
    assert_eq!(row("oncall").matches("never").count(), 2, "{told}");
    assert!(!row("github").contains("never"), "{told}");
    // Nor does a restart.
    let server = setup.start_in(server.stop().await).await;
    let restarted = grants(&server).await;
    assert_eq!(calls(&restarted), expected);
    assert_eq!(restarted.uses_since, after.uses_since);
    assert_eq!(restarted.uses[0].first_used, after.uses[0].first_used);
}
