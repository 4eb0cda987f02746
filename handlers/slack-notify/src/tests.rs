//! What people see, and what happens if the message no longer exists.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use handler_sdk::mock::{Host, Post, Storm, alert_from_json, assert_snapshot};
use handler_sdk::prelude::*;
use handler_sdk::slack::Error;
use handler_sdk::time::{DAY, HOUR, MINUTE};

use super::SlackNotify;

const STARTED: i64 = 1_646_206_317;

fn disk_alert() -> Alert {
    let mut alert = alert_from_json(
        r#"{
          "labels": {"alertname": "NodeFilesystemSpaceFillingUp", "cluster": "main", "instance": "10.0.0.7:9100",
                     "mountpoint": "/var", "severity": "CRITICAL", "team": "storage", "zone": "b", "job": "node-exporter"},
          "annotations": {"summary": "Disk fills up within 4 hours.",
                          "description": "Only 3% left on <!channel> & see https://wiki.example.com/disk.",
                          "runbook_url": "https://runbooks.example.com/disk", "dashboard": "javascript:alert(1)"},
          "startsAt": "2022-03-02T07:31:57Z", "status": "firing",
          "generatorURL": "https://prometheus.example.com/graph?g0.expr=up"
        }"#,
    );
    alert.origin.external_url = Some("https://alertmanager.example.com".to_owned());
    alert.origin.receiver = Some("oncall".to_owned());
    alert
}

fn resolved(alert: Alert) -> Alert {
    let ended = Timestamp::from_seconds(STARTED).plus(2 * HOUR);
    alert
        .into_resolved(ended)
        .with_receipt(ended.plus(Duration::from_secs(30)))
}

/// A host whose time is a minute after the alert began.
fn host() -> Host {
    Host::new().now(Timestamp::from_seconds(STARTED).plus(MINUTE))
}

#[test]
fn a_firing_alert_is_said_in_full() {
    let host = host();
    let run = host.run::<SlackNotify>(&disk_alert());

    let post = &host.posts()[0];
    assert_eq!(run.facts().get("slack.message"), Some(post.at.as_str()));
    assert_eq!(post.channel, "alerts");
    assert_eq!(
        post.key.as_deref(),
        Some("message"),
        "a retry must not say it twice"
    );
    assert_eq!(
        post.text,
        "[FIRING] critical NodeFilesystemSpaceFillingUp 10.0.0.7:9100: Disk fills up within 4 hours, main"
    );
    assert_eq!(
        post.visible(),
        "NodeFilesystemSpaceFillingUp · 10.0.0.7:9100\n\
         🔴 *FIRING* · critical\n\
         *Disk fills up within 4 hours.*\n\
         Only 3% left on &lt;!channel&gt; &amp; see <https://wiki.example.com/disk|https://wiki.example.com/disk>.\n\
         *cluster:* main   *instance:* 10.0.0.7:9100\n*mountpoint:* /var   *team:* storage\n*zone:* b\n\
         <https://runbooks.example.com/disk|Runbook> · \
         <https://alertmanager.example.com/#/silences/new?filter=%7Balertname%3D%22NodeFilesystemSpaceFillingUp%22%2C%20\
         cluster%3D%22main%22%2C%20instance%3D%2210.0.0.7%3A9100%22%2C%20mountpoint%3D%22%2Fvar%22%7D|Silence> · \
         <https://prometheus.example.com/graph?g0.expr=up|Query>\n\
         since <!date^1646206317^{date_short_pretty} {time}|2022-03-02T07:31:57Z> (1m) · receiver oncall · delivery d-1"
    );
}

#[test]
fn the_message_of_every_scenario() {
    let shows = |name: &str, host: &Host| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/snapshots");
        assert_snapshot(format!("{folder}/{name}.txt"), &host.transcript());
        // Drawn by docs/messages.html.
        assert_snapshot(
            format!("{folder}/{name}.json"),
            &format!("{:#}\n", host.messages()),
        );
    };
    let firing = host();
    firing.run::<SlackNotify>(&disk_alert());
    shows("firing", &firing);
    let reminded = firing
        .delivery("d-2")
        .now(Timestamp::from_seconds(STARTED).plus(4 * HOUR));
    let reminder = disk_alert().with_receipt(Timestamp::from_seconds(STARTED).plus(4 * HOUR));
    reminded.run::<SlackNotify>(&reminder);
    shows("reminded", &reminded);
    let firing = host();
    firing.run::<SlackNotify>(&disk_alert());
    let ended = firing.now(Timestamp::from_seconds(STARTED).plus(2 * HOUR + MINUTE));
    ended.run::<SlackNotify>(&resolved(disk_alert()));
    shows("resolved", &ended);
    let late = Host::new()
        .now(Timestamp::from_seconds(STARTED).plus(10 * MINUTE))
        .late("it waited for the rate limit of #alerts")
        .attempt(3);
    let found = Enrichment::new()
        .with_fact("owner", "team-storage")
        .with_fact("enrich_failed.kube", "timed out after 10 s")
        .with_block(Block::excerpt(
            "Largest folders",
            "/var/log 40G\n/var/lib 9G",
        ));
    late.run_after::<SlackNotify>(&disk_alert(), &found);
    shows("late-retried", &late);
    let storm = storm_host();
    storm.run::<SlackNotify>(&not_ready(0));
    shows("storm", &storm);
    let part = storm
        .delivery("d-2")
        .now(Timestamp::from_seconds(STARTED).plus(20 * MINUTE))
        .storm(storm_of(0..212).count(240).resolved(212));
    part.run::<SlackNotify>(&resolved(not_ready(5)));
    shows("storm-partly-resolved", &part);
    let over = part
        .delivery("d-3")
        .now(Timestamp::from_seconds(STARTED).plus(2 * HOUR + MINUTE))
        .storm(storm_of(239..240).count(240).resolved(240));
    over.run::<SlackNotify>(&resolved(not_ready(239)));
    shows("storm-resolved", &over);
    let long = host();
    let description = "Only 3% is left. ".repeat(100);
    long.run::<SlackNotify>(&disk_alert().with_annotation("description", description));
    shows("long", &long);
    shows("group", &group_host());
    let exporter = host();
    let alert = alert_from_json(include_str!("../../../tests/fixtures/exporters-pod.json"));
    exporter.run::<SlackNotify>(&alert);
    shows("exporters-pod", &exporter);
    let nameless = host();
    nameless.run::<SlackNotify>(&Alert::new("").with_label("team", "x"));
    shows("nameless", &nameless);
}

/// One of many pods that are not ready, in twelve namespaces.
fn not_ready(n: usize) -> Alert {
    const TEAMS: [&str; 3] = ["payments", "search", "storefront"];
    let namespace = format!("{}-{}", TEAMS[n % 3], n % 12 / 3 + 1);
    let mut alert = Alert::new("KubePodNotReady")
        .with_label("cluster", "cluster-main")
        .with_label("job", "kube-state-metrics")
        .with_label("namespace", &namespace)
        .with_label("pod", format!("api-7d9f8b6c5-{n:05}"))
        .with_label("region", "us-west-1")
        .with_label("severity", "critical")
        .with_annotation("summary", "Pod has been in a non-ready state for more than 15 minutes.")
        .with_annotation("description", format!("Pod {namespace}/api-7d9f8b6c5-{n:05} has been in a non-ready state for longer than 15 minutes on cluster cluster-main."))
        .with_annotation("runbook_url", "https://runbooks.example.com/KubePodNotReady")
        .with_start(Timestamp::from_seconds(STARTED))
        .with_receipt(Timestamp::from_seconds(STARTED + 30));
    alert.origin.external_url = Some("https://alertmanager.example.com".to_owned());
    alert.origin.receiver = Some("oncall".to_owned());
    alert
}

fn storm_of(numbers: std::ops::Range<usize>) -> Storm {
    let alerts: Vec<Alert> = numbers.map(not_ready).collect();
    Storm::of(&alerts)
}

fn storm_host() -> Host {
    host().storm(storm_of(0..240))
}

/// A group of three alerts, of which one has resolved.
fn group_host() -> Host {
    let of_group = |n: usize| {
        let mut alert = not_ready(n);
        alert.origin.group_key = Some("{}:{alertname=\"KubePodNotReady\"}".to_owned());
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        alert.origin.group_labels = vec![
            label("alertname", "KubePodNotReady"),
            label("cluster", "cluster-main"),
        ];
        alert
    };
    let host = host().config("slack.thread_by", "group");
    for n in 0..3 {
        let host = host.clone().delivery(&format!("d-{}", n + 1));
        host.run::<SlackNotify>(&of_group(n));
    }
    let host = host
        .delivery("d-4")
        .now(Timestamp::from_seconds(STARTED).plus(2 * HOUR + MINUTE));
    host.run::<SlackNotify>(&resolved(of_group(1)));
    host
}

#[test]
fn a_deployments_alert_is_about_the_deployment() {
    let host = host();
    let alert = alert_from_json(include_str!("../../../tests/fixtures/exporters-pod.json"));
    host.run::<SlackNotify>(&alert);
    let post = &host.posts()[0];
    assert!(
        post.text.starts_with(
            "[FIRING] warning KubeDeploymentReplicasMismatch kube-system/metrics-server: "
        ),
        "{}",
        post.text
    );
    let visible = post.visible();
    assert!(
        visible.starts_with("KubeDeploymentReplicasMismatch · kube-system/metrics-server\n"),
        "{visible}"
    );
    for shown in [&visible, &post.text] {
        assert!(!shown.contains("kube-state-metrics"), "{shown}");
    }
}

#[test]
fn the_message_keeps_to_its_bounds_and_its_thread_has_the_rest() {
    let long = "&<>long ".repeat(300);
    let mut alert = (0..30).fold(disk_alert(), |alert, n| {
        alert.with_label(format!("label{n}"), &long)
    });
    alert = alert
        .with_annotation("summary", &long)
        .with_annotation("description", "line\n".repeat(200));
    let found = (0..30).fold(Enrichment::new(), |found, n| {
        found
            .with_fact(format!("fact{n}"), &long)
            .with_block(Block::markdown(format!("finding {n}")))
    });
    let host = host();
    host.run_after::<SlackNotify>(&alert, &found);
    let posts = host.posts();
    let shown = posts[0].visible();
    assert!(
        posts[0].blocks.len() <= 12,
        "{} blocks",
        posts[0].blocks.len()
    );
    assert!(shown.lines().count() <= 25, "{shown}");
    assert!(
        shown.chars().count() + posts[0].text.chars().count() <= 3_000,
        "{shown}"
    );
    assert!(
        shown.contains("|Runbook>") && shown.contains("delivery d-1"),
        "{shown}"
    );
    assert_eq!(posts[1].thread.as_ref(), Some(&posts[0].at));
    assert!(
        posts[1].visible().contains("finding 29"),
        "{}",
        posts[1].visible()
    );
}

#[test]
fn findings_of_too_many_lines_or_blocks_go_into_the_thread() {
    let tall = Enrichment::new().with_block(Block::excerpt("finding 9", "/var/log\n".repeat(20)));
    let many = (0..10).fold(Enrichment::new(), |found, n| {
        found.with_block(Block::markdown(format!("finding {n}")))
    });
    for found in [tall, many] {
        let host = host();
        host.run_after::<SlackNotify>(&disk_alert(), &found);
        let posts = host.posts();
        assert!(
            !posts[0].visible().contains("finding"),
            "{}",
            posts[0].visible()
        );
        assert!(
            posts[1].visible().contains("finding 9"),
            "{}",
            posts[1].visible()
        );
    }
}

#[test]
fn a_channel_without_threads_is_no_reason_to_die() {
    let refused = Error::Invalid("restricted_action_non_threadable_channel".to_owned());
    let host = host();
    host.run::<SlackNotify>(&disk_alert());
    let host = host.slack_error_after(1, refused);
    let run = host.run::<SlackNotify>(&resolved(disk_alert()));
    assert_eq!(run.facts().get("slack.how"), Some("updated"));
    assert_eq!(run.facts().get("slack.thread"), Some("failed"));
    assert_eq!((host.updates().len(), host.posts().len()), (1, 1));
    assert!(
        host.logs()
            .iter()
            .any(|line| line.message.contains("thread could not be answered"))
    );
}

#[test]
fn an_update_that_fails_inside_slack_is_tried_again_or_becomes_a_new_message() {
    let outage = host();
    outage.run::<SlackNotify>(&disk_alert());
    let outage = outage.slack_error(Error::Unavailable("internal_error".to_owned()));
    assert!(
        !outage
            .run::<SlackNotify>(&resolved(disk_alert()))
            .failure()
            .is_permanent()
    );
    let refused = host();
    refused.run::<SlackNotify>(&disk_alert());
    let refused = refused.slack_error(Error::Invalid("update_failed".to_owned()));
    let run = refused.run::<SlackNotify>(&resolved(disk_alert()));
    assert_eq!(run.facts().get("slack.how"), Some("posted"));
}

#[test]
fn a_full_store_does_not_undo_a_message_that_is_out() {
    let full = || handler_sdk::kv::Error::QuotaExceeded;
    let host = host().kv_error(full()).kv_error(full());
    let run = host.run::<SlackNotify>(&disk_alert());
    assert_eq!(run.facts().get("slack.how"), Some("posted"));
    assert_eq!(host.posts().len(), 1);
    assert!(
        host.logs()
            .iter()
            .any(|line| line.message.contains("could not be remembered"))
    );
}

#[test]
fn labels_of_the_exporter_are_left_out() {
    let host = host();
    let alert = Alert::new("KubeJobFailed")
        .with_label("job", "kube-state-metrics")
        .with_label("service", "kube-prometheus-stack-kube-state-metrics")
        .with_label("job_name", "backup-1")
        .with_label("namespace", "ops");
    host.run::<SlackNotify>(&alert);
    let visible = host.posts()[0].visible();
    assert!(
        visible.contains("*namespace:* ops   *job_name:* backup-1"),
        "{visible}"
    );
    assert!(!visible.contains("kube-state-metrics"), "{visible}");
}

#[test]
fn at_most_eight_labels_are_shown() {
    let host = host();
    let alert = (0..20).fold(Alert::new("Many"), |alert, index| {
        alert.with_label(format!("label{index:02}"), "x")
    });
    host.run::<SlackNotify>(&alert);
    let visible = host.posts()[0].visible();
    assert_eq!(visible.matches("*label").count(), 8, "{visible}");
}

#[test]
fn what_earlier_handlers_found_is_shown() {
    let host = host();
    let found = Enrichment::new()
        .with_fact("owner", "team-<payments>")
        .with_fact("enrich_failed.kube", "timed out after 10 s")
        .with_block(Block::markdown("Deployed **12 min** before."))
        .with_block(Block::link("Trace", "https://traces.example.com/1"))
        .with_block(Block::excerpt(
            "Last lines",
            "starting\npassword=hunter2\nboom",
        ));
    host.run_after::<SlackNotify>(&disk_alert(), &found);
    let visible = host.posts()[0].visible();
    for expected in [
        "*owner* team-&lt;payments&gt;",
        "Deployed *12 min* before.\n<https://traces.example.com/1|Trace>\n",
        "*Last lines*\n```\nstarting\npassword=[masked]\nboom\n```",
        "not enriched by kube: timed out after 10 s",
    ] {
        assert!(
            visible.contains(expected),
            "{expected} is missing in:\n{visible}"
        );
    }
    assert!(!visible.contains("enrich_failed"), "{visible}");
}

#[test]
fn a_storm_says_how_many_it_stands_for() {
    let host = storm_host();
    host.run::<SlackNotify>(&not_ready(0));
    let post = &host.posts()[0];
    assert_eq!(
        post.text,
        "[FIRING] critical 240 × KubePodNotReady: 12 namespaces, cluster-main, since 07:31 UTC"
    );
    let visible = post.visible();
    for part in [
        "240 × KubePodNotReady · cluster-main\n🔴 *FIRING* · critical\n*240 alerts*, 12 namespaces, since ",
        "*In common:* cluster=cluster-main · region=us-west-1",
        "*10 of 240:*\n• payments-1/api-7d9f8b6c5-00000   • search-1/api-7d9f8b6c5-00001\n",
        "*What differs*\n```\nlabel      values  most frequent\nnamespace  12      payments-1 (20), ",
        "|Runbook>",
        "|Silence>",
    ] {
        assert!(visible.contains(part), "no {part:?} in\n{visible}");
    }
    assert!(!visible.contains("kube-state-metrics"), "{visible}");
}

#[test]
fn a_storms_end_says_how_many_have_resolved_and_after_how_long() {
    let host = storm_host();
    host.run::<SlackNotify>(&not_ready(0));
    let host = host
        .delivery("d-2")
        .storm(storm_of(0..212).count(240).resolved(212));
    host.run::<SlackNotify>(&resolved(not_ready(7)));
    let part = &host.updates()[0];
    assert!(
        part.text.contains(
            "[FIRING] critical 240 × KubePodNotReady: 212 of 240 have resolved, 12 namespaces"
        ),
        "{}",
        part.text
    );
    assert!(
        part.visible()
            .contains("*212 of 240 have resolved*; 28 still fire."),
        "{}",
        part.visible()
    );
    let host = host
        .delivery("d-3")
        .storm(storm_of(239..240).count(240).resolved(240));
    host.run::<SlackNotify>(&resolved(not_ready(239)));
    let over = &host.updates()[1];
    assert_eq!(
        over.text,
        "[RESOLVED] critical 240 × KubePodNotReady: all 240 have resolved after 2h, 12 namespaces, cluster-main"
    );
    let visible = over.visible();
    assert!(
        visible.contains("240 × KubePodNotReady · cluster-main\n✅ *RESOLVED*"),
        "{visible}"
    );
    assert!(
        visible.contains("*All 240 have resolved.*") && !visible.contains("Silence"),
        "{visible}"
    );
    assert_eq!(host.posts()[1].text, "All 240 have resolved after 2h.");
}

#[test]
fn a_storm_of_several_names_is_not_called_by_one_and_has_no_links_of_one() {
    let mut alerts: Vec<Alert> = (0..30).map(not_ready).collect();
    for (n, alert) in alerts.iter_mut().enumerate().skip(10) {
        let name = ["KubePodCrashLooping", "KubeJobFailed"][n % 2];
        let label = ("alertname".to_owned(), name.to_owned());
        name.clone_into(&mut alert.name);
        alert.labels.retain(|(known, _)| known != "alertname");
        alert.labels.push(label);
    }
    let host = host().storm(Storm::of(&alerts));
    host.run::<SlackNotify>(&alerts[0]);
    let post = &host.posts()[0];
    assert_eq!(
        post.text,
        "[FIRING] critical 30 alerts of 3 names: 12 namespaces, cluster-main, since 07:31 UTC"
    );
    let visible = post.visible();
    for part in [
        "30 alerts of 3 names · cluster-main\n",
        "One of them, KubePodNotReady payments-1/api-7d9f8b6c5-00000: Pod has been",
        "\nalertname  3       KubeJobFailed (10), KubePodCrashLooping (10),…\n",
        "• KubePodNotReady payments-1/api-7d9f8b6c5-00000\n",
    ] {
        assert!(visible.contains(part), "no {part:?} in\n{visible}");
    }
    for link in ["|Silence>", "|Runbook>", "|Query>"] {
        assert!(!visible.contains(link), "{link} in\n{visible}");
    }
}

#[test]
fn a_storm_has_no_link_to_a_silence_for_one_of_its_alerts() {
    let mut alert = not_ready(0);
    let silence = "https://grafana.example.com/alerting/silence/new?matcher=pod%3Dapi".to_owned();
    alert.origin.extra = vec![("silenceURL".to_owned(), silence)];
    let alone = host();
    alone.run::<SlackNotify>(&alert);
    assert!(alone.posts()[0].visible().contains("|Silence>"));
    let storm = storm_host();
    storm.run::<SlackNotify>(&alert);
    let visible = storm.posts()[0].visible();
    assert!(visible.contains("|Runbook>"), "{visible}");
    assert!(!visible.contains("|Silence>"), "{visible}");
}

#[test]
fn a_storm_is_posted_unless_all_of_it_is_not_for_people() {
    let of = |name: &str, severity: &str| Alert::new(name).with_label("severity", severity);
    let posts_of = |alerts: [Alert; 2]| {
        let host = host().storm(Storm::of(&alerts));
        let run = host.run::<SlackNotify>(&alerts[0]);
        let why = run.facts().get("not-posted").map(str::to_owned);
        (host.posts().len(), why)
    };
    assert_eq!(posts_of([of("A", "none"), of("B", "critical")]), (1, None));
    assert_eq!(
        posts_of([of("Watchdog", "warning"), of("B", "warning")]),
        (1, None)
    );
    let (posts, why) = posts_of([of("A", "None"), of("B", "None")]);
    assert_eq!((posts, why.as_deref()), (0, Some("severity is `none`")));
    let (posts, why) = posts_of([of("Watchdog", "warning"), of("Watchdog", "critical")]);
    assert_eq!(posts, 0);
    assert!(why.unwrap().starts_with("Watchdog is an internal alert"));
}

#[test]
fn the_message_of_a_storm_keeps_to_its_bounds() {
    for wide in ["<&>wide ", "ウィンドウ", "👩‍👩‍👧"] {
        let alerts: Vec<Alert> = (0..60)
            .map(|n| {
                (0..20).fold(not_ready(n), |alert, label| {
                    alert.with_label(format!("label{label}"), format!("{}{n}", wide.repeat(40)))
                })
            })
            .collect();
        let found = (0..20).fold(Enrichment::new(), |found, n| {
            let text = wide.repeat(200);
            found
                .with_fact(format!("fact{n}"), &text)
                .with_block(Block::markdown(text))
        });
        let host = host().storm(Storm::of(&alerts));
        host.run_after::<SlackNotify>(&alerts[0], &found);
        let posts = host.posts();
        let shown = posts[0].visible();
        assert!(
            posts[0].blocks.len() <= 12,
            "{} blocks",
            posts[0].blocks.len()
        );
        assert!(shown.lines().count() <= 25, "{shown}");
        let chars = shown.chars().count() + posts[0].text.chars().count();
        assert!(chars <= 3_000, "{chars}\n{shown}");
        assert!(
            shown.contains("|Runbook>") && shown.ends_with("delivery d-1"),
            "{shown}"
        );
        assert!(posts.len() <= 2, "a storm is not a thread of its own");
    }
}

#[test]
fn the_rest_of_a_long_description_is_in_the_thread() {
    let host = host();
    let description: String = (0..400).map(|n| format!("word{n} ")).collect();
    host.run::<SlackNotify>(&disk_alert().with_annotation("description", &description));
    let posts = host.posts();
    let both = format!("{} {}", posts[0].visible(), posts[1].visible());
    for n in 0..400 {
        assert_eq!(
            both.matches(&format!("word{n} ")).count()
                + both.matches(&format!("word{n}…")).count()
                + usize::from(n == 399),
            1,
            "{n}\n{both}"
        );
    }
}

#[test]
fn the_teams_own_words_for_a_severity_are_shown_with_their_rank() {
    let shown = |rank: &str, severity: &str| {
        let host = host().priority(rank);
        host.run::<SlackNotify>(&disk_alert().with_label("severity", severity));
        let post = host.posts().remove(0);
        let status = post.visible().lines().nth(1).unwrap().to_owned();
        let text = post.text.split(" NodeFile").next().unwrap().to_owned();
        (text, status)
    };
    for (rank, severity, text, status) in [
        (
            "critical",
            "CRITICAL",
            "[FIRING] critical",
            "🔴 *FIRING* · critical",
        ),
        (
            "critical",
            "wake-us",
            "[FIRING] critical",
            "🔴 *FIRING* · critical · wake-us",
        ),
        (
            "warning",
            "info",
            "[FIRING] warning",
            "🟠 *FIRING* · warning · info",
        ),
        (
            "normal",
            "critical",
            "[FIRING] normal",
            "🔵 *FIRING* · normal · critical",
        ),
        (
            "normal",
            "team-a",
            "[FIRING] team-a",
            "⚪ *FIRING* · team-a",
        ),
        (
            "critical",
            "",
            "[FIRING] critical",
            "🔴 *FIRING* · critical",
        ),
    ] {
        assert_eq!(
            shown(rank, severity),
            (text.to_owned(), status.to_owned()),
            "{rank} {severity}"
        );
    }
}

#[test]
fn the_delivery_is_a_link_to_its_page() {
    let host = host().config("story_base", "https://alerts.example.com/deliveries");
    host.run::<SlackNotify>(&disk_alert());
    let id = host.cx().call().delivery_id.clone();
    let visible = host.posts()[0].visible();
    let link = format!("<https://alerts.example.com/deliveries/{id}|delivery {id}>");
    assert!(visible.contains(&link), "{visible}");
}

#[test]
fn an_alert_that_arrives_long_after_it_began_is_not_called_late() {
    let host = host();
    // Like a reminder of Alertmanager.
    let reminder = disk_alert().with_receipt(Timestamp::from_seconds(STARTED).plus(4 * HOUR));
    host.run::<SlackNotify>(&reminder);
    let visible = host.posts()[0].visible();
    assert!(visible.contains("arrived 4h after it began"), "{visible}");
    assert!(!visible.contains("late"), "{visible}");
}

#[test]
fn a_late_message_says_by_how_much_and_why() {
    let late = Timestamp::from_seconds(STARTED).plus(10 * MINUTE);
    let waited = Host::new().now(late);
    waited.run::<SlackNotify>(&disk_alert());
    let visible = waited.posts()[0].visible();
    assert!(
        visible.contains("posted 9m 30s after it was received: it waited in the queue"),
        "{visible}"
    );

    let retried = Host::new().now(late).attempt(3);
    retried.run::<SlackNotify>(&disk_alert());
    let visible = retried.posts()[0].visible();
    assert!(
        visible.contains("posted 9m 30s after it was received: this is attempt 3"),
        "{visible}"
    );

    // The server knows better than the handler.
    let known = Host::new()
        .now(late)
        .attempt(3)
        .late("it waited for the rate limit of #alerts");
    known.run::<SlackNotify>(&disk_alert());
    let visible = known.posts()[0].visible();
    assert!(
        visible.contains(
            "posted 9m 30s after it was received: it waited for the rate limit of #alerts"
        ),
        "{visible}"
    );
    let in_time = host().late("it waited for a free slot");
    in_time.run::<SlackNotify>(&disk_alert());
    assert!(!in_time.posts()[0].visible().contains("slot"));
}

#[test]
fn long_descriptions_are_cut() {
    let host = host();
    host.run::<SlackNotify>(&disk_alert().with_annotation("description", "x".repeat(5_000)));
    let visible = host.posts()[0].visible();
    assert!(
        visible.contains(&format!("{}…", "x".repeat(599))),
        "{visible}"
    );
    assert!(!visible.contains(&"x".repeat(600)), "{visible}");
}

#[test]
fn a_cut_leaves_no_half_of_a_link() {
    let host = host();
    let description = format!(
        "{} https://wiki.example.com/a/long/page",
        "word ".repeat(115)
    );
    host.run::<SlackNotify>(&disk_alert().with_annotation("description", description));
    let visible = host.posts()[0].visible();
    assert!(visible.contains("word word…"), "{visible}");
    assert!(!visible.contains("wiki"), "{visible}");
}

#[test]
fn an_alert_with_nothing_but_a_label_is_said_too() {
    let host = host();
    let run = host.run::<SlackNotify>(&Alert::new("").with_label("job", "x"));
    assert!(run.result.is_ok());
    assert_eq!(host.posts()[0].text, "[FIRING] alert without a name");
}

#[test]
fn the_channel_is_a_setting() {
    let host = host().config("channel", "oncall");
    host.run::<SlackNotify>(&disk_alert());
    assert_eq!(host.posts()[0].channel, "oncall");
}

#[test]
fn what_is_not_for_people_is_not_posted() {
    for alert in [
        Alert::new("Watchdog"),
        Alert::new("InfoInhibitor").with_label("severity", "info"),
        Alert::new("Anything").with_label("severity", "None"),
    ] {
        let host = host();
        let run = host.run::<SlackNotify>(&alert);
        assert!(run.facts().get("not-posted").is_some(), "{run:?}");
        let ended = host.run::<SlackNotify>(&resolved(alert));
        assert!(ended.facts().get("not-posted").is_some(), "{ended:?}");
        assert!(host.posts().is_empty());
    }
}

#[test]
fn a_resolved_alert_updates_its_message_and_answers_in_the_thread() {
    let host = host();
    host.run::<SlackNotify>(&disk_alert());
    let host = host.now(Timestamp::from_seconds(STARTED).plus(2 * HOUR + MINUTE));
    let run = host.run::<SlackNotify>(&resolved(disk_alert()));

    assert_eq!(run.facts().get("slack.how"), Some("updated"));
    let posts = host.posts();
    let update = &host.updates()[0];
    assert_eq!(update.at, posts[0].at);
    assert!(
        update
            .text
            .starts_with("[RESOLVED] critical NodeFilesystemSpaceFillingUp"),
        "{}",
        update.text
    );
    let visible = update.visible();
    assert!(
        visible.starts_with(
            "NodeFilesystemSpaceFillingUp · 10.0.0.7:9100\n✅ *RESOLVED* · critical\n"
        ),
        "{visible}"
    );
    assert!(
        visible.contains("fired for 2h, from <!date^1646206317^"),
        "{visible}"
    );
    assert!(!visible.contains("Silence"), "{visible}");
    assert_eq!(posts.len(), 2);
    assert_eq!(posts[1].thread.as_ref(), Some(&posts[0].at));
    assert_eq!(posts[1].text, "Resolved after 2h.");
    assert_eq!(
        posts[1].key.as_deref(),
        Some("reply"),
        "a retry must not say it twice"
    );
}

#[test]
fn a_resolved_alert_whose_message_is_unknown_is_posted_anew() {
    let host = host();
    let run = host.run::<SlackNotify>(&resolved(disk_alert()));
    assert_eq!(run.facts().get("slack.how"), Some("posted"));
    assert!(host.posts()[0].text.starts_with("[RESOLVED]"));
    assert!(host.updates().is_empty());
    assert!(
        host.kept_keys().is_empty(),
        "nothing comes after it that could need the message"
    );
}

#[test]
fn a_resolved_alert_whose_message_is_gone_is_posted_anew() {
    let host = host();
    host.run::<SlackNotify>(&disk_alert());
    let host = host.slack_error(Error::NotFound);
    let run = host.run::<SlackNotify>(&resolved(disk_alert()));
    assert_eq!(run.facts().get("slack.how"), Some("posted"));
    assert_eq!(host.posts()[1].thread, None);
}

#[test]
fn a_thread_that_is_too_long_for_one_reply_takes_several() {
    let text = |n: usize| format!("{n:02} {}", "x".repeat(2_800));
    let found = |count: usize| {
        (0..count).fold(Enrichment::new(), |found, n| {
            found.with_block(Block::excerpt(format!("Log {n}"), text(n)))
        })
    };
    let host = host();
    let run = host.run_after::<SlackNotify>(&disk_alert(), &found(20));
    assert_eq!(run.facts().get("slack.findings"), Some("posted"));
    let replies = host.posts().split_off(1);
    assert_eq!(replies.len(), 7);
    assert!(
        replies
            .iter()
            .all(|reply| reply.thread == Some(host.posts()[0].at.clone()))
    );
    let shown: Vec<String> = replies.iter().map(Post::visible).collect();
    for n in 0..20 {
        assert!(shown.iter().any(|shown| shown.contains(&text(n))), "{n}");
    }
    assert_eq!(replies[6].text, "Further findings (7 of 7)");

    // Each reply counts against the channel's rate limit, so their number is limited.
    let host = self::host();
    host.run_after::<SlackNotify>(&disk_alert(), &found(100));
    let replies = host.posts().split_off(1);
    assert_eq!(replies.len(), 8);
    assert!(
        replies[7].visible().ends_with("… and 76 more blocks"),
        "{}",
        replies[7].visible()
    );
}

#[test]
fn the_message_is_forgotten_after_a_week() {
    let host = host();
    host.run::<SlackNotify>(&disk_alert());
    let host = host.now(Timestamp::from_seconds(STARTED).plus(8 * DAY));
    let run = host.run::<SlackNotify>(&resolved(disk_alert()));
    assert_eq!(run.facts().get("slack.how"), Some("posted"));
}

#[test]
fn a_rate_limit_is_waited_out() {
    let host = host().slack_error(Error::RateLimited(Duration::from_secs(3)));
    let run = host.run::<SlackNotify>(&disk_alert());
    assert_eq!(run.failure().retry_after(), Some(Duration::from_secs(3)));
    assert!(!run.failure().is_permanent());
}

#[test]
fn without_a_grant_nothing_is_tried_again() {
    let host = host().deny_slack();
    let run = host.run::<SlackNotify>(&disk_alert());
    assert!(run.failure().is_permanent());
    assert!(
        run.failure().message().contains("not granted"),
        "{}",
        run.failure()
    );
}
