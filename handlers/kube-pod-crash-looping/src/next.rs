//! The next steps: commands to copy, only those that the findings support.

use handler_sdk::layout::clip;
use handler_sdk::prelude::*;

use crate::findings::{LimitSource, PodState};
use crate::kube::is_name;
use crate::log_shown::fenced;
use crate::message::Source;

/// Verdicts that no change of the template explains.
const IS_NOT_ITS_DOING: [&str; 6] = [
    "evicted",
    "preempted",
    "pod-ended",
    "exit-unknown",
    "restarted",
    "restarted-with-pod",
];

impl Source<'_> {
    /// Returns the next steps; empty if there are none or the setting is `next_steps: off`.
    pub(crate) fn next_steps(&self) -> Mrkdwn {
        if !self.settings.has_next_steps {
            return Mrkdwn::new();
        }
        let lines: Vec<Mrkdwn> = [self.memory_line(), self.commands()]
            .into_iter()
            .filter(|line| !line.is_empty())
            .collect();
        Mrkdwn::join(lines, "\n")
    }

    /// Returns the memory limit and where it is set, if the container ran or may have run out of memory.
    fn memory_line(&self) -> Mrkdwn {
        let is_of_memory = self
            .verdict()
            .is_some_and(|verdict| matches!(verdict.kind.as_str(), "out-of-memory" | "killed"));
        let Some(container) = self.container().filter(|_| is_of_memory) else {
            return Mrkdwn::new();
        };
        let Some(limit) = &container.memory_limit else {
            return Mrkdwn::new();
        };
        let line = Mrkdwn::new()
            .bold("Memory limit:")
            .text(format!(" {}, ", clip(limit, 40)));
        let name = clip(&container.name, 63);
        let line = match (&container.limit_source, self.object()) {
            (LimitSource::LimitRange, _) => {
                return line.text("the default of a LimitRange of the namespace");
            }
            (LimitSource::NotTemplate(template), _) => {
                let template = match template {
                    Some(limit) => format!("which has {}", clip(limit, 40)),
                    None => "which has none".to_owned(),
                };
                return line.text(format!(
                    "not from its workload's template, {template}: it was set in the pod, as by a VerticalPodAutoscaler"
                ));
            }
            (LimitSource::Template, Some((resource, object))) => {
                let object = format!("{resource}/{object}");
                if let Some(maker) = self.maker() {
                    return line
                        .text("container ")
                        .text(name)
                        .text("; ")
                        .code(object)
                        .text(format!(
                            " is made by {}: change the limit there",
                            clip(maker, 80)
                        ));
                }
                line.text("set in ").code(object).text(", ")
            }
            (LimitSource::Pod, _) => line.text("set in the pod's specification, "),
            (LimitSource::Template, None) | (LimitSource::Unknown, _) => line,
        };
        line.text(format!("container {name}, "))
            .code("resources.limits.memory")
    }

    fn commands(&self) -> Mrkdwn {
        let Some((namespace, pod)) = self.names().filter(|_| self.state() == PodState::Present)
        else {
            return Mrkdwn::new();
        };
        let mut commands = Vec::new();
        if let Some(container) = self
            .container()
            .filter(|container| is_name(&container.name))
        {
            let has_log = self
                .findings
                .is_some_and(|findings| findings.log.as_ref().is_some_and(|log| log.is_of_crash));
            let previous = if container.is_exit_present {
                ""
            } else {
                " --previous"
            };
            let kind = self.verdict().map_or("", |verdict| verdict.kind.as_str());
            if has_log {
                commands.push(format!(
                    "kubectl -n {namespace} logs {pod} -c {}{previous}",
                    container.name
                ));
            }
            if matches!(
                kind,
                "not-started"
                    | "liveness-probe"
                    | "startup-probe"
                    | "post-start-hook"
                    | "exit-not-on-record"
            ) {
                commands.push(format!("kubectl -n {namespace} describe pod {pod}"));
            }
        }
        let change = self.findings.and_then(|findings| findings.change.as_ref());
        let supports_undo =
            change.is_some_and(|change| change.supports_undo(self.alert.starts_at.seconds));
        if supports_undo
            && self
                .verdict()
                .is_some_and(|verdict| !IS_NOT_ITS_DOING.contains(&verdict.kind.as_str()))
            && self.is_a_persons()
            && let Some(("deployment", name)) = self.object()
        {
            commands.push(format!(
                "kubectl -n {namespace} rollout undo deployment/{name}"
            ));
        }
        if commands.is_empty() {
            return Mrkdwn::new();
        }
        // `kubectl` may be configured for another cluster; this is the alert's.
        let cluster = self.notice.subject().label("cluster");
        if let Some(cluster) = cluster.filter(|cluster| is_plain(cluster)) {
            commands.insert(0, format!("# cluster {cluster}"));
        }
        Mrkdwn::new()
            .bold("Next:")
            .text("\n")
            .then(fenced(&commands.join("\n")))
    }

    /// Returns the object that made the workload and would revert a manual change to it.
    fn maker(&self) -> Option<&str> {
        self.findings?.workload.as_ref()?.made_by.as_deref()
    }

    /// Returns whether it is known that no other object made the workload.
    fn is_a_persons(&self) -> bool {
        let workload = self
            .findings
            .and_then(|findings| findings.workload.as_ref());
        workload.is_some_and(|workload| workload.is_read && workload.made_by.is_none())
    }

    /// Returns namespace and pod if both are valid names: untrusted text must not reach a shell.
    fn names(&self) -> Option<(&str, &str)> {
        let subject = self.notice.subject();
        let (namespace, pod) = (subject.namespace()?, subject.label("pod")?);
        (is_name(namespace) && is_name(pod)).then_some((namespace, pod))
    }

    /// Returns the workload as `kubectl` names it.
    fn object(&self) -> Option<(&'static str, &str)> {
        let workload = self.findings?.workload.as_ref()?;
        let resource = match workload.kind.as_str() {
            "Deployment" => "deployment",
            "StatefulSet" => "statefulset",
            "DaemonSet" => "daemonset",
            "ReplicaSet" => "replicaset",
            "CronJob" => "cronjob",
            "Job" => "job",
            "Rollout" => "rollout",
            _ => return None,
        };
        is_name(&workload.name).then_some((resource, workload.name.as_str()))
    }
}

/// Returns whether the name of a cluster is safe in a comment that is copied: not every shell treats `#` as one.
fn is_plain(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-:/@".contains(c);
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= 120
        && name.chars().all(is_plain)
}
