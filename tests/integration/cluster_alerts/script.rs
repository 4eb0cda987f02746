//! What is scripted of each alert (`alerts.txt`): the cluster that a handler reads, and the metrics that its rule is about.

use std::fmt::Write as _;
use std::path::Path;

use alert_manager::alert::Timestamp;
use serde_json::Value;
use tests::fakes::Cluster;
use tests::modules::workspace;

/// How long the history of a series is, and how far apart its samples are, in seconds.
const HISTORY: i64 = 6 * 3_600;
const STEP: i64 = 60;

/// An alert, the handler that has to answer it, and the cluster that it is in.
#[derive(Debug)]
pub(super) struct Scripted {
    /// Also the name of its cluster.
    pub(super) alertname: String,
    /// The handler that has to answer it.
    pub(super) handler: String,
    /// What the message has to name.
    pub(super) subject: String,
    /// The case of the handler's own tests.
    fixture: Value,
    series: Vec<Series>,
}

/// A series, with its values while the alert fires and once it has resolved.
#[derive(Debug)]
struct Series {
    name: String,
    labels: String,
    firing: Course,
    resolved: Course,
}

#[derive(Debug, Clone, Copy)]
enum Course {
    Missing,
    Constant(f64),
    /// From one value to another over the history, and on at this pace.
    Line(f64, f64),
    /// One value, then the other.
    Alternates(f64, f64),
    /// A moment, so many seconds from now.
    Moment(f64),
}

/// Reads all alerts.
pub(super) fn read() -> Vec<Scripted> {
    let mut alerts: Vec<Scripted> = Vec::new();
    let lines = include_str!("alerts.txt").lines();
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.split_once('{') {
            Some((name, rest)) => {
                let alert = alerts.last_mut().expect("an alert before its series");
                let (labels, course) = rest.rsplit_once('}').expect(line);
                let series = Series::of(name, &alert.labels_of(labels), course.trim());
                alert.series.push(series);
            }
            None => alerts.push(Scripted::of(line)),
        }
    }
    alerts
}

impl Scripted {
    fn of(line: &str) -> Self {
        let (what, subject) = line.split_once(": ").expect(line);
        let (alertname, which) = what.split_once(' ').expect(line);
        let (handler, fixture) = which.split_once('/').expect(line);
        let path = workspace().join(format!("handlers/{handler}/fixtures/{fixture}.json"));
        let fixture = read_json(&path);
        assert_eq!(fixture["alert"]["labels"]["alertname"], alertname, "{line}");
        Self {
            alertname: alertname.to_owned(),
            handler: handler.to_owned(),
            subject: subject.to_owned(),
            fixture,
            series: Vec::new(),
        }
    }

    /// Returns the labels of a series, with the alert's own in the place of `*`, and with the cluster.
    fn labels_of(&self, labels: &str) -> String {
        let own = self.labels().filter(|(name, _)| {
            !["alertname", "cluster", "prometheus", "severity"].contains(&name.as_str())
        });
        let own: Vec<String> = own.map(|(name, value)| format!("{name}={value}")).collect();
        let labels = match labels.strip_prefix('*') {
            Some(others) => format!("{}{others}", own.join(",")),
            None => labels.to_owned(),
        };
        format!(
            "cluster=\"{}\",{}",
            self.alertname,
            labels.trim_start_matches(',')
        )
    }

    /// Returns the labels that the alert has to have.
    pub(super) fn labels(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.fixture["alert"]["labels"]
            .as_object()
            .into_iter()
            .flatten()
    }

    /// Returns the verdict that the handler's own test expects.
    pub(super) fn verdict(&self) -> &Value {
        &self.fixture["verdict"]
    }

    /// Returns the cluster while the alert fires; its times are relative to `now`.
    pub(super) fn cluster(&self, now: Timestamp) -> Cluster {
        Cluster::of_case(&shifted(&self.fixture, &self.fixture["now"], now))
    }

    /// Returns the cluster once the alert has resolved.
    pub(super) fn cluster_at_the_end(&self, now: Timestamp) -> Cluster {
        let end = &self.fixture["resolved"];
        let mut cluster = self.cluster(now);
        if end.is_object() {
            let changed = Cluster::of_case(&shifted(end, &end["now"], now));
            cluster.objects.extend(changed.objects);
        }
        cluster
    }

    /// Adds its metrics as a scrape shows them, `scrape` counted from 0, `elapsed` seconds after the start.
    pub(super) fn expose(
        &self,
        fires: bool,
        scrape: u64,
        now: Timestamp,
        elapsed: f64,
        out: &mut String,
    ) {
        for Series {
            name,
            labels,
            firing,
            resolved,
        } in &self.series
        {
            let value = match if fires { firing } else { resolved } {
                Course::Missing => continue,
                Course::Constant(value) => *value,
                Course::Line(from, to) => to + (to - from) * elapsed / HISTORY as f64,
                Course::Alternates(one, other) => [*one, *other][(scrape % 2) as usize],
                Course::Moment(seconds) => now.as_second() as f64 + seconds,
            };
            let _ = writeln!(out, "{name}{{{labels}}} {value}");
        }
    }

    /// Adds the samples of the time before the start.
    pub(super) fn history(&self, start: Timestamp, out: &mut String) {
        for Series {
            name,
            labels,
            firing,
            ..
        } in &self.series
        {
            let Course::Line(from, to) = firing else {
                continue;
            };
            for ago in (1..=HISTORY / STEP).rev().map(|steps| steps * STEP) {
                let value = to + (from - to) * ago as f64 / HISTORY as f64;
                let at = start.as_second() - ago;
                let _ = writeln!(out, "{name}{{{labels}}} {value} {at}");
            }
        }
    }
}

impl Series {
    fn of(name: &str, labels: &str, course: &str) -> Self {
        let (firing, resolved) = course.split_once(" | ").unwrap_or((course, course));
        Self {
            name: name.to_owned(),
            labels: labels.to_owned(),
            firing: Course::of(firing),
            resolved: Course::of(resolved),
        }
    }
}

impl Course {
    fn of(text: &str) -> Self {
        let number = |text: &str| text.trim().parse().expect(text);
        let pair = |by: &str| text.split_once(by).map(|(a, b)| (number(a), number(b)));
        if text == "-" {
            Self::Missing
        } else if let Some((from, to)) = pair(" -> ") {
            Self::Line(from, to)
        } else if let Some((one, other)) = pair(" ~ ") {
            Self::Alternates(one, other)
        } else if let Some(seconds) = text.strip_prefix("in ") {
            Self::Moment(number(seconds))
        } else {
            Self::Constant(number(text))
        }
    }
}

fn read_json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Returns the JSON with all times moved, so that what was at `then` is at `now`.
fn shifted(json: &Value, then: &Value, now: Timestamp) -> Value {
    let time = |text: &Value| text.as_str()?.parse::<Timestamp>().ok();
    let moved = now.duration_since(time(then).expect("the case says when it is"));
    match json {
        Value::String(_) => match time(json) {
            // Of whole seconds, as the API's times are.
            Some(at) => {
                let at = (at + moved).as_second();
                Value::String(Timestamp::from_second(at).expect("a time").to_string())
            }
            None => json.clone(),
        },
        Value::Array(items) => items.iter().map(|item| shifted(item, then, now)).collect(),
        Value::Object(fields) => {
            let fields = fields.iter();
            fields
                .map(|(name, value)| (name.clone(), shifted(value, then, now)))
                .collect()
        }
        other => other.clone(),
    }
}
