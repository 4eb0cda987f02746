//! Lays out a message: the most important parts first, as many as fit.

mod fields;
mod resolved;

use handler_sdk::layout::{Card, Notice, clip};
use handler_sdk::prelude::*;
use handler_sdk::slack::Size;

use crate::kubernetes::name_of_labels;
use crate::line::fenced;
use crate::log::Log;
use crate::log::shown::Shown;
use crate::missing::in_words;
use crate::report::{Findings, Report};
use crate::settings::{Logs, Settings};
use crate::step::{Step, is_plain};
use crate::verdict::Verdict;
use crate::words::between;

const WARNINGS_MAX: usize = 3;
/// The characters of one text of a verdict or a step.
const TEXT_CHARS_MAX: usize = 360;
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
    pub(crate) handler: &'a str,
    /// What the handler reads from, in words.
    pub(crate) reads: &'a str,
    pub(crate) notice: Notice<'a>,
    /// What `enrich` found; `None` if it failed.
    pub(crate) findings: Option<&'a Findings>,
    /// The blocks of other handlers, and which of them failed.
    pub(crate) others: &'a Enrichment,
    pub(crate) settings: &'a Settings,
    /// Seconds since 1970.
    pub(crate) now: i64,
}

impl Source<'_> {
    /// Returns the message of a firing alert.
    pub(crate) fn firing(&self) -> Card {
        let mut card = Card::new(
            self.notice.text(&self.who(), &self.what()),
            &self.notice.header(self.place().as_deref()),
        )
        .end(
            self.notice.links(self.workload()),
            self.notice.context(self.not_fetched()),
        )
        .section(Mrkdwn::join(
            [self.notice.status(), self.verdict_line()],
            "\n",
        ));
        // A verdict takes the place of the alert's own text, which then gets a line of its own.
        let is_said_apart = self.verdict().is_some();
        if is_said_apart {
            card = card.section(self.notice.said_briefly());
        }
        card = card.section(self.fields()).section(self.change_line());
        card = self
            .lists()
            .into_iter()
            .fold(card, Card::section)
            .section(self.next_steps())
            .section(self.warning_lines());
        let leave = match self.log_to_show() {
            Some(_) => LEFT_FOR_LOG,
            None => Size::default(),
        };
        card = card.whole(Blocks::new().enrichment(self.others), leave);
        let log = match self.settings.logs {
            Logs::Message => self.log_to_show().map(|log| log.end(card.room())),
            Logs::Thread | Logs::Off => None,
        };
        let shown = log.unwrap_or_default();
        let rest = self.rest_of_log(&shown);
        let card = card.section(shown.text).in_thread(rest);
        match is_said_apart {
            true => card,
            false => card.last_in_thread(Blocks::new().paragraphs(self.notice.said_further())),
        }
    }

    /// Returns the message of a storm, of which only the representative was looked at; `None` if the alert is not one's.
    pub(crate) fn storm(&self, one: Mrkdwn) -> Option<Card> {
        let own = self.findings.map(Findings::facts).unwrap_or_default();
        let more = self.not_fetched();
        self.notice
            .storm_card(one, |name| own.get(name).is_some(), more)
    }

    /// Returns what was found out about the representative of a storm, with its place; `None` if nothing was.
    pub(crate) fn one_of_storm(&self) -> Option<Mrkdwn> {
        self.verdict()?;
        let place = self.place().unwrap_or_default();
        let place = Mrkdwn::from(format!("{}: ", clip(&place, 120)));
        let line = Mrkdwn::join([place.then(self.verdict_line()), self.change_line()], "\n");
        Some(line)
    }

    fn report(&self) -> Option<&Report> {
        self.findings.map(|findings| &findings.report)
    }

    /// Returns the names of the labels that the report leaves out, with blanks between.
    pub(crate) fn hidden_labels(&self) -> String {
        self.report()
            .map(|report| report.hidden_labels.join(" "))
            .unwrap_or_default()
    }

    fn verdict(&self) -> Option<&Verdict> {
        self.report()?.verdict.as_ref()
    }

    /// Returns the kind and the name of the workload, if known.
    fn workload(&self) -> Option<(&str, &str)> {
        let (kind, name) = self.report()?.workload.as_ref()?;
        Some((kind, name))
    }

    /// Returns `namespace/workload` or what else the header shows.
    pub(crate) fn place(&self) -> Option<String> {
        if let Some(place) = self.report().and_then(|report| report.place.as_ref()) {
            return Some(place.clone());
        }
        let subject = self.notice.subject();
        let name = self.workload_name().or_else(|| subject.name());
        match (subject.namespace(), name) {
            (Some(namespace), Some(name)) => Some(format!("{namespace}/{name}")),
            (None, Some(one)) | (Some(one), None) => Some(one.to_owned()),
            (None, None) => None,
        }
    }

    /// Returns the name of a pod's workload, by what was found, the labels or the pod's name.
    fn workload_name(&self) -> Option<&str> {
        let subject = self.notice.subject();
        match (self.workload(), subject.kind()) {
            // A static pod has no workload.
            (Some(("Node", _)), _) => None,
            (Some((_, name)), _) => Some(name),
            (None, Some("pod")) => name_of_labels(subject),
            (None, _) => None,
        }
    }

    fn who(&self) -> String {
        let given = self.report().and_then(|report| report.who.as_deref());
        given.map_or_else(|| self.who_of_labels(), |who| clip(who, 200))
    }

    /// Returns whom the alert's labels name: `shop/checkout-6c9f8d7b5c-x2xkz (app)`.
    fn who_of_labels(&self) -> String {
        let subject = self.notice.subject();
        let place = subject.place();
        let place = clip(place.as_deref().unwrap_or(self.notice.name()), 184);
        match subject
            .label("container")
            .filter(|_| subject.kind() == Some("pod"))
        {
            Some(container) => format!("{place} ({})", clip(container, 63)),
            None => place,
        }
    }

    fn what(&self) -> String {
        let given = self.report().and_then(|report| report.what.as_deref());
        let short = self.verdict().map(|verdict| verdict.short.as_str());
        let said = || self.notice.summary().unwrap_or_default();
        clip(
            given.or(short).unwrap_or_else(said).trim_end_matches('.'),
            150,
        )
    }

    /// Returns the verdict in one sentence; if there is none, the alert's own text.
    pub(crate) fn verdict_line(&self) -> Mrkdwn {
        match self.verdict() {
            Some(verdict) => verdict.sentence().shown(self.now, TEXT_CHARS_MAX),
            None => self.notice.said(),
        }
        .truncated(1_000)
    }

    pub(crate) fn change_line(&self) -> Mrkdwn {
        match self.report().and_then(|report| report.changed.as_ref()) {
            Some(line) => Mrkdwn::new()
                .bold("Changed:")
                .text(" ")
                .text(clip(line, 300))
                .truncated(400),
            None => Mrkdwn::new(),
        }
    }

    fn lists(&self) -> Vec<Mrkdwn> {
        let lists = self.report().map_or(&[][..], |report| &report.lists).iter();
        lists
            .map(|(title, lines)| {
                let title = Mrkdwn::new().bold(format!("{}:", clip(title, 60)));
                let lines = lines
                    .iter()
                    .map(|line| Mrkdwn::from("• ").then(line.shown(self.now, 160)));
                Mrkdwn::join(std::iter::once(title).chain(lines), "\n").truncated(800)
            })
            .collect()
    }

    /// Returns the next steps; empty if there are none or the setting is `next_steps: off`.
    fn next_steps(&self) -> Mrkdwn {
        let steps = self.verdict().map_or(&[][..], |verdict| &verdict.next);
        let mut notes = Vec::new();
        let mut commands = Vec::new();
        for step in steps.iter().filter(|_| self.settings.has_next_steps) {
            match step {
                Step::Note(line) => notes.push(line.shown(self.now, TEXT_CHARS_MAX)),
                Step::Command(command) => commands.push(command.clone()),
            }
        }
        if !commands.is_empty() {
            // `kubectl` may be configured for another cluster; this is the alert's.
            let cluster = self.notice.subject().label("cluster");
            if let Some(cluster) = cluster.filter(|cluster| is_plain(cluster)) {
                commands.insert(0, format!("# cluster {cluster}"));
            }
            notes.push(
                Mrkdwn::new()
                    .bold("Next:")
                    .text("\n")
                    .then(fenced(&commands.join("\n"))),
            );
        }
        Mrkdwn::join(notes, "\n")
    }

    fn warning_lines(&self) -> Mrkdwn {
        let Some(report) = self.report() else {
            return Mrkdwn::new();
        };
        let warnings = report.events.iter().filter(|event| event.is_warning);
        let lines = warnings.take(WARNINGS_MAX).map(|event| {
            let of = match event.container.as_deref() {
                Some(container) if !event.is_of(report.container.as_deref()) => {
                    format!(" of {}", clip(container, 40))
                }
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

    fn log_to_show(&self) -> Option<&Log> {
        let log = self.report()?.log.as_ref()?;
        (!log.lines.is_empty() && self.settings.logs != Logs::Off).then_some(log)
    }

    fn rest_of_log(&self, shown: &Shown) -> Blocks {
        self.log_to_show()
            .map_or_else(Blocks::new, |log| log.rest(shown))
    }

    /// Returns what could not be found out by this handler and the earlier ones, with the reasons.
    fn not_fetched(&self) -> Vec<Mrkdwn> {
        let missing = self.findings.map_or(&[][..], |findings| &findings.missing);
        let mut missed: Vec<String> = in_words(missing)
            .into_iter()
            .map(|missing| format!("not fetched: {missing}"))
            .collect();
        let log = self.report().and_then(|report| report.log.as_ref());
        if let Some(log) = log.filter(|log| log.is_cut) {
            missed.push(format!(
                "the log's newest lines are missing after {} lines that are too long",
                log.lines.len()
            ));
        }
        let failures = self.notice.failures().into_iter();
        missed.extend(failures.map(|(handler, why)| match handler {
            own if own == self.handler => format!("not fetched: {}: {why}", self.reads),
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
