//! A common layout for the messages of all handlers, so that the same information is always in the same place.
//!
//! From the top: the header (alertname and place); a section with status, severity, priority and the most important
//! finding; the alert's own text; name and value pairs; what else the handler found; links; and a line of context.
//! [`Notice`] provides the parts that come from the alert; [`Card`] puts parts together within size limits. For a storm,
//! [`Notice::storm_card`] returns the whole message.
//!
//! [`Notice`] reads [`SETTINGS`]; a handler declares them together with its own.

mod card;
mod context;
mod group;
mod storm;
#[cfg(test)]
mod tests;
mod words;

use crate::slack::Mrkdwn;
use crate::storm::Storm;
use crate::subject::Subject;
use crate::{Alert, Block, Cx, Enrichment, Setting, Severity};
use words::{NAME_CHARS_MAX, VALUE_CHARS_MAX, cut_words, split_words};

pub use card::{BLOCKS_MAX, CHARS_MAX, Card, LINES_MAX, REPLIES_MAX};
pub(crate) use words::capitalized;
pub use words::{clip, pairs};

const TEXT_CHARS_MAX: usize = 300;
const SUMMARY_CHARS_MAX: usize = 200;
const DESCRIPTION_CHARS_MAX: usize = 600;
const DESCRIPTION_LINES_MAX: usize = 6;
/// The labels that a message shows at most.
pub const LABELS_MAX: usize = 8;
const FACTS_MAX: usize = 12;
const LINKS_CHARS_MAX: usize = 800;
/// Facts that the host gives, which parts of the message say in words.
const HOSTS_FACTS: [&str; 2] = ["priority", "late.why"];

const EMOJI: Setting = Setting::one_of(
    "emoji",
    &["on", "off", "true", "false", "yes", "no"],
    "whether the severity has an emoji",
)
.default("on");
const EMOJI_CRITICAL: Setting =
    Setting::string("emoji.critical", "the emoji of a critical alert, as :fire:").default("🔴");
const EMOJI_WARNING: Setting =
    Setting::string("emoji.warning", "the emoji of a warning").default("🟠");
const EMOJI_INFO: Setting =
    Setting::string("emoji.info", "the emoji of an alert that only informs").default("🔵");
const EMOJI_UNKNOWN: Setting = Setting::string(
    "emoji.unknown",
    "the emoji of an alert without a known severity",
)
.default("⚪");
const EMOJI_RESOLVED: Setting =
    Setting::string("emoji.resolved", "the emoji of an alert that has resolved").default("✅");
const RUNBOOK_BASE: Setting = Setting::url(
    "runbook_base",
    "where runbooks are, for an alert that names none: BASE/ALERTNAME",
);

/// The settings that [`Notice`] reads, for [`Description::settings`](crate::Description::settings).
pub const SETTINGS: [&Setting; 7] = [
    &EMOJI,
    &EMOJI_CRITICAL,
    &EMOJI_WARNING,
    &EMOJI_INFO,
    &EMOJI_UNKNOWN,
    &EMOJI_RESOLVED,
    &RUNBOOK_BASE,
];

/// The parts of a message that come from the alert, the same for every handler.
///
/// ```
/// use handler_sdk::layout::{Card, Notice};
/// use handler_sdk::mock::Host;
/// use handler_sdk::prelude::*;
/// use handler_sdk::time::MINUTE;
///
/// let cx = Host::new().now(Timestamp::from_seconds(0).plus(MINUTE)).cx();
/// let alert = Alert::new("DiskFull")
///     .with_label("severity", "critical")
///     .with_label("priority", "P1")
///     .with_label("instance", "db-1")
///     .with_annotation("summary", "No space is left.");
/// let found = Enrichment::new();
/// let notice = Notice::new(&cx, &alert, &found);
/// assert_eq!(notice.text("db-1", "no space").as_str(), "[FIRING] critical db-1: no space");
/// assert_eq!(notice.status().as_str(), "🔴 *FIRING* · critical · P1");
///
/// let card = Card::new(notice.text("db-1", "no space"), &notice.header(Some("db-1")))
///     .end(notice.links(None), notice.context([]))
///     .section(Mrkdwn::join([notice.status(), notice.said()], "\n"));
/// assert_eq!(card.blocks().len(), 3);
/// ```
#[derive(Debug)]
pub struct Notice<'a> {
    cx: &'a Cx,
    alert: &'a Alert,
    found: &'a Enrichment,
    subject: Subject<'a>,
    scope: Scope<'a>,
}

/// What the message is about.
#[derive(Debug)]
enum Scope<'a> {
    Alert,
    Storm(Storm<'a>),
    Group(Group),
}

/// The alerts of a group that share a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group {
    /// How urgent the most urgent of them are.
    pub(crate) level: Severity,
    /// How many fire.
    pub(crate) firing: u32,
    /// How many have resolved.
    pub(crate) resolved: u32,
}

impl<'a> Notice<'a> {
    /// Returns the parts for an alert and its enrichment.
    pub fn new(cx: &'a Cx, alert: &'a Alert, found: &'a Enrichment) -> Self {
        Self {
            cx,
            alert,
            found,
            subject: alert.subject(),
            scope: found.storm().map_or(Scope::Alert, Scope::Storm),
        }
    }

    /// Returns the subject of the alert.
    pub fn subject(&self) -> &Subject<'a> {
        &self.subject
    }

    /// Returns the alert's name, or a placeholder if it has none.
    pub fn name(&self) -> &'a str {
        match self.alert.name.as_str() {
            "" => "alert without a name",
            name => name,
        }
    }

    /// Returns how urgent the alert is: as the server ranks it by the operator's configuration (the fact `priority`), or else
    /// by its labels.
    pub fn level(&self) -> Severity {
        if let Scope::Group(group) = &self.scope {
            return group.level;
        }
        let labelled = self.alert.level();
        match (self.found.fact("priority"), labelled) {
            (Some("critical"), _) => Severity::Critical,
            (Some("warning"), _) => Severity::Warning,
            (Some("normal"), Severity::Critical | Severity::Warning) => Severity::Info,
            _ => labelled,
        }
    }

    /// Returns the line that notifications on a phone show: `[FIRING] critical WHO: WHAT, CLUSTER`.
    pub fn text(&self, who: &str, what: &str) -> Mrkdwn {
        let cluster = self
            .subject
            .label("cluster")
            .map(|cluster| format!(", {}", clip(cluster, 60)))
            .unwrap_or_default();
        let what = match (what, cluster.as_str()) {
            ("", _) => String::new(),
            (what, "") => format!(": {what}"),
            (what, _) => format!(": {}", what.trim_end_matches('.')),
        };
        self.line(&format!("{who}{what}{cluster}"))
    }

    /// Returns a line for notifications, after the status and the severity.
    fn line(&self, rest: &str) -> Mrkdwn {
        let status = match self.is_over() {
            false => "FIRING",
            true => "RESOLVED",
        };
        let ranked = self.rank().map(str::to_owned);
        let severity = ranked
            .or_else(|| self.label_of_all("severity").map(str::to_ascii_lowercase))
            .map(|severity| format!(" {}", clip(&severity, 20)))
            .unwrap_or_default();
        let line = format!("[{status}]{severity} {rest}");
        Mrkdwn::from(clip(&line, TEXT_CHARS_MAX)).truncated(TEXT_CHARS_MAX)
    }

    /// Returns the header: the alert's name and the place.
    pub fn header(&self, place: Option<&str>) -> String {
        let place = place.map(|place| format!(" · {place}")).unwrap_or_default();
        format!("{}{place}", self.name())
    }

    /// Returns status, severity and priority on one line, after an emoji for quick recognition:
    /// `🔴 *FIRING* · critical · P0`.
    pub fn status(&self) -> Mrkdwn {
        let status = match self.is_over() {
            false => "FIRING",
            true => "RESOLVED",
        };
        let status = match self.emoji() {
            Some(emoji) => Mrkdwn::from(format!("{emoji} ")).bold(status),
            None => Mrkdwn::new().bold(status),
        };
        let ranked = self.rank().map(str::to_owned);
        let severity = self.label_of_all("severity").map(str::to_ascii_lowercase);
        let priority = self.label_of_all("priority").map(str::to_owned);
        let words = [ranked, severity, priority].into_iter().flatten();
        let words = words.map(|word| Mrkdwn::from(clip(&word, 20)));
        Mrkdwn::join(std::iter::once(status).chain(words), " · ")
    }

    fn emoji(&self) -> Option<String> {
        if matches!(
            self.cx.setting(&EMOJI).as_deref(),
            Some("off" | "false" | "no")
        ) {
            return None;
        }
        let setting = match self.level() {
            _ if self.is_over() => &EMOJI_RESOLVED,
            Severity::Critical => &EMOJI_CRITICAL,
            Severity::Warning => &EMOJI_WARNING,
            Severity::Info => &EMOJI_INFO,
            Severity::Unknown => &EMOJI_UNKNOWN,
        };
        Some(clip(&self.cx.setting(setting)?, 40))
    }

    /// Returns whether the alert has resolved; for a storm, whether all its alerts have.
    pub fn is_over(&self) -> bool {
        match &self.scope {
            Scope::Alert => self.alert.is_resolved(),
            Scope::Storm(storm) => self.alert.is_resolved() && storm.is_over(),
            Scope::Group(group) => group.firing == 0,
        }
    }

    /// Returns the server's rank of the alert, if the label `severity` does not say the same.
    fn rank(&self) -> Option<&'a str> {
        let rank = match &self.scope {
            Scope::Group(group) => match group.level {
                Severity::Critical => "critical",
                Severity::Warning => "warning",
                Severity::Info | Severity::Unknown => return None,
            },
            Scope::Alert | Scope::Storm(_) => self.found.fact("priority")?,
        };
        let labelled = match self.label_of_all("severity") {
            Some(word) => Severity::of_word(word),
            None if rank == "normal" => return None,
            None => Severity::Unknown,
        };
        let is_known = ["critical", "warning", "normal"].contains(&rank);
        (is_known && labelled != self.level()).then_some(rank)
    }

    /// Returns a label of the alert; for several alerts, only if all have the same value.
    fn label_of_all(&self, name: &str) -> Option<&str> {
        match &self.scope {
            Scope::Alert => self.alert.label(name),
            Scope::Storm(storm) => storm.shared_label(name),
            Scope::Group(_) => {
                let mut labels = self.alert.origin.group_labels.iter();
                labels
                    .find(|(known, _)| known == name)
                    .map(|(_, value)| value.as_str())
            }
        }
    }

    /// Returns the alert's summary, unless it describes the exporter instead of the subject.
    pub fn summary(&self) -> Option<&'a str> {
        self.alert
            .summary()
            .filter(|text| !self.subject.is_misled(text))
    }

    /// Returns the alert's description, unless it describes the exporter instead of the subject.
    pub fn description(&self) -> Option<&'a str> {
        self.alert
            .description()
            .filter(|text| !self.subject.is_misled(text))
    }

    /// Returns the alert's own text: its summary, followed by its description. [`said_further`](Self::said_further) has what
    /// is cut off.
    pub fn said(&self) -> Mrkdwn {
        let (summary, _) = self.summary_parts();
        let (description, _) = self.description_parts();
        let summary = Mrkdwn::new().bold(summary);
        Mrkdwn::join([summary, Mrkdwn::new().prose(description)], "\n")
    }

    /// Returns what [`said`](Self::said) leaves out of a long text, for the thread.
    pub fn said_further(&self) -> Mrkdwn {
        let rest = [self.summary_parts().1, self.description_parts().1];
        Mrkdwn::join(rest.map(|text| Mrkdwn::new().prose(text)), "\n")
    }

    fn summary_parts(&self) -> (String, &'a str) {
        split_words(
            self.summary().unwrap_or_default(),
            SUMMARY_CHARS_MAX,
            usize::MAX,
        )
    }

    fn description_parts(&self) -> (String, &'a str) {
        split_words(
            self.description().unwrap_or_default(),
            DESCRIPTION_CHARS_MAX,
            DESCRIPTION_LINES_MAX,
        )
    }

    /// Returns the alert's own text on one line and without emphasis, for a message that puts a finding first.
    pub fn said_briefly(&self) -> Mrkdwn {
        let parts = [self.summary(), self.description()].into_iter().flatten();
        let one_line = |part: &str| part.split_whitespace().collect::<Vec<_>>().join(" ");
        let parts: Vec<String> = parts
            .map(one_line)
            .filter(|part| !part.is_empty())
            .collect();
        let said = match &parts[..] {
            // Without a mark at its end, the summary would run into the description.
            [summary, rest] if summary.ends_with(char::is_alphanumeric) => {
                format!("{summary}. {rest}")
            }
            parts => parts.join(" "),
        };
        Mrkdwn::new().prose(cut_words(&said, DESCRIPTION_CHARS_MAX))
    }

    /// Returns the labels that distinguish the alert from others of its name, the most distinctive first, at most
    /// [`LABELS_MAX`]. Labels named in `said` are left out, because another part of the message shows them.
    pub fn labels(&self, said: &[&str]) -> Vec<(String, String)> {
        self.subject
            .labels()
            .into_iter()
            .take(LABELS_MAX)
            .filter(|(name, _)| !said.contains(name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// Returns what earlier handlers found out, on one line, without the host's own facts and those for which `is_said`
    /// returns true, because another part of the message shows them; and without URLs that a link in the enrichment shows.
    pub fn facts(&self, is_said: impl Fn(&str) -> bool) -> Mrkdwn {
        let is_hosts = |name: &str| {
            name.starts_with("enrich_failed.")
                || name.starts_with("storm.")
                || HOSTS_FACTS.contains(&name)
        };
        let is_linked = |value: &str| {
            let is_link = |block: &Block| matches!(block, Block::Link(link) if link.url == value);
            self.found.blocks.iter().any(is_link)
        };
        let facts = self
            .found
            .facts
            .iter()
            .filter(|(name, value)| !is_hosts(name) && !is_said(name) && !is_linked(value))
            .take(FACTS_MAX)
            .map(|(name, value)| {
                Mrkdwn::new()
                    .bold(clip(name, NAME_CHARS_MAX))
                    .text(" ")
                    .text(clip(value, VALUE_CHARS_MAX))
            });
        Mrkdwn::join(facts, " · ")
    }

    /// Returns the links that a person needs next, as many as fit. `workload` is the kind and name of a pod's workload, if
    /// known. A resolved alert gets no link to a silence. A storm of alerts with several names gets none at all: those of one
    /// alert would lead to what says nothing about the others, and a silence for what is left in common could silence all.
    pub fn links(&self, workload: Option<(&str, &str)>) -> Vec<(&'static str, String)> {
        if self.storm().is_some_and(|storm| !self.has_one_name(storm)) {
            return Vec::new();
        }
        let owned = |url: Option<&str>| url.map(str::to_owned);
        let runbook = self.alert.runbook_url().map(str::to_owned).or_else(|| {
            let base = self.cx.setting(&RUNBOOK_BASE)?;
            let name = crate::http::encode(&self.alert.name);
            Some(format!("{}/{name}", base.trim_end_matches('/')))
        });
        let silence = match &self.scope {
            _ if self.is_over() => None,
            Scope::Alert => self.subject.silence_url(workload),
            Scope::Storm(storm) => self.subject.silence_url_of_storm(storm),
            Scope::Group(_) => self.subject.silence_url_of_group(),
        };
        let all = [
            ("Runbook", runbook),
            ("Dashboard", owned(self.alert.dashboard_url())),
            ("Panel", owned(self.alert.panel_url())),
            ("Silence", silence),
            ("Query", owned(self.alert.query_url())),
        ];
        let mut left = LINKS_CHARS_MAX;
        let mut links = Vec::new();
        for (title, url) in all {
            let Some(url) = url else { continue };
            // The length as Slack counts it: with markup, a separator, and `&` as `&amp;`.
            let chars = Mrkdwn::from(&url).as_str().chars().count() + title.len() + 6;
            if chars <= left {
                left -= chars;
                links.push((title, url));
            }
        }
        links
    }
}
