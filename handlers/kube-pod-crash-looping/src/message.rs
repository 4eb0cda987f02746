//! Lays out the message: at most 12 blocks, 25 lines and 3,000 characters, what matters most first.

use handler_sdk::prelude::*;
use handler_sdk::serde_json::Value;
use handler_sdk::time::{MINUTE, human};
use handler_sdk::{mask, serde_json};

use crate::findings::{Change, Container, Findings, HANDLER, PodState, Verdict, Warning};
use crate::settings::Settings;
use crate::words::{between, clip, workload_of};

pub(crate) const BLOCKS_MAX: usize = 12;
pub(crate) const CHARS_MAX: usize = 3_000;
const WARNINGS_MAX: usize = 3;

/// All that a message is made of.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    pub(crate) alert: &'a Alert,
    /// What `enrich` found; none where it failed.
    pub(crate) findings: Option<&'a Findings>,
    /// What other handlers found, and which of them failed.
    pub(crate) others: &'a Enrichment,
    pub(crate) settings: &'a Settings,
    pub(crate) delivery_id: &'a str,
    /// Seconds since 1970.
    pub(crate) now: i64,
}

/// A message, and what goes into its thread.
#[derive(Debug)]
pub(crate) struct Composed {
    pub(crate) text: Mrkdwn,
    pub(crate) blocks: Blocks,
    /// Empty where nothing is left to say.
    pub(crate) thread: Blocks,
}

impl Source<'_> {
    /// Returns the message of a firing alert.
    pub(crate) fn firing(&self) -> Composed {
        let text = Mrkdwn::from(self.text("FIRING", &self.what_happens())).truncated(300);
        let head = [
            Piece::Header(clip(
                &format!("{} · {}", self.alert.name, self.subject()),
                150,
            )),
            Piece::Section(self.verdict_line()),
            Piece::Section(self.fields()),
            Piece::Section(self.change_line()),
            Piece::Section(self.warning_lines()),
        ];
        let tail = [Piece::Links(self.links()), Piece::Context(self.context())];
        let spent: usize = head.iter().chain(&tail).map(Piece::chars).sum::<usize>()
            + text.as_str().chars().count();
        let (log, is_log_whole) = self.log(CHARS_MAX.saturating_sub(spent));
        let room = CHARS_MAX.saturating_sub(spent + log.as_str().chars().count());

        let (others, others_chars) = blocks_of(self.others);
        let own = head
            .iter()
            .chain(&tail)
            .filter(|piece| piece.chars() > 0)
            .count()
            + usize::from(!log.is_empty());
        let others_fit = others.is_empty()
            || (own + others.len() <= BLOCKS_MAX && others_chars <= room && log.is_empty());
        let mut blocks = head
            .into_iter()
            .fold(Blocks::new(), Piece::onto)
            .section(log);
        let mut thread = Blocks::new();
        if others_fit {
            blocks = blocks.then(others);
        } else {
            thread = thread.then(others);
        }
        if !is_log_whole {
            thread = thread.then(self.whole_log());
        }
        Composed {
            text,
            blocks: tail.into_iter().fold(blocks, Piece::onto),
            thread,
        }
    }

    /// Returns the line that phones show: `[FIRING] critical customer/rs-transformer: …, cluster-main`.
    pub(crate) fn text(&self, status: &str, what: &str) -> String {
        let severity = self
            .alert
            .severity()
            .map(|severity| format!(" {}", clip(&severity, 20)))
            .unwrap_or_default();
        let cluster = self
            .alert
            .label("cluster")
            .map(|cluster| format!(", {}", clip(cluster, 60)))
            .unwrap_or_default();
        format!("[{status}]{severity} {}: {what}{cluster}", self.who())
    }

    /// Returns `namespace/workload`, for headers.
    pub(crate) fn subject(&self) -> String {
        let workload = self
            .workload_name()
            .or(self.alert.label("pod"))
            .unwrap_or("unknown pod");
        match self.alert.label("namespace") {
            Some(namespace) => format!("{namespace}/{workload}"),
            None => workload.to_owned(),
        }
    }

    pub(crate) fn workload_name(&self) -> Option<&str> {
        let found = self
            .findings
            .and_then(|findings| findings.workload.as_ref())
            .map(|w| w.name.as_str());
        let labelled = || {
            ["deployment", "statefulset", "daemonset", "job_name"]
                .iter()
                .find_map(|l| self.alert.label(l))
        };
        found
            .or_else(labelled)
            .or_else(|| workload_of(self.alert.label("pod")?))
    }

    /// Where it is known why it crashes, the container says more than the pod's random name; else the pod is all.
    fn who(&self) -> String {
        let namespace = self
            .alert
            .label("namespace")
            .map(|ns| format!("{}/", clip(ns, 63)))
            .unwrap_or_default();
        if let Some(container) = self.container().filter(|_| self.verdict().is_some()) {
            return format!("{namespace}{}", clip(&container.name, 63));
        }
        let pod = clip(self.alert.label("pod").unwrap_or("unknown pod"), 120);
        match self.alert.label("container") {
            Some(container) => format!("{namespace}{pod} ({})", clip(container, 63)),
            None => format!("{namespace}{pod}"),
        }
    }

    pub(crate) fn container(&self) -> Option<&Container> {
        self.findings?.container.as_ref()
    }

    fn state(&self) -> PodState {
        self.findings
            .map(|findings| findings.pod)
            .unwrap_or_default()
    }

    fn verdict(&self) -> Option<&Verdict> {
        self.findings?.verdict.as_ref()
    }

    fn what_happens(&self) -> String {
        if let (Some(verdict), Some(container)) = (self.verdict(), self.container()) {
            return format!(
                "{}, {} restarts",
                clip(&verdict.short, 60),
                container.restarts
            );
        }
        let summary = self.alert.summary().unwrap_or("crash looping");
        let said = clip(summary.trim_end_matches('.'), 120);
        match self.state() {
            PodState::Gone => format!("{said} (the pod is gone)"),
            PodState::Replaced => format!("{said} (the pod was replaced)"),
            PodState::Present | PodState::Unknown => said,
        }
    }

    /// Returns the verdict in one sentence; where there is none, what the alert itself says.
    pub(crate) fn verdict_line(&self) -> Mrkdwn {
        let line = match (self.state(), self.verdict()) {
            (PodState::Gone, _) => Mrkdwn::new()
                .bold("The pod is gone:")
                .text(" deleted or replaced since the alert began. ")
                .text(self.said_by_alert()),
            (PodState::Replaced, _) => Mrkdwn::new()
                .bold("The pod was replaced")
                .text(" by another of the same name since the alert began. ")
                .text(self.said_by_alert()),
            (_, Some(verdict)) => {
                let line = Mrkdwn::new()
                    .bold(format!("{}:", verdict.lead))
                    .text(" ")
                    .text(clip(&verdict.rest, 260));
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
            (_, None) => {
                let summary = self.alert.summary().unwrap_or("Pod is crash looping.");
                Mrkdwn::new()
                    .bold(clip(summary, 150))
                    .text(" ")
                    .prose(clip(self.alert.description().unwrap_or_default(), 600))
            }
        };
        line.truncated(800)
    }

    fn said_by_alert(&self) -> String {
        clip(
            self.alert
                .description()
                .or(self.alert.summary())
                .unwrap_or_default(),
            300,
        )
    }

    pub(crate) fn change_line(&self) -> Mrkdwn {
        let began = Some(self.alert.starts_at.seconds);
        match self
            .findings
            .and_then(|findings| findings.change.as_ref())
            .and_then(|change: &Change| change.told(began))
        {
            Some(told) => Mrkdwn::new()
                .bold("Changed:")
                .text(" ")
                .text(clip(&told, 300))
                .truncated(400),
            None => Mrkdwn::new(),
        }
    }

    fn warning_lines(&self) -> Mrkdwn {
        let warnings = self
            .findings
            .map_or(&[][..], |findings| findings.warnings.as_slice());
        let lines = warnings.iter().take(WARNINGS_MAX).map(|warning: &Warning| {
            let ago = warning
                .last
                .map(|at| format!(", {} ago", between(at, self.now)))
                .unwrap_or_default();
            let head = Mrkdwn::new()
                .bold(clip(&warning.reason, 40))
                .text(format!(" ×{}{ago}: ", warning.count));
            head.text(clip(&warning.message, 110)).truncated(220)
        });
        Mrkdwn::join(lines, "\n")
    }

    fn context(&self) -> Mrkdwn {
        let mut parts = vec![self.since()];
        let received = self.alert.received_at.seconds;
        if self.now.saturating_sub(received)
            > i64::try_from(2 * MINUTE.as_secs()).unwrap_or(i64::MAX)
        {
            parts.push(Mrkdwn::from(format!(
                "told {} after it arrived: it waited in the queue",
                between(received, self.now)
            )));
        }
        parts.extend(
            self.not_fetched()
                .into_iter()
                .map(|missed| Mrkdwn::from(clip(&missed, 200))),
        );
        parts.extend(
            self.settings
                .complaints
                .iter()
                .map(|complaint| Mrkdwn::from(clip(complaint, 120))),
        );
        parts.push(Mrkdwn::from(clip(
            &format!("delivery {}", self.delivery_id),
            60,
        )));
        Mrkdwn::join(parts, " · ").truncated(600)
    }

    pub(crate) fn since(&self) -> Mrkdwn {
        let began = &self.alert.starts_at;
        let lasted = human(self.alert.duration(&Timestamp::from_seconds(self.now)));
        Mrkdwn::from("since ")
            .then(Mrkdwn::raw(began.slack_date()))
            .text(format!(" ({lasted})"))
    }

    /// Returns what could not be found out, and why, by this handler and by those before it.
    pub(crate) fn not_fetched(&self) -> Vec<String> {
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
        for (handler, why) in self.others.failures() {
            let why = reason(why);
            missed.push(match handler {
                HANDLER => format!("not fetched: Kubernetes: {why}"),
                other => format!("{other} could not enrich: {why}"),
            });
        }
        missed
    }
}

/// A failure's reason may go on with lines of configuration, which are for the operator's log.
fn reason(why: &str) -> String {
    let line = why
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("no reason given");
    match line.split_once("not granted") {
        Some(_) => "not granted".to_owned(),
        None => clip(&mask::text(line), 120),
    }
}

/// Returns other handlers' blocks and how many characters they show.
fn blocks_of(others: &Enrichment) -> (Blocks, usize) {
    let blocks = Blocks::new().enrichment(others);
    let json: Value = serde_json::from_str(&blocks.to_json()).unwrap_or_default();
    (blocks, shown_chars(&json))
}

fn shown_chars(value: &Value) -> usize {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, inner)| match inner {
                Value::String(text) if key == "text" => text.chars().count(),
                inner => shown_chars(inner),
            })
            .sum(),
        Value::Array(items) => items.iter().map(shown_chars).sum(),
        _ => 0,
    }
}

/// One block to come, measurable before it is laid out.
#[derive(Debug)]
enum Piece {
    Header(String),
    Section(Mrkdwn),
    Links(Vec<(&'static str, String)>),
    Context(Mrkdwn),
}

impl Piece {
    fn chars(&self) -> usize {
        match self {
            Self::Header(text) => text.chars().count(),
            Self::Section(text) | Self::Context(text) => text.as_str().chars().count(),
            Self::Links(links) => links
                .iter()
                .map(|(title, url)| title.len() + url.chars().count() + 6)
                .sum(),
        }
    }

    fn onto(blocks: Blocks, piece: Self) -> Blocks {
        match piece {
            Self::Header(text) => blocks.header(text),
            Self::Section(text) => blocks.section(text),
            Self::Links(links) => blocks.links(links),
            Self::Context(text) => blocks.context([text]),
        }
    }
}
