//! `kv`: a handler's own state; every change is committed together with its record.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::bindings::kv::{Error, Host};
use crate::calls::recorder::micros;
use crate::sandbox::state::{Powers, State, Stop};
use crate::{Answered, Call, LimitName, Limits};
use alert_manager_core::journal::{CallKind, KvChange, KvQuota, KvReply, KvWrite, LedgerError};

use super::{Done, NOT_IN_DESCRIBE, Plan, may_start, name_of, optional};

/// A read as it is recorded: the value in base64.
type ReadReply = Result<Option<String>, Error>;

impl Host for State {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        self.count_any()?;
        if let Err(error) = self.admit_read(&key) {
            return Ok(Err(error));
        }
        let name = name_of(None, &[b"get", key.as_bytes()]);
        let plan = Plan::new(CallKind::Kv, name, format!("get {key}"), false);
        if let Some(reply) = self.recorded::<ReadReply>(&plan)? {
            let reply = reply.map(|value| value.and_then(|text| STANDARD.decode(text).ok()));
            self.count_value(&reply);
            return Ok(reply);
        }
        self.begin(&plan);
        let value = match self.current(&key).await? {
            Ok(value) => value,
            Err(error) => {
                let done = Done::live(ReadReply::Err(error.clone()), explain(&error));
                let _ = self.finish(plan, done).await?;
                return Ok(Err(error));
            }
        };
        let result = match &value {
            Some(value) => format!("{} bytes", value.len()),
            None => "absent".to_owned(),
        };
        let reply: ReadReply = Ok(value.as_ref().map(|bytes| STANDARD.encode(bytes)));
        let _ = self.finish(plan, Done::live(reply, result)).await?;
        let value = Ok(value);
        self.count_value(&value);
        Ok(value)
    }

    async fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_seconds: Option<u32>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let change = KvChange::Set { value, ttl_seconds };
        Ok(self.change(key, change).await?.map(|_| ()))
    }

    async fn set_if_absent(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_seconds: Option<u32>,
    ) -> wasmtime::Result<Result<bool, Error>> {
        let change = KvChange::SetIfAbsent { value, ttl_seconds };
        let reply = self.change(key, change).await?;
        Ok(reply.map(|reply| reply == KvReply::WasAbsent(true)))
    }

    async fn increment(
        &mut self,
        key: String,
        by: i32,
        ttl_seconds: Option<u32>,
    ) -> wasmtime::Result<Result<i64, Error>> {
        let change = KvChange::Increment { by, ttl_seconds };
        Ok(match self.change(key, change).await? {
            Ok(KvReply::Value(value)) => Ok(value),
            Ok(other) => {
                let why = format!("the store answered an increment with {other:?}");
                return Err(Stop::Host(why).into());
            }
            Err(error) => Err(error),
        })
    }

    async fn remove(&mut self, key: String) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.change(key, KvChange::Remove).await?.map(|_| ()))
    }
}

impl State {
    /// Counts the call and checks its sizes.
    fn admit(&mut self, key: &str, value: &[u8]) -> Result<(), Error> {
        let Some(powers) = &mut self.powers else {
            return Err(Error::Unavailable(NOT_IN_DESCRIBE.to_owned()));
        };
        if let Err(hit) = powers.count(CallKind::Kv, key.len() + value.len()) {
            self.recorder.turned_away(CallKind::Kv, hit.limit);
            return Err(Error::BudgetExhausted(hit.to_string()));
        }
        let limits = &powers.limits;
        for (bytes, max, limit) in [
            (key.len(), limits.kv_key_bytes_max, LimitName::KvKeyBytes),
            (
                value.len(),
                limits.kv_value_bytes_max,
                LimitName::KvValueBytes,
            ),
        ] {
            if bytes > max as usize {
                self.recorder.turned_away(CallKind::Kv, limit);
                return Err(Error::TooLarge(max));
            }
        }
        Ok(())
    }

    /// The same for a call that brings in what the key holds.
    fn admit_read(&mut self, key: &str) -> Result<(), Error> {
        self.admit(key, b"")?;
        let left = self.powers.as_ref().map_or(Ok(()), Powers::check_in);
        left.map_err(|hit| {
            self.recorder.turned_away(CallKind::Kv, hit.limit);
            Error::BudgetExhausted(hit.to_string())
        })
    }

    fn count_value(&mut self, value: &Result<Option<Vec<u8>>, Error>) {
        if let (Some(powers), Ok(Some(value))) = (&mut self.powers, value) {
            powers.count_in(value.len());
        }
    }

    /// Reads the value as this invocation sees it.
    async fn current(&mut self, key: &str) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let Some(powers) = &self.powers else {
            return Ok(Err(Error::Unavailable(NOT_IN_DESCRIBE.to_owned())));
        };
        if let Some(value) = powers.kv_held_back.get(key) {
            return Ok(Ok(value.clone()));
        }
        match powers.ledger.kv_get(key.to_owned()).await {
            Ok(value) => Ok(Ok(value)),
            Err(error) => refuse(error).map(Err),
        }
    }

    async fn change(
        &mut self,
        key: String,
        change: KvChange,
    ) -> wasmtime::Result<Result<KvReply, Error>> {
        self.count_any()?;
        let parts = Parts::of(&change);
        if let Err(error) = self.admit(&key, parts.value) {
            return Ok(Err(error));
        }
        let plan = parts.plan(&key);
        if let Some(reply) = self.recorded::<KvReply>(&plan)? {
            return Ok(outcome(&key, reply));
        }
        if self.powers.as_ref().is_some_and(|powers| powers.dry_run) {
            return self.hold_back(plan, key, change).await;
        }
        if let Err(hit) = self.check_record(CallKind::Kv) {
            return Ok(Err(Error::BudgetExhausted(hit.to_string())));
        }
        if let Err(why) = may_start(self.powers.as_ref())? {
            let error = Error::Unavailable(why);
            let line = explain(&error);
            return self.finish(plan, Done::live(Err(error), line)).await;
        }
        self.begin(&plan);
        let Some(powers) = &mut self.powers else {
            return Ok(Err(Error::Unavailable(NOT_IN_DESCRIBE.to_owned())));
        };
        let limits = powers.limits;
        match commit(powers, &plan, &key, change).await {
            Ok(reply) => {
                self.recorder.recorded(powers.replay.used());
                match reply {
                    KvReply::QuotaExceeded => self.recorder.met(LimitName::KvBytes),
                    KvReply::TooManyKeys => self.recorder.met(LimitName::KvKeys),
                    _ => {}
                }
                let call = Call {
                    kind: CallKind::Kv,
                    request: plan.request,
                    result: describe(&reply, &limits),
                    answered: Answered::Live,
                    duration_us: micros(plan.began.elapsed()),
                    preview: None,
                };
                let reply = outcome(&key, reply);
                self.recorder.call(call, reply.is_ok());
                Ok(reply)
            }
            Err(error) => {
                let error = refuse(error)?;
                let line = explain(&error);
                self.finish(plan, Done::live(Err(error), line)).await
            }
        }
    }

    /// Makes the change in this invocation's own view alone.
    async fn hold_back(
        &mut self,
        plan: Plan,
        key: String,
        change: KvChange,
    ) -> wasmtime::Result<Result<KvReply, Error>> {
        let current = match self.current(&key).await? {
            Ok(current) => current,
            Err(error) => return Ok(Err(error)),
        };
        let (reply, write) = change.apply(current.as_deref());
        let next = match write {
            KvWrite::Keep => None,
            KvWrite::Put { value, .. } => Some(Some(value)),
            KvWrite::Remove => Some(None),
        };
        if let (Some(powers), Some(next)) = (&mut self.powers, next) {
            powers.kv_held_back.insert(key.clone(), next);
        }
        let limits = self.powers.as_ref().map(|powers| powers.limits);
        let limits = limits.unwrap_or_default();
        let result = format!("held back: {}", describe(&reply, &limits));
        let done = Done {
            answered: Answered::Preview,
            ..Done::live(outcome(&key, reply), result)
        };
        self.finish(plan, done).await
    }
}

async fn commit(
    powers: &mut Powers,
    plan: &Plan,
    key: &str,
    change: KvChange,
) -> Result<KvReply, LedgerError> {
    let before = powers.replay.held(powers.room_for_reads(0));
    let seq = powers.replay.take_seq();
    // What the store then knows is filled in by it.
    let mut entry = plan.entry(powers.clock.now(), seq, true, String::new(), String::new());
    let quota = KvQuota {
        bytes_max: powers.limits.kv_bytes_max,
        keys_max: powers.limits.kv_keys_max,
    };
    let outcome = powers
        .ledger
        .kv_change(key.to_owned(), change, quota, before, entry.clone())
        .await?;
    entry.reply = serde_json::to_string(&outcome.reply).unwrap_or_default();
    entry.result.clone_from(&entry.reply);
    if outcome.changed {
        powers.replay.record(&entry);
    } else {
        // As with every read: recorded once an effect comes after it, which it may have led to.
        entry.effect = false;
        powers.replay.hold(entry);
    }
    Ok(outcome.reply)
}

fn refuse(error: LedgerError) -> wasmtime::Result<Error> {
    match error {
        LedgerError::Unavailable(_) => Ok(Error::Unavailable(error.to_string())),
        LedgerError::LeaseLost => Err(Stop::Host(error.to_string()).into()),
    }
}

/// What tells one change of a key from another.
struct Parts<'a> {
    verb: &'static str,
    value: &'a [u8],
    by: i32,
    ttl_seconds: Option<u32>,
}

impl<'a> Parts<'a> {
    fn of(change: &'a KvChange) -> Self {
        let none = Parts {
            verb: "remove",
            value: b"",
            by: 0,
            ttl_seconds: None,
        };
        match change {
            KvChange::Set { value, ttl_seconds } => Self {
                verb: "set",
                value,
                ttl_seconds: *ttl_seconds,
                ..none
            },
            KvChange::SetIfAbsent { value, ttl_seconds } => Self {
                verb: "set-if-absent",
                value,
                ttl_seconds: *ttl_seconds,
                ..none
            },
            KvChange::Increment { by, ttl_seconds } => Self {
                verb: "increment",
                by: *by,
                ttl_seconds: *ttl_seconds,
                ..none
            },
            KvChange::Remove => none,
        }
    }

    fn plan(&self, key: &str) -> Plan {
        let ttl = self.ttl_seconds.map(u32::to_be_bytes);
        let [has_ttl, ttl] = optional(ttl.as_ref().map(<[u8; 4]>::as_slice));
        let name = name_of(
            None,
            &[
                self.verb.as_bytes(),
                key.as_bytes(),
                self.value,
                &self.by.to_be_bytes(),
                has_ttl,
                ttl,
            ],
        );
        Plan::new(CallKind::Kv, name, format!("{} {key}", self.verb), true)
    }
}

fn outcome(key: &str, reply: KvReply) -> Result<KvReply, Error> {
    match reply {
        KvReply::QuotaExceeded | KvReply::TooManyKeys => Err(Error::QuotaExceeded),
        KvReply::NotANumber => Err(Error::Unavailable(format!(
            "the value of {key} is not a number: remove it, or use another key"
        ))),
        reply => Ok(reply),
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

fn explain(error: &Error) -> String {
    match error {
        Error::TooLarge(max) => format!("too large: at most {max} bytes"),
        Error::QuotaExceeded => "over the quota".to_owned(),
        Error::Unavailable(why) => format!("unavailable: {why}"),
        Error::BudgetExhausted(which) => which.clone(),
    }
}
