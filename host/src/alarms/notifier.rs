//! Raises the server's own alerts by the ways that there are, and knows whether anybody is notified.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::dead_letters::Notices;
use super::{Reporting, Ways};
use crate::alert::{Alert, Status};
use crate::queue::{IfBlocked, Queue, Raised};
use crate::runtime::Holds;

/// One for the server; all alarms use it.
pub(crate) struct Notifier {
    queue: Queue,
    holds: Arc<Holds>,
    /// As it was when the ways were last computed after the first scan of the folder.
    reporting: ArcSwapOption<Reporting>,
}

impl Notifier {
    pub(crate) fn new(queue: Queue, holds: Arc<Holds>) -> Self {
        Self {
            queue,
            holds,
            reporting: ArcSwapOption::empty(),
        }
    }

    /// Takes the ways, as they follow from the newest configuration and modules. Logs if nobody is notified: not before the
    /// first scan of the folder has ended, then once and after each change.
    pub(crate) fn set_ways(&self, ways: Ways, has_scanned: bool) {
        let reporting = ways.reporting();
        let notices = (reporting == Reporting::On)
            .then(|| Arc::new(Notices::new(ways, Arc::clone(&self.holds))) as _);
        self.queue.set_dead_letters(notices);
        if has_scanned
            && self.reporting.swap(Some(Arc::new(reporting))).as_deref() != Some(&reporting)
            && let Some(warning) = reporting.warning()
        {
            tracing::warn!("{warning}");
        }
    }

    /// Raises or ends an alert of the server's own; returns false if that is to be tried again.
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

    /// Logs what was raised, and counts what there was no way for.
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
