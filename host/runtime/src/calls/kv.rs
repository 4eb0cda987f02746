//! `kv`: the state of a handler. Each change is committed together with its record.

pub(super) mod change;

use crate::bindings::kv::{Error, Host};
use crate::calls::HookState;
use crate::calls::bytes::Bytes;
use crate::calls::context::HostContext;
use crate::calls::driver::{Done, HostCall, Refused};
use crate::calls::naming::{Plan, name_of};
use crate::calls::record::stored;
use crate::limits::quota::LimitName;
use crate::sandbox::stop::Stop;
use alert_manager_core::journal::{CallKind, CallName, KvChange, KvReply};
use change::KvUpdate;

impl Host for HookState {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let value = self.call(KvGet { key }).await?;
        Ok(value.map(|value| value.map(|bytes| bytes.0)))
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

impl HookState {
    /// Makes a change, and returns the guest's result.
    async fn change(
        &mut self,
        key: String,
        change: KvChange,
    ) -> Result<Result<KvReply, Error>, Stop> {
        let changed = self
            .call(KvUpdate {
                key: key.clone(),
                change,
            })
            .await?;
        Ok(changed.outcome(&key))
    }
}

/// `kv.get`.
pub(super) struct KvGet {
    pub(super) key: String,
}

impl HostCall for KvGet {
    const KIND: CallKind = CallKind::Kv;
    type Reply = Result<Option<Bytes>, Error>;
    type Error = Error;
    type Prepared = String;

    fn name(&self) -> CallName {
        name_of(None, &[b"get", self.key.as_bytes()])
    }

    fn line(&self) -> String {
        format!("get {}", self.key)
    }

    fn changes(&self) -> bool {
        false
    }

    fn bytes_out(&self) -> usize {
        self.key.len()
    }

    fn brings_in(&self) -> bool {
        true
    }

    fn bytes_in(reply: &Self::Reply) -> usize {
        match reply {
            Ok(Some(value)) => value.0.len(),
            Ok(None) | Err(_) => 0,
        }
    }

    fn is_ok(reply: &Self::Reply) -> bool {
        reply.is_ok()
    }

    fn failed(error: Error) -> Done<Self::Reply> {
        failed(error, Err)
    }

    fn check(self, host: &HostContext) -> Result<String, Error> {
        check_sizes(host, &self.key, b"")?;
        Ok(self.key)
    }

    async fn hold_back(
        key: String,
        plan: &Plan,
        host: &mut HostContext,
    ) -> Result<Done<Self::Reply>, Stop> {
        Self::live(key, plan, host).await
    }

    async fn live(
        key: String,
        _: &Plan,
        host: &mut HostContext,
    ) -> Result<Done<Self::Reply>, Stop> {
        Ok(match host.current(&key).await? {
            Ok(value) => {
                let line = match &value {
                    Some(value) => format!("{} bytes", value.len()),
                    None => "absent".to_owned(),
                };
                Done::live(Ok(value.map(Bytes)), line)
            }
            Err(error) => Self::failed(error),
        })
    }
}

impl HostContext {
    /// Reads a value; in a dry run, with the changes of this invocation. The inner error is for the guest.
    async fn current(&self, key: &str) -> Result<Result<Option<Vec<u8>>, Error>, Stop> {
        if let Some(value) = self.held_back.kv.get(key) {
            return Ok(Ok(value.clone()));
        }
        let value = stored(self.ledger.kv_get(key.to_owned()).await)?;
        Ok(value.map_err(Error::Unavailable))
    }
}

fn check_sizes(host: &HostContext, key: &str, value: &[u8]) -> Result<(), Error> {
    let limits = &host.limits;
    #[rustfmt::skip]
    let bounds = [
        (key.len(), limits.kv_key_bytes_max, LimitName::KvKeyBytes),
        (value.len(), limits.kv_value_bytes_max, LimitName::KvValueBytes),
    ];
    for (bytes, max, limit) in bounds {
        if bytes > max as usize {
            host.recorder.limit_hit(limit);
            return Err(Error::TooLarge(max));
        }
    }
    Ok(())
}

fn failed<R>(error: Error, reply: fn(Error) -> R) -> Done<R> {
    let line = match &error {
        Error::TooLarge(max) => format!("too large: at most {max} bytes"),
        Error::QuotaExceeded => "over the quota".to_owned(),
        Error::Unavailable(why) => format!("unavailable: {why}"),
        Error::BudgetExhausted(which) => which.clone(),
    };
    match error {
        Error::TooLarge(_) | Error::BudgetExhausted(_) => Done::refused(reply(error), line),
        Error::QuotaExceeded | Error::Unavailable(_) => Done::live(reply(error), line),
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
