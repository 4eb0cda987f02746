//! The sandbox: the engine, a store for each call, and every limit on what a guest computes.

pub(in crate::runtime) mod clock;
pub(in crate::runtime) mod convert;
pub(in crate::runtime) mod cpu;
pub(in crate::runtime) mod engine;
pub(in crate::runtime) mod hooks;
pub(in crate::runtime) mod invoke;
pub(in crate::runtime) mod meter;
pub(in crate::runtime) mod slots;
pub(in crate::runtime) mod state;
pub(in crate::runtime) mod stdio;
pub(in crate::runtime) mod trap;
pub(in crate::runtime) mod turns;
