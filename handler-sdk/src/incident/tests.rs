//! What becomes of one message over many deliveries.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::mock::{Host, Post, Storm, Update};
use crate::slack::Blocks;
use crate::time::{DAY, HOUR};
use crate::{Description, Handler, Setting, Timestamp};

const BEGAN: Timestamp = Timestamp::from_seconds(1_700_000_000);

const CHANNEL: Setting = Setting::channel("channel", "where it posts").default("alerts");

/// A handler that shows each alert by its label `pod`.
#[derive(Debug)]
struct Pods;

impl Handler for Pods {
    fn describe() -> Description {
        Description::new("pods", "0.1.0", "Shows pods.")
            .storm_one()
            .settings([&CHANNEL])
    }

    fn act(cx: &Cx, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
        let channel = cx.setting(&CHANNEL).unwrap_or_default();
        let incident = Incident::open(cx, alert, found, channel);
        let state = if alert.is_firing() {
            "FIRING"
        } else {
            "RESOLVED"
        };
        let text = format!("[{state}] {}", alert.label("pod").unwrap_or_default());
        let card = Card::of_blocks(
            text,
            Blocks::new().section(incident.note("first").unwrap_or("first")),
        );
        incident.keep_note("first", "known").tell(&card)
    }

    fn resolved(cx: &Cx, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
        Self::act(cx, alert, found)
    }
}

fn pod(name: &str) -> Alert {
    Alert::new("Down")
        .with_label("pod", name)
        .with_start(BEGAN)
        .with_receipt(BEGAN)
}

fn ended(alert: Alert) -> Alert {
    alert.into_resolved(BEGAN.plus(5 * HOUR))
}

#[track_caller]
fn told(host: &Host, alert: &Alert) -> Facts {
    host.run::<Pods>(alert).facts().clone()
}

fn texts(host: &Host) -> Vec<String> {
    host.posts().into_iter().map(|post| post.text).collect()
}

fn last_update(host: &Host) -> Update {
    host.updates().pop().unwrap()
}

#[test]
fn an_alert_that_fires_repeats_and_resolves_has_one_message() {
    let host = Host::new().now(BEGAN);
    let facts = told(&host, &pod("a"));
    assert_eq!(facts.get("slack.how"), Some("posted"));
    let host = host.delivery("d-2").now(BEGAN.plus(4 * HOUR));
    let facts = told(&host, &pod("a"));
    assert_eq!(facts.get("slack.how"), Some("updated"));
    assert_eq!(facts.get("slack.thread"), Some("posted"));
    let host = host.delivery("d-3").now(BEGAN.plus(5 * HOUR));
    told(&host, &ended(pod("a")));

    let posts = host.posts();
    let expected = ["[FIRING] a", "Still firing after 4h.", "Resolved after 5h."];
    assert_eq!(texts(&host), expected);
    assert!(
        posts[1..]
            .iter()
            .all(|post| post.thread.as_ref() == Some(&posts[0].at))
    );
    let updates = host.updates();
    assert!(updates.iter().all(|update| update.at == posts[0].at));
    assert_eq!(updates[0].text, "[FIRING] a");
    assert_eq!(updates[0].visible(), "known", "a note is kept");
    assert_eq!(updates[1].text, "[RESOLVED] a");
}

#[test]
fn a_week_of_reminders_does_not_forget_the_message() {
    let host = Host::new().now(BEGAN);
    told(&host, &pod("a"));
    for day in 1..=9_u32 {
        let id = format!("d-{}", day + 1);
        let host = host.clone().delivery(&id).now(BEGAN.plus(day * DAY));
        told(&host, &pod("a"));
    }
    assert_eq!((host.posts().len(), host.updates().len()), (10, 9));
}

#[test]
fn a_second_route_to_the_same_channel_gets_no_reply_of_its_own() {
    let host = Host::new().now(BEGAN);
    told(&host, &pod("a"));
    let facts = told(
        &host.clone().delivery("d-2").now(BEGAN.plus(MINUTE)),
        &pod("a"),
    );
    assert_eq!(facts.get("slack.how"), Some("updated"));
    assert_eq!(host.posts().len(), 1);
}

#[test]
fn each_channel_has_a_message_of_its_own() {
    let host = Host::new().now(BEGAN);
    told(&host, &pod("a"));
    let host = host.delivery("d-2").config("channel", "oncall");
    told(&host, &pod("a"));
    let channels: Vec<String> = host.posts().into_iter().map(|post| post.channel).collect();
    assert_eq!(channels, ["alerts", "oncall"]);
}

#[test]
fn a_message_that_is_gone_is_posted_anew_and_then_used() {
    let host = Host::new().now(BEGAN);
    told(&host, &pod("a"));
    let host = host
        .delivery("d-2")
        .now(BEGAN.plus(4 * HOUR))
        .slack_error(Error::NotFound);
    assert_eq!(told(&host, &pod("a")).get("slack.how"), Some("posted"));
    let host = host.delivery("d-3");
    told(&host, &ended(pod("a")));
    let posts = host.posts();
    assert_eq!(
        texts(&host),
        ["[FIRING] a", "[FIRING] a", "Resolved after 5h."]
    );
    assert_eq!(last_update(&host).at, posts[1].at);
    assert_eq!(posts[2].thread.as_ref(), Some(&posts[1].at));
    assert_eq!(
        last_update(&host).visible(),
        "known",
        "notes outlive the message"
    );
}

#[test]
fn the_message_is_known_after_a_restart() {
    let host = Host::new().now(BEGAN);
    told(&host, &pod("a"));
    let keys = host.kept_keys();
    assert_eq!(
        keys,
        [format!("message/alerts/{}", pod("a").incident_key())]
    );
    let at = host.posts()[0].at.as_str().to_owned();
    let kept = host.kept(&keys[0]).unwrap();
    let earlier = Host::new().earlier_message();
    let restarted = Host::new()
        .now(BEGAN.plus(5 * HOUR))
        .delivery("d-2")
        .kv(&keys[0], kept.replace(&at, earlier.as_str()));
    told(&restarted, &ended(pod("a")));
    assert_eq!(last_update(&restarted).at, earlier);
}

#[test]
fn a_retry_posts_nothing_twice() {
    let away = || Error::Unavailable("away".to_owned());
    let host = Host::new().now(BEGAN).slack_error(away());
    assert!(!host.run::<Pods>(&pod("a")).failure().is_permanent());
    let host = host.attempt(2);
    told(&host, &pod("a"));
    // The update was sent, its reply was not.
    let host = host
        .delivery("d-2")
        .now(BEGAN.plus(5 * HOUR))
        .slack_error_after(1, away());
    assert!(!host.run::<Pods>(&ended(pod("a"))).failure().is_permanent());
    let host = host.attempt(2);
    told(&host, &ended(pod("a")));
    assert_eq!(texts(&host), ["[FIRING] a", "Resolved after 5h."]);
    assert_eq!(host.updates().len(), 1);
}

#[test]
fn without_the_store_everything_is_posted_all_the_same() {
    let down = || crate::kv::Error::Unavailable("down".to_owned());
    let host = Host::new()
        .now(BEGAN)
        .config("slack.thread_by", "group")
        .kv_error(down());
    told(&host, &pod("a"));
    let down_for_all = (0..20).fold(Host::new().now(BEGAN), |host, _| host.kv_error(down()));
    let mut alert = pod("a");
    alert.origin.group_key = Some("{}:{}".to_owned());
    told(&down_for_all.config("slack.thread_by", "group"), &alert);
    assert_eq!(host.posts().len(), 1);
}

fn storm_of(count: usize) -> Storm {
    let alerts: Vec<Alert> = (0..count).map(|n| pod(&format!("web-{n}"))).collect();
    Storm::of(&alerts)
}

#[test]
fn a_storm_has_one_message_from_its_first_alert_to_its_last() {
    let host = Host::new().now(BEGAN).storm(storm_of(240));
    assert_eq!(told(&host, &pod("web-0")).get("slack.how"), Some("posted"));
    let host = host.delivery("d-2").storm(storm_of(60).count(300));
    let facts = told(&host, &pod("web-1"));
    assert_eq!(
        (facts.get("slack.how"), facts.get("slack.thread")),
        (Some("updated"), None)
    );
    let host = host
        .delivery("d-3")
        .storm(storm_of(200).count(300).resolved(212));
    told(&host, &ended(pod("web-2")));
    assert_eq!(host.posts().len(), 1, "nobody is notified before the end");
    let host = host
        .delivery("d-4")
        .storm(storm_of(88).count(300).resolved(300));
    told(&host, &ended(pod("web-3")));
    assert_eq!(
        texts(&host),
        ["[FIRING] web-0", "All 300 have resolved after 5h."]
    );
    assert_eq!(host.updates().len(), 3);
    assert!(
        host.updates()
            .iter()
            .all(|update| update.at == host.posts()[0].at)
    );
}

#[test]
fn what_joins_a_storm_later_is_said_in_its_thread() {
    let host = Host::new().now(BEGAN).storm(storm_of(60));
    told(&host, &pod("web-0"));
    let soon = host.delivery("d-2").now(BEGAN.plus(MINUTE));
    let soon = soon.storm(storm_of(1).count(61));
    assert_eq!(told(&soon, &pod("web-60")).get("slack.thread"), None);
    let later = soon.delivery("d-3").now(BEGAN.plus(3 * MINUTE));
    let later = later.storm(storm_of(1).count(62));
    told(&later, &pod("web-61"));
    let many = later.delivery("d-4").now(BEGAN.plus(9 * MINUTE));
    let many = many.storm(storm_of(5).count(67));
    told(&many, &pod("web-62"));
    let expected = [
        "[FIRING] web-0",
        "1 more alert, web-61: 62 by now.",
        "5 more alerts: 67 by now.",
    ];
    assert_eq!(texts(&many), expected);
    assert!(
        many.posts()[1..]
            .iter()
            .all(|post| post.thread.as_ref() == Some(&many.posts()[0].at))
    );
}

#[test]
fn what_has_resolved_is_not_among_the_names_of_what_fires() {
    let host = Host::new().now(BEGAN).storm(storm_of(10));
    told(&host, &pod("web-0"));
    let host = host.delivery("d-2");
    let more: Vec<Alert> = (10..20).map(|n| pod(&format!("web-{n}"))).collect();
    let more = Storm::of(&more).count(20);
    let cx_names = |host: &Host| -> Vec<String> {
        let key = host
            .kept_keys()
            .into_iter()
            .find(|key| key.contains("storm/"));
        let kept: Kept = serde_json::from_str(&host.kept(&key.unwrap()).unwrap()).unwrap();
        let found = Enrichment::new().with_fact("storm.id", "x");
        let found = kept.storm.unwrap().merged_into(&found, &pod("x"));
        let storm = found.storm().unwrap();
        storm.names.iter().map(|name| (*name).to_owned()).collect()
    };
    let host = host.storm(more);
    told(&host, &pod("web-10"));
    assert_eq!(cx_names(&host).len(), 20);
    let host = host
        .delivery("d-3")
        .storm(storm_of(10).count(20).resolved(10));
    told(&host, &ended(pod("web-0")));
    let left = cx_names(&host);
    assert_eq!(left.len(), 10, "{left:?}");
    assert!(
        left.iter()
            .all(|name| !["web-0", "web-9"].contains(&name.as_str()))
    );
}

#[test]
fn what_a_storms_message_says_already_is_not_said_again() {
    let host = Host::new().now(BEGAN).storm(storm_of(300).resolved(212));
    told(&host, &pod("web-0"));
    let host = host.delivery("d-2").storm(storm_of(240).resolved(100));
    let facts = told(&host, &pod("web-1"));
    assert_eq!(facts.get("slack.how"), Some("outdated"));
    assert!(host.updates().is_empty());
}

#[test]
fn a_storm_whose_message_is_unknown_is_posted_whatever_the_delivery() {
    let host = Host::new().now(BEGAN).storm(storm_of(240).resolved(7));
    told(&host, &ended(pod("web-0")));
    let host = host.delivery("d-2").storm(storm_of(240).resolved(9));
    told(&host, &ended(pod("web-1")));
    assert_eq!((host.posts().len(), host.updates().len()), (1, 1));
}

/// An alert of the group `shop`.
fn grouped(name: &str, severity: &str) -> Alert {
    let mut alert = pod(name).with_label("severity", severity);
    alert.origin.group_key = Some("{}/{}:{alertname=\"Down\", namespace=\"shop\"}".to_owned());
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    alert.origin.group_labels = vec![label("alertname", "Down"), label("namespace", "shop")];
    alert
}

fn by_group() -> Host {
    Host::new().now(BEGAN).config("slack.thread_by", "group")
}

fn of_thread(host: &Host, parent: &Post) -> Vec<String> {
    let posts = host.posts().into_iter();
    let replies = posts.filter(|post| post.thread.as_ref() == Some(&parent.at));
    replies.map(|post| post.text).collect()
}

#[test]
fn the_shared_message_says_what_one_alert_says_and_how_long_all_fired() {
    let host = by_group();
    let mut alert = grouped("a", "warning").with_annotation("summary", "It does not answer.");
    alert.origin.external_url = Some("https://am.example.com".to_owned());
    told(&host, &alert);
    let parent = host.posts()[0].clone();
    assert!(
        parent.visible().contains("It does not answer."),
        "{}",
        parent.visible()
    );
    let shown = format!("{parent:?}");
    assert!(
        shown.contains("silences/new?filter=%7Balertname%3D%22Down%22%2C%20namespace"),
        "{shown}"
    );
    // Slack took the update an hour later.
    let host = host.delivery("d-2").now(BEGAN.plus(6 * HOUR));
    told(&host, &ended(alert));
    assert!(
        last_update(&host).visible().contains("after 5h"),
        "{}",
        last_update(&host).visible()
    );
    assert_eq!(
        of_thread(&host, &parent).last().unwrap(),
        "It has resolved after 5h."
    );
}

#[test]
fn alerts_of_a_group_share_a_message_that_counts_them() {
    let host = by_group();
    told(&host, &grouped("a", "warning"));
    assert!(
        host.updates().is_empty(),
        "one alert is what the message says already"
    );
    told(&host.clone().delivery("d-2"), &grouped("b", "warning"));
    told(&host.clone().delivery("d-3"), &grouped("c", "warning"));
    let parent = &host.posts()[0];
    assert_eq!(parent.text, "[FIRING] warning Down shop: 1 firing");
    assert_eq!(
        of_thread(&host, parent),
        ["[FIRING] a", "[FIRING] b", "[FIRING] c"]
    );
    assert_eq!(
        last_update(&host).text,
        "[FIRING] warning Down shop: 3 firing"
    );

    let host = host.delivery("d-4").now(BEGAN.plus(5 * HOUR));
    let facts = told(&host, &ended(grouped("b", "warning")));
    assert_eq!(facts.get("slack.how"), Some("updated"));
    let updates = host.updates();
    let [.., own, shared] = &updates[..] else {
        panic!("{updates:?}");
    };
    assert_eq!(
        (own.text.as_str(), &own.at),
        ("[RESOLVED] b", &host.posts()[2].at)
    );
    assert_eq!(
        shared.text,
        "[FIRING] warning Down shop: 2 firing, 1 resolved"
    );
    assert_eq!(shared.at, parent.at);
    assert_eq!(host.posts().len(), 4, "the thread is not filled with ends");

    told(
        &host.clone().delivery("d-5"),
        &ended(grouped("a", "warning")),
    );
    told(
        &host.clone().delivery("d-6"),
        &ended(grouped("c", "warning")),
    );
    assert_eq!(
        last_update(&host).text,
        "[RESOLVED] warning Down shop: all 3 have resolved"
    );
    assert_eq!(
        of_thread(&host, parent).last().unwrap(),
        "All 3 have resolved after 5h."
    );
    // What fires after the end is news.
    told(&host.clone().delivery("d-7"), &grouped("d", "warning"));
    let posts = host.posts();
    assert_eq!(posts[5].text, "[FIRING] warning Down shop: 1 firing");
    assert_eq!(posts[6].thread.as_ref(), Some(&posts[5].at));
}

#[test]
fn a_reminder_of_a_grouped_alert_counts_nothing() {
    let host = by_group();
    told(&host, &grouped("a", "warning"));
    let host = host.delivery("d-2").now(BEGAN.plus(4 * HOUR));
    told(&host, &grouped("a", "warning"));
    assert_eq!(host.posts().len(), 2);
    assert_eq!(host.updates()[0].at, host.posts()[1].at);
    assert_eq!(
        last_update(&host).text,
        "[FIRING] warning Down shop: 1 firing"
    );
    // The end is counted once, even if it is delivered twice.
    for delivery in ["d-3", "d-4"] {
        told(
            &host.clone().delivery(delivery),
            &ended(grouped("a", "warning")),
        );
    }
    assert_eq!(
        last_update(&host).text,
        "[RESOLVED] warning Down shop: it has resolved"
    );
}

#[test]
fn a_critical_alert_is_not_a_reply_that_nobody_is_notified_of() {
    let host = by_group();
    told(&host, &grouped("a", "warning"));
    told(&host.clone().delivery("d-2"), &grouped("b", "critical"));
    told(&host.clone().delivery("d-3"), &grouped("c", "info"));
    let posts = host.posts();
    assert_eq!(posts[2].text, "[FIRING] critical Down shop: 1 firing");
    assert_eq!(posts[2].thread, None);
    assert_eq!(of_thread(&host, &posts[0]), ["[FIRING] a"]);
    assert_eq!(of_thread(&host, &posts[2]), ["[FIRING] b", "[FIRING] c"]);
    assert_eq!(
        last_update(&host).text,
        "[FIRING] critical Down shop: 2 firing"
    );
}

#[test]
fn the_others_wait_while_one_posts_the_shared_message() {
    let away = Error::Unavailable("away".to_owned());
    let host = by_group().slack_error(away);
    assert!(
        !host
            .run::<Pods>(&grouped("a", "warning"))
            .failure()
            .is_permanent()
    );
    let other = host.clone().delivery("d-2");
    let run = other.run::<Pods>(&grouped("b", "warning"));
    let failure = run.failure();
    assert!(
        failure.message().contains("another alert of the group"),
        "{failure}"
    );
    assert_eq!(failure.retry_after(), Some(Duration::from_secs(1)));
    let first = host.clone().delivery("d-1").attempt(2);
    told(&first, &grouped("a", "warning"));
    told(&host.clone().delivery("d-2"), &grouped("b", "warning"));
    let posts = host.posts();
    assert_eq!(of_thread(&host, &posts[0]), ["[FIRING] a", "[FIRING] b"]);
    assert_eq!(
        last_update(&host).text,
        "[FIRING] warning Down shop: 2 firing"
    );
}

#[test]
fn a_claim_ends_if_its_alert_never_posts() {
    let away = Error::Unavailable("away".to_owned());
    let host = by_group().slack_error(away);
    assert!(host.run::<Pods>(&grouped("a", "warning")).result.is_err());
    let later = host.clone().delivery("d-2").now(BEGAN.plus(11 * MINUTE));
    told(&later, &grouped("b", "warning"));
    assert_eq!(host.posts()[0].text, "[FIRING] warning Down shop: 1 firing");
    // A refusal that no retry helps ends it at once.
    let refused = Error::Denied("no".to_owned());
    let host = by_group().slack_error(refused);
    assert!(
        host.run::<Pods>(&grouped("a", "warning"))
            .failure()
            .is_permanent()
    );
    told(&host.clone().delivery("d-2"), &grouped("b", "warning"));
    assert_eq!(host.posts().len(), 2);
}

#[test]
fn a_shared_message_that_comes_too_late_becomes_the_message_of_its_alert() {
    let away = Error::Unavailable("away".to_owned());
    let host = by_group().slack_error(away);
    assert!(host.run::<Pods>(&grouped("a", "warning")).result.is_err());
    let later = host.clone().delivery("d-2").now(BEGAN.plus(11 * MINUTE));
    told(&later, &grouped("b", "warning"));
    // Its delivery does not learn of the other message before it has posted its own.
    let down = || crate::kv::Error::Unavailable("down".to_owned());
    let first = host.clone().delivery("d-1").attempt(2);
    let first = first.kv_error(down()).kv_error(down());
    told(&first, &grouped("a", "warning"));
    let posts = host.posts();
    assert_eq!(of_thread(&host, &posts[0]), ["[FIRING] b"]);
    assert_eq!((posts.len(), posts[2].thread.as_ref()), (3, None));
    let update = last_update(&host);
    assert_eq!(
        (update.text.as_str(), &update.at),
        ("[FIRING] a", &posts[2].at)
    );
    told(
        &host.clone().delivery("d-3"),
        &ended(grouped("a", "warning")),
    );
    assert_eq!(
        last_update(&host).at,
        posts[2].at,
        "it is the alert's own from then on"
    );
}

#[test]
fn a_retry_uses_the_shared_message_that_another_alert_has_posted() {
    let away = Error::Unavailable("away".to_owned());
    let host = by_group().slack_error(away);
    assert!(host.run::<Pods>(&grouped("a", "warning")).result.is_err());
    let later = host.clone().delivery("d-2").now(BEGAN.plus(11 * MINUTE));
    told(&later, &grouped("b", "warning"));
    let first = host.clone().delivery("d-1").attempt(2);
    told(&first, &grouped("a", "warning"));
    let posts = host.posts();
    assert_eq!(of_thread(&host, &posts[0]), ["[FIRING] b", "[FIRING] a"]);
    assert_eq!(
        last_update(&host).text,
        "[FIRING] warning Down shop: 2 firing"
    );
}

#[test]
fn a_shared_message_that_is_gone_is_replaced() {
    let host = by_group();
    told(&host, &grouped("a", "warning"));
    // The thread is gone, so the alert is in the channel.
    let host = host.delivery("d-2").slack_error(Error::NotFound);
    told(&host, &grouped("b", "warning"));
    assert_eq!(host.posts()[2].thread, None);
    told(&host.clone().delivery("d-3"), &grouped("c", "warning"));
    let posts = host.posts();
    assert_eq!(posts[3].text, "[FIRING] warning Down shop: 1 firing");
    assert_eq!(posts[4].thread.as_ref(), Some(&posts[3].at));
}

#[test]
fn an_alert_is_counted_once_and_only_if_its_reply_is_posted() {
    let host = by_group();
    told(&host, &grouped("a", "warning"));
    let away = || Error::Unavailable("away".to_owned());
    let tries = host.clone().delivery("d-2").slack_error(away());
    assert!(tries.run::<Pods>(&grouped("b", "warning")).result.is_err());
    // It is posted, but the update of the shared message fails.
    let tries = tries.attempt(2).slack_error_after(1, away());
    assert!(tries.run::<Pods>(&grouped("b", "warning")).result.is_err());
    told(&tries.attempt(3), &grouped("b", "warning"));
    told(&host.clone().delivery("d-3"), &grouped("c", "warning"));
    assert_eq!(
        last_update(&host).text,
        "[FIRING] warning Down shop: 3 firing"
    );
    let refused = host.clone().delivery("d-4");
    let refused = refused.slack_error(Error::Denied("no".to_owned()));
    let run = refused.run::<Pods>(&grouped("d", "warning"));
    assert!(run.failure().is_permanent());
    for name in ["a", "b", "c"] {
        let host = host.clone().delivery(&format!("ended-{name}"));
        told(&host, &ended(grouped(name, "warning")));
    }
    assert_eq!(
        last_update(&host).text,
        "[RESOLVED] warning Down shop: all 3 have resolved"
    );
}

#[test]
fn a_shared_message_that_is_gone_does_not_take_the_next_one_with_it() {
    let host = by_group();
    told(&host, &grouped("a", "warning"));
    let gone = host.clone().delivery("d-2").slack_error(Error::NotFound);
    told(&gone, &grouped("b", "warning"));
    told(&host.clone().delivery("d-3"), &grouped("c", "warning"));
    // The reply is updated, the shared message of the first alert is gone.
    let ends = host.clone().delivery("d-4");
    let ends = ends.slack_error_after(1, Error::NotFound);
    told(&ends, &ended(grouped("a", "warning")));
    told(&host.clone().delivery("d-5"), &grouped("d", "warning"));
    let posts = host.posts();
    assert_eq!(of_thread(&host, &posts[3]), ["[FIRING] c", "[FIRING] d"]);
}

#[test]
fn a_storm_and_an_alert_without_a_group_are_in_no_group() {
    let host = by_group().storm(storm_of(40));
    told(&host, &grouped("a", "warning"));
    let host_alone = by_group();
    told(&host_alone, &pod("a"));
    for host in [host, host_alone] {
        assert_eq!(texts(&host), ["[FIRING] a"]);
        assert_eq!(host.posts()[0].thread, None);
    }
}
