//! A common layout for the messages of all handlers, so that the same information is always in the same place.
//!
//! From the top: the header (alertname and place); a section with status, severity, priority and the most important
//! finding; the alert's own text; name and value pairs; what else the handler found; links; and a line of context.
//! [`Notice`] provides the parts that come from the alert; [`Card`] puts parts together within size limits.
//!
//! [`Notice`] reads [`SETTINGS`]; a handler declares them together with its own.

mod card;
/// Returns whether a fact is the host's own.
fn is_hosts(name: &str) -> bool {
    const PREFIXES: [&str; 3] = ["enrich_failed.", "storm.", "late."];
    name == "priority" || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests;
mod words;

use std::time::Duration;

use crate::slack::Mrkdwn;
use crate::subject::Subject;
use crate::time::{MINUTE, human};
use crate::{Alert, Cx, Enrichment, Setting, Severity};
use words::{NAME_CHARS_MAX, VALUE_CHARS_MAX, cut_words, reason};

pub use card::{BLOCKS_MAX, CHARS_MAX, Card, LINES_MAX, REPLIES_MAX};
pub use words::{clip, pairs};

const TEXT_CHARS_MAX: usize = 300;
const SUMMARY_CHARS_MAX: usize = 200;
const DESCRIPTION_CHARS_MAX: usize = 600;
const DESCRIPTION_LINES_MAX: usize = 6;
/// The labels that a message shows at most.
pub const LABELS_MAX: usize = 8;
const FACTS_MAX: usize = 12;
const LINKS_CHARS_MAX: usize = 800;
const CONTEXT_CHARS_MAX: usize = 800;
/// A message that is posted later than this says so, and why.
const LATE_AFTER: Duration = Duration::from_secs(120);

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
    found: Vec<(&'a str, &'a str)>,
    subject: Subject<'a>,
}

impl<'a> Notice<'a> {
    /// Returns the parts for an alert and its enrichment.
    pub fn new(cx: &'a Cx, alert: &'a Alert, found: &'a Enrichment) -> Self {
        let found = found
            .facts
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        Self {
            cx,
            alert,
            found,
            subject: alert.subject(),
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

    /// Returns the line that notifications on a phone show: `[FIRING] critical WHO: WHAT, CLUSTER`.
    pub fn text(&self, who: &str, what: &str) -> Mrkdwn {
        let status = if self.alert.is_firing() {
            "FIRING"
        } else {
            "RESOLVED"
        };
        let severity = self
            .alert
            .severity()
            .map(|severity| format!(" {}", clip(&severity, 20)))
            .unwrap_or_default();
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
        Mrkdwn::from(clip(
            &format!("[{status}]{severity} {who}{what}{cluster}"),
            TEXT_CHARS_MAX,
        ))
        .truncated(TEXT_CHARS_MAX)
    }

    /// Returns the header: the alert's name and the place.
    pub fn header(&self, place: Option<&str>) -> String {
        let place = place.map(|place| format!(" · {place}")).unwrap_or_default();
        format!("{}{place}", self.name())
    }

    /// Returns status, severity and priority on one line, after an emoji for quick recognition:
    /// `🔴 *FIRING* · critical · P0`.
    pub fn status(&self) -> Mrkdwn {
        let status = if self.alert.is_firing() {
            "FIRING"
        } else {
            "RESOLVED"
        };
        let status = match self.emoji() {
            Some(emoji) => Mrkdwn::from(format!("{emoji} ")).bold(status),
            None => Mrkdwn::new().bold(status),
        };
        let severity = self.alert.severity().map(|word| clip(&word, 20));
        let priority = self.alert.priority().map(|word| clip(word, 20));
        let parts = [severity, priority].into_iter().flatten().map(Mrkdwn::from);
        Mrkdwn::join(std::iter::once(status).chain(parts), " · ")
    }

    fn emoji(&self) -> Option<String> {
        if matches!(
            self.cx.setting(&EMOJI).as_deref(),
            Some("off" | "false" | "no")
        ) {
            return None;
        }
        let setting = match self.alert.level() {
            _ if self.alert.is_resolved() => &EMOJI_RESOLVED,
            Severity::Critical => &EMOJI_CRITICAL,
            Severity::Warning => &EMOJI_WARNING,
            Severity::Info => &EMOJI_INFO,
            Severity::Unknown => &EMOJI_UNKNOWN,
        };
        Some(clip(&self.cx.setting(setting)?, 40))
    }

    /// Returns how many alerts of a storm the message represents; empty if it represents one.
    pub fn storm(&self) -> Mrkdwn {
        let Some(count) = self.fact("storm.count") else {
            return Mrkdwn::new();
        };
        let first = self
            .fact("storm.first")
            .map(|first| format!(", the first {first}"))
            .unwrap_or_default();
        Mrkdwn::from(clip(&format!("Stands for {count} alerts{first}."), 120))
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

    /// Returns the alert's own text: its summary, followed by its description.
    pub fn said(&self) -> Mrkdwn {
        let summary = cut_words(self.summary().unwrap_or_default(), SUMMARY_CHARS_MAX);
        let summary = Mrkdwn::new().bold(summary);
        let description = cut_words(
            self.description().unwrap_or_default(),
            DESCRIPTION_CHARS_MAX,
        );
        let description = card::cut(
            &Mrkdwn::new().prose(description),
            DESCRIPTION_LINES_MAX,
            usize::MAX,
        );
        Mrkdwn::join([summary, description], "\n")
    }

    /// Returns the alert's own text on one line and without emphasis, for a message that puts a finding first.
    pub fn said_briefly(&self) -> Mrkdwn {
        let parts = [self.summary(), self.description()].into_iter().flatten();
        let line: Vec<&str> = parts.flat_map(str::split_whitespace).collect();
        Mrkdwn::new().prose(cut_words(&line.join(" "), DESCRIPTION_CHARS_MAX))
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
    /// returns true, because another part of the message shows them.
    pub fn facts(&self, is_said: impl Fn(&str) -> bool) -> Mrkdwn {
        let facts = self
            .found
            .iter()
            .filter(|(name, _)| !is_hosts(name))
            .filter(|(name, _)| !is_said(name))
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
    /// known. A resolved alert gets no link to a silence.
    pub fn links(&self, workload: Option<(&str, &str)>) -> Vec<(&'static str, String)> {
        let owned = |url: Option<&str>| url.map(str::to_owned);
        let runbook = self.alert.runbook_url().map(str::to_owned).or_else(|| {
            let base = self.cx.setting(&RUNBOOK_BASE)?;
            let name = crate::http::encode(&self.alert.name);
            Some(format!("{}/{name}", base.trim_end_matches('/')))
        });
        let silence = match self.alert.is_firing() {
            true => self.subject.silence_url(workload),
            false => None,
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

    /// Returns the line of context: since when, how late and why, the receiver, whatever `more` holds, and the delivery.
    pub fn context(&self, more: impl IntoIterator<Item = Mrkdwn>) -> Mrkdwn {
        let mut parts = vec![self.since()];
        if self.alert.delay() >= MINUTE {
            // "arrived", not "late": a reminder arrives hours after the alert began, as intended.
            let event = if self.alert.is_firing() {
                "began"
            } else {
                "ended"
            };
            let delay = human(self.alert.delay());
            parts.push(Mrkdwn::from(format!("arrived {delay} after it {event}")));
        }
        parts.extend(self.lateness().map(Mrkdwn::from));
        let receiver = self.alert.origin.receiver.as_deref();
        parts.extend(
            receiver.map(|receiver| Mrkdwn::from(format!("receiver {}", clip(receiver, 60)))),
        );
        parts.extend(more);
        let delivery = Mrkdwn::from(clip(
            &format!("delivery {}", self.cx.call().delivery_id),
            60,
        ));
        let room = CONTEXT_CHARS_MAX - delivery.as_str().chars().count() - " · ".len();
        Mrkdwn::join(
            [Mrkdwn::join(parts, " · ").truncated(room), delivery],
            " · ",
        )
    }

    /// Returns the handlers that could not enrich, each with a short reason.
    pub fn failures(&self) -> Vec<(&'a str, String)> {
        self.found
            .iter()
            .filter_map(|(name, why)| Some((name.strip_prefix("enrich_failed.")?, reason(why))))
            .collect()
    }

    fn since(&self) -> Mrkdwn {
        let began = Mrkdwn::raw(self.alert.starts_at.slack_date());
        let length = human(self.alert.duration(&self.cx.now()));
        match self.alert.is_firing() {
            true => Mrkdwn::from("since ")
                .then(began)
                .text(format!(" ({length})")),
            false => Mrkdwn::from(format!("fired for {length}, from ")).then(began),
        }
    }

    fn lateness(&self) -> Option<String> {
        let waited = self.cx.now().since(&self.alert.received_at);
        if waited <= LATE_AFTER {
            return None;
        }
        let why = match self.cx.call().attempt {
            0 | 1 => "it waited in the queue".to_owned(),
            attempt => format!("this is attempt {attempt}"),
        };
        Some(format!(
            "posted {} after it was received: {why}",
            human(waited)
        ))
    }

    fn fact(&self, name: &str) -> Option<&'a str> {
        self.found
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| *value)
    }
}
