//! A circuit opens, is probed and closes.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::slack::check::Bot;
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
        message_channel_id: None,
    }
}

fn update<'a>(settings: &'a Settings, at: &'a str) -> CallTarget<'a> {
    CallTarget {
        message_channel_id: Some(at),
        ..post(settings, "alerts")
    }
}

/// Returns a breaker whose circuit for `alerts` is open.
fn breaker_with_hold(settings: &Settings, now: Instant) -> SlackBreaker {
    let breaker = SlackBreaker::default();
    breaker.reconfigure(settings);
    let call = post(settings, "alerts");
    let permit = breaker.admit(call, now).unwrap();
    let verdict = breaker.channel_rejected(call, permit, REASON, now);
    assert!(matches!(verdict, Verdict::Held(_)));
    breaker
}

#[test]
fn a_check_releases_what_no_message_is_about_to_try() {
    let settings = settings("#alerts");
    let report = |state: ChannelState| SlackReport {
        bot: Ok(Bot::default()),
        channels: [("alerts".to_owned(), state)].into(),
    };
    let (fine, no) = (report(ChannelState::Fine), report(ChannelState::NotMember));
    let elsewhere = Settings {
        channels: [("alerts".to_owned(), "#other".to_owned())].into(),
        ..settings.clone()
    };
    for (checked, report, is_awaited, is_released) in [
        (&settings, &fine, false, true),
        (&settings, &fine, true, false),
        (&settings, &no, false, false),
        (&elsewhere, &fine, false, false),
    ] {
        let breaker = breaker_with_hold(&settings, Instant::now());
        let before = Timestamp::UNIX_EPOCH;
        breaker.release_checked(checked, report, before, |_| is_awaited);
        assert_eq!(breaker.holds().len(), 1, "it was refused after the check");
        breaker.release_checked(checked, report, Timestamp::MAX, |_| is_awaited);
        assert_eq!(breaker.holds().is_empty(), is_released);
    }
    // The check does not see who may post.
    let (breaker, now) = (SlackBreaker::default(), Instant::now());
    let call = post(&settings, "alerts");
    let permit = breaker.admit(call, now).unwrap();
    breaker.channel_rejected(call, permit, ("restricted_action", "ask an owner"), now);
    breaker.release_checked(&settings, &fine, Timestamp::MAX, |_| false);
    assert_eq!(breaker.holds().len(), 1);
}

fn pause(breaker: &SlackBreaker) -> Duration {
    breaker.circuits.lock().open.values().next().unwrap().pause
}

#[test]
fn a_held_channel_admits_one_probe_and_other_channels_go_on() {
    let (settings, start) = (settings("#alerts"), Instant::now());
    let breaker = breaker_with_hold(&settings, start);
    let (alerts, oncall) = (post(&settings, "alerts"), post(&settings, "oncall"));
    for _ in 0..50 {
        assert!(
            breaker.admit(alerts, start).is_err(),
            "blocked until the first probe is due"
        );
    }
    assert!(breaker.admit(oncall, start).is_ok());
    let later = start + PAUSE_MIN;
    for _ in 0..2 {
        assert_eq!(breaker.hold_of(alerts, later), None, "it does not begin");
    }
    assert!(breaker.admit(alerts, later).is_ok(), "the probe");
    assert!(breaker.admit(alerts, later).is_err(), "only one probe");
    assert_eq!(breaker.hold_of(alerts, later), breaker.holds().pop());
    let seen = breaker.subscribe();
    assert!(breaker.message_accepted(alerts, "C1"));
    assert!(seen.has_changed().unwrap());
    assert!(breaker.admit(alerts, later).is_ok());
    assert_eq!(breaker.holds(), []);
}

#[test]
fn a_requested_probe_is_sent_at_once() {
    let (settings, now) = (settings("#alerts"), Instant::now());
    let breaker = breaker_with_hold(&settings, now);
    let call = post(&settings, "alerts");
    let mut at = now;
    for _ in 0..10 {
        at += PAUSE_MAX;
        let permit = breaker.admit(call, at).unwrap();
        breaker.channel_rejected(call, permit, REASON, at);
    }
    assert_eq!(pause(&breaker), PAUSE_MAX);
    let seen = breaker.subscribe();
    breaker.probe_now();
    assert!(seen.has_changed().unwrap(), "the prober is woken");
    let now = Instant::now();
    assert!(breaker.admit(call, now).is_ok());
    assert!(breaker.admit(call, now).is_err(), "only one probe");
    assert_eq!(pause(&breaker), PAUSE_MIN);
}

#[test]
fn the_pause_between_probes_doubles_up_to_half_a_minute() {
    let (settings, mut now) = (settings("#alerts"), Instant::now());
    let breaker = breaker_with_hold(&settings, now);
    let call = post(&settings, "alerts");
    for _ in 0..20 {
        assert!(breaker.admit(call, now).is_err());
        now += PAUSE_MAX;
        let permit = breaker.admit(call, now).unwrap();
        breaker.channel_rejected(call, permit, REASON, now);
    }
    let almost = now + PAUSE_MAX - Duration::from_millis(1);
    assert!(breaker.admit(call, almost).is_err());
    assert!(breaker.admit(call, now + PAUSE_MAX).is_ok());
}

#[test]
fn rejections_of_concurrent_calls_count_as_one() {
    let (settings, now) = (settings("#alerts"), Instant::now());
    let (breaker, call) = (SlackBreaker::default(), post(&settings, "alerts"));
    let permits = [(); 8].map(|()| breaker.admit(call, now).unwrap());
    for permit in permits {
        breaker.channel_rejected(call, permit, REASON, now);
    }
    assert_eq!(pause(&breaker), PAUSE_MIN);
    let permit = breaker.admit(call, now + PAUSE_MIN).unwrap();
    breaker.channel_rejected(call, permit, REASON, now + PAUSE_MIN);
    assert_eq!(
        pause(&breaker),
        PAUSE_MIN * 2,
        "a rejected probe doubles the pause"
    );
}

#[test]
fn a_rejection_of_a_call_from_before_the_circuit_closed_does_not_open_it_again() {
    let (settings, now) = (settings("#alerts"), Instant::now());
    let call = post(&settings, "alerts");
    let breaker = SlackBreaker::default();
    let late = breaker.admit(call, now).unwrap();
    let first = breaker.admit(call, now).unwrap();
    breaker.channel_rejected(call, first, REASON, now);
    breaker.admit(call, now + PAUSE_MIN).unwrap();
    breaker.message_accepted(call, "C1");
    let verdict = breaker.channel_rejected(call, late, REASON, now + PAUSE_MIN);
    assert_eq!(verdict, Verdict::Outdated);
    assert_eq!(breaker.holds(), []);
    let next = breaker.admit(call, now + PAUSE_MIN).unwrap();
    let verdict = breaker.channel_rejected(call, next, REASON, now + PAUSE_MIN);
    assert!(matches!(verdict, Verdict::Held(_)), "a new rejection");
}

#[test]
fn a_call_under_other_settings_neither_opens_nor_closes_a_circuit() {
    let (old, mut new, now) = (settings("C1"), settings("C2"), Instant::now());
    new.token = Some(SecretSource::value(Secret::new("xoxb-two")));
    let breaker = breaker_with_hold(&old, now);
    let call = post(&old, "alerts");
    let permit = breaker.admit(call, now + PAUSE_MIN).unwrap();
    breaker.reconfigure(&new);
    assert_eq!(breaker.holds(), [], "the name refers to another channel");
    for verdict in [
        breaker.channel_rejected(call, permit, REASON, now),
        breaker.token_rejected(call, permit, REASON, None, now),
    ] {
        assert_eq!(verdict, Verdict::OtherTarget);
    }
    assert_eq!(breaker.holds(), []);
    let there = post(&new, "alerts");
    let permit = breaker.admit(there, now).unwrap();
    breaker.channel_rejected(there, permit, REASON, now);
    breaker.token_rejected(there, permit, REASON, None, now);
    assert!(
        breaker.admit(call, now).is_ok(),
        "it goes to the old channel"
    );
    assert!(!breaker.message_accepted(call, "C1"));
    breaker.token_accepted(call);
    assert_eq!(breaker.holds().len(), 2);
}

#[test]
fn a_message_that_may_be_in_another_channel_neither_opens_nor_closes_a_circuit() {
    for target in ["C2", "#alerts"] {
        let (settings, now) = (settings(target), Instant::now());
        let breaker = breaker_with_hold(&settings, now);
        let old = update(&settings, "C1");
        let permit = breaker.admit(old, now).expect("its channel is not held");
        assert!(!breaker.message_accepted(old, "C1"));
        let verdict = breaker.channel_rejected(old, permit, REASON, now);
        assert_eq!(verdict, Verdict::OtherTarget);
        assert_eq!(breaker.holds().len(), 1);
        let probe = breaker.admit(post(&settings, "alerts"), now + PAUSE_MIN);
        assert!(probe.is_ok(), "the message was not the probe");
    }
}

#[test]
fn a_message_in_the_current_channel_is_blocked_and_closes_the_circuit() {
    let now = Instant::now();
    let by_id = settings("C2");
    let breaker = breaker_with_hold(&by_id, now);
    assert!(breaker.admit(update(&by_id, "C2"), now).is_err());
    let by_name = settings("#alerts");
    let breaker = SlackBreaker::default();
    breaker.reconfigure(&by_name);
    assert!(breaker.message_accepted(post(&by_name, "alerts"), "C2"));
    let there = update(&by_name, "C2");
    let permit = breaker.admit(there, now).unwrap();
    let verdict = breaker.channel_rejected(there, permit, REASON, now);
    assert!(matches!(verdict, Verdict::Held(_)));
    assert!(breaker.message_accepted(there, "C2"));
    assert_eq!(breaker.holds(), []);
}

#[test]
fn a_rejected_token_blocks_every_channel_and_another_reason_is_a_change() {
    let (settings, now) = (settings("#alerts"), Instant::now());
    let (breaker, call) = (SlackBreaker::default(), post(&settings, "alerts"));
    let permit = breaker.admit(call, now).unwrap();
    let refuse = |code| breaker.token_rejected(call, permit, (code, "a valid token"), None, now);
    refuse("invalid_auth");
    let since = breaker.holds()[0].since;
    let mut seen = breaker.subscribe();
    seen.mark_unchanged();
    for channel in ["alerts", "oncall"] {
        let hold = breaker.admit(post(&settings, channel), now);
        let hold = hold.expect_err("all of Slack is held");
        assert_eq!((hold.channel, hold.code.as_str()), (None, "invalid_auth"));
    }
    refuse("invalid_auth");
    assert!(!seen.has_changed().unwrap());
    refuse("token_revoked");
    assert!(seen.has_changed().unwrap());
    assert_eq!(breaker.holds()[0].since, since);
}
