//! Statements that write many rows of one kind, each column as an array.

use std::collections::BTreeMap;

use alert_manager_core::alert::DeliveryId;
use alert_manager_core::journal::{CallName, Entry};

use crate::model::clock::nanos;
use crate::model::{Lease, NewDelivery, State};
use crate::store::Settle;
use crate::store::codes::{
    RUNNING, effect_code, kind_code, parking_code, priority_code, reason_code, state_code,
    status_code,
};

use crate::store::labels::hashed;

use super::rows::{ROW_BYTES, millis, pipeline_text, stored_bytes_sql, waits_for_text};
use super::session::{Call, args};
use super::values::Stored;

/// The progress of a delivery under a lease, and the story of the lease if there is one.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunRow<'c> {
    pub(super) id: DeliveryId,
    pub(super) lease: u32,
    pub(super) progress: &'c str,
    pub(super) story: Option<&'c str>,
}

/// Writes deliveries, and their alerts.
pub(super) fn insert<'c>(new: &[&'c NewDelivery<'c>], calls: &mut Vec<Call<'c>>) {
    fn each<'c, T>(
        new: &[&'c NewDelivery<'c>],
        column: impl Fn(&'c NewDelivery<'c>) -> T,
    ) -> Vec<T> {
        new.iter().map(|new| column(new)).collect()
    }
    let bytes = |new: &NewDelivery<'_>| match new.state {
        State::Done | State::Dead => Some(ROW_BYTES + new.json.len() as i64),
        _ => None,
    };
    let ids = each(new, |new| new.id.as_raw());
    calls.push(Call::new(
        "INSERT INTO deliveries (id, state, leases, priority, status, fingerprint, starts_at,
             accepted_at, settled_at, alertname, route, handlers, last_error, occurrence,
             beside, reason, storm_key, storm, timer_key, set_by, bytes, labels)
         SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
             $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::text[], $11::text[],
             $12::text[], $13::text[], $14::bigint[], $15::text[], $16::bigint[], $17::text[],
             $18::bigint[], $19::text[], $20::bigint[], $21::bigint[], $22::bytea[])",
        args![
            ids.clone(),
            each(new, |new| state_code(new.state)),
            each(new, |new| i64::from(new.leases)),
            each(new, |new| priority_code(new.priority)),
            each(new, |new| new.status.map(status_code)),
            each(new, |new| new.fingerprint.map(|f| f.0.cast_signed())),
            each(new, |new| new.starts_at.map(nanos)),
            each(new, |new| new.accepted_at.as_millisecond()),
            each(new, |new| millis(new.settled_at)),
            each(new, |new| Stored(&new.alertname)),
            each(new, |new| Stored(&new.route)),
            each(new, |new| pipeline_text(&new.pipeline)),
            each(new, |new| new.last_error.as_deref().map(Stored)),
            each(new, |new| i64::from(new.occurrence.as_raw())),
            each(new, |new| new.other_routes.to_text()),
            each(new, |new| new.reason.map(reason_code)),
            each(new, |new| new.storm_key.as_deref().map(Stored)),
            each(new, |new| new.storm.map(DeliveryId::as_raw)),
            each(new, |new| new
                .timer
                .as_ref()
                .map(|timer| Stored(&timer.due.key))),
            each(new, |new| new
                .timer
                .as_ref()
                .map(|timer| timer.due.set_by.as_raw())),
            each(new, bytes),
            each(new, |new| new
                .alert
                .as_ref()
                .map(|alert| hashed(&alert.labels))),
        ],
    ));
    calls.push(Call::new(
        "INSERT INTO alerts (id, json) SELECT * FROM unnest($1::bigint[], $2::text[])",
        args![ids, each(new, |new| Stored(&new.json))],
    ));
    let of_timers = new.iter().filter_map(|new| {
        let timer = new.timer.as_ref()?;
        Some(RunRow {
            id: new.id,
            lease: 0,
            progress: &timer.progress,
            story: None,
        })
    });
    put_runs(&of_timers.collect::<Vec<_>>(), calls);
}

/// Appends calls to the records of steps, by delivery, step and number.
pub(super) fn journal<'c>(entries: &BTreeMap<(i64, u32, u32), &'c Entry>) -> Call<'c> {
    fn each<'c, T>(
        entries: &BTreeMap<(i64, u32, u32), &'c Entry>,
        column: impl Fn(&'c Entry) -> T,
    ) -> Vec<T> {
        entries.values().map(|entry| column(entry)).collect()
    }
    let keys = entries.keys();
    Call::new(
        "INSERT INTO journal
             (delivery, step, seq, kind, keyed, name, effect, request, result, reply, at, clock)
         SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bool[],
             $6::text[], $7::bigint[], $8::text[], $9::text[], $10::text[], $11::bigint[], $12::bigint[])
         ON CONFLICT (delivery, step, seq) DO UPDATE SET
             kind = excluded.kind, keyed = excluded.keyed, name = excluded.name,
             effect = excluded.effect, request = excluded.request, result = excluded.result,
             reply = excluded.reply, at = excluded.at, clock = excluded.clock",
        args![
            keys.clone().map(|key| key.0).collect::<Vec<_>>(),
            keys.clone().map(|key| i64::from(key.1)).collect::<Vec<_>>(),
            keys.map(|key| i64::from(key.2)).collect::<Vec<_>>(),
            each(entries, |entry| kind_code(entry.kind)),
            each(entries, |entry| matches!(entry.name, CallName::Key(_))),
            each(entries, |entry| match &entry.name {
                CallName::Key(name) | CallName::Digest(name) => Stored(name),
            }),
            each(entries, effect_code),
            each(entries, |entry| Stored(&entry.request)),
            each(entries, |entry| Stored(&entry.result)),
            each(entries, |entry| Stored(&entry.reply)),
            each(entries, |entry| nanos(entry.at)),
            each(entries, |entry| nanos(entry.clock)),
        ],
    )
}

/// Ends leases. The statement returns the number of attempts of each that was valid.
pub(super) fn settle<'c>(settles: &[&'c Settle<'c>]) -> Call<'c> {
    fn each<'c, T>(settles: &[&'c Settle<'c>], column: impl Fn(&'c Settle<'c>) -> T) -> Vec<T> {
        settles.iter().map(|settle| column(settle)).collect()
    }
    let bytes = stored_bytes_sql();
    Call::new(
        format!(
            "UPDATE deliveries d SET state = v.state, settled_at = v.settled_at, not_before = v.not_before,
                 next_handler = v.next_handler, attempts = d.attempts + v.is_attempt::int,
                 last_error = v.last_error, after_crash = false, waits_for = v.waits_for,
                 reason = v.reason, parked = v.parked,
                 suspected = CASE WHEN v.yields THEN d.suspected ELSE 0 END,
                 first_died_at = CASE v.state WHEN 4 THEN coalesce(d.first_died_at, v.settled_at)
                                              ELSE d.first_died_at END,
                 bytes = CASE WHEN v.state >= 3 THEN {bytes} END
             FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
                 $6::text[], $7::bool[], $8::text[], $9::bool[], $10::text[], $11::bigint[], $12::bigint[])
                 AS v(id, lease, state, settled_at, not_before, next_handler, is_attempt, last_error,
                      yields, waits_for, reason, parked)
             WHERE d.id = ANY($1) AND d.id = v.id AND d.leases = v.lease
             RETURNING d.id, d.attempts"
        ),
        args![
            each(settles, |settle| settle.lease.id.as_raw()),
            each(settles, |settle| i64::from(settle.lease.number)),
            each(settles, |settle| state_code(settle.after.state)),
            each(settles, |settle| millis(settle.after.settled_at)),
            each(settles, |settle| settle.after.not_before),
            each(settles, |settle| settle
                .after
                .next_handler
                .map(|handler| handler.as_str())),
            each(settles, |settle| settle.story.is_some()),
            each(settles, |settle| settle.last_error.map(Stored)),
            each(settles, |settle| settle.after.yields),
            each(settles, |settle| waits_for_text(settle.after.waits_for)),
            each(settles, |settle| settle.after.reason.map(reason_code)),
            each(settles, |settle| parking_code(settle.after.parking)),
        ],
    )
}

/// Stores leases.
pub(super) fn grant<'c>(leases: &[Lease]) -> Call<'c> {
    let ids: Vec<_> = leases.iter().map(|lease| lease.id.as_raw()).collect();
    let numbers: Vec<_> = leases.iter().map(|lease| i64::from(lease.number)).collect();
    Call::new(
        "UPDATE deliveries d SET state = $3, leases = v.lease, not_before = NULL, waits_for = NULL
         FROM unnest($1::bigint[], $2::bigint[]) AS v(id, lease)
         WHERE d.id = ANY($1) AND d.id = v.id",
        args![ids, numbers, RUNNING],
    )
}

/// How many of a delivery's first leases, and of its last, keep their stories.
const STORIES_FIRST_MAX: u32 = 3;
const STORIES_LAST_MAX: u32 = 20;

/// Stores the progress of deliveries under their latest leases, and the stories of those. Each delivery comes once.
pub(super) fn put_runs<'c>(runs: &[RunRow<'c>], calls: &mut Vec<Call<'c>>) {
    put(runs, "", calls);
}

/// The same, without what is not stored any more.
pub(super) fn put_runs_of_stored<'c>(runs: &[RunRow<'c>], calls: &mut Vec<Call<'c>>) {
    let is_stored = "WHERE EXISTS (SELECT 1 FROM deliveries d WHERE d.id = v.id)";
    put(runs, is_stored, calls);
}

fn put<'c>(runs: &[RunRow<'c>], condition: &str, calls: &mut Vec<Call<'c>>) {
    if runs.is_empty() {
        return;
    }
    let again: Vec<_> = runs.iter().filter(|run| run.lease > 1).collect();
    if !again.is_empty() {
        let ids: Vec<_> = again.iter().map(|run| run.id.as_raw()).collect();
        let leases: Vec<_> = again.iter().map(|run| i64::from(run.lease)).collect();
        calls.push(Call::new(
            "INSERT INTO earlier_runs (delivery, lease, story)
             SELECT r.delivery, r.lease, r.story FROM runs r
             JOIN unnest($1::bigint[], $2::bigint[]) AS v(id, lease) ON v.id = r.delivery
             WHERE r.delivery = ANY($1) AND r.lease < v.lease AND r.story IS NOT NULL
             ON CONFLICT DO NOTHING",
            args![ids, leases],
        ));
    }
    for run in again {
        if run.lease > STORIES_FIRST_MAX + STORIES_LAST_MAX {
            calls.push(Call::new(
                "DELETE FROM earlier_runs WHERE delivery = $1 AND lease > $2 AND lease <= $3",
                args![
                    run.id.as_raw(),
                    i64::from(STORIES_FIRST_MAX),
                    i64::from(run.lease - STORIES_LAST_MAX),
                ],
            ));
        }
    }
    calls.push(Call::new(
        format!(
            "INSERT INTO runs AS r (delivery, lease, progress, story)
             SELECT v.* FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[])
                 AS v(id, lease, progress, story) {condition}
             ON CONFLICT (delivery) DO UPDATE SET
                 progress = excluded.progress,
                 story = CASE r.lease WHEN excluded.lease THEN coalesce(excluded.story, r.story)
                                      ELSE excluded.story END,
                 lease = excluded.lease"
        ),
        args![
            runs.iter().map(|run| run.id.as_raw()).collect::<Vec<_>>(),
            runs.iter()
                .map(|run| i64::from(run.lease))
                .collect::<Vec<_>>(),
            runs.iter()
                .map(|run| Stored(run.progress))
                .collect::<Vec<_>>(),
            runs.iter()
                .map(|run| run.story.map(Stored))
                .collect::<Vec<_>>(),
        ],
    ));
}
