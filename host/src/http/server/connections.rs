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
    UnauthenticatedBody,
    /// A request is being answered, or its body comes from an authenticated sender.
    Busy,
    /// It waits for the next request.
    Idle,
}

/// The state of one connection, which others read.
#[derive(Debug)]
pub(super) struct ConnectionState {
    phase: AtomicU8,
    /// When the phase began, in milliseconds since the registry was created.
    since_ms: AtomicU64,
    /// Whether it was evicted.
    evicted: AtomicBool,
    /// Whether a sender was authenticated on it.
    authenticated: AtomicBool,
    end_now: Notify,
    /// Whether the body that is being read must end now, to make space.
    cut: AtomicBool,
    cut_now: Notify,
    start: Instant,
}

impl ConnectionState {
    fn new(start: Instant) -> Self {
        let state = Self {
            phase: AtomicU8::new(Phase::Fresh as u8),
            since_ms: AtomicU64::new(0),
            evicted: AtomicBool::new(false),
            authenticated: AtomicBool::new(false),
            end_now: Notify::new(),
            cut: AtomicBool::new(false),
            cut_now: Notify::new(),
            start,
        };
        state.enter(Phase::Fresh);
        state
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
            2 => Phase::UnauthenticatedBody,
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
    pub(super) fn authenticate(&self) {
        self.authenticated.store(true, Ordering::Relaxed);
    }

    fn evict(&self) {
        self.evicted.store(true, Ordering::Relaxed);
        self.cut_body();
        self.end_now.notify_one();
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
    pub(super) fn can_end_now(&self) -> bool {
        match self.phase() {
            Phase::Fresh => true,
            Phase::Head => self.evicted.load(Ordering::Relaxed),
            Phase::UnauthenticatedBody | Phase::Busy | Phase::Idle => false,
        }
    }
}

/// The open connections.
#[derive(Debug)]
pub(super) struct ConnectionRegistry {
    open: Mutex<Open>,
    refusals: Arc<Semaphore>,
    start: Instant,
}

#[derive(Debug, Default)]
struct Open {
    connections: HashMap<u64, Arc<ConnectionState>>,
    next: u64,
}

impl Default for ConnectionRegistry {
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
    Free(OpenConnection),
    /// Another connection was evicted for it.
    Evicts(OpenConnection),
    /// All connections have a request in progress and are authenticated or only wait for a response. With a permit, there is
    /// time to respond that.
    Full(Option<OwnedSemaphorePermit>),
}

/// An open connection, removed when dropped.
pub(super) struct OpenConnection {
    state: Arc<ConnectionState>,
    registry: Arc<ConnectionRegistry>,
    id: u64,
}

impl ConnectionRegistry {
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr, connections_max: usize) -> Admission {
        let mut open = self.open.lock();
        let count = open.connections.len();
        if count < connections_max {
            return Admission::Free(self.hold(&mut open));
        }
        if let Some(candidate) = open.eviction_candidate() {
            candidate.evict();
            return Admission::Evicts(self.hold(&mut open));
        }
        if peer.to_canonical().is_loopback() && count < connections_max + LOOPBACK_RESERVE {
            return Admission::Free(self.hold(&mut open));
        }
        Admission::Full(Arc::clone(&self.refusals).try_acquire_owned().ok())
    }

    fn hold(self: &Arc<Self>, open: &mut Open) -> OpenConnection {
        let state = Arc::new(ConnectionState::new(self.start));
        let id = open.next;
        open.next += 1;
        open.connections.insert(id, Arc::clone(&state));
        OpenConnection {
            state,
            registry: Arc::clone(self),
            id,
        }
    }

    /// Asks every connection to end once it has its response.
    pub(super) fn close_all(&self) {
        for state in self.open.lock().connections.values() {
            state.end_now.notify_one();
        }
    }
}

impl Open {
    /// Returns the connection to evict: of the unauthenticated ones without a request that is being answered, the one whose
    /// request, or wait for one, began first; otherwise the authenticated one that has waited longest.
    ///
    /// The age decides and not the phase: a flood fills every phase, and an honest sender, whose request takes milliseconds, is
    /// among the youngest in each.
    fn eviction_candidate(&self) -> Option<&Arc<ConnectionState>> {
        self.connections
            .iter()
            .filter(|(_, state)| !state.evicted.load(Ordering::Relaxed))
            .filter_map(|(id, state)| match state.phase() {
                Phase::Busy => None,
                Phase::Fresh | Phase::Head | Phase::UnauthenticatedBody | Phase::Idle => {
                    let since = state.since_ms.load(Ordering::Relaxed);
                    Some((
                        (state.authenticated.load(Ordering::Relaxed), since, *id),
                        state,
                    ))
                }
            })
            .min_by_key(|(rank, _)| *rank)
            .map(|(_, state)| state)
    }
}

impl OpenConnection {
    pub(super) fn state(&self) -> Arc<ConnectionState> {
        Arc::clone(&self.state)
    }

    /// Resolves if this connection has to end, because it was evicted or the server stops.
    pub(super) async fn must_end(&self) {
        self.state.end_now.notified().await;
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.registry.open.lock().connections.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const REMOTE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    fn free(registry: &Arc<ConnectionRegistry>, peer: IpAddr, max: usize) -> OpenConnection {
        match registry.admit(peer, max) {
            Admission::Free(held) => held,
            _ => panic!("the limit is not reached"),
        }
    }

    fn admit_by_eviction(registry: &Arc<ConnectionRegistry>, max: usize) -> OpenConnection {
        match registry.admit(REMOTE, max) {
            Admission::Evicts(held) => {
                held.state.busy();
                held
            }
            _ => panic!("a connection can be evicted"),
        }
    }

    fn is_evicted(held: &OpenConnection) -> bool {
        held.state.evicted.load(Ordering::Relaxed)
    }

    #[test]
    fn a_new_connection_evicts_one_that_has_no_request_in_progress() {
        let registry = Arc::new(ConnectionRegistry::default());
        let [asking, silent, waiting] = [(); 3].map(|()| free(&registry, REMOTE, 3));
        asking.state.busy();
        waiting.state.idle();
        let _new = admit_by_eviction(&registry, 3);
        assert!(silent.state.can_end_now());
        assert!(is_evicted(&silent));
        let _new = admit_by_eviction(&registry, 3);
        assert!(is_evicted(&waiting));
        assert!(
            !waiting.state.can_end_now(),
            "its last response may still be in transit"
        );
        assert!(!is_evicted(&asking));
    }

    #[test]
    fn unauthenticated_connections_are_evicted_first_and_the_oldest_of_them() {
        let registry = Arc::new(ConnectionRegistry::default());
        let all = [(); 6].map(|()| free(&registry, REMOTE, 6));
        let [known, young, upload, silent, known_idle, old_idle] = &all;
        let at = |held: &OpenConnection, ms| held.state.since_ms.store(ms, Ordering::Relaxed);
        Standing::new(known.state()).authenticate();
        Standing::new(known_idle.state()).authenticate();
        known_idle.state.idle();
        old_idle.state.idle();
        Standing::new(young.state()).awaits_body();
        Standing::new(upload.state()).awaits_body();
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
            assert!(!is_evicted(goes));
            new.push(admit_by_eviction(&registry, 6));
            assert!(is_evicted(goes));
        }
        assert!(Standing::new(upload.state()).is_cut());
        assert!(!upload.state.can_end_now(), "its response gives the reason");
        assert!(!is_evicted(known), "its body is still read");
        assert!(matches!(registry.admit(REMOTE, 6), Admission::Full(_)));
    }

    #[tokio::test]
    async fn a_body_that_was_cut_off_does_not_cut_the_next_one() {
        let standing = Standing::detached();
        standing.awaits_body();
        standing.cut_body();
        standing.must_end_body().await;
        standing.awaits_body();
        let cut = tokio::select! {
            biased;
            () = standing.must_end_body() => true,
            () = tokio::task::yield_now() => false,
        };
        assert!(!cut);
    }

    #[test]
    fn if_all_connections_are_busy_only_a_few_from_loopback_are_accepted() {
        let registry = Arc::new(ConnectionRegistry::default());
        let held: Vec<_> = (0..2).map(|_| free(&registry, REMOTE, 2)).collect();
        held.iter().for_each(|held| held.state.busy());
        assert!(matches!(
            registry.admit(REMOTE, 2),
            Admission::Full(Some(_))
        ));
        let probes: Vec<_> = (0..LOOPBACK_RESERVE)
            .map(|_| {
                let held = free(&registry, LOOPBACK, 2);
                held.state.busy();
                held
            })
            .collect();
        assert!(matches!(registry.admit(LOOPBACK, 2), Admission::Full(_)));
        drop(probes);
        drop(held);
        free(&registry, REMOTE, 2);
    }

    #[test]
    fn refusals_are_bounded() {
        let registry = Arc::new(ConnectionRegistry::default());
        let mut permits = Vec::new();
        while let Admission::Full(Some(permit)) = registry.admit(REMOTE, 0) {
            permits.push(permit);
        }
        assert_eq!(permits.len(), REFUSALS_MAX);
    }
}
