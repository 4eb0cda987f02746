//! What an author writes: the trait, and the adapter that puts it under the contract's exports.

#[cfg(target_family = "wasm")]
use std::mem::ManuallyDrop;

use crate::bindings::alert_manager::handler::types;
use crate::bindings::exports::alert_manager::handler::hooks;
use crate::{Alert, Cx, Enrichment, Facts, Failure};

pub use hooks::Description;

/// An alert handler.
///
/// Only [`describe`](Handler::describe) and [`act`](Handler::act) must be written. A step may be run more
/// than once for one alert: after a failure that says so, or after a crash. Host calls that changed
/// something and had succeeded are not repeated then; they return what they returned before.
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
    /// Says who the handler is. The same on every call, and without asking the host for anything.
    fn describe() -> Description;

    /// Finds out what a person, or a later handler, needs to know, and returns what it adds to `so_far`.
    ///
    /// It holds back no notification: where it fails, or takes longer than the operator allows, the
    /// pipeline goes on with a fact that says why. Slack is denied here. By default adds nothing; a handler
    /// that leaves it at that says so with [`Description::act_only`], and is not called for it.
    ///
    /// # Errors
    /// A failure becomes the fact `enrich_failed.NAME` once its tries are used up.
    fn enrich(cx: &Cx, alert: &Alert, so_far: &Enrichment) -> Result<Enrichment, Failure> {
        let _ = (cx, alert, so_far);
        Ok(Enrichment::new())
    }

    /// Does something about a firing alert; returns facts about what it did, for the story.
    ///
    /// # Errors
    /// The kind of failure decides, alone, whether the step is tried again.
    fn act(cx: &Cx, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure>;

    /// Does something about an alert that has resolved. By default does nothing.
    ///
    /// # Errors
    /// The kind of failure decides, alone, whether the step is tried again.
    fn resolved(cx: &Cx, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
        let _ = (cx, alert, found);
        Ok(Facts::new())
    }
}

impl Description {
    /// Returns a description that serves no alertname until [`alerts`](Self::alerts) names some.
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

    /// Names the alertnames that it serves where no route says otherwise; `*` for any.
    #[must_use]
    pub fn alerts<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.alerts = names.into_iter().map(Into::into).collect();
        self
    }

    /// Says that [`Handler::enrich`] is left at its default: the host then starts one instance for an alert
    /// instead of two. A handler that says so and writes it all the same does not have it called.
    #[must_use]
    pub fn act_only(mut self) -> Self {
        // In `handler.wit`, at `more`.
        self.more.push(("steps".into(), "act".into()));
        self
    }
}

/// Puts a [`Handler`] under the names that the component exports.
#[cfg(target_family = "wasm")]
#[derive(Debug)]
pub struct Adapter<H>(std::marker::PhantomData<H>);

#[cfg(target_family = "wasm")]
impl<H: Handler> hooks::Guest for Adapter<H> {
    fn describe() -> Description {
        H::describe()
    }

    // An instance serves one call and is thrown away: to free every string of the alert before that would cost
    // more than small handlers do themselves.

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

/// Calls the method for the alert's status: one `act` of the contract is two methods of the trait.
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
