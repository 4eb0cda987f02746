//! Alerts of the server's own: who makes them, which fire, and whether they still hold.

use std::sync::Arc;

use tokio::sync::oneshot;

use alert_manager_core::alert::{Alert, Fingerprint, Status};

use super::Queue;
use super::commit::inbox::Urgent;
use super::model::{DeadLetterNotices, IfBlocked, Raised, ReadError};
use super::rules::notices::{is_current, subject_of, ways_left};

impl Queue {
    /// Changes who makes the alerts about dead letters. Each alert is stored in the transaction of the death that it is about;
    /// what died while nobody was to be notified is reported once somebody is, many of a kind in one alert.
    pub fn set_dead_letters(&self, notices: Option<Arc<dyn DeadLetterNotices>>) {
        *self.inner.shared.dead_letters.lock() = notices;
        self.look_again();
    }

    /// Has notices that wait for what is held take a way that has become free: to be called if [`DeadLetterNotices::ways`]
    /// returns others.
    pub fn look_again(&self) {
        self.inner.shared.inbox.push(Urgent::LookAgain);
    }

    /// Reports an alert of the server's own by the best way, unless it fires already.
    ///
    /// # Errors
    /// If the store has been closed.
    pub async fn raise(&self, alert: Alert, if_blocked: IfBlocked) -> Result<Raised, ReadError> {
        let (reply, raised) = oneshot::channel();
        self.inner.shared.inbox.push(Urgent::Raise {
            alert: Box::new(alert),
            if_blocked,
            reply,
        });
        raised
            .await
            .map_err(|_| ReadError("it has been closed".into()))
    }

    /// Counts an alert of the server's own that there was no way to report.
    pub fn count_unreported(&self) {
        self.inner.shared.losses.lock().unreported += 1;
    }

    /// Returns the alerts of the server's own that were raised and have not ended.
    ///
    /// # Errors
    /// If the store has been closed.
    pub async fn alarms(&self) -> Result<Vec<Alert>, ReadError> {
        let (reply, alarms) = oneshot::channel();
        self.inner.shared.inbox.push(Urgent::Alarms(reply));
        alarms
            .await
            .map_err(|_| ReadError("it has been closed".into()))
    }

    /// Ends an alert of the server's own on the ways on which it was reported. Returns false if there is no room for that now:
    /// then it is to be ended again.
    ///
    /// # Errors
    /// If the store has been closed.
    pub async fn end(&self, fingerprint: Fingerprint) -> Result<bool, ReadError> {
        let (reply, ended) = oneshot::channel();
        let end = Urgent::End { fingerprint, reply };
        self.inner.shared.inbox.push(end);
        ended
            .await
            .map_err(|_| ReadError("it has been closed".into()))
    }

    /// Returns true if an alert is a notice about a delivery that is no longer dead, or that has died anew since.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn is_out_of_date(&self, notice: &Alert) -> Result<bool, ReadError> {
        let subject = subject_of(notice);
        let Some(subject) = subject.filter(|_| notice.status == Status::Firing) else {
            return Ok(false);
        };
        let starts_at = notice.starts_at;
        self.inner
            .read(move |inner| {
                let subject = inner.reader.delivery(subject)?;
                Ok(subject.is_some_and(|subject| !is_current(&subject, starts_at)))
            })
            .await
    }

    /// Returns true if a way is free that an alert of the server's own has not taken: if this one fails, that may do.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn has_another_way(&self, notice: &Alert) -> Result<bool, ReadError> {
        let notices = self.inner.shared.dead_letters.lock().clone();
        let mut ways = notices.map(|notices| notices.ways()).unwrap_or_default();
        ways.retain(|way| !way.is_blocked);
        let event = notice.event();
        self.inner
            .read(move |inner| Ok(!ways_left(ways, &inner.reader.runs(event)?).is_empty()))
            .await
    }
}
