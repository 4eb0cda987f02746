//! What a retry or a cancellation of selected deliveries would do.

use serde::{Deserialize, Serialize};

use super::{Delivery, Lenient};
use crate::alert::{HandlerName, StepKind};
use crate::journal::CallKind;

/// What is done with selected deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Dead ones are retried, those that wait for their next attempt run now.
    Retry,
    /// Those that are not settled are given up.
    Cancel,
}

/// What an action would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// The action.
    pub action: Lenient<Action>,
    /// The selected deliveries, in the order of acceptance.
    pub deliveries: Vec<Previewed>,
    /// The effects of all that would be retried: these were made, and are not repeated.
    pub kept: Vec<Made>,
}

/// What an action would do with one delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previewed {
    /// The delivery.
    pub delivery: Delivery,
    /// Why nothing would be done with it; null if something would be.
    pub refused: Option<String>,
    /// True if a later event of its alert has run: it is retried only with `force`, since what it says may be over.
    #[serde(default)]
    pub overtaken: bool,
    /// The steps that would run, or would not run any more.
    pub steps: Vec<(HandlerName, Lenient<StepKind>)>,
    /// The effects that were made, and are neither repeated nor undone.
    pub kept: Vec<Made>,
    /// The number of calls that may have been made without being recorded: they may be repeated.
    pub ambiguous: u64,
}

/// A number of effects of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// The interface.
    pub kind: Lenient<CallKind>,
    /// How many.
    pub count: u64,
}
