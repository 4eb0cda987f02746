//! The one order of every host call, whatever its interface:
//!
//! 1. **count**: it is counted, and refused if a budget of the step is used up;
//! 2. **replay**: if an earlier attempt has it on record, that is the answer;
//! 3. **check**: it is granted and well formed;
//! 4. **dry run**: an effect is held back;
//! 5. **record**: there is room on record for an effect, and the store can record one;
//! 6. **admit**: circuit breaker, hold, rate limit and gates let it through. If it has to wait, the store is asked again; if its
//!    delivery has to wait for its turn, the invocation ends;
//! 7. **begin**: it is noted what begins, durably if an earlier call has failed and this one could leave doubt;
//! 8. **live**: it is made;
//! 9. **finish**: an effect is made durable before the guest learns of it, a read is kept for the next effect.
//!
//! What is refused in step 1 is counted alone, since a loop may make a million such calls; everything after it is in the story.

use std::future::Future;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::calls::HookState;
use crate::calls::context::HostContext;
use crate::calls::naming::Plan;
use crate::limits::TRACE_LINE_BYTES_MAX;
use crate::limits::quota::LimitHit;
use crate::outbound::change::Change;
use crate::sandbox::stop::Stop;
use crate::text::masked;
use crate::trace::recorder::micros;
use crate::trace::{Answered, Call};
use alert_manager_core::gate::Parked;
use alert_manager_core::journal::{CallKind, CallName};

/// A call of one function of an interface: what differs from interface to interface.
pub(super) trait HostCall: Sized + Send {
    /// By which the call is counted and recorded.
    const KIND: CallKind;
    /// True if a change is committed in one transaction with its record: then nothing can happen without a record.
    const COMMITS_WITH_RECORD: bool = false;
    /// The reply, as it is recorded.
    type Reply: Serialize + DeserializeOwned + Send;
    /// Why there is none but this.
    type Error: From<Refused> + Send;
    /// The call, ready to be made.
    type Prepared: Send;

    /// Returns what the call is known by on a retry.
    fn name(&self) -> CallName;
    /// Returns how the story shows it: one line, free of secrets.
    fn line(&self) -> String;
    /// Returns true if it is an effect when it succeeds.
    fn changes(&self) -> bool;
    /// Returns how many bytes it takes out of the sandbox.
    fn bytes_out(&self) -> usize;
    /// Returns true if it is refused once [`crate::limits::quota::LimitName::BytesIn`] is used up.
    fn brings_in(&self) -> bool {
        false
    }
    /// Returns how many bytes the reply brings into the sandbox.
    fn bytes_in(_reply: &Self::Reply) -> usize {
        0
    }
    /// Returns true if the guest learns of a success.
    fn is_ok(reply: &Self::Reply) -> bool;
    /// Returns the end of a call that was not made, or not successfully.
    fn failed(error: Self::Error) -> Done<Self::Reply>;

    /// Checks that the call is granted and well formed, and gets it ready.
    ///
    /// # Errors
    /// What the guest learns.
    fn check(self, host: &HostContext) -> Result<Self::Prepared, Self::Error>;
    /// Returns what a dry run has instead of the effect. It is not asked of a call that changes nothing, which is made.
    fn hold_back(
        prepared: Self::Prepared,
        plan: &Plan,
        host: &mut HostContext,
    ) -> impl Future<Output = Result<Done<Self::Reply>, Stop>> + Send;
    /// Asks whether the call may be made now; returns how long it has to wait.
    ///
    /// # Errors
    /// The end of a call that is not made now.
    fn admit(
        _prepared: &mut Self::Prepared,
        _host: &HostContext,
    ) -> Result<Duration, Done<Self::Reply>> {
        Ok(Duration::ZERO)
    }
    /// Makes the call.
    ///
    /// # Errors
    /// If the invocation has to end.
    fn live(
        prepared: Self::Prepared,
        plan: &Plan,
        host: &mut HostContext,
    ) -> impl Future<Output = Result<Done<Self::Reply>, Stop>> + Send;
}

/// Why the driver refuses a call, whatever its interface.
#[derive(Clone, Debug)]
pub(super) enum Refused {
    /// A budget of the step or the delivery is used up.
    Limit(LimitHit),
    /// The store cannot record an effect now.
    Unrecordable(String),
}

/// How a call ended that was not answered from the record.
pub(super) struct Done<R> {
    pub(super) reply: R,
    /// One line for people.
    pub(super) line: String,
    /// What is known of the change, if it was to make one.
    pub(super) effect: Effect,
    pub(super) answered: Answered,
    /// Slack's text and blocks, if the message was shown instead of sent.
    pub(super) preview: Option<serde_json::Value>,
    /// Set if the delivery waits for its turn at a gate: the invocation ends, and the guest learns nothing of the reply.
    pub(super) parked: Option<Box<Parked>>,
}

/// What is known of the effect of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// If it was made, it is not on record yet.
    Of(Change),
    /// The store has recorded it together with the change, or nothing was changed.
    Recorded,
}

impl<R> Done<R> {
    /// Returns the end of a call that the world answered, which changed nothing unless it is said otherwise.
    pub(super) fn live(reply: R, line: impl Into<String>) -> Self {
        Self {
            reply,
            line: line.into(),
            effect: Effect::Of(Change::NotSent),
            answered: Answered::Live,
            preview: None,
            parked: None,
        }
    }

    /// Returns the end of an effect that a dry run held back.
    pub(super) fn held_back(reply: R, line: impl Into<String>) -> Self {
        Self {
            answered: Answered::Preview,
            ..Self::live(reply, line)
        }
    }

    /// Returns the end of a call that policy or a limit refused.
    pub(super) fn refused(reply: R, line: impl Into<String>) -> Self {
        Self {
            answered: Answered::Denied,
            ..Self::live(reply, line)
        }
    }
}

impl HookState {
    /// Makes a call in the one order.
    ///
    /// # Errors
    /// If the invocation has to end.
    pub(super) async fn call<C: HostCall>(&mut self, call: C) -> Result<C::Reply, Stop> {
        self.guest.count_host_call()?;
        self.host.call(call).await
    }
}

impl HostContext {
    async fn call<C: HostCall>(&mut self, call: C) -> Result<C::Reply, Stop> {
        let mut counted = self.count(C::KIND, call.bytes_out());
        if call.brings_in() {
            counted = counted.and_then(|()| self.check_in());
        }
        if let Err(hit) = counted {
            self.recorder.refused(C::KIND, hit.limit);
            return Ok(C::failed(Refused::Limit(hit).into()).reply);
        }
        let plan = Plan::new(C::KIND, call.name(), &call.line(), call.changes());
        if let Some(reply) = self.replayed::<C>(&plan)? {
            // As the first time, so that it comes to the same limit.
            self.count_in(C::bytes_in(&reply));
            return Ok(reply);
        }
        let done = self.perform(&plan, call).await?;
        self.count_in(C::bytes_in(&done.reply));
        self.finish::<C>(plan, done).await
    }

    /// Returns the recorded answer to this call; `None` if it is to be made.
    fn replayed<C: HostCall>(&mut self, plan: &Plan) -> Result<Option<C::Reply>, Stop> {
        let Some(entry) = self.replay.answer(plan.kind, &plan.name) else {
            return Ok(None);
        };
        self.clock.follow(&self.replay);
        let reply = serde_json::from_str(&entry.reply).map_err(|error| {
            Stop::Host(format!(
                "the record of call {} ({}) cannot be read: {error}",
                entry.seq, entry.request
            ))
        })?;
        let call = Call {
            kind: plan.kind,
            request: plan.request.clone(),
            result: entry.result,
            // The attempt that repeated it may have been cut off before its story said so.
            answered: match entry.in_doubt {
                true => Answered::Ambiguous,
                false => Answered::Recorded,
            },
            duration_us: micros(plan.began.elapsed()),
            preview: None,
        };
        self.recorder.call(call, true);
        Ok(Some(reply))
    }

    /// Makes a call that is not on record, unless something is in its way.
    async fn perform<C: HostCall>(&mut self, plan: &Plan, call: C) -> Result<Done<C::Reply>, Stop> {
        let unrecordable = |why| C::failed(Refused::Unrecordable(why).into());
        let mut prepared = match call.check(self) {
            Ok(prepared) => prepared,
            Err(error) => return Ok(C::failed(error)),
        };
        if plan.changes {
            if self.dry_run {
                return C::hold_back(prepared, plan, self).await;
            }
            if let Err(hit) = self.check_record() {
                self.recorder.met(hit.limit);
                return Ok(C::failed(Refused::Limit(hit).into()));
            }
            if let Err(why) = self.may_start()? {
                return Ok(unrecordable(why));
            }
        }
        match C::admit(&mut prepared, self) {
            Ok(Duration::ZERO) => {}
            Ok(wait) => {
                tokio::time::sleep(wait).await;
                // The lease may have been lost meanwhile.
                if plan.changes
                    && let Err(why) = self.may_start()?
                {
                    return Ok(unrecordable(why));
                }
            }
            Err(done) => return Ok(done),
        }
        if plan.changes {
            self.replay.go_live();
        }
        let leaves_doubt = plan.changes && !C::COMMITS_WITH_RECORD;
        if leaves_doubt && let Err(why) = self.note(plan).await? {
            return Ok(unrecordable(why));
        }
        let recorded_to = self.replay.recorded_to();
        self.recorder.begin(plan.named(), leaves_doubt, recorded_to);
        C::live(prepared, plan, self).await
    }

    /// Records the call, adds it to the story, and returns the guest's answer.
    async fn finish<C: HostCall>(
        &mut self,
        plan: Plan,
        mut done: Done<C::Reply>,
    ) -> Result<C::Reply, Stop> {
        done.line = masked(&done.line, TRACE_LINE_BYTES_MAX);
        match done.effect {
            Effect::Recorded => self.recorder.recorded(&self.replay),
            Effect::Of(_) if !plan.changes => {
                if let Ok(reply) = serde_json::to_string(&done.reply) {
                    self.hold_read(&plan, &done.line, reply);
                }
            }
            Effect::Of(Change::Made) => {
                let in_doubt = self.recorder.is_in_doubt(plan.kind, &plan.name);
                if in_doubt && done.answered == Answered::Live {
                    done.answered = Answered::Ambiguous;
                }
                let reply = serde_json::to_string(&done.reply).map_err(|error| {
                    Stop::Host(format!("an answer cannot be recorded: {error}"))
                })?;
                self.record(&plan, &done.line, reply, in_doubt).await?;
                self.recorder.carried(plan.kind, &plan.name);
                self.recorder.recorded(&self.replay);
            }
            Effect::Of(Change::Unknown) => {
                done.answered = Answered::Ambiguous;
                let recorded_to = self.replay.recorded_to();
                self.recorder.sent(&plan.named(), &done.line, recorded_to);
            }
            // What policy refuses was not under way before either.
            Effect::Of(Change::NotSent | Change::Refused) if done.answered == Answered::Live => {
                self.recorder.failed(&plan.named());
            }
            Effect::Of(Change::NotSent | Change::Refused) => {}
        }
        let is_ok = C::is_ok(&done.reply);
        let call = Call {
            kind: plan.kind,
            request: plan.request,
            result: done.line,
            answered: done.answered,
            duration_us: micros(plan.began.elapsed()),
            preview: done.preview,
        };
        self.recorder.call(call, is_ok);
        match done.parked {
            Some(parked) => Err(self.park(parked).await),
            None => Ok(done.reply),
        }
    }
}
