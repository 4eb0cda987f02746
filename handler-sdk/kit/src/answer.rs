//! The trait of a handler that answers an alert with a message, and what makes a [`Handler`] of it.

use std::marker::PhantomData;

use handler_sdk::incident::Incident;
use handler_sdk::layout::{Card, Notice};
use handler_sdk::prelude::*;
use handler_sdk::time::human;

use crate::look::Look;
use crate::message::Source;
use crate::report::{End, Findings, Report};
use crate::settings::{self, Settings};

/// The notes that the incident keeps for its end, when they can no longer be found out. The first two are mrkdwn.
const VERDICT: &str = "verdict";
const CHANGE: &str = "change";
const PLACE: &str = "place";
/// The labels that the report left out, with blanks between.
const HIDDEN: &str = "hidden";

/// The servers that a handler asks: it has their settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// The API server.
    Kubernetes,
    /// The Prometheus server.
    Prometheus,
    /// Both.
    KubernetesAndPrometheus,
}

impl Reads {
    const fn in_words(self) -> &'static str {
        match self {
            Self::Kubernetes => "Kubernetes",
            Self::Prometheus => "Prometheus",
            Self::KubernetesAndPrometheus => "Kubernetes and Prometheus",
        }
    }

    const fn settings(self) -> &'static [&'static Setting] {
        match self {
            Self::Kubernetes => &settings::KUBERNETES,
            Self::Prometheus => &settings::PROMETHEUS,
            Self::KubernetesAndPrometheus => &settings::KUBERNETES_AND_PROMETHEUS,
        }
    }
}

/// The name and the version of a handler. [`answers!`](crate::answers) takes them from its crate.
pub trait Package {
    /// The name.
    const NAME: &'static str;

    /// The version.
    const VERSION: &'static str;
}

/// A handler that answers an alert with one Slack message: [`firing`](Self::firing) says what is wrong,
/// [`resolved`](Self::resolved) how it ended. [`answers!`](crate::answers) exports it.
///
/// Both run as the step `enrich`, and only read. The kit lays out what they return, posts it as `act`, updates the message at
/// reminders and at the end, and shows a storm as one message.
pub trait Answer: Package {
    /// What it does, in one sentence.
    const SUMMARY: &'static str;

    /// The names of the alerts that it answers.
    const ALERTS: &'static [&'static str];

    /// The servers that it asks.
    const READS: Reads;

    /// The most requests that one alert may cost; further ones are refused and said to be missing.
    const CALLS_MAX: u32;

    /// True if it reads logs, or shows what may be the end of one: it then has the setting `logs`.
    const LOGS: bool = false;

    /// Finds out what is wrong.
    fn firing(look: &Look<'_>) -> Report;

    /// Finds out how it ended.
    fn resolved(look: &Look<'_>) -> End;
}

/// The [`Handler`] of an [`Answer`].
#[derive(Debug)]
pub struct Answering<A>(PhantomData<A>);

impl<A: Answer> Handler for Answering<A> {
    fn describe() -> Description {
        let description = Description::new(A::NAME, A::VERSION, A::SUMMARY)
            .alerts(A::ALERTS.iter().copied())
            .settings(settings::MESSAGE)
            .settings(handler_sdk::layout::SETTINGS)
            .settings(A::READS.settings().iter().copied())
            .storm_one();
        match A::LOGS {
            true => description.settings(settings::LOG),
            false => description,
        }
    }

    fn enrich(cx: &Cx, alert: &Alert, so_far: &Enrichment) -> Result<Enrichment, Failure> {
        if so_far.storm().is_some() && alert.is_resolved() {
            // The state of one says nothing about the others that have resolved.
            return Ok(Enrichment::new());
        }
        let look = Look::new(cx, alert, (A::CALLS_MAX, A::LOGS));
        let (report, end) = match alert.is_firing() {
            true => (A::firing(&look), None),
            false => (Report::new(), Some(A::resolved(&look))),
        };
        let findings = Findings {
            report,
            end,
            missing: look.into_missing()?,
        };
        findings.into_enrichment(A::NAME, cx.now().seconds)
    }

    fn act(cx: &Cx, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
        tell::<A>(cx, alert, found, |source, incident| {
            // If this delivery of a storm found nothing, what an earlier one found is still an example.
            let earlier = || Mrkdwn::raw(incident.note(VERDICT).unwrap_or_default());
            let one = source.one_of_storm().unwrap_or_else(earlier);
            if let Some(card) = source.storm(one.clone()) {
                return incident.keep_note(VERDICT, one.to_string()).tell(&card);
            }
            incident
                .keep_note(VERDICT, source.verdict_line().to_string())
                .keep_note(CHANGE, source.change_line().to_string())
                .keep_note(PLACE, source.place().unwrap_or_default())
                .keep_note(HIDDEN, source.hidden_labels())
                .further("Log and further findings")
                .tell(&source.firing())
        })
    }

    fn resolved(cx: &Cx, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
        tell::<A>(cx, alert, found, |source, incident| {
            // Both are mrkdwn that this handler stored when the alert fired.
            let notes = [VERDICT, CHANGE].map(|name| incident.note(name).unwrap_or_default());
            let was = Mrkdwn::join(notes.map(Mrkdwn::raw), "\n").truncated(1_200);
            if let Some(card) = source.storm(was.clone()) {
                return incident.tell(&card);
            }
            let found = source.findings.and_then(|findings| findings.end.clone());
            let end = found.unwrap_or_else(|| End::unknown("How it ended was not found out."));
            let lasted = human(alert.duration(&cx.now()));
            let place = incident.note(PLACE).filter(|place| !place.is_empty());
            let hidden = incident.note(HIDDEN).unwrap_or_default();
            let card: Card = source.resolved(&end, &lasted, was, (place, hidden));
            let reply = source.end_line(&end, &lasted);
            let facts = incident.reply(reply).tell(&card)?;
            Ok(facts.with("end", &end.kind))
        })
    }
}

/// Collects the sources of a message, and has it shown.
fn tell<A: Answer>(
    cx: &Cx,
    alert: &Alert,
    found: &Enrichment,
    show: impl FnOnce(&Source<'_>, Incident<'_>) -> Result<Facts, Failure>,
) -> Result<Facts, Failure> {
    let settings = Settings::read(cx, A::LOGS);
    let findings = Findings::from_enrichment(found, A::NAME);
    let incident = Incident::open(cx, alert, found, &settings.channel);
    let others = Findings::of_others(incident.found(), A::NAME);
    let source = Source {
        alert,
        handler: A::NAME,
        reads: A::READS.in_words(),
        notice: Notice::new(cx, alert, &others),
        findings: findings.as_ref(),
        others: &others,
        settings: &settings,
        now: cx.now().seconds,
    };
    show(&source, incident)
}

/// Exports an [`Answer`] as the component's hooks, under its crate's name and version. Each handler calls it once:
/// `handler_kit::answers!(PodWaiting);`.
#[macro_export]
macro_rules! answers {
    ($answer:ty) => {
        impl $crate::Package for $answer {
            const NAME: &'static str = env!("CARGO_PKG_NAME");
            const VERSION: &'static str = env!("CARGO_PKG_VERSION");
        }

        $crate::handler_sdk::export!($crate::Answering<$answer>);
    };
}
