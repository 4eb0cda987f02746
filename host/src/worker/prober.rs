//! Finds out whether what is held or paused can go on: one delivery tries after each pause, and all that wait go when it succeeds.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::{Breakers, Phase};
use crate::journal::Dependency;
use crate::queue::{Queue, Wake};
use crate::runtime::{Hold, Runtime};

/// How long a delivery that was to find out has before another one is asked to.
const TRY_MIN: Duration = Duration::from_secs(1);

/// So often one delivery of those that wait for Slack or for a handler tries even if nothing is known to be held: they
/// waited since before a start, or were late to hear that a hold is gone.
const SWEEP: Duration = Duration::from_secs(30);

/// Sees to it that what waits for Slack or for a handler goes on.
pub(crate) struct Prober {
    pub(crate) queue: Queue,
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) breakers: Arc<Breakers>,
}

impl Prober {
    /// Runs until `phase` leaves [`Phase::Serving`].
    pub(crate) async fn run(self, mut phase: watch::Receiver<Phase>) {
        let holds = self.runtime.holds();
        let mut changes = holds.subscribe();
        let mut known: HashMap<Dependency, Hold> = HashMap::new();
        let mut next_sweep = Instant::now();
        loop {
            self.compare(&mut known);
            let now = Instant::now();
            if next_sweep <= now {
                next_sweep = now + SWEEP;
                for dependency in self.queue.awaited() {
                    // An origin has its handlers' own pace.
                    if !matches!(dependency, Dependency::Origin(_))
                        && !known.contains_key(&dependency)
                    {
                        self.queue.wake(&dependency, Wake::First);
                    }
                }
            }
            let mut next = next_sweep;
            let paused = self.breakers.probes().into_iter();
            let paused = paused.map(|(name, due)| (Dependency::Handler(name.to_string()), due));
            for (dependency, due) in holds.probes().into_iter().chain(paused) {
                if due <= now {
                    self.queue.wake(&dependency, Wake::First);
                }
                next = next.min(due.max(now + TRY_MIN));
            }
            tokio::select! {
                _ = phase.wait_for(|phase| *phase != Phase::Serving) => return,
                _ = changes.changed() => {}
                () = tokio::time::sleep_until(next.into()) => {}
            }
        }
    }

    /// Reports what is held anew and what no longer is, and wakes what waited for the latter.
    fn compare(&self, known: &mut HashMap<Dependency, Hold>) {
        let current = self.runtime.holds().current();
        let held: HashSet<Dependency> = current.iter().map(Hold::dependency).collect();
        known.retain(|dependency, hold| {
            let is_held = held.contains(dependency);
            if !is_held {
                let what = named(hold);
                tracing::info!("{what} is no longer held: what waits for it goes on");
                self.queue.wake(dependency, Wake::All);
            }
            is_held
        });
        for hold in current {
            let dependency = hold.dependency();
            if known
                .get(&dependency)
                .is_none_or(|known| known.code != hold.code)
            {
                let what = named(&hold);
                tracing::error!(
                    code = hold.code,
                    "{what} is held, nothing that waits for it is lost, and one delivery tries every 30 s: {hold}"
                );
            }
            known.insert(dependency, hold);
        }
    }
}

fn named(hold: &Hold) -> String {
    match &hold.channel {
        Some(channel) => format!("the Slack channel {channel}"),
        None => "all of Slack".to_owned(),
    }
}
