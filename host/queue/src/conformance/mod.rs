//! The conformance suite: the promises of the queue, as cases that every store has to pass. A store implements [`Bench`].
//!
//! `store_conformance!(name: Bench)` makes a `#[test]` of each case. Cases use the public API of [`Queue`](crate::Queue) and
//! [`Leases`](crate::Leases), their clock, and the hooks of the bench, not the internals of a store. Those, such as files and layouts,
//! are tested with the store.
//!
//! | promise | what | cases |
//! |---|---|---|
//! | 1 | what is answered as accepted is on disk | `bodies`, `crashes`, `faults`, `lost_answers` |
//! | 2 | every delivery ends done, or dead and reported; nothing is dropped unseen | `bodies`, `crashes`, `dead_letters`, `leases`, `lists`, `reasons`, `retention`, `retry_many`, `second_chances`, `settled`, `timers`, `activity`, `audit` |
//! | 3 | an effect that completed is not repeated; what a crash leaves unknown is in doubt | `journal`, `kv`, `timers`, `steps`, `faults`, `lost_answers` |
//! | 4 | a handler has only its own state, timers and history, within its quota | `kv`, `timers`, `history` |
//! | 5 | nothing that one delivery does stalls another: deaths of the server, what cannot be read, full queues, a writer that waits | `suspects`, `together`, `bodies`, `faults` |
//! | 6 | one invocation, one step: its seed is its own | `crashes` |
//! | 7 | the events of one fingerprint on one route run in order, once | `leases`, `events`, `occurrences`, `edited_routes`, `timers`, `together` |
//! | 10 | a storm becomes a few deliveries, of which none is done and untold | `storm_forming`, `storm_members`, `storm_deaths`, `storm_people`, `storm_resolves`, `storm_restarts`, `storm_gates` |
//! | 9 | a failure of one way to notify takes the next | `dead_letters` |
//! | 10 | what is most urgent goes first, and waits for nothing but its turn | `gates` |
//! | all | in any order of events, crashes and requests | `model` |
//! | with replicas | several servers on one store | `shared` |

#![allow(clippy::unwrap_used, reason = "tests")]

mod activity;
mod alerts;
mod audit;
mod bench;
mod bodies;
#[macro_use]
pub mod cases;
mod crashes;
mod dead_letters;
mod edited_routes;
mod events;
mod faults;
#[cfg(test)]
mod faulty;
mod gates;
mod grants;
mod harness;
mod history;
mod hold;
mod journal;
mod kv;
mod leases;
mod lists;
mod lost_answers;
mod model;
mod occurrences;
mod reasons;
mod retention;
mod retry_many;
mod second_chances;
mod settled;
mod shared;
mod steps;
mod storms;
mod suspects;
mod timers;
mod together;

use dead_letters::{
    alarms, ends as dead_letter_ends, reports as dead_letter_reports, ways as dead_letter_ways,
};

use storms::{
    deaths as storm_deaths, forming as storm_forming, gates as storm_gates,
    members as storm_members, people as storm_people, resolves as storm_resolves,
    restarts as storm_restarts,
};

#[cfg(test)]
pub(crate) use dead_letters::reporting_by_one;

pub use bench::{
    Bench, LostAnswer, Peek, PeekStorm, REFUSED, Sizes, Stop, Stopped, Unsupported, Write,
};
#[cfg(test)]
pub(crate) use faulty::{Faults, Faulty};

/// What the cases need.
pub(crate) mod prelude {
    pub(crate) use std::sync::Arc;
    pub(crate) use std::time::Duration;

    pub(crate) use alert_manager_core::alert::{
        Alert, DEAD_LETTER_ROUTE, DeliveryId, Enrichment, Fingerprint, HandlerName, Labels,
        OCCURRENCE, Status, StepKind, Timestamp,
    };
    pub(crate) use alert_manager_core::journal::{
        Begun, BoxFuture, CallKind, CallName, Dependency, Doubts, Earlier, Entry, KvChange,
        KvOutcome, KvQuota, KvReply, LedgerError, NamedCall, Note, PAST_LISTED_MAX, Past,
        PastOccurrence, TimerChange, TimerQuota, TimerReply,
    };

    pub(crate) use super::alerts::*;
    pub(crate) use super::bench::*;
    pub(crate) use super::harness::*;
    pub(crate) use super::hold::*;
    pub(crate) use crate::*;
}
