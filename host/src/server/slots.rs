//! Who is connected, what each connection is doing, and which one has to make room.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Kept for loopback peers beyond the limit: probes and the asking commands get in under a flood.
const LOOPBACK_RESERVE: usize = 16;

/// Refusals that may be under way at one time; beyond, a connection is closed without a word.
const REFUSALS_MAX: usize = 64;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Has sent nothing yet.
    Fresh,
    /// Is sending the headers of a request.
    Head,
    /// A request is being answered.
    Busy,
    /// Waits for the next request.
    Idle,
}

/// One connection, as the others see it.
#[derive(Debug)]
pub(super) struct Slot {
    phase: AtomicU8,
    /// When the phase began, in milliseconds since the registry was made.
    since_ms: AtomicU64,
    /// Whether it gave up its place.
    displaced: AtomicBool,
    leave: Notify,
    start: Instant,
}

impl Slot {
    fn new(start: Instant) -> Self {
        let slot = Self {
            phase: AtomicU8::new(Phase::Fresh as u8),
            since_ms: AtomicU64::new(0),
            displaced: AtomicBool::new(false),
            leave: Notify::new(),
            start,
        };
        slot.enter(Phase::Fresh);
        slot
    }

    fn enter(&self, phase: Phase) {
        let since = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since_ms.store(since, Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Fresh,
            1 => Phase::Head,
            2 => Phase::Busy,
            _ => Phase::Idle,
        }
    }

    /// Returns when the phase began.
    pub(super) fn since(&self) -> tokio::time::Instant {
        let since = Duration::from_millis(self.since_ms.load(Ordering::Relaxed));
        (self.start + since).into()
    }

    /// The first bytes of a request have come.
    pub(super) fn head(&self) {
        self.enter(Phase::Head);
    }

    /// A request is whole up to its body.
    pub(super) fn busy(&self) {
        self.enter(Phase::Busy);
    }

    /// The answer is decided.
    pub(super) fn idle(&self) {
        self.enter(Phase::Idle);
    }

    /// Returns true where leaving now cuts nobody off from an answer.
    pub(super) fn is_unanswerable(&self) -> bool {
        match self.phase() {
            Phase::Fresh => true,
            Phase::Head => self.displaced.load(Ordering::Relaxed),
            Phase::Busy | Phase::Idle => false,
        }
    }
}

/// Every connection.
#[derive(Debug)]
pub(super) struct Slots {
    open: Mutex<Open>,
    refusals: Arc<Semaphore>,
    start: Instant,
}

#[derive(Debug, Default)]
struct Open {
    slots: HashMap<u64, Arc<Slot>>,
    next: u64,
}

impl Default for Slots {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
            start: Instant::now(),
        }
    }
}

/// What becomes of a new connection.
pub(super) enum Admission {
    /// There is room.
    Free(Held),
    /// There is room because another was asked to leave.
    Displaces(Held),
    /// Everybody has a request under way. With a permit, there is time to say so.
    Full(Option<OwnedSemaphorePermit>),
}

/// A place among the connections, free again when dropped.
pub(super) struct Held {
    slot: Arc<Slot>,
    slots: Arc<Slots>,
    id: u64,
}

impl Slots {
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr, connections_max: usize) -> Admission {
        let mut open = self.open.lock();
        let count = open.slots.len();
        if count < connections_max {
            return Admission::Free(self.hold(&mut open));
        }
        if let Some(idlest) = open.idlest() {
            idlest.displaced.store(true, Ordering::Relaxed);
            idlest.leave.notify_one();
            return Admission::Displaces(self.hold(&mut open));
        }
        if peer.to_canonical().is_loopback() && count < connections_max + LOOPBACK_RESERVE {
            return Admission::Free(self.hold(&mut open));
        }
        Admission::Full(Arc::clone(&self.refusals).try_acquire_owned().ok())
    }

    fn hold(self: &Arc<Self>, open: &mut Open) -> Held {
        let slot = Arc::new(Slot::new(self.start));
        let id = open.next;
        open.next += 1;
        open.slots.insert(id, Arc::clone(&slot));
        Held {
            slot,
            slots: Arc::clone(self),
            id,
        }
    }

    /// Asks every connection to leave once it has its answer.
    pub(super) fn close_all(&self) {
        for slot in self.open.lock().slots.values() {
            slot.leave.notify_one();
        }
    }
}

impl Open {
    /// Returns the connection that is missed least: the oldest that never finished sending a request,
    /// else the one that has waited longest for its next.
    fn idlest(&self) -> Option<&Arc<Slot>> {
        self.slots
            .values()
            .filter(|slot| !slot.displaced.load(Ordering::Relaxed))
            .filter_map(|slot| match slot.phase() {
                Phase::Fresh | Phase::Head => Some((0, slot)),
                Phase::Idle => Some((1, slot)),
                Phase::Busy => None,
            })
            .min_by_key(|(rank, slot)| (*rank, slot.since_ms.load(Ordering::Relaxed)))
            .map(|(_, slot)| slot)
    }
}

impl Held {
    pub(super) fn slot(&self) -> Arc<Slot> {
        Arc::clone(&self.slot)
    }

    /// Resolves where this connection has to end: it gave up its place, or the server stops.
    pub(super) async fn asked_to_leave(&self) {
        self.slot.leave.notified().await;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.slots.open.lock().slots.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const REMOTE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    fn free(slots: &Arc<Slots>, peer: IpAddr, max: usize) -> Held {
        match slots.admit(peer, max) {
            Admission::Free(held) => held,
            _ => panic!("there is room"),
        }
    }

    #[test]
    fn a_new_connection_takes_the_place_of_one_that_asks_nothing() {
        let slots = Arc::new(Slots::default());
        let [asking, silent, waiting] = [(); 3].map(|()| free(&slots, REMOTE, 3));
        asking.slot.busy();
        waiting.slot.idle();
        let Admission::Displaces(new) = slots.admit(REMOTE, 3) else {
            panic!("the silent one leaves");
        };
        new.slot.busy();
        assert!(silent.slot.is_unanswerable());
        assert!(silent.slot.displaced.load(Ordering::Relaxed));
        let Admission::Displaces(_new) = slots.admit(REMOTE, 3) else {
            panic!("then the waiting one");
        };
        assert!(waiting.slot.displaced.load(Ordering::Relaxed));
        assert!(
            !waiting.slot.is_unanswerable(),
            "its last answer may still be on its way"
        );
        assert!(!asking.slot.displaced.load(Ordering::Relaxed));
    }

    #[test]
    fn where_all_are_asking_only_a_few_of_this_machine_get_in() {
        let slots = Arc::new(Slots::default());
        let held: Vec<_> = (0..2).map(|_| free(&slots, REMOTE, 2)).collect();
        held.iter().for_each(|held| held.slot.busy());
        assert!(matches!(slots.admit(REMOTE, 2), Admission::Full(Some(_))));
        let probes: Vec<_> = (0..LOOPBACK_RESERVE)
            .map(|_| {
                let held = free(&slots, LOOPBACK, 2);
                held.slot.busy();
                held
            })
            .collect();
        assert!(matches!(slots.admit(LOOPBACK, 2), Admission::Full(_)));
        drop(probes);
        drop(held);
        free(&slots, REMOTE, 2);
    }

    #[test]
    fn refusals_are_bounded() {
        let slots = Arc::new(Slots::default());
        let mut permits = Vec::new();
        while let Admission::Full(Some(permit)) = slots.admit(REMOTE, 0) {
            permits.push(permit);
        }
        assert_eq!(permits.len(), REFUSALS_MAX);
    }
}
