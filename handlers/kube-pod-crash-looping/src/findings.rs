//! What `enrich` found, as it is handed to `act`: a block of this handler's own kind, and facts for programs.

use handler_sdk::prelude::*;
use handler_sdk::serde_json;
use serde::{Deserialize, Serialize};

use crate::settings::Logs;

/// The handler's name.
pub(crate) const HANDLER: &str = "kube-pod-crash-looping";
/// The kind of the block that carries [`Findings`].
const KIND: &str = "kube-pod-crash-looping.findings.v1";

/// All that was found. Moments are in seconds since 1970; text from the cluster is masked already.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Findings {
    pub(crate) pod: PodState,
    pub(crate) container: Option<Container>,
    pub(crate) workload: Option<Workload>,
    pub(crate) node: Option<Node>,
    pub(crate) owner: Option<String>,
    pub(crate) change: Option<Change>,
    /// The most telling first.
    pub(crate) events: Vec<Event>,
    pub(crate) events_read: Read,
    pub(crate) log: Option<Log>,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) unread: Vec<NotFetched>,
}

/// Whether the alert's pod is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PodState {
    #[default]
    Unknown,
    Present,
    /// No pod of that name.
    Gone,
    /// Another pod of the same name.
    Replaced,
}

/// How much of a list was read: only what was read to its end proves that something is not in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Read {
    #[default]
    Nothing,
    Part,
    All,
}

/// The container that crashes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) is_ready: bool,
    pub(crate) restarts: u64,
    pub(crate) image: Option<String>,
    pub(crate) memory_limit: Option<String>,
    pub(crate) limit_source: LimitSource,
    pub(crate) running_since: Option<i64>,
    /// Why it waits, and Kubernetes' words about it: `CrashLoopBackOff`.
    pub(crate) waiting: Option<(String, String)>,
    pub(crate) last_exit: Option<Exit>,
    /// True if the last exit is the container's present state: it has not been started again yet.
    pub(crate) is_exit_present: bool,
}

/// Where a container's memory limit was set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LimitSource {
    /// Its workload's template could not be read.
    #[default]
    Unknown,
    /// In the pod: no workload made it.
    Pod,
    /// In the template that the pod was made from.
    Template,
    /// By the namespace's `LimitRange`.
    LimitRange,
    /// In the pod, by whatever changes pods; the template has this limit, or none.
    NotTemplate(Option<String>),
}

/// What a container is to its pod.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Role {
    #[default]
    Main,
    /// It has to end before the main ones start.
    Init,
    /// An init container with `restartPolicy: Always`.
    Sidecar,
}

/// How it ended last.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Exit {
    pub(crate) code: i64,
    /// `OOMKilled`, `Error`, `Completed`, …
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) started: Option<i64>,
    pub(crate) finished: Option<i64>,
}

/// What owns the pod, as far up as its owners lead: a `ReplicaSet` of a Deployment is not it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Workload {
    /// Empty if only the name is known; `Node` for a static pod.
    pub(crate) kind: String,
    pub(crate) name: String,
    /// False if it is known only from what it owns.
    pub(crate) is_read: bool,
    /// What made it, if that is not a person: `Prometheus k8s`.
    pub(crate) made_by: Option<String>,
    /// Ready and wanted pods.
    pub(crate) ready: Option<(u64, u64)>,
}

/// Where the pod runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// Conditions that are not as they should be: `MemoryPressure`, `NotReady`.
    pub(crate) troubles: Vec<String>,
}

/// The last rollout.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Change {
    pub(crate) revision: Option<String>,
    /// `image 1.41.3 → 1.42.0`, `memory limit 1Gi → 512Mi`.
    pub(crate) differences: Vec<String>,
    pub(crate) rolled_out: Option<i64>,
    /// By the events; none where they don't tell.
    pub(crate) first_crash: Option<i64>,
    /// True where the template is older than the one before it.
    pub(crate) is_rollback: bool,
    /// The owner's newest revision, if that is not the pod's: somebody has rolled out or undone since.
    pub(crate) newer: Option<String>,
    /// True if the owner may have revisions that were not read.
    pub(crate) is_partial: bool,
    /// True if the pods' specification differs, which an undo takes back.
    pub(crate) is_spec_changed: bool,
    /// What is known instead where there are no revisions to compare.
    pub(crate) note: Option<String>,
}

/// An event.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Event {
    /// False for what Kubernetes calls normal: that it kills a container is.
    pub(crate) is_warning: bool,
    /// The container that it is about; none if it is about the pod.
    pub(crate) container: Option<String>,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) count: u64,
    pub(crate) first: Option<i64>,
    pub(crate) last: Option<i64>,
}

/// The end of a log.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Log {
    pub(crate) lines: Vec<String>,
    /// True where it is the crashed container's, false where it is the present one's.
    pub(crate) is_of_crash: bool,
    /// True where the newest lines are missing, since the lines are too long.
    pub(crate) is_cut: bool,
}

/// Why it crashes, as far as the findings tell.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Verdict {
    /// For programs: `out-of-memory`.
    pub(crate) kind: String,
    /// For the phone: `OOMKilled (137)`.
    pub(crate) short: String,
    /// For people, in bold: `Likely out of memory`.
    pub(crate) lead: String,
    /// For people, after it.
    pub(crate) rest: String,
}

/// Something that was not fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NotFetched {
    pub(crate) what: String,
    pub(crate) why: String,
}

impl Findings {
    /// Notes that something was not fetched.
    pub(crate) fn missed(&mut self, what: &str, why: &str) {
        self.unread.push(NotFetched {
            what: what.to_owned(),
            why: why.to_owned(),
        });
    }

    /// Returns what was not fetched, grouped by the reason: `log, events: forbidden (403)`.
    pub(crate) fn missed_for_people(&self) -> Vec<String> {
        let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
        for NotFetched { what, why } in &self.unread {
            match groups.iter_mut().find(|(known, _)| known == why) {
                Some((_, whats)) => whats.push(what),
                None => groups.push((why, vec![what])),
            }
        }
        groups
            .into_iter()
            .map(|(why, whats)| format!("{}: {why}", whats.join(", ")))
            .collect()
    }

    /// Returns them as an enrichment. Other handlers show it in their messages, so the log is in it only if it belongs
    /// there.
    ///
    /// # Errors
    /// None in practice: the types can all be written as JSON.
    pub(crate) fn into_enrichment(self, logs: Logs) -> Result<Enrichment, Failure> {
        let data = serde_json::to_string(&self)?;
        let enrichment = self
            .facts()
            .iter()
            .fold(Enrichment::new(), |e, (name, value)| {
                e.with_fact(name, value)
            });
        Ok(enrichment.with_block(Block::custom(KIND, self.fallback(logs), data)))
    }

    /// Returns what `enrich` found, if it came to that.
    pub(crate) fn from_enrichment(found: &Enrichment) -> Option<Self> {
        found.blocks.iter().find_map(|block| match block {
            Block::Custom(custom) if custom.kind == KIND => serde_json::from_str(&custom.data).ok(),
            _ => None,
        })
    }

    /// Returns the blocks that other handlers found.
    pub(crate) fn of_others(found: &Enrichment) -> Enrichment {
        let is_own = |block: &&Block| matches!(block, Block::Custom(custom) if custom.kind == KIND);
        let blocks = found
            .blocks
            .iter()
            .filter(|block| !is_own(block))
            .cloned()
            .collect();
        Enrichment {
            facts: found.facts.clone(),
            blocks,
        }
    }

    fn facts(&self) -> Facts {
        let mut facts = Facts::new();
        if let Some(verdict) = &self.verdict {
            facts.insert("crash.reason", &verdict.kind);
        }
        if let Some(container) = &self.container {
            facts.insert("crash.container", &container.name);
            facts.insert("crash.restarts", container.restarts);
            if let Some(exit) = &container.last_exit {
                facts.insert("crash.exit_code", exit.code);
                facts.insert("crash.exit_reason", &exit.reason);
            }
            if let Some(image) = &container.image {
                facts.insert("image", image);
            }
        }
        if let Some(workload) = &self.workload {
            facts.insert(
                "workload",
                format!("{}/{}", workload.kind, workload.name).trim_start_matches('/'),
            );
            if let Some((ready, wanted)) = workload.ready {
                facts.insert("workload.ready", format!("{ready}/{wanted}"));
            }
        }
        if let Some(owner) = &self.owner {
            facts.insert("owner", owner);
        }
        if let Some(node) = &self.node {
            facts.insert("node", &node.name);
        }
        if let Some(revision) = self
            .change
            .as_ref()
            .and_then(|change| change.revision.as_deref())
        {
            facts.insert("rollout.revision", revision);
        }
        match self.pod {
            PodState::Present => facts.insert("pod", "present"),
            PodState::Gone => facts.insert("pod", "gone"),
            PodState::Replaced => facts.insert("pod", "replaced"),
            PodState::Unknown => {}
        }
        if !self.unread.is_empty() {
            facts.insert("not_fetched", self.missed_for_people().join("; "));
        }
        facts
    }

    /// Returns whether a fact of this name is one of [`Findings::facts`], which the message says in its own words.
    pub(crate) fn is_own_fact(name: &str) -> bool {
        name.starts_with("crash.")
            || matches!(
                name,
                "image"
                    | "workload"
                    | "workload.ready"
                    | "owner"
                    | "node"
                    | "rollout.revision"
                    | "pod"
                    | "not_fetched"
            )
    }

    /// Markdown for a handler that does not know the kind.
    fn fallback(&self, logs: Logs) -> String {
        let mut lines = Vec::new();
        if let Some(verdict) = &self.verdict {
            lines.push(format!("**{}:** {}", verdict.lead, verdict.rest));
        }
        lines.extend(self.change.as_ref().and_then(Change::for_people));
        lines.extend(
            self.missed_for_people()
                .into_iter()
                .map(|missed| format!("Not fetched: {missed}")),
        );
        if let Some(log) = self.log.as_ref().filter(|_| logs == Logs::Message) {
            let lines_shown = log.lines.iter().skip(log.lines.len().saturating_sub(12));
            let text: Vec<&str> = lines_shown.map(String::as_str).collect();
            lines.push(format!("```\n{}\n```", text.join("\n")));
        }
        lines.join("\n")
    }
}
