//! Raises the server's own alerts on the ways that exist, and knows whether anybody is notified.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::dead_letters::Notices;
use super::{Reporting, Ways};
use crate::alert::{Alert, Status};
use crate::queue::{IfBlocked, Queue, Raised};
use crate::runtime::SlackBreaker;

/// Raises the server's own alerts; all alarms share it.
pub(crate) struct Notifier {
    queue: Queue,
    slack_breaker: Arc<SlackBreaker>,
    /// The result when the ways were last computed after the first scan of the folder.
    reporting: ArcSwapOption<Reporting>,
}

impl Notifier {
    pub(crate) fn new(queue: Queue, slack_breaker: Arc<SlackBreaker>) -> Self {
        Self {
            queue,
            slack_breaker,
            reporting: ArcSwapOption::empty(),
        }
    }

    /// Sets the ways that follow from the newest configuration and modules. If nobody is notified, that is logged: once after the
    /// first scan of the folder has ended, and after each change; as a warning if somebody was before.
    pub(crate) fn set_ways(&self, ways: Ways, has_scanned: bool) {
        let reporting = ways.reporting();
        let notices = (reporting == Reporting::On)
            .then(|| Arc::new(Notices::new(ways, Arc::clone(&self.slack_breaker))) as _);
        self.queue.set_dead_letters(notices);
        if !has_scanned {
            return;
        }
        let before = self.reporting.swap(Some(Arc::new(reporting)));
        let is_new = before.as_deref() != Some(&reporting);
        match (reporting.note().filter(|_| is_new), before.as_deref()) {
            (Some(note), Some(Reporting::On)) => tracing::warn!("{note}"),
            (Some(note), _) => tracing::info!("{note}"),
            (None, _) => {}
        }
    }

    /// Raises or resolves an alert of the server itself; returns false if that has to be retried.
    pub(super) async fn report(&self, alert: &Alert) -> bool {
        if alert.status == Status::Resolved {
            let ended = self.queue.end(alert.fingerprint).await;
            return ended.is_ok_and(|is_ended| is_ended);
        }
        match self.queue.raise(alert.clone(), IfBlocked::Wait).await {
            Ok(Raised::NoRoom) | Err(_) => false,
            Ok(raised) => {
                self.log(alert, raised);
                true
            }
        }
    }

    /// Logs alerts that were raised, and counts those that no way was free for.
    pub(super) fn log(&self, alert: &Alert, raised: Raised) {
        let (alertname, summary) = (alert.name(), alert.annotations.get("summary"));
        let summary = summary.unwrap_or_default();
        match raised {
            Raised::Stored => tracing::error!(alertname, "{summary}"),
            Raised::Known | Raised::NoRoom => {}
            Raised::Nowhere => {
                // An operator who has turned reports off reads the log.
                if self.reporting.load().as_deref() != Some(&Reporting::Off) {
                    self.queue.count_unreported();
                }
                tracing::error!(
                    alertname,
                    "nobody was notified, there is no way to report now: {summary}"
                );
            }
        }
    }
}
