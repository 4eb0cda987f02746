//! The sandbox: the engine, a store for each call of a hook, and the limits on a guest's resources.

pub(crate) mod clock;
pub(crate) mod cpu;
pub(crate) mod engine;
pub(crate) mod fair_share;
pub(crate) mod guest;
pub(crate) mod meter;
pub(crate) mod pool_permits;
mod random;
mod stdio;
pub(crate) mod stop;
pub(crate) mod store;
pub(crate) mod trap;
