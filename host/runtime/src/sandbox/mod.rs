//! The sandbox: the engine, a store for each call, and every limit on what a guest computes.

pub(crate) mod clock;
pub(crate) mod convert;
pub(crate) mod cpu;
pub(crate) mod engine;
pub(crate) mod hooks;
pub(crate) mod invoke;
pub(crate) mod meter;
pub(crate) mod module;
pub(crate) mod slots;
pub(crate) mod state;
pub(crate) mod stated;
pub(crate) mod stdio;
pub(crate) mod trap;
pub(crate) mod turns;
