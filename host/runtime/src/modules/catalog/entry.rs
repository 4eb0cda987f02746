//! One origin in the catalog.

use crate::modules::catalog::input::{Loaded, Offer};
use crate::modules::load_error::LoadError;

pub(super) struct Entry<M> {
    pub(super) offer: Offer,
    pub(super) newest: Newest<M>,
    /// The module that serves: the newest, or an earlier one.
    pub(super) serving: Option<Loaded<M>>,
}

/// The state of an origin's newest candidate.
pub(super) enum Newest<M> {
    Loading,
    /// Loaded or failed; decided at the end of the first scan.
    Undecided(Result<Loaded<M>, LoadError>),
    Serves,
    /// Failed to load, but may be incomplete, or changed while it was read.
    Unsettled(LoadError),
    Refused {
        why: String,
        cause: Cause<M>,
    },
}

/// What has to change before a refused candidate can serve.
pub(super) enum Cause<M> {
    /// Its bytes.
    Bytes,
    /// A state of this server, such as a full disk.
    Host,
    /// The owner of its name, or its pin.
    Conflict(Loaded<M>),
}

impl<M> Entry<M> {
    /// Returns true if the same bytes may load now although they failed before.
    pub(super) fn may_load_now(&self) -> bool {
        match &self.newest {
            Newest::Refused { cause, .. } => matches!(cause, Cause::Host),
            // If the bytes changed back, the source reports no change, so they have to be loaded again.
            Newest::Unsettled(error) => matches!(error, LoadError::Changed),
            Newest::Loading | Newest::Undecided(_) | Newest::Serves => false,
        }
    }
}
