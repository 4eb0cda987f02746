//! Makes the host calls of every interface. Each call goes through the same steps, in this order:
//!
//! 1. **count**: the call is counted, and refused if a budget of the step is used up;
//! 2. **replay**: if an earlier attempt recorded it, the recorded reply is returned;
//! 3. **check**: the call is refused unless it is granted and well formed;
//! 4. **dry run**: an effect is shown instead of made;
//! 5. **record**: an effect is refused unless it fits into the record and the store can record it;
//! 6. **admit**: circuit breakers, rate limits and gates admit the call, refuse it or delay it. After a delay, step 5's check of
//!    the store is repeated. If the delivery has to wait for its turn at a gate, the invocation ends;
//! 7. **begin**: the recorder notes that the call begins. If an effect of this attempt has failed and this one could leave
//!    doubt, the note is stored durably first;
//! 8. **live**: the call is made;
//! 9. **finish**: an effect is recorded durably before the guest gets the reply. A read is kept in memory, and recorded
//!    together with the next effect, or when the delivery is parked. A change that has failed is recorded only in the latter case.
//!
//! A call that is refused in step 1 is only counted, because a loop may make a million of them. All others are in the story.

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
use crate::trace::elapsed::micros;
use crate::trace::{Answered, Call};
use alert_manager_core::gate::Parked;
use alert_manager_core::journal::{CallKind, CallName};

/// A call of one function of an interface, with everything that differs from interface to interface.
pub(super) trait HostCall: Sized + Send {
    /// The interface, for counts and records.
    const KIND: CallKind;
    /// The reply to the guest, which is also what is recorded.
    type Reply: Serialize + DeserializeOwned + Send;
    /// Why the call fails before it is made.
    type Error: From<Refused> + Send;
    /// The checked call.
    type Prepared: Send;

    /// Returns the name by which a retry finds the call in the record.
    fn name(&self) -> CallName;
    /// Returns the line of the story, without secrets.
    fn line(&self) -> String;
    /// Returns true if the call is an effect if it succeeds.
    fn changes(&self) -> bool;
    /// Returns the bytes that the call takes out of the sandbox.
    fn bytes_out(&self) -> usize;
    /// Returns true if the call is refused once [`crate::limits::quota::LimitName::BytesIn`] is used up.
    fn brings_in(&self) -> bool {
        false
    }
    /// Returns the bytes that the reply brings into the sandbox.
    fn bytes_in(_reply: &Self::Reply) -> usize {
        0
    }
    /// Returns true if the reply is a success.
    fn is_ok(reply: &Self::Reply) -> bool;
    /// Returns the result of a call that failed with this error.
    fn failed(error: Self::Error) -> Done<Self::Reply>;

    /// Checks that the call is granted and well formed.
    ///
    /// # Errors
    /// The error for the guest.
    fn check(self, host: &HostContext) -> Result<Self::Prepared, Self::Error>;
    /// Returns the result of an effect in a dry run. Other calls are made in a dry run too.
    ///
    /// # Errors
    /// If the invocation has to end.
    fn hold_back(
        prepared: Self::Prepared,
        plan: &Plan,
        host: &mut HostContext,
    ) -> impl Future<Output = Result<Done<Self::Reply>, Stop>> + Send;
    /// Asks circuit breakers and rate limits; returns how long to wait before the call is made.
    ///
    /// # Errors
    /// The result of a call that is not admitted.
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

/// Why the driver itself refuses a call.
#[derive(Clone, Debug)]
pub(super) enum Refused {
    /// A limit of the step or the delivery is used up.
    Limit(LimitHit),
    /// The store cannot record an effect now.
    Unrecordable(String),
}

/// The result of a call that was not replayed.
pub(super) struct Done<R> {
    pub(super) reply: R,
    /// The line of the story.
    pub(super) line: String,
    /// Whether the change was made and recorded; meaningless for a read.
    pub(super) effect: Effect,
    pub(super) answered: Answered,
    /// The Slack message as it was sent, if Slack has it or may have it.
    pub(super) sent: Option<serde_json::Value>,
    /// The text and blocks of a Slack message that was shown instead of posted, or the URL and body of a request.
    pub(super) preview: Option<serde_json::Value>,
    /// The lines of configuration that would allow a call that was denied.
    pub(super) allow: Option<String>,
    /// Set if the delivery waits for its turn at a gate: the invocation ends, and the guest learns nothing of the reply.
    pub(super) parked: Option<Box<Parked>>,
}

/// Whether an effect was made, and recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// The driver has to record it if it was made.
    Of(Change),
    /// The store has recorded it in the same transaction, or nothing was changed.
    Recorded,
}

impl<R> Done<R> {
    /// Returns the result of a call that was made and changed nothing. For an effect, the caller sets `effect`.
    pub(super) fn live(reply: R, line: impl Into<String>) -> Self {
        Self {
            reply,
            line: line.into(),
            effect: Effect::Of(Change::NotSent),
            answered: Answered::Live,
            sent: None,
            preview: None,
            allow: None,
            parked: None,
        }
    }

    /// Returns the result of an effect in a dry run.
    pub(super) fn held_back(reply: R, line: impl Into<String>) -> Self {
        Self {
            answered: Answered::Preview,
            ..Self::live(reply, line)
        }
    }

    /// Returns the result of a call that a policy denied. The lines of `why` after the first are the configuration that would
    /// allow it.
    pub(super) fn denied(
        why: &str,
        line: impl Into<String>,
        reply: impl FnOnce(String) -> R,
    ) -> Self {
        let allow = why.split_once('\n').map(|(_, lines)| lines.to_owned());
        Self {
            allow,
            ..Self::refused(reply(why.to_owned()), line)
        }
    }

    /// Returns the result of a call that a policy or a limit refused.
    pub(super) fn refused(reply: R, line: impl Into<String>) -> Self {
        Self {
            answered: Answered::Denied,
            ..Self::live(reply, line)
        }
    }
}

impl HookState {
    /// Makes a call, in the order of this module.
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
        let bytes_out = call.bytes_out();
        let mut counted = self.count(C::KIND, bytes_out);
        if call.brings_in() {
            counted = counted.and_then(|()| self.check_in());
        }
        if let Err(hit) = counted {
            self.recorder.count_refused(C::KIND, hit.limit);
            return Ok(C::failed(Refused::Limit(hit).into()).reply);
        }
        let plan = Plan::new(C::KIND, call.name(), &call.line(), call.changes());
        if let Some(reply) = self.replayed::<C>(&plan)? {
            // As on the first attempt, so that the limit is met at the same call.
            self.count_in(C::bytes_in(&reply));
            return Ok(reply);
        }
        let done = self.perform(&plan, call).await?;
        self.count_in(C::bytes_in(&done.reply));
        self.finish::<C>(plan, bytes_out, done).await
    }

    /// Returns the recorded reply; `None` if the call has to be made.
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
            // The attempt that recorded it may have been cut off before the call was in its story.
            answered: match entry.in_doubt {
                true => Answered::Ambiguous,
                false => Answered::Recorded,
            },
            offset_us: self.recorder.offset_us(plan.began),
            duration_us: micros(plan.began.elapsed()),
            bytes_out: 0,
            bytes_in: C::bytes_in(&reply) as u64,
            sent: None,
            preview: None,
            allow: None,
        };
        self.recorder.add_call(call, true);
        Ok(Some(reply))
    }

    /// Makes a call that is not on record: steps 3 to 8.
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
                self.recorder.limit_hit(hit.limit);
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
        let leaves_doubt = plan.changes && !C::KIND.is_stored_with_record();
        if leaves_doubt && let Err(why) = self.note(plan).await? {
            return Ok(unrecordable(why));
        }
        let recorded_to = self.replay.recorded_to();
        self.recorder.begin(plan.named(), leaves_doubt, recorded_to);
        C::live(prepared, plan, self).await
    }

    /// Records the call, adds it to the story, and returns the reply: step 9.
    async fn finish<C: HostCall>(
        &mut self,
        plan: Plan,
        bytes_out: usize,
        mut done: Done<C::Reply>,
    ) -> Result<C::Reply, Stop> {
        done.line = masked(&done.line, TRACE_LINE_BYTES_MAX);
        match done.effect {
            Effect::Recorded => self.recorder.set_recorded(&self.replay),
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
                self.recorder.effect_recorded(plan.kind, &plan.name);
                self.recorder.set_recorded(&self.replay);
            }
            Effect::Of(Change::Unknown) => {
                done.answered = Answered::Ambiguous;
                let recorded_to = self.replay.recorded_to();
                self.recorder
                    .outcome_unknown(&plan.named(), &done.line, recorded_to);
            }
            // A call that was refused here was not sent, so it settles and raises no doubts.
            Effect::Of(Change::NotSent | Change::Refused) if done.answered == Answered::Live => {
                self.recorder.failed(&plan.named());
            }
            Effect::Of(Change::NotSent | Change::Refused) => {}
        }
        let has_failed = plan.changes
            && matches!(done.effect, Effect::Of(change) if change != Change::Made)
            && matches!(done.answered, Answered::Live | Answered::Ambiguous);
        if has_failed
            && done.parked.is_none()
            && let Ok(reply) = serde_json::to_string(&done.reply)
        {
            self.hold_failed(&plan, &done.line, reply);
        }
        let is_ok = C::is_ok(&done.reply);
        let call = Call {
            kind: plan.kind,
            request: plan.request,
            result: done.line,
            answered: done.answered,
            offset_us: self.recorder.offset_us(plan.began),
            duration_us: micros(plan.began.elapsed()),
            bytes_out: bytes_out as u64,
            bytes_in: C::bytes_in(&done.reply) as u64,
            sent: done.sent,
            preview: done.preview,
            allow: done.allow,
        };
        self.recorder.add_call(call, is_ok);
        match done.parked {
            Some(parked) => Err(self.park(parked).await),
            None => Ok(done.reply),
        }
    }
}
