//! A storm of 100,000 alerts in groups of 100: whether all are settled, the memory that it takes, and whether throughput
//! stays the same until its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::load::{Target as Load, Until, run as load};
use crate::rig::{HANDLER, Rig, Server, module};
use crate::show::{Figures, Target};

const ALERTS: u64 = 100_000;
const GROUP: u64 = 100;
const CONNECTIONS: usize = 4;
const FINISHED_BEFORE: u64 = 1_000_000;

/// How often the number of settled deliveries is asked for.
const SAMPLE: Duration = Duration::from_millis(50);

/// Sends the storm to an empty store, and to one that holds a million finished deliveries.
pub(crate) async fn run(figures: &mut Figures) -> anyhow::Result<()> {
    storm("empty store", 0, figures).await?;
    storm("1,000,000 finished", FINISHED_BEFORE, figures).await
}

async fn storm(name: &str, finished: u64, figures: &mut Figures) -> anyhow::Result<()> {
    let rig = Rig::new(&format!(
        "{}retention: {{ time: 7d, size: 20GiB }}\n",
        crate::ingest::config(HANDLER)
    ))?;
    rig.put("bench.wasm", &module(0))?;
    if finished > 0 {
        // Another server process makes the tables, so that their creation does not count in the memory that is measured.
        let filler = rig.start()?;
        send(&filler, 1, 1).await?;
        filler.settled().await?;
        filler.stop();
        fill(&rig, finished)?;
    }
    let server = rig.start()?;
    let began = Instant::now();
    let sending = send(&server, 10_000_000, ALERTS);
    let watching = watch(&server, began);
    let (sent, curve) = tokio::join!(sending, watching);
    sent?;
    let curve = curve?;
    let lost = ALERTS.saturating_sub(curve.last().map_or(0, |(_, settled)| *settled));
    #[allow(clippy::cast_precision_loss, reason = "a count, shown")]
    let lost = lost as f64;
    let (first, last) = (rate(&curve, 0.0, 0.1), rate(&curve, 0.9, 1.0));
    let whole = rate(&curve, 0.0, 1.0);
    figures.add(
        &format!("{name}: not done at the end"),
        lost,
        "",
        Target::AtMost(0.0),
    );
    figures.add(&format!("{name}: settled"), whole, "/s", Target::None);
    figures.add(
        &format!("{name}: last tenth to first tenth"),
        last / first,
        "x",
        Target::AtLeast(0.8),
    );
    figures.add(
        &format!("{name}: most memory held"),
        server.memory_mib("VmHWM")?,
        "MiB",
        Target::AtMost(300.0),
    );
    server.stop();
    Ok(())
}

/// Sends groups as Alertmanager does.
async fn send(server: &Server, first: u64, count: u64) -> anyhow::Result<()> {
    let alert = tests::alerts::readme();
    let target = Load {
        address: server.address,
        path: "/webhook",
        body: Arc::new(move |n| {
            let size = GROUP.min(count);
            let alerts: Vec<Value> = (0..size)
                .map(|i| {
                    let mut alert = alert.clone();
                    alert["labels"]["pod"] = format!("pod-{}", first + n * size + i).into();
                    alert
                })
                .collect();
            json!({ "version": "4", "status": "firing", "receiver": "bench", "alerts": alerts })
                .to_string()
        }),
    };
    let outcome = load(&target, CONNECTIONS, Until::Requests(count.div_ceil(GROUP))).await?;
    anyhow::ensure!(
        outcome.refused == 0,
        "{} groups were refused",
        outcome.refused
    );
    Ok(())
}

/// Samples how many were done until all are, or nothing has moved for long.
async fn watch(server: &Server, began: Instant) -> anyhow::Result<Vec<(Duration, u64)>> {
    let mut curve = vec![(Duration::ZERO, 0)];
    let mut moved = Instant::now();
    loop {
        tokio::time::sleep(SAMPLE).await;
        let done = server
            .metric(
                "alert_manager_deliveries_total{handler=\"bench-handler-000\",outcome=\"done\"}",
            )
            .await?;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a counter"
        )]
        let done = done as u64;
        if curve.last().is_some_and(|(_, before)| *before < done) {
            moved = Instant::now();
        }
        curve.push((began.elapsed(), done));
        if done >= ALERTS {
            server.settled().await?;
            return Ok(curve);
        }
        if moved.elapsed() > Duration::from_secs(30) {
            return Ok(curve);
        }
    }
}

/// Returns deliveries a second between two shares of the storm.
#[allow(
    clippy::cast_precision_loss,
    reason = "a rate over counts that are far from the limit"
)]
fn rate(curve: &[(Duration, u64)], from: f64, to: f64) -> f64 {
    let at = |share: f64| {
        let wanted = share * ALERTS as f64;
        curve
            .iter()
            .find(|(_, done)| *done as f64 >= wanted)
            .or(curve.last())
            .copied()
            .unwrap_or_default()
    };
    let ((from_time, from_done), (to_time, to_done)) = (at(from), at(to));
    (to_done - from_done) as f64 / (to_time - from_time).as_secs_f64()
}

/// Copies the one finished delivery of a store many times, with its alert, its run and its event.
fn fill(rig: &Rig, count: u64) -> anyhow::Result<()> {
    let store = rusqlite::Connection::open(rig.store())?;
    store.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -200000; BEGIN;")?;
    store.execute_batch(&format!(
        "CREATE TEMP TABLE n AS WITH RECURSIVE n(i) AS (
             SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) SELECT i FROM n;"
    ))?;
    for (table, key, other) in [
        ("deliveries", "id", "fingerprint = fingerprint + i"),
        ("alerts", "id", ""),
        ("runs", "delivery", ""),
        ("events", "", "fingerprint = fingerprint + i"),
    ] {
        copy(&store, table, key, other)?;
    }
    store.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE);")?;
    Ok(())
}

/// Copies each row of a table once for each number, the key made smaller by it.
fn copy(store: &rusqlite::Connection, table: &str, key: &str, other: &str) -> anyhow::Result<()> {
    let columns: Vec<String> = store
        .prepare(&format!("SELECT name FROM pragma_table_info('{table}')"))?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let (changed, to) = other.split_once(" = ").unwrap_or_default();
    let values: Vec<String> = columns
        .iter()
        .map(|column| match column {
            column if column == key => format!("{column} - i"),
            column if column == changed => to.to_owned(),
            column => column.clone(),
        })
        .collect();
    store.execute_batch(&format!(
        "INSERT INTO {table} ({}) SELECT {} FROM {table}, n ORDER BY i DESC;",
        columns.join(", "),
        values.join(", ")
    ))?;
    Ok(())
}
