//! What a handler found out: the report of a firing alert, and how it ended.

use handler_sdk::prelude::*;
use handler_sdk::serde_json;
use serde::{Deserialize, Serialize};

use crate::kubernetes::{Change, Event, Events, Workload};
use crate::line::Line;
use crate::log::Log;
use crate::look::Look;
use crate::missing::{NotFetched, in_words};
use crate::name::Name;
use crate::verdict::Verdict;

/// The lines of the log that other handlers show.
const FALLBACK_LINES_MAX: usize = 12;
/// The lines of one list.
const LIST_LINES_MAX: usize = 5;

/// What was found out about a firing alert. The kit lays it out; every part is optional.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    pub(crate) verdict: Option<Verdict>,
    /// Kind and name of the workload.
    pub(crate) workload: Option<(String, String)>,
    pub(crate) place: Option<String>,
    pub(crate) who: Option<String>,
    pub(crate) what: Option<String>,
    pub(crate) fields: Vec<(String, Line)>,
    pub(crate) owner: Option<String>,
    pub(crate) hidden_labels: Vec<String>,
    pub(crate) changed: Option<String>,
    /// Titles and lines.
    pub(crate) lists: Vec<(String, Vec<Line>)>,
    pub(crate) events: Vec<Event>,
    /// The container whose events need no name.
    pub(crate) container: Option<String>,
    pub(crate) log: Option<Log>,
    pub(crate) facts: Vec<(String, String)>,
}

impl Report {
    /// Returns an empty report: the message then has the alert's own text.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the verdict: the first line, and the next steps.
    #[must_use]
    pub fn verdict(mut self, verdict: impl Into<Option<Verdict>>) -> Self {
        self.verdict = verdict.into();
        self
    }

    /// Sets the workload that the alert is about, for the header and the link to a silence. It is no field: add one with
    /// [`Workload::in_words`].
    #[must_use]
    pub fn workload<'w>(mut self, workload: impl Into<Option<&'w Workload>>) -> Self {
        let workload = workload.into();
        self.workload = workload.map(|one| (one.kind.clone(), one.name.clone()));
        self
    }

    /// Sets the place that the header shows after the alert's name; by default namespace and name of the alert's subject, or
    /// of its workload.
    #[must_use]
    pub fn place(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// Sets whom a notification on a phone names; by default the place.
    #[must_use]
    pub fn who(mut self, who: impl Into<String>) -> Self {
        self.who = Some(who.into());
        self
    }

    /// Sets what a notification on a phone says; by default the verdict's short form, or the alert's summary.
    #[must_use]
    pub fn what(mut self, what: impl Into<String>) -> Self {
        self.what = Some(what.into());
        self
    }

    /// Adds a name and value pair. The cluster comes before them, the owner and the alert's labels after them; eight are shown
    /// in two columns. An alert's label whose value a pair or the header shows is left out.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl Into<Line>) -> Self {
        let value = value.into();
        if !value.is_empty() {
            self.fields.push((name.to_owned(), value));
        }
        self
    }

    /// Sets the node that the alert's label `instance` stands for, if it is known: as a pair in place of that label, and as a
    /// fact.
    #[must_use]
    pub fn node(self, node: Option<&Name>) -> Self {
        match node {
            Some(node) => self
                .field("Node", node)
                .fact("node", node)
                .without_label("instance"),
            None => self,
        }
    }

    /// Adds a name and value pair, if there is a value.
    #[must_use]
    pub fn field_if(self, name: &str, value: Option<impl Into<Line>>) -> Self {
        match value {
            Some(value) => self.field(name, value),
            None => self,
        }
    }

    /// Sets the team or person that owns the subject.
    #[must_use]
    pub fn owner(mut self, owner: Option<impl Into<String>>) -> Self {
        self.owner = owner.map(Into::into);
        self
    }

    /// Leaves a label of the alert out, because the message says it in other words.
    #[must_use]
    pub fn without_label(mut self, name: &str) -> Self {
        self.hidden_labels.push(name.to_owned());
        self
    }

    /// Sets what changed before the alert; `look` has when it began.
    #[must_use]
    pub fn changed(self, look: &Look<'_>, change: Option<&Change>) -> Self {
        let began = Some(look.alert().starts_at.seconds);
        let line = change.and_then(|change| change.in_words(began));
        self.changed_line(line)
    }

    /// Sets what changed before the alert, in words.
    #[must_use]
    pub fn changed_line(mut self, line: Option<impl Into<String>>) -> Self {
        self.changed = line.map(Into::into);
        self
    }

    /// Adds a list under a title, such as the pods that use most memory: five lines are shown. An empty one is left out.
    #[must_use]
    pub fn list(mut self, title: &str, lines: impl IntoIterator<Item = Line>) -> Self {
        let lines: Vec<Line> = lines.into_iter().take(LIST_LINES_MAX).collect();
        if !lines.is_empty() {
            self.lists.push((title.to_owned(), lines));
        }
        self
    }

    /// Sets the events; the three most informative warnings are shown. Those of `container` need no name.
    #[must_use]
    pub fn events(mut self, events: Events, container: Option<&str>) -> Self {
        self.events = events.kept();
        self.container = container.map(str::to_owned);
        self
    }

    /// Sets the log: its end is shown in the message, the rest in the thread, as the setting `logs` says.
    #[must_use]
    pub fn log(mut self, log: Option<Log>) -> Self {
        self.log = log;
        self
    }

    /// Adds a fact for programs and later handlers: `crash.exit_code`.
    #[must_use]
    pub fn fact(mut self, name: &str, value: impl ToString) -> Self {
        self.facts.push((name.to_owned(), value.to_string()));
        self
    }

    /// Adds a fact, if there is a value.
    #[must_use]
    pub fn fact_if(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.fact(name, value),
            None => self,
        }
    }
}

/// How an alert ended. "Gone" is not "fixed": a handler says what it saw.
///
/// ```
/// use handler_kit::{End, Line};
///
/// let end = End::new("ready", "ready again").says("Ready again:", " all 3 pods are ready.");
/// let gone = End::new("gone", "ended").caveat("the pod is gone").says("The pod is gone:", " that is not the same as fixed.");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct End {
    pub(crate) kind: String,
    pub(crate) short: String,
    pub(crate) caveat: String,
    pub(crate) sentence: Line,
    pub(crate) facts: Vec<(String, String)>,
}

impl End {
    /// Returns an end. `kind` is for programs; `short` is shown on a phone before the duration: `ready again`, or `ended` if it
    /// is not known to be fixed.
    pub fn new(kind: &str, short: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            short: short.to_owned(),
            ..Self::default()
        }
    }

    /// Returns the end of an alert whose subject is gone: `The pod is gone: it was deleted, which is not the same as fixed.`
    pub fn gone(what: &str, how: &str) -> Self {
        Self::new("gone", "ended")
            .caveat(&format!("the {what} is gone"))
            .says(
                &format!("The {what} is gone:"),
                format!(" {how}, which is not the same as fixed."),
            )
    }

    /// Returns the end of an alert that ended for another reason than that it is fixed; `caveat` is shown on a phone after the
    /// duration.
    pub fn not_fixed(kind: &str, caveat: &str) -> Self {
        Self::new(kind, "ended").caveat(caveat)
    }

    /// Returns the end of an alert of which nothing is known but that it ended.
    pub fn unknown(what: impl Into<Line>) -> Self {
        Self {
            sentence: what.into(),
            ..Self::new("unknown", "ended")
        }
    }

    /// Sets what a phone shows after the duration, if it is not fixed: `the pod is gone`.
    #[must_use]
    pub fn caveat(mut self, caveat: &str) -> Self {
        caveat.clone_into(&mut self.caveat);
        self
    }

    /// Sets the sentence: a lead in bold, and the rest, which begins with its own blank.
    #[must_use]
    pub fn says(mut self, lead: &str, rest: impl Into<Line>) -> Self {
        self.sentence = Line::new().bold(lead).then(rest);
        self
    }

    /// Adds to the sentence: the readiness of the workload.
    #[must_use]
    pub fn and(mut self, more: impl Into<Line>) -> Self {
        self.sentence = self.sentence.text(" ").then(more);
        self
    }

    /// Adds to the sentence, if there is something.
    #[must_use]
    pub fn and_if(self, more: Option<impl Into<Line>>) -> Self {
        match more {
            Some(more) => self.and(more),
            None => self,
        }
    }

    /// Adds a fact for programs.
    #[must_use]
    pub fn fact(mut self, name: &str, value: impl ToString) -> Self {
        self.facts.push((name.to_owned(), value.to_string()));
        self
    }
}

/// What `enrich` passes to `act`, as a block of the handler's own kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Findings {
    pub(crate) report: Report,
    /// How it ended; `None` if it fires.
    pub(crate) end: Option<End>,
    pub(crate) missing: Vec<NotFetched>,
}

impl Findings {
    /// Returns the findings as an enrichment of this handler.
    ///
    /// # Errors
    /// Never returns an error in practice: all types can be written as JSON.
    pub(crate) fn into_enrichment(self, handler: &str, now: i64) -> Result<Enrichment, Failure> {
        let data = serde_json::to_string(&self)?;
        let facts = self.facts();
        let facts = facts
            .iter()
            .fold(Enrichment::new(), |found, (name, value)| {
                found.with_fact(name, value)
            });
        Ok(facts.with_block(Block::custom(kind(handler), self.fallback(now), data)))
    }

    /// Returns what `enrich` of this handler found, if it did.
    pub(crate) fn from_enrichment(found: &Enrichment, handler: &str) -> Option<Self> {
        let kind = kind(handler);
        found.blocks.iter().find_map(|block| match block {
            Block::Custom(custom) if custom.kind == kind => serde_json::from_str(&custom.data).ok(),
            _ => None,
        })
    }

    /// Returns what other handlers found, and the host.
    pub(crate) fn of_others(found: &Enrichment, handler: &str) -> Enrichment {
        let kind = kind(handler);
        let is_own = |block: &&Block| matches!(block, Block::Custom(custom) if custom.kind == kind);
        let blocks = found.blocks.iter().filter(|block| !is_own(block));
        Enrichment {
            facts: found.facts.clone(),
            blocks: blocks.cloned().collect(),
        }
    }

    /// Returns the facts for programs. The message shows them in another form.
    pub(crate) fn facts(&self) -> Facts {
        let report = &self.report;
        let given = match &self.end {
            Some(end) => &end.facts,
            None => &report.facts,
        };
        let mut facts: Facts = given.iter().cloned().collect();
        if let Some(verdict) = &report.verdict {
            facts.insert("verdict", &verdict.kind);
            facts.insert("verdict.confidence", verdict.confidence.word());
        }
        if let Some(owner) = &report.owner {
            facts.insert("owner", owner);
        }
        if !self.missing.is_empty() {
            facts.insert("not_fetched", in_words(&self.missing).join("; "));
        }
        facts
    }

    /// Returns Markdown for a handler that does not know the kind.
    fn fallback(&self, now: i64) -> String {
        let report = &self.report;
        let mut lines = Vec::new();
        if let Some(verdict) = &report.verdict {
            lines.push(verdict.sentence().markdown(now));
        }
        if let Some(end) = &self.end {
            lines.push(end.sentence.markdown(now));
        }
        lines.extend(report.changed.clone());
        for (title, items) in &report.lists {
            lines.push(format!("{title}:"));
            lines.extend(items.iter().map(|item| format!("- {}", item.markdown(now))));
        }
        let missing = in_words(&self.missing).into_iter();
        lines.extend(missing.map(|missing| format!("Not fetched: {missing}")));
        if let Some(log) = report.log.as_ref().filter(|log| log.may_be_quoted) {
            let shown = log.lines.len().saturating_sub(FALLBACK_LINES_MAX);
            lines.push(format!("```\n{}\n```", log.lines[shown..].join("\n")));
        }
        lines.join("\n")
    }
}

fn kind(handler: &str) -> String {
    format!("{handler}.report.v1")
}
