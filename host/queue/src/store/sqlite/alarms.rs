//! Alarms: alerts of the server's own that somebody raises and ends, unlike notices, which follow from deaths. Those that fire
//! are listed, so that a start finds them without a scan, and whatever senders send.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension as _, params};

use crate::model::{IfBlocked, Raised};
use alert_manager_core::alert::{Alert, Event, Fingerprint, is_dead_letter_route};

use super::committer::{Committer, Group};
use super::deaths;
use super::notices::Followed;
use super::rows::Stored;

/// In `meta`: the fingerprints of the alarms that were raised and have not ended, 8 bytes each.
const ALARMS: &str = "alarms";

impl Committer {
    /// Stores an alert of the server's own, unless it fires already.
    pub(super) fn raise(
        &mut self,
        group: &mut Group,
        alert: &Alert,
        if_blocked: IfBlocked,
    ) -> rusqlite::Result<Raised> {
        let mut fire = self.alarms_that_fire()?;
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
        let raised = self.notify(group, &*notices, alert.clone())?;
        if matches!(raised, Raised::Stored | Raised::Known) {
            self.put_alarms_that_fire(&fire)?;
        }
        Ok(raised)
    }

    /// Ends what fires of an alert of the server's own. If it cannot be ended now it is to be ended again.
    pub(super) fn end_all(
        &mut self,
        group: &mut Group,
        fingerprint: Fingerprint,
    ) -> rusqlite::Result<Followed> {
        let mut followed = Followed::Now;
        let firings = self.firings(fingerprint)?;
        for event in &firings {
            self.follow_no_more(*event)?;
        }
        if let Some(notices) = self.notices() {
            for event in firings {
                if self.resolve(group, &*notices, event)? == Followed::NotNow {
                    followed = Followed::NotNow;
                }
            }
        }
        if followed == Followed::Now {
            let mut fire = self.alarms_that_fire()?;
            if fire.remove(&fingerprint) {
                self.put_alarms_that_fire(&fire)?;
            }
        }
        Ok(followed)
    }

    /// Returns the alarms that fire. One that retention has removed fires no longer: it may be raised again.
    pub(super) fn alarms(&self) -> rusqlite::Result<Vec<Alert>> {
        let mut alarms = Vec::new();
        for fingerprint in self.alarms_that_fire()? {
            for event in self.firings(fingerprint)? {
                alarms.extend(self.own_alert_of(event)?);
            }
        }
        let fire = alarms.iter().map(|alarm| alarm.fingerprint).collect();
        self.put_alarms_that_fire(&fire)?;
        Ok(alarms)
    }

    /// What waits for room on its next way does not take it: nothing would end it there.
    fn follow_no_more(&self, firing: Event) -> rusqlite::Result<()> {
        let known = self.events.look_up(&self.conn, firing)?;
        let runs = known.firing.map(|kept| kept.memory).unwrap_or_default();
        for id in runs.deliveries() {
            deaths::forget_notice(&self.conn, id)?;
        }
        Ok(())
    }

    /// Returns the alert of an event, if it took a way to report.
    fn own_alert_of(&self, event: Event) -> rusqlite::Result<Option<Alert>> {
        let known = self.events.look_up(&self.conn, event)?;
        let runs = known.firing.map(|kept| kept.memory).unwrap_or_default();
        for id in runs.deliveries() {
            let stored = Stored::load(&self.conn, id)?;
            if stored.is_some_and(|stored| is_dead_letter_route(&stored.route)) {
                return self.alert_of(id);
            }
        }
        Ok(None)
    }

    fn alarms_that_fire(&self) -> rusqlite::Result<BTreeSet<Fingerprint>> {
        let stored: Option<Vec<u8>> = self
            .conn
            .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
            .query_row([ALARMS], |row| row.get(0))
            .optional()?;
        let stored = stored.unwrap_or_default();
        let (words, _) = stored.as_chunks::<8>();
        let fingerprints = words.iter().map(|word| u64::from_be_bytes(*word));
        Ok(fingerprints.map(Fingerprint).collect())
    }

    fn put_alarms_that_fire(&self, fire: &BTreeSet<Fingerprint>) -> rusqlite::Result<()> {
        let bytes: Vec<u8> = fire.iter().flat_map(|one| one.0.to_be_bytes()).collect();
        self.conn
            .prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?
            .execute(params![ALARMS, bytes])?;
        Ok(())
    }
}
