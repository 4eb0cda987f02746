//! What the operator demands of modules.

use crate::modules::catalog::pins::Pins;

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
