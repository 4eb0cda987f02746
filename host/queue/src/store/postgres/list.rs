//! Lists of deliveries. What no index finds is looked for in slices, until the time of one page is over.

use std::fmt::Write as _;
use std::time::Instant;

use tokio_postgres::types::ToSql;

use crate::model::clock::millis_up;
use crate::model::{Bounds, Delivery, Filter, Page, State};
use crate::store::StoreError;
use crate::store::codes::{priority_code, reason_code};
use crate::store::labels::pair;
use crate::store::pages::{LIST_MAX, Span, page as page_of, state};

use super::listed::{DELIVERY, DELIVERY_COLUMNS, has_labels, read_delivery};
use super::session::Session;
use super::values::{Columns as _, Stored};

/// How many deliveries are looked at before the time is looked at: the first slice, and the most. Each is twice the one before.
const SLICE: (i64, i64) = (500, 16_000);

type Arg<'f> = Box<dyn ToSql + Sync + 'f>;

/// Conditions in SQL, and their arguments in order.
struct Conditions<'f> {
    sql: String,
    args: Vec<Arg<'f>>,
    /// How many arguments come before these.
    after: usize,
}

impl<'f> Conditions<'f> {
    fn after(after: usize) -> Self {
        Self {
            sql: String::new(),
            args: Vec::new(),
            after,
        }
    }

    /// Adds a condition, in which `?` is the argument.
    fn add(&mut self, condition: &str, arg: impl ToSql + Sync + 'f) {
        self.args.push(Box::new(arg));
        let place = format!("${}", self.after + self.args.len());
        // Cannot fail.
        let _ = write!(self.sql, " AND {}", condition.replace('?', &place));
    }
}

/// Returns a page of deliveries.
pub(super) fn page(
    session: &Session,
    filter: &Filter,
    bounds: &Bounds,
) -> Result<Page, StoreError> {
    let began = Instant::now();
    let limit = filter.limit.clamp(1, LIST_MAX) as usize;
    let source = source(filter);
    let mut span = Span::of(filter);
    let (mut deliveries, mut tested, mut size) = (Vec::new(), 0, SLICE.0);
    let asked = conditions(filter);
    let json = match filter.labels {
        Some(_) => ", (SELECT json FROM alerts WHERE alerts.id = deliveries.id)",
        None => "",
    };
    let sql = format!(
        "SELECT {DELIVERY}{json} FROM deliveries WHERE {} AND id >= $1 AND id < $2{}
         ORDER BY id {} LIMIT $3",
        source.sql,
        asked.sql,
        span.order()
    );
    loop {
        let (slice, rest) = span.split(end_of_slice(session, filter, span, size)?);
        let rows_max = match filter.labels {
            Some(_) => SLICE.1,
            None => i64::from(LIST_MAX) + 1,
        };
        let found = {
            let mut args: Vec<&(dyn ToSql + Sync)> = vec![&slice.low, &slice.high, &rows_max];
            args.extend(asked.args.iter().map(|arg| &**arg as &(dyn ToSql + Sync)));
            session.query(sql.clone(), &args)?
        };
        for row in &found {
            let delivery = read_delivery(row)?;
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
            let json = row.maybe_text(DELIVERY_COLUMNS)?.unwrap_or_default();
            if !delivery.fingerprint.is_empty() && has_labels(&json, test) {
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

/// Returns what is asked for besides the source. The first three arguments of a page are others.
fn conditions(filter: &Filter) -> Conditions<'_> {
    let mut asked = Conditions::after(3);
    if let Some(reason) = filter.reason {
        asked.add("reason = ?", reason_code(reason));
    }
    if let Some(priority) = filter.priority {
        asked.add("priority = ?", priority_code(priority));
    }
    if let Some(alertname) = &filter.alertname {
        asked.add("alertname = ?", Stored(alertname));
    }
    if let Some(route) = &filter.route {
        asked.add("route = ?", Stored(route));
    }
    if let Some(handler) = &filter.handler {
        asked.add("strpos(handlers, ?) > 0", format!(",{handler},"));
    }
    if let Some(fingerprint) = filter.fingerprint {
        asked.add("fingerprint = ?", fingerprint.0.cast_signed());
    }
    if let Some(ids) = &filter.ids {
        let ids: Vec<i64> = ids.iter().map(|id| id.as_raw()).collect();
        asked.add("id = ANY(?)", ids);
    }
    for (name, value) in filter.labels.iter().flat_map(|test| test.has_all()) {
        let pair = pair(name, value).to_vec();
        asked.add("(labels IS NULL OR position(? IN labels) > 0)", pair);
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

/// Which deliveries a list goes through.
struct Source {
    /// A condition that an index has.
    sql: &'static str,
    is_by_name: bool,
}

fn source(filter: &Filter) -> Source {
    // Not an argument: a partial index is used only if its condition is in the text.
    let (sql, is_by_name) = match state(filter) {
        Some(State::Queued) => ("state < 3 AND state = 0", false),
        Some(State::Running) => ("state < 3 AND state = 1", false),
        Some(State::Retrying) => ("state < 3 AND state = 2", false),
        Some(State::Dead) => ("state = 4", false),
        Some(State::Done) => ("state = 3", true),
        None if filter.ids.is_some() => ("state < 3", false),
        None => ("true", true),
    };
    Source { sql, is_by_name }
}

/// Returns the last delivery of a slice of so many; nothing if there are not more.
fn end_of_slice(
    session: &Session,
    filter: &Filter,
    span: Span,
    size: i64,
) -> Result<Option<i64>, StoreError> {
    let source = source(filter);
    let alertname = filter.alertname.as_deref().filter(|_| source.is_by_name);
    let offset = size - 1;
    let mut args: Vec<&(dyn ToSql + Sync)> = vec![&span.low, &span.high, &offset];
    let alertname = alertname.map(Stored);
    let by_name = match &alertname {
        Some(alertname) => {
            args.push(alertname);
            " AND alertname = $4"
        }
        None => "",
    };
    let sql = format!(
        "SELECT id FROM deliveries WHERE {} AND id >= $1 AND id < $2{by_name}
         ORDER BY id {} LIMIT 1 OFFSET $3",
        source.sql,
        span.order()
    );
    let found = session.first(sql, &args)?;
    found.map(|row| row.int(0)).transpose()
}
