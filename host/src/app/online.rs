//! Asks Slack, beside everything else, whether what is configured can be posted: once after the start and each reload, and
//! again for as long as it cannot.

use std::time::Duration;

use super::Shared;
use crate::review::{Asked, Findings};

/// How long until Slack is asked again where something is wrong: what was mended there is seen by then.
const ASK_AGAIN: Duration = Duration::from_secs(5 * 60);

impl Shared {
    /// Runs until the server ends.
    pub(super) async fn ask_slack(self) {
        let mut reloads = self.reloads.subscribe();
        loop {
            self.ready().await;
            reloads.mark_unchanged();
            let config = self.config.whole.load_full();
            let mut asked = Asked::default();
            if let Some(report) = self.runtime.ask_slack().await {
                asked.slack(&config, &report);
            }
            if reloads.has_changed().unwrap_or(false) {
                // What was asked is not the configuration any more.
                continue;
            }
            for note in &asked.notes {
                tracing::info!("{note}");
            }
            let is_fine = asked.findings == Findings::default();
            self.reviewed.take_online(asked.findings);
            let again = async {
                if is_fine {
                    std::future::pending::<()>().await;
                } else {
                    tokio::time::sleep(ASK_AGAIN).await;
                }
            };
            tokio::select! {
                () = again => {}
                changed = reloads.changed() => if changed.is_err() { return },
            }
        }
    }
}
