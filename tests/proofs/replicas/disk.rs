//! The disk of the database is full.

use std::fmt::Write as _;

use reqwest::{Client, StatusCode};
use serde_json::Value;
use tests::dice::Dice;
use tests::postgres::Postgres;

use super::fleet::Fleet;
use crate::faults::SmallDisk;
use crate::load;

/// Posts an alert that takes some kilobytes which cannot be compressed; returns status and answer.
async fn post(http: &Client, url: &str, n: usize) -> (StatusCode, Value) {
    let mut dice = Dice::from_seed(u64::try_from(n).unwrap());
    let mut pad = String::new();
    for _ in 0..400 {
        write!(pad, "{:x}", dice.roll(0, usize::MAX)).unwrap();
    }
    let mut alert = load::alert(n);
    alert["annotations"]["pad"] = pad.into();
    let request = http.post(format!("{url}/webhook")).json(&alert);
    let response = request.send().await.expect("an answer");
    (response.status(), response.json().await.expect("JSON"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_disk_of_the_database_refuses_alerts_at_each_server_and_space_brings_all_back() {
    let Some(disk) = SmallDisk::mount() else {
        tests::skipped(
            "SKIPPED: no tmpfs can be mounted here (root only): a full disk of the database was NOT tested",
        );
        return;
    };
    let Some(database) = tokio::task::block_in_place(Postgres::start) else {
        return;
    };
    let within = disk.path().join("tables");
    std::fs::create_dir(&within).unwrap();
    tokio::task::block_in_place(|| database.move_to(&within));
    let mut fleet = Fleet::over(database, 2).await;
    fleet.start_all();
    let http = Client::new();
    let filler = disk.fill();
    // Only firings: of a pair, either could be refused.
    let mut next = (0..).map(|n| 2 * n);
    let mut accepted = std::collections::BTreeSet::new();
    for server in 0..2 {
        let reason = loop {
            let n = next.next().unwrap();
            assert!(n < 10_000, "the disk is full, and alerts are still taken");
            let (status, answer) = post(&http, &fleet.url(server), n).await;
            if status == StatusCode::ACCEPTED {
                accepted.insert(n);
                continue;
            }
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
            break answer["error"].to_string();
        };
        println!("replicas: full disk of the database: {reason}");
    }
    std::fs::remove_file(filler).unwrap();
    let while_full = accepted.len();
    for server in 0..2 {
        let n = next.next().unwrap();
        let mut refused = 0;
        while post(&http, &fleet.url(server), n).await.0 != StatusCode::ACCEPTED {
            refused += 1;
            assert!(refused < 10_000, "there is space again, and no service");
            tokio::task::yield_now().await;
        }
        accepted.insert(n);
    }
    let history = fleet.history(accepted).await;
    println!("replicas: {while_full} accepted while the disk filled, 2 after; lost 0, doubled 0");
    assert_eq!(history.complaints(), []);
}
