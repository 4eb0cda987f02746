//! A cluster on the mock host, for the tests of handlers: read from a file, one for each verdict.

use std::fs;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use handler_sdk::http::{Method, encode};
use handler_sdk::layout::{BLOCKS_MAX, CHARS_MAX, LINES_MAX};
use handler_sdk::mock::{Host, Post, Reply, alert_from_json, assert_snapshot};
use handler_sdk::prelude::*;
use handler_sdk::serde_json::{self, Value, json};

use crate::answer::{Answer, Answering};

/// The API server of a [`Case`].
pub const KUBERNETES: &str = "https://kubernetes.example";
/// The Prometheus server of a [`Case`].
pub const PROMETHEUS: &str = "https://prometheus.example";

/// An alert, and what the servers of its cluster answer; read from a JSON file:
///
/// ```json
/// {
///   "now": "2026-11-01T10:06:00Z",
///   "verdict": "unschedulable",
///   "alert": { "labels": { "alertname": "KubePodNotReady" }, "startsAt": "2026-11-01T09:50:00Z" },
///   "config": { "logs": "thread" },
///   "kubernetes": { "/api/v1/namespaces/shop/pods/web-1": {}, "/api/v1/namespaces/shop/pods": [], "/api/v1/nodes/n1": 403 },
///   "events": [ {} ],
///   "logs": { "app": "the log of the container that runs", "app/previous": "…", "proxy": 400 },
///   "prometheus": { "query?kubelet_volume_stats": [ { "metric": {}, "value": [0, "42"] } ], "targets": { "activeTargets": [] } },
///   "resolved": { "now": "2026-11-01T10:20:00Z", "kubernetes": {} }
/// }
/// ```
///
/// - `kubernetes`: objects by their path, lists (an array) by theirs, a status (a number) for an error. Every other object does
///   not exist, and every other list is empty.
/// - `events`: each is listed for the uid and for the name of its `involvedObject`.
/// - `logs`: by the name of the container; `/previous` is that of the container that ended.
/// - `prometheus`: the answer's `data` or, of a query, its `result`, by endpoint and, after `?`, a part of the query.
/// - `resolved`: what has changed by the time when the alert resolves; the alert is resolved then.
///
/// The servers are those of the alert's cluster, whatever it is called; `null` in `config` takes one away:
/// `"cluster.NAME.url": null`.
#[derive(Debug)]
pub struct Case<A> {
    /// The alert.
    pub alert: Alert,
    /// The host; a test can add to its script.
    pub host: Host,
    json: Value,
    answer: PhantomData<A>,
}

impl<A: Answer> Case<A> {
    /// Reads a case from a file.
    ///
    /// # Panics
    /// Panics if the file is no case: that is a mistake of the test.
    #[track_caller]
    pub fn read(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let json = fs::read_to_string(path).map(|text| serde_json::from_str(&text));
        match json {
            Ok(Ok(json)) => Self::of(&json),
            Ok(Err(error)) => panic!("{}: {error}", path.display()),
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }

    /// Returns a case from its JSON.
    #[track_caller]
    pub fn of(json: &Value) -> Self {
        let alert = alert_from_json(&json["alert"].to_string());
        let [kubernetes, prometheus] = match alert.subject().label("cluster") {
            Some(cluster) => ["url", "prometheus"].map(|of| format!("cluster.{cluster}.{of}")),
            None => ["kubernetes.url", "prometheus.url"].map(str::to_owned),
        };
        let servers = [(kubernetes, KUBERNETES), (prometheus, PROMETHEUS)];
        let is_there = |(key, _): &(String, &str)| json["config"].get(key) != Some(&Value::Null);
        let host = servers
            .into_iter()
            .filter(is_there)
            .fold(Host::new(), |host, (key, url)| host.config(&key, url));
        let config = json["config"].as_object().into_iter().flatten();
        let config = config.filter_map(|(key, value)| Some((key, value.as_str()?)));
        let host = config.fold(host, |host, (key, value)| host.config(key, value));
        Self {
            host: scripted(nothing_there(host), json),
            alert,
            json: json.clone(),
            answer: PhantomData,
        }
    }

    /// Runs the firing alert, checks the limits of its message, and returns the message.
    ///
    /// # Panics
    /// Panics if a step fails, or the message is over a limit.
    #[track_caller]
    pub fn fires(&self) -> Post {
        let run = self.host.run::<Answering<A>>(&self.alert);
        assert!(run.result.is_ok(), "{run:?}");
        let calls = u32::try_from(self.host.requests().len()).unwrap_or(u32::MAX);
        assert!(calls <= A::CALLS_MAX, "{calls} requests");
        match self
            .host
            .posts()
            .into_iter()
            .find(|post| post.thread.is_none())
        {
            Some(post) => within_limits(post),
            None => panic!("no message was posted"),
        }
    }

    /// Runs the resolved alert, with what `resolved` of the file has changed. Returns the text of the last message.
    ///
    /// # Panics
    /// Panics if a step fails.
    #[track_caller]
    pub fn resolves(&self) -> String {
        let changed = &self.json["resolved"];
        let host = scripted(self.host.clone().delivery("d-2"), changed);
        let ended = host.cx().now().minus(std::time::Duration::from_secs(30));
        let alert = self.alert.clone().into_resolved(ended).with_receipt(ended);
        let run = host.run::<Answering<A>>(&alert);
        assert!(run.result.is_ok(), "{run:?}");
        let updates = host.updates();
        let text = updates.last().map(|update| update.text.clone());
        text.or_else(|| host.posts().last().map(|post| post.text.clone()))
            .unwrap_or_default()
    }

    /// Returns the facts that programs get of the firing alert.
    ///
    /// # Panics
    /// Panics if the enrichment fails.
    #[track_caller]
    pub fn facts(&self) -> Enrichment {
        match self
            .host
            .enrich::<Answering<A>>(&self.alert, &Enrichment::new())
        {
            Ok(found) => found,
            Err(failure) => panic!("{failure:?}"),
        }
    }
}

/// Runs every case of the folder `fixtures`: compares the verdict with that of the file and all messages with the snapshots in
/// the folder `snapshots`, and checks the limits. `handler` is `env!("CARGO_MANIFEST_DIR")`.
///
/// # Panics
/// Panics if a case differs; with `UPDATE_SNAPSHOTS` set, the snapshots are written.
#[track_caller]
pub fn all_cases<A: Answer>(handler: &str) {
    let folder = Path::new(handler).join("fixtures");
    let mut paths: Vec<PathBuf> = match fs::read_dir(&folder) {
        Ok(entries) => entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect(),
        Err(error) => panic!("{}: {error}", folder.display()),
    };
    paths.sort();
    assert!(!paths.is_empty(), "{} has no case", folder.display());
    for path in paths {
        let case = Case::<A>::read(&path);
        let expected = case.json["verdict"].as_str();
        let found = case.facts();
        assert_eq!(found.fact("verdict"), expected, "{}", path.display());
        // The requests of this run do not count for the next.
        let case = Case::<A>::read(&path);
        case.fires();
        if !case.json["resolved"].is_null() {
            case.resolves();
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let snapshot = Path::new(handler).join("snapshots").join(&*name);
        assert_snapshot(snapshot.with_extension("txt"), &case.host.transcript());
        let messages = format!("{:#}\n", case.host.messages());
        assert_snapshot(snapshot.with_extension("json"), &messages);
    }
}

/// Checks the limits of a message.
///
/// # Panics
/// Panics if it is over one.
#[track_caller]
pub fn within_limits(post: Post) -> Post {
    let shown = post.visible();
    let (blocks, lines) = (post.blocks.len(), shown.lines().count());
    assert!(blocks <= BLOCKS_MAX, "{blocks} blocks");
    assert!(lines <= LINES_MAX, "{lines} lines:\n{shown}");
    let chars = shown.chars().count() + post.text.chars().count();
    assert!(chars <= CHARS_MAX, "{chars} characters:\n{shown}");
    post
}

/// Scripts servers that have no object and no series.
fn nothing_there(host: Host) -> Host {
    let gone = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404 });
    let series = json!({ "status": "success", "data": { "resultType": "vector", "result": [] } });
    host.http_get(&format!("{KUBERNETES}/*"), 404, gone.to_string())
        .http_get(&format!("{KUBERNETES}/*limit=100*"), 200, list(&[]))
        .http_get(&format!("{PROMETHEUS}/*"), 200, series.to_string())
}

fn scripted(mut host: Host, json: &Value) -> Host {
    if let Some(now) = json["now"].as_str() {
        match now.parse() {
            Ok(now) => host = host.now(now),
            Err(error) => panic!("now: {error}"),
        }
    }
    for (path, answer) in json["kubernetes"].as_object().into_iter().flatten() {
        let url = format!("{KUBERNETES}{path}");
        host = match answer {
            Value::Number(status) => {
                let reply = status_reply(status.as_u64());
                host.http(Method::Get, &url, reply.clone()).http(
                    Method::Get,
                    &format!("{url}?*"),
                    reply,
                )
            }
            Value::Array(items) => host.http_get(&format!("{url}?*"), 200, list(items)),
            object => host.http_get(&url, 200, object.to_string()),
        };
    }
    let events = json["events"].as_array().map_or(&[][..], Vec::as_slice);
    for event in events {
        let object = &event["involvedObject"];
        let of = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
        let namespace = event["metadata"]["namespace"].as_str().unwrap_or("*");
        for field in ["uid", "name"] {
            let selector = format!(
                "{}={}",
                encode(&format!("involvedObject.{field}")),
                encode(&of(field))
            );
            let selector = selector.replace('=', "%3D");
            let same = events
                .iter()
                .filter(|other| other["involvedObject"][field] == object[field]);
            let same: Vec<Value> = same.cloned().collect();
            let url = format!(
                "{KUBERNETES}/api/v1/namespaces/{namespace}/events?fieldSelector=*{selector}&*"
            );
            host = host.http_get(&url, 200, list(&same));
        }
    }
    for (which, answer) in json["logs"].as_object().into_iter().flatten() {
        let (container, previous) = match which.split_once('/') {
            Some((container, _)) => (container, "&previous=true"),
            None => (which.as_str(), ""),
        };
        let url = format!("{KUBERNETES}/*/log?container={container}{previous}&tailLines=*");
        let reply = match answer {
            Value::Number(status) => status_reply(status.as_u64()),
            text => Reply::status(200, text.as_str().unwrap_or_default()),
        };
        host = host.http(Method::Get, &url, reply);
    }
    for (question, answer) in json["prometheus"].as_object().into_iter().flatten() {
        let (endpoint, part) = question.split_once('?').unwrap_or((question, ""));
        let part = if part.is_empty() {
            String::new()
        } else {
            format!("*{}*", encode(part))
        };
        let url = match endpoint {
            "query" | "query_range" => format!("{PROMETHEUS}/api/v1/{endpoint}?query={part}*"),
            _ => format!("{PROMETHEUS}/api/v1/{endpoint}?*{part}"),
        };
        host = host.http(Method::Get, &url, prometheus_reply(answer));
    }
    host
}

fn prometheus_reply(answer: &Value) -> Reply {
    let data = match answer {
        Value::Number(status) => return status_reply(status.as_u64()),
        Value::Array(result) => {
            let is_matrix = result.iter().any(|series| series["values"].is_array());
            let kind = if is_matrix { "matrix" } else { "vector" };
            json!({ "resultType": kind, "result": result })
        }
        data => data.clone(),
    };
    Reply::json(200, &json!({ "status": "success", "data": data }))
}

fn status_reply(code: Option<u64>) -> Reply {
    let status = code
        .and_then(|code| u16::try_from(code).ok())
        .unwrap_or(500);
    let body = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "message": "no" });
    Reply::json(status, &body)
}

fn list(items: &[Value]) -> String {
    json!({ "kind": "List", "apiVersion": "v1", "metadata": {}, "items": items }).to_string()
}
