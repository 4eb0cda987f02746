//! The trait that an author implements, and the adapter that exports it as the contract's hooks.

#[cfg(target_family = "wasm")]
use std::mem::ManuallyDrop;

use crate::bindings::alert_manager::handler::types;
use crate::bindings::exports::alert_manager::handler::hooks;
use crate::{Alert, Cx, Enrichment, Facts, Failure};

pub use hooks::Description;

/// An alert handler.
///
/// Only [`describe`](Handler::describe) and [`act`](Handler::act) are required. A step may run more than once for one
/// alert: after a failure that asks for a retry, or after a crash. Host calls that changed something and succeeded are
/// not repeated then; they return their recorded results.
///
/// ```
/// use handler_sdk::prelude::*;
///
/// struct Greeter;
///
/// impl Handler for Greeter {
///     fn describe() -> Description {
///         Description::new("greeter", env!("CARGO_PKG_VERSION"), "Says which pod it is.").alerts(["PodDown"])
///     }
///
///     fn act(cx: &Cx, alert: &Alert, _found: &Enrichment) -> Result<Facts, Failure> {
///         let pod = alert.label("pod").ok_or_else(|| Failure::permanent("the alert has no label `pod`"))?;
///         cx.slack().post(Message::new("alerts", format!("{pod} is down")))?;
///         Ok(Facts::new().with("pod", pod))
///     }
/// }
///
/// handler_sdk::export!(Greeter);
/// ```
pub trait Handler {
    /// Returns the handler's description. It must be the same on every call, and must not call the host.
    fn describe() -> Description;

    /// Finds out what a person or a later handler needs to know, and returns what it adds to `so_far`.
    ///
    /// It does not hold back a notification: if it fails, or takes longer than the operator allows, the pipeline
    /// continues with a fact that gives the reason. Slack is denied here. The default implementation adds nothing; a
    /// handler that keeps it declares so with [`Description::act_only`], so that the host does not call it.
    ///
    /// # Errors
    /// A failure becomes the fact `enrich_failed.NAME` once the attempts are used up.
    fn enrich(cx: &Cx, alert: &Alert, so_far: &Enrichment) -> Result<Enrichment, Failure> {
        let _ = (cx, alert, so_far);
        Ok(Enrichment::new())
    }

    /// Responds to a firing alert; returns facts about what it did, which the delivery's story records.
    ///
    /// # Errors
    /// Whether the step is retried depends only on the kind of failure.
    fn act(cx: &Cx, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure>;

    /// Responds to an alert that has resolved. The default implementation does nothing.
    ///
    /// # Errors
    /// Whether the step is retried depends only on the kind of failure.
    fn resolved(cx: &Cx, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
        let _ = (cx, alert, found);
        Ok(Facts::new())
    }
}

impl Description {
    /// Returns a description without alertnames; [`alerts`](Self::alerts) sets them.
    ///
    /// `name` is in kebab-case, `version` is semantic (`env!("CARGO_PKG_VERSION")`), `summary` one sentence.
    pub fn new(
        name: impl Into<String>,
        version: impl Into<String>,
        summary: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            summary: summary.into(),
            alerts: Vec::new(),
            more: Vec::new(),
        }
    }

    /// Sets the alertnames that are routed to the handler if the configuration has no routes; `*` for any.
    #[must_use]
    pub fn alerts<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.alerts = names.into_iter().map(Into::into).collect();
        self
    }

    /// Declares that [`Handler::enrich`] keeps its default implementation, so that the host starts one instance for an
    /// alert instead of two. If the handler does implement `enrich`, it is not called.
    #[must_use]
    pub fn act_only(mut self) -> Self {
        // The name is defined in `handler.wit`, in the comment of `more`.
        self.more.push(("steps".into(), "act".into()));
        self
    }

    /// Declares that one run of [`Handler::act`] may represent many alerts of a storm. The host then runs it for one of them
    /// and describes the others in what was found ([`Enrichment::storm`](crate::Enrichment::storm)).
    ///
    /// A handler that restarts a pod or opens a ticket for each alert does not declare it, and runs for each alert.
    #[must_use]
    pub fn storm_one(mut self) -> Self {
        // The name is defined in `handler.wit`, in the comment of `more`.
        self.more.push(("storm".into(), "one".into()));
        self
    }

    /// Declares that [`Handler::act`] and [`Handler::resolved`] do nothing, so that the host does not call them: a handler
    /// that only enriches. If they do something, it does not happen.
    #[must_use]
    pub fn enrich_only(mut self) -> Self {
        // The name is defined in `handler.wit`, in the comment of `more`.
        self.more.push(("steps".into(), "enrich".into()));
        self
    }
}

/// Exports a [`Handler`] under the contract's names.
#[cfg(target_family = "wasm")]
#[derive(Debug)]
pub struct Adapter<H>(std::marker::PhantomData<H>);

#[cfg(target_family = "wasm")]
impl<H: Handler> hooks::Guest for Adapter<H> {
    fn describe() -> Description {
        H::describe()
    }

    // An instance serves one call and is dropped: freeing each string of the alert first would cost more than
    // many handlers do themselves.

    fn enrich(call: types::Call, alert: Alert, so_far: Enrichment) -> Result<Enrichment, Failure> {
        let (alert, so_far) = (ManuallyDrop::new(alert), ManuallyDrop::new(so_far));
        H::enrich(&Cx::new(call, crate::imports::Imports), &alert, &so_far)
    }

    fn act(call: types::Call, alert: Alert, found: Enrichment) -> Result<types::Labels, Failure> {
        let (alert, found) = (ManuallyDrop::new(alert), ManuallyDrop::new(found));
        run_act::<H>(&Cx::new(call, crate::imports::Imports), &alert, &found)
            .map(Facts::into_labels)
    }
}

/// Calls the method for the alert's status: the contract has one `act`, the trait has two methods.
pub(crate) fn run_act<H: Handler>(
    cx: &Cx,
    alert: &Alert,
    found: &Enrichment,
) -> Result<Facts, Failure> {
    match alert.status {
        types::Status::Firing => H::act(cx, alert, found),
        types::Status::Resolved => H::resolved(cx, alert, found),
    }
}
