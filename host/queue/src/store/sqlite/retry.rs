//! Sends many deliveries again that are dead, or wait for another try: a slice in each transaction, so that senders do not wait for all of it, and no more than
//! leaves room in the queue for what is new.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension as _};
use tokio::sync::oneshot;

use crate::model::RetryError;
use crate::model::{Rest, RestReason, Retried, Selected};
use alert_manager_core::alert::DeliveryId;

use super::committer::{Committer, Group};
use super::reader::{self, Chosen, Lane};
use super::rows::{self, Stored};
use super::schema::{DEAD, DONE, has_run};
use super::settle::Reviver;

/// The most of one transaction that goes into this.
const SLICE_MAX: usize = 256;
const SLICE_TIME_MAX: Duration = Duration::from_millis(10);

/// After so long with no room for the next one, the rest is left.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(1);

/// After so long in all the rest is left: clients wait for 30 s.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(15);

/// Deliveries that are left with their reasons; the others are counted.
const LEFT_MAX: usize = 1_000;

/// What is later than dead deliveries and waits for them: of the same fingerprint, on the same route or on one that its alert
/// did not take together with it.
#[derive(Debug)]
pub(crate) struct Tails {
    /// By fingerprint, then by the route of the dead ones.
    keys: HashMap<i64, Vec<(String, Tail)>>,
    /// Everything up to this one was looked at.
    scanned_to: i64,
    /// How often that was read on.
    reads: u64,
}

#[derive(Debug, Default)]
struct Tail {
    /// The last one that has run.
    ran: i64,
    /// Those that had not when they were looked at, in order.
    open: Vec<Open>,
    /// Those that were dead then: each may be sent again at any time, and waits for none of the others.
    dead: Vec<i64>,
    /// At which read the dead ones were looked at last. Once for each transaction suffices, and for each delivery it would be
    /// too much: there may be thousands of one fingerprint.
    dead_at: u64,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    id: i64,
    /// It is on the route itself: all that come after it wait for it.
    on_route: bool,
}

impl Tails {
    /// Looks at everything after the first of `lanes`.
    pub(super) fn read(conn: &Connection, lanes: &[Lane]) -> rusqlite::Result<Self> {
        let mut keys: HashMap<i64, Vec<(String, Tail)>> = HashMap::new();
        for (_, fingerprint, route) in lanes {
            let routes = keys.entry(fingerprint.0.cast_signed()).or_default();
            if !routes.iter().any(|(known, _)| known == route) {
                routes.push((route.clone(), Tail::default()));
            }
        }
        let first = lanes.first().map_or(i64::MAX, |(id, ..)| id.as_raw());
        let mut tails = Self {
            keys,
            scanned_to: first,
            reads: 0,
        };
        tails.read_on(conn)?;
        Ok(tails)
    }

    /// Looks at what was stored since the last time. To be called in each transaction that asks [`Self::have_passed`].
    fn read_on(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        self.reads += 1;
        let mut statement = conn.prepare_cached(
            "SELECT id, fingerprint, route, state, leases, beside FROM deliveries
             WHERE id > ?1 ORDER BY id",
        )?;
        let mut rows = statement.query([self.scanned_to])?;
        while let Some(row) = rows.next()? {
            let id = row.get(0)?;
            self.scanned_to = id;
            let routes = row
                .get::<_, Option<i64>>(1)?
                .and_then(|fingerprint| self.keys.get_mut(&fingerprint));
            let Some(routes) = routes else {
                continue;
            };
            let route = row.get_ref(2)?.as_str()?;
            let (state, leases) = (row.get(3)?, row.get(4)?);
            let beside = rows::beside_of(row.get_ref(5)?.as_str_or_null()?);
            for (of, tail) in routes {
                if reader::is_apart(of, route, &beside) {
                    continue;
                }
                if has_run(state, leases) {
                    tail.ran = id;
                } else if state < DONE {
                    let on_route = of == route;
                    tail.open.push(Open { id, on_route });
                } else {
                    tail.dead.push(id);
                }
            }
        }
        Ok(())
    }

    /// Returns true if a later one on its ordering key has run.
    fn have_passed(&mut self, conn: &Connection, lane: &Lane) -> rusqlite::Result<bool> {
        let (id, fingerprint, route) = lane;
        let tail = self
            .keys
            .get_mut(&fingerprint.0.cast_signed())
            .and_then(|routes| routes.iter_mut().find(|(known, _)| known == route));
        let Some((_, tail)) = tail else {
            return Ok(false);
        };
        let mut statement =
            conn.prepare_cached("SELECT state, leases FROM deliveries WHERE id = ?1")?;
        let mut state_of = |id: i64| {
            statement
                .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        };
        if tail.dead_at != self.reads {
            tail.dead_at = self.reads;
            let mut still_dead = Vec::new();
            for later in std::mem::take(&mut tail.dead) {
                match state_of(later)? {
                    Some((state, leases)) if has_run(state, leases) => {
                        tail.ran = tail.ran.max(later);
                    }
                    // The lanes come in order: to those that follow, this one is no later one.
                    Some(_) if later > id.as_raw() => still_dead.push(later),
                    _ => {}
                }
            }
            tail.dead = still_dead;
        }
        let mut still_open = Vec::new();
        let mut open = std::mem::take(&mut tail.open).into_iter();
        for later in open.by_ref() {
            let (state, leases) = state_of(later.id)?.unwrap_or((DEAD, 0));
            if has_run(state, leases) {
                tail.ran = tail.ran.max(later.id);
            } else if state < DONE {
                still_open.push(later);
                if later.on_route {
                    break;
                }
            } else {
                tail.dead.push(later.id);
            }
        }
        still_open.extend(open);
        tail.open = still_open;
        Ok(tail.ran > id.as_raw())
    }
}

/// A request to send many again.
#[derive(Debug)]
pub(crate) struct RetryJob {
    chosen: Chosen,
    /// How many of the lanes are done.
    done: usize,
    /// Where another request goes on.
    after: DeliveryId,
    answer: Retried,
    began: Instant,
    /// When the last of them was looked at.
    progressed: Instant,
    waits_for_room: bool,
    reply: oneshot::Sender<Retried>,
}

/// What one transaction did of it.
#[derive(Debug, Default)]
pub(super) struct Slice {
    retried: Vec<DeliveryId>,
    left: Vec<(DeliveryId, RetryError)>,
    no_room: bool,
}

/// What became of one delivery.
enum Tried {
    Sent,
    Left(RetryError),
    NoRoom,
}

impl RetryJob {
    pub(crate) fn new(
        chosen: Chosen,
        after: Option<DeliveryId>,
        reply: oneshot::Sender<Retried>,
    ) -> Self {
        Self {
            chosen,
            done: 0,
            after: after.unwrap_or(DeliveryId::from_raw(0)),
            answer: Retried::default(),
            began: Instant::now(),
            progressed: Instant::now(),
            waits_for_room: false,
            reply,
        }
    }

    /// Returns when it is to be looked at though nothing else happens.
    pub(super) fn deadline(&self) -> Instant {
        if self.waits_for_room {
            self.progressed + ROOM_WAIT_MAX
        } else {
            self.progressed
        }
    }

    /// Notes what is durable now; returns why the rest is left, if the request is to be answered.
    fn advance(&mut self, slice: Slice) -> Option<RestReason> {
        let looked_at = slice.retried.len() + slice.left.len();
        self.done += looked_at;
        let lanes = &self.chosen.lanes;
        let last = lanes[..self.done].last().map(|(last, ..)| *last);
        // Those that were looked at and have other labels are done, too.
        let all = self.chosen.looked_to.filter(|_| self.done == lanes.len());
        self.after = all.or(last).unwrap_or(self.after);
        self.waits_for_room = slice.no_room;
        self.answer.retried.extend(slice.retried);
        for (id, why) in slice.left {
            self.leave(id, &why);
            let counts = &mut self.answer.left_counts;
            match counts.iter_mut().find(|(known, _)| *known == why) {
                Some((_, count)) => *count += 1,
                None => counts.push((why, 1)),
            }
        }
        let now = Instant::now();
        if looked_at > 0 {
            self.progressed = now;
        }
        if slice.no_room && now >= self.deadline() {
            Some(RestReason::Room)
        } else if self.done == self.chosen.lanes.len() || now >= self.began + REQUEST_TIME_MAX {
            Some(RestReason::Time)
        } else {
            None
        }
    }

    fn leave(&mut self, id: DeliveryId, why: &RetryError) {
        if self.answer.left.len() < LEFT_MAX {
            self.answer.left.push((id, why.clone()));
        }
    }

    /// Answers with what was done.
    fn finish(mut self, why: RestReason) {
        let lanes = &self.chosen.lanes[self.done..];
        let rest: Vec<_> = lanes.iter().take(LEFT_MAX).map(|(id, ..)| *id).collect();
        let count = lanes.len() as u64 + self.chosen.beyond;
        if count > 0 {
            let error = RetryError::Unavailable(why.to_string());
            for id in rest {
                self.leave(id, &error);
            }
            self.answer.rest = Some(Rest {
                after: self.after,
                count,
                why,
            });
        }
        // Whoever asked may have gone: what was sent again stays so.
        let _ = self.reply.send(self.answer);
    }
}

impl Committer {
    /// Sends some more of the first job's again.
    pub(super) fn retry_slice(&mut self, group: &mut Group) -> rusqlite::Result<Slice> {
        let Some(mut job) = self.retries.pop_front() else {
            return Ok(Slice::default());
        };
        let slice = self.retry_some(group, &mut job);
        self.retries.push_front(job);
        slice
    }

    fn retry_some(&mut self, group: &mut Group, job: &mut RetryJob) -> rusqlite::Result<Slice> {
        let began = Instant::now();
        let mut slice = Slice::default();
        let Chosen {
            state,
            lanes,
            tails,
            ..
        } = &mut job.chosen;
        tails.read_on(&self.conn)?;
        for lane in lanes[job.done..].iter().take(SLICE_MAX) {
            match self.retry_one(group, lane, *state, tails)? {
                Tried::Sent => slice.retried.push(lane.0),
                Tried::Left(why) => slice.left.push((lane.0, why)),
                Tried::NoRoom => {
                    slice.no_room = true;
                    break;
                }
            }
            if began.elapsed() >= SLICE_TIME_MAX {
                break;
            }
        }
        Ok(slice)
    }

    fn retry_one(
        &mut self,
        group: &mut Group,
        lane: &Lane,
        state: Selected,
        tails: &mut Tails,
    ) -> rusqlite::Result<Tried> {
        let Some(stored) = Stored::load(&self.conn, lane.0)? else {
            return Ok(Tried::Left(RetryError::NotFound));
        };
        match self.hurry(group, &stored)? {
            Ok(true) => return Ok(Tried::Sent),
            Ok(false) => {}
            Err(why) => return Ok(Tried::Left(why)),
        }
        // What waited when it was selected may have died since, and nobody has looked at what is later.
        if state == Selected::Retrying
            || stored.state != DEAD
            || self.shared.scheduler.lock().contains(lane.0)
        {
            return Ok(Tried::Left(RetryError::NotDead));
        }
        if tails.have_passed(&self.conn, lane)? {
            return Ok(Tried::Left(RetryError::Passed));
        }
        let scheduler = self.shared.scheduler.lock();
        if !scheduler.has_room_for_many(&stored.pipeline) {
            return Ok(Tried::NoRoom);
        }
        drop(scheduler);
        self.revive(group, &stored, Reviver::Person)?;
        Ok(Tried::Sent)
    }

    /// A slice is durable.
    pub(super) fn retried(&mut self, slice: Slice) {
        let Some(job) = self.retries.front_mut() else {
            return;
        };
        self.checkpointer
            .written(slice.retried.len() + slice.left.len());
        if let Some(why) = job.advance(slice) {
            self.end_retry(why);
        }
    }

    /// Answers the first job.
    pub(super) fn end_retry(&mut self, why: RestReason) {
        if let Some(job) = self.retries.pop_front() {
            job.finish(why);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::model::clock::from_millis;
    use crate::store::sqlite::rows::NewDelivery;
    use crate::store::sqlite::schema;
    use alert_manager_core::alert::{Fingerprint, Occurrence, Priority, Status};

    fn put_dead(conn: &Connection, id: i64) -> Lane {
        let (at, fingerprint) = (from_millis(id), Fingerprint(1));
        let delivery = NewDelivery {
            id: DeliveryId::from_raw(id),
            state: DEAD,
            leases: 1,
            priority: Priority::Normal,
            status: Some(Status::Firing),
            fingerprint: Some(fingerprint),
            starts_at: Some(at),
            occurrence: Occurrence::FIRST,
            sent_starts_at: None,
            accepted_at: at,
            settled_at: Some(at),
            alertname: "A",
            route: "route",
            beside: None,
            handlers: ",a,",
            reason: None,
            last_error: None,
            json: "{}",
        };
        rows::insert(conn, &delivery).unwrap();
        (delivery.id, fingerprint, "route".into())
    }

    #[test]
    fn a_later_one_that_was_dead_at_first_and_has_run_since_has_passed() {
        let dir = tempfile::tempdir().unwrap();
        let conn = schema::open(&dir.path().join("store.db")).unwrap().conn;
        let lanes: Vec<Lane> = (1..=4).map(|id| put_dead(&conn, id)).collect();
        let mut tails = Tails::read(&conn, &lanes).unwrap();
        let seen = reader::later(&conn, &lanes[..1], 1).unwrap();
        assert!(!tails.have_passed(&conn, &lanes[0]).unwrap());
        // The first of the later ones holds up nothing that was dead before it was revived.
        conn.execute(
            "UPDATE deliveries SET state = 0, leases = 0 WHERE id = 2",
            [],
        )
        .unwrap();
        conn.execute("UPDATE deliveries SET state = 3 WHERE id = 3", [])
            .unwrap();
        tails.read_on(&conn).unwrap();
        for lane in &lanes[..2] {
            assert!(tails.have_passed(&conn, lane).unwrap(), "{lane:?}");
        }
        assert!(!tails.have_passed(&conn, &lanes[3]).unwrap());
        assert!(seen[0].open.contains(&lanes[2].0), "nor for a single one");
    }
}
