//! What was decided in a transaction: it becomes true with the commit, or is undone.

use alert_manager_core::alert::DeliveryId;

use crate::model::clock::Ticks;

use super::{Phase, Scheduler};

/// What a provisional step was, for [`Scheduler::rollback`].
#[derive(Clone, Copy, Debug)]
pub(super) enum Provisional {
    Admitted(DeliveryId),
    Granted(DeliveryId),
    Withdrawn(DeliveryId),
    Revoked(DeliveryId, bool),
}

impl Scheduler {
    /// Makes every provisional step true.
    pub(crate) fn commit(&mut self, now: Ticks) {
        for step in std::mem::take(&mut self.provisional) {
            match step {
                Provisional::Admitted(id) => match self.item(id).phase {
                    Phase::Staged { leased: true } => self.begin(id),
                    _ => {
                        let item = self.item(id);
                        item.phase = Phase::Waiting;
                        item.waits_since = now;
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
                Provisional::Revoked(..) => {}
            }
        }
    }

    /// Undoes every provisional step.
    pub(crate) fn rollback(&mut self, now: Ticks) {
        for step in std::mem::take(&mut self.provisional).into_iter().rev() {
            match step {
                Provisional::Admitted(id) => {
                    let item = self.item(id);
                    let (handler, permit) =
                        (item.handler, item.phase == Phase::Staged { leased: true });
                    if permit {
                        self.handlers[handler].taken -= 1;
                    }
                    self.remove(id, now);
                }
                Provisional::Granted(id) => {
                    let item = self.item(id);
                    item.phase = Phase::Waiting;
                    item.leases -= 1;
                    let handler = item.handler;
                    self.handlers[handler].taken -= 1;
                    self.gates.end_lease(id);
                    self.enqueue(id, now);
                }
                Provisional::Withdrawn(id) => {
                    self.item(id).phase = Phase::Waiting;
                    if self.is_next(id) {
                        self.enqueue(id, now);
                    }
                }
                Provisional::Revoked(id, started) => {
                    self.item(id).phase = Phase::Leased { started };
                }
            }
        }
    }
}
