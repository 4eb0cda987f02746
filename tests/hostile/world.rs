//! The one server that the whole catalogue runs on, its fakes, and the check around each case.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tests::fakes::{Sink, Slack, Wire};
use tests::modules;
use tests::server::{Server, Setup};

use super::case::{Case, End, Harm};
use super::watch::Watch;

/// The honest handler, and the alertname that it serves.
const HONEST: (&str, &str) = ("bench-handler-000", "Bench000");
/// The handler whose state others reach for.
const OWNER: &str = "owner";
/// What the owner keeps in `kv`.
pub(crate) const OWNERS_OWN: &str = "nobody-elses-business";
/// The credential's secret.
pub(crate) const SECRET: &str = "hunter2-and-more";
/// The secret of the credential whose origin echoes each request.
const MIRRORED: &str = "mirror-on-the-wall";

/// A server, and the world around it.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) wire: Wire,
    pub(crate) sink: Sink,
    /// On loopback too, and granted to nobody.
    pub(crate) forbidden: Sink,
    pub(crate) slack: Slack,
    /// The owner's reference to its message.
    reference: String,
    /// Files that were put into the folder for more than one case.
    put: Mutex<BTreeSet<String>>,
    watch: Watch,
}

impl World {
    /// Starts the server with the settings of every case, and lets the owner put something by.
    pub(crate) async fn start<'a>(cases: impl Iterator<Item = &'a Case>) -> Self {
        let (wire, sink, forbidden) = (
            Wire::start().await,
            Sink::start().await,
            Sink::start().await,
        );
        let slack = Slack::start().await;
        let config = configuration(cases)
            .replace("{wire}", &wire.url())
            .replace("{wire_port}", &wire.port().to_string())
            .replace("{sink}", &sink.url());
        let server = Setup::new()
            .slack(&slack)
            .module("guest-bench")
            .config(&config)
            .start()
            .await;
        let mut world = Self {
            watch: Watch::start(&server.url, &server.shared),
            put: Mutex::default(),
            server,
            wire,
            sink,
            forbidden,
            slack,
            reference: String::new(),
        };
        world.put(&format!("{OWNER}.wasm"), &modules::named("probe", OWNER));
        world.loaded(OWNER).await;
        let script = format!("set secret {OWNERS_OWN}\nslack alerts mine\nreference");
        let owner = alert(OWNER, &[("step", "act")], &script);
        let ids = world.server.accept(&owner).await;
        let story = world.settled(&ids[0]).await;
        let told = &story["steps"][1]["facts"]["2"];
        world.reference = told.as_str().expect("a reference").to_owned();
        world
    }

    /// Runs one case: an honest alert is served while it is under way, and it ends as it has to.
    pub(crate) async fn check(&self, case: &Case) {
        let file = format!("{}.wasm", case.handler);
        let is_new = self.put.lock().insert(file.clone());
        match &case.harm {
            _ if !is_new => {}
            Harm::File(put) => put(&self.server.handlers_dir().join(&file)),
            Harm::Component(make) => self.put(&file, &make(case.handler)),
            Harm::Describing(mode) => {
                let module = modules::named("hostile", case.handler);
                let mode = format!("describe:{mode}");
                self.put(
                    &file,
                    &modules::with_text(&module, "describe:well", 32, &mode),
                );
            }
            Harm::Guest { .. } => self.put(&file, &modules::named("hostile", case.handler)),
            Harm::Script { .. } => self.put(&file, &modules::named("probe", case.handler)),
        }
        let told = if case.end == End::Refused {
            self.refused(case, &file).await
        } else {
            self.delivered(case).await
        };
        for part in &case.told {
            let mut ways = part.split(" | ").map(|way| self.filled(way));
            assert!(
                ways.any(|way| told.contains(&way)),
                "{part:?} is not told:\n{told}"
            );
        }
        for part in case
            .untold
            .iter()
            .chain(&[SECRET, MIRRORED, tests::fakes::slack::TOKEN])
        {
            assert!(!told.contains(part), "{part:?} is told:\n{told}");
        }
        if let Some(limit) = case.limit {
            self.limit_was_counted(case, limit).await;
        }
        let (ready, _) = self.server.get_text("/readyz").await;
        assert_eq!(ready, 200, "the server is not ready any more");
    }

    /// Waits until the file is refused, and returns what the listing says of it.
    async fn refused(&self, case: &Case, file: &str) -> String {
        self.honest(case).await;
        let is_told = |h: &Value| h["file"] == file && h["last_error"].is_string();
        let listed = self.watch.handler(file, is_told).await;
        assert_eq!(listed["state"], "refused", "{listed:#}");
        listed["last_error"].as_str().expect("a text").to_owned()
    }

    /// Sends the case its alert, and returns its story, without the alert's own words.
    async fn delivered(&self, case: &Case) -> String {
        self.loaded(case.handler).await;
        let mut labels = vec![("case", case.name.to_owned())];
        let mut text = String::new();
        match &case.harm {
            Harm::Guest { mode, step, url } => labels.extend([
                ("mode", (*mode).to_owned()),
                ("step", (*step).to_owned()),
                ("url", self.filled(url)),
            ]),
            Harm::Script { script, step } => {
                labels.push(("step", (*step).to_owned()));
                text = self.filled(script);
            }
            Harm::Describing(_) | Harm::Component(_) | Harm::File(_) => {}
        }
        let labels: Vec<_> = labels.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let alert = alert(case.handler, &labels, &text);
        let ids = self.server.accept(&alert).await;
        let honest = self.honest(case).await;
        let mut story = self.settled(&ids[0]).await;
        let end = if case.end == End::Dead {
            "dead"
        } else {
            "done"
        };
        assert_eq!(story["state"], end, "{story:#}");
        if case.outlasts {
            let at = |story: &Value| story["settled_at"].as_str().expect("a time").to_owned();
            assert!(
                moment(&at(&honest)) <= moment(&at(&story)),
                "the honest alert waited for it: {} {}",
                at(&honest),
                at(&story)
            );
        }
        story.as_object_mut().expect("a story").remove("alert");
        story.to_string()
    }

    /// Sends the honest handler an alert and sees it done.
    async fn honest(&self, case: &Case) -> Value {
        let (_, alertname) = HONEST;
        let ids = self
            .server
            .accept(&alert(alertname, &[("pod", case.name)], ""))
            .await;
        let story = self.settled(&ids[0]).await;
        assert_eq!(story["state"], "done", "{story:#}");
        story
    }

    /// Asserts what must hold after all cases: no request reached an origin that is not granted, and only the allowed messages
    /// were posted or changed.
    pub(crate) fn assert_untouched(&self) {
        assert_eq!(
            self.forbidden.received().len(),
            0,
            "a request came where none was granted"
        );
        let asked = self.wire.asked().join("\n").to_lowercase();
        assert!(
            !asked.contains(SECRET),
            "the credential went to another origin"
        );
        for request in self.sink.received() {
            assert!(!request.path.contains("secret"), "{}", request.path);
            assert_eq!(request.header("x-injected"), None);
        }
        let messages = self.slack.messages();
        assert!(
            messages.iter().all(|m| m.channel_name == "#alerts"),
            "another channel was reached"
        );
        let owners = messages
            .iter()
            .find(|m| m.text == "mine")
            .expect("the owner's message");
        assert!(owners.before_updates.is_empty() && owners.reactions.is_empty());
        assert!(self.slack.thread(&owners.ts).is_empty());
    }

    async fn loaded(&self, name: &str) {
        let file = format!("{name}.wasm");
        let is_listed = |h: &Value| {
            h["name"] == name || (h["file"] == file.as_str() && h["last_error"].is_string())
        };
        let listed = self.watch.handler(name, is_listed).await;
        assert!(
            listed["last_error"].is_null(),
            "it does not load: {listed:#}"
        );
    }

    async fn settled(&self, id: &str) -> Value {
        self.watch.settled(&self.server, id).await
    }

    async fn limit_was_counted(&self, case: &Case, limit: &str) {
        let (_, metrics) = self.server.get_text("/metrics").await;
        let labels = [
            format!("handler=\"{}\"", case.handler),
            format!("limit=\"{limit}\""),
        ];
        let is_counted = metrics.lines().any(|line| {
            line.starts_with("alert_manager_limits_total")
                && labels.iter().all(|label| line.contains(label))
                && !line.ends_with(" 0")
        });
        assert!(is_counted, "the limit {limit} has no metric");
    }

    fn put(&self, file: &str, bytes: &[u8]) {
        let dir = self.server.handlers_dir();
        let partial = dir.join(file).with_extension("partial");
        std::fs::write(&partial, bytes).expect("the folder takes it");
        std::fs::rename(&partial, dir.join(file)).expect("the folder takes it");
    }

    fn filled(&self, text: &str) -> String {
        text.replace("{wire}", &self.wire.url())
            .replace("{wire_port}", &self.wire.port().to_string())
            .replace("{sink}", &self.sink.url())
            .replace("{sink_host}", self.sink.url().trim_start_matches("http://"))
            .replace(
                "{forbidden_port}",
                self.forbidden.url().rsplit(':').next().unwrap_or_default(),
            )
            .replace("{reference}", &self.reference)
    }
}

fn alert(alertname: &str, labels: &[(&str, &str)], script: &str) -> Value {
    let mut alert = tests::alerts::firing(alertname, labels);
    if !script.is_empty() {
        alert["annotations"]["script"] = json!(script);
    }
    alert
}

/// Compares as time does: seconds and their fraction, the fraction padded.
fn moment(text: &str) -> (String, String) {
    let text = text.trim_end_matches('Z');
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    (seconds.to_owned(), format!("{fraction:0<9}"))
}

fn configuration<'a>(cases: impl Iterator<Item = &'a Case>) -> String {
    let (honest, honest_alert) = HONEST;
    let mut handlers = BTreeMap::new();
    for case in cases {
        let Case {
            allow,
            limits,
            retry,
            ..
        } = case;
        let pin = if case.name == "pinned" {
            format!("sha256: {}, ", "0".repeat(64))
        } else {
            String::new()
        };
        let settings = format!(
            "{{ {pin}allow: {{ {allow} }}, limits: {{ {limits} }}, retry: {{ {retry} }}, \
             enrich: {{ attempts: 1, within: 40s }} }}"
        );
        handlers.insert(case.handler, settings);
    }
    handlers.insert(OWNER, "{ allow: { slack: [alerts, oncall] } }".to_owned());
    handlers.insert(honest, "{ limits: { cpu: 20s } }".to_owned());
    let mut yaml = format!(
        "slack: {{ channels: {{ alerts: \"#alerts\", oncall: \"#oncall\" }}, rate: {{ per_second: 0 }} }}\n\
         credentials:\n  \
         github: {{ authorization: {{ credentials: {SECRET} }}, origins: [\"{{sink}}\"] }}\n  \
         mirror: {{ authorization: {{ credentials: {MIRRORED} }}, origins: [\"{{wire}}\"] }}\n  \
         vault: {{ authorization: {{ credentials: {SECRET} }}, origins: [\"{{sink}}\"] }}\n\
         routes:\n"
    );
    for name in handlers.keys() {
        let alertname = if *name == honest { honest_alert } else { name };
        let _ = writeln!(
            yaml,
            "  - {{ matchers: ['alertname=\"{alertname}\"'], handlers: [{name}] }}"
        );
    }
    yaml.push_str("handlers:\n");
    for (name, settings) in &handlers {
        let _ = writeln!(yaml, "  {name}: {settings}");
    }
    yaml
}

/// Where the folder is, for cases that need it.
pub(crate) fn sibling(path: &std::path::Path, name: &str) -> PathBuf {
    path.with_file_name(name)
}
