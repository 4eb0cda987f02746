//! What to do next: commands ready to be copied, only those that the findings support.

use handler_sdk::prelude::*;

use crate::findings::PodState;
use crate::kube::is_name;
use crate::log_shown::fenced;
use crate::message::Source;

/// Ends that no change of the template explains.
const IS_NOT_ITS_DOING: [&str; 6] = [
    "evicted",
    "preempted",
    "pod-ended",
    "exit-unknown",
    "restarted",
    "restarted-with-pod",
];

impl Source<'_> {
    /// Returns the next steps; none if there are none, or by the setting `next_steps: off`.
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

    /// The limit, and where it is set, if memory is what it died of or may have.
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
            .text(format!(" {limit}, "));
        if container.is_limit_a_default {
            return line.text("the default of a LimitRange of the namespace");
        }
        let line = match self.object() {
            Some((resource, name)) => line.text("set in ").code(format!("{resource}/{name}")),
            None => line.text("set in the pod's specification"),
        };
        line.text(format!(", container {}, ", container.name))
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
            && let Some(("deployment", name)) = self.object()
        {
            commands.push(format!(
                "kubectl -n {namespace} rollout undo deployment/{name}"
            ));
        }
        if commands.is_empty() {
            return Mrkdwn::new();
        }
        Mrkdwn::new()
            .bold("Next:")
            .text("\n")
            .then(fenced(&commands.join("\n")))
    }

    /// Namespace and pod, if both are names: what comes with an alert must not reach a shell.
    fn names(&self) -> Option<(&str, &str)> {
        let subject = self.notice.subject();
        let (namespace, pod) = (subject.namespace()?, subject.label("pod")?);
        (is_name(namespace) && is_name(pod)).then_some((namespace, pod))
    }

    /// The workload as `kubectl` names it.
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
