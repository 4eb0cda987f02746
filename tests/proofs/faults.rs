//! A full disk, and a clock that is set: nothing is lost, nothing ends dead.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use reqwest::StatusCode;
use tests::alerts;
use tests::fakes::{Fault, Gate, Slack};
use tests::server::{Server, Setup};

use crate::load::{alert, number};
use crate::rig::Rig;

const POST: &str = "chat.postMessage";

fn setup(slack: &Slack) -> Setup {
    Setup::new().slack(slack).module("slack-notify").config(
        r##"
slack: { channels: { alerts: "#alerts" }, rate: { per_second: 0 } }
handlers:
  slack-notify:
    allow: { slack: [alerts] }
    limits: { wall: 1s }
    retry: { min_backoff: 1ms, max_backoff: 10ms, max_attempts: 3 }
"##,
    )
}

async fn accept(server: &Server, prefix: &str, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..count {
        let alert = alerts::firing(&format!("{prefix}{n}"), &[]);
        ids.extend(server.accept(&alert).await);
    }
    ids
}

/// A file system of its own of 24 MB, so small that it can be filled. Unmounted when dropped.
pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounts it; none without the rights.
    pub(crate) fn mount() -> Option<Self> {
        let at = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"])
            .arg(at.path())
            .output()
            .ok()?;
        mounted.status.success().then_some(Self(at))
    }

    /// Returns its folder.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all the space that is left, until the file that it returns is removed.
    pub(crate) fn fill(&self) -> PathBuf {
        let filler = self.path().join("filler");
        fill(&filler);
        filler
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, since a process may still have a file open.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_alerts_and_space_brings_the_service_back() {
    let Some(disk) = SmallDisk::mount() else {
        println!("SKIPPED: no tmpfs can be mounted here (root only): a full disk was NOT tested");
        return;
    };
    let slack = Slack::start().await;
    let gate = Gate::closed();
    slack.faults().next_n(POST, 3, Fault::Hold(gate.clone()));
    let dir = Arc::new(tempfile::tempdir_in(disk.path()).unwrap());
    let server = setup(&slack).start_in(dir).await;
    let before = accept(&server, "Before", 3).await;
    slack.wait_for_calls(POST, 3).await;

    let filler = disk.fill();
    // A few more fit into the space that the write-ahead log already has.
    let mut taken = Vec::new();
    let reason = loop {
        let n = taken.len();
        assert!(n < 10_000, "the disk is full, and alerts are still taken");
        let (status, answer) = server
            .post(&alerts::firing(
                &format!("During{n}"),
                &[("pad", &"x".repeat(4_000))],
            ))
            .await;
        if status != StatusCode::ACCEPTED {
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
            break answer["error"].to_string();
        }
        taken.extend(tests::server::ids(&answer));
    };
    assert!(reason.contains("disk is full"), "{reason}");
    // What was sent before goes out; its records wait for space.
    gate.open();
    slack.wait_for_count(3).await;

    std::fs::remove_file(&filler).unwrap();
    let mut refused = 0;
    let after = loop {
        let (status, answer) = server.post(&alerts::firing("After", &[])).await;
        if status == StatusCode::ACCEPTED {
            break tests::server::ids(&answer);
        }
        refused += 1;
        tokio::task::yield_now().await;
        assert!(
            refused < 100_000,
            "there is space again, and no service: {answer}"
        );
    };
    for id in before.iter().chain(&taken).chain(&after) {
        assert_eq!(server.wait_settled(id).await["state"], "done");
    }
    assert_eq!(slack.messages().len(), 3 + taken.len() + 1, "each once");
    println!(
        "full disk: 3 accepted before, {} while it filled, 1 after; lost 0, doubled 0, dead 0",
        taken.len()
    );
    drop(server);
}

/// Takes all the space that is left.
fn fill(path: &Path) {
    use std::io::Write as _;
    let mut filler = std::fs::File::create(path).unwrap();
    for bytes in [1 << 20, 1 << 12] {
        while filler.write_all(&vec![0; bytes]).is_ok() {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_back_or_forward_holds_nothing_up() {
    const HOUR: i64 = 3_600;
    // Far more than `max_age`, which is not to end what waits.
    const DAY: i64 = 24 * HOUR;
    let mut rig = Rig::new().await.with_clock();
    let url = rig.start(None).expect("nothing kills it");
    let http = reqwest::Client::new();
    let post = async |url: &str, n: usize| {
        let request = http
            .post(format!("{url}/webhook"))
            .body(alert(n).to_string());
        assert_eq!(request.send().await.unwrap().status(), StatusCode::ACCEPTED);
    };
    for (n, offset) in [-HOUR, DAY, -2 * DAY].into_iter().enumerate() {
        rig.slack.faults().until_cleared(POST, Fault::status(503));
        let before = rig.slack.count_calls("chat.postMessage");
        post(&url, n).await;
        rig.slack.wait_for_calls(POST, before + 3).await;
        // It waits for its next try at this moment, by the clock of a moment ago.
        rig.set_clock(offset);
        let before = rig.slack.count_calls("chat.postMessage");
        rig.slack.wait_for_calls(POST, before + 3).await;
        rig.slack.faults().clear();
        let text = format!("alert {n}");
        rig.slack.wait_for(|message| message.text == text).await;
    }
    rig.wait_until_settled().await;
    rig.kill();
    rig.set_clock(-3 * DAY);
    let url = rig.start(None).expect("nothing kills it");
    post(&url, 3).await;
    rig.slack
        .wait_for(|message| message.text == "alert 3")
        .await;
    rig.wait_until_settled().await;
    // Identifiers go on upwards, so the order of acceptance is still that of the list.
    let mut numbers = Vec::new();
    for delivery in rig.deliveries().await {
        assert_eq!(delivery["state"], "done");
        let id = delivery["id"].as_str().unwrap();
        let story = rig.get(&format!("/api/v1/deliveries/{id}")).await;
        numbers.push(number(&story));
    }
    assert_eq!(numbers, [3, 2, 1, 0]);
    assert_eq!(rig.slack.messages().len(), 4, "each once");
}
