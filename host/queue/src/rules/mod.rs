//! What becomes of alerts and deliveries: decisions over values, without a clock, a store or a thread. Whoever asks brings what is
//! known, and stores what was decided.

pub(crate) mod admission;
pub(crate) mod crashes;
pub(crate) mod deaths;
pub(crate) mod notices;
pub(crate) mod passed;
pub(crate) mod recognize;
pub(crate) mod rerun;
pub(crate) mod revive;
pub(crate) mod settle;
pub(crate) mod storm;
