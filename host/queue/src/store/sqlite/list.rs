//! Lists of deliveries. What no index finds is looked for in slices, until the time of one page is over.

use std::time::Instant;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params_from_iter};

use crate::model::clock::millis_up;
use crate::model::{Bounds, Delivery, Filter, Page, State};

use crate::store::pages::{LIST_MAX, Span, page as page_of, state};

use super::codes::{priority_code, reason_code, state_code};
use super::labels::pair;
use super::listed::{self, LISTED, has_labels};

/// How many deliveries are looked at before the time is looked at: the first slice, and the most. Each is twice the one before.
const SLICE: (u32, u32) = (500, 4_000);

// Not parameters: `SQLite` uses a partial index only if its condition is in the text.
const ALL: &str = "deliveries NOT INDEXED WHERE true";
const BY_ALERTNAME: &str = "deliveries INDEXED BY deliveries_alertname WHERE alertname = ?";
const UNSETTLED: &str = "deliveries INDEXED BY deliveries_unsettled WHERE state < 3";
const DEAD: &str = "deliveries INDEXED BY deliveries_dead WHERE state = 4";

/// Which deliveries a list goes through, and by which index.
struct Source {
    from: &'static str,
    /// The alertname, if it goes by that.
    alertname: Option<String>,
}

/// Conditions in SQL, and their values in order.
#[derive(Default)]
struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    fn add(&mut self, condition: &str, value: impl Into<Value>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.values.push(value.into());
    }
}

/// Returns a page of deliveries.
pub(super) fn page(conn: &Connection, filter: &Filter, bounds: &Bounds) -> rusqlite::Result<Page> {
    let began = Instant::now();
    let limit = filter.limit.clamp(1, LIST_MAX) as usize;
    let (source, conditions) = (Source::of(filter), conditions(filter));
    let mut span = Span::of(filter);
    let (mut deliveries, mut tested, mut size) = (Vec::new(), 0, SLICE.0);
    loop {
        let (slice, rest) = span.split(source.end_of_slice(conn, span, size)?);
        let sql = format!(
            "SELECT {LISTED} FROM {} AND id >= ? AND id < ?{} ORDER BY id {}",
            source.from,
            conditions.sql,
            span.order()
        );
        let mut values: Vec<Value> = source.alertname.iter().cloned().map(Into::into).collect();
        values.extend([slice.low.into(), slice.high.into()]);
        values.extend(conditions.values.iter().cloned());
        let mut statement = conn.prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(values), listed::read)?;
        for delivery in rows {
            let delivery = delivery?;
            if deliveries.len() == limit {
                let seen = deliveries.last().map(|last: &Delivery| last.id);
                return Ok(page_of(filter, deliveries, seen));
            }
            let id = delivery.id;
            let Some(test) = &filter.labels else {
                deliveries.push(delivery);
                continue;
            };
            tested += 1;
            if !delivery.fingerprint.is_empty() && has_labels(conn, id, test)? {
                deliveries.push(delivery);
            }
            if tested == bounds.labels_tested_max || began.elapsed() >= bounds.scan_max {
                return Ok(page_of(filter, deliveries, Some(id)));
            }
        }
        let Some(rest) = rest else {
            return Ok(page_of(filter, deliveries, None));
        };
        if began.elapsed() >= bounds.scan_max {
            return Ok(page_of(filter, deliveries, Some(rest.edge())));
        }
        (span, size) = (rest, (size * 2).min(SLICE.1));
    }
}

/// Returns what is asked for besides that.
fn conditions(filter: &Filter) -> Conditions {
    let mut asked = Conditions::default();
    if let Some(state) = state(filter) {
        asked.add("state = ?", state_code(state));
    }
    if let Some(reason) = filter.reason {
        asked.add("reason = ?", reason_code(reason));
    }
    if let Some(priority) = filter.priority {
        asked.add("priority = ?", priority_code(priority));
    }
    if let Some(alertname) = &filter.alertname {
        asked.add("alertname = ?", alertname.clone());
    }
    if let Some(route) = &filter.route {
        asked.add("route = ?", route.clone());
    }
    if let Some(handler) = &filter.handler {
        asked.add("instr(handlers, ?) > 0", format!(",{handler},"));
    }
    if let Some(fingerprint) = filter.fingerprint {
        asked.add("fingerprint = ?", fingerprint.0.cast_signed());
    }
    if let Some(ids) = &filter.ids {
        let ids: Vec<i64> = ids.iter().map(|id| id.as_raw()).collect();
        let json = serde_json::Value::from(ids).to_string();
        asked.add("id IN (SELECT value FROM json_each(?))", json);
    }
    for (name, value) in filter.labels.iter().flat_map(|test| test.has_all()) {
        // Deliveries of earlier layouts have no hashes.
        asked.add(
            "(labels IS NULL OR instr(labels, ?) > 0)",
            pair(name, value).to_vec(),
        );
    }
    if let Some(from) = filter.from {
        asked.add("accepted_at >= ?", millis_up(from));
    }
    if let Some(to) = filter.to {
        asked.add("accepted_at < ?", millis_up(to));
    }
    if let Some(from) = filter.ended_from {
        asked.add("(settled_at IS NULL OR settled_at >= ?)", millis_up(from));
    }
    if filter.is_own {
        asked.sql.push_str(" AND representative IS NULL");
    }
    asked
}

impl Source {
    fn of(filter: &Filter) -> Self {
        let from = match (state(filter), &filter.alertname) {
            (None, _) if filter.ids.is_some() => UNSETTLED,
            (Some(State::Dead), _) => DEAD,
            (Some(State::Queued | State::Running | State::Retrying), _) => UNSETTLED,
            (Some(State::Done) | None, Some(_)) => BY_ALERTNAME,
            (Some(State::Done) | None, None) => ALL,
        };
        Self {
            from,
            alertname: filter.alertname.clone().filter(|_| from == BY_ALERTNAME),
        }
    }

    /// Returns the last delivery of a slice of so many; nothing if there are not more.
    fn end_of_slice(
        &self,
        conn: &Connection,
        span: Span,
        size: u32,
    ) -> rusqlite::Result<Option<i64>> {
        let mut values: Vec<Value> = self.alertname.iter().cloned().map(Into::into).collect();
        let offset = i64::from(size - 1);
        values.extend([span.low.into(), span.high.into(), offset.into()]);
        conn.prepare_cached(&format!(
            "SELECT id FROM {} AND id >= ? AND id < ? ORDER BY id {} LIMIT 1 OFFSET ?",
            self.from,
            span.order()
        ))?
        .query_row(params_from_iter(values), |row| row.get(0))
        .optional()
    }
}
