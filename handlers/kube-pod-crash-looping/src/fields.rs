//! The names with values of the message: which of them, in what order, in what words.

use handler_sdk::prelude::*;

use crate::findings::{Exit, Workload};
use crate::message::Source;
use crate::words::{between, clip, image_tag};

const FIELDS_MAX: usize = 8;

/// Labels that tell of the exporter or are said elsewhere, not of the pod.
const NOT_DISTINGUISHING: [&str; 14] = [
    "alertname",
    "severity",
    "cluster",
    "namespace",
    "pod",
    "container",
    "uid",
    "fingerprint",
    "job",
    "service",
    "endpoint",
    "instance",
    "prometheus",
    "replica",
];

impl Source<'_> {
    /// Returns up to eight names with values, two on a line: real fields would take sixteen lines.
    pub(crate) fn fields(&self) -> Mrkdwn {
        let label = |name: &str| self.alert.label(name).map(str::to_owned);
        let container = self.container();
        let exit = container.and_then(|container| container.last_exit.as_ref());
        let mut fields: Vec<(String, Option<String>)> = vec![
            ("Cluster".to_owned(), label("cluster")),
            ("Workload".to_owned(), self.workload_words()),
            ("Pod".to_owned(), self.pod_words()),
            (
                "Restarts".to_owned(),
                container.map(|container| container.restarts.to_string()),
            ),
            (
                "Last exit".to_owned(),
                exit.map(|exit| self.exit_words(exit)),
            ),
            (
                "Image".to_owned(),
                container
                    .and_then(|container| container.image.as_deref())
                    .map(image_tag),
            ),
            (
                "Node".to_owned(),
                self.node_words().or_else(|| label("node")),
            ),
            ("Owner".to_owned(), self.owner()),
        ];
        let distinguishing = self.alert.labels.iter().filter(|(name, value)| {
            !NOT_DISTINGUISHING.contains(&name.as_str())
                && !value.is_empty()
                && !["node", "owner", "team"].contains(&name.as_str())
        });
        fields.extend(distinguishing.map(|(name, value)| (clip(name, 30), Some(value.clone()))));
        let shown: Vec<Mrkdwn> = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name, clip(&value?, 90))))
            .take(FIELDS_MAX)
            .map(|(name, value)| Mrkdwn::new().bold(format!("{name}:")).text(" ").text(value))
            .collect();
        let lines = shown
            .chunks(2)
            .map(|pair| Mrkdwn::join(pair.iter().cloned(), "   "));
        Mrkdwn::join(lines, "\n").truncated(800)
    }

    fn workload_words(&self) -> Option<String> {
        let Some(Workload { kind, name, ready }) = self
            .findings
            .and_then(|findings| findings.workload.as_ref())
        else {
            return self.workload_name().map(str::to_owned);
        };
        Some(match ready {
            Some((ready, wanted)) => format!("{kind} {name}, {ready}/{wanted} ready"),
            None => format!("{kind} {name}"),
        })
    }

    fn pod_words(&self) -> Option<String> {
        let pod = self.alert.label("pod")?;
        let container = self
            .container()
            .map(|container| container.name.as_str())
            .or(self.alert.label("container"));
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
