//! How the end of an incident is reported.

use handler_sdk::mock::Host;
use handler_sdk::prelude::*;
use handler_sdk::slack::Error;

use super::Handled;
use super::cluster::*;

/// Nine minutes after [`NOW`].
const ENDED: i64 = NOW + 9 * 60;

fn resolved() -> Alert {
    readme_alert()
        .into_resolved(Timestamp::from_seconds(ENDED))
        .with_receipt(Timestamp::from_seconds(ENDED + 30))
}

fn fired(cluster: &Cluster) -> Host {
    let host = cluster.host();
    message(&host, &readme_alert());
    host.now(Timestamp::from_seconds(ENDED + 30))
}

#[track_caller]
fn run(host: &Host) {
    let run = host.run::<Handled>(&resolved());
    assert!(run.result.is_ok(), "{run:?}");
}

fn last_answer(host: &Host) -> String {
    host.posts()
        .into_iter()
        .rev()
        .find(|post| post.thread.is_some())
        .map(|post| post.text)
        .unwrap_or_default()
}

#[test]
fn the_message_is_changed_and_answered_with_duration_and_readiness() {
    let host = fired(&Cluster {
        log: String::new(),
        ..Cluster::default()
    })
    .http_get(&pod_url(), 200, running_pod().to_string())
    .http_get(
        &apps("deployments/customer-rs-transformer"),
        200,
        deployment(3).to_string(),
    );
    run(&host);
    let updates = host.updates();
    assert_eq!(updates.len(), 1);
    assert_eq!(updates[0].at, host.posts()[0].at);
    assert_eq!(
        updates[0].text,
        "[RESOLVED] critical customer/customer-rs-transformer-9b75b488c-cpfd7 (rs-transformer): ready again after 23m 59s, cluster-main"
    );
    let shown = updates[0].visible();
    for part in [
        "KubePodCrashLooping · customer/customer-rs-transformer",
        "✅ *RESOLVED* · critical · P0\n*Resolved after 23m 59s.* *Ready again:* rs-transformer has been up for 11m 30s, after 14 restarts.",
        "Deployment customer-rs-transformer: 3/3 ready.",
        "It was: *Likely out of memory:* killed at 512Mi, 41s after start.",
        "*Changed:* rev 42, image 1.41.3 → 1.42.0",
    ] {
        assert!(shown.contains(part), "no {part:?} in\n{shown}");
    }
    assert!(
        last_answer(&host).starts_with("*Resolved after 23m 59s.* *Ready again:*"),
        "{}",
        last_answer(&host)
    );
    let resolved_asked = host
        .requests()
        .iter()
        .filter(|request| request.url.contains("/log"))
        .count();
    assert_eq!(
        resolved_asked, 1,
        "the log is read for the firing alert alone"
    );
}

#[test]
fn a_pod_that_is_gone_is_not_called_fixed() {
    let host = status(fired(&Cluster::default()), &pod_url(), 404);
    run(&host);
    let answer = last_answer(&host);
    assert!(
        answer.contains(
            "*The pod is gone:* it was deleted or replaced, which is not the same as fixed."
        ),
        "{answer}"
    );
    assert!(
        host.updates()[0]
            .text
            .contains(": ended after 23m 59s, the pod is gone, cluster-main"),
        "{}",
        host.updates()[0].text
    );
    assert!(answer.contains("2/3 ready"), "{answer}");
    assert!(!answer.contains("Ready again"), "{answer}");
}

#[test]
fn a_pod_that_still_waits_is_called_not_ready() {
    let host = fired(&Cluster::default());
    run(&host);
    assert!(
        last_answer(&host)
            .contains("*Not ready yet:* rs-transformer is still not ready (CrashLoopBackOff).")
    );
}

#[test]
fn without_kubernetes_nothing_is_claimed() {
    let host = host();
    message(&host, &readme_alert());
    let host = host.now(Timestamp::from_seconds(ENDED + 30));
    run(&host);
    let shown = host.updates()[0].visible();
    assert!(
        shown.contains("Whether the pod is ready was not found out."),
        "{shown}"
    );
    assert!(
        shown.contains("not fetched: pod, workload: Kubernetes not granted"),
        "{shown}"
    );
    assert!(shown.contains(POD), "{shown}");
}

#[test]
fn a_channel_without_threads_gets_the_end_in_the_message_alone() {
    let quiet = Cluster {
        log: String::new(),
        ..Cluster::default()
    };
    let refused = Error::Invalid("restricted_action_non_threadable_channel".to_owned());
    let host = fired(&quiet);
    // The update succeeds, and the reply is rejected.
    let ended = host.clone().slack_error_after(1, refused);
    run(&ended);
    assert_eq!(ended.updates().len(), 1);
    assert_eq!(ended.posts().len(), 1);
    assert!(
        ended
            .logs()
            .iter()
            .any(|line| line.message.contains("thread could not be answered"))
    );
}

#[test]
fn an_update_that_fails_inside_slack_becomes_a_new_message() {
    let quiet = Cluster {
        log: String::new(),
        ..Cluster::default()
    };
    let host = fired(&quiet).slack_error(Error::Invalid("update_failed".to_owned()));
    run(&host);
    assert!(
        host.posts()[1].text.starts_with("[RESOLVED]"),
        "{:?}",
        host.posts()
    );
}

#[test]
fn an_end_without_a_known_message_is_a_new_one() {
    let unknown = Cluster::default().host();
    run(&unknown);
    assert!(unknown.updates().is_empty());
    assert!(unknown.posts()[0].text.starts_with("[RESOLVED]"));

    let deleted = fired(&Cluster {
        log: String::new(),
        ..Cluster::default()
    })
    .slack_error(Error::NotFound);
    run(&deleted);
    assert_eq!(deleted.posts().len(), 2);
    assert!(
        deleted.posts()[1].text.starts_with("[RESOLVED]") && deleted.posts()[1].thread.is_none()
    );
}

#[test]
fn another_incident_of_the_same_labels_has_a_message_of_its_own() {
    let host = fired(&Cluster::default());
    let again = resolved().with_start(Timestamp::from_seconds(NOW - 5));
    assert!(host.run::<Handled>(&again).result.is_ok());
    assert!(host.updates().is_empty());
}

#[test]
fn a_store_out_of_order_holds_back_no_message() {
    let down = || handler_sdk::kv::Error::Unavailable("down".to_owned());
    let host = Cluster::default().host().kv_error(down()).kv_error(down());
    message(&host, &readme_alert());
    assert!(
        host.logs()
            .iter()
            .any(|line| line.message.contains("could not be remembered"))
    );
}

#[test]
fn the_reference_is_kept_for_the_incident_only() {
    let host = fired(&Cluster::default());
    let key = format!("message/alerts/{}", readme_alert().incident_key());
    assert_eq!(host.kept_keys(), std::slice::from_ref(&key));
    let week = Timestamp::from_seconds(NOW).plus(handler_sdk::time::DAY * 7);
    assert!(host.kept(&key).is_some());
    assert_eq!(host.now(week).kept(&key), None);
    let other = readme_alert().with_label("pod", "x").incident_key();
    assert_ne!(key, format!("message/alerts/{other}"));
}

#[test]
fn a_reminder_updates_the_message_and_says_so_in_its_thread() {
    let host = fired(&Cluster {
        log: String::new(),
        ..Cluster::default()
    });
    let host = host
        .delivery("d-2")
        .now(Timestamp::from_seconds(NOW + 4 * 3_600));
    assert!(host.run::<Handled>(&readme_alert()).result.is_ok());
    let update = &host.updates()[0];
    assert_eq!(update.at, host.posts()[0].at);
    assert!(update.text.starts_with("[FIRING]"), "{}", update.text);
    assert!(
        update.visible().contains("(4h 14m)"),
        "{}",
        update.visible()
    );
    assert_eq!(last_answer(&host), "Still firing after 4h 14m.");
    run(&host.clone().delivery("d-3"));
    let shown = host.updates()[1].visible();
    assert!(shown.contains("It was: *Likely out of memory:*"), "{shown}");
}
