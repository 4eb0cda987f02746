//! The link to a silence for the subject, rather than for one of its pods.

use super::Subject;
use crate::alert::is_web_url;
use crate::http::encode;
use crate::storm::Storm;

/// Labels that distinguish alerts about one subject, for example the disk of a node.
const DETAILS: [&str; 7] = [
    "device",
    "mountpoint",
    "condition",
    "eviction_signal",
    "integration",
    "resource",
    "phase",
];
/// Labels that differ between the pods of one workload, or change over time.
const PASSING: [&str; 6] = [
    "container",
    "node",
    "instance",
    "reason",
    "pod_ip",
    "host_ip",
];
/// The characters of Kubernetes' random suffixes: no vowels, and no digits that look like one (apimachinery,
/// `util/rand`).
const RANDOM: &str = "[b-df-hj-np-tv-xz0-9]+";

impl Subject<'_> {
    /// Returns the URL of a form to silence the alert: Grafana's own link, or the form of the Alertmanager that sent the
    /// alert, with the labels that identify the subject filled in.
    ///
    /// A pod's name changes with each rollout, so the pods of its workload are matched by a regular expression. `workload`
    /// is the kind and name of the workload, if known; otherwise they are guessed from the pod's name.
    ///
    /// ```
    /// use handler_sdk::Alert;
    ///
    /// let mut alert = Alert::new("KubePodNotReady").with_label("namespace", "shop").with_label("pod", "db-0");
    /// alert.origin.external_url = Some("https://am.example.com/".to_owned());
    /// assert_eq!(
    ///     alert.subject().silence_url(Some(("StatefulSet", "db"))).as_deref(),
    ///     Some("https://am.example.com/#/silences/new?filter=%7Balertname%3D%22KubePodNotReady%22%2C%20\
    ///           namespace%3D%22shop%22%2C%20pod%3D~%22db-%5B0-9%5D%2B%22%7D"),
    /// );
    /// ```
    pub fn silence_url(&self, workload: Option<(&str, &str)>) -> Option<String> {
        match self.alert.extra("silenceURL") {
            Some(url) => is_web_url(url).then(|| url.to_owned()),
            None => self.silence_url_of(&self.matchers(workload)),
        }
    }

    /// Returns the URL of a form to silence a storm: with the labels that all its alerts have in common. `None` if they do not
    /// share their name, because the silence would be for other alerts too, and if they are Grafana's, whose own link is for
    /// one alert.
    pub(crate) fn silence_url_of_storm(&self, storm: &Storm<'_>) -> Option<String> {
        if self.alert.extra("silenceURL").is_some() {
            return None;
        }
        let name = equal("alertname", storm.shared_label("alertname")?);
        let shared = self.shared_labels(storm).into_iter();
        let lasting = shared.filter(|(label, _)| !PASSING.contains(label));
        let lasting = lasting.map(|(label, value)| equal(label, value));
        let matchers: Vec<String> = std::iter::once(name).chain(lasting).collect();
        self.silence_url_of(&matchers)
    }

    /// Returns the URL of a form to silence the alerts of the Alertmanager group. `None` if the group has no labels, because the
    /// silence would be for all alerts, and if it is Grafana's.
    pub(crate) fn silence_url_of_group(&self) -> Option<String> {
        let labels = &self.alert.origin.group_labels;
        if self.alert.extra("silenceURL").is_some() || labels.is_empty() {
            return None;
        }
        let matchers: Vec<String> = labels
            .iter()
            .map(|(label, value)| equal(label, value))
            .collect();
        self.silence_url_of(&matchers)
    }

    fn silence_url_of(&self, matchers: &[String]) -> Option<String> {
        let base = self
            .alert
            .origin
            .external_url
            .as_deref()
            .filter(|url| is_web_url(url))?;
        let filter = encode(&format!("{{{}}}", matchers.join(", ")));
        Some(format!(
            "{}/#/silences/new?filter={filter}",
            base.trim_end_matches('/')
        ))
    }

    fn matchers(&self, workload: Option<(&str, &str)>) -> Vec<String> {
        let is_pod = self.kind() == Some("pod");
        let mut matchers: Vec<String> = self
            .alert
            .label("alertname")
            .map(|name| equal("alertname", name))
            .into_iter()
            .collect();
        for (name, value) in self.labels() {
            let is_of_thing =
                Some(name) == self.kind() || (name == "namespace" && self.namespace().is_some());
            let is_wanted = match self.row {
                _ if name == "cluster" || is_of_thing => true,
                Some(_) => DETAILS.contains(&name),
                None => !(is_pod && PASSING.contains(&name)),
            };
            if !is_wanted {
                continue;
            }
            let label = match self.exported(name) {
                Some(_) => format!("exported_{name}"),
                None => name.to_owned(),
            };
            let pods = (name == "pod").then(|| pods_of(value, workload)).flatten();
            matchers.push(pods.map_or_else(
                || equal(&label, value),
                |pods| format!("{label}=~{}", quoted(&pods)),
            ));
        }
        matchers
    }
}

fn equal(label: &str, value: &str) -> String {
    format!("{label}={}", quoted(value))
}

/// Quotes a value as a JSON string, which the form expects (Alertmanager, `ui/app/src/Utils/Filter.elm`).
fn quoted(value: &str) -> String {
    // Text can always be written as JSON.
    serde_json::to_string(value).unwrap_or_default()
}

/// Returns a regular expression for the pods of a pod's workload; `None` if the workload cannot be guessed.
fn pods_of(pod: &str, workload: Option<(&str, &str)>) -> Option<String> {
    let is_plain = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
            })
    };
    let (name, suffixes) = match workload {
        Some((kind, name)) => {
            pod.strip_prefix(name)?.strip_prefix('-')?;
            let suffixes = match kind {
                "StatefulSet" => "[0-9]+".to_owned(),
                "Deployment" | "Rollout" | "" => format!("{RANDOM}-{RANDOM}"),
                "CronJob" => format!("[0-9]+-{RANDOM}"),
                "Node" => return None,
                _ => RANDOM.to_owned(),
            };
            (name, suffixes)
        }
        None => match workload_of_pod(pod) {
            Some(deployment) => (deployment, format!("{RANDOM}-{RANDOM}")),
            None => {
                let (rest, last) = pod.rsplit_once('-')?;
                match last {
                    _ if last.bytes().all(|byte| byte.is_ascii_digit()) => {
                        (rest, "[0-9]+".to_owned())
                    }
                    _ if is_suffix(last, 5..=5) => (rest, RANDOM.to_owned()),
                    _ => return None,
                }
            }
        },
    };
    is_plain(name).then(|| format!("{}-{suffixes}", name.replace('.', "[.]")))
}

/// Returns the Deployment that a pod's name suggests: `a-9b75b488c-cpfd7` is a pod of `a`. Only a guess.
pub fn workload_of_pod(pod: &str) -> Option<&str> {
    let (rest, random) = pod.rsplit_once('-')?;
    let (workload, hash) = rest.rsplit_once('-')?;
    let fits = is_suffix(random, 5..=5) && is_suffix(hash, 6..=10) && !workload.is_empty();
    fits.then_some(workload)
}

fn is_suffix(text: &str, lengths: std::ops::RangeInclusive<usize>) -> bool {
    lengths.contains(&text.len())
        && text
            .bytes()
            .all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte))
}
