//! `timer`: calls a handler's `act` again later. Each change is committed together with its record.

use serde::{Deserialize, Serialize};

use crate::bindings::timer::{Error, Host};
use crate::bindings::types::Labels;
use crate::calls::HookState;
use crate::calls::context::HostContext;
use crate::calls::driver::{Done, Effect, HostCall, Refused};
use crate::calls::naming::{Plan, name_of};
use crate::calls::record::stored;
use crate::facts;
use crate::limits::quota::{LimitName, Limits};
use crate::limits::{TIMER_KEY_BYTES_MAX, TIMER_SECONDS_MAX, TIMERS_OPEN_MAX};
use crate::sandbox::stop::Stop;
use alert_manager_core::alert::{Enrichment, StepKind};
use alert_manager_core::journal::{CallKind, CallName, TimerChange, TimerQuota, TimerReply};

/// The fact by which `act` recognizes the timer that calls it.
const KEY_FACT: &str = "timer.key";

/// What the interface answers during `enrich`.
const IN_ENRICH: &str =
    "timers are denied during enrich: set them in act, which is called again when they are due";

impl Host for HookState {
    async fn after(
        &mut self,
        key: String,
        delay_seconds: u32,
        facts: Labels,
    ) -> wasmtime::Result<Result<(), Error>> {
        let set = Some(Set {
            delay_seconds,
            facts,
        });
        Ok(self.call(TimerCall { key, set }).await?.outcome())
    }

    async fn cancel(&mut self, key: String) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.call(TimerCall { key, set: None }).await?.outcome())
    }
}

/// `timer.after`, and without `set` `timer.cancel`.
pub(super) struct TimerCall {
    pub(super) key: String,
    pub(super) set: Option<Set>,
}

/// What a timer is set to.
pub(super) struct Set {
    pub(super) delay_seconds: u32,
    pub(super) facts: Labels,
}

/// The result of a change. Only a reply of the store is recorded, not an error.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Changed {
    Reply(TimerReply),
    Failed(Error),
}

impl Changed {
    /// Returns the guest's result.
    fn outcome(self) -> Result<(), Error> {
        match self {
            Self::Reply(TimerReply::Done | TimerReply::Absent) => Ok(()),
            Self::Reply(TimerReply::TooMany) => Err(Error::BudgetExhausted(format!(
                "{}: {TIMERS_OPEN_MAX} timers are open for this alert: cancel one, or use its key again",
                LimitName::Timers
            ))),
            Self::Reply(TimerReply::TooLarge) => Err(Error::BudgetExhausted(format!(
                "{}: this handler's open timers would be over their limit together",
                LimitName::TimerBytes
            ))),
            Self::Failed(error) => Err(error),
        }
    }
}

/// A checked call.
pub(super) struct Prepared {
    key: String,
    change: TimerChange,
}

impl HostCall for TimerCall {
    const KIND: CallKind = CallKind::Timer;
    type Reply = Changed;
    type Error = Error;
    type Prepared = Prepared;

    fn name(&self) -> CallName {
        let key = self.key.as_bytes();
        let Some(set) = &self.set else {
            return name_of(None, &[b"cancel", key]);
        };
        let delay = set.delay_seconds.to_be_bytes();
        let mut parts: Vec<&[u8]> = vec![b"after", key, &delay];
        for (name, value) in &set.facts {
            parts.extend([name.as_bytes(), value.as_bytes()]);
        }
        name_of(None, &parts)
    }

    fn line(&self) -> String {
        match &self.set {
            Some(set) => format!("after {} s: {}", set.delay_seconds, self.key),
            None => format!("cancel {}", self.key),
        }
    }

    fn changes(&self) -> bool {
        true
    }

    fn bytes_out(&self) -> usize {
        let facts = self.set.iter().flat_map(|set| &set.facts);
        let facts = facts.map(|(name, value)| name.len() + value.len());
        self.key.len() + facts.sum::<usize>()
    }

    fn is_ok(reply: &Changed) -> bool {
        matches!(reply, Changed::Reply(TimerReply::Done | TimerReply::Absent))
    }

    fn failed(error: Error) -> Done<Changed> {
        let line = match &error {
            Error::Denied(why) => format!("denied: {why}"),
            Error::Invalid(why) => format!("invalid: {why}"),
            Error::Unavailable(why) => format!("unavailable: {why}"),
            Error::BudgetExhausted(which) => which.clone(),
        };
        match error {
            Error::Unavailable(_) => Done::live(Changed::Failed(error), line),
            _ => Done::refused(Changed::Failed(error), line),
        }
    }

    fn check(self, host: &HostContext) -> Result<Prepared, Error> {
        if host.step == StepKind::Enrich {
            return Err(Error::Denied(IN_ENRICH.to_owned()));
        }
        match self.key.len() {
            0 => return Err(Error::Invalid("key: it is empty".to_owned())),
            1..=TIMER_KEY_BYTES_MAX => {}
            bytes => {
                return Err(Error::Invalid(format!(
                    "key: {bytes} bytes, at most {TIMER_KEY_BYTES_MAX}"
                )));
            }
        }
        let change = match self.set {
            None => TimerChange::Cancel,
            Some(set) => TimerChange::Set {
                delay_seconds: checked_delay(set.delay_seconds)?,
                found: found(host, &self.key, set.facts)?,
            },
        };
        Ok(Prepared {
            key: self.key,
            change,
        })
    }

    async fn hold_back(
        Prepared { key, change }: Prepared,
        _: &Plan,
        host: &mut HostContext,
    ) -> Result<Done<Changed>, Stop> {
        let done = match change {
            TimerChange::Set { .. } => "it would be set",
            TimerChange::Cancel => "it would be cancelled",
        };
        let alert = serde_json::to_string(&*host.alert).map_or(0, |json| json.len());
        let quota = quota(&host.limits);
        let reply = host.held_back.change_timer(&key, &change, alert, quota);
        note_limit(reply, host);
        let line = format!("held back: {}", describe(reply, done, &host.limits));
        Ok(Done::held_back(Changed::Reply(reply), line))
    }

    async fn live(
        Prepared { key, change }: Prepared,
        plan: &Plan,
        host: &mut HostContext,
    ) -> Result<Done<Changed>, Stop> {
        let before = host.reads_before(0);
        let seq = host.replay.take_seq();
        let reply = serde_json::to_string(&TimerReply::Done).unwrap_or_default();
        let line = match change {
            TimerChange::Set { .. } => "set",
            TimerChange::Cancel => "cancelled",
        };
        let mut entry = plan.entry(host.clock.now(), seq, true, line, reply);
        let quota = quota(&host.limits);
        let ledger = &host.ledger;
        let changed = ledger.timer_change(key, change, quota, before, entry.clone());
        let reply = match stored(changed.await)? {
            Ok(reply) => reply,
            Err(why) => return Ok(Self::failed(Error::Unavailable(why))),
        };
        let line = describe(reply, line, &host.limits);
        if reply.has_changed() {
            host.replay.record(&entry);
        } else {
            // Nothing was changed, so it is recorded as a read: together with the next effect.
            entry.effect = false;
            entry.reply = serde_json::to_string(&reply).unwrap_or_default();
            entry.result.clone_from(&line);
            host.replay.hold(entry);
        }
        note_limit(reply, host);
        Ok(Done {
            effect: Effect::Recorded,
            ..Done::live(Changed::Reply(reply), line)
        })
    }
}

/// Returns the delay. A timer is due after a second at the earliest, so that one that sets itself again does not keep the server
/// busy.
fn checked_delay(seconds: u32) -> Result<u32, Error> {
    if seconds > TIMER_SECONDS_MAX {
        return Err(Error::Invalid(format!(
            "delay-seconds: {seconds} s, at most {TIMER_SECONDS_MAX} (30 days)"
        )));
    }
    Ok(seconds.max(1))
}

/// Returns what `act` is given as found when the timer is due, as JSON: what it is given now, with these facts over it.
fn found(host: &HostContext, key: &str, given: Labels) -> Result<String, Error> {
    facts::check(&given, &host.limits).map_err(|why| Error::Invalid(why.to_string()))?;
    let own = [(KEY_FACT.to_owned(), key.to_owned())];
    let now = &host.found.facts;
    let all = now
        .merged(&facts::without_secrets(given))
        .merged(&own.into_iter().collect());
    // A timer that sets another adds its facts to those of the first. What enrichments found does not count.
    let max = host.limits.facts_max;
    let with_key = now.len() + usize::from(now.get(KEY_FACT).is_none());
    if all.len() > max && all.len() > with_key {
        return Err(Error::Invalid(format!(
            "{}: {} facts together with those of the delivery, at most {max}",
            LimitName::Facts,
            all.len()
        )));
    }
    let found = Enrichment {
        facts: all,
        blocks: host.found.blocks.clone(),
    };
    serde_json::to_string(&found).map_err(|error| Error::Invalid(error.to_string()))
}

fn quota(limits: &Limits) -> TimerQuota {
    TimerQuota {
        open_max: TIMERS_OPEN_MAX,
        bytes_max: limits.timer_bytes_max,
    }
}

fn note_limit(reply: TimerReply, host: &HostContext) {
    match reply {
        TimerReply::TooMany => host.recorder.limit_hit(LimitName::Timers),
        TimerReply::TooLarge => host.recorder.limit_hit(LimitName::TimerBytes),
        TimerReply::Done | TimerReply::Absent => {}
    }
}

fn describe(reply: TimerReply, done: &str, limits: &Limits) -> String {
    match reply {
        TimerReply::Done => done.to_owned(),
        TimerReply::Absent => "there is none".to_owned(),
        TimerReply::TooMany => format!(
            "{}: all {TIMERS_OPEN_MAX} timers of this alert are open",
            LimitName::Timers
        ),
        TimerReply::TooLarge => format!(
            "{}: open timers would be over {} bytes together",
            LimitName::TimerBytes,
            limits.timer_bytes_max
        ),
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Limit(hit) => Self::BudgetExhausted(hit.to_string()),
            Refused::Unrecordable(why) => Self::Unavailable(why),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_reply_is_recorded_as_the_store_writes_it() {
        for reply in [
            TimerReply::Done,
            TimerReply::Absent,
            TimerReply::TooMany,
            TimerReply::TooLarge,
        ] {
            let text = serde_json::to_string(&reply).unwrap();
            let back: Changed = serde_json::from_str(&text).unwrap();
            assert_eq!(back, Changed::Reply(reply));
        }
    }

    #[test]
    fn a_limit_of_open_timers_is_named_to_the_guest() {
        for (reply, limit) in [
            (TimerReply::TooMany, "timers:"),
            (TimerReply::TooLarge, "timer_bytes:"),
        ] {
            let Err(Error::BudgetExhausted(why)) = Changed::Reply(reply).outcome() else {
                panic!("it is taken");
            };
            assert!(why.starts_with(limit), "{why}");
        }
    }

    #[test]
    fn a_delay_has_a_least_and_a_most() {
        assert_eq!(checked_delay(0).unwrap(), 1);
        assert_eq!(checked_delay(TIMER_SECONDS_MAX).unwrap(), TIMER_SECONDS_MAX);
        let Err(Error::Invalid(why)) = checked_delay(TIMER_SECONDS_MAX + 1) else {
            panic!("it is taken");
        };
        assert!(why.contains("30 days"), "{why}");
    }
}
