//! What is known of who is behind a request, as far as it decides who makes room.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Phase, Slot};

/// What the endpoint of a request says to the server of who is behind it.
#[derive(Clone, Debug)]
pub(crate) struct Standing(Arc<Slot>);

impl Standing {
    pub(in crate::http::server) fn new(slot: Arc<Slot>) -> Self {
        Self(slot)
    }

    /// Returns the standing of a request that came over no connection of this server.
    pub(crate) fn unwatched() -> Self {
        Self(Arc::new(Slot::new(Instant::now())))
    }

    /// The sender has proved who it is: this connection is the last to make room for another.
    pub(crate) fn prove(&self) {
        self.0.prove();
        self.0.busy();
    }

    /// The body is to be read of a sender who has proved nothing: until it is whole it may be cut off.
    pub(crate) fn awaits_body(&self) {
        self.0.cut.store(false, Ordering::Relaxed);
        self.0.phase.store(Phase::Unproved as u8, Ordering::Relaxed);
    }

    /// The body is whole: nothing more is waited for.
    pub(crate) fn has_body(&self) {
        self.0.busy();
    }

    /// Has the body end now, to make room for another.
    pub(crate) fn cut_body(&self) {
        self.0.cut_body();
    }

    /// Returns true where the body has to end now.
    pub(crate) fn is_cut(&self) -> bool {
        self.0.cut.load(Ordering::Relaxed)
    }

    /// Returns true where the whole connection had to make room, which is counted as that.
    pub(crate) fn is_displaced(&self) -> bool {
        self.0.displaced.load(Ordering::Relaxed)
    }

    /// Resolves once the body has to end.
    pub(crate) async fn cut_off(&self) {
        // A notification may be left of an earlier request.
        while !self.is_cut() {
            self.0.cut_now.notified().await;
        }
    }
}
