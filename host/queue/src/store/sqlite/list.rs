//! Lists of deliveries, newest first. What no index finds is looked for in slices, until the time of one page is over.

use std::time::Instant;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params_from_iter};

use alert_manager_core::alert::DeliveryId;

use crate::model::clock::millis_up;
use crate::model::{Bounds, Delivery, Filter, Page, State};

use crate::store::pages::{LIST_MAX, ids_between, part, state};

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
    let (mut before, oldest) = ids_between(filter);
    let (mut deliveries, mut tested, mut slice) = (Vec::new(), 0, SLICE.0);
    loop {
        let end = source.end_of_slice(conn, before, oldest, slice)?;
        let down_to = end.map_or(oldest, |end| end.max(oldest));
        let sql = format!(
            "SELECT {LISTED} FROM {} AND id >= ? AND id < ?{} ORDER BY id DESC",
            source.from, conditions.sql
        );
        let mut values: Vec<Value> = source.alertname.iter().cloned().map(Into::into).collect();
        values.extend([down_to.into(), before.into()]);
        values.extend(conditions.values.iter().cloned());
        let mut statement = conn.prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(values), listed::read)?;
        for delivery in rows {
            let delivery = delivery?;
            if deliveries.len() == limit {
                let next = deliveries.last().map(|last: &Delivery| last.id);
                return Ok(part(deliveries, next));
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
                return Ok(part(deliveries, Some(id)));
            }
        }
        match end {
            Some(end) if end > oldest => before = end,
            _ => return Ok(part(deliveries, None)),
        }
        if began.elapsed() >= bounds.scan_max {
            return Ok(part(deliveries, Some(DeliveryId::from_raw(before))));
        }
        slice = (slice * 2).min(SLICE.1);
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

    /// Returns the last delivery of a slice of so many before `before`; nothing if there are not more.
    fn end_of_slice(
        &self,
        conn: &Connection,
        before: i64,
        oldest: i64,
        slice: u32,
    ) -> rusqlite::Result<Option<i64>> {
        let mut values: Vec<Value> = self.alertname.iter().cloned().map(Into::into).collect();
        values.extend([oldest.into(), before.into(), i64::from(slice - 1).into()]);
        conn.prepare_cached(&format!(
            "SELECT id FROM {} AND id >= ? AND id < ? ORDER BY id DESC LIMIT 1 OFFSET ?",
            self.from
        ))?
        .query_row(params_from_iter(values), |row| row.get(0))
        .optional()
    }
}
