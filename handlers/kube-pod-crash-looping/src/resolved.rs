//! Tells the end of an incident: changes its message, and answers in its thread.

use handler_sdk::prelude::*;
use handler_sdk::slack::Error;
use handler_sdk::time::human;

use crate::act::in_thread;
use crate::findings::{Findings, PodState};
use crate::message::Source;
use crate::record::Record;
use crate::settings::Settings;
use crate::words::{between, clip};

/// Runs the step.
pub(crate) fn run(cx: &Cx, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
    let settings = Settings::read(cx);
    let findings = Findings::from_enrichment(found);
    let others = Findings::of_others(found);
    let source = Source {
        alert,
        findings: findings.as_ref(),
        others: &others,
        settings: &settings,
        delivery_id: &cx.call().delivery_id,
        now: cx.now().seconds,
    };
    let end = End::of(findings.as_ref(), source.now);
    let lasted = human(alert.duration(&cx.now()));
    let record = Record::read(cx, alert);
    let message = || {
        let what = match end.caveat {
            "" => format!("{} after {lasted}", end.short),
            caveat => format!("{} after {lasted}, {caveat}", end.short),
        };
        let text = source.text("RESOLVED", &what);
        Message::new(&settings.channel, text).blocks(blocks(
            &source,
            &end,
            &lasted,
            record.as_ref(),
        ))
    };
    let facts = Facts::new()
        .with("slack.channel", &settings.channel)
        .with("end", end.kind);

    if let Some(record) = &record {
        let at = MessageRef::from(record.at.clone());
        match cx.slack().update(&at, message().key("update")) {
            Ok(at) => {
                let text = Mrkdwn::new()
                    .bold(format!("Resolved after {lasted}."))
                    .text(" ")
                    .then(end.sentence.clone());
                let answer = Message::new(&settings.channel, text)
                    .thread(&at)
                    .key("answer");
                return Ok(facts
                    .with("slack.message", at.as_str())
                    .with("slack.thread", in_thread(cx, answer)?));
            }
            // Deleted, or too old for Slack to change: a new message then.
            Err(Error::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let at = cx.slack().post(message().key("message"))?;
    Ok(facts.with("slack.message", at.as_str()))
}

fn blocks(source: &Source<'_>, end: &End, lasted: &str, record: Option<&Record>) -> Blocks {
    let alert = source.alert;
    let header = clip(
        &format!("Resolved: {} · {}", alert.name, source.subject()),
        150,
    );
    let outcome = Mrkdwn::new()
        .bold(format!("Resolved after {lasted}."))
        .text(" ")
        .then(end.sentence.clone());
    let mut blocks = Blocks::new().header(header).section(outcome);
    if let Some(record) = record.filter(|record| !record.verdict.is_empty()) {
        // Both are mrkdwn of this handler's own making, kept by the firing alert.
        let was = Mrkdwn::from("It was: ").then(Mrkdwn::raw(&record.verdict));
        blocks =
            blocks.section(Mrkdwn::join([was, Mrkdwn::raw(&record.change)], "\n").truncated(1_200));
    }
    let names = [("cluster", "cluster"), ("pod", "pod")];
    let labels = names
        .iter()
        .filter_map(|(title, label)| Some(format!("{title} {}", clip(alert.label(label)?, 120))));
    let mut context = vec![source.since()];
    if let Some(ended) = &alert.ends_at {
        context.push(Mrkdwn::from("until ").then(Mrkdwn::raw(ended.slack_date())));
    }
    context.extend(labels.map(Mrkdwn::from));
    context.extend(
        source
            .not_fetched()
            .into_iter()
            .map(|missed| Mrkdwn::from(clip(&missed, 200))),
    );
    blocks
        .links(source.links())
        .context([Mrkdwn::join(context, " · ").truncated(800)])
}

/// What became of the pod: an alert also ends when the pod it was about is no more.
#[derive(Debug)]
struct End {
    /// For programs.
    kind: &'static str,
    /// For the phone, before how long it lasted.
    short: &'static str,
    /// For the phone, after it; empty where all is well.
    caveat: &'static str,
    sentence: Mrkdwn,
}

impl End {
    fn of(findings: Option<&Findings>, now: i64) -> Self {
        let readiness = findings
            .and_then(|findings| findings.workload.as_ref())
            .and_then(|workload| {
                let (ready, wanted) = workload.ready?;
                Some(format!(
                    " {} {}: {ready}/{wanted} ready.",
                    workload.kind, workload.name
                ))
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
