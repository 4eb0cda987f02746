//! A server that is suspended past its lease records nothing and begins no effect when it goes on; and a server that does is caught.

use std::collections::BTreeSet;

use alert_manager::queue::failpoint::Failpoint;
use reqwest::{Client, StatusCode};
use tests::fakes::{Fault, Gate};

use super::fleet::Fleet;
use super::history::Complaint;
use crate::load::post;

const POST: &str = "chat.postMessage";

/// Suspends the server with the term while Slack has posted a message and has not answered, has another server take over and end the
/// delivery, then lets the first one go on with its answer. Returns the servers, and which of them that is.
async fn sleep_past_the_lease(failpoints: &[Failpoint]) -> Option<(Fleet, usize)> {
    let mut fleet = Fleet::new(2).await?;
    fleet.set_broken(failpoints);
    fleet.start_all();
    let sleeper = fleet.holder().await;
    let gate = Gate::closed();
    let held = Fault::Hold(gate.clone()).but_done();
    fleet.slack.faults().next(POST, held);
    let accepted = post(&Client::new(), &fleet.url(sleeper), 0).await;
    assert_eq!(accepted.expect("an answer").0, StatusCode::ACCEPTED);
    fleet.slack.wait_for_calls(POST, 1).await;
    fleet.pause(sleeper);
    fleet.wait_for_successor(sleeper).await;
    fleet.wait_until_settled().await;
    assert_eq!(fleet.slack.count_calls(POST), 2, "it was made again");
    gate.open();
    fleet.resume(sleeper);
    fleet.wait_for_line(sleeper, "another replica has taken over");
    Some((fleet, sleeper))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_slept_past_its_lease_records_nothing_and_begins_no_effect() {
    let Some((mut fleet, sleeper)) = sleep_past_the_lease(&[]).await else {
        return;
    };
    // What it runs ends first.
    fleet.stop(sleeper);
    let history = fleet.history([0].into()).await;
    assert_eq!(history.complaints(), []);
    assert_eq!(history.doubled(), BTreeSet::from([(0, "slack")]));
    // What was on its way is so in the story, and what was not is not.
    assert_eq!(history.ambiguous(), BTreeSet::from([(0, "slack")]));
    assert_eq!(history.requests.len(), 1, "{history:?}");
    let story = &history.stories[0]["story"];
    assert_eq!(story.as_array().map(Vec::len), Some(1), "{story:#}");
    assert_eq!(story[0]["after_crash"], true, "{story:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_on_without_its_lease_is_caught() {
    let broken = [Failpoint::Unfenced];
    let Some((mut fleet, sleeper)) = sleep_past_the_lease(&broken).await else {
        return;
    };
    fleet.sink.wait_for_count(2).await;
    fleet.stop(sleeper);
    let complaints = fleet.history([0].into()).await.complaints();
    println!("replicas, without the fence: {complaints:?}");
    assert!(
        complaints.contains(&Complaint::Doubled((0, "http"))),
        "the fence was off, and nothing was missed: the proof proves nothing: {complaints:?}"
    );
    let is_late = |complaint: &Complaint| matches!(complaint, Complaint::Unfenced(_));
    assert!(complaints.iter().any(is_late), "{complaints:?}");
}
