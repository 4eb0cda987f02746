//! What the last runs of each hook have used, for those who set its limits. Kept in memory: it begins anew with each start.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

use crate::alert::{HandlerName, StepKind};
use crate::api::{Spread, Use};
use crate::runtime::Trace;

/// How many runs of a hook are kept.
const RUNS_MAX: usize = 500;

/// What one run has used.
#[derive(Clone, Copy, Debug)]
struct Run {
    wall_us: u64,
    cpu_us: u64,
    memory_bytes: u64,
}

/// The last runs of each hook of each handler.
#[derive(Debug, Default)]
pub(crate) struct Usage(Mutex<HashMap<(HandlerName, StepKind), VecDeque<Run>>>);

impl Usage {
    /// Notes a run.
    pub(super) fn note(&self, handler: &HandlerName, step: StepKind, trace: &Trace) {
        let run = Run {
            wall_us: trace.wall_us,
            cpu_us: trace.cpu_us,
            memory_bytes: trace.memory_bytes,
        };
        let mut all = self.0.lock();
        let runs = all.entry((handler.clone(), step)).or_default();
        if runs.len() == RUNS_MAX {
            runs.pop_front();
        }
        runs.push_back(run);
    }

    /// Returns what the last runs of a handler have used: of each hook that has run.
    pub(crate) fn of(&self, handler: &HandlerName) -> Vec<Use> {
        let hook = |step: StepKind| {
            let runs = self.0.lock().get(&(handler.clone(), step)).cloned()?;
            Some(Use {
                step: step.into(),
                runs: runs.len() as u64,
                wall_us: spread(runs.iter().map(|run| run.wall_us)),
                cpu_us: spread(runs.iter().map(|run| run.cpu_us)),
                memory_bytes: spread(runs.iter().map(|run| run.memory_bytes)),
            })
        };
        let hooks = [StepKind::Enrich, StepKind::Act].into_iter();
        hooks.filter_map(hook).collect()
    }
}

fn spread(amounts: impl Iterator<Item = u64>) -> Spread {
    let mut sorted: Vec<u64> = amounts.collect();
    sorted.sort_unstable();
    let at = |hundredths: usize| {
        let place = (sorted.len() * hundredths).div_ceil(100);
        sorted.get(place.saturating_sub(1)).copied().unwrap_or(0)
    };
    Spread {
        p50: at(50),
        p99: at(99),
        max: at(100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_runs_of_each_hook_are_kept_and_spread_by_size() {
        let (usage, handler) = (Usage::default(), HandlerName::new("a"));
        for n in 1..=RUNS_MAX as u64 + 100 {
            let trace = Trace {
                wall_us: n,
                memory_bytes: 7,
                ..Trace::default()
            };
            usage.note(&handler, StepKind::Act, &trace);
        }
        let used = usage.of(&handler);
        assert_eq!(used.len(), 1);
        assert_eq!((used[0].runs, used[0].memory_bytes.p50), (500, 7));
        let Spread { p50, p99, max } = used[0].wall_us;
        assert_eq!((p50, p99, max), (350, 595, 600));
        assert_eq!(usage.of(&HandlerName::new("b")), []);
    }

    #[test]
    fn one_run_is_all_of_them() {
        assert_eq!(
            spread([3].into_iter()),
            Spread {
                p50: 3,
                p99: 3,
                max: 3
            }
        );
        assert_eq!(spread(std::iter::empty()), Spread::default());
    }
}
