//! The day before the server's: deliveries and aggregates as it would have kept them, so that the views have something to show.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, params};

const QUARTER_MS: i64 = 15 * 60 * 1_000;

/// How many of the low bits of an identifier are no time.
const COUNTER_BITS: i64 = 22;

/// How many alerts came in each hour, the last one first.
const ALERTS: [i64; 24] = [
    6, 5, 7, 9, 14, 31, 12, 8, 6, 5, 4, 4, 7, 11, 19, 16, 12, 9, 8, 6, 5, 3, 3, 4,
];

/// Copies the deliveries of a store that are done over the day before, and counts them. No server has it open.
pub(crate) fn fill(store: &Path) {
    let store = Connection::open(store).unwrap();
    let sources: Vec<i64> = store
        .prepare("SELECT id FROM deliveries WHERE state = 3 ORDER BY id")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let now_ms = Timestamp::now().as_millisecond();
    let mut count = 0;
    for (hour, alerts) in (0..).zip(ALERTS) {
        for n in 0..alerts {
            // Not before the last quarter of an hour, which is the server's own.
            let at_ms = now_ms - QUARTER_MS - hour * 4 * QUARTER_MS - n * 4 * QUARTER_MS / alerts;
            let source = sources[usize::try_from(count).unwrap() % sources.len()];
            let took_ms = 40 + (count * 37) % 400 + if hour == 5 { 2_500 } else { 0 };
            copy(&store, source, count, (at_ms, took_ms));
            add(&store, at_ms, (0, "accepted"), 0);
            add(&store, at_ms + took_ms, (2, "handled"), took_ms);
            count += 1;
        }
    }
}

/// Copies a delivery to another time.
fn copy(store: &Connection, source: i64, n: i64, (at_ms, took_ms): (i64, i64)) {
    for table in ["deliveries", "alerts"] {
        let columns: Vec<String> = store
            .prepare(&format!("SELECT name FROM pragma_table_info('{table}')"))
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let values = columns.iter().map(|column| match column.as_str() {
            "id" => ((at_ms << COUNTER_BITS) + n).to_string(),
            "accepted_at" => at_ms.to_string(),
            "settled_at" => (at_ms + took_ms).to_string(),
            other => other.to_owned(),
        });
        let values: Vec<_> = values.collect();
        store
            .execute_batch(&format!(
                "INSERT INTO {table} ({}) SELECT {} FROM {table} WHERE id = {source}",
                columns.join(", "),
                values.join(", ")
            ))
            .unwrap();
    }
}

/// Counts one more of something in its minute, with the time that it took.
fn add(store: &Connection, at_ms: i64, (kind, key): (i64, &str), took_ms: i64) {
    let start = at_ms / 60_000;
    let bucket = usize::try_from(i64::BITS - took_ms.leading_zeros()).unwrap();
    let known = store.query_row(
        "SELECT histogram FROM activity WHERE length = 1 AND kind = ?1 AND start = ?2 AND key = ?3",
        params![kind, start, key],
        |row| row.get::<_, Vec<u8>>(0),
    );
    let mut histogram = known.unwrap_or_else(|_| vec![0; if took_ms == 0 { 0 } else { 4 * 24 }]);
    if took_ms > 0 {
        let place = 4 * bucket..4 * bucket + 4;
        let count = u32::from_be_bytes(histogram[place.clone()].try_into().unwrap());
        histogram[place].copy_from_slice(&(count + 1).to_be_bytes());
    }
    store
        .execute(
            "INSERT INTO activity (length, kind, start, key, count, sum_ms, histogram)
             VALUES (1, ?1, ?2, ?3, 1, ?4, ?5)
             ON CONFLICT (length, kind, start, key)
             DO UPDATE SET count = count + 1, sum_ms = sum_ms + ?4, histogram = ?5",
            params![kind, start, key, took_ms, histogram],
        )
        .unwrap();
}
