//! Writes changes to the tables. Only a change that ends a lease checks that the lease is valid: no other server can have granted
//! one on the same file.

use rusqlite::params;

use alert_manager_core::alert::{DeliveryId, Timestamp};

use crate::model::{CrashOutcome, EventChange, Lease, Reason, Remember, State};
use crate::store::{Applied, Change, Revive, Settle};

use super::codes::{DEAD, QUEUED, RUNNING, parking_code, reason_code, state_code};
use super::txn::SqliteTxn;
use super::{
    audit, gates, grants, history, journal, meta, refused, rows, storms, timers, unreported,
};

impl SqliteTxn<'_> {
    /// Makes one change.
    pub(super) fn make(&mut self, change: &Change<'_>) -> rusqlite::Result<Applied> {
        // Events are gathered in memory, and a grant changes a page that is written in any case.
        let is_row = !matches!(change, Change::Remember(_) | Change::Grant(_));
        self.written += usize::from(is_row);
        let store = &mut *self.store;
        let conn = &store.conn;
        match change {
            Change::Insert(new) => {
                rows::insert(conn, new)?;
                store.last_id = store.last_id.max(new.id.as_raw());
                if new.state == State::Dead {
                    rows::measure_dead(conn, new.id)?;
                }
            }
            Change::Grant(lease) => {
                conn.prepare_cached(
                    "UPDATE deliveries SET state = ?2, leases = ?3, not_before = NULL, waits_for = NULL WHERE id = ?1",
                )?
                .execute(params![lease.id.as_raw(), RUNNING, lease.number])?;
            }
            Change::Progress { lease, progress } => {
                rows::put_run(conn, lease.id, lease.number, progress, None)?;
            }
            Change::PutProgress {
                id,
                lease,
                progress,
            } => rows::put_run(conn, *id, *lease, progress, None)?,
            Change::Settle(settle) => return self.settle(settle),
            Change::Lose {
                lease,
                progress,
                story,
            } => self.lose(*lease, progress, *story)?,
            Change::Journal {
                lease,
                step,
                entries,
            } => journal::append(conn, lease.id, *step, entries)?,
            Change::Revive(revive) => self.revive(revive)?,
            Change::MakeDue { id, progress } => self.make_due(*id, progress.as_ref())?,
            Change::Cancel { id, at } => self.cancel(*id, *at)?,
            Change::Crashed(outcome) => self.crashed(outcome)?,
            Change::Remember(change) => self.remember(change)?,
            Change::KeepPart {
                digest,
                kept_as,
                at,
            } => refused::remember(conn, digest, *kept_as, *at)?,
            Change::PartAgain { digest, at } => refused::seen_again(conn, digest, *at)?,
            Change::Unreported {
                class,
                count,
                id,
                died_at,
            } => {
                unreported::gather(conn, class, *count, *id, *died_at)?;
            }
            Change::UnreportedAlone { class, id, at } => {
                unreported::gather_alone(conn, class, *id, *at)?;
            }
            Change::Reported { class } => unreported::forget(conn, class)?,
            Change::ForgetDeath(id) => rows::forget_death(conn, *id)?,
            Change::EarlierDeathsSeen(last) => unreported::seen_earlier(conn, *last)?,
            Change::Alarms(fire) => meta::put_alarms(conn, fire)?,
            Change::Coalesce {
                representative,
                storm,
                members,
                merged,
                resolves,
            } => {
                self.written += members.len();
                storms::coalesce(conn, *representative, *storm, members, merged, resolves)?;
            }
            Change::SettleMembers(settle) => {
                return Ok(match storms::settle_members(conn, settle)? {
                    Some(count) => {
                        self.written += usize::try_from(count).unwrap_or(usize::MAX);
                        Applied::Members { count }
                    }
                    None => Applied::Fenced,
                });
            }
            Change::HandOver { from, to } => storms::hand_over(conn, *from, *to)?,
            Change::LeaveStorm(id) => storms::leave(conn, *id)?,
            Change::ReviveMembers {
                representative,
                at,
                resent,
            } => storms::revive_members(conn, *representative, *at, *resent)?,
            Change::PutStorm(storm) => storms::put(conn, storm)?,
            Change::CloseStorm { id, at } => storms::close(conn, *id, *at)?,
            Change::CloseGate { name, until_ms } => gates::close(conn, name, *until_ms, self.now)?,
            Change::Over {
                alert,
                ran_as,
                ends_at,
            } => history::end(conn, alert, ran_as, *ends_at)?,
            Change::Count(tally) => store.activity.stage(tally, self.now),
            Change::GrantsUsed(uses) => grants::put(conn, uses)?,
            Change::Audit(audited) => audit::put(conn, audited)?,
            Change::RemoveTimer(id) => timers::remove(conn, &mut store.timer_usage, *id)?,
        }
        Ok(Applied::Done)
    }

    fn settle(&mut self, settle: &Settle<'_>) -> rusqlite::Result<Applied> {
        let conn = &self.store.conn;
        let (lease, after) = (settle.lease, &settle.after);
        let attempts = conn
            .prepare_cached(
                "UPDATE deliveries SET state = ?2, settled_at = ?3, not_before = ?4,
                     next_handler = ?5, attempts = attempts + ?6, last_error = ?7, after_crash = 0,
                     waits_for = ?9, reason = ?10, parked = ?12,
                     suspected = suspected * ?8,
                     first_died_at = CASE ?2 WHEN 4 THEN coalesce(first_died_at, ?3)
                                             ELSE first_died_at END
                 WHERE id = ?1 AND leases = ?11 RETURNING attempts",
            )?
            .query_row(
                params![
                    lease.id.as_raw(),
                    state_code(after.state),
                    after.settled_at.map(Timestamp::as_millisecond),
                    after.not_before,
                    after.next_handler.map(|handler| handler.as_str()),
                    settle.story.is_some(),
                    settle.last_error,
                    after.yields,
                    rows::waits_for_text(after.waits_for),
                    after.reason.map(reason_code),
                    lease.number,
                    parking_code(after.parking),
                ],
                |row| row.get(0),
            );
        let attempts = match attempts {
            Ok(attempts) => attempts,
            Err(rusqlite::Error::QueryReturnedNoRows) => return Ok(Applied::Fenced),
            Err(error) => return Err(error),
        };
        rows::put_run(conn, lease.id, lease.number, &settle.progress, settle.story)?;
        if after.state == State::Dead {
            rows::measure_dead(conn, lease.id)?;
        }
        Ok(Applied::Settled { attempts })
    }

    fn lose(&self, lease: Lease, progress: &str, story: Option<&str>) -> rusqlite::Result<()> {
        let conn = &self.store.conn;
        if rows::exists(conn, lease.id)? {
            rows::put_run(conn, lease.id, lease.number, progress, story)?;
            conn.prepare_cached("UPDATE deliveries SET attempts = attempts + ?2 WHERE id = ?1")?
                .execute(params![lease.id.as_raw(), story.is_some()])?;
        }
        Ok(())
    }

    fn make_due(&self, id: DeliveryId, progress: Option<&(u32, String)>) -> rusqlite::Result<()> {
        let conn = &self.store.conn;
        if let Some((lease, progress)) = progress {
            rows::put_run(conn, id, *lease, progress, None)?;
        }
        conn.prepare_cached(
            "UPDATE deliveries SET state = ?2, not_before = NULL, waits_for = NULL WHERE id = ?1",
        )?
        .execute(params![id.as_raw(), QUEUED])?;
        Ok(())
    }

    fn cancel(&self, id: DeliveryId, at: Timestamp) -> rusqlite::Result<()> {
        let conn = &self.store.conn;
        conn.prepare_cached(
            "UPDATE deliveries SET state = ?2, settled_at = ?3, not_before = NULL, waits_for = NULL,
                 parked = 0, last_error = ?4, reason = ?5
             WHERE id = ?1",
        )?
        .execute(params![
            id.as_raw(),
            DEAD,
            at.as_millisecond(),
            Reason::Cancelled.as_str(),
            reason_code(Reason::Cancelled),
        ])?;
        rows::measure_dead(conn, id)
    }

    fn revive(&self, revive: &Revive) -> rusqlite::Result<()> {
        let conn = &self.store.conn;
        if let Some((lease, progress)) = &revive.progress {
            rows::put_run(conn, revive.id, *lease, progress, None)?;
        }
        let state = match revive.lease {
            Some(_) => RUNNING,
            None => QUEUED,
        };
        conn.prepare_cached(
            "UPDATE deliveries SET state = ?2, leases = leases + ?3, deaths = 0, suspected = 0,
                 resent = ?6, first_died_at = CASE WHEN ?6 THEN first_died_at END,
                 revived_at = ?4, settled_at = NULL, not_before = NULL, waits_for = NULL, next_handler = ?5,
                 last_error = NULL, reason = NULL, dead_bytes = NULL, storm_key = NULL
             WHERE id = ?1",
        )?
        .execute(params![
            revive.id.as_raw(),
            state,
            revive.lease.is_some(),
            revive.at.as_millisecond(),
            revive.handler.as_str(),
            revive.resent,
        ])?;
        Ok(())
    }

    fn crashed(&self, outcome: &CrashOutcome) -> rusqlite::Result<()> {
        let conn = &self.store.conn;
        conn.prepare_cached(
            "UPDATE deliveries SET deaths = deaths + ?2, after_crash = after_crash OR ?3,
                 suspected = suspected + ?4, state = ?5, parked = 0
             WHERE id = ?1",
        )?
        .execute(params![
            outcome.id.as_raw(),
            outcome.is_blamed,
            outcome.was_started,
            outcome.died.is_none(),
            QUEUED,
        ])?;
        if let Some((at, why)) = outcome.died {
            conn.prepare_cached(
                "UPDATE deliveries SET state = ?2, settled_at = ?3, last_error = ?4, reason = ?5,
                     first_died_at = coalesce(first_died_at, ?3)
                 WHERE id = ?1",
            )?
            .execute(params![
                outcome.id.as_raw(),
                DEAD,
                at.as_millisecond(),
                why,
                reason_code(Reason::Died),
            ])?;
            rows::measure_dead(conn, outcome.id)?;
        }
        Ok(())
    }

    fn remember(&mut self, change: &EventChange) -> rusqlite::Result<()> {
        let store = &mut *self.store;
        match &change.what {
            Remember::New { kept, first } => {
                self.new_events += 1;
                store.events.remember(change.event, kept.clone(), *first);
                Ok(())
            }
            again => store
                .events
                .change(&store.conn, change.event, |kept| again.change(kept)),
        }
    }
}
