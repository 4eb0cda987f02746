//! The values of the queue. They depend on no other module of it.

mod activity;
mod alarm;
mod arrived;
mod audit;
pub(crate) mod clock;
mod counts;
mod dead_letters;
mod delivery;
mod errors;
mod event;
mod grant_use;
mod lease;
mod list;
mod memory;
mod options;
mod order;
mod parcel;
mod pipeline;
mod progress;
mod reason;
mod retried;
mod row;
mod settlement;
mod state;
mod storm;
mod timer;
mod waiting;
mod wake;

pub use activity::{Activity, ActivityKind, ActivityOf, Amount, ReceivedAs, Times, total};
pub use alarm::{IfBlocked, Raised};
pub use audit::{AuditFilter, Audited};
pub use clock::Clock;
pub use counts::{ByPriority, Counts, HandlerCounts, LastEnd, Losses, Overview, Recovered};
pub use dead_letters::{DeadLetter, DeadLetterNotices, DeadLetters, SUBJECT, Way};
pub use delivery::{Delivery, Members, Outline, Story, time_of};
pub use errors::{AcceptError, CancelError, OpenError, ReadError, RetryError};
pub use grant_use::{GrantUsed, GrantsUsed};
pub use lease::{Lease, Leased, Owner};
pub use list::{Filter, LabelTest, Page, Selected, Selection};
pub use options::{Bounds, Caps, Options, StormOptions};
pub use parcel::{Accepted, KeptRefused, Parcel, Receipt, Refused, Submission, Verdict};
pub use progress::{Progress, Step, StepStatus, StormGiven, UpdateOrder};
pub use reason::{Reason, UnknownReason};
pub use retried::{Rest, RestReason, Retried};
pub use settlement::{Next, Settled, Settlement};
pub use state::State;
pub use timer::{DueTimer, OpenTimer};
pub use waiting::{GateStatus, Open, Waiting, Waits, WaitsFor};
pub use wake::{Wake, Woken};

pub(crate) use activity::Tally;
pub(crate) use arrived::{Arrived, StoredPlan};
pub(crate) use dead_letters::{NOT_SENT, NOTICES_A_WINDOW_MAX};
pub(crate) use delivery::{ID_COUNTER_BITS, OtherRoutes};
pub(crate) use event::{EventChange, Kept, Known, OPEN_AMONG, Remember, Start, alias};
pub(crate) use lease::{Abandoned, Contents, Grant};
pub(crate) use memory::{Memory, Run};
pub(crate) use order::{Follower, Position, RetryBatch, has_run};
pub(crate) use parcel::NewAlert;
pub(crate) use pipeline::{join_handlers, split_handlers};
pub(crate) use row::{AfterLease, CrashOutcome, NewDelivery, OfTimer, Parking, Row, Text};
pub(crate) use storm::{
    Candidate, DESCRIBED_MAX, Described, Formed, Generation, LATE, LIFE, MEMBERS_MAX, QUIET,
    StandsFor, Storm, StormKey,
};
pub(crate) use timer::{Cause, StoredTimer, TIMER_DELAY_MS_MAX, TimerId};
pub(crate) use waiting::GATE_CLOSED_MS_MAX;
