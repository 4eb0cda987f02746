//! The worst day: thousands of alerts in a minute from an outage of a region, sent by two Alertmanagers, some of them critical,
//! while Slack takes one message a second for each channel and Kubernetes does not answer.

use serde_json::{Value, json};

const NAMESPACES: usize = 200;
/// Alerts of one group.
const GROUP: usize = 50;
/// The channels, as the configuration and the fake of Slack name them.
pub const CHANNELS: [&str; 3] = ["alerts", "oncall", "general"];

/// How much of it there is, and how fast it goes.
#[derive(Clone, Copy, Debug)]
pub struct WorstDay {
    /// All alerts, the critical ones among them.
    pub alerts: usize,
    /// Alertnames of the others; a quarter of them goes to the handler that asks Kubernetes.
    pub alertnames: usize,
    /// Critical ones, each in a group of its own.
    pub criticals: usize,
    /// Its times, and those of the configuration, are so many times shorter than on a real day.
    pub speed: u32,
}

/// A body, as a sender posts it.
#[derive(Clone, Debug)]
pub struct Body {
    /// JSON.
    pub json: String,
    /// The name of the critical alert that it is; absent if it is of the others.
    pub critical: Option<String>,
    /// When it is sent, in thousandths of its length.
    pub at: u32,
}

impl WorstDay {
    /// As large as it is described: 10,000 alerts, 20 of them critical, in a minute.
    #[must_use]
    pub fn whole(speed: u32) -> Self {
        Self {
            alerts: 10_000,
            alertnames: 40,
            criticals: 20,
            speed,
        }
    }

    /// Returns how long it lasts, in milliseconds.
    #[must_use]
    pub fn length_ms(&self) -> u64 {
        60_000 / u64::from(self.speed)
    }

    /// Returns the configuration, which reads the token from the file `token` beside it: the defaults, in times as short as its.
    #[must_use]
    pub fn config(&self, slack_api: &str, kubernetes: &str) -> String {
        let ms = |seconds: u64| format!("{}ms", seconds * 1_000 / u64::from(self.speed));
        let channel_of = |n: usize| CHANNELS[n % CHANNELS.len()];
        let routes: String = (0..CHANNELS.len())
            .map(|n| {
                let channel = channel_of(n);
                format!(
                    "  - matchers: ['team=\"{channel}\"', 'alertname=~\"Pod.*\"']\n    \
                         handlers: [kube-pod-crash-looping]\n    config: {{ channel: {channel} }}\n  \
                       - matchers: ['team=\"{channel}\"']\n    \
                         handlers: [slack-notify]\n    config: {{ channel: {channel} }}\n"
                )
            })
            .collect();
        let channels: Vec<_> = CHANNELS.map(|c| format!("{c}: \"#{c}\"")).to_vec();
        let names = CHANNELS.join(", ");
        let (min, max, age) = (ms(1), ms(300), ms(4 * 60 * 60));
        format!(
            "slack: {{ api_url: \"{slack_api}\", token_file: token, channels: {{ {} }}, rate: {{ per_second: {}, burst: 5 }}, \
                 workspace_rate: {{ per_second: {}, burst: 25 }} }}\n\
             storm: {{ over: 20, within: {} }}\n\
             routes:\n{routes}\
             handlers:\n  \
               slack-notify:\n    allow: {{ slack: [{names}] }}\n    \
                 retry: {{ min_backoff: {min}, max_backoff: {max}, max_age: {age} }}\n  \
               kube-pod-crash-looping:\n    allow: {{ slack: [{names}], http: [\"{kubernetes}\"] }}\n    \
                 enrich: {{ within: {} }}\n    \
                 retry: {{ min_backoff: {min}, max_backoff: {max}, max_age: {age} }}\n    \
                 config: {{ cluster.eu-west.url: \"{kubernetes}\" }}\n",
            channels.join(", "),
            self.speed,
            5 * self.speed,
            ms(60),
            ms(10),
        )
    }

    /// Returns what one sender posts, in its order.
    #[must_use]
    pub fn bodies(&self, status: &str) -> Vec<Body> {
        let others = self.alerts - self.criticals;
        let groups = others.div_ceil(GROUP);
        let mut bodies: Vec<_> = (0..groups)
            .map(|group| {
                let alerts = group * GROUP..others.min((group + 1) * GROUP);
                let alertname = name_of(group % self.alertnames);
                let team = CHANNELS[group % self.alertnames % CHANNELS.len()];
                let alerts = alerts.map(|n| alert(&alertname, n, "warning", team, status));
                Body {
                    json: body(&alertname, alerts.collect(), status),
                    critical: None,
                    at: thousandths(group, groups),
                }
            })
            .collect();
        // From the second tenth on: a storm is under way.
        bodies.extend((0..self.criticals).map(|n| {
            let asks_kubernetes = n % 4 == 0;
            let kind = if asks_kubernetes { "Pod" } else { "Service" };
            let alertname = format!("{kind}Lost{n:03}");
            let team = CHANNELS[n % CHANNELS.len()];
            let alert = alert(&alertname, self.alerts + n, "page", team, status);
            Body {
                json: body(&alertname, vec![alert], status),
                at: 100 + thousandths(n, self.criticals) * 8 / 10,
                critical: Some(alertname),
            }
        }));
        bodies.sort_by_key(|body| body.at);
        bodies
    }
}

fn thousandths(n: usize, of: usize) -> u32 {
    u32::try_from(n * 1_000 / of).unwrap_or(1_000)
}

fn name_of(n: usize) -> String {
    match n % 4 {
        0 => format!("PodCrash{n:02}"),
        _ => format!("Outage{n:02}"),
    }
}

fn alert(alertname: &str, n: usize, severity: &str, team: &str, status: &str) -> Value {
    let namespace = format!("ns-{:03}", n % NAMESPACES);
    let mut alert = json!({
        "status": status,
        "labels": {
            "alertname": alertname, "severity": severity, "team": team, "cluster": "eu-west", "region": "eu-west-1",
            "namespace": namespace, "pod": format!("app-{n:05}"), "container": "app",
        },
        "annotations": { "summary": format!("{alertname}: app-{n:05} does not answer.") },
        "startsAt": "2026-11-30T03:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
    });
    if status == "resolved" {
        alert["endsAt"] = "2026-11-30T03:40:00Z".into();
    }
    alert
}

fn body(alertname: &str, alerts: Vec<Value>, status: &str) -> String {
    json!({
        "version": "4", "groupKey": format!("{{}}:{{alertname=\"{alertname}\"}}"), "truncatedAlerts": 0,
        "receiver": "alert-manager", "status": status, "groupLabels": { "alertname": alertname },
        "commonLabels": { "alertname": alertname }, "commonAnnotations": {},
        "externalURL": "http://alertmanager.example:9093", "alerts": alerts,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_is_as_large_as_it_is_said_to_be() {
        let bodies = WorstDay::whole(1).bodies("firing");
        let bodies: Vec<(Value, &Body)> = bodies
            .iter()
            .map(|body| (serde_json::from_str(&body.json).expect("JSON"), body))
            .collect();
        let alerts = || {
            bodies
                .iter()
                .flat_map(|(json, _)| json["alerts"].as_array())
                .flatten()
        };
        assert_eq!(alerts().count(), 10_000);
        let distinct = |label: &str| {
            let values: BTreeSet<_> = alerts().map(|a| a["labels"][label].to_string()).collect();
            values.len()
        };
        assert_eq!(distinct("alertname"), 40 + 20);
        assert_eq!((distinct("namespace"), distinct("team")), (NAMESPACES, 3));
        assert_eq!(distinct("pod"), 10_000);
        let critical = alerts()
            .filter(|a| a["labels"]["severity"] == "page")
            .count();
        assert_eq!(critical, 20);
        assert_eq!(
            bodies.iter().filter(|(_, b)| b.critical.is_some()).count(),
            20
        );
        assert!(bodies.iter().all(|(_, body)| body.at <= 1_000));
    }
}
