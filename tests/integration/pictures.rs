//! The messages of every scenario, drawn as Slack draws them: `docs/messages.html`.
//!
//! After a change of a message: `UPDATE_SNAPSHOTS=1 cargo test --workspace`, twice, since handlers write what this draws.

use std::fs;

use serde_json::Value;
use tests::modules::workspace;
use tests::slack_page::{Scenario, page};

#[test]
fn every_scenario_is_drawn_as_slack_draws_it() {
    let mut scenarios: Vec<(String, Vec<Value>)> = Vec::new();
    for (handler, folder) in [
        ("kube-pod-crash-looping", "src/tests/snapshots"),
        ("slack-notify", "src/snapshots"),
    ] {
        let folder = workspace().join("handlers").join(handler).join(folder);
        let mut files: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        files.sort();
        for text in files
            .iter()
            .filter(|path| path.extension().is_some_and(|e| e == "txt"))
        {
            let name = text.file_stem().unwrap().to_str().unwrap();
            let json = fs::read_to_string(text.with_extension("json")).unwrap();
            scenarios.push((
                format!("{handler}: {name}"),
                serde_json::from_str(&json).unwrap(),
            ));
        }
    }
    assert!(scenarios.len() > 15, "{}", scenarios.len());
    let scenarios: Vec<_> = scenarios
        .iter()
        .map(|(title, messages)| Scenario { title, messages })
        .collect();
    let drawn = page(&scenarios).unwrap_or_else(|error| panic!("{error}"));
    handler_sdk::mock::assert_snapshot(workspace().join("docs/messages.html"), &drawn);
}
