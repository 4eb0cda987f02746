//! How much of the server's memory a body takes: a small multiple of its size, for every kind of content.

use std::time::Instant;

use reqwest::{Client, StatusCode};
use tests::process::{self, Process};

/// The store's page cache, its log and threads take this much however long a body is.
const CONSTANT_BYTES_MAX: u64 = 64 << 20;

/// Beside that, for each byte of a body. Read in one piece it is twice itself while its buffer grows, and what is parsed and
/// stored of it at one time comes on top.
const TIMES_BODY_MAX: u64 = 6;

const MIB: usize = 1 << 20;

/// The short form has bodies of a quarter of the size, so a quarter of the alerts that the names say.
fn parts() -> usize {
    let is_long = std::env::var_os("ALERT_MANAGER_TEST_LONG").is_some();
    if is_long { 1 } else { 4 }
}

/// A kind of body, and what is answered.
struct Kind {
    name: &'static str,
    body: String,
    status: StatusCode,
}

impl Kind {
    fn new(name: &'static str, status: StatusCode, body: String) -> Self {
        Self { name, body, status }
    }
}

fn group(fields: &str, alerts: &str) -> String {
    format!(r#"{{"version":"4",{fields}"alerts":[{alerts}]}}"#)
}

fn listed(count: usize, item: impl Fn(usize) -> String) -> String {
    let mut list = String::new();
    for n in 0..count {
        if n > 0 {
            list.push(',');
        }
        list.push_str(&item(n));
    }
    list
}

fn kinds() -> Vec<Kind> {
    use StatusCode as S;
    let (mib, thousand) = (MIB / parts(), 1_000 / parts());
    let usual = |n: usize| {
        format!(
            r#"{{"status":"firing","labels":{{"alertname":"A","pod":"pod-{n}","team":"{}"}},"annotations":{{"description":"{}"}},"startsAt":"2026-11-01T10:00:00Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://p/graph?{}","fingerprint":"{n:016x}"}}"#,
            "t".repeat(100),
            "d".repeat(500),
            "g".repeat(250),
        )
    };
    let short = |n: usize| format!(r#"{{"labels":{{"a":"{n}"}}}}"#);
    let good = r#"{"labels":{"a":"b"}}"#;
    let long = "x".repeat(10 * mib);
    let nested = "[".repeat(5 * mib) + &"]".repeat(5 * mib);
    let pairs = listed(mib, |n| format!(r#""k{n:07}":"""#));
    vec![
        Kind::new(
            "a usual group (10,000 alerts)",
            S::ACCEPTED,
            group(
                r#""receiver":"r","groupKey":"k","#,
                &listed(10 * thousand, usual),
            ),
        ),
        Kind::new(
            "the shortest alerts (100,000)",
            S::ACCEPTED,
            format!("[{}]", listed(100 * thousand, short)),
        ),
        Kind::new(
            "`1,1,1,…`, none of it good",
            S::BAD_REQUEST,
            format!("[1{}]", ",1".repeat(5 * mib)),
        ),
        Kind::new(
            "`1,1,1,…` after an alert",
            S::ACCEPTED,
            format!("[{good}{}]", ",1".repeat(5 * mib)),
        ),
        Kind::new(
            "empty objects after an alert",
            S::ACCEPTED,
            format!("[{good}{}]", ",{}".repeat(3 * mib)),
        ),
        Kind::new(
            "nested lists",
            S::BAD_REQUEST,
            format!(r#"{{"labels":{nested}}}"#),
        ),
        Kind::new(
            "nested lists in a field that nobody reads",
            S::ACCEPTED,
            format!(r#"{{"labels":{{"a":"b"}},"x":{nested}}}"#),
        ),
        Kind::new(
            "one long annotation",
            S::ACCEPTED,
            format!(r#"{{"labels":{{"a":"b"}},"annotations":{{"long":"{long}"}}}}"#),
        ),
        Kind::new(
            "one long label",
            S::BAD_REQUEST,
            format!(r#"{{"labels":{{"a":"{long}"}}}}"#),
        ),
        Kind::new(
            "a list of numbers in Grafana's values",
            S::ACCEPTED,
            format!(
                r#"{{"labels":{{"a":"b"}},"values":[1{}],"status":"firing"}}"#,
                ",1".repeat(5 * mib)
            ),
        ),
        Kind::new(
            "long fields of a group (20,000 alerts)",
            S::ACCEPTED,
            group(
                &format!(
                    r#""groupKey":"{}","title":"{}","groupLabels":{{"a":"{}"}},"#,
                    &long[..mib],
                    &long[..mib],
                    &long[..mib]
                ),
                &listed(20 * thousand, short),
            ),
        ),
        Kind::new(
            "labels without number",
            S::BAD_REQUEST,
            format!(r#"{{"labels":{{{pairs}}}}}"#),
        ),
        Kind::new(
            "annotations without number, one of them odd",
            S::ACCEPTED,
            format!(r#"{{"labels":{{"a":"b"}},"annotations":{{"n":1,{pairs}}}}}"#),
        ),
        Kind::new(
            "fields without number that nobody reads",
            S::ACCEPTED,
            format!(r#"{{"labels":{{"a":"b"}},{pairs}}}"#),
        ),
        Kind::new(
            "escapes",
            S::ACCEPTED,
            format!(
                r#"{{"labels":{{"a":"b"}},"annotations":{{"long":"{}"}}}}"#,
                "\\u0001".repeat(10 * mib / 6)
            ),
        ),
        Kind::new(
            "half surrogates",
            S::ACCEPTED,
            format!(
                r#"{{"labels":{{"a":"b"}},"annotations":{{"long":"{}"}}}}"#,
                "\\ud83d".repeat(10 * mib / 6)
            ),
        ),
        Kind::new("white space", S::BAD_REQUEST, " ".repeat(10 * mib)),
    ]
}

/// Returns a figure of the process in bytes.
fn figure(process: &Process, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_any_kind_takes_a_small_multiple_of_its_size() {
    alert_manager::runtime::install_crypto();
    println!("| body | MiB | answer | took MiB | times the body | s |\n|---|---|---|---|---|---|");
    let mut over = Vec::new();
    for kind in kinds() {
        // One for each: an allocator gives back what it likes.
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("handlers")).unwrap();
        let command = process::command(dir.path(), &["serve"]);
        let process = tokio::task::block_in_place(|| Process::start(command));
        let url = format!("{}/webhook", process.url);
        let post = async |body: String| {
            let answer = Client::new().post(&url).body(body).send().await.unwrap();
            let status = answer.status();
            answer.bytes().await.unwrap();
            status
        };
        let warm = post(r#"{"labels":{"alertname":"Warm"}}"#.to_owned()).await;
        assert_eq!(warm, StatusCode::ACCEPTED);
        let (bytes, before) = (kind.body.len() as u64, figure(&process, "VmRSS:"));
        let begun = Instant::now();
        let status = post(kind.body).await;
        let took = figure(&process, "VmHWM:").saturating_sub(before);
        assert_eq!(status, kind.status, "{}", kind.name);
        println!(
            "| {} | {:.1} | {} | {} | {:.1} | {:.1} |",
            kind.name,
            bytes as f64 / MIB as f64,
            status.as_u16(),
            took >> 20,
            took as f64 / bytes as f64,
            begun.elapsed().as_secs_f64()
        );
        if took > CONSTANT_BYTES_MAX + TIMES_BODY_MAX * bytes {
            over.push(kind.name);
        }
    }
    assert!(over.is_empty(), "these take too much memory: {over:?}");
}
