//! Representatives of one storm that are sent again run one after the other: the first posts the message, the others update it.

use alert_manager_core::alert::DeliveryId;

use crate::model::clock::Ticks;

use super::super::Scheduler;

/// How long one waits for another at most, in milliseconds.
const BEHIND_MS_MAX: Ticks = 10 * 60 * 1_000;

impl Scheduler {
    /// Returns when a representative that is sent again is due: now, or once the one of its storm that has not ended is.
    pub(crate) fn due_again(
        &mut self,
        id: DeliveryId,
        storm: Option<DeliveryId>,
        now: Ticks,
    ) -> Ticks {
        match storm.filter(|storm| self.is_under_way(*storm)) {
            Some(storm) => {
                self.storms.behind.entry(storm).or_default().insert(id);
                now + BEHIND_MS_MAX
            }
            None => now,
        }
    }

    /// Returns the representative that one which was sent again waits for.
    pub(in crate::schedule) fn is_behind(&self, id: DeliveryId) -> Option<DeliveryId> {
        let storm = self.storms.generations.get(&id)?.storm?;
        let waits = self.storms.behind.get(&storm)?.contains(&id);
        self.under_way(storm).filter(|_| waits)
    }

    fn is_under_way(&self, storm: DeliveryId) -> bool {
        self.under_way(storm).is_some()
    }

    /// Returns a delivery that stands for a part of this storm, and waits for no other that does.
    fn under_way(&self, storm: DeliveryId) -> Option<DeliveryId> {
        let behind = self.storms.behind.get(&storm);
        let waits = |id: &DeliveryId| behind.is_some_and(|behind| behind.contains(id));
        let mut generations = self.storms.generations.iter();
        let of_storm = generations.find(|(id, of)| of.storm == Some(storm) && !waits(id));
        of_storm.map(|(id, _)| *id)
    }

    /// A part of a storm has ended: the next that was sent again is due.
    pub(super) fn next_sent_again(&mut self, storm: DeliveryId, now: Ticks) {
        if !self.storms.behind.contains_key(&storm) || self.is_under_way(storm) {
            return;
        }
        let Some(mut behind) = self.storms.behind.remove(&storm) else {
            return;
        };
        while let Some(next) = behind.pop_first() {
            if self.is_waiting(next) {
                self.make_due(next, now);
                break;
            }
        }
        if !behind.is_empty() {
            self.storms.behind.insert(storm, behind);
        }
    }
}
