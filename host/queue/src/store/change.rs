//! What rules decide, as it is handed to a store.

use std::borrow::Cow;
use std::collections::BTreeSet;

use alert_manager_core::alert::{DeliveryId, Fingerprint, HandlerName, Timestamp};
use alert_manager_core::gate::GateName;
use alert_manager_core::journal::Entry;

use crate::model::{CutOff, EventChange, Lease, NewDelivery, Stands, Text};

/// What rules decide, ready to be stored.
#[derive(Clone, Debug)]
pub(crate) enum Change<'m> {
    /// A new delivery, with its alert.
    Insert(NewDelivery<'m>),
    /// A delivery is leased once more.
    Grant(Lease),
    /// How far a leased delivery is.
    Progress { lease: Lease, progress: Text<'m> },
    /// A lease ends.
    Settle(Settle<'m>),
    /// A lease ends that was taken away before: only its story is kept, if the delivery still is.
    Lose {
        lease: Lease,
        progress: &'m str,
        story: Option<&'m str>,
    },
    /// Calls of a step, appended to its record.
    Journal {
        lease: Lease,
        step: u32,
        entries: Cow<'m, [Entry]>,
    },
    /// A dead delivery is sent again.
    Revive(Revive),
    /// A delivery that waits for its time is due. Its progress, if it has any, says so too.
    Hurry {
        id: DeliveryId,
        progress: Option<(u32, String)>,
    },
    /// A person has cancelled a delivery.
    Cancel { id: DeliveryId, at: Timestamp },
    /// The server died under a lease.
    CutOff(CutOff),
    /// What is remembered of an event.
    Remember(EventChange),
    /// A part of a body was refused, and is kept as a delivery.
    KeepPart {
        digest: [u8; 32],
        kept_as: DeliveryId,
        at: Timestamp,
    },
    /// A part of a body came again.
    PartAgain { digest: [u8; 32], at: Timestamp },
    /// A death is to be reported later, with others of its class.
    Unreported {
        class: String,
        id: DeliveryId,
        died_at: Timestamp,
    },
    /// This is to be looked at later, alone; nothing if it is to be already.
    UnreportedAlone {
        class: String,
        id: DeliveryId,
        at: Timestamp,
    },
    /// A class is reported.
    Reported { class: String },
    /// A delivery lives again whose death was not reported: its next death is the first to be.
    ForgetDeath(DeliveryId),
    /// Earlier deaths up to this one were looked at; nothing if there are no more.
    EarlierDeathsSeen(Option<DeliveryId>),
    /// The alarms that were raised and have not ended.
    Alarms(BTreeSet<Fingerprint>),
    /// A service has said to wait: a gate is closed until then, in milliseconds since 1970.
    CloseGate { name: GateName, until_ms: i64 },
}

impl Change<'_> {
    /// Returns the lease under which it is made, if it is made under one.
    pub(crate) fn lease(&self) -> Option<Lease> {
        match self {
            Self::Settle(settle) => Some(settle.lease),
            Self::Grant(lease)
            | Self::Progress { lease, .. }
            | Self::Lose { lease, .. }
            | Self::Journal { lease, .. } => Some(*lease),
            _ => None,
        }
    }
}

/// How a lease ends.
#[derive(Clone, Debug)]
pub(crate) struct Settle<'m> {
    pub(crate) lease: Lease,
    pub(crate) stands: Stands<'m>,
    pub(crate) last_error: Option<&'m str>,
    pub(crate) progress: &'m str,
    /// Present if this lease counts as an attempt.
    pub(crate) story: Option<&'m str>,
}

/// How a dead delivery goes on.
#[derive(Clone, Debug)]
pub(crate) struct Revive {
    pub(crate) id: DeliveryId,
    pub(crate) at: Timestamp,
    /// Whose concurrency permit it needs next.
    pub(crate) handler: HandlerName,
    /// The lease that it has at once, if any.
    pub(crate) lease: Option<Lease>,
    /// True if this is the second chance that a re-send gives.
    pub(crate) resent: bool,
    /// The lease of its latest progress, and that progress with what failed to be tried anew.
    pub(crate) progress: Option<(u32, String)>,
}

/// What a change came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// It is made.
    Done,
    /// A lease has ended; the delivery has had so many attempts.
    Settled { attempts: u32 },
    /// The lease no longer holds: nothing is changed.
    Fenced,
}
