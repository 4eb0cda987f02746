//! `history`: what this server knows about earlier alerts. Its one function is a read, which needs no grant.

use crate::bindings::history::{Error, Host, Occurrence, Past};
use crate::bindings::timestamp;
use crate::calls::HookState;
use crate::calls::context::HostContext;
use crate::calls::driver::{Done, HostCall, Refused};
use crate::calls::naming::{Plan, name_of};
use crate::calls::record::stored;
use crate::limits::{HISTORY_LABEL_BYTES_MAX, HISTORY_LABELS_MAX, HISTORY_SECONDS_MAX};
use crate::sandbox::stop::Stop;
use alert_manager_core::alert::Timestamp;
use alert_manager_core::journal::{CallKind, CallName, Earlier, PastOccurrence};

impl Host for HookState {
    async fn earlier(
        &mut self,
        same: Vec<String>,
        within_seconds: u32,
    ) -> wasmtime::Result<Result<Past, Error>> {
        let asked = EarlierCall {
            same,
            within_seconds,
        };
        Ok(self.call(asked).await?)
    }
}

/// `history.earlier`.
pub(super) struct EarlierCall {
    pub(super) same: Vec<String>,
    pub(super) within_seconds: u32,
}

impl HostCall for EarlierCall {
    const KIND: CallKind = CallKind::History;
    type Reply = Result<Past, Error>;
    type Error = Error;
    type Prepared = Self;

    fn name(&self) -> CallName {
        let within = self.within_seconds.to_be_bytes();
        let mut parts: Vec<&[u8]> = vec![b"earlier", &within];
        parts.extend(self.same.iter().map(String::as_bytes));
        name_of(None, &parts)
    }

    fn line(&self) -> String {
        let Self {
            same,
            within_seconds,
        } = self;
        format!(
            "earlier within {within_seconds} s, same {}",
            same.join(", ")
        )
    }

    fn changes(&self) -> bool {
        false
    }

    fn bytes_out(&self) -> usize {
        self.same.iter().map(String::len).sum()
    }

    fn brings_in(&self) -> bool {
        true
    }

    fn bytes_in(reply: &Self::Reply) -> usize {
        reply
            .as_ref()
            .map_or(0, |past| past.occurrences.len() * size_of::<Occurrence>())
    }

    fn is_ok(reply: &Self::Reply) -> bool {
        reply.is_ok()
    }

    fn failed(error: Error) -> Done<Self::Reply> {
        let line = match &error {
            Error::Invalid(why) => format!("invalid: {why}"),
            Error::Unavailable(why) => format!("unavailable: {why}"),
            Error::BudgetExhausted(which) => which.clone(),
        };
        match error {
            Error::Unavailable(_) => Done::live(Err(error), line),
            Error::Invalid(_) | Error::BudgetExhausted(_) => Done::refused(Err(error), line),
        }
    }

    fn check(self, _: &HostContext) -> Result<Self, Error> {
        if self.same.len() > HISTORY_LABELS_MAX {
            return Err(Error::Invalid(format!(
                "same: {} labels, at most {HISTORY_LABELS_MAX}",
                self.same.len()
            )));
        }
        if let Some(long) = self.same.iter().find(|l| l.len() > HISTORY_LABEL_BYTES_MAX) {
            return Err(Error::Invalid(format!(
                "same: a label's name of {} bytes, at most {HISTORY_LABEL_BYTES_MAX}",
                long.len()
            )));
        }
        if self.within_seconds > HISTORY_SECONDS_MAX {
            return Err(Error::Invalid(format!(
                "within-seconds: {} s, at most {HISTORY_SECONDS_MAX} (90 days), which is how long history is kept",
                self.within_seconds
            )));
        }
        Ok(self)
    }

    async fn hold_back(
        prepared: Self,
        plan: &Plan,
        host: &mut HostContext,
    ) -> Result<Done<Self::Reply>, Stop> {
        Self::live(prepared, plan, host).await
    }

    async fn live(
        Self {
            same,
            within_seconds,
        }: Self,
        _: &Plan,
        host: &mut HostContext,
    ) -> Result<Done<Self::Reply>, Stop> {
        let since_ms = host.clock.now().as_millisecond() - i64::from(within_seconds) * 1_000;
        let since = Timestamp::from_millisecond(since_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let read = stored(host.ledger.earlier(Earlier { same, since }).await)?;
        Ok(match read {
            Ok(past) => {
                let line = match past.count {
                    1 => "1 occurrence".to_owned(),
                    count => format!("{count} occurrences"),
                };
                let occurrences = past.occurrences.into_iter().map(Occurrence::from);
                let past = Past {
                    count: past.count,
                    occurrences: occurrences.collect(),
                };
                Done::live(Ok(past), line)
            }
            Err(why) => Self::failed(Error::Unavailable(why)),
        })
    }
}

impl From<PastOccurrence> for Occurrence {
    fn from(past: PastOccurrence) -> Self {
        Self {
            delivery_id: past.delivery.to_string(),
            starts_at: timestamp(past.starts_at),
            ends_at: past.ends_at.map(timestamp),
            state: past.state,
        }
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
