//! Heartbeats: alerts such as Prometheus' `Watchdog` that are expected regularly.

mod watch;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::alert::{Alert, Fingerprint, Labels, Origin, Status, Timestamp};
use crate::router::Matcher;

pub(crate) use watch::HeartbeatWatch;

/// The name of the alert that is raised if a heartbeat is missing.
pub(crate) const MISSING: &str = "AlertManagerHeartbeatMissing";

/// A heartbeat that is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The matchers, which must all match.
    pub matchers: Vec<Matcher>,
    /// The longest time between two heartbeats.
    pub every: Duration,
}

/// How a heartbeat stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BeatStatus {
    pub(crate) name: String,
    /// The longest time between two.
    pub(crate) every: Duration,
    /// When the last one was received; absent if none was since the start.
    pub(crate) arrived_at: Option<Timestamp>,
    pub(crate) missing_since: Option<Timestamp>,
}

/// The expected heartbeats, and when each arrived last.
#[derive(Debug, Default)]
pub(crate) struct Heartbeats {
    beats: Mutex<BTreeMap<String, Beat>>,
    /// The resolved alerts that are not stored yet.
    ended: Mutex<Vec<Alert>>,
    /// Notified if heartbeats are configured or an alert has ended.
    changes: Notify,
}

#[derive(Debug)]
struct Beat {
    expected: Expected,
    last: Instant,
    /// When the last one was received; absent if none was since the start.
    arrived_at: Option<Timestamp>,
    /// The `startsAt` of the alert about its absence.
    missing_since: Option<Timestamp>,
}

impl Heartbeats {
    /// Sets which heartbeats are expected. Those that were expected before keep the time of their last arrival. After a start,
    /// each is given its whole interval.
    pub(crate) fn expect(&self, expected: &BTreeMap<String, Expected>, now: Instant) {
        let mut beats = self.beats.lock();
        beats.retain(|name, _| expected.contains_key(name));
        for (name, expected) in expected {
            beats
                .entry(name.clone())
                .and_modify(|beat| beat.expected = expected.clone())
                .or_insert_with(|| Beat {
                    expected: expected.clone(),
                    last: now,
                    arrived_at: None,
                    missing_since: None,
                });
        }
        drop(beats);
        self.changes.notify_one();
    }

    /// Forgets what has arrived and what is missing: each heartbeat is given its whole interval again.
    fn restart(&self, now: Instant) {
        for beat in self.beats.lock().values_mut() {
            beat.last = now;
            beat.missing_since = None;
        }
        self.ended.lock().clear();
    }

    /// Returns once heartbeats were configured or an alert has ended since the last call.
    async fn changed(&self) {
        self.changes.notified().await;
    }

    /// Returns the heartbeats, and whether each is missing.
    #[must_use]
    pub(crate) fn missing(&self) -> Vec<(String, bool)> {
        let beats = self.beats.lock();
        let missing = beats
            .iter()
            .map(|(name, beat)| (name.clone(), beat.missing_since.is_some()));
        missing.collect()
    }

    /// Returns how each heartbeat stands.
    #[must_use]
    pub(crate) fn status(&self) -> Vec<BeatStatus> {
        let beats = self.beats.lock();
        let status = beats.iter().map(|(name, beat)| BeatStatus {
            name: name.clone(),
            every: beat.expected.every,
            arrived_at: beat.arrived_at,
            missing_since: beat.missing_since,
        });
        status.collect()
    }

    /// Restores that a heartbeat was already missing before this start.
    pub(crate) fn take_up(&self, name: &str, since: Timestamp) {
        if let Some(beat) = self.beats.lock().get_mut(name) {
            beat.missing_since.get_or_insert(since);
        }
    }

    /// Notes an alert that arrived, before it is known whether it is a duplicate: it may end an alert about a heartbeat.
    pub(crate) fn note(&self, alert: &Alert, now: Instant) {
        if alert.status == Status::Resolved {
            return;
        }
        for (name, beat) in self.beats.lock().iter_mut() {
            if !beat
                .expected
                .matchers
                .iter()
                .all(|m| m.matches(&alert.labels))
            {
                continue;
            }
            beat.last = now;
            beat.arrived_at = Some(alert.received_at);
            if let Some(since) = beat.missing_since.take() {
                let ended = missing(name, beat, since, Some(alert.received_at));
                self.ended.lock().push(ended);
                self.changes.notify_one();
            }
        }
    }

    /// Returns the alerts that have resolved since the last call.
    fn take_ended(&self) -> Vec<Alert> {
        std::mem::take(&mut self.ended.lock())
    }

    /// Returns an alert for each heartbeat that is overdue and not reported yet, and when to check again.
    pub(crate) fn overdue(&self, now: Instant, wall: Timestamp) -> (Vec<Alert>, Option<Instant>) {
        let mut raised = Vec::new();
        let mut next = None;
        for (name, beat) in self.beats.lock().iter_mut() {
            if beat.missing_since.is_some() {
                continue;
            }
            let due = beat.last + beat.expected.every;
            if due <= now {
                beat.missing_since = Some(wall);
                raised.push(missing(name, beat, wall, None));
            } else {
                next = Some(next.map_or(due, |at: Instant| at.min(due)));
            }
        }
        (raised, next)
    }
}

/// Returns the labels of the alert that is raised while the heartbeat `name` is missing.
pub(crate) fn labels_of_alarm(name: &str) -> Labels {
    Labels::from_iter([
        ("alertname", MISSING),
        ("heartbeat", name),
        ("severity", "critical"),
    ])
}

fn missing(name: &str, beat: &Beat, since: Timestamp, ended: Option<Timestamp>) -> Alert {
    let labels = labels_of_alarm(name);
    let every = crate::units::format_duration(beat.expected.every);
    let matchers: Vec<_> = beat
        .expected
        .matchers
        .iter()
        .map(ToString::to_string)
        .collect();
    let annotations = Labels::from_iter([
        (
            "summary",
            format!("The heartbeat {name} has not arrived for {every}."),
        ),
        (
            "description",
            format!(
                "No alert with {} has arrived for {every}. Prometheus, Alertmanager or the connection between them and this server is broken, and other alerts may not arrive either.",
                matchers.join(", ")
            ),
        ),
    ]);
    Alert {
        fingerprint: Fingerprint::of(&labels),
        status: if ended.is_some() {
            Status::Resolved
        } else {
            Status::Firing
        },
        labels,
        annotations,
        starts_at: since,
        ends_at: ended,
        generator_url: None,
        received_at: ended.unwrap_or(since),
        origin: Origin {
            sender: "json".into(),
            ..Origin::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watchdog(status: Status) -> Alert {
        let labels = Labels::from_iter([("alertname", "Watchdog")]);
        Alert {
            fingerprint: Fingerprint::of(&labels),
            status,
            labels,
            annotations: Labels::default(),
            starts_at: Timestamp::UNIX_EPOCH,
            ends_at: None,
            generator_url: None,
            received_at: Timestamp::UNIX_EPOCH,
            origin: Origin::default(),
        }
    }

    fn expected() -> BTreeMap<String, Expected> {
        BTreeMap::from([(
            "prometheus".to_owned(),
            Expected {
                matchers: Matcher::parse(r#"alertname="Watchdog""#).expect("a matcher"),
                every: Duration::from_secs(60),
            },
        )])
    }

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn silence_raises_one_alert_and_the_next_beat_ends_it() {
        let beats = Heartbeats::default();
        let start = Instant::now();
        let wall = Timestamp::UNIX_EPOCH;
        beats.expect(&expected(), start);
        assert_eq!(
            beats.overdue(at(start, 59), wall),
            (vec![], Some(at(start, 60))),
            "a start has its grace"
        );
        beats.note(&watchdog(Status::Firing), at(start, 30));
        assert!(beats.take_ended().is_empty());
        assert!(beats.overdue(at(start, 60), wall).0.is_empty());
        let (raised, next) = beats.overdue(at(start, 90), wall);
        assert_eq!((raised.len(), next), (1, None));
        assert_eq!(raised[0].name(), MISSING);
        assert!(
            beats.overdue(at(start, 500), wall).0.is_empty(),
            "reported once"
        );
        beats.note(&watchdog(Status::Firing), at(start, 501));
        let ended = beats.take_ended();
        assert_eq!(ended.len(), 1);
        assert_eq!(ended[0].status, Status::Resolved);
        assert_eq!(ended[0].fingerprint, raised[0].fingerprint);
        assert_eq!(ended[0].starts_at, raised[0].starts_at);
    }

    #[test]
    fn after_a_restart_each_is_given_its_whole_interval() {
        let beats = Heartbeats::default();
        let (start, wall) = (Instant::now(), Timestamp::UNIX_EPOCH);
        beats.expect(&expected(), start);
        assert_eq!(beats.overdue(at(start, 90), wall).0.len(), 1);
        beats.restart(at(start, 100));
        assert_eq!(beats.missing(), [("prometheus".to_owned(), false)]);
        assert!(beats.overdue(at(start, 159), wall).0.is_empty());
        assert_eq!(beats.overdue(at(start, 160), wall).0.len(), 1);
    }

    #[test]
    fn a_resolved_watchdog_is_no_beat() {
        let beats = Heartbeats::default();
        let start = Instant::now();
        beats.expect(&expected(), start);
        beats.note(&watchdog(Status::Resolved), at(start, 59));
        assert_eq!(
            beats.overdue(at(start, 60), Timestamp::UNIX_EPOCH).0.len(),
            1
        );
    }

    #[test]
    fn a_reload_keeps_when_a_beat_last_came() {
        let beats = Heartbeats::default();
        let start = Instant::now();
        beats.expect(&expected(), start);
        beats.expect(&expected(), at(start, 50));
        assert_eq!(
            beats.overdue(at(start, 60), Timestamp::UNIX_EPOCH).0.len(),
            1
        );
    }
}
