//! One suite over both hosts: the SDK's mock and the real host give a handler the same answers.
//!
//! The same handler (`tests/handlers/conformance`) runs natively against the mock and as a component in the sandbox. A
//! scenario is a line: what it is about, what is different about it, and the script. To add one, add a line.
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
use tests::fakes::{Fault, Slack};
use tests::harness::{Harness, MemoryLedger};

/// What is different about a scenario.
#[derive(Clone, Copy, Default)]
struct With {
    /// Runs in `enrich`, not in `act`.
    enrich: bool,
    /// Attempts, an hour between them.
    attempts: u32,
    /// The faults of the first calls of Slack.
    slack: &'static [SlackFault],
}

/// A fault of Slack, and the error that a handler gets for it.
#[derive(Clone, Copy)]
enum SlackFault {
    Code(&'static str),
    Status(u16),
}

const ONCE: With = With {
    enrich: false,
    attempts: 1,
    slack: &[],
};
const ENRICH: With = With {
    enrich: true,
    ..ONCE
};
const TWICE: With = With {
    attempts: 2,
    ..ONCE
};
const THRICE: With = With {
    attempts: 3,
    ..ONCE
};

const fn slack(slack: &'static [SlackFault]) -> With {
    With { slack, ..ONCE }
}

use SlackFault::{Code, Status};

#[rustfmt::skip]
const SCENARIOS: &[(&str, With, &str)] = &[
    // http
    ("every method reaches a granted origin", ONCE, "http GET /ok\nhttp HEAD /ok\nhttp POST /ok body=x\nhttp PUT /ok body=x\nhttp PATCH /ok body=x\nhttp DELETE /ok"),
    ("http works in enrich", ENRICH, "http GET /ok\nhttp POST /ok body=x"),
    ("any status is a response", ONCE, "http GET /201\nhttp GET /404\nhttp GET /500\nhttp POST /503"),
    ("redirects are not followed", ONCE, "http GET /moved\nhttp POST /moved body=x"),
    ("what is not granted is denied", ONCE, "http GET http://127.0.0.2:9/x\nhttp POST https://example.com/ body=x\nhttp GET ftp://example.com/"),
    ("what is no URL is an invalid request", ONCE, "http GET _\nhttp GET path/only\nhttp GET http://\nhttp GET @9000"),
    ("a query is part of the URL", ONCE, "http GET /ok query=a=b"),
    ("a URL at its bound and over it", ONCE, "http GET /ok query=@8000\nhttp GET /ok query=@8200"),
    ("headers that no request carries", ONCE, "http GET /ok header=Accept:text/plain\nhttp GET /ok header=Host:x\nhttp GET /ok header=content_length:3\nhttp GET /ok header=Proxy-Authorization:x\nhttp GET /ok header=a(b:x\nhttp GET /ok header=_:x\nhttp GET /ok header=x:a\\nb\nhttp GET /ok header=x:é"),
    ("headers at their bounds and over them", ONCE, "http GET /ok headers=95\nhttp GET /ok headers=101\nhttp GET /ok header=x:@66000"),
    ("a header that is reserved where nothing is granted is denied", ONCE, "http GET http://127.0.0.2:9/x header=Host:x"),
    ("a request's body at its bound and over it", ONCE, "http POST /ok body=@4194304\nhttp POST /ok body=@4194305"),
    ("a response's body at its bound and over it", ONCE, "http GET /large\nhttp GET /too-large\nhttp POST /too-large body=x"),
    ("an answer that does not come", ONCE, "http GET /hang timeout=1\nhttp POST /hang timeout=1 body=x"),
    ("keys of effects", ONCE, "http POST /ok key=k body=x\nhttp POST /ok key=_ body=x\nhttp POST /ok key=@256 body=x\nhttp POST /ok key=@257 body=x"),
    ("credentials are granted by name", ONCE, "http GET /ok credential=granted\nhttp GET /ok credential=other\nhttp GET /ok credential=_"),
    ("requests of a step are counted", ONCE, "repeat 52 http GET /ok"),
    ("denied and invalid requests are counted too", ONCE, "repeat 30 http GET http://127.0.0.2:9/x\nrepeat 30 http GET /ok header=Host:x"),
    // Slack
    ("a message, its thread, its update and a reaction", ONCE, "post alerts hello blocks\npost alerts more thread=last\nupdate last changed\nreact last eyes\nreact last eyes"),
    ("Slack is denied in enrich", ENRICH, "post alerts hello\nupdate last x\nreact last eyes\nrepeat 60 post alerts hello"),
    ("a channel that is not granted", ONCE, "post secret hello\npost _ hello\npost oncall hello"),
    ("references that no message has", ONCE, "update none x\nreact none eyes\npost alerts hello thread=none\nupdate _ x\nreact mock:alerts:99 eyes"),
    ("a thread is in its message's channel", ONCE, "post alerts hello\npost oncall more thread=last"),
    ("emoji by name", ONCE, "post alerts hello\nreact last eyes\nreact last :eyes:\nreact last _\nreact last @101"),
    ("an emoji of a message that is not there", ONCE, "react none :eyes:"),
    ("keys of messages", ONCE, "post alerts hello key=k\npost alerts hello key=_\npost alerts hello key=@256\npost alerts hello key=@257\npost alerts hello\nupdate last x key=_"),
    ("calls of Slack are counted", ONCE, "post alerts hello\nrepeat 52 react last eyes"),
    ("denied calls of Slack are counted too", ONCE, "repeat 52 post secret hello"),
    ("a channel that is gone is held, another is not", slack(&[Code("channel_not_found")]), "post alerts hello\npost alerts again\npost oncall hello"),
    ("a message that Slack refuses", slack(&[Code("no_text")]), "post alerts hello\npost alerts again"),
    ("a server's error", slack(&[Status(500)]), "post alerts hello\npost alerts again"),
    ("an internal error of Slack", slack(&[Code("fatal_error")]), "post alerts hello"),
    // kv
    ("values are kept and removed", ONCE, "get a\nset a 1\nget a\nset a _\nget a\nremove a\nget a\nremove a"),
    ("kv works in enrich", ENRICH, "set a 1\nget a\nincrement n 2"),
    ("only an absent value is set", ONCE, "set-if-absent a 1\nset-if-absent a 2\nget a\nset b _\nset-if-absent b 1\nremove a\nset-if-absent a 3\nget a"),
    ("numbers", ONCE, "increment n 2\nincrement n -5\nget n\nset n 9223372036854775806\nincrement n 5\nset n +5\nincrement n 1\nset n x\nincrement n 1\nget n\nset n _\nincrement n 1"),
    ("keys and values at their bounds and over them", ONCE, "set @512 x\nset @513 x\nget @512\nget @513\nset a @65536\nset a @65537\nget a\nincrement @513 1\nremove @513\nset-if-absent @513 x\nset-if-absent b @65537"),
    ("an empty key is a key", ONCE, "set _ x\nget _\nremove _\nget _"),
    ("all that a handler keeps is bounded", ONCE, "repeat 3 set a @65536\nget b"),
    ("calls of kv are counted, too large ones too", ONCE, "repeat 999 get @513\nget a\nget a"),
    ("values go in time", TWICE, "set-if-absent a x ttl=3600\nset-if-absent b x ttl=3601\nset-if-absent c x\nget a\nget b\nget c\nfail-once"),
    ("a number goes in time, and a later one has its own", TWICE, "increment n 1 ttl=3600\nincrement m 1 ttl=3600\nincrement m 1\nfail-once\nget n\nget m"),
    // config, log
    ("settings are there or not", ONCE, "config word\nconfig list\nconfig none\nconfig _"),
    ("settings are there in enrich", ENRICH, "config word"),
    ("lines never fail", ONCE, "repeat 300 log hello\nlog @100000\nlog _"),
    // clock, attempts, replay
    ("the clock stands still within an attempt", ONCE, "clock\nhttp GET /ok\nclock\nset a 1\nclock"),
    ("an attempt knows its number", THRICE, "attempt\nfail-once"),
    ("a retry over nothing has the current time", TWICE, "clock\nhttp GET /ok\nclock\nfail-once\nclock"),
    ("a failed effect leaves nothing to replay", TWICE, "clock\nhttp POST /503 body=x\nclock\nfail-once\nclock"),
    ("an effect holds the clock until it is replayed", TWICE, "clock\nhttp POST /ok body=x\nclock\nfail-once\nclock"),
    ("each effect holds the clock", THRICE, "clock\nset a 1\nclock\nincrement n 1\nclock\nfail-once\nclock\npost alerts hello\nclock"),
    ("an effect that is not asked for again holds the clock", TWICE, "http POST /ok body=x attempt\nclock\nfail-once\nclock"),
    ("an author's key names an effect whatever its bytes are", TWICE, "http POST /ok key=k attempt\nclock\nfail-once\nclock"),
    ("reads before an effect are replayed, those after it are not", TWICE, "increment n 1\nget n\nincrement n 1\nfail-once\nget n"),
    ("an effect is not repeated", THRICE, "increment n 1\nfail-once\nincrement m 1\nget n\nget m"),
    ("equal effects are told apart by their order", TWICE, "increment n 1\nincrement n 1\nfail-once\nincrement n 1\nget n"),
    ("a redirect of an effect is one, and so is an answer that is too large", TWICE, "http POST /moved body=x\nhttp POST /too-large body=x\nfail-once\nclock"),
    ("a message is posted once", TWICE, "post alerts hello\nreact last eyes\nfail-once\nupdate last x\npost alerts hello"),
    ("changes of kv that change nothing are reads", TWICE, "remove a\nset-if-absent b x\nset-if-absent b x\nclock\nfail-once\nclock"),
    ("replayed calls are counted", TWICE, "repeat 50 http POST /ok body=x\nfail-once\nhttp POST /ok body=x"),
    // history
    ("earlier occurrences are none where nothing came before", ONCE, "earlier 60\nearlier 60 namespace pod\nearlier 0 _"),
    ("history answers in enrich", ENRICH, "earlier 60 pod"),
    ("labels and times at their bounds and over them", ONCE, "earlier 7776000 a b c d e f g h i j k l m n o p\nearlier 60 a b c d e f g h i j k l m n o p q\nearlier 7776001\nearlier 60 @256\nearlier 60 @257"),
    ("calls of history up to their limit and over it", ONCE, "repeat 21 earlier 60"),
    // timer
    ("a timer is set, set anew and cancelled", ONCE, "after k 60\nafter k 90 a=b\ncancel-timer k\ncancel-timer k\ncancel-timer none"),
    ("timers are denied in enrich", ENRICH, "after k 60\ncancel-timer k"),
    ("a timer's key at its bound and over it", ONCE, "after @256 60\nafter @257 60\nafter _ 60\ncancel-timer @257\ncancel-timer _"),
    ("a timer's delay at its bounds and over them", ONCE, "after k 0\nafter k 2592000\nafter k 2592001"),
    ("facts of a timer that are not taken", ONCE, "after k 60 timer.key=x\nafter k 60 storm.id=x\nafter k 60 _=x\nafter k 60 @257=x\nafter k 60 a=@8192\nafter k 60 a=@8193"),
    ("calls of timer up to their limit and over it", ONCE, "repeat 101 cancel-timer k"),
    ("a retry sets a timer no second time", TWICE, "after k 60\nearlier 60\nattempt\nafter l 60\nfail-once\nafter k 60"),
];

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
fn on_mock(base: &str, with: With, script: &str) -> Vec<String> {
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
    for fault in with.slack {
        if let Code(code @ ("channel_not_found" | "not_in_channel")) = fault {
            host = host.hold_channel("alerts", code);
            continue;
        }
        host = host.slack_error(match fault {
            Code("fatal_error") => SlackError::Timeout,
            Code(code) => SlackError::Invalid(format!("{code}: whatever Slack says")),
            Status(_) => SlackError::Unavailable("a server's error".to_owned()),
        });
    }
    let alert = Alert::new("Test")
        .with_label("step", if with.enrich { "enrich" } else { "act" })
        .with_annotation("base", base)
        .with_annotation("script", script);
    let attempts = 1..=with.attempts;
    let run = attempts.map(|attempt| {
        let now = at(attempt).as_second();
        let host = host
            .clone()
            .attempt(attempt)
            .now(handler_sdk::Timestamp::from_seconds(now));
        let answers = if with.enrich {
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
async fn on_real(real: &Real, base: &str, with: With, script: &str) -> Vec<String> {
    let Real { harness, slack } = real;
    for fault in with.slack {
        let fault = match fault {
            Code(code) => Fault::slack_error(code),
            Status(status) => Fault::status(*status),
        };
        slack.faults().next("chat.postMessage", fault);
    }
    let module = harness.guest("guest-conformance").await;
    let ledger = Arc::<MemoryLedger>::default();
    let mut told = Vec::new();
    for attempt in 1..=with.attempts {
        ledger.set_now(at(attempt));
        let call = harness
            .call(&module)
            .http(base)
            .slack("alerts")
            .slack("oncall");
        let call = call
            .credential("granted")
            .label("step", if with.enrich { "enrich" } else { "act" })
            .annotation("base", base)
            .annotation("script", script)
            .over(&ledger, attempt)
            .with(|invocation| {
                invocation.now = at(attempt);
                invocation.step = if with.enrich {
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
async fn the_mock_host_and_the_real_one_answer_alike() {
    let base = world().await;
    let healthy = Real::new(&base).await;
    let mut differing = Vec::new();
    for (name, with, script) in SCENARIOS {
        let real = if with.slack.is_empty() {
            on_real(&healthy, &base, *with, script).await
        } else {
            // A rate limit or a fault would outlast its scenario.
            on_real(&Real::new(&base).await, &base, *with, script).await
        };
        let mock = on_mock(&base, *with, script);
        // Long texts that are asked about are not what is shown.
        assert!(real.iter().all(|told| !told.contains("no such question")));
        if real != mock {
            let (real, mock) = (real.join("\n--\n"), mock.join("\n--\n"));
            differing.push(format!("== {name}\nreal\n{real}\nmock\n{mock}"));
        }
    }
    assert!(
        differing.is_empty(),
        "{} of {} scenarios differ:\n{}",
        differing.len(),
        SCENARIOS.len(),
        differing.join("\n")
    );
}
