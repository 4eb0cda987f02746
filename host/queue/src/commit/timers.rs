//! Timers: a handler sets and cancels them with its record, and each becomes a delivery when it is due.

use std::borrow::Cow;
use std::collections::HashSet;

use alert_manager_core::alert::DeliveryId;
use alert_manager_core::journal::{LedgerError, TimerChange, TimerReply};

use crate::model::clock::Ticks;
use crate::model::{TIMER_DELAY_MS_MAX, TimerId};
use crate::rules::admission::Arrival;
use crate::store::{Change, StoreError, TimerOp, Txn};

use super::group::Work;
use super::inbox::TimerMessage;
use super::open_timers::TimerNews;

impl<'m, T: Txn> Work<'_, 'm, T> {
    /// Changes a handler's timers, and records the call that asks for it.
    pub(super) fn change_timer(
        &mut self,
        message: &'m TimerMessage,
    ) -> Result<Result<TimerReply, LedgerError>, StoreError> {
        if !self.holds(message.lease) {
            return Ok(Err(LedgerError::LeaseLost));
        }
        self.flush()?;
        let (mut due, mut set) = (Ticks::MAX, None);
        if let TimerChange::Set {
            delay_seconds,
            found,
        } = &message.change
        {
            let delay_ms = (i64::from(*delay_seconds) * 1_000).min(TIMER_DELAY_MS_MAX);
            due = self.group.ticks + delay_ms;
            set = Some((self.now.as_millisecond() + delay_ms, found.as_str()));
        }
        let changed = self.txn.timer(&TimerOp {
            handler: &message.handler,
            set_by: message.lease.id,
            key: &message.key,
            set,
            quota: message.quota,
        })?;
        if let Some(id) = changed.id {
            self.group.timers.push(match set {
                Some(_) => TimerNews::Set(id, message.handler.clone(), due),
                None => TimerNews::Gone(id),
            });
            let (lease, step) = (message.lease, message.step);
            self.record(lease, step, Cow::Borrowed(&message.before));
            self.record(
                lease,
                step,
                Cow::Borrowed(std::slice::from_ref(&message.entry)),
            );
        }
        Ok(Ok(changed.reply))
    }

    /// Makes a delivery of each timer that is due, unless it was changed in this transaction, or half of the queue waits for its
    /// handler already.
    pub(super) fn run_timers(&mut self, due: Vec<TimerId>) -> Result<(), StoreError> {
        if due.is_empty() {
            return Ok(());
        }
        self.flush()?;
        let changed: HashSet<_> = self.group.timers.iter().filter_map(TimerNews::id).collect();
        let mut full = HashSet::new();
        for id in due {
            if changed.contains(&id) {
                continue;
            }
            if let Some(timer) = self.txn.open_timer(id)? {
                let handler = &timer.handler;
                let has_room = !full.contains(handler)
                    && (self.shared.scheduler.lock()).has_room(std::slice::from_ref(handler));
                if !has_room {
                    if full.insert(handler.clone()) {
                        self.group.timers.push(TimerNews::Full(handler.clone()));
                    }
                    continue;
                }
                let (set_by, key) = (timer.set_by, timer.key.clone());
                match Arrival::of_timer(timer) {
                    Ok((arrival, plan)) => _ = self.insert(&arrival, &plan)?,
                    Err(error) => tracing::error!(
                        delivery = %set_by,
                        %error,
                        "the timer {key:?} of delivery {set_by} cannot be read from the store and is lost"
                    ),
                }
            }
            self.push(Change::RemoveTimer(id));
            self.group.timers.push(TimerNews::Gone(id));
        }
        Ok(())
    }

    /// Cancels the open timers of a delivery that a person has cancelled.
    pub(super) fn cancel_timers_of(&mut self, set_by: DeliveryId) -> Result<usize, StoreError> {
        self.flush()?;
        let open = self.txn.timers_of(set_by)?;
        let count = open.len();
        for id in open {
            self.push(Change::RemoveTimer(id));
            self.group.timers.push(TimerNews::Gone(id));
        }
        Ok(count)
    }
}
