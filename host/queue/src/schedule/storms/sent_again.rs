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

    /// Returns true if a delivery stands for a part of this storm, and waits for no other that does.
    fn is_under_way(&self, storm: DeliveryId) -> bool {
        let behind = self.storms.behind.get(&storm);
        let mut generations = self.storms.generations.iter();
        generations.any(|(id, generation)| {
            let waits = behind.is_some_and(|behind| behind.contains(id));
            generation.storm == Some(storm) && !waits
        })
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
