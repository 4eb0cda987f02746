//! What a server without the term asks the one that has it, and what it stores by itself.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::conformance::prelude::eventually;
use crate::store::mail::{Mail, Request};
use crate::store::postgres::mail::Waiting;
use crate::store::postgres::session::{Purpose, Session};
use crate::store::postgres::values::Columns as _;
use crate::{AskError, AuditFilter, Audited, Clock};

use super::bench;
use super::replicas::pair;
use super::roster::about;

const LEFT: &str = "SELECT count(*) FROM requests";

#[tokio::test]
async fn the_server_that_has_the_term_answers_what_another_asks() {
    let Some(bench) = bench() else { return };
    let [(first, _leases), (second, _idle)] = pair(&bench);
    second.announce(about("b"));
    let mut asked = first.asked();
    let ask = |text: &str| {
        let (second, text) = (second.clone(), text.to_owned());
        tokio::spawn(async move { second.ask(text).await })
    };
    let (one, two) = (ask("one\0"), ask("two"));
    for _ in 0..2 {
        let asked = asked.recv().await.unwrap();
        let answer = format!("{} is done", asked.request);
        asked.answer(answer);
    }
    assert_eq!(one.await.unwrap(), Ok("one\0 is done".to_owned()));
    assert_eq!(two.await.unwrap(), Ok("two is done".to_owned()));
    eventually(async || bench.query(LEFT, &[])[0].int(0).unwrap() == 0).await;
    // Nobody answers there: what it asks itself, it does itself.
    assert!(second.asked().is_empty());
}

#[tokio::test]
async fn a_server_asks_once_it_is_listed() {
    let Some(bench) = bench() else { return };
    let [(first, _leases), (second, _idle)] = pair(&bench);
    let mut asked = first.asked();
    let waits = {
        let second = second.clone();
        tokio::spawn(async move { second.ask("early".into()).await })
    };
    // The one that has the term has removed meanwhile what servers have asked that are not listed.
    first.announce(about("a"));
    eventually(async || first.replicas().len() == 1).await;
    second.announce(about("b"));
    let early = asked.recv().await.unwrap();
    early.answer("is done".into());
    assert_eq!(waits.await.unwrap(), Ok("is done".to_owned()));
}

#[tokio::test]
async fn a_request_is_taken_once_and_may_be_done_if_it_is_not_answered() {
    let Some(bench) = bench() else { return };
    let [(first, _leases), (second, _idle)] = pair(&bench);
    second.announce(about("b"));
    let mut asked = first.asked();
    let waits = {
        let second = second.clone();
        tokio::spawn(async move { second.ask("slow".into()).await })
    };
    let slow = asked.recv().await.unwrap();
    // The server that has taken it dies, and the next one does not take it again.
    drop((first, _leases, slow));
    let mut again = second.asked();
    second.leads().wait_for(|leads| *leads).await.unwrap();
    second.shutdown().await;
    assert_eq!(waits.await.unwrap(), Err(AskError::Unknown));
    assert!(again.recv().await.is_none());
}

/// Sends a request that nobody takes, or that was taken, and lets time pass.
fn after(
    bench: &super::PostgresBench,
    is_taken: bool,
    age: Duration,
) -> Option<Result<String, AskError>> {
    let io = &bench.cluster().io;
    let session = Session::connect(io, bench.database(), Purpose::Read).unwrap();
    let mut waiting = Waiting::default();
    let (reply, mut answer) = oneshot::channel();
    let text = "request".to_owned();
    waiting
        .send(&session, 1, vec![Request { text, reply }])
        .unwrap();
    bench.execute("UPDATE requests SET is_taken = $1", &[&is_taken]);
    waiting.age(age);
    waiting.receive(&session).unwrap();
    bench.execute("DELETE FROM requests", &[]);
    answer.try_recv().ok()
}

#[test]
fn a_request_that_nobody_takes_or_answers_ends_after_a_time() {
    let Some(bench) = bench() else { return };
    drop(bench.store(&crate::Options::default(), &Clock::system()));
    let seconds = Duration::from_secs;
    assert_eq!(after(&bench, false, seconds(9)), None);
    let not_taken = after(&bench, false, seconds(10));
    assert!(
        matches!(not_taken, Some(Err(AskError::NotDone(_)))),
        "{not_taken:?}"
    );
    assert_eq!(after(&bench, true, seconds(24)), None);
    assert_eq!(
        after(&bench, true, seconds(25)),
        Some(Err(AskError::Unknown))
    );
}

#[tokio::test]
async fn nobody_is_asked_after_the_store_was_closed() {
    let mail = Mail::default();
    let mut asked = mail.asked();
    mail.close();
    let (reply, answer) = oneshot::channel();
    let text = String::new();
    mail.ask(Request { text, reply });
    assert!(answer.await.is_err() && asked.recv().await.is_none());
    assert!(mail.asked().recv().await.is_none());
}

#[tokio::test]
async fn what_a_person_does_at_a_server_without_the_term_is_stored_there() {
    let Some(bench) = bench() else { return };
    let [(first, _leases), (second, _idle)] = pair(&bench);
    let entry = Audited {
        at: Clock::system().now(),
        what: "reloaded".into(),
        person: "anna".into(),
        ..Audited::default()
    };
    second.audit(entry.clone());
    let all = || AuditFilter {
        limit: 10,
        ..AuditFilter::default()
    };
    eventually(async || first.audited(all()).await.unwrap().len() == 1).await;
    // It did not wait for the term.
    assert!(!*second.leads().borrow());
    let stored = first.audited(all()).await.unwrap();
    assert_eq!((&*stored[0].what, &*stored[0].person), ("reloaded", "anna"));
    second.shutdown().await;
    assert_eq!(first.audited(all()).await.unwrap().len(), 1);
}
