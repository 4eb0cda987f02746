//! Creates the notices about dead letters. The queue stores a notice in the transaction that makes its delivery dead.

use std::sync::Arc;

use super::Ways;
use crate::alert::{Alert, Fingerprint, HandlerName, Labels, Origin, Priority, Status, Timestamp};
use crate::queue::{DeadLetter, DeadLetterNotices, DeadLetters, Delivery, Reason, SUBJECT, Way};
use crate::runtime::SlackBreaker;

/// The name of the alert about a delivery that was dead-lettered.
const ALERTNAME: &str = "AlertManagerDeadLetter";

/// Part of the fingerprints of the server's own alerts, in addition to their labels.
const OWN: (&str, &str) = ("alert_manager.own", "true");

/// The errors of failed ways are appended to the description; each is cut to so many bytes.
const REASON_BYTES_MAX: usize = 300;

/// Creates the notices, and knows the ways to deliver them.
#[derive(Debug)]
pub(crate) struct Notices {
    ways: Ways,
    slack_breaker: Arc<SlackBreaker>,
}

impl Notices {
    pub(crate) fn new(ways: Ways, slack_breaker: Arc<SlackBreaker>) -> Self {
        Self {
            ways,
            slack_breaker,
        }
    }
}

impl DeadLetterNotices for Notices {
    fn notice(&self, about: &DeadLetter<'_>, now: Timestamp) -> Alert {
        let (labels, annotations, starts_at) = match about {
            DeadLetter::One { delivery, with } => about_one(delivery, *with),
            DeadLetter::Many(letters) => about_many(letters, now),
        };
        own_alert(labels, annotations, starts_at, now)
    }

    fn ways(&self) -> Vec<Way> {
        self.ways.under(&self.slack_breaker.holds())
    }

    fn suffices(&self, route: &str, handlers: &[HandlerName]) -> bool {
        self.ways.are_all_named(route, handlers)
    }

    fn forwarded(&self, mut alert: Alert, failed: &Delivery) -> Alert {
        let handlers: Vec<_> = failed.handlers.iter().map(|name| name.as_str()).collect();
        let why = failed.last_error.as_deref().unwrap_or("it did nothing");
        let why = why.lines().next().unwrap_or_default();
        let why = &why[..why.floor_char_boundary(REASON_BYTES_MAX)];
        let description = alert.annotations.get("description").unwrap_or_default();
        let description = format!(
            "{description} {} ({}) could not report this: {why}",
            handlers.join(", "),
            failed.route
        );
        alert.annotations = alert
            .annotations
            .merged(&Labels::from_iter([("description", description)]));
        alert
    }

    fn resolved(&self, mut alert: Alert, now: Timestamp) -> Alert {
        if alert.name() == ALERTNAME {
            let name = alert.labels.get("dead_alertname").unwrap_or_default();
            alert.annotations = Labels::from_iter([
                (
                    "summary",
                    format!(
                        "The delivery of {name} is no longer dead: it was retried and is done, or was cancelled."
                    ),
                ),
                ("description", String::from("No action is needed.")),
            ]);
        }
        alert.status = Status::Resolved;
        alert.ends_at = Some(now);
        alert.received_at = now;
        alert
    }
}

/// Returns an alert of the server itself. An alert of a sender with the same labels is a different one.
pub(super) fn own_alert(
    labels: Labels,
    annotations: Labels,
    starts_at: Timestamp,
    now: Timestamp,
) -> Alert {
    let marked = labels.merged(&Labels::from_iter([OWN]));
    Alert {
        fingerprint: Fingerprint::of(&marked),
        status: Status::Firing,
        labels,
        annotations,
        starts_at,
        ends_at: None,
        generator_url: None,
        received_at: now,
        origin: Origin {
            sender: "json".into(),
            ..Origin::default()
        },
    }
}

fn about_one(delivery: &Delivery, with: u64) -> (Labels, Labels, Timestamp) {
    let id = delivery.id.to_string();
    let died_at = delivery.first_died_at.or(delivery.settled_at);
    let died_at = died_at.unwrap_or(delivery.received_at);
    let why = delivery
        .last_error
        .as_deref()
        .unwrap_or("no reason is known");
    let name = match delivery.alertname.as_str() {
        "" => "without a name",
        name => name,
    };
    let labels = Labels::from_iter([
        ("alertname", ALERTNAME),
        ("dead_alertname", &delivery.alertname),
        (SUBJECT, &id),
        ("route", &delivery.route),
        ("severity", severity_of(delivery.priority)),
    ])
    .without_empty_values();
    let (others, subject, object) = match with {
        0 => (String::new(), "It is", "it"),
        1 => (
            ", and another one in whose place it ran,".to_owned(),
            "They are",
            "both",
        ),
        _ => (
            format!(", and {with} others in whose place it ran,"),
            "They are",
            "all of them",
        ),
    };
    let was = if with == 0 { "was" } else { "were" };
    let annotations = Labels::from_iter([
        (
            "summary",
            format!("The alert {name}{others} {was} dead-lettered: {why}"),
        ),
        (
            "description",
            format!(
                "{subject} not retried automatically. `alert-manager explain {id}` shows its story; `alert-manager retry {id}` retries {object}."
            ),
        ),
    ]);
    (labels, annotations, died_at)
}

/// Returns the label `severity` of a notice, which has the priority of what is dead.
fn severity_of(priority: Priority) -> &'static str {
    match priority {
        Priority::Critical => "critical",
        Priority::Warning => "warning",
        Priority::Normal => "info",
    }
}

fn about_many(letters: &DeadLetters<'_>, now: Timestamp) -> (Labels, Labels, Timestamp) {
    let handlers: Vec<_> = letters.handlers.iter().map(|h| h.as_str()).collect();
    let handlers = handlers.join(",");
    let (count, since) = (letters.count, letters.since);
    let why = match letters.reason {
        Reason::Backlog => "half of the queue already waited for their handlers",
        Reason::Died => "the server died under each of them three times",
        Reason::Refused => "they are parts of bodies that are not valid alerts",
        Reason::Cancelled => "they were cancelled",
        Reason::Expired => match letters.waited_for {
            Some(gate) => {
                &format!("they were not done within retry.max_age; they waited for {gate}")
            }
            None => "they were not done within retry.max_age",
        },
        _ => "they failed",
    };
    let reason = letters.reason.as_str();
    let next = match letters.handlers.first() {
        Some(first) => format!(
            "`alert-manager deliveries --reason {reason} --handler {first}` lists them; `alert-manager retry --reason {reason} --handler {first}` retries them."
        ),
        None => format!("`alert-manager deliveries --reason {reason}` lists them."),
    };
    let of = match letters.alertnames {
        [] => String::new(),
        [one] => format!(" of {one}"),
        many => format!(" (among them {})", many.join(", ")),
    };
    let severity = severity_of(letters.priority);
    let labels = Labels::from_iter([
        ("alertname", ALERTNAME),
        ("handlers", &handlers),
        ("reason", letters.reason.as_str()),
        ("waited_for", letters.waited_for.unwrap_or_default()),
        ("severity", severity),
    ])
    .without_empty_values();
    let annotations = Labels::from_iter([
        (
            "summary",
            format!("{count} deliveries{of} were dead-lettered since {since}: {why}"),
        ),
        (
            "description",
            format!(
                "They are not retried automatically. {next} This notice is about several deliveries and does not resolve by itself."
            ),
        ),
    ]);
    (labels, annotations, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::DeliveryId;
    use crate::queue::State;

    fn dead() -> Delivery {
        Delivery {
            timer: None,
            id: DeliveryId::from_raw(7),
            fingerprint: String::new(),
            alertname: "Down".into(),
            status: "firing".into(),
            priority: Priority::Normal,
            state: State::Dead,
            route: "a".into(),
            handlers: Vec::new(),
            attempts: 1,
            received_at: Timestamp::UNIX_EPOCH,
            settled_at: None,
            first_died_at: None,
            reason: Some(Reason::Failed),
            last_error: Some("why".into()),
            coalesced_into: None,
            storm: None,
        }
    }

    #[test]
    fn a_notice_says_how_many_are_dead_with_its_delivery() {
        let mut fingerprints = Vec::new();
        for (with, summary, retries) in [
            (0, "The alert Down was dead-lettered: why", "retries it."),
            (
                1,
                "The alert Down, and another one in whose place it ran, were dead-lettered: why",
                "retries both.",
            ),
            (
                239,
                "The alert Down, and 239 others in whose place it ran, were dead-lettered: why",
                "retries all of them.",
            ),
        ] {
            let (labels, annotations, _) = about_one(&dead(), with);
            assert_eq!(annotations.get("summary"), Some(summary));
            let description = annotations.get("description").unwrap_or_default();
            assert!(description.ends_with(retries), "{description}");
            fingerprints.push(Fingerprint::of(&labels));
        }
        fingerprints.dedup();
        assert_eq!(fingerprints.len(), 1, "it is the same notice");
    }

    #[test]
    fn a_notice_about_many_names_them_ranks_as_they_do_and_selects_them_by_their_reason() {
        let handlers = [HandlerName::new("slack-notify")];
        let names = ["DiskFull", "NetSlow"].map(String::from);
        for (alertnames, priority, severity, of) in [
            (&names[..0], Priority::Normal, "info", "36 deliveries were"),
            (
                &names[1..],
                Priority::Warning,
                "warning",
                "36 deliveries of NetSlow were",
            ),
            (
                &names[..],
                Priority::Critical,
                "critical",
                "36 deliveries (among them DiskFull, NetSlow) were",
            ),
        ] {
            let letters = DeadLetters {
                reason: Reason::Expired,
                waited_for: Some("slack channel alerts"),
                handlers: &handlers,
                alertnames,
                priority,
                count: 36,
                since: Timestamp::UNIX_EPOCH,
            };
            let (labels, annotations, _) = about_many(&letters, Timestamp::UNIX_EPOCH);
            assert_eq!(labels.get("severity"), Some(severity));
            let summary = annotations.get("summary").unwrap_or_default();
            assert!(summary.starts_with(of), "{summary}");
            let description = annotations.get("description").unwrap_or_default();
            let command = "alert-manager retry --reason expired --handler slack-notify";
            assert!(description.contains(command), "{description}");
        }
    }
}
