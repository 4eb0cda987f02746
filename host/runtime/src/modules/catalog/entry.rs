//! What the catalog knows of one origin.

use crate::modules::catalog::input::{Loaded, Offer};
use crate::modules::load_error::LoadError;

pub(super) struct Entry<M> {
    pub(super) offer: Offer,
    pub(super) newest: Newest<M>,
    /// The newest module, or one before it.
    pub(super) serving: Option<Loaded<M>>,
}

/// What became of an origin's newest candidate.
pub(super) enum Newest<M> {
    Loading,
    /// Is decided at the end of the first scan.
    Undecided(Result<Loaded<M>, LoadError>),
    Serves,
    /// Cannot be loaded, but may be incomplete, or changed while it was read.
    Unsettled(LoadError),
    Refused {
        why: String,
        cause: Cause<M>,
    },
}

/// What has to change before what was refused can serve.
pub(super) enum Cause<M> {
    /// Its bytes.
    Bytes,
    /// This server's state, at any time.
    Host,
    /// Another origin's claim to its name, or its pin.
    Conflict(Loaded<M>),
}

impl<M> Entry<M> {
    /// Returns true if the same bytes may load now although they did not before.
    pub(super) fn may_load_now(&self) -> bool {
        match &self.newest {
            Newest::Refused { cause, .. } => matches!(cause, Cause::Host),
            // The bytes may be again what they were when they were offered: then the source reports no change.
            Newest::Unsettled(error) => matches!(error, LoadError::Changed),
            Newest::Loading | Newest::Undecided(_) | Newest::Serves => false,
        }
    }
}
