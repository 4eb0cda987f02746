//! Lays out the message: the most important parts first, as many as fit.

use handler_sdk::layout::{Card, Notice, clip};
use handler_sdk::prelude::*;
use handler_sdk::slack::Size;
use handler_sdk::subject::workload_of_pod;

use crate::findings::{Container, Event, Findings, HANDLER, PodState, Verdict};
use crate::settings::Settings;
use crate::words::between;

const WARNINGS_MAX: usize = 3;
/// The space that the findings of other handlers leave for the log.
const LEFT_FOR_LOG: Size = Size {
    blocks: 1,
    lines: 4,
    chars: 400,
};

/// The sources of a message.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    pub(crate) alert: &'a Alert,
    pub(crate) notice: Notice<'a>,
    /// What `enrich` found; `None` if it failed.
    pub(crate) findings: Option<&'a Findings>,
    /// The blocks of other handlers, and which of them failed.
    pub(crate) others: &'a Enrichment,
    pub(crate) settings: &'a Settings,
    /// Seconds since 1970.
    pub(crate) now: i64,
}

impl<'a> Source<'a> {
    pub(crate) fn new(
        cx: &'a Cx,
        alert: &'a Alert,
        findings: Option<&'a Findings>,
        others: &'a Enrichment,
        settings: &'a Settings,
    ) -> Self {
        Self {
            alert,
            notice: Notice::new(cx, alert, others),
            findings,
            others,
            settings,
            now: cx.now().seconds,
        }
    }
}

impl Source<'_> {
    /// Returns the message of a firing alert.
    pub(crate) fn firing(&self) -> Card {
        let mut card = Card::new(
            self.notice.text(&self.who(), &self.what_happens()),
            &self.notice.header(Some(&self.place())),
        )
        .end(
            self.notice.links(self.workload()),
            self.notice.context(self.not_fetched()),
        )
        .section(Mrkdwn::join(
            [self.notice.status(), self.verdict_line()],
            "\n",
        ));
        if self.is_said_apart() {
            card = card.section(self.notice.said_briefly());
        }
        card = card
            .section(self.fields())
            .section(self.change_line())
            .section(self.next_steps())
            .section(self.warning_lines());
        let leave = match self.findings.and_then(|findings| findings.log.as_ref()) {
            Some(_) => LEFT_FOR_LOG,
            None => Size::default(),
        };
        card = card.whole(Blocks::new().enrichment(self.others), leave);
        let log = self.log(card.room());
        let rest = self.rest_of_log(&log);
        let card = card.section(log.text).in_thread(rest);
        match self.is_said_apart() {
            true => card,
            false => card.last_in_thread(Blocks::new().paragraphs(self.notice.said_further())),
        }
    }

    /// Returns the message of a storm, of which only the representative was looked at; `None` if the alert is not one's.
    pub(crate) fn storm(&self, one: Mrkdwn) -> Option<Card> {
        let more = self.not_fetched();
        self.notice.storm_card(one, Findings::is_own_fact, more)
    }

    /// Returns what was found out about the representative of a storm, with its place; `None` if nothing was.
    pub(crate) fn one_of_storm(&self) -> Option<Mrkdwn> {
        let place = Mrkdwn::from(format!("{}: ", clip(&self.place(), 120)));
        let line = Mrkdwn::join([place.then(self.verdict_line()), self.change_line()], "\n");
        self.is_said_apart().then_some(line)
    }

    /// Returns `namespace/workload`, for headers.
    pub(crate) fn place(&self) -> String {
        let subject = self.notice.subject();
        let workload = self
            .workload_name()
            .or_else(|| subject.label("pod"))
            .unwrap_or("unknown pod");
        match subject.namespace() {
            Some(namespace) => format!("{namespace}/{workload}"),
            None => workload.to_owned(),
        }
    }

    /// Returns the kind and the name of the workload, if known.
    pub(crate) fn workload(&self) -> Option<(&str, &str)> {
        let workload = self.findings?.workload.as_ref()?;
        Some((&workload.kind, &workload.name))
    }

    pub(crate) fn workload_name(&self) -> Option<&str> {
        let found = match self.workload() {
            // A static pod has no workload.
            Some(("Node", _)) => return None,
            Some((_, name)) => Some(name),
            None => None,
        };
        let subject = self.notice.subject();
        let labelled = || {
            ["deployment", "statefulset", "daemonset", "job_name"]
                .iter()
                .find_map(|label| subject.label(label))
        };
        found
            .or_else(labelled)
            .or_else(|| workload_of_pod(subject.label("pod")?))
    }

    /// Returns the container if the cause is known, since the pod's name has a random suffix; otherwise the pod.
    pub(crate) fn who(&self) -> String {
        let subject = self.notice.subject();
        let namespace = subject
            .namespace()
            .map(|ns| format!("{}/", clip(ns, 63)))
            .unwrap_or_default();
        if let Some(container) = self.container().filter(|_| self.verdict().is_some()) {
            return format!("{namespace}{}", clip(&container.name, 63));
        }
        let pod = clip(subject.label("pod").unwrap_or("unknown pod"), 120);
        match subject.label("container") {
            Some(container) => format!("{namespace}{pod} ({})", clip(container, 63)),
            None => format!("{namespace}{pod}"),
        }
    }

    pub(crate) fn container(&self) -> Option<&Container> {
        self.findings?.container.as_ref()
    }

    pub(crate) fn state(&self) -> PodState {
        self.findings
            .map(|findings| findings.pod)
            .unwrap_or_default()
    }

    pub(crate) fn verdict(&self) -> Option<&Verdict> {
        self.findings?.verdict.as_ref()
    }

    /// Returns whether something was found out about the pod, so that the alert's own text gets a line apart from it.
    fn is_said_apart(&self) -> bool {
        self.verdict().is_some() || matches!(self.state(), PodState::Gone | PodState::Replaced)
    }

    fn what_happens(&self) -> String {
        if let (Some(verdict), Some(container)) = (self.verdict(), self.container()) {
            return format!(
                "{}, {} restarts",
                clip(&verdict.short, 60),
                container.restarts
            );
        }
        let summary = self.notice.summary().unwrap_or("crash looping");
        let said = clip(summary.trim_end_matches('.'), 120);
        match self.state() {
            PodState::Gone => format!("{said} (the pod is gone)"),
            PodState::Replaced => format!("{said} (the pod was replaced)"),
            PodState::Present | PodState::Unknown => said,
        }
    }

    /// Returns the verdict in one sentence; if there is none, the alert's own text.
    pub(crate) fn verdict_line(&self) -> Mrkdwn {
        let line = match (self.state(), self.verdict()) {
            (PodState::Gone, _) => {
                let line = Mrkdwn::new()
                    .bold("The pod is gone:")
                    .text(" deleted or replaced since the alert began.");
                match self.end_of_pod() {
                    Some(event) => line.text(format!(
                        " {}: {}",
                        clip(&event.reason, 40),
                        clip(&event.message, 160)
                    )),
                    None => line,
                }
            }
            (PodState::Replaced, _) => Mrkdwn::new()
                .bold("The pod was replaced")
                .text(" by another of the same name since the alert began."),
            (_, Some(verdict)) => {
                let line = Mrkdwn::new()
                    .bold(format!("{}:", verdict.lead))
                    .text(" ")
                    .text(clip(&verdict.rest, 360));
                match self
                    .container()
                    .and_then(|container| container.running_since)
                {
                    Some(since) => {
                        line.text(format!(" Running again for {}.", between(since, self.now)))
                    }
                    None => line,
                }
            }
            (_, None) => self.notice.said(),
        };
        line.truncated(1_000)
    }

    /// Returns the event that ended a pod that no longer exists.
    fn end_of_pod(&self) -> Option<&Event> {
        let is_end = |event: &&Event| {
            ["Evicted", "Preempting", "Preempted", "TaintManagerEviction"]
                .contains(&event.reason.as_str())
        };
        self.findings?.events.iter().find(is_end)
    }

    pub(crate) fn change_line(&self) -> Mrkdwn {
        let began = Some(self.alert.starts_at.seconds);
        match self
            .findings
            .and_then(|findings| findings.change.as_ref())
            .and_then(|change| change.for_people_since(began))
        {
            Some(line) => Mrkdwn::new()
                .bold("Changed:")
                .text(" ")
                .text(clip(&line, 300))
                .truncated(400),
            None => Mrkdwn::new(),
        }
    }

    fn warning_lines(&self) -> Mrkdwn {
        let events = self
            .findings
            .map_or(&[][..], |findings| findings.events.as_slice());
        let name = self.container().map(|container| container.name.as_str());
        let lines = events
            .iter()
            .filter(|event| event.is_warning)
            .take(WARNINGS_MAX)
            .map(|event| {
                let of = match event.container.as_deref() {
                    Some(container) if !event.is_of(name) => format!(" of {}", clip(container, 40)),
                    _ => String::new(),
                };
                let ago = event
                    .last
                    .map(|at| format!(", {} ago", between(at, self.now)))
                    .unwrap_or_default();
                let head = Mrkdwn::new()
                    .bold(clip(&event.reason, 40))
                    .text(format!("{of} ×{}{ago}: ", event.count));
                head.text(clip(&event.message, 110)).truncated(260)
            });
        Mrkdwn::join(lines, "\n")
    }

    /// Returns what could not be found out by this handler and the earlier ones, with the reasons.
    pub(crate) fn not_fetched(&self) -> Vec<Mrkdwn> {
        let mut missed: Vec<String> = match self.findings {
            Some(findings) => findings
                .missed_for_people()
                .into_iter()
                .map(|m| format!("not fetched: {m}"))
                .collect(),
            None => Vec::new(),
        };
        if let Some(log) = self
            .findings
            .and_then(|findings| findings.log.as_ref())
            .filter(|log| log.is_cut)
        {
            missed.push(format!(
                "the log's newest lines are missing after {} lines that are too long",
                log.lines.len()
            ));
        }
        let failures = self.notice.failures().into_iter();
        missed.extend(failures.map(|(handler, why)| match handler {
            HANDLER => format!("not fetched: Kubernetes: {why}"),
            other => format!("not enriched by {other}: {why}"),
        }));
        let complaints = self.settings.complaints.iter();
        missed.extend(complaints.map(|complaint| clip(complaint, 120)));
        missed
            .iter()
            .map(|missed| Mrkdwn::from(clip(missed, 200)))
            .collect()
    }
}
