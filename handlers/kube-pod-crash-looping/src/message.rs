//! Lays out the message: at most 12 blocks, 25 lines and 3,000 characters, what matters most first.

use handler_sdk::prelude::*;
use handler_sdk::serde_json::Value;
use handler_sdk::time::{MINUTE, human};
use handler_sdk::{mask, serde_json};

use crate::findings::{Change, Container, Findings, HANDLER, Log, Warning, Workload};
use crate::settings::{Logs, Settings};
use crate::words::{between, clip, image_tag, workload_of};

pub(crate) const BLOCKS_MAX: usize = 12;
pub(crate) const CHARS_MAX: usize = 3_000;
const LOG_LINES_MAX: usize = 12;
const LOG_CHARS_MAX: usize = 1_500;
/// A log that is shown shorter than this says less than the line that announces it.
const LOG_CHARS_MIN: usize = 120;
const WARNINGS_MAX: usize = 3;
const FIELDS_MAX: usize = 8;
const LINKS_CHARS_MAX: usize = 800;

/// Labels that tell of the exporter or are said elsewhere, not of the pod.
const NOT_DISTINGUISHING: [&str; 14] = [
    "alertname",
    "severity",
    "cluster",
    "namespace",
    "pod",
    "container",
    "uid",
    "fingerprint",
    "job",
    "service",
    "endpoint",
    "instance",
    "prometheus",
    "replica",
];

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

    fn workload_name(&self) -> Option<&str> {
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

    fn container(&self) -> Option<&Container> {
        self.findings?.container.as_ref()
    }

    fn verdict(&self) -> Option<&crate::findings::Verdict> {
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
        clip(
            self.alert
                .summary()
                .unwrap_or("crash looping")
                .trim_end_matches('.'),
            120,
        )
    }

    /// Returns the verdict in one sentence; where there is none, what the alert itself says.
    pub(crate) fn verdict_line(&self) -> Mrkdwn {
        use crate::findings::PodState;
        let state = self
            .findings
            .map(|findings| findings.pod)
            .unwrap_or_default();
        let line = match (state, self.verdict()) {
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

    /// Returns up to eight names with values, two on a line: real fields would take sixteen lines.
    fn fields(&self) -> Mrkdwn {
        let label = |name: &str| self.alert.label(name).map(str::to_owned);
        let container = self.container();
        let exit = container.and_then(|container| container.last_exit.as_ref());
        let mut fields: Vec<(String, Option<String>)> = vec![
            ("Cluster".to_owned(), label("cluster")),
            ("Workload".to_owned(), self.workload_words()),
            ("Pod".to_owned(), self.pod_words()),
            (
                "Restarts".to_owned(),
                container.map(|container| container.restarts.to_string()),
            ),
            (
                "Last exit".to_owned(),
                exit.map(|exit| self.exit_words(exit)),
            ),
            (
                "Image".to_owned(),
                container
                    .and_then(|container| container.image.as_deref())
                    .map(image_tag),
            ),
            (
                "Node".to_owned(),
                self.node_words().or_else(|| label("node")),
            ),
            ("Owner".to_owned(), self.owner()),
        ];
        let distinguishing = self.alert.labels.iter().filter(|(name, value)| {
            !NOT_DISTINGUISHING.contains(&name.as_str())
                && !value.is_empty()
                && !["node", "owner", "team"].contains(&name.as_str())
        });
        fields.extend(distinguishing.map(|(name, value)| (clip(name, 30), Some(value.clone()))));
        let shown: Vec<Mrkdwn> = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name, clip(&value?, 90))))
            .take(FIELDS_MAX)
            .map(|(name, value)| Mrkdwn::new().bold(format!("{name}:")).text(" ").text(value))
            .collect();
        let lines = shown
            .chunks(2)
            .map(|pair| Mrkdwn::join(pair.iter().cloned(), "   "));
        Mrkdwn::join(lines, "\n").truncated(800)
    }

    fn workload_words(&self) -> Option<String> {
        let Some(Workload { kind, name, ready }) = self
            .findings
            .and_then(|findings| findings.workload.as_ref())
        else {
            return self.workload_name().map(str::to_owned);
        };
        Some(match ready {
            Some((ready, wanted)) => format!("{kind} {name}, {ready}/{wanted} ready"),
            None => format!("{kind} {name}"),
        })
    }

    fn pod_words(&self) -> Option<String> {
        let pod = self.alert.label("pod")?;
        let container = self
            .container()
            .map(|container| container.name.as_str())
            .or(self.alert.label("container"));
        Some(container.map_or_else(
            || pod.to_owned(),
            |container| format!("{pod} / {container}"),
        ))
    }

    fn exit_words(&self, exit: &crate::findings::Exit) -> String {
        let ago = exit
            .finished
            .map(|at| format!(", {} ago", between(at, self.now)))
            .unwrap_or_default();
        format!("{} ({}){ago}", exit.reason, exit.code)
    }

    fn node_words(&self) -> Option<String> {
        let node = self.findings?.node.as_ref()?;
        let troubles = node
            .troubles
            .iter()
            .map(|trouble| format!(", {trouble}"))
            .collect::<String>();
        Some(format!("{}{troubles}", node.name))
    }

    fn owner(&self) -> Option<String> {
        let labelled = ["owner", "team"]
            .iter()
            .find_map(|label| self.alert.label(label));
        let found = self.findings.and_then(|findings| findings.owner.as_deref());
        self.others
            .fact("owner")
            .or(found)
            .or(labelled)
            .map(str::to_owned)
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

    /// Returns the end of the log within so many characters, and whether that is all of it.
    fn log(&self, chars_left: usize) -> (Mrkdwn, bool) {
        let Some(log) = self.findings.and_then(|findings| findings.log.as_ref()) else {
            return (Mrkdwn::new(), true);
        };
        if log.lines.is_empty() || self.settings.logs == Logs::Off {
            return (Mrkdwn::new(), true);
        }
        let title = log_title(log);
        let title_chars = title.as_str().chars().count() + 10;
        let room = chars_left.saturating_sub(title_chars).min(LOG_CHARS_MAX);
        if self.settings.logs == Logs::Thread || room < LOG_CHARS_MIN {
            return (Mrkdwn::new(), false);
        }
        let shown = last_lines(&log.lines, LOG_LINES_MAX, room);
        let is_whole =
            shown.len() == log.lines.len() && shown.iter().zip(&log.lines).all(|(a, b)| a == b);
        (title.text("\n").then(fenced(&shown.join("\n"))), is_whole)
    }

    /// Returns the whole log that was read, in as many sections as it takes.
    fn whole_log(&self) -> Blocks {
        const SECTION_CHARS: usize = 2_800;
        const SECTIONS_MAX: usize = 12;
        let Some(log) = self.findings.and_then(|findings| findings.log.as_ref()) else {
            return Blocks::new();
        };
        let mut sections: Vec<Vec<String>> = Vec::new();
        let mut end = log.lines.len();
        while end > 0 && sections.len() < SECTIONS_MAX {
            let lines = last_lines(&log.lines[..end], usize::MAX, SECTION_CHARS);
            end -= lines.len();
            sections.push(lines);
        }
        let start = Blocks::new().section(log_title(log));
        sections.iter().rev().fold(start, |blocks, lines| {
            blocks.section(fenced(&lines.join("\n")))
        })
    }

    /// Returns titles and addresses, as many as fit.
    pub(crate) fn links(&self) -> Vec<(&'static str, String)> {
        let alert = self.alert;
        let runbook = alert.runbook_url().map(str::to_owned).or_else(|| {
            let base = self.settings.runbook_base.as_deref()?;
            Some(format!("{base}/{}", handler_sdk::http::encode(&alert.name)))
        });
        let story = self
            .settings
            .story_base
            .as_deref()
            .map(|base| format!("{base}/{}", self.delivery_id));
        let all = [
            ("Runbook", runbook),
            (
                "Dashboard",
                alert
                    .dashboard_url()
                    .or(alert.panel_url())
                    .map(str::to_owned),
            ),
            ("Query", alert.query_url().map(str::to_owned)),
            ("Silence", self.silence_url()),
            ("Story", story),
        ];
        let mut left = LINKS_CHARS_MAX;
        let mut links = Vec::new();
        for (title, url) in all {
            let Some(url) = url else { continue };
            let chars = url.chars().count() + title.len() + 5;
            if chars <= left {
                left -= chars;
                links.push((title, url));
            }
        }
        links
    }

    /// All labels in a silence make a link that is longer than the rest of the message.
    fn silence_url(&self) -> Option<String> {
        let mut alert = self.alert.clone();
        alert.labels.retain(|(name, _)| {
            ["alertname", "cluster", "namespace", "pod", "container"].contains(&name.as_str())
        });
        alert.silence_url()
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

fn log_title(log: &Log) -> Mrkdwn {
    let which = if log.is_previous {
        "Log before the crash:"
    } else {
        "Log (of the present container):"
    };
    Mrkdwn::new().bold(which)
}

/// Returns the last lines that fit, measured as Slack counts them: escaped.
fn last_lines(lines: &[String], lines_max: usize, chars_max: usize) -> Vec<String> {
    let mut left = chars_max;
    let mut shown: Vec<String> = Vec::new();
    for line in lines.iter().rev().take(lines_max) {
        let chars = escaped_chars(line) + 1;
        if chars <= left {
            left -= chars;
            shown.push(line.clone());
            continue;
        }
        if shown.is_empty() {
            // Not even the last line fits: its beginning is what there is room for. Escaping makes at most five of one.
            let fitting = if line.chars().count() == escaped_chars(line) {
                chars_max
            } else {
                chars_max / 5
            };
            shown.push(clip(line, fitting.saturating_sub(1)));
        }
        break;
    }
    shown.reverse();
    shown
}

fn escaped_chars(text: &str) -> usize {
    Mrkdwn::from(text).as_str().chars().count()
}

/// Fences without line ends of their own, which would count as lines.
fn fenced(text: &str) -> Mrkdwn {
    // A zero-width space keeps three backticks of the text from ending the block.
    let inert = Mrkdwn::from(text.replace("```", "``\u{200b}`"));
    Mrkdwn::raw("```").then(inert).then(Mrkdwn::raw("```"))
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
