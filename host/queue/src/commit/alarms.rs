//! Alarms: alerts that the server raises and ends about itself, unlike notices, which follow from deaths. The store has a list of
//! those that fire, so that they are found at startup without a scan, and are not confused with alerts of senders.

use alert_manager_core::alert::{Alert, Event, Fingerprint, Priority, is_dead_letter_route};

use crate::model::{IfBlocked, Raised};
use crate::rules::deaths::class_of_notice;
use crate::store::{Change, StoreError, Txn};

use super::group::Work;
use super::notices::Followed;

impl<T: Txn> Work<'_, '_, T> {
    /// Raises an alarm, unless it fires already.
    pub(super) fn raise(
        &mut self,
        alert: &Alert,
        if_blocked: IfBlocked,
    ) -> Result<Raised, StoreError> {
        self.flush()?;
        let mut fire = self.txn.alarms()?;
        let is_known = !fire.insert(alert.fingerprint);
        if is_known && !self.firings(alert.fingerprint)?.is_empty() {
            return Ok(Raised::Known);
        }
        let Some(notices) = self.notices() else {
            return Ok(Raised::Nowhere);
        };
        if if_blocked == IfBlocked::Leave && notices.ways().iter().all(|way| way.is_blocked) {
            return Ok(Raised::Nowhere);
        }
        let raised = self.notify(&*notices, alert.clone(), Priority::Critical)?;
        if matches!(raised, Raised::Stored | Raised::Known) {
            self.push(Change::Alarms(fire));
        }
        Ok(raised)
    }

    /// Ends an alarm. If that cannot be stored now, it has to be ended again.
    pub(super) fn end_all(&mut self, fingerprint: Fingerprint) -> Result<Followed, StoreError> {
        let mut followed = Followed::Now;
        let firings = self.firings(fingerprint)?;
        for event in &firings {
            self.follow_no_more(*event)?;
        }
        if let Some(notices) = self.notices() {
            for event in firings {
                if self.resolve(&*notices, event)? == Followed::NotNow {
                    followed = Followed::NotNow;
                }
            }
        }
        if followed == Followed::Now {
            self.flush()?;
            let mut fire = self.txn.alarms()?;
            if fire.remove(&fingerprint) {
                self.push(Change::Alarms(fire));
            }
        }
        Ok(followed)
    }

    /// Returns the alarms that fire. One that retention has removed does not: it may be raised again.
    pub(super) fn alarms(&mut self) -> Result<Vec<Alert>, StoreError> {
        let mut alarms = Vec::new();
        self.flush()?;
        for fingerprint in self.txn.alarms()? {
            for event in self.firings(fingerprint)? {
                alarms.extend(self.own_alert_of(event)?);
            }
        }
        let fire = alarms.iter().map(|alarm: &Alert| alarm.fingerprint);
        self.push(Change::Alarms(fire.collect()));
        Ok(alarms)
    }

    /// Drops what is stored to be looked at again of an alarm, so that it takes no further way: nothing would end it there.
    fn follow_no_more(&mut self, firing: Event) -> Result<(), StoreError> {
        for id in self.known(firing)?.firing_memory().deliveries() {
            let class = class_of_notice(id);
            self.push(Change::Reported { class });
        }
        Ok(())
    }

    /// Returns the alert of an event, if it was raised by the server.
    fn own_alert_of(&mut self, event: Event) -> Result<Option<Alert>, StoreError> {
        for id in self.known(event)?.firing_memory().deliveries() {
            let row = self.row(id)?;
            if row.is_some_and(|row| is_dead_letter_route(&row.route)) {
                return self.alert_of(id);
            }
        }
        Ok(None)
    }
}
