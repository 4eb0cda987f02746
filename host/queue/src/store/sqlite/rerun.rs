//! Decides what becomes of a known event that is sent again, on each of its routes.

use std::sync::Arc;

use crate::model::Accepted;
use crate::model::Reason;
use alert_manager_core::plan::Plan;

use super::accept::Arrival;
use super::committer::{Committer, Group};
use super::memory::{Memory, Run};
use super::rows::Stored;
use super::schema::DEAD;
use super::settle::Reviver;

impl Committer {
    /// A known event comes again: a dead delivery of it is revived, and one that ran long enough ago
    /// runs again as a reminder. Returns nothing where it is a duplicate on this route, else the route on which it runs.
    pub(super) fn run_again(
        &mut self,
        group: &mut Group,
        new: &Arrival<'_>,
        plan: &Plan,
        memory: &mut Memory,
    ) -> rusqlite::Result<Option<(Arc<str>, Accepted)>> {
        if let Some(earlier) = self.earlier_run(new, plan, memory)? {
            if earlier.stored.is_some() && earlier.on != RunOn::Beside {
                // From now on the memory knows it without the delivery, which retention may remove.
                let stays_dead = matches!(earlier.if_dead(plan), Some(IfDead::Stays));
                memory.set_stays_dead(earlier.run.delivery, stays_dead);
            }
            let is_open = self.shared.scheduler.lock().contains(earlier.run.delivery);
            if is_open && earlier.on != RunOn::Beside {
                return Ok(None);
            }
            match earlier.if_dead(plan) {
                Some(IfDead::Stays) => return Ok(None),
                Some(IfDead::Revives(stored)) => {
                    if !self.shared.scheduler.lock().has_room(&stored.pipeline) {
                        return Ok(None);
                    }
                    self.revive(group, stored, Reviver::Resend)?;
                    let accepted = Accepted {
                        id: stored.id,
                        handlers: stored.pipeline.clone(),
                    };
                    return Ok(Some((stored.route.as_str().into(), accepted)));
                }
                Some(IfDead::RunsAnew) => {}
                None => {
                    let ended = earlier.stored.as_ref().and_then(|s| s.settled_at);
                    if !earlier.run.is_due(plan.repeat_after, ended, group.now) {
                        return Ok(None);
                    }
                }
            }
        }
        let accepted = self.insert(group, new, plan)?;
        Ok(Some((Arc::clone(&plan.route), accepted)))
    }

    /// Returns the run that a route of a known event goes by: its own last one. A route that is new to the event goes by a
    /// run on a route that the alert no longer takes, since the configuration was edited: by that with the same handlers, or
    /// with no others, or by a dead one, or by the latest; of equals by a dead one that may run again. Else it goes by the latest run on any route: to rename or add a
    /// route must not send everything again.
    fn earlier_run(
        &self,
        new: &Arrival<'_>,
        plan: &Plan,
        memory: &Memory,
    ) -> rusqlite::Result<Option<EarlierRun>> {
        let load = |run: Run, on| {
            Ok::<_, rusqlite::Error>(EarlierRun {
                run,
                on,
                stored: Stored::load(&self.conn, run.delivery)?,
            })
        };
        if let Some(run) = memory.run_on(&plan.route) {
            return load(run, RunOn::Same).map(Some);
        }
        let mut gone = Vec::new();
        for run in memory.runs_off(new.plans.iter().map(|plan| &*plan.route)) {
            gone.push(load(run, RunOn::Gone)?);
        }
        // The first of equals counts.
        let best = (0..gone.len()).min_by_key(|place| {
            let stored = gone[*place].stored.as_ref();
            let handlers = match stored {
                Some(stored) if stored.pipeline == plan.handlers => 0,
                Some(stored) if stored.pipeline.iter().all(|h| plan.handlers.contains(h)) => 1,
                Some(stored) if stored.state == DEAD => 2,
                _ => 3,
            };
            let is_lost = stored.is_some_and(|stored| is_lost(stored, &gone[..*place]));
            (handlers, !is_lost)
        });
        match (best, memory.latest()) {
            (Some(best), _) => Ok(Some(gone.swap_remove(best))),
            (None, Some(latest)) => load(latest, RunOn::Beside).map(Some),
            (None, None) => Ok(None),
        }
    }
}

/// Returns true if a delivery is dead and neither had its second chance nor was replaced by a younger one: if two routes are
/// merged, a dead delivery on one of them is not made good by what the other one did.
fn is_lost(dead: &Stored, younger: &[EarlierRun]) -> bool {
    let mut younger = younger.iter().filter_map(|earlier| earlier.stored.as_ref());
    dead.state == DEAD && !dead.resent && younger.all(|other| other.beside.has(&dead.route))
}

/// On which route a known event ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RunOn {
    /// On the route that is asked about.
    Same,
    /// On one that the alert no longer takes.
    Gone,
    /// On another one that it takes.
    Beside,
}

/// The run that decides about a known event.
struct EarlierRun {
    run: Run,
    on: RunOn,
    /// Absent where retention has removed it.
    stored: Option<Stored>,
}

/// What a re-send does about a dead delivery.
enum IfDead<'a> {
    /// It is a duplicate.
    Stays,
    /// The delivery goes on with its record.
    Revives(&'a Stored),
    /// The route that replaces the delivery's own runs the event as a delivery of its own.
    RunsAnew,
}

impl EarlierRun {
    /// Decides what becomes of a dead delivery; nothing where it is not dead, or is to be treated like one that is done.
    fn if_dead(&self, plan: &Plan) -> Option<IfDead<'_>> {
        if self.on == RunOn::Beside {
            return None;
        }
        if self.stored.is_none() && self.run.stays_dead {
            return Some(IfDead::Stays);
        }
        let dead = self.stored.as_ref().filter(|s| s.state == DEAD)?;
        let has = |handler| plan.handlers.contains(handler);
        let is_edited = self.on == RunOn::Gone;
        let killed = dead.reason == Some(Reason::Died);
        let cancelled = dead.reason == Some(Reason::Cancelled);
        // What killed the server must not run by itself again, on whatever route, unless none of its handlers is left.
        let may_kill = killed && (!is_edited || dead.pipeline.iter().any(has));
        if cancelled || may_kill {
            return Some(IfDead::Stays);
        }
        // A pipeline is fixed: one with a handler that the operator has taken out is not run.
        if is_edited && !dead.pipeline.iter().all(has) {
            return Some(IfDead::RunsAnew);
        }
        // A second death is for a person, and after `repeat_after` it is time for a reminder.
        (!dead.resent).then_some(IfDead::Revives(dead))
    }
}
