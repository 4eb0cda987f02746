//! The changes that a transaction makes to a store.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use alert_manager_core::alert::{Alert, DeliveryId, Fingerprint, HandlerName, Timestamp};
use alert_manager_core::gate::GateName;
use alert_manager_core::journal::Entry;

use crate::model::{
    AfterLease, Audited, CrashOutcome, EventChange, GrantUsed, Lease, NewDelivery, Reason, Storm,
    Tally, Text, TimerId,
};

/// A change, as the rules have decided it.
#[derive(Clone, Debug)]
pub(crate) enum Change<'m> {
    /// A new delivery, with its alert.
    Insert(NewDelivery<'m>),
    /// A delivery is leased.
    Grant(Lease),
    /// A leased delivery has progressed.
    Progress { lease: Lease, progress: Text<'m> },
    /// The progress of a delivery, leased or not, has been changed by another. `lease` is its latest.
    PutProgress {
        id: DeliveryId,
        lease: u32,
        progress: String,
    },
    /// A lease ends.
    Settle(Settle<'m>),
    /// A revoked lease ends: only its progress and story are stored, if the delivery still is.
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
    /// A dead delivery is queued again, by a person or a re-send.
    Revive(Revive),
    /// A delivery that waits for another try is due now. `progress` is the lease of its latest progress, and that progress with
    /// every pending step due; absent if it has none.
    MakeDue {
        id: DeliveryId,
        progress: Option<(u32, String)>,
    },
    /// A person has cancelled a delivery.
    Cancel { id: DeliveryId, at: Timestamp },
    /// The server died under a lease.
    Crashed(CrashOutcome),
    /// What is remembered of an event changes.
    Remember(EventChange),
    /// A refused part of a body is kept as a dead delivery.
    KeepPart {
        digest: [u8; 32],
        kept_as: DeliveryId,
        at: Timestamp,
    },
    /// A refused part of a body was sent again.
    PartAgain { digest: [u8; 32], at: Timestamp },
    /// A death is to be reported later, with others of its class.
    Unreported {
        class: String,
        /// How many died, counting those that this one stood for.
        count: u64,
        id: DeliveryId,
        died_at: Timestamp,
    },
    /// This dead delivery is to be looked at later, alone. Changes nothing if that is stored already.
    UnreportedAlone {
        class: String,
        id: DeliveryId,
        at: Timestamp,
    },
    /// The deaths of a class are reported.
    Reported { class: String },
    /// A delivery is queued again before its death was reported: its next death counts as the first.
    ForgetDeath(DeliveryId),
    /// Earlier deaths were looked at up to this one; to the last if it is absent.
    EarlierDeathsSeen(Option<DeliveryId>),
    /// These are the alarms that were raised and have not ended.
    Alarms(BTreeSet<Fingerprint>),
    /// A delivery stands for others.
    Coalesce {
        representative: DeliveryId,
        /// To which all of them belong.
        storm: Option<DeliveryId>,
        members: Vec<DeliveryId>,
        /// Those of the members that stood for others, which are members now.
        merged: Vec<DeliveryId>,
        /// What belongs to the storm and waits behind them.
        resolves: Vec<DeliveryId>,
    },
    /// What a delivery stands for has ended.
    SettleMembers(SettleMembers),
    /// Another one stands for the members of a delivery, which belongs to no storm any more if it has fired.
    HandOver { from: DeliveryId, to: DeliveryId },
    /// A member runs by itself, or not at all.
    LeaveStorm(DeliveryId),
    /// What died with a delivery is sent again with it.
    ReviveMembers {
        representative: DeliveryId,
        at: Timestamp,
        /// True if this is the second chance that a re-send gives.
        resent: bool,
    },
    /// A storm is opened, or has changed.
    PutStorm(Storm),
    /// A storm is over.
    CloseStorm { id: DeliveryId, at: Timestamp },
    /// A service has said to wait: a gate is closed until then, in milliseconds since 1970.
    CloseGate { name: GateName, until_ms: i64 },
    /// An occurrence of an alert has ended.
    Over {
        /// Its resolved.
        alert: Arc<Alert>,
        /// The deliveries of its firing: the last on each route.
        ran_as: Vec<DeliveryId>,
        ends_at: Timestamp,
    },
    /// What the transaction has counted.
    Count(Tally),
    /// Grants have been used, which replaces what is stored of these uses.
    GrantsUsed(&'m [GrantUsed]),
    /// Something is added to the audit log.
    Audit(&'m Audited),
    /// A timer is no longer open: it was due, or is cancelled.
    RemoveTimer(TimerId),
}

impl Change<'_> {
    /// Returns the lease under which the change is made, if there is one.
    pub(crate) fn lease(&self) -> Option<Lease> {
        match self {
            Self::Settle(settle) => Some(settle.lease),
            Self::Grant(lease)
            | Self::Progress { lease, .. }
            | Self::Lose { lease, .. }
            | Self::Journal { lease, .. } => Some(*lease),
            Self::SettleMembers(settle) => settle.lease,
            _ => None,
        }
    }
}

/// How a lease ends.
#[derive(Clone, Debug)]
pub(crate) struct Settle<'m> {
    pub(crate) lease: Lease,
    pub(crate) after: AfterLease<'m>,
    pub(crate) last_error: Option<&'m str>,
    pub(crate) progress: Text<'m>,
    /// Present if this lease counts as an attempt.
    pub(crate) story: Option<&'m str>,
}

/// How the members of a generation end.
#[derive(Clone, Debug)]
pub(crate) struct SettleMembers {
    pub(crate) representative: DeliveryId,
    /// True if this delivery itself ends, and not its members.
    pub(crate) itself: bool,
    /// The lease of the representative that ends with it, if one does.
    pub(crate) lease: Option<Lease>,
    pub(crate) reason: Reason,
    pub(crate) at: Timestamp,
    pub(crate) last_error: String,
}

/// A dead delivery is queued again.
#[derive(Clone, Debug)]
pub(crate) struct Revive {
    pub(crate) id: DeliveryId,
    pub(crate) at: Timestamp,
    /// The handler whose concurrency permit it needs next.
    pub(crate) handler: HandlerName,
    /// Its lease, if it is leased in the same transaction.
    pub(crate) lease: Option<Lease>,
    /// True if a re-send of its event revives it, which happens once.
    pub(crate) resent: bool,
    /// The lease of its latest progress, and that progress with its failed steps pending again.
    pub(crate) progress: Option<(u32, String)>,
}

/// The result of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// It is made.
    Done,
    /// A lease has ended; the delivery has had this number of attempts.
    Settled { attempts: u32 },
    /// This number of members was settled with their representative.
    Members { count: u64 },
    /// The lease is no longer valid: nothing is changed.
    Fenced,
}
