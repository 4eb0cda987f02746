//! The message of a storm: how many alerts, since when, what they have in common, the worst by name, what differs.

use super::words::capitalized;
use super::{Card, Notice, Scope, clip};
use crate::Timestamp;
use crate::enrichment::Table;
use crate::slack::{Blocks, Mrkdwn, Size};
use crate::storm::{Storm, all_resolved};
use crate::time::{HOUR, human};

/// The labels that say how far a storm reaches, the widest first.
const REACH: [&str; 8] = [
    "cluster",
    "region",
    "namespace",
    "node",
    "instance",
    "deployment",
    "service",
    "pod",
];
const NAMES_MAX: usize = 10;
const NAME_CHARS_MAX: usize = 100;
/// Names up to this length share a line with another.
const SHORT_NAME_CHARS_MAX: usize = 38;
const ROWS_MAX: usize = 8;
/// The lines of a table without its rows: the title, two fences and the header.
const TABLE_LINES: usize = 4;
const ONE_CHARS_MAX: usize = 400;
const SHARED_CHARS_MAX: usize = 300;

impl<'a> Notice<'a> {
    /// Returns the storm that the alert represents; `None` if it represents only itself.
    pub const fn storm(&self) -> Option<&Storm<'a>> {
        match &self.scope {
            Scope::Storm(storm) => Some(storm),
            Scope::Alert | Scope::Group(_) => None,
        }
    }

    /// Returns the message of a storm; `None` if the alert represents only itself.
    ///
    /// `one` is what the handler found out about one alert, with its name; the message says that only this one was looked at.
    /// If it is empty, the message has the representative's own text. `is_said` is that of [`Self::facts`], and `more` that
    /// of [`Self::context`].
    pub fn storm_card(
        &self,
        one: Mrkdwn,
        is_said: impl Fn(&str) -> bool,
        more: impl IntoIterator<Item = Mrkdwn>,
    ) -> Option<Card> {
        let storm = self.storm()?;
        let (names, table) = (self.names(storm), self.table(storm));
        let findings = Blocks::new().found(self.found.blocks_of_handlers());
        let card = Card::new(self.storm_text(storm), &self.storm_header(storm))
            .replies_max(1)
            .end(self.links(None), self.context(more))
            .section(self.storm_lead(storm))
            .section(Mrkdwn::join(
                [self.one(one), self.shared(storm), self.facts(is_said)],
                "\n",
            ))
            .whole(names, Size::default());
        let card = match table {
            Some(rows) => with_table(card, rows),
            None => card,
        };
        Some(card.whole(findings, Size::default()))
    }

    /// Returns the line for notifications: `[FIRING] critical 240 × NAME: 12 namespaces, CLUSTER, since 03:12 UTC`.
    fn storm_text(&self, storm: &Storm<'_>) -> Mrkdwn {
        let lasted = storm.since.map(|_| human(self.lasted(storm)));
        let ends = match (storm.resolved, self.is_over(), lasted) {
            (_, true, Some(lasted)) => {
                Some(format!("{} after {lasted}", all_resolved(storm.count)))
            }
            (_, true, None) => Some(all_resolved(storm.count)),
            (0, false, _) => None,
            (resolved, false, _) => Some(format!("{resolved} of {} have resolved", storm.count)),
        };
        let reach = self.reach(storm);
        let cluster = self
            .shared_label(storm, "cluster")
            .map(|name| clip(name, 60));
        let since = storm.since.filter(|_| !self.is_over());
        let time = since.map(|since| self.since_in_words(&since));
        let parts: Vec<String> = [ends, reach, cluster, time].into_iter().flatten().collect();
        let what = match parts.is_empty() {
            true => String::new(),
            false => format!(": {}", parts.join(", ")),
        };
        self.line(&format!("{}{what}", self.title(storm)))
    }

    /// Returns how many alerts there are, and their name; how many names, if they have several.
    fn title(&self, storm: &Storm<'_>) -> String {
        if self.has_one_name(storm) {
            return format!("{} × {}", storm.count, clip(self.name(), 100));
        }
        match storm.number_of("alertname") {
            Some(names) => format!("{} alerts of {names} names", storm.count),
            None => format!("{} alerts of several names", storm.count),
        }
    }

    /// Returns whether all alerts of the storm have the representative's name. Those that wait for one channel may run as one
    /// whatever their names.
    pub(super) fn has_one_name(&self, storm: &Storm<'_>) -> bool {
        let is_nameless = self.alert.name.is_empty() && storm.values_of("alertname").is_none();
        is_nameless || storm.shared_label("alertname") == Some(self.alert.name.as_str())
    }

    fn storm_header(&self, storm: &Storm<'_>) -> String {
        let labels = ["namespace", "cluster", "region"];
        let place = labels
            .iter()
            .find_map(|label| self.shared_label(storm, label));
        let place = place.map(|place| format!(" · {place}")).unwrap_or_default();
        format!("{}{place}", self.title(storm))
    }

    /// Returns the status, how many alerts there are and since when, and how many have resolved.
    fn storm_lead(&self, storm: &Storm<'_>) -> Mrkdwn {
        let alerts = match storm.count {
            1 => "1 alert".to_owned(),
            count => format!("{count} alerts"),
        };
        let reach = self.reach(storm).map(|reach| format!(", {reach}"));
        let many = Mrkdwn::new().bold(alerts).text(reach.unwrap_or_default());
        let many = match &storm.since {
            None => many,
            Some(since) => {
                let lasted = human(self.lasted(storm));
                let since = Mrkdwn::raw(since.slack_date());
                match self.is_over() {
                    true => many
                        .text(format!(", fired for {lasted}, from "))
                        .then(since),
                    false => many
                        .text(", since ")
                        .then(since)
                        .text(format!(" ({lasted})")),
                }
            }
        };
        Mrkdwn::join([self.status(), many, resolved_line(storm)], "\n")
    }

    /// Returns how far the storm reaches, by the widest label that differs: `12 namespaces`.
    fn reach(&self, storm: &Storm<'_>) -> Option<String> {
        let (label, values) = REACH.iter().find_map(|label| {
            let exported = format!("exported_{label}");
            let raw = match storm.values_of(&exported) {
                Some(_) => exported.as_str(),
                None => label,
            };
            storm.values_of(raw).filter(|values| *values > 1)?;
            let values = storm.number_of(raw)?;
            self.subject.describes(raw).then_some((*label, values))
        })?;
        Some(format!("{values} {label}s"))
    }

    /// Returns what is known about one of the alerts.
    pub(super) fn one(&self, found: Mrkdwn) -> Mrkdwn {
        if !found.is_empty() {
            return Mrkdwn::from("Only one was looked at, ").then(found);
        }
        let said = self.said_briefly().truncated(ONE_CHARS_MAX);
        // One that has resolved says nothing about those that fire.
        let is_past = self.alert.is_resolved() && !self.is_over();
        if said.is_empty() || is_past {
            return Mrkdwn::new();
        }
        let has_one_name = self.storm().is_none_or(|storm| self.has_one_name(storm));
        let name = (!has_one_name).then(|| clip(self.name(), 100));
        let place = self.subject.place().map(|place| clip(&place, 120));
        let which: Vec<String> = name.into_iter().chain(place).collect();
        let lead = match which.is_empty() {
            true => "One of them: ".to_owned(),
            false => format!("One of them, {}: ", which.join(" ")),
        };
        Mrkdwn::from(lead).then(said)
    }

    fn shared(&self, storm: &Storm<'_>) -> Mrkdwn {
        let labels = self.subject.shared_labels(storm).into_iter();
        let labels: Vec<String> = labels
            .take(super::LABELS_MAX)
            .map(|(name, value)| format!("{name}={}", clip(value, super::VALUE_CHARS_MAX)))
            .collect();
        match labels.is_empty() {
            true => Mrkdwn::new(),
            false => Mrkdwn::new()
                .bold("In common:")
                .text(format!(" {}", labels.join(" · ")))
                .truncated(SHARED_CHARS_MAX),
        }
    }

    fn shared_label<'s>(&self, storm: &'s Storm<'_>, name: &str) -> Option<&'s str> {
        let exported = storm.shared_label(&format!("exported_{name}"));
        exported.or_else(|| {
            storm
                .shared_label(name)
                .filter(|_| self.subject.describes(name))
        })
    }

    fn names(&self, storm: &Storm<'_>) -> Blocks {
        let names: Vec<String> = storm
            .names
            .iter()
            .take(NAMES_MAX)
            .map(|name| clip(name, NAME_CHARS_MAX))
            .collect();
        if names.is_empty() {
            return Blocks::new();
        }
        let title = match names.len() < storm.count as usize {
            true if storm.resolved > 0 && !storm.is_over() => {
                format!(
                    "{} of {}; some may have resolved:",
                    names.len(),
                    storm.count
                )
            }
            true => format!("{} of {}:", names.len(), storm.count),
            false => "All of them:".to_owned(),
        };
        let is_short = |name: &String| name.chars().count() <= SHORT_NAME_CHARS_MAX;
        let a_line = if names.iter().all(is_short) { 2 } else { 1 };
        let lines = names.chunks(a_line).map(|names| {
            let marked = names.iter().map(|name| format!("• {name}"));
            Mrkdwn::from(marked.collect::<Vec<_>>().join("   "))
        });
        let title = std::iter::once(Mrkdwn::new().bold(title));
        Blocks::new().section(Mrkdwn::join(title.chain(lines), "\n"))
    }

    /// Returns the table of the labels that differ, without those of the exporter, and without those that name each alert, since
    /// the message has the names.
    fn table(&self, storm: &Storm<'_>) -> Option<Table> {
        let given = storm.differs?;
        let is_shown = |row: &&Vec<String>| {
            let label = row.first().map(String::as_str).unwrap_or_default();
            let is_told = label == "alertname" || self.subject.describes(label);
            is_told && storm.values_of(label) != Some(storm.count)
        };
        let rows: Vec<Vec<String>> = given
            .rows
            .iter()
            .filter(is_shown)
            .take(ROWS_MAX)
            .cloned()
            .collect();
        (!rows.is_empty()).then(|| Table {
            title: given.title.clone(),
            header: given.header.clone(),
            rows,
        })
    }

    fn lasted(&self, storm: &Storm<'_>) -> std::time::Duration {
        let now = self.cx.now();
        let end = match &self.alert.ends_at {
            Some(ended) if self.is_over() => ended,
            _ => &now,
        };
        storm
            .since
            .map(|since| end.since(&since))
            .unwrap_or_default()
    }

    fn since_in_words(&self, since: &Timestamp) -> String {
        let text = since.to_string();
        let (date, time) = text.split_once('T').unwrap_or(("", &text));
        let time = time.get(..5).unwrap_or(time);
        match self.cx.now().since(since) < 20 * HOUR {
            true => format!("since {time} UTC"),
            false => format!("since {date} {time} UTC"),
        }
    }
}

/// Returns how many alerts of a storm have resolved; empty if none has.
fn resolved_line(storm: &Storm<'_>) -> Mrkdwn {
    match (storm.resolved, storm.firing()) {
        (0, _) => Mrkdwn::new(),
        (resolved, 0) => Mrkdwn::new().bold(format!("{}.", capitalized(&all_resolved(resolved)))),
        (resolved, firing) => {
            let fires = if firing == 1 { "fires" } else { "fire" };
            Mrkdwn::new()
                .bold(format!("{resolved} of {} have resolved", storm.count))
                .text(format!("; {firing} still {fires}."))
        }
    }
}

/// Adds as many rows of the table as there is space for. The last ones divide the alerts least.
fn with_table(card: Card, mut table: Table) -> Card {
    let rows = card.room().lines.saturating_sub(TABLE_LINES);
    if rows == 0 {
        return card;
    }
    table.rows.truncate(rows);
    card.whole(Blocks::new().table(&table), Size::default())
}
