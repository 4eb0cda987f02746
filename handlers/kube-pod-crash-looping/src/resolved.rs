//! Reports the end of an incident: changes its message, and replies in its thread.

use handler_sdk::incident::Incident;
use handler_sdk::layout::{Card, clip};
use handler_sdk::prelude::*;
use handler_sdk::time::human;

use crate::act::{CHANGE, VERDICT};
use crate::findings::{Findings, PodState};
use crate::message::Source;
use crate::settings::Settings;
use crate::words::between;

/// Runs the step.
pub(crate) fn run(cx: &Cx, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
    let settings = Settings::read(cx);
    let findings = Findings::from_enrichment(found);
    let incident = Incident::open(cx, alert, found, &settings.channel);
    let others = Findings::of_others(incident.found());
    let source = Source::new(cx, alert, findings.as_ref(), &others, &settings);
    // Both are mrkdwn that this handler stored when the alert fired.
    let notes = [VERDICT, CHANGE].map(|name| incident.note(name).unwrap_or_default());
    let was = Mrkdwn::join(notes.map(Mrkdwn::raw), "\n").truncated(1_200);
    if let Some(card) = source.storm(was.clone()) {
        return incident.tell(&card);
    }
    let end = End::of(findings.as_ref(), source.now);
    let lasted = human(alert.duration(&cx.now()));
    let card = card(&source, &end, &lasted, was);
    let facts = incident.reply(end.in_words(&lasted)).tell(&card)?;
    Ok(facts.with("end", end.kind))
}

fn card(source: &Source<'_>, end: &End, lasted: &str, was: Mrkdwn) -> Card {
    let notice = &source.notice;
    let what = match end.caveat {
        "" => format!("{} after {lasted}", end.short),
        caveat => format!("{} after {lasted}, {caveat}", end.short),
    };
    let subject = notice.subject();
    let mut context: Vec<Mrkdwn> = ["cluster", "pod"]
        .iter()
        .filter_map(|label| Some(format!("{label} {}", clip(subject.label(label)?, 120))))
        .map(Mrkdwn::from)
        .collect();
    if let Some(ended) = &source.alert.ends_at {
        context.push(Mrkdwn::from("until ").then(Mrkdwn::raw(ended.slack_date())));
    }
    context.extend(source.not_fetched());
    let said = match was.is_empty() {
        true => notice.said(),
        false => Mrkdwn::from("It was: ").then(was),
    };
    Card::new(
        notice.text(&source.who(), &what),
        &notice.header(Some(&source.place())),
    )
    .end(notice.links(None), notice.context(context))
    .section(Mrkdwn::join([notice.status(), end.in_words(lasted)], "\n"))
    .section(said)
    .section(handler_sdk::layout::pairs(notice.labels(&[
        "cluster",
        "namespace",
        "pod",
    ])))
}

/// What became of the pod. An alert also ends if its pod no longer exists.
#[derive(Debug)]
struct End {
    /// For programs.
    kind: &'static str,
    /// For the notification, before the duration.
    short: &'static str,
    /// For the notification, after the duration; empty if the pod is ready.
    caveat: &'static str,
    sentence: Mrkdwn,
}

impl End {
    fn in_words(&self, lasted: &str) -> Mrkdwn {
        Mrkdwn::new()
            .bold(format!("Resolved after {lasted}."))
            .text(" ")
            .then(self.sentence.clone())
    }

    fn of(findings: Option<&Findings>, now: i64) -> Self {
        let readiness = findings
            .and_then(|findings| findings.workload.as_ref())
            .and_then(|workload| {
                let (ready, wanted) = workload.ready?;
                let name = format!("{} {}", workload.kind, workload.name);
                Some(format!(" {}: {ready}/{wanted} ready.", name.trim_start()))
            });
        let readiness = readiness.unwrap_or_default();
        let build = |kind, (short, caveat), lead: &str, rest: String| {
            let sentence = Mrkdwn::new()
                .bold(lead)
                .text(rest)
                .text(&readiness)
                .truncated(600);
            Self {
                kind,
                short,
                caveat,
                sentence,
            }
        };
        let state = findings.map(|findings| findings.pod).unwrap_or_default();
        let container = findings.and_then(|findings| findings.container.as_ref());
        match (state, container) {
            (PodState::Present, Some(container)) if container.is_ready => {
                let since = container
                    .running_since
                    .map(|at| format!(" for {}", between(at, now)))
                    .unwrap_or_default();
                let rest = format!(
                    " {} has been up{since}, after {} restarts.",
                    container.name, container.restarts
                );
                build("ready", ("ready again", ""), "Ready again:", rest)
            }
            (PodState::Present, Some(container)) => {
                let waits = container
                    .waiting
                    .as_ref()
                    .map(|(reason, _)| format!(" ({reason})"))
                    .unwrap_or_default();
                let rest = format!(" {} is still not ready{waits}.", container.name);
                build(
                    "not-ready",
                    ("ended", "not ready yet"),
                    "Not ready yet:",
                    rest,
                )
            }
            (PodState::Present, None) => build(
                "unknown",
                ("ended", ""),
                "",
                "The pod is there; its container's state is not known.".to_owned(),
            ),
            (PodState::Gone, _) => {
                let rest =
                    " it was deleted or replaced, which is not the same as fixed.".to_owned();
                build(
                    "gone",
                    ("ended", "the pod is gone"),
                    "The pod is gone:",
                    rest,
                )
            }
            (PodState::Replaced, _) => {
                let rest =
                    " by another of the same name, which is not the same as fixed.".to_owned();
                build(
                    "replaced",
                    ("ended", "the pod was replaced"),
                    "The pod was replaced",
                    rest,
                )
            }
            (PodState::Unknown, _) => build(
                "unknown",
                ("ended", ""),
                "",
                "Whether the pod is ready was not found out.".to_owned(),
            ),
        }
    }
}
