//! Requests that leave the server for handlers: to whom, how often, and whether that one answers.

pub(in crate::runtime) mod egress;
pub(in crate::runtime) mod outages;
pub(in crate::runtime) mod rates;
