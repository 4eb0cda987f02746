//! The server as its users meet it: real bytes in over HTTP, real handlers, stand-ins at the other end.
#![allow(clippy::unwrap_used, reason = "tests")]

mod alarms;
mod architecture;
mod bad_input;
mod bodies;
mod command_line;
mod compiler;
mod delivery;
mod doors;
mod doubts;
mod drop_in;
mod effects;
mod events;
mod first_day;
mod folder;
mod limits;
mod main_job;
mod outcomes;
mod outgoing;
mod pins;
mod proxy;
mod readme;
mod real_alertmanager;
mod record;
mod sandbox;
mod story;
