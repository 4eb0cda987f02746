//! Notices about dead letters, and alarms, which the server raises about itself.

use std::sync::Arc;

use tokio::sync::oneshot;

use alert_manager_core::alert::{Alert, Fingerprint, Status};

use super::Queue;
use super::commit::inbox::Urgent;
use super::model::{DeadLetterNotices, IfBlocked, Raised, ReadError};
use super::rules::notices::{is_current, subject_of, ways_left};

impl Queue {
    /// Sets what makes the notices about dead letters; nothing if nobody is to be notified. A notice is stored in the transaction of
    /// its death. Deaths that came while nobody was to be notified are reported now, many of one class in one notice.
    pub fn set_dead_letters(&self, notices: Option<Arc<dyn DeadLetterNotices>>) {
        *self.inner.shared.dead_letters.lock() = notices;
        self.look_again();
    }

    /// Has notices that wait for a dependency take a way that is no longer blocked. To be called when [`DeadLetterNotices::ways`]
    /// has changed.
    pub fn look_again(&self) {
        self.inner.shared.inbox.push(Urgent::LookAgain);
    }

    /// Raises an alarm: reports it by the best way, unless it fires already.
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

    /// Counts an alarm that there was no way to report.
    pub fn count_unreported(&self) {
        self.inner.shared.losses.lock().unreported += 1;
    }

    /// Returns the alarms that were raised and have not ended.
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

    /// Ends an alarm on the ways by which it was reported. Returns false if the queue has no room for that now: then it has to be
    /// ended again later.
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

    /// Returns true if an alert is a notice about a delivery that is no longer dead, or has died again since.
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

    /// Returns true if there is a way that is not blocked and that a notice or alarm has not taken: it takes that one if this one
    /// fails.
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
