//! `migrate-store` as a process: killed and continued, refused while it would lose something, and given nonsense.

use std::process::{Child, Command, Stdio};

use reqwest::{Client, StatusCode};
use serde_json::Value;
use tests::link::{Cut, Link};
use tests::postgres::Postgres;
use tests::process::{self, Finished, finished};

use super::fleet::Fleet;
use crate::load::{Load, post};
use crate::rig::Rig;

fn command(from: &str, to: &str) -> Command {
    let folder = std::env::temp_dir();
    process::command(&folder, &["migrate-store", from, to, "--json"])
}

fn migrate(from: &str, to: &str) -> Finished {
    tokio::task::block_in_place(|| finished(command(from, to).output().expect("it runs")))
}

/// Checks that a store was moved; returns how many rows each table has.
fn moved(moved: &Finished) -> Vec<(String, u64)> {
    assert_eq!(moved.code, Some(0), "{}", moved.stderr);
    let said: Value = serde_json::from_str(&moved.stdout).expect("JSON");
    let tables = said["tables"].as_array().expect("tables").iter();
    let rows = |table: &Value| {
        let name = table["table"].as_str().expect("a name").to_owned();
        (name, table["rows"].as_u64().expect("a number"))
    };
    tables.map(rows).collect()
}

/// Checks that a move was refused in words, and returns them.
fn refused(refused: &Finished) -> &str {
    let said = &*refused.stderr;
    assert!(refused.code.is_some_and(|code| code > 0), "{refused:?}");
    assert!(!said.contains("panicked"), "{said}");
    assert_eq!(refused.stdout, "", "{refused:?}");
    said
}

/// Kills a process at once: `kill -9`.
fn kill(mut child: Child) {
    child.kill().expect("it can be killed");
    let status = child.wait().expect("it can be waited for");
    assert_eq!(status.code(), None, "it had ended before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_move_that_is_killed_again_and_again_is_continued_by_the_same_command() {
    let Some(database) = tokio::task::block_in_place(Postgres::start) else {
        return;
    };
    let mut rig = Rig::new().await;
    let url = rig.start(None).expect("nothing kills it");
    let mut load = Load::start();
    load.to(&url);
    load.more(150);
    load.finish().await;
    rig.wait_until_settled().await;
    rig.stop();
    let from = format!("sqlite:{}", rig.store().display());
    let link = Link::to(database.port()).await;
    let to = database.url_at("127.0.0.1", link.port(), "move");
    // Each run gets further than the one before.
    for (n, after) in [3, 5, 8, 12].into_iter().enumerate() {
        link.cut(Cut::Stall, after);
        let mut child = command(&from, &to);
        let child = child.stdout(Stdio::null()).stderr(Stdio::null());
        let child = child.spawn().expect("it runs");
        link.wait_for(n + 1).await;
        kill(child);
        link.mend();
    }
    // No server opens half a store.
    let folder = tempfile::tempdir().unwrap();
    let mut serve = process::command(
        folder.path(),
        &["serve", "--web.listen-address=127.0.0.1:0"],
    );
    serve.env("ALERT_MANAGER_STORE", &to);
    let said = tokio::task::block_in_place(|| finished(serve.output().expect("it runs")));
    assert!(said.stderr.contains("incomplete"), "{}", said.stderr);
    let rows = moved(&migrate(&from, &to));
    let of = |name: &str| {
        rows.iter()
            .find(|(table, _)| table == name)
            .map(|(_, rows)| *rows)
    };
    assert_eq!(of("deliveries"), Some(300), "{rows:?}");
    let there = tokio::task::block_in_place(|| {
        database.number("SELECT count(*) FROM alert_manager.journal")
    });
    assert_eq!(of("journal"), there, "{rows:?}");
    println!("replicas: a move killed 4 times: {rows:?}");
    assert!(refused(&migrate(&from, &to)).contains("is not empty"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_in_use_is_not_moved_nor_one_whose_servers_have_left_something() {
    let Some(mut fleet) = Fleet::new(2).await else {
        return;
    };
    fleet.start_all();
    let (holder, http) = (fleet.holder().await, Client::new());
    let other = fleet.other_than(holder);
    let accept = async |url: String, n: usize| {
        let (status, answer) = post(&http, &url, n).await.expect("an answer");
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    };
    accept(fleet.url(other), 0).await;
    fleet.wait_until_settled().await;
    let file = fleet.folder().join("moved.db");
    let to = format!("sqlite:{}", file.display());
    let from = fleet.database.url("move");
    let said = migrate(&from, &to);
    assert!(refused(&said).contains("is in use"), "{}", said.stderr);
    // The one without the term is connected, and does not answer.
    fleet.pause(other);
    fleet.stop(holder);
    let said = migrate(&from, &to);
    assert!(refused(&said).contains("is in use"), "{}", said.stderr);
    fleet.resume(other);
    fleet.start(holder);

    let holder = fleet.holder().await;
    let other = fleet.other_than(holder);
    fleet.kill(holder);
    accept(fleet.url(other), 2).await;
    fleet.kill(other);
    let said = migrate(&from, &to);
    let expected = "1 alerts that its servers have accepted are not scheduled yet";
    assert!(refused(&said).contains(expected), "{}", said.stderr);
    assert!(!file.exists(), "nothing was made");
    // As it says.
    fleet.start(0);
    fleet.wait_until_settled().await;
    fleet.stop(0);
    let rows = moved(&migrate(&from, &to));
    let deliveries = rows.iter().find(|(table, _)| table == "deliveries");
    assert_eq!(deliveries.map(|(_, rows)| *rows), Some(2), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_is_refused_in_words() {
    let Some(database) = tokio::task::block_in_place(Postgres::start) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    std::fs::write(folder.path().join("text.db"), "no database\n".repeat(1_000)).unwrap();
    let url = database.url("move");
    let cases = [
        ("".to_owned(), url.clone(), "FROM is not the URL of a store"),
        (
            "mysql://am@h/d".into(),
            url.clone(),
            "FROM is not the URL of a store",
        ),
        (at("missing.db"), "postgres://".into(), "there is no store"),
        (at("missing.db"), url.clone(), "there is no store"),
        (
            at("missing.db"),
            "postgres://am:hunter2@h/d?sslmod=off".into(),
            "TO is not the URL of a store",
        ),
        (at("text.db"), url.clone(), "text.db"),
        (url.clone(), url.clone(), "the same store"),
        (url.clone(), at("no/folder/new.db"), "new.db"),
        (
            database.url_at("127.0.0.1", 1, "move"),
            at("new.db"),
            "127.0.0.1",
        ),
        (url.replace("/tests?", "/absent?"), at("new.db"), "absent"),
    ];
    for (from, to, expected) in cases {
        let said = migrate(&from, &to);
        let said = refused(&said);
        assert!(said.contains(expected), "{from} {to}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    assert!(!folder.path().join("new.db").exists(), "nothing was made");
}
