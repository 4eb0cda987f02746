//! What is said of an alert.

use std::time::Duration;

use handler_sdk::prelude::*;
use handler_sdk::time::{MINUTE, human};

const DESCRIPTION_CHARS_MAX: usize = 600;
const LABELS_MAX: usize = 8;
const FACTS_MAX: usize = 12;

/// Labels that stand elsewhere in the message, or say where a metric was scraped and not what is wrong.
const LABELS_SAID_OR_MEANINGLESS: [&str; 6] = [
    "alertname",
    "severity",
    "endpoint",
    "prometheus",
    "prometheus_replica",
    "uid",
];

/// Labels that tell alerts of one name apart, the most telling first.
const TELLING_LABELS: [&str; 18] = [
    "cluster",
    "namespace",
    "service",
    "deployment",
    "statefulset",
    "daemonset",
    "job_name",
    "workload",
    "pod",
    "container",
    "node",
    "instance",
    "device",
    "mountpoint",
    "region",
    "team",
    "owner",
    "job",
];

/// The message itself: posted while the alert fires, and put in its place when it has resolved.
pub(crate) fn full(cx: &Cx, alert: &Alert, found: &Enrichment) -> Message {
    let mut blocks = Blocks::new()
        .header(headline(alert))
        .section(summary(alert, found));
    if let Some(description) = alert.description() {
        let cut = truncated(description, DESCRIPTION_CHARS_MAX);
        blocks = blocks.section(Mrkdwn::new().prose(cut));
    }
    blocks = blocks
        .fields(distinguishing_labels(alert))
        .section(facts(found))
        .enrichment(found)
        .links(links(cx, alert))
        .context(context(cx, alert, found));
    Message::new(channel(cx), line(alert)).blocks(blocks)
}

/// What the thread of the message is told when the alert has resolved.
pub(crate) fn reply(cx: &Cx, alert: &Alert) -> Message {
    let text = format!("Resolved after {}.", human(alert.duration(&cx.now())));
    Message::new(channel(cx), text)
}

fn channel(cx: &Cx) -> String {
    cx.config_or("channel", "alerts")
}

/// What the phone shows: all that matters, in a line.
fn line(alert: &Alert) -> String {
    let severity = alert
        .severity()
        .map(|severity| format!(" {severity}"))
        .unwrap_or_default();
    let place = place(alert)
        .map(|place| format!(" {place}"))
        .unwrap_or_default();
    let summary = alert
        .summary()
        .map(|summary| format!(": {summary}"))
        .unwrap_or_default();
    let cluster = alert
        .label("cluster")
        .map(|cluster| format!(", {cluster}"))
        .unwrap_or_default();
    truncated(
        &format!(
            "[{}]{severity} {}{place}{summary}{cluster}",
            status(alert),
            name(alert)
        ),
        300,
    )
}

fn headline(alert: &Alert) -> String {
    let place = place(alert)
        .map(|place| format!(" · {place}"))
        .unwrap_or_default();
    let severity = alert
        .severity()
        .filter(|_| alert.is_firing())
        .map(|severity| format!(" {severity}"));
    format!(
        "[{}{}] {}{place}",
        status(alert),
        severity.unwrap_or_default(),
        name(alert)
    )
}

fn status(alert: &Alert) -> &'static str {
    if alert.is_firing() {
        "FIRING"
    } else {
        "RESOLVED"
    }
}

fn name(alert: &Alert) -> &str {
    if alert.name.is_empty() {
        "alert without a name"
    } else {
        &alert.name
    }
}

/// Where it is wrong, as `namespace/pod`, or by whatever else says it.
fn place(alert: &Alert) -> Option<String> {
    const THINGS: [&str; 8] = [
        "pod",
        "deployment",
        "statefulset",
        "daemonset",
        "job_name",
        "workload",
        "persistentvolumeclaim",
        "service",
    ];
    let namespace = alert.label("namespace");
    let thing = THINGS
        .iter()
        .find_map(|name| alert.label(name))
        .filter(|_| namespace.is_some());
    match (namespace, thing) {
        (Some(namespace), Some(thing)) => Some(format!("{namespace}/{thing}")),
        (Some(namespace), None) => Some(namespace.to_owned()),
        (None, _) => alert
            .label("instance")
            .or_else(|| alert.label("node"))
            .map(str::to_owned),
    }
}

/// What is wrong in a sentence; of a storm, how many there are.
fn summary(alert: &Alert, found: &Enrichment) -> Mrkdwn {
    let summary = alert
        .summary()
        .map(|summary| Mrkdwn::new().bold(summary))
        .unwrap_or_default();
    let storm = found.fact("storm.count").map(|count| {
        let first = found
            .fact("storm.first")
            .map(|first| format!(", the first {first}"))
            .unwrap_or_default();
        Mrkdwn::from(format!("Stands for {count} alerts{first}."))
    });
    Mrkdwn::join([summary, storm.unwrap_or_default()], "\n")
}

/// The labels that tell it from others of its name: the telling ones first, then the rest by name.
fn distinguishing_labels(alert: &Alert) -> Vec<(&str, &str)> {
    let of_the_exporter = |name: &str| {
        // What kube-state-metrics says of itself, on alerts about something else.
        let exported = alert
            .label("job")
            .is_some_and(|job| job.contains("kube-state-metrics"));
        exported && ["job", "service", "instance"].contains(&name)
    };
    let rank = |name: &str| {
        let known = TELLING_LABELS.iter().position(|known| *known == name);
        known.unwrap_or(TELLING_LABELS.len())
    };
    let mut labels: Vec<(&str, &str)> = alert
        .labels
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, value)| !value.is_empty() && !LABELS_SAID_OR_MEANINGLESS.contains(name))
        .filter(|(name, _)| !of_the_exporter(name))
        .collect();
    labels.sort_unstable_by_key(|(name, _)| (rank(name), *name));
    labels.truncate(LABELS_MAX);
    labels
}

/// What earlier handlers found out, in a line; the host's own facts are said elsewhere.
fn facts(found: &Enrichment) -> Mrkdwn {
    let theirs = found
        .facts
        .iter()
        .filter(|(name, _)| !name.starts_with("enrich_failed.") && !name.starts_with("storm."));
    let facts = theirs.take(FACTS_MAX).map(|(name, value)| {
        Mrkdwn::new()
            .bold(name)
            .text(" ")
            .text(truncated(value, 100))
    });
    Mrkdwn::join(facts, " · ")
}

fn links(cx: &Cx, alert: &Alert) -> Vec<(&'static str, String)> {
    let owned = |url: Option<&str>| url.map(str::to_owned);
    [
        ("Runbook", owned(alert.runbook_url())),
        ("Dashboard", owned(alert.dashboard_url())),
        ("Panel", owned(alert.panel_url())),
        ("Query", owned(alert.query_url())),
        ("Silence", alert.silence_url().filter(|_| alert.is_firing())),
        ("Story", cx.story_url()),
    ]
    .into_iter()
    .filter_map(|(title, url)| Some((title, url?)))
    .collect()
}

/// Since when, how late and why, from where, and what is not known.
fn context(cx: &Cx, alert: &Alert, found: &Enrichment) -> Vec<Mrkdwn> {
    let now = cx.now();
    let mut lines = vec![since(alert, &now)];
    if alert.delay() >= MINUTE {
        // Not "late": one that is sent again, as a reminder, arrives hours after it began.
        let event = if alert.is_firing() { "began" } else { "ended" };
        lines.push(Mrkdwn::from(format!(
            "arrived {} after it {event}",
            human(alert.delay())
        )));
    }
    lines.extend(lateness(cx, alert, &now).map(Mrkdwn::from));
    lines.extend(
        alert
            .origin
            .receiver
            .as_deref()
            .map(|receiver| Mrkdwn::from(format!("receiver {receiver}"))),
    );
    lines.extend(found.failures().map(|(handler, why)| {
        Mrkdwn::from(truncated(&format!("not enriched by {handler}: {why}"), 300))
    }));
    lines
}

fn since(alert: &Alert, now: &Timestamp) -> Mrkdwn {
    let began = Mrkdwn::raw(alert.starts_at.slack_date());
    let length = human(alert.duration(now));
    match alert.is_firing() {
        true => Mrkdwn::from("since ")
            .then(began)
            .text(format!(" ({length})")),
        false => Mrkdwn::from(format!("fired for {length}, from ")).then(began),
    }
}

/// A message that comes more than two minutes after its alert was accepted says so, and why.
fn lateness(cx: &Cx, alert: &Alert, now: &Timestamp) -> Option<String> {
    let waited = now.since(&alert.received_at);
    if waited <= Duration::from_secs(120) {
        return None;
    }
    let why = match cx.call().attempt {
        0 | 1 => "it waited in the queue".to_owned(),
        attempt => format!("this is attempt {attempt}"),
    };
    Some(format!(
        "said {} after it was received: {why}",
        human(waited)
    ))
}

/// Cuts between words where there is a gap near enough, so that no half of a link is left.
fn truncated(text: &str, chars_max: usize) -> String {
    const WORD_CHARS_MAX: usize = 200;
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let kept: String = text.chars().take(chars_max - 1).collect();
    let gap = kept.rfind(char::is_whitespace);
    let near = gap.filter(|gap| kept[*gap..].chars().count() <= WORD_CHARS_MAX.min(chars_max / 2));
    format!("{}…", kept[..near.unwrap_or(kept.len())].trim_end())
}
