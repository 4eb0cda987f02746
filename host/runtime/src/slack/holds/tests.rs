//! A hold is placed, probed and released.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::slack::settings::Rate;
use alert_manager_core::secret::SecretSource;

const REASON: (&str, &str) = ("not_in_channel", "/invite");

fn settings(alerts: &str) -> Settings {
    let channels = [("alerts", alerts), ("oncall", "#oncall")];
    Settings {
        token: Some(SecretSource::value(Secret::new("xoxb-one"))),
        preview: false,
        channels: channels.map(|(n, c)| (n.to_owned(), c.to_owned())).into(),
        rate: Rate {
            per_second: 0.0,
            burst: 1,
        },
        workspace_rate: Rate::WORKSPACE,
        api_url: "https://slack.example.com/api/".parse().unwrap(),
        proxy: None,
        via_proxy: false,
    }
}

fn post<'a>(settings: &'a Settings, channel: &'a str) -> CallTarget<'a> {
    CallTarget {
        settings,
        channel,
        at: None,
    }
}

fn update<'a>(settings: &'a Settings, at: &'a str) -> CallTarget<'a> {
    CallTarget {
        at: Some(at),
        ..post(settings, "alerts")
    }
}

/// Returns what is held once a call to the channel was refused.
fn held(settings: &Settings, now: Instant) -> Holds {
    let holds = Holds::default();
    holds.reconfigure(settings);
    let call = post(settings, "alerts");
    let permit = holds.ask(call, now).unwrap();
    let refusal = holds.refuse_channel(call, permit, REASON, now);
    assert!(matches!(refusal, Refused::Held(_)));
    holds
}

fn pause(holds: &Holds) -> Duration {
    holds.table.lock().held.values().next().unwrap().pause
}

#[test]
fn a_held_channel_lets_one_probe_through_and_the_others_go_on() {
    let (settings, start) = (settings("#alerts"), Instant::now());
    let holds = held(&settings, start);
    let (alerts, oncall) = (post(&settings, "alerts"), post(&settings, "oncall"));
    for _ in 0..50 {
        assert!(holds.ask(alerts, start).is_err(), "probes alone");
    }
    assert!(holds.ask(oncall, start).is_ok());
    let later = start + PAUSE_MIN;
    assert!(holds.ask(alerts, later).is_ok(), "one is the probe");
    assert!(holds.ask(alerts, later).is_err(), "and no other");
    let seen = holds.subscribe();
    assert!(holds.take_message(alerts, "C1"));
    assert!(seen.has_changed().unwrap());
    assert!(holds.ask(alerts, later).is_ok());
    assert_eq!(holds.current(), []);
}

#[test]
fn a_try_that_is_asked_for_is_made_at_once() {
    let (settings, now) = (settings("#alerts"), Instant::now());
    let holds = held(&settings, now);
    let call = post(&settings, "alerts");
    let mut at = now;
    for _ in 0..10 {
        at += PAUSE_MAX;
        let permit = holds.ask(call, at).unwrap();
        holds.refuse_channel(call, permit, REASON, at);
    }
    assert_eq!(pause(&holds), PAUSE_MAX);
    let seen = holds.subscribe();
    holds.try_now();
    assert!(seen.has_changed().unwrap(), "the prober is woken");
    let now = Instant::now();
    assert!(holds.ask(call, now).is_ok());
    assert!(holds.ask(call, now).is_err(), "one is the probe");
    assert_eq!(pause(&holds), PAUSE_MIN);
}

#[test]
fn probes_come_ever_later_but_never_after_more_than_half_a_minute() {
    let (settings, mut now) = (settings("#alerts"), Instant::now());
    let holds = held(&settings, now);
    let call = post(&settings, "alerts");
    for _ in 0..20 {
        assert!(holds.ask(call, now).is_err());
        now += PAUSE_MAX;
        let permit = holds.ask(call, now).unwrap();
        holds.refuse_channel(call, permit, REASON, now);
    }
    let almost = now + PAUSE_MAX - Duration::from_millis(1);
    assert!(holds.ask(call, almost).is_err());
    assert!(holds.ask(call, now + PAUSE_MAX).is_ok());
}

#[test]
fn refusals_of_calls_that_were_under_way_together_count_as_one() {
    let (settings, now) = (settings("#alerts"), Instant::now());
    let (holds, call) = (Holds::default(), post(&settings, "alerts"));
    let permits = [(); 8].map(|()| holds.ask(call, now).unwrap());
    for permit in permits {
        holds.refuse_channel(call, permit, REASON, now);
    }
    assert_eq!(pause(&holds), PAUSE_MIN);
    let permit = holds.ask(call, now + PAUSE_MIN).unwrap();
    holds.refuse_channel(call, permit, REASON, now + PAUSE_MIN);
    assert_eq!(pause(&holds), PAUSE_MIN * 2, "a probe's");
}

#[test]
fn what_was_refused_before_a_release_places_no_hold() {
    let (settings, now) = (settings("#alerts"), Instant::now());
    let call = post(&settings, "alerts");
    let holds = Holds::default();
    let late = holds.ask(call, now).unwrap();
    let first = holds.ask(call, now).unwrap();
    holds.refuse_channel(call, first, REASON, now);
    holds.ask(call, now + PAUSE_MIN).unwrap();
    holds.take_message(call, "C1");
    let refusal = holds.refuse_channel(call, late, REASON, now + PAUSE_MIN);
    assert_eq!(refusal, Refused::Outdated);
    assert_eq!(holds.current(), []);
    let next = holds.ask(call, now + PAUSE_MIN).unwrap();
    let refusal = holds.refuse_channel(call, next, REASON, now + PAUSE_MIN);
    assert!(matches!(refusal, Refused::Held(_)), "news");
}

#[test]
fn what_began_under_other_settings_neither_places_nor_releases_a_hold() {
    let (old, mut new, now) = (settings("C1"), settings("C2"), Instant::now());
    new.token = Some(SecretSource::value(Secret::new("xoxb-two")));
    let holds = held(&old, now);
    let call = post(&old, "alerts");
    let permit = holds.ask(call, now + PAUSE_MIN).unwrap();
    holds.reconfigure(&new);
    assert_eq!(holds.current(), [], "it means another channel");
    for refusal in [
        holds.refuse_channel(call, permit, REASON, now),
        holds.refuse_token(call, permit, REASON, None, now),
    ] {
        assert_eq!(refusal, Refused::Elsewhere);
    }
    assert_eq!(holds.current(), []);
    let there = post(&new, "alerts");
    let permit = holds.ask(there, now).unwrap();
    holds.refuse_channel(there, permit, REASON, now);
    holds.refuse_token(there, permit, REASON, None, now);
    assert!(holds.ask(call, now).is_ok(), "it goes elsewhere");
    assert!(!holds.take_message(call, "C1"));
    holds.take_token(call);
    assert_eq!(holds.current().len(), 2);
}

#[test]
fn a_message_that_is_not_known_to_be_where_the_name_points_says_nothing_of_it() {
    for target in ["C2", "#alerts"] {
        let (settings, now) = (settings(target), Instant::now());
        let holds = held(&settings, now);
        let old = update(&settings, "C1");
        let permit = holds.ask(old, now).expect("it is not held");
        assert!(!holds.take_message(old, "C1"));
        let refusal = holds.refuse_channel(old, permit, REASON, now);
        assert_eq!(refusal, Refused::Elsewhere);
        assert_eq!(holds.current().len(), 1);
        let probe = holds.ask(post(&settings, "alerts"), now + PAUSE_MIN);
        assert!(probe.is_ok(), "it was not the probe");
    }
}

#[test]
fn a_message_that_is_where_the_name_points_is_held_and_releases() {
    let now = Instant::now();
    let by_id = settings("C2");
    let holds = held(&by_id, now);
    assert!(holds.ask(update(&by_id, "C2"), now).is_err());
    let by_name = settings("#alerts");
    let holds = Holds::default();
    holds.reconfigure(&by_name);
    assert!(holds.take_message(post(&by_name, "alerts"), "C2"));
    let there = update(&by_name, "C2");
    let permit = holds.ask(there, now).unwrap();
    let refusal = holds.refuse_channel(there, permit, REASON, now);
    assert!(matches!(refusal, Refused::Held(_)));
    assert!(holds.take_message(there, "C2"));
    assert_eq!(holds.current(), []);
}

#[test]
fn a_refused_token_holds_every_channel_and_another_reason_is_news() {
    let (settings, now) = (settings("#alerts"), Instant::now());
    let (holds, call) = (Holds::default(), post(&settings, "alerts"));
    let permit = holds.ask(call, now).unwrap();
    let refuse = |code| holds.refuse_token(call, permit, (code, "a valid token"), None, now);
    refuse("invalid_auth");
    let since = holds.current()[0].since;
    let mut seen = holds.subscribe();
    seen.mark_unchanged();
    for channel in ["alerts", "oncall"] {
        let hold = holds.ask(post(&settings, channel), now);
        let hold = hold.expect_err("all of Slack is held");
        assert_eq!((hold.channel, hold.code.as_str()), (None, "invalid_auth"));
    }
    refuse("invalid_auth");
    assert!(!seen.has_changed().unwrap());
    refuse("token_revoked");
    assert!(seen.has_changed().unwrap());
    assert_eq!(holds.current()[0].since, since);
}
