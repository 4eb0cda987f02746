//! A message that waited for Slack shows its age at the time it is posted, not at the time of the first try.

use reqwest::{Client, StatusCode};
use tests::alerts;
use tests::fakes::Fault;

use crate::rig::Rig;

const POST: &str = "chat.postMessage";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_waited_for_slack_says_how_late_it_is() {
    const HANDLER: &str =
        "{ allow: { slack: [alerts] }, retry: { min_backoff: 1ms, max_backoff: 20ms } }";
    let mut rig = Rig::new()
        .await
        .with_clock()
        .with_handler("slack-notify", HANDLER)
        .with_handler("kube-pod-crash-looping", HANDLER);
    let url = rig.start(None).expect("nothing kills it");
    for (n, alertname) in ["DiskFull", "KubePodCrashLooping"].into_iter().enumerate() {
        rig.slack.faults().until_cleared(POST, Fault::status(503));
        let tried = rig.slack.count_calls(POST);
        let mut alert = alerts::firing(alertname, &[("namespace", "a"), ("pod", "b")]);
        // It begins as it is received.
        alert.as_object_mut().unwrap().remove("startsAt");
        let request = Client::new().post(format!("{url}/webhook"));
        let answer = request.body(alert.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        rig.slack.wait_for_calls(POST, tried + 1).await;
        rig.set_clock(600 * (i64::try_from(n).unwrap() + 1));
        // The next may have begun before; the one after it has not.
        let tried = rig.slack.count_calls(POST);
        rig.slack.wait_for_calls(POST, tried + 2).await;
        rig.slack.faults().clear();
        rig.wait_until_settled().await;
        let posted = rig.slack.messages().into_iter().next_back().unwrap();
        let shown = posted.shown();
        assert!(shown.contains(alertname), "{shown}");
        for part in [
            "(10m",
            "posted 10m",
            "after it was received: this is attempt",
        ] {
            assert!(shown.contains(part), "{alertname}: {part} in {shown}");
        }
    }
}
