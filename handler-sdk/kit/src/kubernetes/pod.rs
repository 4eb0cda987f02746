//! A pod's containers: their state, their last exit, and where their memory limit was set.

use handler_sdk::serde_json::Value;

use super::object::{Object, Pod, items, moment, text};
use crate::words::said;

/// A container of a pod, with its specification and its status.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its role in the pod.
    pub role: Role,
    /// True if it is ready; an init container is if it has ended successfully.
    pub is_ready: bool,
    /// How often it was restarted.
    pub restarts: u64,
    /// The image of the specification.
    pub image: Option<String>,
    /// The memory limit, as written.
    pub memory_limit: Option<String>,
    /// Where the memory limit was set.
    pub limit_source: LimitSource,
    /// Since when it runs, in seconds since 1970; `None` if it does not run.
    pub running_since: Option<i64>,
    /// The reason for which it waits, such as `CrashLoopBackOff`, and Kubernetes' message.
    pub waiting: Option<(String, String)>,
    /// How it ended last.
    pub last_exit: Option<Exit>,
    /// True if the last exit is its current state: it has not been restarted yet.
    pub is_exit_present: bool,
    /// True if it has a readiness probe.
    pub has_readiness_probe: bool,
}

/// The role of a container in its pod.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    /// One of the containers that the pod is for.
    #[default]
    Main,
    /// An init container: it has to end before the main ones start.
    Init,
    /// An init container with `restartPolicy: Always`.
    Sidecar,
}

impl Role {
    /// Returns what it is called: `init container`.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Main => "container",
            Self::Init => "init container",
            Self::Sidecar => "sidecar",
        }
    }
}

/// How a container ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exit {
    /// The exit code.
    pub code: i64,
    /// `OOMKilled`, `Error`, `Completed`, …
    pub reason: String,
    /// What the program or the runtime says, masked; empty if that is its log, and the log is not for the message.
    pub message: String,
    /// When it started, in seconds since 1970.
    pub started: Option<i64>,
    /// When it ended, in seconds since 1970.
    pub finished: Option<i64>,
}

/// Where a container's memory limit was set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LimitSource {
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

impl Pod {
    /// Returns the containers, in the order in which they start: init containers and sidecars first.
    pub fn containers(&self) -> Vec<Container> {
        let lists = ["/status/initContainerStatuses", "/status/containerStatuses"];
        lists
            .iter()
            .flat_map(|list| self.items(list).iter().map(move |status| (*list, status)))
            .filter_map(|(list, status)| self.read_container(status, list != lists[1]))
            .collect()
    }

    /// Returns the container of this name, or, without a name, the one that most likely crashes.
    pub fn container(&self, name: Option<&str>) -> Option<Container> {
        let mut all = self.containers().into_iter();
        match name {
            Some(name) => all.find(|container| container.name == name),
            None => all.max_by_key(|container| {
                let waits = container.waiting.as_ref();
                let is_looping = waits.is_some_and(|(reason, _)| reason == "CrashLoopBackOff");
                (is_looping, container.restarts, container.role == Role::Main)
            }),
        }
    }

    /// Returns the reason and the message with which Kubernetes itself ended the pod: `Evicted`.
    pub fn ended(&self) -> Option<(&str, String)> {
        let reason = self.text("/status/reason")?;
        Some((reason, self.said("/status/message").unwrap_or_default()))
    }

    /// Returns whether all its containers are ready, as its conditions say.
    pub fn is_ready(&self) -> bool {
        self.condition("Ready")
            .is_some_and(|condition| condition.is_true == Some(true))
    }

    /// Returns the name of its `ReplicaSet` without the hash of its template; `None` if the hash is not known.
    pub(super) fn without_hash<'n>(&self, replica_set: &'n str) -> Option<&'n str> {
        ["pod-template-hash", "rollouts-pod-template-hash"]
            .iter()
            .filter_map(|label| self.label(label))
            .find_map(|hash| replica_set.strip_suffix(hash)?.strip_suffix('-'))
    }

    fn read_container(&self, status: &Value, is_init: bool) -> Option<Container> {
        let name = text(status, "/name")?.to_owned();
        let spec = spec_of(&self.value()["spec"], &name);
        let of_spec = |pointer: &str| spec.and_then(|spec| text(spec, pointer));
        let waiting = text(status, "/state/waiting/reason").map(|reason| {
            let message = text(status, "/state/waiting/message").unwrap_or_default();
            (reason.to_owned(), said(message))
        });
        // Kubernetes takes the end of the log for a message if the program wrote none.
        let is_message_of_log =
            of_spec("/terminationMessagePolicy") == Some("FallbackToLogsOnError");
        let exit = |state: &str| {
            let mut exit = exit(&status[state]["terminated"])?;
            if is_message_of_log && !self.may_quote_log {
                exit.message.clear();
            }
            Some(exit)
        };
        // The newest exit is that of a container that has just ended and was not restarted yet.
        let present_exit = exit("state");
        let limiter = self
            .annotation("kubernetes.io/limit-ranger")
            .unwrap_or_default();
        Some(Container {
            role: match (is_init, of_spec("/restartPolicy") == Some("Always")) {
                (false, _) => Role::Main,
                (true, false) => Role::Init,
                (true, true) => Role::Sidecar,
            },
            limit_source: match sets_memory_limit(limiter, &name) {
                true => LimitSource::LimitRange,
                false => LimitSource::Unknown,
            },
            is_exit_present: present_exit.is_some(),
            is_ready: status["ready"] == true,
            restarts: status["restartCount"].as_u64().unwrap_or(0),
            image: of_spec("/image")
                .or_else(|| text(status, "/image"))
                .map(str::to_owned),
            memory_limit: of_spec("/resources/limits/memory").map(str::to_owned),
            running_since: moment(status, "/state/running/startedAt"),
            waiting,
            last_exit: present_exit.or_else(|| exit("lastState")),
            has_readiness_probe: spec.is_some_and(|spec| spec["readinessProbe"].is_object()),
            name,
        })
    }
}

impl Container {
    /// Notes where the memory limit was set, by the object that made the pod; without one, it was set in the pod.
    pub fn limit_is_from(&mut self, maker: Option<&Object>) {
        if self.limit_source != LimitSource::Unknown {
            return;
        }
        let Some(maker) = maker else {
            self.limit_source = LimitSource::Pod;
            return;
        };
        let template = &maker.value()["spec"]["template"]["spec"];
        let limit =
            spec_of(template, &self.name).and_then(|spec| text(spec, "/resources/limits/memory"));
        self.limit_source = match limit == self.memory_limit.as_deref() {
            true => LimitSource::Template,
            false => LimitSource::NotTemplate(limit.map(str::to_owned)),
        };
    }
}

/// Returns a container of a pod's specification; names are unique across init containers and others.
fn spec_of<'v>(spec: &'v Value, name: &str) -> Option<&'v Value> {
    ["/containers", "/initContainers"]
        .iter()
        .flat_map(|list| items(spec, list))
        .find(|container| container["name"] == name)
}

/// Parses what the plugin set: `LimitRanger plugin set: cpu, memory limit for container a; memory request for …`.
fn sets_memory_limit(annotation: &str, container: &str) -> bool {
    let set = annotation.split_once("set: ").map_or("", |(_, set)| set);
    set.split(';').any(|part| {
        part.trim()
            .strip_suffix(container)
            .and_then(|part| part.strip_suffix(" limit for container "))
            .is_some_and(|resources| resources.split(", ").any(|resource| resource == "memory"))
    })
}

fn exit(terminated: &Value) -> Option<Exit> {
    Some(Exit {
        code: terminated["exitCode"].as_i64()?,
        reason: text(terminated, "/reason").unwrap_or("Error").to_owned(),
        message: said(text(terminated, "/message").unwrap_or_default()),
        started: moment(terminated, "/startedAt"),
        finished: moment(terminated, "/finishedAt"),
    })
}
