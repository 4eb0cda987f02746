//! The input of the catalog.

use std::sync::Arc;
use std::time::SystemTime;

use crate::modules::catalog::pins::Pins;
use alert_manager_core::alert::HandlerName;

/// A candidate as a source offered it.
#[derive(Clone, Copy)]
pub(crate) struct Offer {
    /// Since when its bytes exist, if known.
    pub(crate) since: Option<SystemTime>,
    /// False if they may still be incomplete.
    pub(crate) is_settled: bool,
}

/// The properties of a module by which the catalog decides.
pub(crate) trait Claim {
    /// Returns the name that the module claims.
    fn name(&self) -> &HandlerName;
    /// Returns the SHA-256 of its bytes, in hexadecimal.
    fn sha256(&self) -> &str;
}

/// What the operator demands of modules.
pub struct Terms<M> {
    pub(crate) pins: Pins,
    pub(crate) misfit: Misfit<M>,
}

/// Says why the configuration does not fit a module, if it does not.
type Misfit<M> = Box<dyn Fn(&M) -> Option<String> + Send>;

impl<M> Terms<M> {
    /// Makes the terms of a configuration with these pins. `misfit` says why the configuration does not fit a module, if it
    /// does not.
    #[must_use]
    pub fn new(pins: Pins, misfit: impl Fn(&M) -> Option<String> + Send + 'static) -> Self {
        Self {
            pins,
            misfit: Box::new(misfit),
        }
    }
}

impl<M> From<Pins> for Terms<M> {
    fn from(pins: Pins) -> Self {
        Self {
            pins,
            misfit: Box::new(|_| None),
        }
    }
}

/// A module that was loaded.
pub(crate) struct Loaded<M> {
    pub(crate) module: Arc<M>,
    /// Who besides the operator could have written its bytes; `None` if nobody could.
    pub(crate) exposure: Option<String>,
}
