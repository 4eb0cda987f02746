//! How deliveries pass gates, wait at them, and have their turn.

use alert_manager_core::alert::{DeliveryId, HandlerName};
use alert_manager_core::gate::{GateAsk, GateName, GateRate, Parked, Pass};

use crate::model::clock::Ticks;
use crate::model::{Lease, UpdateOrder};

use super::gates::{Alike, Names, names, number_of};
use super::turn::Class;
use super::{Phase, Scheduler};

/// Where a delivery waits for its turn.
#[derive(Clone, Debug)]
pub(super) struct AtGate {
    /// The gate that was closed to it.
    pub(super) gate: GateName,
    /// All that it has to pass.
    names: Names,
    /// Whose permit it needs if another step of it is due first.
    other_step_handler: usize,
}

/// When the lease ends under which something is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeaseEnds {
    /// With that.
    Now,
    /// Later, if there is one.
    Later,
}

impl AtGate {
    /// Returns the gates that it has to pass.
    pub(super) fn names(&self) -> &[GateName] {
        &self.names
    }

    /// Returns the group that it waits in.
    pub(super) fn alike(&self, handler: usize) -> Alike {
        (handler, self.names.clone())
    }
}

impl Scheduler {
    /// Lets a call of a leased delivery pass its gates, or has the delivery wait for its turn once its lease has ended. Returns
    /// nothing if the lease does not stand.
    pub(crate) fn pass(&mut self, lease: Lease, asks: &[GateAsk], now: Ticks) -> Option<Pass> {
        let id = lease.id;
        let item = self.leased(lease)?;
        if !matches!(item.phase, Phase::Leased { .. }) {
            return None;
        }
        let rank = (item.rank, id);
        self.gates.know(asks, now);
        let is_message = |ask: &&GateAsk| matches!(ask.name, GateName::SlackMessage(_));
        for ask in asks.iter().filter(is_message) {
            if !self.update(lease, &ask.name, now) {
                self.gates.end_lease(id);
                return Some(Pass::Superseded);
            }
        }
        let pass = self.gates.pass(rank, asks, now);
        if pass == Pass::Granted {
            for ask in asks.iter().filter(is_message) {
                let earlier = self.gates.update_sent(id, lease.number, &ask.name);
                self.outdated.extend(earlier);
            }
        }
        Some(pass)
    }

    /// Notes that a delivery asks for an update of a message, and releases those that wait with an earlier one: they need not make
    /// theirs. Returns false if it is such a one itself.
    fn update(&mut self, lease: Lease, message: &GateName, now: Ticks) -> bool {
        let id = lease.id;
        let decided = self.update_number(id);
        let is_latest = self.gates.ask_update(id, lease.number, message, decided);
        self.has_update_of(id, message);
        if is_latest {
            for (_, earlier) in self.gates.waiting_at(message) {
                self.dequeue(earlier);
                self.stop_waiting(earlier);
                let item = self.item(earlier);
                item.at_gate = None;
                item.due = Ticks::MIN;
                self.enqueue(earlier, now);
            }
        }
        is_latest
    }

    /// Returns the number of the updates of what stands for a storm; nothing if it stands for none.
    fn update_number(&self, id: DeliveryId) -> Option<u64> {
        let own = self.items[&id].storm.as_ref();
        // One that had nobody else to stand for is no generation any more after a restart.
        let belongs = own.is_some_and(|own| own.belongs_to_storm());
        let number = self.storms.update_of(id);
        number.or_else(|| belongs.then(|| number_of(id)))
    }

    fn has_update_of(&mut self, id: DeliveryId, message: &GateName) {
        let item = self.item(id);
        if !item.messages.contains(message) {
            item.messages.push(message.clone());
        }
    }

    /// Notes that an update is on record that was sent under a lease: what the delivery asks for next is another.
    pub(crate) fn update_made(&mut self, lease: Lease, message: &GateName) {
        self.gates.update_made(lease.id, lease.number, message);
    }

    /// Returns the deliveries of which it is to be stored that a later update was sent than theirs, once each.
    pub(crate) fn take_outdated(&mut self) -> Vec<DeliveryId> {
        std::mem::take(&mut self.outdated)
    }

    /// Returns the updates that a delivery has asked for and that are not on record; nothing if it has asked for none.
    pub(crate) fn updates_of(&self, id: DeliveryId, ends: LeaseEnds) -> Option<Vec<UpdateOrder>> {
        let item = self.items.get(&id).filter(|i| !i.messages.is_empty())?;
        let is_under_way = ends == LeaseEnds::Later && item.is_leased();
        let under_way = is_under_way.then_some(item.leases);
        let messages = item.messages.iter();
        let updates = messages.filter_map(|m| self.gates.update_of(id, m, under_way));
        Some(updates.collect())
    }

    /// Takes up the updates that a delivery had asked for before this process started.
    pub(crate) fn recall_updates(&mut self, id: DeliveryId, stored: &[UpdateOrder]) {
        if self.items.contains_key(&id) {
            for update in stored {
                self.gates.recall_update(id, update);
                self.has_update_of(id, &update.message);
            }
        }
    }

    /// Numbers the updates that are asked for from now on higher than those that an earlier process has stored.
    pub(crate) fn number_updates_from(&mut self, number: u64) {
        self.gates.number_updates_from(number);
    }

    /// Returns when each of these gates is open and has a token, as far as it is known now.
    pub(crate) fn opens_at(&self, asks: &[GateAsk], now: Ticks) -> Ticks {
        self.gates.opens_at(&names(asks), now)
    }

    /// Gives the gates that are known other rates. What waits at them has its turn by those.
    pub(crate) fn set_gate_rates(
        &mut self,
        rate_of: impl Fn(&GateName) -> Option<GateRate>,
        now: Ticks,
    ) {
        self.gates.set_rates(rate_of, now);
    }

    /// Closes a gate for all, for so many milliseconds.
    pub(crate) fn close_gate(&mut self, gate: &GateAsk, wait_ms: Ticks, now: Ticks) {
        self.gates.close(gate, now.saturating_add(wait_ms), now);
    }

    /// Closes a gate that was closed when the last process ended.
    pub(crate) fn restore_gate(&mut self, name: &GateName, until: Ticks) {
        self.gates.close_known(name, until);
    }

    /// Has a delivery wait at a gate whose lease has ended.
    pub(super) fn park(
        &mut self,
        id: DeliveryId,
        parked: &Parked,
        due: Option<(Ticks, HandlerName)>,
        now: Ticks,
    ) {
        self.gates.know(&parked.asks, now);
        for ask in &parked.asks {
            self.gates.update_waits(id, &ask.name);
        }
        let due = due.map(|(at, handler)| (at, self.handler_key(&handler)));
        let item = self.item(id);
        item.at_gate = Some(AtGate {
            gate: parked.gate.name.clone(),
            names: names(&parked.asks),
            other_step_handler: due.map_or(item.handler, |(_, handler)| handler),
        });
        if let Some((at, _)) = due {
            item.due = at;
        }
    }

    /// Puts a parked delivery where it waits for its turn.
    pub(super) fn wait_at_gate(&mut self, id: DeliveryId, now: Ticks) {
        let item = &self.items[&id];
        if let Some(at) = &item.at_gate {
            let (alike, rank) = (at.alike(item.handler), (item.rank, id));
            self.gates.wait(&alike, rank, now);
        }
    }

    /// Another step of a parked delivery is due: it waits for a permit for that.
    pub(super) fn leave_gate(&mut self, id: DeliveryId) {
        let item = self.item(id);
        let (handler, rank) = (item.handler, (item.rank, id));
        if let Some(at) = item.at_gate.take() {
            self.gates.leave(&at.alike(handler), rank);
            self.move_to(id, at.other_step_handler);
        }
    }

    /// Takes out the parked delivery of a class that is next.
    pub(super) fn pick_parked(&mut self, class: Class, now: Ticks) -> Option<DeliveryId> {
        let handlers = &self.handlers;
        self.gates.pick(class, now, |handler, priority| {
            handlers[handler].has_permit(priority)
        })
    }
}

#[cfg(test)]
mod tests;
