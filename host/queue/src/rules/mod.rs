//! The decisions about alerts and deliveries: pure functions of values, without a clock, a store or a thread. The committer reads
//! what they need, and stores what they decide.

pub(crate) mod admission;
pub(crate) mod crashes;
pub(crate) mod deaths;
pub(crate) mod notices;
pub(crate) mod overtaken;
pub(crate) mod recognize;
pub(crate) mod rerun;
pub(crate) mod revive;
pub(crate) mod settle;
pub(crate) mod storm;
