//! Decisions of the transaction under way: they take effect when it commits, and are undone if it is rolled back.

use alert_manager_core::alert::DeliveryId;

use crate::model::clock::Ticks;

use super::{Phase, Scheduler};

/// A decision that is not committed yet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Provisional {
    Admitted(DeliveryId),
    Granted(DeliveryId),
    Withdrawn(DeliveryId),
    Revoked {
        id: DeliveryId,
        /// True if a worker had started it.
        was_started: bool,
    },
    /// A generation was formed, by its representative.
    Formed(DeliveryId),
    /// A firing runs with its resolved.
    RunsWith(DeliveryId),
    /// A member came with its representative, which was retried.
    Adopted(DeliveryId),
    /// A delivery has left its storm, which had so many before.
    LeftStorm {
        storm: DeliveryId,
        count: u64,
        resolved: u64,
    },
    /// A resolved has left this storm with its firing.
    ResolvedLeft {
        id: DeliveryId,
        storm: DeliveryId,
    },
    /// A member was cancelled, and of which representative.
    Left(DeliveryId, DeliveryId),
}

impl Scheduler {
    /// Puts every provisional decision into effect.
    pub(crate) fn commit(&mut self, now: Ticks) {
        for decision in std::mem::take(&mut self.provisional) {
            match decision {
                Provisional::Admitted(id) => match self.item(id).phase {
                    Phase::Staged { leased: true } => {
                        self.arrive(id, now);
                        self.begin(id);
                    }
                    _ => {
                        let item = self.item(id);
                        item.phase = Phase::Waiting;
                        item.waits_since = now;
                        self.arrive(id, now);
                        if self.is_next(id) {
                            self.enqueue(id, now);
                        }
                    }
                },
                Provisional::Granted(id) => {
                    if self.item(id).phase == Phase::Granted {
                        self.begin(id);
                    }
                }
                Provisional::Withdrawn(id) => self.remove(id, now),
                Provisional::Left(id, of) => {
                    self.leave_generation(id, of, now);
                    self.remove(id, now);
                }
                Provisional::Formed(id) => self.keep_generation(id),
                Provisional::Revoked { .. }
                | Provisional::RunsWith(_)
                | Provisional::Adopted(_)
                | Provisional::LeftStorm { .. }
                | Provisional::ResolvedLeft { .. } => {}
            }
        }
    }

    /// Undoes every provisional decision, the latest first.
    pub(crate) fn rollback(&mut self, now: Ticks) {
        for decision in std::mem::take(&mut self.provisional).into_iter().rev() {
            match decision {
                Provisional::Admitted(id) => {
                    let item = self.item(id);
                    let handler = item.handler;
                    if item.phase == (Phase::Staged { leased: true }) {
                        self.handlers[handler].permits_taken -= 1;
                    }
                    self.remove(id, now);
                }
                Provisional::Granted(id) => {
                    let item = self.item(id);
                    item.phase = Phase::Waiting;
                    item.leases -= 1;
                    let handler = item.handler;
                    self.handlers[handler].permits_taken -= 1;
                    self.gates.end_lease(id);
                    self.enqueue(id, now);
                }
                Provisional::Withdrawn(id) => {
                    self.item(id).phase = Phase::Waiting;
                    if self.is_next(id) {
                        self.enqueue(id, now);
                    }
                }
                Provisional::Revoked { id, was_started } => {
                    self.item(id).phase = Phase::Leased {
                        started: was_started,
                    };
                }
                Provisional::Formed(id) => self.undo_generation(id, now),
                Provisional::RunsWith(firing) => self.undo_runs_with(firing, now),
                Provisional::Adopted(id) => self.undo_adoption(id, now),
                Provisional::ResolvedLeft { id, storm } => {
                    self.move_to_storm(id, Some(storm), now);
                }
                Provisional::Left(id, of) => self.item(id).phase = Phase::Member { of },
                Provisional::LeftStorm {
                    storm,
                    count,
                    resolved,
                } => self.undo_leaving(storm, count, resolved),
            }
        }
    }
}
