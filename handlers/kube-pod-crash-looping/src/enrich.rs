//! Reads the alert's pod and what belongs to it from Kubernetes. What cannot be read is noted and stops nothing else.

use handler_sdk::prelude::*;
use handler_sdk::serde_json::Value;
use handler_sdk::subject::workload_of_pod;

use crate::findings::{Findings, LimitSource, PodState, Read, Workload};
use crate::kube::{Kube, Listed, Unread, is_name, text};
use crate::settings::{self, Logs, Settings};
use crate::{changes, events, log_tail, pod, verdict};

/// Runs the step.
pub(crate) fn run(cx: &Cx, alert: &Alert) -> Result<Enrichment, Failure> {
    let settings = Settings::read(cx);
    for complaint in &settings.complaints {
        cx.log().warn(complaint, &[]);
    }
    let mut findings = Findings::default();
    match server_and_names(cx, alert) {
        Ok((kube, namespace, pod)) => {
            let mut look = Look {
                alert,
                kube,
                namespace,
                pod_name: pod,
                findings,
                is_over: None,
            };
            look.at_pod(cx, &settings)?;
            findings = look.findings;
        }
        Err(why) => {
            cx.log().warn("Kubernetes was not asked", &[("why", &why)]);
            findings.missed("Kubernetes", &why);
        }
    }
    events::cut(&mut findings.events);
    findings.into_enrichment(settings.logs)
}

fn server_and_names<'a>(
    cx: &'a Cx,
    alert: &'a Alert,
) -> Result<(Kube<'a>, &'a str, &'a str), String> {
    let server = settings::server(cx, alert)?;
    let subject = alert.subject();
    let name = |label: &str| {
        let value = subject
            .label(label)
            .ok_or_else(|| format!("the alert has no label `{label}`"))?;
        Some(value)
            .filter(|v| is_name(v))
            .ok_or_else(|| format!("the label `{label}` is no name of Kubernetes"))
    };
    Ok((Kube::new(cx, server), name("namespace")?, name("pod")?))
}

/// The state of one enrichment.
struct Look<'a> {
    alert: &'a Alert,
    kube: Kube<'a>,
    namespace: &'a str,
    pod_name: &'a str,
    findings: Findings,
    /// Why no more requests are made.
    is_over: Option<String>,
}

impl Look<'_> {
    fn at_pod(&mut self, cx: &Cx, settings: &Settings) -> Result<(), Failure> {
        match self.kube.pod(self.namespace, self.pod_name) {
            Ok(pod) if self.is_another(&pod) => {
                self.findings.pod = PodState::Replaced;
                self.owners(&pod);
            }
            Ok(pod) => {
                self.findings.pod = PodState::Present;
                self.at_present_pod(&pod, settings);
            }
            Err(unread) if unread.is_not_found() => {
                self.findings.pod = PodState::Gone;
                self.what_a_gone_pod_left();
            }
            // On the first attempt a transient error is worth a retry; the last attempt goes on with what it has.
            Err(unread) if unread.is_transient() && cx.call().attempt == 1 => {
                return Err(unread.failure);
            }
            Err(unread) => {
                cx.log().warn(
                    "the pod could not be read",
                    &[("why", &unread.failure.message())],
                );
                let what = if self.alert.is_firing() {
                    "pod, events, log, rollout"
                } else {
                    "pod, workload"
                };
                self.findings.missed(what, &unread.why);
            }
        }
        Ok(())
    }

    /// Returns whether the pod has another uid than the alert's: a stateful set reuses the name.
    fn is_another(&self, pod: &Value) -> bool {
        match (self.alert.label("uid"), text(pod, "/metadata/uid")) {
            (Some(alerts), Some(pods)) => alerts != pods,
            _ => false,
        }
    }

    fn at_present_pod(&mut self, pod: &Value, settings: &Settings) {
        self.findings.container = pod::container(pod, self.alert.subject().label("container"));
        if settings.logs != Logs::Message
            && let Some(container) = &mut self.findings.container
            && pod::is_message_of_log(pod, &container.name)
            && let Some(exit) = &mut container.last_exit
        {
            exit.message.clear();
        }
        self.findings.owner = pod::owner(pod);
        if self.alert.is_resolved() {
            self.owners(pod);
            return;
        }
        if let Some(container) = self
            .findings
            .container
            .clone()
            .filter(|_| settings.logs != Logs::Off)
        {
            let log = log_tail::fetch(&self.kube, self.namespace, self.pod_name, &container);
            self.findings.log = self.noted("log", log);
        }
        let uid = pod::events_uid(pod).unwrap_or_default();
        self.events(&format!("involvedObject.uid={uid}"));
        self.owners(pod);
        if let Some(node) = text(pod, "/spec/nodeName") {
            // Reading nodes is optional: without the permission, only the name is shown.
            let read = if self.is_over.is_none() && is_name(node) {
                self.kube.node(node).ok()
            } else {
                None
            };
            self.findings.node = Some(pod::node(node, read.as_ref().unwrap_or(&Value::Null)));
        }
        match text(pod, "/status/reason") {
            Some(reason) => {
                let message = pod::people_text(text(pod, "/status/message").unwrap_or_default());
                self.findings.verdict = Some(verdict::of_pod(reason, &message));
            }
            None => self.judge(settings),
        }
    }

    fn what_a_gone_pod_left(&mut self) {
        if self.alert.is_firing() {
            let uid = self.alert.label("uid").filter(|uid| is_name(uid));
            let selector = match uid {
                Some(uid) => format!("involvedObject.uid={uid}"),
                None => format!("involvedObject.name={}", self.pod_name),
            };
            self.events(&selector);
        }
        if let Some(name) = workload_of_pod(self.pod_name)
            && let Ok(deployment) = self
                .kube
                .workload("apps", self.namespace, "deployments", name)
        {
            self.findings.owner = pod::owner(&deployment);
            self.findings.workload = Some(pod::workload("Deployment", name, &deployment));
        }
    }

    fn events(&mut self, selector: &str) {
        if let Some(why) = self.is_over.clone() {
            return self.findings.missed("events", &why);
        }
        let listed = self.kube.events(self.namespace, selector);
        if let Some(listed) = self.listed("events", listed) {
            self.findings.events = events::events(&listed.items);
            self.findings.events_read = match listed.is_cut {
                true => Read::Part,
                false => Read::All,
            };
        }
    }

    /// Follows the pod's owners up to the workload, and compares its revisions on the way.
    fn owners(&mut self, pod: &Value) {
        let Some((kind, name)) = pod::controller(pod) else {
            return self.limit_is_from(None);
        };
        let Some((group, resource)) = resource(kind) else {
            // A static pod, or a kind that is not granted: only its name is known.
            if kind == "Node" {
                self.limit_is_from(None);
            }
            self.owner_unread(kind, name);
            return;
        };
        let Some(object) = self.workload("workload", group, resource, name) else {
            match kind {
                // Its own name ends with a hash that changes with each rollout.
                "ReplicaSet" => {
                    if let Some(name) =
                        pod::without_hash(pod, name).or_else(|| workload_of_pod(self.pod_name))
                    {
                        self.owner_unread("", name);
                    }
                }
                kind => self.owner_unread(kind, name),
            }
            return;
        };
        self.limit_is_from(Some(&object));
        match (kind, pod::controller(&object)) {
            ("ReplicaSet", Some((kind, owner))) => {
                if self.alert.is_firing() {
                    self.rollout(&object, kind, owner);
                }
                let found = match kind {
                    "Deployment" => self.workload("workload", "apps", "deployments", owner),
                    _ => None,
                };
                match found {
                    Some(found) => self.workload_found(kind, owner, &found),
                    None => self.owner_unread(kind, owner),
                }
            }
            ("Job", Some((kind, owner))) => self.owner_unread(kind, owner),
            _ => {
                self.findings.change =
                    changes::of_other(kind, &object).filter(|_| self.alert.is_firing());
                self.workload_found(kind, name, &object);
                // A set without an owner still has the hash in its name.
                let orphaned = (kind == "ReplicaSet")
                    .then(|| pod::without_hash(pod, name))
                    .flatten();
                if let (Some(name), Some(workload)) = (orphaned, &mut self.findings.workload) {
                    workload.kind.clear();
                    name.clone_into(&mut workload.name);
                }
            }
        }
    }

    /// Notes where the memory limit was set, according to the object that made the pod, if any.
    fn limit_is_from(&mut self, maker: Option<&Value>) {
        if let Some(container) = &mut self.findings.container
            && container.limit_source == LimitSource::Unknown
        {
            container.limit_source = pod::limit_source(container, maker);
        }
    }

    /// Notes a workload of which only the name is known, from an object that it owns.
    fn owner_unread(&mut self, kind: &str, name: &str) {
        self.findings.workload = Some(Workload {
            kind: kind.to_owned(),
            name: name.to_owned(),
            ..Workload::default()
        });
    }

    fn workload_found(&mut self, kind: &str, name: &str, object: &Value) {
        self.findings.workload = Some(pod::workload(kind, name, object));
        if self.findings.owner.is_none() {
            self.findings.owner = pod::owner(object);
        }
    }

    fn rollout(&mut self, current: &Value, kind: &str, owner: &str) {
        let labels = current
            .pointer("/spec/selector/matchLabels")
            .and_then(Value::as_object);
        let selector: Vec<String> = labels
            .into_iter()
            .flatten()
            // Each ReplicaSet has its own hash; the other labels are those of its owner.
            .filter(|(name, _)| !name.ends_with("pod-template-hash"))
            .filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?)))
            .collect();
        if selector.is_empty() {
            return;
        }
        if let Some(why) = self.is_over.clone() {
            return self.findings.missed("rollout", &why);
        }
        let listed = self.kube.replica_sets(self.namespace, &selector.join(","));
        if let Some(sets) = self.listed("rollout", listed) {
            let mut change = changes::of_sets(current, &sets, (kind, owner));
            let container = self.findings.container.as_ref();
            change.first_crash = events::first_crash(
                &self.findings.events,
                container.map(|container| container.name.as_str()),
            );
            self.findings.change = Some(change);
        }
    }

    fn workload(&mut self, what: &str, group: &str, resource: &str, name: &str) -> Option<Value> {
        if let Some(why) = self.is_over.clone() {
            self.findings.missed(what, &why);
            return None;
        }
        let read = self.kube.workload(group, self.namespace, resource, name);
        self.noted(what, read)
    }

    /// Returns the list, and notes if it or its end could not be read.
    fn listed(&mut self, what: &str, listed: Result<Listed, Unread>) -> Option<Listed> {
        let listed = self.noted(what, listed)?;
        if listed.is_cut {
            let why = format!("only the first {} were read", listed.items.len());
            self.findings.missed(what, &why);
        }
        Some(listed)
    }

    /// Returns the object; notes if it could not be read, and if no more requests should be made.
    fn noted<T>(&mut self, what: &str, read: Result<T, Unread>) -> Option<T> {
        match read {
            Ok(read) => Some(read),
            Err(unread) => {
                self.findings.missed(what, &unread.why);
                if unread.ends_all {
                    self.is_over = Some(unread.why);
                }
                None
            }
        }
    }

    fn judge(&mut self, settings: &Settings) {
        if self.findings.container.is_none() {
            self.findings
                .missed("container", "the pod has no container of the alert's name");
            return;
        }
        self.findings.verdict = verdict::verdict(&self.findings, settings.logs == Logs::Message);
    }
}

fn resource(kind: &str) -> Option<(&'static str, &'static str)> {
    match kind {
        "ReplicaSet" => Some(("apps", "replicasets")),
        "StatefulSet" => Some(("apps", "statefulsets")),
        "DaemonSet" => Some(("apps", "daemonsets")),
        "Job" => Some(("batch", "jobs")),
        _ => None,
    }
}
