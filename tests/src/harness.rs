//! A harness for one runtime: invocations built step by step, a ledger in memory, an HTTP service that answers as scripted.

#![allow(clippy::expect_used, reason = "a test cannot go on without it")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use alert_manager::alert::{
    Alert, DeliveryId, Enrichment, Fingerprint, Labels, Origin, Status, StepKind, Timestamp,
};
use alert_manager::gate::{GateAsk, Parked, Pass};
use alert_manager::journal::{
    BoxFuture, Doubts, Earlier, Entry, KvChange, KvOutcome, KvQuota, KvWrite, Ledger, LedgerError,
    Note, Past, Recorded, TimerChange, TimerQuota, TimerReply,
};
use alert_manager::policy::{Grants, HttpGrant};
use alert_manager::runtime::{
    Bounds, Compiler, HeldBack, Invocation, Invoked, Limits, Module, Options, Output, Runtime,
    ServiceOptions,
};
use alert_manager::runtime::{Credential, SlackRate, SlackSettings};
use alert_manager::secret::{Secret, SecretSource};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse as _, Response};
use parking_lot::Mutex;

use crate::modules;

/// A runtime with its cache and the folder of its previews.
pub struct Harness {
    /// Under test.
    pub runtime: Arc<Runtime>,
    /// What was shown in preview.
    pub previews: Arc<Mutex<Vec<String>>>,
    /// Gone with the harness.
    pub folder: tempfile::TempDir,
    loaded: Mutex<BTreeMap<String, Arc<Module>>>,
}

impl Harness {
    /// Makes a runtime whose Slack is in preview.
    #[must_use]
    pub fn new() -> Self {
        Self::with_services(|_| {})
    }

    /// Makes a runtime whose Slack is at `url`, without a rate.
    #[must_use]
    pub fn with_slack(url: &str) -> Self {
        Self::with_services(|services| {
            services.slack.preview = false;
            services.slack.token = Some(SecretSource::value(Secret::new("xoxb-secret")));
            services.slack.api_url = format!("{url}/").parse().expect("a URL");
        })
    }

    /// Makes a runtime with other services.
    #[must_use]
    pub fn with_services(change: impl FnOnce(&mut ServiceOptions)) -> Self {
        Self::with(|options| change(&mut options.services))
    }

    /// Makes a runtime whose pool has so many slots.
    #[must_use]
    pub fn with_slots(slots: u32) -> Self {
        Self::with(|options| options.bounds.invocations_max = slots)
    }

    /// Makes a runtime with other options.
    ///
    /// # Panics
    /// If the runtime does not start.
    #[must_use]
    pub fn with(change: impl FnOnce(&mut Options)) -> Self {
        let previews = Arc::new(Mutex::new(Vec::new()));
        let shown = Arc::clone(&previews);
        let services = ServiceOptions {
            slack: SlackSettings {
                token: None,
                preview: true,
                channels: BTreeMap::from([
                    ("alerts".to_owned(), "#alerts".to_owned()),
                    ("secret".to_owned(), "#secret".to_owned()),
                ]),
                rate: SlackRate {
                    per_second: 0.0,
                    burst: 5,
                },
                workspace_rate: SlackRate::WORKSPACE,
                api_url: "http://127.0.0.1:9/".parse().expect("a URL"),
                proxy: None,
                via_proxy: false,
            },
            proxy: None,
            credentials: BTreeMap::new(),
            message_ref_key: [7; 32],
            preview: Arc::new(move |text| shown.lock().push(text.to_owned())),
            answers: None,
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut options = Options {
            cache_dir: folder.path().join("cache"),
            compiler: Compiler::InProcess,
            bounds: Bounds {
                invocations_max: 8,
                ..Bounds::default()
            },
            services,
        };
        change(&mut options);
        let runtime = Runtime::new(options).expect("the runtime starts");
        Self {
            runtime,
            previews,
            folder,
            loaded: Mutex::default(),
        }
    }

    /// Returns a guest of `tests/guests/`, loaded once.
    ///
    /// # Panics
    /// If it does not load.
    pub async fn guest(&self, name: &str) -> Arc<Module> {
        if let Some(module) = self.loaded.lock().get(name) {
            return Arc::clone(module);
        }
        let module = self.runtime.loader().load(modules::bytes(name)).await;
        let module = Arc::new(module.expect("the guest loads"));
        let mut loaded = self.loaded.lock();
        Arc::clone(loaded.entry(name.to_owned()).or_insert(module))
    }

    /// Begins an invocation of the guest `probe` that does what `script` says.
    pub async fn probe(&self, script: &str) -> Call<'_> {
        let module = self.guest("probe").await;
        Call::new(self, module).annotation("script", script)
    }

    /// Begins an invocation of `module`.
    #[must_use]
    pub fn call(&self, module: &Arc<Module>) -> Call<'_> {
        Call::new(self, Arc::clone(module))
    }

    /// Begins an invocation of the guest `greedy` in `mode`.
    pub async fn greedy(&self, mode: &str) -> Call<'_> {
        let module = self.guest("greedy").await;
        Call::new(self, module).label("mode", mode)
    }

    /// Begins an invocation of the guest `hostile` in `mode`.
    pub async fn hostile(&self, mode: &str) -> Call<'_> {
        let module = self.guest("hostile").await;
        Call::new(self, module).label("mode", mode)
    }
}

impl Default for Harness {
    fn default() -> Self {
        Self::new()
    }
}

/// An invocation in the making.
pub struct Call<'a> {
    harness: &'a Harness,
    module: Arc<Module>,
    labels: Vec<(String, String)>,
    annotations: Vec<(String, String)>,
    /// To be changed as the test likes.
    pub invocation: Invocation,
}

impl<'a> Call<'a> {
    fn new(harness: &'a Harness, module: Arc<Module>) -> Self {
        let invocation = Invocation {
            step: StepKind::Act,
            delivery: DeliveryId::from_raw(1),
            attempt: 1,
            lease: 1,
            dry_run: false,
            held_back: HeldBack::default(),
            alert: Arc::new(alert(vec![], vec![])),
            found: Arc::new(Enrichment::default()),
            config: Arc::default(),
            grants: Arc::default(),
            limits: Limits {
                wall_max: Duration::from_secs(20),
                ..Limits::default()
            },
            time_left: Duration::from_secs(20),
            now: "2024-05-06T07:08:09Z".parse().expect("a moment"),
            seed: [3; 32],
            recorded: Recorded::default(),
            doubts: Doubts::default(),
            ledger: Arc::new(MemoryLedger::default()),
        };
        Self {
            harness,
            module,
            labels: vec![("alertname".to_owned(), "Test".to_owned())],
            annotations: Vec::new(),
            invocation,
        }
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds an annotation.
    #[must_use]
    pub fn annotation(mut self, name: &str, value: &str) -> Self {
        self.annotations.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Grants requests to `url`.
    ///
    /// # Panics
    /// If it is no grant.
    #[must_use]
    pub fn http(mut self, url: &str) -> Self {
        let grants = Arc::make_mut(&mut self.invocation.grants);
        grants.http.push(HttpGrant::parse(url).expect("a grant"));
        self
    }

    /// Grants a channel.
    #[must_use]
    pub fn slack(mut self, channel: &str) -> Self {
        let grants = Arc::make_mut(&mut self.invocation.grants);
        grants.slack.insert(channel.to_owned());
        self
    }

    /// Grants a credential.
    #[must_use]
    pub fn credential(mut self, name: &str) -> Self {
        let grants: &mut Grants = Arc::make_mut(&mut self.invocation.grants);
        grants.credentials.insert(name.to_owned());
        self
    }

    /// Makes it an attempt over what `ledger` has recorded.
    #[must_use]
    pub fn over(mut self, ledger: &Arc<MemoryLedger>, attempt: u32) -> Self {
        self.invocation.recorded.entries = ledger.entries();
        self.invocation.lease = attempt;
        self.invocation.ledger = Arc::clone(ledger) as Arc<dyn Ledger>;
        self.invocation.attempt = attempt;
        self
    }

    /// Changes the invocation in some other way.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Invocation)) -> Self {
        change(&mut self.invocation);
        self
    }

    /// Runs it.
    pub async fn run(mut self) -> Invoked {
        self.invocation.alert = Arc::new(alert(self.labels, self.annotations));
        self.harness
            .runtime
            .invoke(&self.module, self.invocation)
            .await
    }

    /// Runs it for an alert that began and was received at `at`.
    pub async fn run_at(mut self, at: Timestamp) -> Invoked {
        self.invocation.alert = Arc::new(Alert {
            starts_at: at,
            received_at: at,
            ..alert(self.labels, self.annotations)
        });
        self.harness
            .runtime
            .invoke(&self.module, self.invocation)
            .await
    }

    /// Runs it until it ends, or until `cut_off` resolves to why it is cut off.
    pub async fn run_until(mut self, cut_off: impl Future<Output = String> + Send) -> Invoked {
        self.invocation.alert = Arc::new(alert(self.labels, self.annotations));
        let runtime = &self.harness.runtime;
        runtime
            .invoke_until(&self.module, self.invocation, cut_off)
            .await
    }

    /// Runs it and returns the facts, by the lines of the script.
    ///
    /// # Panics
    /// If it fails.
    pub async fn facts(self) -> Vec<String> {
        facts(&self.run().await)
    }
}

/// Returns the values of the facts that an invocation returned.
///
/// # Panics
/// If it failed.
#[must_use]
pub fn facts(invoked: &Invoked) -> Vec<String> {
    let labels = match &invoked.outcome {
        Ok(Output::Facts(facts)) => facts,
        Ok(Output::Enrichment(found)) => &found.facts,
        Err(failure) => panic!("it failed: {failure:?}"),
    };
    let mut facts: Vec<_> = labels.iter().collect();
    facts.sort_by_key(|(name, _)| name.parse::<u32>().unwrap_or(u32::MAX));
    facts
        .into_iter()
        .map(|(_, value)| value.to_owned())
        .collect()
}

fn alert(labels: Vec<(String, String)>, annotations: Vec<(String, String)>) -> Alert {
    let labels = Labels::from_iter(labels);
    Alert {
        fingerprint: Fingerprint::of(&labels),
        status: Status::Firing,
        labels,
        annotations: Labels::from_iter(annotations),
        starts_at: Timestamp::UNIX_EPOCH,
        ends_at: None,
        generator_url: None,
        received_at: Timestamp::UNIX_EPOCH,
        origin: Origin::default(),
    }
}

/// A value of `kv`, and when it goes.
type Kept = (Vec<u8>, Option<Timestamp>);

/// A ledger that forgets with the process.
#[derive(Default)]
pub struct MemoryLedger {
    entries: Mutex<Vec<Entry>>,
    notes: Mutex<Vec<Note>>,
    kv: Mutex<BTreeMap<String, Kept>>,
    now: Mutex<Timestamp>,
    broken: Mutex<Option<LedgerError>>,
    gates: Mutex<Gates>,
    past: Mutex<Past>,
    earlier: Mutex<Vec<Earlier>>,
    timers: Mutex<BTreeMap<String, (u32, Enrichment)>>,
}

/// Gates that are all one: a call passes as long as there are tokens.
#[derive(Default)]
struct Gates {
    /// Absent if every call passes.
    tokens: Option<usize>,
    is_superseded: bool,
    asked: Vec<Vec<GateAsk>>,
    closed: Vec<(GateAsk, Duration)>,
}

impl MemoryLedger {
    /// Returns what was recorded.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().clone()
    }

    /// Returns what was noted before calls began.
    #[must_use]
    pub fn notes(&self) -> Vec<Note> {
        self.notes.lock().clone()
    }

    /// Lets so many calls pass from now on.
    pub fn let_pass(&self, calls: usize) {
        self.gates.lock().tokens = Some(calls);
    }

    /// Answers that a newer update waits, instead of letting calls pass.
    pub fn supersede(&self) {
        self.gates.lock().is_superseded = true;
    }

    /// Returns which gates each call has asked for.
    #[must_use]
    pub fn asked(&self) -> Vec<Vec<GateAsk>> {
        self.gates.lock().asked.clone()
    }

    /// Returns which gates were closed, and for how long. No call passes one of them any more.
    #[must_use]
    pub fn closed(&self) -> Vec<(GateAsk, Duration)> {
        self.gates.lock().closed.clone()
    }

    /// Sets the time by which values of `kv` go.
    pub fn set_now(&self, now: Timestamp) {
        *self.now.lock() = now;
    }

    fn live(&self, key: &str) -> Option<Vec<u8>> {
        let now = *self.now.lock();
        let kv = self.kv.lock();
        let (value, ends_at) = kv.get(key)?;
        ends_at
            .is_none_or(|ends_at| now < ends_at)
            .then(|| value.clone())
    }

    /// Sets what is known of earlier occurrences.
    pub fn set_past(&self, past: Past) {
        *self.past.lock() = past;
    }

    /// Returns what was asked about earlier occurrences.
    #[must_use]
    pub fn earlier_asked(&self) -> Vec<Earlier> {
        self.earlier.lock().clone()
    }

    /// Returns the timers that are set, by their keys, each with its delay in seconds and what is found then.
    #[must_use]
    pub fn timers(&self) -> BTreeMap<String, (u32, Enrichment)> {
        self.timers.lock().clone()
    }

    /// Takes all timers away.
    pub fn forget_timers(&self) {
        self.timers.lock().clear();
    }

    /// Makes every write fail with `error`, or none.
    pub fn set_broken(&self, error: Option<LedgerError>) {
        *self.broken.lock() = error;
    }

    fn check(&self) -> Result<(), LedgerError> {
        self.broken.lock().clone().map_or(Ok(()), Err)
    }
}

impl Ledger for MemoryLedger {
    fn ready(&self) -> Result<(), LedgerError> {
        self.check()
    }

    fn pass(&self, asks: &[GateAsk]) -> Result<Pass, LedgerError> {
        self.check()?;
        let mut gates = self.gates.lock();
        gates.asked.push(asks.to_vec());
        if gates.is_superseded {
            return Ok(Pass::Superseded);
        }
        let is_closed = |ask: &&GateAsk| gates.closed.iter().any(|(gate, _)| gate.name == ask.name);
        let closed = asks.iter().find(is_closed);
        let closed = closed.or(asks.first().filter(|_| gates.tokens == Some(0)));
        if let Some(gate) = closed {
            return Ok(Pass::Parked(Parked {
                gate: gate.clone(),
                asks: asks.to_vec(),
            }));
        }
        gates.tokens = gates.tokens.map(|tokens| tokens - 1);
        Ok(Pass::Granted)
    }

    fn close_gate(&self, gate: &GateAsk, wait: Duration) {
        self.gates.lock().closed.push((gate.clone(), wait));
    }

    fn note(&self, note: Note) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(async move {
            self.check()?;
            self.notes.lock().push(note);
            Ok(())
        })
    }

    fn record(&self, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(async move {
            self.check()?;
            self.entries.lock().extend(entries);
            Ok(())
        })
    }

    fn kv_get(&self, key: String) -> BoxFuture<'_, Result<Option<Vec<u8>>, LedgerError>> {
        Box::pin(async move { Ok(self.live(&key)) })
    }

    fn kv_change(
        &self,
        key: String,
        change: KvChange,
        quota: KvQuota,
        before: Vec<Entry>,
        mut entry: Entry,
    ) -> BoxFuture<'_, Result<KvOutcome, LedgerError>> {
        Box::pin(async move {
            self.check()?;
            let (reply, write) = change.apply(self.live(&key).as_deref());
            let mut kv = self.kv.lock();
            if let KvWrite::Put { value, .. } = &write {
                let size = |key: &str, value: &[u8]| (key.len() + value.len()) as u64;
                let old = kv.get(&key).map(|(old, _)| size(&key, old));
                let others = kv.iter().filter(|(other, _)| **other != key);
                let bytes: u64 = others.map(|(other, (value, _))| size(other, value)).sum();
                let new = size(&key, value);
                let keys = kv.len() as u64 + u64::from(old.is_none());
                if let Some(reply) = quota.over(bytes + new, keys, old, new) {
                    let changed = false;
                    return Ok(KvOutcome { reply, changed });
                }
            }
            let changed = write != KvWrite::Keep;
            match write {
                KvWrite::Keep => {}
                KvWrite::Put { value, ttl_seconds } => {
                    let ttl = ttl_seconds.map(|s| Duration::from_secs(s.into()));
                    let ends_at = ttl.map(|ttl| *self.now.lock() + ttl);
                    kv.insert(key, (value, ends_at));
                }
                KvWrite::Remove => drop(kv.remove(&key)),
            }
            if changed {
                entry.reply = serde_json::to_string(&reply).unwrap_or_default();
                let mut entries = self.entries.lock();
                entries.extend(before);
                entries.push(entry);
            }
            Ok(KvOutcome { reply, changed })
        })
    }

    fn earlier(&self, asked: Earlier) -> BoxFuture<'_, Result<Past, LedgerError>> {
        Box::pin(async move {
            self.check()?;
            self.earlier.lock().push(asked);
            Ok(self.past.lock().clone())
        })
    }

    fn timer_change(
        &self,
        key: String,
        change: TimerChange,
        quota: TimerQuota,
        before: Vec<Entry>,
        entry: Entry,
    ) -> BoxFuture<'_, Result<TimerReply, LedgerError>> {
        Box::pin(async move {
            self.check()?;
            let mut timers = self.timers.lock();
            match change {
                TimerChange::Cancel if timers.remove(&key).is_none() => {
                    return Ok(TimerReply::Absent);
                }
                TimerChange::Cancel => {}
                TimerChange::Set { .. }
                    if !timers.contains_key(&key) && timers.len() as u64 >= quota.open_max =>
                {
                    return Ok(TimerReply::TooMany);
                }
                TimerChange::Set {
                    delay_seconds,
                    found,
                } => {
                    let found = serde_json::from_str(&found).expect("an enrichment");
                    timers.insert(key, (delay_seconds, found));
                }
            }
            let mut entries = self.entries.lock();
            entries.extend(before);
            entries.push(entry);
            Ok(TimerReply::Done)
        })
    }
}

/// A server on loopback that records requests. It gives the answers that were set, then 200 `ok`.
pub struct World {
    /// Its base, without a slash at the end.
    pub url: String,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    asked: Mutex<Vec<Asked>>,
    news: tokio::sync::Notify,
    answers: Mutex<VecDeque<Answer>>,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// As in `POST /a`.
    pub line: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// As it came.
    pub body: String,
    /// The other end of its connection.
    pub peer: std::net::SocketAddr,
}

/// What to answer.
pub enum Answer {
    /// A status, headers and a body.
    With(u16, Vec<(&'static str, String)>, String),
    /// Nothing, for ever.
    Hang,
}

impl Answer {
    /// A status and a body.
    #[must_use]
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self::With(status, Vec::new(), body.into())
    }
}

impl World {
    /// Starts it on a port of its own.
    ///
    /// # Panics
    /// If no port can be had.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let shared = Arc::<Shared>::default();
        let app = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&shared))
            .into_make_service_with_connect_info::<std::net::SocketAddr>();
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Self { url, shared, task }
    }

    /// Answers the next request that no earlier answer is for.
    pub fn then(&self, answer: Answer) {
        self.shared.answers.lock().push_back(answer);
    }

    /// Waits until so many requests have come.
    pub async fn wait_for(&self, count: usize) {
        loop {
            let news = self.shared.news.notified();
            if self.shared.asked.lock().len() >= count {
                return;
            }
            news.await;
        }
    }

    /// Returns what was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().clone()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<std::net::SocketAddr>,
    request: Request,
) -> Response {
    let line = format!("{} {}", request.method(), request.uri());
    let headers = request
        .headers()
        .iter()
        .map(|(n, v)| {
            (
                n.to_string(),
                String::from_utf8_lossy(v.as_bytes()).into_owned(),
            )
        })
        .collect();
    let body = axum::body::to_bytes(request.into_body(), 16 << 20)
        .await
        .unwrap_or_else(|_| Bytes::new());
    shared.asked.lock().push(Asked {
        line,
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
        peer,
    });
    shared.news.notify_one();
    let next = shared.answers.lock().pop_front();
    match next {
        None => "ok".into_response(),
        Some(Answer::Hang) => std::future::pending().await,
        Some(Answer::With(status, headers, body)) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            response
                .body(body.into())
                .unwrap_or_else(|error| error.to_string().into_response())
        }
    }
}

/// A credential for `origin`, as the configuration would have it.
///
/// # Panics
/// If `origin` is no grant.
#[must_use]
pub fn bearer(secret: &str, origin: &str) -> Arc<Credential> {
    use alert_manager::runtime::CredentialKind;
    use alert_manager::secret::Authorization;
    Arc::new(Credential {
        kind: CredentialKind::Authorization(Authorization::Scheme {
            scheme: "Bearer".to_owned(),
            credentials: SecretSource::value(Secret::new(secret)),
        }),
        origins: vec![HttpGrant::parse(origin).expect("a grant")],
    })
}
