//! How long lists and views take over millions of deliveries and full aggregates, and what they cost while alerts come in.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::effects::{self, open_loop};
use crate::http_sink::HttpSink;
use crate::load::Client;
use crate::rig::{Rig, Server};
use crate::show::{Figures, Target, ms, quantile};

/// How many deliveries there are, unless `--deliveries` says otherwise.
pub(crate) const DELIVERIES: u64 = 5_000_000;

/// The time over which they are spread: retention keeps deliveries for a week.
const SPREAD_MS: u64 = 7 * 24 * 60 * 60 * 1_000;

/// How many alertnames and fingerprints they have.
const ALERTNAMES: u64 = 200;
const FINGERPRINTS: u64 = 100_000;

/// How often each list is asked for.
const ASKED: usize = 40;

/// How long a list may take.
const TARGET_MS: f64 = 100.0;

/// Alerts a second while lists are measured under load.
const PER_SECOND: u32 = 200;

/// Fills a store, and times each list, quiet and while alerts come in.
pub(crate) async fn run(deliveries: u64, figures: &mut Figures) -> anyhow::Result<()> {
    let sink = HttpSink::start().await?;
    let rig = effects::rig(&sink, 64)?;
    let config = rig.dir.path().join("alert-manager.yml");
    let with_retention = format!(
        "{}retention: {{ time: 365d, size: 200GiB }}\n",
        std::fs::read_to_string(&config)?
    );
    std::fs::write(&config, with_retention)?;
    // Another process makes the tables and the one delivery that is copied.
    let filler = rig.start()?;
    post_one(&filler, &sink).await?;
    filler.stop();
    let began = Instant::now();
    fill(&rig, deliveries)?;
    figures.add("filled", began.elapsed().as_secs_f64(), "s", Target::None);
    let began = Instant::now();
    let server = rig.start()?;
    figures.add("ready over it", ms(began.elapsed()), "ms", Target::None);
    times("quiet", &server, figures).await?;
    let alerts = u64::from(PER_SECOND) * 60;
    tokio::select! {
        sent = open_loop(&server, &sink, PER_SECOND, 50_000_000..50_000_000 + alerts) => {
            sent?;
            anyhow::bail!("the lists took more than a minute");
        }
        timed = times("with 200 alerts a second", &server, figures) => timed?,
    }
    server.settled().await?;
    server.stop();
    Ok(())
}

/// Has one alert handled, whose delivery is copied.
async fn post_one(server: &Server, sink: &HttpSink) -> anyhow::Result<()> {
    let labels = json!({
        "alertname": "Bench000",
        "namespace": "shop",
        "severity": "warning",
        "post_to": format!("{}/first", sink.url),
    });
    let alert = json!({ "status": "firing", "labels": labels, "startsAt": "2026-01-01T00:00:00Z" });
    let body = json!({ "version": "4", "alerts": [alert] }).to_string();
    let mut client = Client::connect(server.address).await?;
    let status = client.post("/webhook", &body).await?;
    anyhow::ensure!(status == 202, "{status}");
    server.settled().await
}

/// Times every list.
async fn times(when: &str, server: &Server, figures: &mut Figures) -> anyhow::Result<()> {
    let mut client = Client::connect(server.address).await?;
    let newest = deliveries(&client.get("/api/v1/deliveries?limit=1").await?)?;
    let fingerprint = newest["deliveries"][0]["fingerprint"].clone();
    let id = newest["deliveries"][0]["id"].as_str().unwrap_or_default();
    let now: jiff::Timestamp = jiff::Timestamp::now();
    let ago = |hours: u64| (now - Duration::from_secs(3_600 * hours)).to_string();
    let views: BTreeMap<&str, Vec<(&str, String)>> = BTreeMap::from([
        ("the newest", vec![]),
        ("running", vec![("state", "running".to_owned())]),
        ("dead", vec![("state", "dead".to_owned())]),
        ("failed", vec![("reason", "failed".to_owned())]),
        ("an alertname", vec![("alertname", "Alert7".to_owned())]),
        (
            "a matcher of an alertname",
            vec![("match", "alertname=\"Alert7\"".to_owned())],
        ),
        (
            "an alert's fingerprint",
            vec![(
                "fingerprint",
                fingerprint.as_str().unwrap_or_default().to_owned(),
            )],
        ),
        ("a route that is rare", vec![("route", "rare".to_owned())]),
        (
            "a label that no alert has",
            vec![("match", "namespace=\"none\"".to_owned())],
        ),
        (
            "an expression that no alert matches",
            vec![("match", "namespace=~\"none.*\"".to_owned())],
        ),
        ("three days ago", vec![("from", ago(72)), ("to", ago(71))]),
    ]);
    for (what, query) in views {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(query)
            .finish();
        let path = format!("/api/v1/deliveries?{query}");
        let is_list = |answer: &str| deliveries(answer).map(drop);
        time(
            &format!("{when}: {what}"),
            &mut client,
            &path,
            is_list,
            figures,
        )
        .await?;
    }
    let handlers = client.get("/api/v1/handlers").await?;
    let handlers = json_of(&handlers)?;
    let handler = handlers["handlers"][0]["name"].as_str().unwrap_or_default();
    for path in [
        "/".to_owned(),
        "/?over=7d".to_owned(),
        "/?over=90d".to_owned(),
        "/deliveries".to_owned(),
        "/handlers".to_owned(),
        format!("/handlers/{handler}"),
        format!("/handlers/{handler}?over=90d"),
        "/routes".to_owned(),
        "/timeline?from=1h".to_owned(),
        "/timeline?from=24h".to_owned(),
        format!("/deliveries/{id}"),
        format!("/api/v1/deliveries/{id}"),
        format!("/api/v1/deliveries/{id}/related"),
    ] {
        let is_answer = |answer: &str| {
            anyhow::ensure!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
            Ok(())
        };
        let what = format!("{when}: view {path}");
        let bytes = time(&what, &mut client, &path, is_answer, figures).await?;
        #[allow(clippy::cast_precision_loss, reason = "a figure to read")]
        let kib = bytes as f64 / 1_024.0;
        figures.add(&format!("{what}, size"), kib, "KiB", Target::None);
    }
    Ok(())
}

/// Times what a path answers; returns how large the last answer was.
async fn time(
    what: &str,
    client: &mut Client,
    path: &str,
    check: impl Fn(&str) -> anyhow::Result<()>,
    figures: &mut Figures,
) -> anyhow::Result<usize> {
    let (mut taken, mut bytes) = (Vec::with_capacity(ASKED), 0);
    for _ in 0..ASKED {
        let began = Instant::now();
        let answer = client.get(path).await?;
        taken.push(began.elapsed());
        check(&answer)?;
        bytes = answer.len();
    }
    taken.sort();
    for (name, share, target) in [
        ("p50", 0.5, Target::None),
        ("p99", 0.99, Target::AtMost(TARGET_MS)),
    ] {
        let time = ms(quantile(&taken, share));
        figures.add(&format!("{what}, {name}"), time, "ms", target);
    }
    Ok(bytes)
}

/// Parses a list.
fn deliveries(answer: &str) -> anyhow::Result<Value> {
    let list = json_of(answer)?;
    anyhow::ensure!(list["deliveries"].is_array(), "no list: {answer}");
    Ok(list)
}

/// Returns the JSON of an answer.
fn json_of(answer: &str) -> anyhow::Result<Value> {
    let body = answer.find('{').map_or("", |at| &answer[at..]);
    Ok(serde_json::from_str(body)?)
}

/// Fills the aggregates as a busy server has them: 50 routes and 50 handlers in every minute of two days, and in every hour of 90.
fn fill_activity(store: &rusqlite::Connection) -> anyhow::Result<()> {
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let minute = now_ms / 60_000;
    let hour = minute - minute % 60 - 2 * 24 * 60;
    store.execute_batch(
        "CREATE TEMP TABLE fifty AS WITH RECURSIVE n(value) AS (
             SELECT 0 UNION ALL SELECT value + 1 FROM n WHERE value < 49) SELECT value FROM n;
         CREATE TEMP TABLE keys AS
             SELECT column1 AS kind, column2 AS key FROM (VALUES (0, 'accepted'), (0, 'duplicate'), (0, 'stale'),
                 (0, 'rejected'), (2, 'handled'), (2, 'failed'), (2, 'coalesced'))
             UNION ALL SELECT 1, 'route ' || value FROM fifty
             UNION ALL SELECT 3, 'handler-' || value || ' handled' FROM fifty
             UNION ALL SELECT 3, 'handler-' || value || ' failed' FROM fifty;",
    )?;
    for (length, newest, count) in [(1, minute - 1, 2_878), (60, hour, 88 * 24)] {
        store.execute(
            "WITH RECURSIVE n(i) AS (SELECT ?3 UNION ALL SELECT i - 1 FROM n WHERE i > 0)
             INSERT OR IGNORE INTO activity (length, kind, start, key, count, sum_ms, histogram)
             SELECT ?1, kind, ?2 - i * ?1, key, 7, 700, x'0000000000000000000000010000000200000003'
             FROM n, keys",
            (length, newest, count),
        )?;
    }
    store.execute_batch("DROP TABLE keys; DROP TABLE fifty")?;
    Ok(())
}

/// Copies the one delivery of a store many times, over a week, to other alertnames, fingerprints and routes: one in a hundred is
/// dead, one in a thousand on another route.
fn fill(rig: &Rig, count: u64) -> anyhow::Result<()> {
    let store = rusqlite::Connection::open(rig.store())?;
    store.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -400000; BEGIN;",
    )?;
    let indices: Vec<(String, String)> = store
        .prepare(
            "SELECT name, sql FROM sqlite_schema
             WHERE type = 'index' AND tbl_name = 'deliveries' AND sql IS NOT NULL",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    // Sorted at once, they are made much sooner than row by row.
    for (name, _) in &indices {
        store.execute_batch(&format!("DROP INDEX {name}"))?;
    }
    let step_ms = SPREAD_MS / count.max(1);
    let by_ms = |column: &str| format!("{column} - i * {step_ms}");
    let of_deliveries = BTreeMap::from([
        ("id", format!("id - ((i * {step_ms}) << 22) - i")),
        ("accepted_at", by_ms("accepted_at")),
        ("settled_at", by_ms("settled_at")),
        ("starts_at", format!("starts_at - i * {step_ms} * 1000000")),
        ("alertname", format!("'Alert' || (i % {ALERTNAMES})")),
        ("fingerprint", format!("fingerprint + i % {FINGERPRINTS}")),
        (
            "route",
            "CASE WHEN i % 1000 = 0 THEN 'rare' ELSE route END".to_owned(),
        ),
        (
            "state",
            "CASE WHEN i % 100 = 0 THEN 4 ELSE state END".to_owned(),
        ),
        (
            "reason",
            "CASE WHEN i % 100 = 0 THEN 10 ELSE reason END".to_owned(),
        ),
    ]);
    copy(&store, "deliveries", count, &of_deliveries)?;
    let of_alerts = BTreeMap::from([("id", of_deliveries["id"].clone())]);
    copy(&store, "alerts", count, &of_alerts)?;
    fill_activity(&store)?;
    for (_, sql) in &indices {
        store.execute_batch(sql)?;
    }
    store.execute_batch("COMMIT; PRAGMA journal_mode = WAL;")?;
    Ok(())
}

/// Copies the row of a table once for each number `i`, with these columns changed, the oldest first.
fn copy(
    store: &rusqlite::Connection,
    table: &str,
    count: u64,
    changed: &BTreeMap<&str, String>,
) -> anyhow::Result<()> {
    let columns: Vec<String> = store
        .prepare(&format!("SELECT name FROM pragma_table_info('{table}')"))?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let values = columns
        .iter()
        .map(|column| changed.get(column.as_str()).unwrap_or(column));
    let values: Vec<&str> = values.map(String::as_str).collect();
    store.execute_batch(&format!(
        "CREATE TEMP TABLE one AS SELECT * FROM {table} LIMIT 1;
         INSERT INTO {table} ({}) SELECT {} FROM one, (
             WITH RECURSIVE n(i) AS (SELECT {count} UNION ALL SELECT i - 1 FROM n WHERE i > 1)
             SELECT i FROM n);
         DROP TABLE one;",
        columns.join(", "),
        values.join(", ")
    ))?;
    Ok(())
}
