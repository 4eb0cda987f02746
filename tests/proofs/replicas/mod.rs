//! Several servers on one `PostgreSQL`: no alert is lost and no effect is doubled unexplained, whatever happens to the servers, to the
//! database, and to the network between them.

mod clocks;
mod commits;
mod disk;
mod faults;
mod fleet;
mod history;
mod lease;
mod moves;
mod network;
mod order;
mod senders;
mod take_over;
