//! The name and value pairs of the message.

use handler_sdk::layout::{clip, pairs};
use handler_sdk::prelude::*;

use crate::findings::{Exit, Findings, Workload};
use crate::message::Source;
use crate::words::{between, image_tag};

const PAIRS_MAX: usize = 8;

impl Source<'_> {
    /// Returns up to eight name and value pairs, two on a line; below them, on one line each, the remaining labels and what
    /// other handlers found out.
    pub(crate) fn fields(&self) -> Mrkdwn {
        let subject = self.notice.subject();
        let label = |name: &str| subject.label(name).map(str::to_owned);
        let container = self.container();
        let exit = container.and_then(|container| container.last_exit.as_ref());
        let (node, owner) = (self.node_words().or_else(|| label("node")), self.owner());
        let fields = [
            ("Cluster", label("cluster")),
            ("Workload", self.workload_words()),
            ("Pod", self.pod_words()),
            (
                "Restarts",
                container.map(|container| container.restarts.to_string()),
            ),
            ("Last exit", exit.map(|exit| self.exit_words(exit))),
            (
                "Image",
                container
                    .and_then(|container| container.image.as_deref())
                    .map(image_tag),
            ),
            ("Node", node),
            ("Owner", owner.clone()),
        ];
        let mut shown: Vec<(String, String)> = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect();
        let is_said = |name: &str, value: &str| match name {
            "cluster" | "namespace" | "pod" | "container" | "node" => true,
            "owner" | "team" => owner.as_deref() == Some(value),
            // Every alert of this name has this reason.
            "reason" => value == "CrashLoopBackOff",
            _ => false,
        };
        let labels = self.notice.labels(&[]);
        shown.extend(
            labels
                .into_iter()
                .filter(|(name, value)| !is_said(name, value)),
        );
        let below = shown.split_off(shown.len().min(PAIRS_MAX));
        let below = below.iter().map(|(name, value)| {
            Mrkdwn::new()
                .bold(format!("{}:", clip(name, 30)))
                .text(" ")
                .text(clip(value, 60))
        });
        let lines = [
            pairs(shown).truncated(800),
            Mrkdwn::join(below, " · ").truncated(300),
            self.notice.facts(Findings::is_own_fact).truncated(300),
        ];
        Mrkdwn::join(lines, "\n")
    }

    fn workload_words(&self) -> Option<String> {
        let Some(workload) = self
            .findings
            .and_then(|findings| findings.workload.as_ref())
        else {
            return self.workload_name().map(str::to_owned);
        };
        let Workload {
            kind,
            name,
            made_by,
            ready,
            ..
        } = workload;
        if kind == "Node" {
            return Some(format!("static pod of {name}"));
        }
        let name = format!("{kind} {name}");
        let name = name.trim_start();
        let made_by = made_by
            .as_ref()
            .map(|made_by| format!(" (of {made_by})"))
            .unwrap_or_default();
        Some(match ready {
            Some((ready, wanted)) => format!("{name}{made_by}, {ready}/{wanted} ready"),
            None => format!("{name}{made_by}"),
        })
    }

    fn pod_words(&self) -> Option<String> {
        let pod = self.notice.subject().label("pod")?;
        let container = self
            .container()
            .map(|container| container.name.as_str())
            .or_else(|| self.notice.subject().label("container"));
        Some(container.map_or_else(
            || pod.to_owned(),
            |container| format!("{pod} / {container}"),
        ))
    }

    fn exit_words(&self, exit: &Exit) -> String {
        let ago = exit
            .finished
            .map(|at| format!(", {} ago", between(at, self.now)))
            .unwrap_or_default();
        format!("{} ({}){ago}", exit.reason, exit.code)
    }

    fn node_words(&self) -> Option<String> {
        let node = self.findings?.node.as_ref()?;
        let troubles = node
            .troubles
            .iter()
            .map(|trouble| format!(", {trouble}"))
            .collect::<String>();
        Some(format!("{}{troubles}", node.name))
    }

    fn owner(&self) -> Option<String> {
        let labelled = ["owner", "team"]
            .iter()
            .find_map(|label| self.alert.label(label));
        let found = self.findings.and_then(|findings| findings.owner.as_deref());
        self.others
            .fact("owner")
            .or(found)
            .or(labelled)
            .map(str::to_owned)
    }
}
