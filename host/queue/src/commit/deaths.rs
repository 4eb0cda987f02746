//! Deaths: in the transaction in which a delivery dies, its death is counted and reported, or stored to be reported with others
//! (`rules/deaths.rs`).

use std::collections::BTreeSet;
use std::sync::Arc;

use alert_manager_core::alert::{DeliveryId, Fingerprint, Labels, Timestamp, is_dead_letter_route};

use crate::model::{
    DeadLetter, DeadLetterNotices, DeadLetters, Delivery, NOTICES_A_WINDOW_MAX, Raised, Reason,
    State,
};
use crate::rules::deaths::{
    Class, WINDOW_MS, class_of, class_of_notice, is_never_alone, parse_class, should_follow,
    should_report,
};
use crate::store::{Change, StoreError, Txn, Unreported};

use super::group::Work;
use super::notices::Followed;

/// How many classes are reported in one transaction.
const CLASSES_A_STEP_MAX: u32 = 100;

/// How many deaths from before the store gathered unreported ones are looked at in one transaction.
const EARLIER_A_STEP: u32 = 300;

/// How old such a death may be to be reported.
const EARLIER_MS_MAX: i64 = 6 * 24 * 60 * 60 * 1_000;

/// What is reported together with a death.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Together<'a> {
    /// How many it stood for, which died with it.
    pub(super) with: u64,
    /// What it waited for, if it was not done in time.
    pub(super) waited_for: Option<&'a str>,
}

impl<T: Txn> Work<'_, '_, T> {
    /// Counts and reports the death of a delivery, which was decided before.
    pub(super) fn die(&mut self, id: DeliveryId, reason: Reason) -> Result<(), StoreError> {
        self.die_with(id, reason, Together::default())
    }

    /// The same of one that stood for others, or is reported with what waited for the same.
    pub(super) fn die_with(
        &mut self,
        id: DeliveryId,
        reason: Reason,
        together: Together<'_>,
    ) -> Result<(), StoreError> {
        self.group.died += u64::from(reason.is_dead_letter());
        let Some(dead) = self.delivery(id)? else {
            return Ok(());
        };
        self.count_dead(id, &dead, reason);
        if self.reports_settled() {
            self.group.settled.push(dead.clone());
        }
        if should_follow(reason, &dead) {
            if self.follow(&dead)? == Followed::NotNow {
                self.follow_later(id);
            }
            return Ok(());
        }
        if !should_report(reason, &dead) {
            return Ok(());
        }
        let class = class_of(reason, together.waited_for, &dead.handlers);
        if !is_never_alone(reason) && self.state.reports.try_count(&class, self.group.ticks) {
            let about = DeadLetter::One {
                delivery: &dead,
                with: together.with,
            };
            if self.report(&about, &class)? {
                self.group.noticed.push(class);
                return Ok(());
            }
            self.state.reports.uncount(&class);
        }
        self.report_later(class, &dead, 1 + together.with)
    }

    /// Stores the death of a delivery that a crash has killed, to be reported once there is somebody to report to. Returns the
    /// delivery.
    pub(super) fn found_dead(&mut self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        let Some(dead) = self.delivery(id)? else {
            return Ok(None);
        };
        let reason = dead.reason.unwrap_or(Reason::Died);
        self.count_dead(id, &dead, reason);
        if should_follow(reason, &dead) {
            self.follow_later(id);
        } else if should_report(reason, &dead) {
            self.report_later(class_of(reason, None, &dead.handlers), &dead, 1)?;
        }
        Ok(Some(dead))
    }

    /// Stores a death that is to be reported with others of its class.
    fn report_later(
        &mut self,
        class: String,
        dead: &Delivery,
        count: u64,
    ) -> Result<(), StoreError> {
        let priority = self.priority_of(dead.id)?;
        self.state.urgency.note(&class, priority);
        self.push(Change::Unreported {
            class,
            count,
            id: dead.id,
            died_at: dead.settled_at.unwrap_or(dead.received_at),
        });
        self.state.reports.gathered(self.group.ticks);
        Ok(())
    }

    /// Stores that a notice has ended whose next way, or whose resolved, cannot be stored now.
    pub(super) fn follow_later(&mut self, notice: DeliveryId) {
        self.push(Change::UnreportedAlone {
            class: class_of_notice(notice),
            id: notice,
            at: self.now,
        });
        self.state.reports.gathered(self.group.ticks);
    }

    /// Reports the unreported deaths.
    pub(super) fn report_gathered(&mut self) -> Result<(), StoreError> {
        let now = self.group.ticks;
        if self.look_at_earlier()? {
            self.state.reports.set_due(Some(now));
            return Ok(());
        }
        self.state.reports.forget(now);
        self.flush()?;
        let unreported = self.txn.unreported(CLASSES_A_STEP_MAX)?;
        let mut are_left = unreported.len() == CLASSES_A_STEP_MAX as usize;
        for class in unreported {
            let notices = self.report_class(&class)?;
            are_left |= notices.is_none();
            if let Some(notices) = notices {
                self.state.reports.count(&class.class, now, notices);
                self.push(Change::Reported { class: class.class });
            }
        }
        if !are_left {
            self.state.urgency.all_reported();
        }
        let due = are_left.then_some(now + WINDOW_MS);
        self.state.reports.set_due(due);
        Ok(())
    }

    /// Reports one class: a few deaths each in a notice, many in one. Returns the number of notices; nothing if the handlers for dead
    /// letters have no room for them now.
    fn report_class(&mut self, class: &Unreported) -> Result<Option<u32>, StoreError> {
        let Class {
            reason,
            waited_for,
            handlers,
        } = parse_class(&class.class);
        if class.count > u64::from(NOTICES_A_WINDOW_MAX) || is_never_alone(reason) {
            let alertnames = self.names_of(&class.ids)?;
            let many = DeadLetters {
                alertnames: &alertnames,
                priority: self.state.urgency.of(&class.class),
                reason,
                waited_for: waited_for.as_deref(),
                handlers: &handlers,
                count: class.count,
                since: class.since,
            };
            let reported = self.report(&DeadLetter::Many(many), &class.class)?;
            if reported {
                self.state.urgency.forget(&class.class);
            }
            self.group.coalesced += if reported { class.count } else { 0 };
            return Ok(reported.then_some(1));
        }
        let mut notices = 0;
        for id in &class.ids {
            // It may have been retried or removed since.
            let found = self.delivery(*id)?;
            let is_notice = |found: &Delivery| is_dead_letter_route(&found.route);
            let is_reported = match found {
                Some(notice) if is_notice(&notice) => {
                    !matches!(notice.state, State::Done | State::Dead)
                        || self.follow(&notice)? == Followed::Now
                }
                Some(dead) if dead.state == State::Dead => {
                    let with = self.revived_with(*id)? as u64 - 1;
                    let delivery = &dead;
                    self.report(&DeadLetter::One { delivery, with }, &class.class)?
                }
                _ => {
                    self.push(Change::ForgetDeath(*id));
                    continue;
                }
            };
            if !is_reported {
                // The notices before it are known events now, so that they are not made again.
                return Ok(None);
            }
            notices += 1;
        }
        Ok(Some(notices))
    }

    /// Returns the names of the alerts of these deliveries, none twice.
    fn names_of(&mut self, ids: &[DeliveryId]) -> Result<Vec<String>, StoreError> {
        let mut names = BTreeSet::new();
        for id in ids {
            let found = self.delivery(*id)?.map(|dead| dead.alertname);
            names.extend(found.filter(|name| !name.is_empty()));
        }
        Ok(names.into_iter().collect())
    }

    /// Stores a notice; returns false if there is nobody to report to, or no room for it in the queue.
    fn report(&mut self, about: &DeadLetter<'_>, class: &str) -> Result<bool, StoreError> {
        let Some(notices) = self.notices() else {
            return Ok(false);
        };
        let notice = notices.notice(about, self.now);
        let priority = match about {
            DeadLetter::One { delivery, .. } => self.priority_of(delivery.id)?,
            DeadLetter::Many(_) => self.state.urgency.of(class),
        };
        let raised = self.notify(&*notices, notice, priority)?;
        Ok(matches!(raised, Raised::Stored | Raised::Known))
    }

    pub(super) fn notices(&self) -> Option<Arc<dyn DeadLetterNotices>> {
        self.shared.dead_letters.lock().clone()
    }

    /// Looks at some deaths from before the store gathered unreported ones, and gathers those that have no notice. Returns true if
    /// there may be more.
    fn look_at_earlier(&mut self) -> Result<bool, StoreError> {
        let Some(notices) = self.notices() else {
            return Ok(false);
        };
        self.flush()?;
        let Some(earlier) = self.txn.earlier_deaths(EARLIER_A_STEP)? else {
            return Ok(false);
        };
        let oldest = self.now.as_millisecond() - EARLIER_MS_MAX;
        for dead in &earlier.deliveries {
            let died_at = dead.settled_at.map_or(0, Timestamp::as_millisecond);
            let reason = dead.reason.unwrap_or(Reason::Failed);
            if died_at <= oldest || died_at > earlier.until_ms || !should_report(reason, dead) {
                continue;
            }
            let about = DeadLetter::One {
                delivery: dead,
                with: 0,
            };
            let mut notice = notices.notice(&about, self.now);
            // The fingerprint that notices had then: all were critical.
            let severity = Labels::from_iter([("severity", "critical")]);
            notice.fingerprint = Fingerprint::of(&notice.labels.merged(&severity));
            if self.known(notice.event())?.firing.is_none() {
                self.report_later(class_of(reason, None, &dead.handlers), dead, 1)?;
            }
        }
        let seen = earlier.deliveries.last().map(|dead| dead.id);
        self.push(Change::EarlierDeathsSeen(seen));
        Ok(seen.is_some())
    }
}
