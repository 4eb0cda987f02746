//! Changes of `kv`: `set`, `set-if-absent`, `increment` and `remove`.

use serde::{Deserialize, Serialize};

use super::{check_sizes, failed};
use crate::bindings::kv::Error;
use crate::calls::context::HostContext;
use crate::calls::driver::{Done, Effect, HostCall};
use crate::calls::naming::{Plan, name_of, optional};
use crate::calls::record::stored;
use crate::limits::quota::{LimitName, Limits};
use crate::sandbox::stop::Stop;
use alert_manager_core::journal::{CallKind, CallName, KvChange, KvOutcome, KvQuota, KvReply};

/// `kv.set`, `set-if-absent`, `increment` and `remove`.
pub(in crate::calls) struct KvUpdate {
    pub(in crate::calls) key: String,
    pub(in crate::calls) change: KvChange,
}

/// The result of a change. Only a reply of the store is recorded, not an error.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(in crate::calls) enum Changed {
    Reply(KvReply),
    Failed(Error),
}

impl Changed {
    /// Returns the guest's result.
    pub(super) fn outcome(self, key: &str) -> Result<KvReply, Error> {
        match self {
            Self::Reply(KvReply::QuotaExceeded | KvReply::TooManyKeys) => Err(Error::QuotaExceeded),
            Self::Reply(KvReply::NotANumber) => Err(Error::Unavailable(format!(
                "the value of {key} is not a number: remove it, or use another key"
            ))),
            Self::Reply(reply) => Ok(reply),
            Self::Failed(error) => Err(error),
        }
    }
}

impl HostCall for KvUpdate {
    const KIND: CallKind = CallKind::Kv;
    type Reply = Changed;
    type Error = Error;
    type Prepared = Self;

    fn name(&self) -> CallName {
        let Parts {
            verb,
            value,
            by,
            ttl_seconds,
        } = Parts::of(&self.change);
        let ttl = ttl_seconds.map(u32::to_be_bytes);
        let [has_ttl, ttl] = optional(ttl.as_ref().map(<[u8; 4]>::as_slice));
        let by = by.to_be_bytes();
        let key = self.key.as_bytes();
        name_of(None, &[verb.as_bytes(), key, value, &by, has_ttl, ttl])
    }

    fn line(&self) -> String {
        format!("{} {}", Parts::of(&self.change).verb, self.key)
    }

    fn changes(&self) -> bool {
        true
    }

    fn bytes_out(&self) -> usize {
        self.key.len() + Parts::of(&self.change).value.len()
    }

    fn is_ok(reply: &Changed) -> bool {
        match reply {
            Changed::Reply(reply) => !matches!(
                reply,
                KvReply::QuotaExceeded | KvReply::TooManyKeys | KvReply::NotANumber
            ),
            Changed::Failed(_) => false,
        }
    }

    fn failed(error: Error) -> Done<Changed> {
        failed(error, Changed::Failed)
    }

    fn check(self, host: &HostContext) -> Result<Self, Error> {
        check_sizes(host, &self.key, Parts::of(&self.change).value)?;
        Ok(self)
    }

    /// Makes the change visible to this invocation only.
    async fn hold_back(
        Self { key, change }: Self,
        _: &Plan,
        host: &mut HostContext,
    ) -> Result<Done<Changed>, Stop> {
        let current = match host.current(&key).await? {
            Ok(current) => current,
            Err(error) => return Ok(Self::failed(error)),
        };
        let quota = quota(&host.limits);
        let reply = host
            .held_back
            .change_kv(key, current.as_deref(), change, quota);
        note_limit(&reply, host);
        let line = format!("held back: {}", describe(&reply, &host.limits));
        Ok(Done::held_back(Changed::Reply(reply), line))
    }

    async fn live(
        Self { key, change }: Self,
        plan: &Plan,
        host: &mut HostContext,
    ) -> Result<Done<Changed>, Stop> {
        let before = host.reads_before(0);
        let seq = host.replay.take_seq();
        // The reply is known only when the change is made: the store adds it to the entry.
        let mut entry = plan.entry(host.clock.now(), seq, true, "", String::new());
        let quota = quota(&host.limits);
        let ledger = &host.ledger;
        let stored = stored(
            ledger
                .kv_change(key, change, quota, before, entry.clone())
                .await,
        )?;
        let KvOutcome { reply, changed } = match stored {
            Ok(outcome) => outcome,
            Err(why) => return Ok(Self::failed(Error::Unavailable(why))),
        };
        entry.reply = serde_json::to_string(&reply).unwrap_or_default();
        entry.result.clone_from(&entry.reply);
        if changed {
            host.replay.record(&entry);
        } else {
            // Nothing was changed, so it is recorded as a read: together with the next effect.
            entry.effect = false;
            host.replay.hold(entry);
        }
        note_limit(&reply, host);
        let line = describe(&reply, &host.limits);
        Ok(Done {
            effect: Effect::Recorded,
            ..Done::live(Changed::Reply(reply), line)
        })
    }
}

fn quota(limits: &Limits) -> KvQuota {
    KvQuota {
        bytes_max: limits.kv_bytes_max,
        keys_max: limits.kv_keys_max,
    }
}

fn note_limit(reply: &KvReply, host: &HostContext) {
    match reply {
        KvReply::QuotaExceeded => host.recorder.limit_hit(LimitName::KvBytes),
        KvReply::TooManyKeys => host.recorder.limit_hit(LimitName::KvKeys),
        _ => {}
    }
}

/// The parts of a change by which calls are named.
struct Parts<'a> {
    verb: &'static str,
    value: &'a [u8],
    by: i32,
    ttl_seconds: Option<u32>,
}

impl<'a> Parts<'a> {
    fn of(change: &'a KvChange) -> Self {
        let (verb, value, by, ttl_seconds): (_, &[u8], _, _) = match change {
            KvChange::Set { value, ttl_seconds } => ("set", value, 0, *ttl_seconds),
            KvChange::SetIfAbsent { value, ttl_seconds } => {
                ("set-if-absent", value, 0, *ttl_seconds)
            }
            KvChange::Increment { by, ttl_seconds } => ("increment", b"", *by, *ttl_seconds),
            KvChange::Remove => ("remove", b"", 0, None),
        };
        Self {
            verb,
            value,
            by,
            ttl_seconds,
        }
    }
}

fn describe(reply: &KvReply, limits: &Limits) -> String {
    match reply {
        KvReply::Done => "done".to_owned(),
        KvReply::WasAbsent(true) => "set".to_owned(),
        KvReply::WasAbsent(false) => "was there already".to_owned(),
        KvReply::Value(value) => value.to_string(),
        KvReply::QuotaExceeded => format!(
            "{}: keys and values together would be over {} bytes",
            LimitName::KvBytes,
            limits.kv_bytes_max
        ),
        KvReply::TooManyKeys => format!(
            "{}: it has all of its {} keys",
            LimitName::KvKeys,
            limits.kv_keys_max
        ),
        KvReply::NotANumber => "the value is not a number".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_reply_is_recorded_as_the_store_writes_it() {
        for reply in [
            KvReply::Done,
            KvReply::WasAbsent(false),
            KvReply::Value(-7),
            KvReply::QuotaExceeded,
            KvReply::TooManyKeys,
            KvReply::NotANumber,
        ] {
            let text = serde_json::to_string(&reply).unwrap();
            let back: Changed = serde_json::from_str(&text).unwrap();
            assert_eq!(back, Changed::Reply(reply));
        }
    }
}
