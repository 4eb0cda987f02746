//! Requests that leave the server for handlers: to whom, how often, and whether that one answers.

pub(crate) mod credential;
pub(crate) mod egress;
pub(crate) mod outages;
pub(crate) mod proxy;
pub(crate) mod rates;
