//! What is known about the sender of a request, as far as it decides which connection is evicted.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{ConnectionState, Phase};

/// Lets the endpoint of a request tell the server what it knows about the sender.
#[derive(Clone, Debug)]
pub(crate) struct Standing(Arc<ConnectionState>);

impl Standing {
    pub(in crate::http::server) fn new(state: Arc<ConnectionState>) -> Self {
        Self(state)
    }

    /// Returns a standing without a connection of this server.
    pub(crate) fn detached() -> Self {
        Self(Arc::new(ConnectionState::new(Instant::now())))
    }

    /// Notes that the sender is authenticated: its connection is evicted last.
    pub(crate) fn authenticate(&self) {
        self.0.authenticate();
        self.0.busy();
    }

    /// Notes that the body of an unauthenticated sender is being read: until it is complete it can be cut off.
    pub(crate) fn awaits_body(&self) {
        self.0.cut.store(false, Ordering::Relaxed);
        self.0
            .phase
            .store(Phase::UnauthenticatedBody as u8, Ordering::Relaxed);
    }

    /// Notes that the response is sent for as long as its reader follows it.
    pub(crate) fn streams(&self) {
        self.0.busy();
    }

    /// Notes that the body is complete.
    pub(crate) fn has_body(&self) {
        self.0.busy();
    }

    /// Makes the body end now, to make space for another.
    pub(crate) fn cut_body(&self) {
        self.0.cut_body();
    }

    /// Returns whether the body has to end now.
    pub(crate) fn is_cut(&self) -> bool {
        self.0.cut.load(Ordering::Relaxed)
    }

    /// Returns whether the whole connection was evicted, which is counted separately.
    pub(crate) fn is_evicted(&self) -> bool {
        self.0.evicted.load(Ordering::Relaxed)
    }

    /// Resolves once the body has to end.
    pub(crate) async fn must_end_body(&self) {
        // A notification of an earlier request may be left.
        while !self.is_cut() {
            self.0.cut_now.notified().await;
        }
    }
}
