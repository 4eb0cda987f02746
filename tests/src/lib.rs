//! What the tests share: guests that mean harm, and a bed to run them in.

pub mod bed;
pub mod guests;
