//! Checks with Slack, while the server runs, whether messages can be posted with the configuration: after the start and each
//! reload, and repeatedly as long as they cannot. What Slack accepts again is no longer held, if no message is about to find
//! that out.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::{Asked, Latest};
use crate::alert::Timestamp;
use crate::config::Config;
use crate::findings::Findings;
use crate::journal::Dependency;
use crate::queue::Queue;
use crate::runtime::Runtime;

/// How long after a problem was found, or while something is held, Slack is asked again, to notice that it was corrected there.
const ASK_AGAIN: Duration = Duration::from_secs(5 * 60);

/// Adds Slack's answers to the latest findings.
pub(crate) struct SlackCheck {
    pub(crate) config: Arc<ArcSwap<Config>>,
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) queue: Queue,
    pub(crate) latest: Arc<Latest>,
    /// True once the modules of the first scan are routed.
    pub(crate) ready: watch::Receiver<bool>,
    /// Changes with each reload.
    pub(crate) reloads: watch::Receiver<()>,
}

impl SlackCheck {
    /// Runs until the server ends.
    pub(crate) async fn run(mut self) {
        if self.ready.wait_for(|is_ready| *is_ready).await.is_err() {
            return;
        }
        loop {
            self.reloads.mark_unchanged();
            let config = self.config.load_full();
            let (mut asked, began) = (Asked::default(), Timestamp::now());
            if let Some(report) = self.runtime.check_slack().await {
                asked.slack(&config, &report);
                let is_awaited = |what: &Dependency| self.queue.waiting_for(what).total() > 0;
                let breaker = self.runtime.slack_breaker();
                breaker.release_checked(&config.slack, &report, began, is_awaited);
            }
            if self.reloads.has_changed().unwrap_or(false) {
                // The answers are about a configuration that is no longer in use.
                continue;
            }
            for note in &asked.notes {
                tracing::info!("{note}");
            }
            let is_fine = asked.findings == Findings::default();
            self.latest.take_online(asked.findings);
            let mut holds = self.runtime.slack_breaker().subscribe();
            let again = async {
                while is_fine && self.runtime.slack_breaker().holds().is_empty() {
                    if holds.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
                tokio::time::sleep(ASK_AGAIN).await;
            };
            tokio::select! {
                () = again => {}
                changed = self.reloads.changed() => if changed.is_err() { return },
            }
        }
    }
}
