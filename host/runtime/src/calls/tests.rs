//! The driver's order is the same for every interface: of several obstacles to a call, the first in the order decides its
//! result.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;

use alert_manager_core::alert::{
    Alert, DeliveryId, Enrichment, Fingerprint, HandlerName, Labels, Origin, Status, StepKind,
    Timestamp,
};
use alert_manager_core::breaker::FAILURES_MAX;
use alert_manager_core::gate::{GateAsk, Parked, Pass};
use alert_manager_core::journal::{
    BoxFuture, CallKind, CallName, Earlier, Entry, KvChange, KvOutcome, KvQuota, KvReply, Ledger,
    LedgerError, NamedCall, Note, Past, RecordUse, Replay, TimerChange, TimerQuota, TimerReply,
};
use alert_manager_core::policy::{Grants, HttpGrant};
use alert_manager_core::secret::{Secret, SecretSource};

use super::context::{Counts, HostContext};
use super::driver::HostCall;
use super::held_back::HeldBack;
use super::{HookState, config, history, http, kv, slack, timer};
use crate::bindings::http::{Method, Request};
use crate::bindings::slack::Message;
use crate::limits::advice::Advice;
use crate::limits::bounds::Bounds;
use crate::limits::quota::{LimitName, Limits};
use crate::sandbox::clock::StepClock;
use crate::sandbox::guest::GuestState;
use crate::sandbox::meter::MemoryMeter;
use crate::sandbox::stop::Stop;
use crate::services::{Lasting, ServiceOptions, Services};
use crate::slack::breaker::CallTarget;
use crate::slack::message_ref::{PostedMessage, RefKey};
use crate::slack::settings::{Rate, Settings};
use crate::trace::log::{LogBudget, LogSource};
use crate::trace::recorder::Recorder;
use crate::trace::{Answered, Trace};

/// An obstacle to a call, in the driver's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obstacle {
    /// The budget of its interface is used up.
    Budget,
    /// An earlier attempt has it on record.
    Recorded,
    /// It is not granted, or exceeds a bound.
    Check,
    /// It is a dry run.
    DryRun,
    /// The step's record is full.
    RecordUsedUp,
    /// The store cannot record now.
    Store,
    /// The origin's circuit breaker is open, or a gate is closed.
    Admit,
    /// The store cannot store the note that the call begins.
    Begin,
    /// None: the call is made.
    Live,
}

use Obstacle::{Admit, Begin, Budget, Check, DryRun, Live, RecordUsedUp, Recorded, Store};

/// An origin on which nothing listens.
const NOWHERE: &str = "http://127.0.0.1:1";
const KEY: [u8; 32] = [7; 32];

const EFFECT: &[Obstacle] = &[
    Budget,
    Recorded,
    Check,
    DryRun,
    RecordUsedUp,
    Store,
    Admit,
    Begin,
    Live,
];
/// A change of `kv` or of a timer needs no admission, and cannot be in doubt.
const STORED_CHANGE: &[Obstacle] = &[Budget, Recorded, Check, DryRun, RecordUsedUp, Store, Live];
const READ: &[Obstacle] = &[Budget, Recorded, Check, Admit, Live];
const READ_OF_KV: &[Obstacle] = &[Budget, Recorded, Check, Live];
/// History needs no grant.
const READ_OF_HISTORY: &[Obstacle] = &[Budget, Recorded, Live];
/// Settings have no budget of their own and need no grant.
const READ_OF_CONFIG: &[Obstacle] = &[Recorded, Live];

fn send(method: Method, origin: &str) -> http::HttpSend {
    http::HttpSend(Request {
        method,
        url: format!("{origin}/a"),
        headers: Vec::new(),
        body: None,
        credential: None,
        key: None,
        timeout_ms: None,
    })
}

fn message() -> Message {
    Message {
        channel: "alerts".to_owned(),
        text: "hello".to_owned(),
        blocks: None,
        thread: None,
        key: None,
    }
}

#[tokio::test]
async fn http_calls_meet_obstacles_in_the_drivers_order() {
    let reply = r#"{"Err":"Timeout"}"#;
    for method in [Method::Get, Method::Head] {
        check_order(|| send(method, NOWHERE), reply, READ).await;
    }
    for method in [Method::Post, Method::Put, Method::Patch, Method::Delete] {
        check_order(|| send(method, NOWHERE), reply, EFFECT).await;
    }
}

#[tokio::test]
async fn slack_calls_meet_obstacles_in_the_drivers_order() {
    let at = RefKey::new(KEY).seal(
        &HandlerName::new("h"),
        &PostedMessage {
            channel: "alerts".to_owned(),
            channel_id: "C1".to_owned(),
            ts: "1.1".to_owned(),
        },
    );
    let reply = r#"{"Ok":""}"#;
    check_order(|| slack::SlackCall::post(message()), reply, EFFECT).await;
    let update = || slack::SlackCall::update(at.clone(), message());
    check_order(update, reply, EFFECT).await;
    let react = || slack::SlackCall::react(at.clone(), "eyes".to_owned());
    check_order(react, reply, EFFECT).await;
}

#[tokio::test]
async fn a_message_that_waits_for_its_turn_does_not_use_up_the_probe_of_a_held_channel() {
    let post = || slack::SlackCall::post(message());
    let mut state = state(&post(), "null", NOWHERE, &[Admit]);
    let services = Arc::clone(&state.host.services);
    let call = CallTarget {
        settings: services.slack.settings(),
        channel: "alerts",
        message_channel_id: None,
    };
    let breaker = &services.slack.breaker;
    let long_ago = Instant::now() - Duration::from_secs(60);
    let permit = breaker.admit(call, long_ago).unwrap();
    breaker.channel_rejected(call, permit, ("not_in_channel", "/invite"), long_ago);
    for _ in 0..2 {
        let ended = state.call(post()).await;
        assert!(matches!(ended, Err(Stop::Parked(_))), "{ended:?}");
    }
    assert!(breaker.admit(call, Instant::now()).is_ok(), "the probe");
}

#[tokio::test]
async fn kv_calls_meet_obstacles_in_the_drivers_order() {
    let key = || "k".to_owned();
    check_order(|| kv::KvGet { key: key() }, r#"{"Ok":null}"#, READ_OF_KV).await;
    let (value, ttl_seconds) = (b"v".to_vec(), None);
    for change in [
        KvChange::Set {
            value: value.clone(),
            ttl_seconds,
        },
        KvChange::SetIfAbsent { value, ttl_seconds },
        KvChange::Increment { by: 1, ttl_seconds },
        KvChange::Remove,
    ] {
        let change = || kv::change::KvUpdate {
            key: key(),
            change: change.clone(),
        };
        check_order(change, r#""done""#, STORED_CHANGE).await;
        let mut unnoted = state(&change(), "null", NOWHERE, &[Begin]);
        assert!(unnoted.call(change()).await.is_ok());
        let trace = unnoted.host.recorder.finish().trace;
        assert_eq!(met(&trace), Live, "it needs no note");
    }
}

#[tokio::test]
async fn config_calls_meet_obstacles_in_the_drivers_order() {
    let get = || config::ConfigGet {
        key: "k".to_owned(),
    };
    check_order(get, "null", READ_OF_CONFIG).await;
}

fn timer_call(delay_seconds: Option<u32>) -> timer::TimerCall {
    let set = delay_seconds.map(|delay_seconds| timer::Set {
        delay_seconds,
        facts: vec![("n".to_owned(), "v".to_owned())],
    });
    let key = "k".to_owned();
    timer::TimerCall { key, set }
}

#[tokio::test]
async fn history_and_timer_calls_meet_obstacles_in_the_drivers_order() {
    let earlier = || history::EarlierCall {
        same: vec!["pod".to_owned()],
        within_seconds: 60,
    };
    let reply = r#"{"Ok":{"count":0,"occurrences":[]}}"#;
    check_order(earlier, reply, READ_OF_HISTORY).await;
    for delay_seconds in [Some(60), None] {
        let change = || timer_call(delay_seconds);
        check_order(change, r#""done""#, STORED_CHANGE).await;
        let mut unnoted = state(&change(), "null", NOWHERE, &[Begin]);
        assert!(unnoted.call(change()).await.is_ok());
        let trace = unnoted.host.recorder.finish().trace;
        assert_eq!(met(&trace), Live, "it needs no note");
    }
}

#[tokio::test]
async fn a_change_that_is_cut_off_is_ambiguous_and_neither_a_read_nor_a_stored_change_is() {
    // The listener accepts connections and never answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = &format!("http://{}", listener.local_addr().unwrap());
    let update = kv::change::KvUpdate {
        key: "k".to_owned(),
        change: KvChange::Remove,
    };
    let get = kv::KvGet {
        key: "k".to_owned(),
    };
    for (answered, expected) in [
        (
            cut_off(send(Method::Post, origin), origin),
            Answered::Ambiguous,
        ),
        (cut_off(send(Method::Get, origin), origin), Answered::Live),
        (
            cut_off(slack::SlackCall::post(message()), origin),
            Answered::Ambiguous,
        ),
        (cut_off(update, origin), Answered::Live),
        (cut_off(get, origin), Answered::Live),
        (cut_off(timer_call(Some(60)), origin), Answered::Live),
    ] {
        assert_eq!(answered, expected);
    }
}

/// Returns how the story shows a call whose invocation ends while it is in flight.
fn cut_off<C: HostCall>(call: C, origin: &str) -> Answered {
    let mut state = state(&call, "null", origin, &[]);
    let line = call.line();
    assert!(state.call(call).now_or_never().is_none(), "{line}");
    let calls = state.host.recorder.finish().trace.calls;
    calls.last().unwrap().answered
}

/// Makes a call with all obstacles, then with all but the first, and so on: each time the first of them decides the result.
async fn check_order<C: HostCall>(call: impl Fn() -> C, reply: &str, order: &[Obstacle]) {
    for (n, first) in order.iter().enumerate() {
        let obstacles = &order[n..];
        let mut state = state(&call(), reply, NOWHERE, obstacles);
        let line = call().line();
        let ended = state.call(call()).await;
        let is_parked = matches!(ended, Err(Stop::Parked(_)));
        assert_eq!(is_parked, *first == Admit && C::KIND == CallKind::Slack);
        assert!(ended.is_ok() || is_parked, "{line}");
        let trace = state.host.recorder.finish().trace;
        assert_eq!(met(&trace), *first, "{line}: {obstacles:?}: {trace:#?}");
    }
}

/// Returns the obstacle that a call met, by its story.
fn met(trace: &Trace) -> Obstacle {
    let Some(call) = trace.calls.last() else {
        assert_eq!(trace.counts.last().unwrap().result, "denied");
        return Budget;
    };
    let says = |words: &str| call.result.contains(words);
    let limit = trace.limits.last().map(|(limit, _)| *limit);
    match call.answered {
        Answered::Recorded => Recorded,
        Answered::Preview => DryRun,
        Answered::Denied if limit == Some(LimitName::RecordEntries) => RecordUsedUp,
        Answered::Denied => Check,
        _ if says("not ready") => Store,
        _ if says("no note") => Begin,
        _ if says("did not answer 5 times") || says("waits for its turn") => Admit,
        _ => Live,
    }
}

/// Makes the state of an invocation whose calls meet these obstacles. `reply` is the reply that an earlier attempt recorded;
/// requests and messages go to `origin`. Without any obstacle, the store never answers calls of `kv` and `timer`.
fn state<C: HostCall>(call: &C, reply: &str, origin: &str, obstacles: &[Obstacle]) -> HookState {
    crate::outbound::egress::install_crypto();
    let has = |obstacle| obstacles.contains(&obstacle);
    let (limits, grants) = policy(origin, obstacles);
    let mut record = Vec::new();
    if has(Recorded) {
        record.push(entry(0, C::KIND, call.name(), call.changes(), reply));
        let later = CallName::Key("a later effect".to_owned());
        record.push(entry(1, CallKind::Http, later, true, reply));
    }
    let lasting = Lasting::default();
    let handler = HandlerName::new("h");
    if has(Admit) {
        let now = Instant::now();
        for _ in 0..FAILURES_MAX {
            lasting.breakers.failed(&handler, origin, "gone", now);
        }
    }
    let recorder = recorder_of(&handler, &limits, C::KIND);
    let clock = StepClock::at(Timestamp::now());
    let bounds = Bounds::default();
    let host = HostContext {
        handler,
        delivery: DeliveryId::from_raw(1),
        step: match has(Check) {
            true => StepKind::Enrich,
            false => StepKind::Act,
        },
        dry_run: has(DryRun),
        alert: Arc::new(alert()),
        found: Arc::new(Enrichment::default()),
        config: Arc::default(),
        grants: Arc::new(grants),
        limits,
        deadline: Instant::now() + Duration::from_secs(60),
        clock: clock.clone(),
        replay: Replay::new(record, false),
        recorded_elsewhere: RecordUse::default(),
        ledger: Arc::new(FaultyLedger {
            ready: !has(Store),
            notes: !has(Begin),
            passes: !has(Admit),
            answers: !obstacles.is_empty(),
        }),
        clients: Arc::default(),
        rates: Arc::default(),
        setting_reads: Arc::default(),
        services: Arc::new(services(lasting, origin)),
        recorder: Arc::clone(&recorder),
        counts: Counts::default(),
        held_back: HeldBack::default(),
    };
    HookState {
        guest: GuestState::new(
            recorder,
            MemoryMeter::new(limits.memory_bytes_max, bounds),
            limits,
            (clock, [0; 32]),
            Advice::Handler,
        ),
        host,
    }
}

/// Returns the limits and grants with these obstacles.
fn policy(origin: &str, obstacles: &[Obstacle]) -> (Limits, Grants) {
    let has = |obstacle| obstacles.contains(&obstacle);
    let mut limits = Limits::default();
    let mut grants = Grants::default();
    if has(Budget) {
        (limits.http_calls_max, limits.slack_calls_max) = (0, 0);
        limits.kv_calls_max = 0;
        (limits.history_calls_max, limits.timer_calls_max) = (0, 0);
    }
    if has(Check) {
        limits.kv_key_bytes_max = 0;
    } else {
        grants.http.push(HttpGrant::parse(origin).unwrap());
        grants.slack.insert("alerts".to_owned());
    }
    if has(RecordUsedUp) {
        limits.record_entries_max = 0;
    }
    (limits, grants)
}

fn recorder_of(handler: &HandlerName, limits: &Limits, kind: CallKind) -> Arc<Recorder> {
    let source = LogSource {
        handler: handler.clone(),
        about: None,
    };
    let budget = LogBudget::new(limits, Arc::default());
    let recorder = Recorder::new(source, budget);
    // A note is stored only if an earlier effect has failed.
    recorder.failed(&NamedCall {
        kind,
        name: CallName::Key("failed before".to_owned()),
        request: String::new(),
    });
    Arc::new(recorder)
}

fn services(lasting: Lasting, origin: &str) -> Services {
    let options = ServiceOptions {
        slack: Settings {
            token: Some(SecretSource::value(Secret::new("xoxb-secret"))),
            preview: false,
            channels: BTreeMap::from([("alerts".to_owned(), "#alerts".to_owned())]),
            rate: Rate::CHANNEL,
            workspace_rate: Rate::WORKSPACE,
            api_url: format!("{origin}/").parse().unwrap(),
            proxy: None,
            via_proxy: false,
        },
        proxy: None,
        credentials: BTreeMap::new(),
        message_ref_key: KEY,
        preview: Arc::new(|_| {}),
        answers: None,
    };
    Services::new(options, lasting).unwrap()
}

fn entry(seq: u32, kind: CallKind, name: CallName, effect: bool, reply: &str) -> Entry {
    Entry {
        seq,
        kind,
        name,
        effect,
        in_doubt: false,
        parked: false,
        failed: false,
        request: String::new(),
        result: String::new(),
        reply: reply.to_owned(),
        at: Timestamp::UNIX_EPOCH,
        clock: Timestamp::UNIX_EPOCH,
    }
}

fn alert() -> Alert {
    let labels = Labels::default();
    Alert {
        fingerprint: Fingerprint::of(&labels),
        status: Status::Firing,
        labels,
        annotations: Labels::default(),
        starts_at: Timestamp::UNIX_EPOCH,
        ends_at: None,
        generator_url: None,
        received_at: Timestamp::UNIX_EPOCH,
        origin: Origin::default(),
    }
}

/// A ledger that stores nothing, and some of whose methods fail.
struct FaultyLedger {
    ready: bool,
    notes: bool,
    /// If false, every gate is closed.
    passes: bool,
    /// If false, calls of `kv` and `timer` never end.
    answers: bool,
}

fn unless(works: bool, why: &str) -> Result<(), LedgerError> {
    match works {
        true => Ok(()),
        false => Err(LedgerError::Unavailable(why.to_owned())),
    }
}

impl Ledger for FaultyLedger {
    fn ready(&self) -> Result<(), LedgerError> {
        unless(self.ready, "not ready")
    }

    fn pass(&self, asks: &[GateAsk]) -> Result<Pass, LedgerError> {
        unless(self.ready, "not ready")?;
        Ok(match self.passes {
            true => Pass::Granted,
            false => Pass::Parked(Parked {
                gate: asks[0].clone(),
                asks: asks.to_vec(),
            }),
        })
    }

    fn close_gate(&self, _: &GateAsk, _: Duration) {}

    fn note(&self, _: Note) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(async { unless(self.notes, "no note") })
    }

    fn record(&self, _: Vec<Entry>) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(async { Ok(()) })
    }

    fn kv_get(&self, _: String) -> BoxFuture<'_, Result<Option<Vec<u8>>, LedgerError>> {
        Box::pin(async {
            match self.answers {
                true => Ok(None),
                false => std::future::pending().await,
            }
        })
    }

    fn kv_change(
        &self,
        _: String,
        _: KvChange,
        _: KvQuota,
        _: Vec<Entry>,
        _: Entry,
    ) -> BoxFuture<'_, Result<KvOutcome, LedgerError>> {
        Box::pin(async {
            if !self.answers {
                return std::future::pending().await;
            }
            Ok(KvOutcome {
                reply: KvReply::Done,
                changed: true,
            })
        })
    }

    fn earlier(&self, _: Earlier) -> BoxFuture<'_, Result<Past, LedgerError>> {
        Box::pin(async { Ok(Past::default()) })
    }

    fn timer_change(
        &self,
        _: String,
        _: TimerChange,
        _: TimerQuota,
        _: Vec<Entry>,
        _: Entry,
    ) -> BoxFuture<'_, Result<TimerReply, LedgerError>> {
        Box::pin(async {
            match self.answers {
                true => Ok(TimerReply::Done),
                false => std::future::pending().await,
            }
        })
    }
}
