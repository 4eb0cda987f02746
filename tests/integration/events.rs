//! Which alerts are the same event and which begin a new one.

use serde_json::{Value, json};
use tests::alerts;
use tests::fakes::{Fault, Slack};
use tests::server::{Server, Setup};

const POST: &str = "chat.postMessage";

fn setup(slack: &Slack) -> Setup {
    Setup::new().slack(slack).module("slack-notify").config(
        r##"
slack: { channels: { alerts: "#alerts" }, rate: { per_second: 0 } }
handlers:
  slack-notify: { allow: { slack: [alerts] } }
"##,
    )
}

/// Posts an alert that is accepted as new, and waits for its end.
async fn run(server: &Server, alert: &Value) -> Value {
    let ids = server.accept(alert).await;
    server.wait_settled(&ids[0]).await
}

#[tokio::test]
async fn an_alert_that_fires_on_after_its_resolved_has_a_message_of_its_own() {
    let slack = Slack::start().await;
    let server = setup(&slack).start().await;
    let (firing, resolved) = (alerts::firing("A", &[]), alerts::resolved("A", &[]));
    for occurrence in 1..=3_usize {
        for alert in [&firing, &resolved] {
            let story = run(&server, alert).await;
            assert_eq!(story["state"], "done", "{story:#}");
            let note = &story["alert"]["origin"]["extra"]["alert_manager.occurrence"];
            match occurrence {
                1 => assert!(note.is_null(), "{note}"),
                _ => assert_eq!(note, &json!(occurrence.to_string())),
            }
            let (_, again) = server.post(alert).await;
            assert_eq!(again["duplicates"], 1, "{again}");
        }
        let messages = slack.messages();
        let posts: Vec<_> = messages.iter().filter(|m| m.thread_ts.is_none()).collect();
        assert_eq!(posts.len(), occurrence, "one message for each occurrence");
        for post in posts {
            assert_eq!(
                post.before_updates.len(),
                1,
                "updated once, by its resolved"
            );
            assert_eq!(slack.thread(&post.ts).len(), 1, "with a reply");
        }
    }
}

#[tokio::test]
async fn a_body_cannot_say_which_occurrence_it_is() {
    let slack = Slack::start().await;
    let server = setup(&slack).start().await;
    let mut alert = alerts::firing("A", &[]);
    let note = json!({ "alert_manager.occurrence": "7" });
    alert["alert_manager.occurrence"] = json!("7");
    alert["extra"] = note.clone();
    alert["origin"] = json!({ "extra": note });
    let story = run(&server, &alert).await;
    let extra = &story["alert"]["origin"]["extra"];
    assert!(extra["alert_manager.occurrence"].is_null(), "{extra}");
}

/// Grafana sends some resolved alerts with their end as their start.
#[tokio::test]
async fn a_resolved_whose_start_moved_updates_the_message_of_its_firing() {
    let slack = Slack::start().await;
    let server = setup(&slack).start().await;
    let group = |status: &str, starts_at: &str, ends_at: &str| {
        json!({
            "receiver": "hook", "status": status, "orgId": 1, "version": "1", "groupKey": "{}:{}",
            "alerts": [{
                "status": status,
                "labels": { "alertname": "QueueLag", "grafana_folder": "Ops" },
                "annotations": { "summary": "The queue lags." },
                "startsAt": starts_at, "endsAt": ends_at,
                "fingerprint": "c3d0f5a1b2e49d70",
            }],
        })
    };
    let began = "2026-11-01T10:00:00Z";
    let ended = "2026-11-01T10:10:00Z";
    run(&server, &group("firing", began, "0001-01-01T00:00:00Z")).await;
    let resolved = group("resolved", ended, ended);
    let story = run(&server, &resolved).await;
    assert_eq!(story["alert"]["starts_at"], json!(began), "{story:#}");
    let (_, again) = server.post(&resolved).await;
    assert_eq!(again["duplicates"], 1, "{again}");
    let messages = slack.messages();
    let (post, reply) = (&messages[0], &messages[1]);
    assert_eq!(messages.len(), 2);
    assert_eq!(post.before_updates.len(), 1);
    assert_eq!(reply.thread_ts.as_ref(), Some(&post.ts));
    assert!(reply.contains("10m"), "{}", reply.shown());
}

#[tokio::test]
async fn a_dead_alert_that_is_sent_again_and_again_runs_and_is_reported_once_more_at_most() {
    let slack = Slack::start().await;
    let dead_letters = "dead_letter: { handlers: [slack-notify] }";
    let server = setup(&slack).config(dead_letters).start().await;
    let refuse = || {
        let refused = Fault::slack_error("no_text");
        slack.faults().next(POST, refused);
    };
    refuse();
    let alert = alerts::firing("A", &[]);
    let story = run(&server, &alert).await;
    let id = story["id"].as_str().unwrap();
    slack.wait_for(|message| message.contains(id)).await;
    refuse();
    assert_eq!(server.accept(&alert).await, [id], "revived");
    let again = |story: &Value| {
        let attempts = story["story"].as_array().unwrap().len();
        story["state"] == "dead" && attempts == 2
    };
    server.wait_for_story(id, again).await;
    for _ in 0..3 {
        let (_, answer) = server.post(&alert).await;
        assert_eq!(answer["duplicates"], 1, "{answer}");
    }
    // Dead letters are reported in their order: after this one's there is none of the other to wait for.
    refuse();
    let other = run(&server, &alerts::firing("B", &[])).await;
    let other = other["id"].as_str().unwrap();
    slack.wait_for(|message| message.contains(other)).await;
    let about = slack.messages().iter().filter(|m| m.contains(id)).count();
    assert_eq!(about, 1, "reported once");
}

#[tokio::test]
async fn what_died_on_a_route_that_was_edited_is_done_when_it_is_sent_again() {
    let slack = Slack::start().await;
    let refused = Fault::slack_error("no_text");
    slack.faults().next(POST, refused);
    let routes = |matchers: &str| {
        let routes = format!("routes: [{{ matchers: [{matchers}], handlers: [slack-notify] }}]");
        let setup = setup(&slack).config(&routes);
        setup.config("dead_letter: { handlers: [] }")
    };
    let server = routes(r#"'alertname="A"'"#).start().await;
    let alert = alerts::firing("A", &[]);
    let story = run(&server, &alert).await;
    assert_eq!(story["state"], "dead", "{story:#}");
    let id = story["id"].as_str().unwrap();
    let dir = server.stop().await;
    let server = routes(r#"'alertname=~"A|B"'"#).start_in(dir).await;
    assert_eq!(server.accept(&alert).await, [id]);
    let done = |story: &Value| story["state"] == "done";
    server.wait_for_story(id, done).await;
    assert_eq!(slack.messages().len(), 1);
    let (_, again) = server.post(&alert).await;
    assert_eq!(again["duplicates"], 1, "{again}");
}
