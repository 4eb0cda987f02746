//! The server as its users meet it: real bytes in over HTTP, real handlers, stand-ins at the other end.
#![allow(clippy::unwrap_used, reason = "tests")]

mod api;
mod architecture;
mod bad_input;
mod bodies;
mod building;
mod check;
mod clock;
mod command_line;
mod compiler;
mod conformance;
mod dashboard;
mod delivery;
mod doors;
mod doubts;
mod drop_in;
mod effects;
mod events;
mod first_day;
mod folder;
mod limits;
mod logs;
mod main_job;
mod outcomes;
mod outgoing;
mod packaging;
mod pictures;
mod pins;
mod proxy;
mod readme;
mod real_alertmanager;
mod record;
mod sandbox;
mod settings;
mod standing;
mod story;
