//! One suite over all hosts: the mocks of the SDKs and the real host give a handler the same answers.
//!
//! `handler-sdk/shared/calls.json` has the scenarios: what each is about, what is different about it, a script, and the real
//! host's answers. Here the same handler (`tests/handlers/conformance`) runs natively against the Rust SDK's mock and as a
//! component in the sandbox. The tests of the Python and the TypeScript SDK run the scripts against theirs. To add a scenario,
//! add its script to the table, and have this test write the answers: `UPDATE_SNAPSHOTS=1`.
//!
//! Left out is what differs on purpose: the mock panics at a message that Slack would refuse for its blocks, its length or
//! its empty text, so that a handler's test shows it; the real host posts what Slack takes of it. And a rate limit, which a
//! handler's test can have Slack answer: the real host has the delivery wait for its turn, and the handler learns of none.

use std::sync::Arc;
use std::time::Duration;

use alert_manager::alert::{StepKind, Timestamp};
use alert_manager::runtime::{Output, StepFailure};
use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use guest_conformance::Conformance;
use handler_sdk::http::Method;
use handler_sdk::mock::{Host, Reply};
use handler_sdk::slack::Error as SlackError;
use handler_sdk::{Alert, Enrichment};
use serde::{Deserialize, Serialize};
use serde_json::ser::{PrettyFormatter, Serializer};
use tests::fakes::{Fault, Slack};
use tests::harness::{Harness, MemoryLedger};

/// A scenario of the table that all SDKs share.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Scenario {
    /// What it is about.
    about: String,
    /// The step that runs the script.
    #[serde(default = "act", skip_serializing_if = "is_act")]
    step: String,
    /// How many attempts there are, an hour between them.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    attempts: u32,
    /// The faults of the first calls of Slack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    slack: Vec<SlackFault>,
    /// The lines of the script.
    script: Vec<String>,
    /// The lines of the real host's answers, by attempt.
    answers: Vec<Vec<String>>,
}

/// A fault of Slack: an error code in a response, or a status.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum SlackFault {
    Code(String),
    Status(u16),
}

use SlackFault::{Code, Status};

fn act() -> String {
    "act".to_owned()
}

fn is_act(step: &String) -> bool {
    step == "act"
}

fn once() -> u32 {
    1
}

fn is_once(attempts: &u32) -> bool {
    *attempts == 1
}

impl Scenario {
    fn is_of_enrich(&self) -> bool {
        self.step == "enrich"
    }

    fn script(&self) -> String {
        self.script.join("\n")
    }
}

/// The file with the scenarios.
const TABLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../handler-sdk/shared/calls.json"
);

fn scenarios() -> Vec<Scenario> {
    serde_json::from_str(&std::fs::read_to_string(TABLE).unwrap()).unwrap()
}

/// Returns whether the answers of the table are to be written.
fn is_updating() -> bool {
    std::env::var_os("UPDATE_SNAPSHOTS").is_some()
}

/// Returns the table as it is written: a field on each line.
fn written(scenarios: &[Scenario]) -> String {
    let mut text = Vec::new();
    let indent = PrettyFormatter::with_indent(b" ");
    let mut json = Serializer::with_formatter(&mut text, indent);
    scenarios.serialize(&mut json).unwrap();
    String::from_utf8(text).unwrap() + "\n"
}

/// Returns when an attempt begins.
fn at(attempt: u32) -> Timestamp {
    let start: Timestamp = "2024-05-06T07:00:00Z".parse().unwrap();
    start + Duration::from_secs(3_600 * u64::from(attempt - 1))
}

/// What a path answers: a status, headers, and how many bytes of body.
type PathAnswer = (&'static str, u16, Vec<(&'static str, &'static str)>, usize);

fn answers() -> Vec<PathAnswer> {
    vec![
        ("ok", 200, vec![("x-mark", "a")], 2),
        ("201", 201, vec![], 0),
        ("404", 404, vec![("x-mark", "b")], 9),
        ("500", 500, vec![], 3),
        ("503", 503, vec![], 0),
        ("moved", 302, vec![("location", "/ok")], 0),
        ("large", 200, vec![], 8 << 20),
        ("too-large", 200, vec![], (8 << 20) + 1),
    ]
}

async fn world() -> String {
    async fn answer(Path(path): Path<String>, body: Body) -> Response {
        // A server that answers before it has read a large body breaks the connection.
        let _ = axum::body::to_bytes(body, 16 << 20).await;
        let found = answers().into_iter().find(|(known, ..)| *known == path);
        let Some((_, status, headers, bytes)) = found else {
            return std::future::pending().await;
        };
        let mut response = "o".repeat(bytes).into_response();
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        response
    }
    let router = Router::new().route("/{path}", any(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// Returns the result of each attempt on the mock host.
fn on_mock(base: &str, scenario: &Scenario) -> Vec<String> {
    let mut host = Host::new()
        .channels(["alerts", "oncall"])
        .credentials(["granted"])
        .config("word", "hello")
        .config("list", "[1,2]");
    for method in [
        Method::Get,
        Method::Head,
        Method::Post,
        Method::Put,
        Method::Patch,
        Method::Delete,
    ] {
        for (path, status, headers, bytes) in answers() {
            let mut reply = Reply::status(status, "o".repeat(bytes));
            for (name, value) in headers {
                reply = reply.header(name, value);
            }
            // With any query or none.
            host = host
                .http(method, &format!("{base}/{path}"), reply.clone())
                .http(method, &format!("{base}/{path}?*"), reply);
        }
        host = host.http(method, &format!("{base}/hang"), Reply::timeout());
    }
    for fault in &scenario.slack {
        host = match fault {
            Code(code) if ["channel_not_found", "not_in_channel"].contains(&code.as_str()) => {
                host.hold_channel("alerts", code)
            }
            Code(code) if code == "fatal_error" => host.slack_error(SlackError::Timeout),
            Code(code) => {
                host.slack_error(SlackError::Invalid(format!("{code}: whatever Slack says")))
            }
            Status(_) => host.slack_error(SlackError::Unavailable("a server's error".to_owned())),
        };
    }
    let alert = Alert::new("Test")
        .with_label("step", &scenario.step)
        .with_annotation("base", base)
        .with_annotation("script", scenario.script());
    let attempts = 1..=scenario.attempts;
    let run = attempts.map(|attempt| {
        let now = at(attempt).as_second();
        let host = host
            .clone()
            .attempt(attempt)
            .now(handler_sdk::Timestamp::from_seconds(now));
        let answers = if scenario.is_of_enrich() {
            let found = host.enrich::<Conformance>(&alert, &Enrichment::new());
            found.map(|found| found.facts)
        } else {
            let facts = host.act::<Conformance>(&alert, &Enrichment::new());
            facts.map(|facts| facts.iter().map(owned).collect())
        };
        match answers {
            Ok(facts) => facts.into_iter().map(|(_, value)| value).collect(),
            Err(failure) => failure.message().to_owned(),
        }
    });
    run.collect()
}

/// The sandbox, and the Slack that it posts to.
struct Real {
    harness: Harness,
    slack: Slack,
}

impl Real {
    async fn new(base: &str) -> Self {
        let slack = Slack::start().await;
        let harness = Harness::with_services(|services| {
            use alert_manager::secret::{Secret, SecretSource};
            let token = Secret::new(tests::fakes::slack::TOKEN);
            services.slack.preview = false;
            services.slack.token = Some(SecretSource::value(token));
            services.slack.api_url = slack.api_url().parse().unwrap();
            let channels = &mut services.slack.channels;
            channels.insert("oncall".to_owned(), "#oncall".to_owned());
            for name in ["granted", "other"] {
                let credential = tests::harness::bearer("a-secret-that-nobody-knows", base);
                services.credentials.insert(name.to_owned(), credential);
            }
        });
        Self { harness, slack }
    }
}

/// Returns the result of each attempt in the sandbox.
async fn on_real(real: &Real, base: &str, scenario: &Scenario) -> Vec<String> {
    let Real { harness, slack } = real;
    for fault in &scenario.slack {
        let fault = match fault {
            Code(code) => Fault::slack_error(code),
            Status(status) => Fault::status(*status),
        };
        slack.faults().next("chat.postMessage", fault);
    }
    let module = harness.guest("guest-conformance").await;
    let ledger = Arc::<MemoryLedger>::default();
    let mut told = Vec::new();
    for attempt in 1..=scenario.attempts {
        ledger.set_now(at(attempt));
        let call = harness
            .call(&module)
            .http(base)
            .slack("alerts")
            .slack("oncall");
        let call = call
            .credential("granted")
            .label("step", &scenario.step)
            .annotation("base", base)
            .annotation("script", &scenario.script())
            .over(&ledger, attempt)
            .with(|invocation| {
                invocation.now = at(attempt);
                invocation.step = if scenario.is_of_enrich() {
                    StepKind::Enrich
                } else {
                    StepKind::Act
                };
                // A debug build and a busy machine: not what is compared here.
                invocation.limits.cpu_max = Duration::from_secs(60);
                invocation.limits.wall_max = Duration::from_secs(60);
                invocation.time_left = Duration::from_secs(60);
                let config = [("word", "hello"), ("list", "[1,2]")];
                let config = config.map(|(name, value)| (name.to_owned(), value.to_owned()));
                invocation.config = Arc::new(config.into());
            });
        told.push(match call.run().await.outcome {
            Ok(Output::Facts(facts)) => facts.iter().map(|(_, value)| value).collect(),
            Ok(Output::Enrichment(found)) => found.facts.iter().map(|(_, value)| value).collect(),
            Err(StepFailure::Retryable { message, .. }) => message,
            Err(other) => format!("{other:?}"),
        });
    }
    told
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mock_host_and_the_real_one_answer_as_the_table_says() {
    let base = world().await;
    let healthy = Real::new(&base).await;
    let mut scenarios = scenarios();
    let mut differing = Vec::new();
    for scenario in &mut scenarios {
        let real = if scenario.slack.is_empty() {
            on_real(&healthy, &base, scenario).await
        } else {
            // A rate limit or a fault would outlast its scenario.
            on_real(&Real::new(&base).await, &base, scenario).await
        };
        let mock = on_mock(&base, scenario);
        // Long texts that are asked about are not what is shown.
        assert!(real.iter().all(|told| !told.contains("no such question")));
        let stated: Vec<_> = scenario
            .answers
            .iter()
            .map(|lines| lines.join("\n"))
            .collect();
        scenario.answers = real
            .iter()
            .map(|told| told.split('\n').map(str::to_owned).collect())
            .collect();
        for (host, told, expected) in [("mock", &mock, &real), ("table", &stated, &real)] {
            let is_written = host == "table" && is_updating();
            if told != expected && !is_written {
                let (real, told) = (real.join("\n--\n"), told.join("\n--\n"));
                differing.push(format!(
                    "== {}\nreal\n{real}\n{host}\n{told}",
                    scenario.about
                ));
            }
        }
    }
    if is_updating() {
        std::fs::write(TABLE, written(&scenarios)).unwrap();
    }
    assert!(
        differing.is_empty(),
        "{} of {} scenarios differ:\n{}",
        differing.len(),
        scenarios.len(),
        differing.join("\n")
    );
}
