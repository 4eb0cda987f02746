//! The open connections, what each is doing, and which one is evicted for a new one.

mod standing;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

pub(crate) use standing::Standing;

/// Connections reserved for loopback beyond the limit, so that probes and the command line work during a flood.
const LOOPBACK_RESERVE: usize = 16;

/// How many refusals are in progress at most; beyond, connections are closed without a response.
const REFUSALS_MAX: usize = 64;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// It has sent nothing yet.
    Fresh,
    /// It is sending the headers of a request.
    Head,
    /// It is sending the body of a request from an unauthenticated sender: the body authenticates it, or nothing is required.
    Unproved,
    /// A request is being answered, or its body comes from an authenticated sender.
    Busy,
    /// It waits for the next request.
    Idle,
}

/// The state of one connection, which others read.
#[derive(Debug)]
pub(super) struct Slot {
    phase: AtomicU8,
    /// When the phase began, in milliseconds since the registry was created.
    since_ms: AtomicU64,
    /// Whether it was evicted.
    displaced: AtomicBool,
    /// Whether a sender was authenticated on it.
    proved: AtomicBool,
    leave: Notify,
    /// Whether the body that is being read must end now, to make space.
    cut: AtomicBool,
    cut_now: Notify,
    start: Instant,
}

impl Slot {
    fn new(start: Instant) -> Self {
        let slot = Self {
            phase: AtomicU8::new(Phase::Fresh as u8),
            since_ms: AtomicU64::new(0),
            displaced: AtomicBool::new(false),
            proved: AtomicBool::new(false),
            leave: Notify::new(),
            cut: AtomicBool::new(false),
            cut_now: Notify::new(),
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
            2 => Phase::Unproved,
            3 => Phase::Busy,
            _ => Phase::Idle,
        }
    }

    /// Returns when the phase began; while a request is read or answered, when its first bytes arrived.
    pub(super) fn since(&self) -> tokio::time::Instant {
        let since = Duration::from_millis(self.since_ms.load(Ordering::Relaxed));
        (self.start + since).into()
    }

    /// Notes that the first bytes of a request have arrived.
    pub(super) fn head(&self) {
        self.enter(Phase::Head);
    }

    /// Notes that a request is complete except for its body.
    pub(super) fn busy(&self) {
        self.phase.store(Phase::Busy as u8, Ordering::Relaxed);
    }

    /// Notes that a sender was authenticated on this connection.
    pub(super) fn prove(&self) {
        self.proved.store(true, Ordering::Relaxed);
    }

    fn make_room(&self) {
        self.displaced.store(true, Ordering::Relaxed);
        self.cut_body();
        self.leave.notify_one();
    }

    fn cut_body(&self) {
        self.cut.store(true, Ordering::Relaxed);
        self.cut_now.notify_one();
    }

    /// Notes that the response is determined.
    pub(super) fn idle(&self) {
        self.enter(Phase::Idle);
    }

    /// Returns whether the connection can end now without cutting a peer off from a response.
    pub(super) fn is_unanswerable(&self) -> bool {
        match self.phase() {
            Phase::Fresh => true,
            Phase::Head => self.displaced.load(Ordering::Relaxed),
            Phase::Unproved | Phase::Busy | Phase::Idle => false,
        }
    }
}

/// The open connections.
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

/// The decision on a new connection.
pub(super) enum Admission {
    /// It is below the limit.
    Free(Held),
    /// Another connection was evicted for it.
    Displaces(Held),
    /// All connections have a request in progress and are authenticated or only wait for a response. With a permit, there is
    /// time to respond that.
    Full(Option<OwnedSemaphorePermit>),
}

/// An open connection, removed when dropped.
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
            idlest.make_room();
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

    /// Asks every connection to end once it has its response.
    pub(super) fn close_all(&self) {
        for slot in self.open.lock().slots.values() {
            slot.leave.notify_one();
        }
    }
}

impl Open {
    /// Returns the connection to evict: of the unauthenticated ones without a request that is being answered, the one whose
    /// request, or wait for one, began first; otherwise the authenticated one that has waited longest.
    ///
    /// The age decides and not the phase: a flood fills every phase, and an honest sender, whose request takes milliseconds, is
    /// among the youngest in each.
    fn idlest(&self) -> Option<&Arc<Slot>> {
        self.slots
            .iter()
            .filter(|(_, slot)| !slot.displaced.load(Ordering::Relaxed))
            .filter_map(|(id, slot)| match slot.phase() {
                Phase::Busy => None,
                Phase::Fresh | Phase::Head | Phase::Unproved | Phase::Idle => {
                    let since = slot.since_ms.load(Ordering::Relaxed);
                    Some(((slot.proved.load(Ordering::Relaxed), since, *id), slot))
                }
            })
            .min_by_key(|(rank, _)| *rank)
            .map(|(_, slot)| slot)
    }
}

impl Held {
    pub(super) fn slot(&self) -> Arc<Slot> {
        Arc::clone(&self.slot)
    }

    /// Resolves if this connection has to end, because it was evicted or the server stops.
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

    fn displaced_for_another(slots: &Arc<Slots>, max: usize) -> Held {
        match slots.admit(REMOTE, max) {
            Admission::Displaces(held) => {
                held.slot.busy();
                held
            }
            _ => panic!("one makes room"),
        }
    }

    fn is_displaced(held: &Held) -> bool {
        held.slot.displaced.load(Ordering::Relaxed)
    }

    #[test]
    fn a_new_connection_takes_the_place_of_one_that_asks_nothing() {
        let slots = Arc::new(Slots::default());
        let [asking, silent, waiting] = [(); 3].map(|()| free(&slots, REMOTE, 3));
        asking.slot.busy();
        waiting.slot.idle();
        let _new = displaced_for_another(&slots, 3);
        assert!(silent.slot.is_unanswerable());
        assert!(is_displaced(&silent));
        let _new = displaced_for_another(&slots, 3);
        assert!(is_displaced(&waiting));
        assert!(
            !waiting.slot.is_unanswerable(),
            "its last answer may still be on its way"
        );
        assert!(!is_displaced(&asking));
    }

    #[test]
    fn who_has_proved_nothing_makes_room_first_and_the_oldest_of_those() {
        let slots = Arc::new(Slots::default());
        let all = [(); 6].map(|()| free(&slots, REMOTE, 6));
        let [known, young, upload, silent, known_idle, old_idle] = &all;
        let at = |held: &Held, ms| held.slot.since_ms.store(ms, Ordering::Relaxed);
        Standing::new(known.slot()).prove();
        Standing::new(known_idle.slot()).prove();
        known_idle.slot.idle();
        old_idle.slot.idle();
        Standing::new(young.slot()).awaits_body();
        Standing::new(upload.slot()).awaits_body();
        for (held, ms) in [
            (old_idle, 1),
            (upload, 2),
            (silent, 3),
            (young, 4),
            (known_idle, 0),
        ] {
            at(held, ms);
        }
        let mut new = Vec::new();
        for goes in [old_idle, upload, silent, young, known_idle] {
            assert!(!is_displaced(goes));
            new.push(displaced_for_another(&slots, 6));
            assert!(is_displaced(goes));
        }
        assert!(Standing::new(upload.slot()).is_cut());
        assert!(!upload.slot.is_unanswerable(), "it is told why");
        assert!(!is_displaced(known), "its body is read on");
        assert!(matches!(slots.admit(REMOTE, 6), Admission::Full(_)));
    }

    #[tokio::test]
    async fn a_body_that_was_cut_off_does_not_cut_the_next_one() {
        let standing = Standing::unwatched();
        standing.awaits_body();
        standing.cut_body();
        standing.cut_off().await;
        standing.awaits_body();
        let cut = tokio::select! {
            biased;
            () = standing.cut_off() => true,
            () = tokio::task::yield_now() => false,
        };
        assert!(!cut);
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
