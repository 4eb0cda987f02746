//! What `enrich` found, passed on to `act` as a block of this handler's own kind, and as facts for programs.

use handler_sdk::prelude::*;
use handler_sdk::serde_json;
use serde::{Deserialize, Serialize};

use crate::settings::Logs;

/// The handler's name.
pub(crate) const HANDLER: &str = "kube-pod-crash-looping";
/// The kind of the block that carries [`Findings`].
const KIND: &str = "kube-pod-crash-looping.findings.v1";

/// All findings. Moments are in seconds since 1970; text from the cluster is already masked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Findings {
    pub(crate) pod: PodState,
    pub(crate) container: Option<Container>,
    pub(crate) workload: Option<Workload>,
    pub(crate) node: Option<Node>,
    pub(crate) owner: Option<String>,
    pub(crate) change: Option<Change>,
    /// The most informative first.
    pub(crate) events: Vec<Event>,
    pub(crate) events_read: Read,
    pub(crate) log: Option<Log>,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) unread: Vec<NotFetched>,
}

/// Whether the alert's pod exists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PodState {
    #[default]
    Unknown,
    Present,
    /// There is no pod of that name.
    Gone,
    /// There is another pod of the same name.
    Replaced,
}

/// How much of a list was read. Only a complete list proves that it does not contain something.
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
    /// The reason for which it waits, such as `CrashLoopBackOff`, and Kubernetes' message.
    pub(crate) waiting: Option<(String, String)>,
    pub(crate) last_exit: Option<Exit>,
    /// True if the last exit is the container's current state: it has not been restarted yet.
    pub(crate) is_exit_present: bool,
}

/// Where a container's memory limit was set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LimitSource {
    /// Not known: its workload's template could not be read.
    #[default]
    Unknown,
    /// In the pod, which no workload made.
    Pod,
    /// In the template that the pod was made from.
    Template,
    /// By the namespace's `LimitRange`.
    LimitRange,
    /// In the pod, by something that modifies pods; the template has this limit, or none.
    NotTemplate(Option<String>),
}

/// The role of a container in its pod.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Role {
    #[default]
    Main,
    /// An init container: it has to end before the main ones start.
    Init,
    /// An init container with `restartPolicy: Always`.
    Sidecar,
}

/// How a container ended.
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

/// The workload that owns the pod, directly or through other objects: the Deployment, not its `ReplicaSet`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Workload {
    /// Empty if only the name is known; `Node` for a static pod.
    pub(crate) kind: String,
    pub(crate) name: String,
    /// False if it is known only from an object that it owns.
    pub(crate) is_read: bool,
    /// The object that made it, if any: `Prometheus k8s`.
    pub(crate) made_by: Option<String>,
    /// The numbers of ready and wanted pods.
    pub(crate) ready: Option<(u64, u64)>,
}

/// The node that the pod runs on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// Conditions that indicate a problem: `MemoryPressure`, `NotReady`.
    pub(crate) troubles: Vec<String>,
}

/// The last rollout.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Change {
    pub(crate) revision: Option<String>,
    /// For example `image 1.41.3 → 1.42.0`, `memory limit 1Gi → 512Mi`.
    pub(crate) differences: Vec<String>,
    pub(crate) rolled_out: Option<i64>,
    /// From the events; `None` if they do not show it.
    pub(crate) first_crash: Option<i64>,
    /// True if the template is older than the one before it.
    pub(crate) is_rollback: bool,
    /// The owner's newest revision, if it is not the pod's: there was another rollout or an undo.
    pub(crate) newer: Option<String>,
    /// True if the owner may have more revisions than were read.
    pub(crate) is_partial: bool,
    /// True if the pods' specification differs, so that an undo would change it back.
    pub(crate) is_spec_changed: bool,
    /// Shown instead if there are no revisions to compare.
    pub(crate) note: Option<String>,
}

/// An event.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Event {
    /// False for events that Kubernetes calls normal, such as the kill of a container.
    pub(crate) is_warning: bool,
    /// The container that it is about; `None` if it is about the pod.
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
    /// True if it is the log of the crashed container, false if it is that of the current one.
    pub(crate) is_of_crash: bool,
    /// True if the newest lines are missing, because the lines are too long.
    pub(crate) is_cut: bool,
}

/// Why the container crashes, as far as the findings show.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Verdict {
    /// For programs: `out-of-memory`.
    pub(crate) kind: String,
    /// For a notification on a phone: `OOMKilled (137)`.
    pub(crate) short: String,
    /// For people, in bold: `Likely out of memory`.
    pub(crate) lead: String,
    /// For people, after `lead`.
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

    /// Returns the findings as an enrichment. Other handlers show it in their messages, so it contains the log only if the
    /// setting allows that.
    ///
    /// # Errors
    /// Never returns an error in practice: all types can be written as JSON.
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

    /// Returns the findings of `enrich`, if there are any.
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

    /// Returns whether a fact of this name is one of [`Findings::facts`], which the message shows in another form.
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

    /// Returns Markdown for a handler that does not know the kind.
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
