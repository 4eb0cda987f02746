//! Writes changes to the tables: all of a transaction are sent together, with one statement for each frequent kind.
//!
//! Changes are made in order. Those of frequent kinds are gathered, and their kinds are written one after the other in the order of
//! [`Kind`]; a change of an earlier kind to a delivery that has one of a later kind begins a new batch.

use std::collections::{BTreeMap, HashMap, HashSet};

use alert_manager_core::alert::{DeliveryId, Timestamp};
use alert_manager_core::journal::Entry;

use crate::model::{CrashOutcome, Lease, NewDelivery, Reason};
use crate::store::codes::{DEAD, QUEUED, RUNNING, reason_code};
use crate::store::{Applied, Change, Revive, Settle, SettleMembers, StoreError};

use super::batch::{self, RunRow};
use super::session::{Call, args};
use super::txn::PostgresTxn;
use super::values::Columns as _;
use super::{
    activity, audit, gates, grants, history, meta, refused, rows, storms, timers, unreported,
};

/// The kinds of changes that are gathered, in the order in which a batch writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Insert,
    Journal,
    Progress,
    Settle,
    Grant,
}

/// Which answers a statement gives.
enum Answers {
    /// The attempts of the settled deliveries, each with the place of its answer.
    Settled(HashMap<i64, usize>),
    /// The number of members, for the answer at this place.
    Members(usize),
}

/// The statements of some changes.
#[derive(Default)]
struct Statements<'c> {
    calls: Vec<Call<'c>>,
    /// By the place of the statement.
    answers: Vec<(usize, Answers)>,
    batch: Batch<'c>,
}

/// Gathered changes.
#[derive(Default)]
struct Batch<'c> {
    latest: HashMap<DeliveryId, Kind>,
    inserts: Vec<&'c NewDelivery<'c>>,
    /// An entry with the number of an earlier one replaces it: it is the same call.
    journal: BTreeMap<(i64, u32, u32), &'c Entry>,
    progress: Vec<RunRow<'c>>,
    settles: Vec<(usize, &'c Settle<'c>)>,
    grants: Vec<Lease>,
}

impl<'c> Statements<'c> {
    fn push(&mut self, call: Call<'c>) {
        self.calls.push(call);
    }

    /// Begins a new batch if a change of this kind must not come before one that is gathered.
    fn gather(&mut self, id: DeliveryId, kind: Kind) -> &mut Batch<'c> {
        let latest = self.batch.latest.get(&id).copied();
        if latest > Some(kind) || (latest == Some(kind) && kind != Kind::Journal) {
            self.write_batch();
        }
        self.batch.latest.insert(id, kind);
        &mut self.batch
    }

    /// Writes what is gathered, so that a change to any delivery may follow.
    fn write_batch(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let calls = &mut self.calls;
        if !batch.inserts.is_empty() {
            batch::insert(&batch.inserts, calls);
        }
        if !batch.journal.is_empty() {
            calls.push(batch::journal(&batch.journal));
        }
        batch::put_runs(&batch.progress, calls);
        if !batch.settles.is_empty() {
            let run = |(_, settle): &(usize, &'c Settle<'c>)| RunRow::of(settle);
            let runs: Vec<_> = batch.settles.iter().map(run).collect();
            batch::put_runs(&runs, calls);
            let settles: Vec<_> = batch.settles.iter().map(|(_, settle)| *settle).collect();
            let places = batch.settles.iter();
            let places = places.map(|(at, settle)| (settle.lease.id.as_raw(), *at));
            self.answers
                .push((calls.len(), Answers::Settled(places.collect())));
            calls.push(batch::settle(&settles));
        }
        if !batch.grants.is_empty() {
            calls.push(batch::grant(&batch.grants));
        }
    }
}

impl PostgresTxn<'_> {
    /// Makes changes in order, and appends their results.
    pub(super) fn make(
        &mut self,
        changes: &[Change<'_>],
        answers: &mut Vec<Applied>,
    ) -> Result<(), StoreError> {
        let first = answers.len();
        let held = self.leases_held(changes)?;
        let mut statements = Statements::default();
        for change in changes {
            let is_fenced = match change {
                // It is over already.
                Change::Grant(_) | Change::Lose { .. } => false,
                other => other.lease().is_some_and(|lease| !held.contains(&lease)),
            };
            if is_fenced {
                answers.push(Applied::Fenced);
                continue;
            }
            let at = answers.len();
            answers.push(Applied::Done);
            self.state(change, at, &mut statements)?;
        }
        statements.write_batch();
        let results = self.store.session()?.together(&statements.calls)?;
        for (call, of) in statements.answers {
            match of {
                Answers::Settled(places) => {
                    for at in places.values() {
                        answers[*at] = Applied::Fenced;
                    }
                    for row in &results[call] {
                        if let Some(at) = places.get(&row.int(0)?) {
                            let attempts = row.count(1)?;
                            answers[*at] = Applied::Settled { attempts };
                        }
                    }
                }
                Answers::Members(at) => {
                    let count = results[call].first().map_or(Ok(0), |row| row.int(0))?;
                    let count = count.unsigned_abs();
                    answers[at] = Applied::Members { count };
                }
            }
        }
        debug_assert_eq!(answers.len(), first + changes.len());
        Ok(())
    }

    /// Returns those leases under which changes are to be made that are still valid, and locks their deliveries, so that no other
    /// server grants them again before the end of the transaction.
    fn leases_held(&self, changes: &[Change<'_>]) -> Result<HashSet<Lease>, StoreError> {
        let under = |change: &Change<'_>| match change {
            Change::Grant(_) | Change::Lose { .. } => None,
            other => other.lease(),
        };
        let leases: HashSet<Lease> = changes.iter().filter_map(under).collect();
        if leases.is_empty() {
            return Ok(leases);
        }
        let mut ids: Vec<i64> = leases.iter().map(|lease| lease.id.as_raw()).collect();
        ids.sort_unstable();
        ids.dedup();
        let found = self.store.session()?.query(
            "SELECT id, leases FROM deliveries WHERE id = ANY($1) ORDER BY id FOR SHARE",
            &[&ids],
        )?;
        let numbers = found
            .iter()
            .map(|row| Ok((row.int(0)?, row.count(1)?)))
            .collect::<Result<HashMap<_, _>, StoreError>>()?;
        // A lease may be granted and used in the same transaction.
        let granted: HashSet<(DeliveryId, u32)> = changes.iter().filter_map(granted).collect();
        let is_held = |lease: &Lease| {
            numbers.get(&lease.id.as_raw()) == Some(&lease.number)
                || granted.contains(&(lease.id, lease.number))
        };
        Ok(leases.into_iter().filter(is_held).collect())
    }

    /// Adds the statements of one change, whose answer is at this place.
    fn state<'c>(
        &mut self,
        change: &'c Change<'c>,
        at: usize,
        to: &mut Statements<'c>,
    ) -> Result<(), StoreError> {
        match change {
            Change::Insert(new) => to.gather(new.id, Kind::Insert).inserts.push(new),
            Change::Grant(lease) => to.gather(lease.id, Kind::Grant).grants.push(*lease),
            Change::Progress { lease, progress } => {
                let run = RunRow::new(lease.id, lease.number, progress);
                to.gather(lease.id, Kind::Progress).progress.push(run);
            }
            Change::PutProgress {
                id,
                lease,
                progress,
            } => {
                let run = RunRow::new(*id, *lease, progress);
                to.gather(*id, Kind::Progress).progress.push(run);
            }
            Change::Settle(settle) => {
                let batch = to.gather(settle.lease.id, Kind::Settle);
                batch.settles.push((at, settle));
            }
            Change::Journal {
                lease,
                step,
                entries,
            } => {
                let batch = to.gather(lease.id, Kind::Journal);
                for entry in &**entries {
                    let key = (lease.id.as_raw(), *step, entry.seq);
                    batch.journal.insert(key, entry);
                }
            }
            Change::Remember(change) => {
                let (store, events) = (&*self.store, &mut self.events);
                events.remember(store.session()?, change)?;
            }
            Change::KeepPart {
                digest,
                kept_as,
                at,
            } => to.push(refused::remember(digest, *kept_as, *at)),
            Change::PartAgain { digest, at } => to.push(refused::seen_again(digest, *at)),
            Change::Unreported {
                class,
                count,
                id,
                died_at,
            } => to.push(unreported::gather(class, *count, *id, *died_at)),
            Change::UnreportedAlone { class, id, at } => {
                to.push(unreported::gather_alone(class, *id, *at));
            }
            Change::Reported { class } => to.push(unreported::forget(class)),
            // A store of this kind has no deaths from before it gathered them.
            Change::EarlierDeathsSeen(_) => {}
            Change::Alarms(fire) => to.push(meta::put_alarms(fire)),
            Change::PutStorm(storm) => to.push(storms::put(storm)),
            Change::CloseStorm { id, at } => to.push(storms::close(*id, *at)),
            Change::CloseGate { name, until_ms } => {
                to.calls.extend(gates::close(name, *until_ms, self.now));
            }
            Change::Over {
                alert,
                ran_as,
                ends_at,
            } => {
                // After the deliveries that are inserted with it.
                to.write_batch();
                to.calls.extend(history::end(alert, ran_as, *ends_at));
            }
            Change::Count(tally) => activity::count(self.store.session()?, tally, self.now)?,
            Change::GrantsUsed(uses) => to.calls.extend(grants::put(uses)),
            Change::Audit(audited) => to.calls.push(audit::put(audited)),
            Change::RemoveTimer(id) => to.push(timers::remove(*id)),
            other => {
                to.write_batch();
                alone(other, at, to);
            }
        }
        Ok(())
    }
}

/// Returns the lease that a change grants: the delivery, and the number.
fn granted(change: &Change<'_>) -> Option<(DeliveryId, u32)> {
    match change {
        Change::Grant(lease) => Some((lease.id, lease.number)),
        Change::Revive(revive) => revive.lease.map(|lease| (lease.id, lease.number)),
        Change::Insert(new) => Some((new.id, new.leases)),
        _ => None,
    }
}

/// Adds the statements of a change to deliveries that is made alone.
fn alone<'c>(change: &'c Change<'c>, at: usize, to: &mut Statements<'c>) {
    match change {
        Change::Lose {
            lease,
            progress,
            story,
        } => lose(*lease, progress, *story, &mut to.calls),
        Change::Revive(revive) => self::revive(revive, &mut to.calls),
        Change::MakeDue { id, progress } => make_due(*id, progress.as_ref(), &mut to.calls),
        Change::Cancel { id, at } => cancel(*id, *at, &mut to.calls),
        Change::Crashed(outcome) => crashed(outcome, &mut to.calls),
        Change::ForgetDeath(id) => to.push(Call::new(
            "UPDATE deliveries SET first_died_at = NULL WHERE id = $1",
            args![id.as_raw()],
        )),
        Change::Coalesce {
            representative,
            storm,
            members,
            merged,
            resolves,
        } => {
            let calls = storms::coalesce(*representative, *storm, members, merged, resolves);
            to.calls.extend(calls);
        }
        Change::SettleMembers(settle) => settle_members(settle, at, to),
        Change::HandOver { from, to: next } => to.calls.extend(storms::hand_over(*from, *next)),
        Change::LeaveStorm(id) => to.push(storms::leave(*id)),
        Change::ReviveMembers {
            representative,
            at,
            resent,
        } => to.push(storms::revive_members(*representative, *at, *resent)),
        // All other kinds are written in batches, or to other tables.
        _ => {}
    }
}

fn settle_members<'c>(settle: &'c SettleMembers, at: usize, to: &mut Statements<'c>) {
    // The first statement returns how many there are. If the delivery itself ends, no members do, and the second returns nothing.
    let place = to.calls.len() + usize::from(settle.itself);
    to.answers.push((place, Answers::Members(at)));
    to.calls.extend(storms::settle_members(settle));
}

fn lose<'c>(lease: Lease, progress: &'c str, story: Option<&'c str>, calls: &mut Vec<Call<'c>>) {
    let run = RunRow {
        story,
        ..RunRow::new(lease.id, lease.number, progress)
    };
    // Only if the delivery is still stored.
    batch::put_runs_of_stored(&[run], calls);
    calls.push(Call::new(
        "UPDATE deliveries SET attempts = attempts + $2 WHERE id = $1",
        args![lease.id.as_raw(), i64::from(story.is_some())],
    ));
}

fn make_due<'c>(id: DeliveryId, progress: Option<&'c (u32, String)>, calls: &mut Vec<Call<'c>>) {
    if let Some((lease, progress)) = progress {
        batch::put_runs(&[RunRow::new(id, *lease, progress)], calls);
    }
    calls.push(Call::new(
        "UPDATE deliveries SET state = $2, not_before = NULL, waits_for = NULL WHERE id = $1",
        args![id.as_raw(), QUEUED],
    ));
}

fn cancel(id: DeliveryId, at: Timestamp, calls: &mut Vec<Call<'_>>) {
    calls.push(Call::new(
        "UPDATE deliveries SET state = $2, settled_at = $3, not_before = NULL, waits_for = NULL,
             parked = 0, last_error = $4, reason = $5
         WHERE id = $1",
        args![
            id.as_raw(),
            DEAD,
            at.as_millisecond(),
            Reason::Cancelled.as_str(),
            reason_code(Reason::Cancelled),
        ],
    ));
    calls.push(rows::measure(vec![id.as_raw()]));
}

fn revive<'c>(revive: &'c Revive, calls: &mut Vec<Call<'c>>) {
    if let Some((lease, progress)) = &revive.progress {
        batch::put_runs(&[RunRow::new(revive.id, *lease, progress)], calls);
    }
    let state = match revive.lease {
        Some(_) => RUNNING,
        None => QUEUED,
    };
    calls.push(Call::new(
        "UPDATE deliveries SET state = $2, leases = leases + $3, deaths = 0, suspected = 0,
             resent = $6, first_died_at = CASE WHEN $6 THEN first_died_at END,
             revived_at = $4, settled_at = NULL, not_before = NULL, waits_for = NULL, next_handler = $5,
             last_error = NULL, reason = NULL, bytes = NULL, storm_key = NULL
         WHERE id = $1",
        args![
            revive.id.as_raw(),
            state,
            i64::from(revive.lease.is_some()),
            revive.at.as_millisecond(),
            revive.handler.as_str(),
            revive.resent,
        ],
    ));
}

fn crashed(outcome: &CrashOutcome, calls: &mut Vec<Call<'_>>) {
    calls.push(Call::new(
        "UPDATE deliveries SET deaths = deaths + $2, after_crash = after_crash OR $3,
             suspected = suspected + $4, state = $5, parked = 0
         WHERE id = $1",
        args![
            outcome.id.as_raw(),
            i64::from(outcome.is_blamed),
            outcome.was_started,
            i64::from(outcome.died.is_none()),
            QUEUED,
        ],
    ));
    if let Some((at, why)) = outcome.died {
        calls.push(Call::new(
            "UPDATE deliveries SET state = $2, settled_at = $3, last_error = $4, reason = $5,
                 first_died_at = coalesce(first_died_at, $3)
             WHERE id = $1",
            args![
                outcome.id.as_raw(),
                DEAD,
                at.as_millisecond(),
                why,
                reason_code(Reason::Died),
            ],
        ));
        calls.push(rows::measure(vec![outcome.id.as_raw()]));
    }
}

impl<'c> RunRow<'c> {
    fn new(id: DeliveryId, lease: u32, progress: &'c str) -> Self {
        Self {
            id,
            lease,
            progress,
            story: None,
        }
    }

    fn of(settle: &'c Settle<'c>) -> Self {
        Self {
            id: settle.lease.id,
            lease: settle.lease.number,
            progress: &settle.progress,
            story: settle.story,
        }
    }
}
