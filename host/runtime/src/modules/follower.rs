//! The task that follows the sources: it loads each candidate, asks the catalog for decisions, and publishes them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{self, AbortHandle, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

use crate::limits::processors;
use crate::modules::catalog::{Catalog, Decision, Loaded, Offer, Terms};
use crate::modules::load_error::LoadError;
use crate::modules::loader::Loader;
use crate::modules::module::Module;
use crate::modules::serving::Published;
use crate::modules::source::{Candidate, Content, Origin, SourceEvent, Sources};

/// The longest time until a rescan is answered, so that a file that never settles or takes long to compile does not block a
/// reload.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How often candidates are loaded again that were refused because of this server. Nothing reports, for example, that a full
/// disk has room again.
const RETRY: Duration = Duration::from_secs(20);
/// How many candidates are loaded at one time, in addition to one for each processor: some wait for the disk.
const LOADS_MORE: usize = 6;

/// A request to look for changes now.
pub(crate) struct Rescan {
    /// New terms; `None` if they stay.
    pub(crate) terms: Option<Terms<Module>>,
    /// Answered when every candidate is served or refused, at the latest after [`ANSWER_MAX`].
    pub(crate) done: oneshot::Sender<()>,
}

type LoadResult = Result<Loaded<Module>, LoadError>;

/// The task's state.
pub(crate) struct Follower {
    loader: Arc<Loader>,
    sources: Sources,
    catalog: Catalog<Module>,
    published: Arc<Published>,
    loads: JoinSet<LoadResult>,
    /// The running load of each origin's newest candidate.
    loading: BTreeMap<Origin, AbortHandle>,
    permits: Arc<Semaphore>,
    /// True if the last event was that the sources are idle.
    is_idle: bool,
    waiting: Vec<(Instant, oneshot::Sender<()>)>,
}

impl Follower {
    pub(crate) fn new(
        loader: Arc<Loader>,
        sources: Sources,
        terms: Terms<Module>,
        published: Arc<Published>,
    ) -> Self {
        Self {
            loader,
            sources,
            catalog: Catalog::new(terms),
            published,
            loads: JoinSet::new(),
            loading: BTreeMap::new(),
            permits: Arc::new(Semaphore::new(processors() + LOADS_MORE)),
            is_idle: false,
            waiting: Vec::new(),
        }
    }

    /// Follows the sources until the registry is dropped.
    pub(crate) async fn run(mut self, mut rescans: mpsc::Receiver<Rescan>) {
        let mut retries = tokio::time::interval(RETRY);
        retries.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.conclude();
            let overdue_at = self.waiting.first().map(|(since, _)| *since + ANSWER_MAX);
            tokio::select! {
                rescan = rescans.recv() => match rescan {
                    Some(rescan) => self.rescan(rescan),
                    None => return,
                },
                event = self.sources.next() => self.take_event(event),
                Some(ended) = self.loads.join_next_with_id() => self.take_load(ended),
                _ = retries.tick() => self.retry(),
                () = sleep_until(overdue_at) => {}
            }
        }
    }

    fn rescan(&mut self, rescan: Rescan) {
        if let Some(terms) = rescan.terms {
            self.catalog.set_terms(terms);
        }
        self.look(&self.catalog.may_load_now());
        self.waiting.push((Instant::now(), rescan.done));
    }

    fn retry(&mut self) {
        let again = self.catalog.may_load_now();
        if !again.is_empty() {
            self.look(&again);
        }
    }

    fn look(&mut self, again: &[Origin]) {
        self.sources.look(again);
        self.is_idle = false;
    }

    fn take_event(&mut self, event: SourceEvent) {
        self.is_idle = matches!(event, SourceEvent::Idle);
        match event {
            SourceEvent::Offered(candidate) => self.load(candidate),
            SourceEvent::Changed(origin) => {
                self.stop_loading(&origin);
                self.catalog.changed(&origin);
            }
            SourceEvent::Settled(origin) => {
                let decisions = self.catalog.settled(&origin);
                self.publish(decisions);
            }
            SourceEvent::Renamed { from, to } => {
                self.stop_loading(&from);
                let decisions = self.catalog.renamed(&from, to);
                self.publish(decisions);
            }
            SourceEvent::Removed(origin) => {
                self.stop_loading(&origin);
                let decisions = self.catalog.removed(&origin);
                self.publish(decisions);
            }
            SourceEvent::Idle => {}
        }
    }

    fn load(&mut self, candidate: Candidate) {
        let Candidate {
            origin,
            since,
            is_settled,
            content,
        } = candidate;
        self.stop_loading(&origin);
        self.catalog.offered(&origin, Offer { since, is_settled });
        let (loader, permits) = (Arc::clone(&self.loader), Arc::clone(&self.permits));
        let load = self.loads.spawn(load(loader, permits, content));
        self.loading.insert(origin, load);
    }

    /// Aborts the load of an origin's earlier candidate.
    fn stop_loading(&mut self, origin: &Origin) {
        if let Some(load) = self.loading.remove(origin) {
            load.abort();
        }
    }

    fn take_load(&mut self, ended: Result<(task::Id, LoadResult), JoinError>) {
        let (id, result) = match ended {
            Ok((id, result)) => (id, result),
            Err(error) => (error.id(), Err(LoadError::Bug(error.to_string()))),
        };
        let mut loading = self.loading.iter();
        let Some((origin, _)) = loading.find(|(_, load)| load.id() == id) else {
            // A newer candidate has replaced it.
            return;
        };
        let origin = origin.clone();
        self.loading.remove(&origin);
        let decisions = self.catalog.loaded(&origin, result);
        self.publish(decisions);
    }

    /// Ends the first scan, enforces pins and answers rescans, if they are due.
    fn conclude(&mut self) {
        let is_quiet = self.is_idle && self.loading.is_empty();
        if is_quiet && self.catalog.is_first_scan() {
            let decisions = self.catalog.end_first_scan();
            self.report(&decisions);
            self.published.publish(&self.catalog);
        }
        // A rescan also waits for candidates that may be incomplete, which are not refused yet.
        let is_quiet = is_quiet && !self.catalog.has_unsettled();
        let is_overdue = |since: Instant| since.elapsed() >= ANSWER_MAX;
        let has_overdue = self.waiting.iter().any(|(since, _)| is_overdue(*since));
        if has_overdue && !is_quiet {
            tracing::warn!(
                "not every module was looked at within {ANSWER_MAX:?}; modules that are loaded stay in service"
            );
        }
        if is_quiet || has_overdue {
            let decisions = self.catalog.enforce_pins();
            self.publish(decisions);
        }
        let is_due = |since: Instant| is_quiet || is_overdue(since);
        for (_, done) in self.waiting.extract_if(.., |(since, _)| is_due(*since)) {
            let _ = done.send(());
        }
    }

    fn publish(&self, decisions: Vec<Decision>) {
        if !decisions.is_empty() {
            self.report(&decisions);
            self.published.publish(&self.catalog);
        }
    }

    fn report(&self, decisions: &[Decision]) {
        for decision in decisions {
            report(decision, &self.catalog);
        }
    }
}

async fn load(
    loader: Arc<Loader>,
    permits: Arc<Semaphore>,
    content: BoxFuture<'static, Result<Content, LoadError>>,
) -> LoadResult {
    // The semaphore is never closed.
    let _permit = permits.acquire().await.ok();
    loader.load_content(content.await?).await
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Writes a decision to the log.
fn report(decision: &Decision, catalog: &Catalog<Module>) {
    match decision {
        Decision::Serves(origin) => {
            let Some(Loaded { module, .. }) = catalog.serving(origin) else {
                return;
            };
            let (name, version) = (module.name(), &module.description().version);
            tracing::info!(
                handler = %name, file = %origin, version, sha256 = module.sha256(),
                "{origin} serves {name}"
            );
        }
        Decision::Renamed { from, to } => {
            if let Some(Loaded { module, .. }) = catalog.serving(to) {
                tracing::info!(
                    handler = %module.name(), file = %to,
                    "{from} is now {to}, which goes on serving {}", module.name()
                );
            }
        }
        Decision::Unchanged(_) => {}
        Decision::Refused { origin, why } => match catalog.serving(origin) {
            Some(Loaded { module, .. }) => tracing::error!(
                handler = %module.name(), file = %origin, error = why,
                "{origin} is refused; the version of {} before it stays in service", module.name()
            ),
            None => tracing::error!(file = %origin, error = why, "{origin} is refused"),
        },
        Decision::Withdrawn {
            origin,
            handler,
            why,
        } => tracing::error!(
            %handler, file = %origin, error = why,
            "the handler {handler} from {origin} is no longer served"
        ),
        Decision::Removed {
            origin,
            handler: Some(handler),
        } => tracing::info!(
            %handler, file = %origin,
            "{origin} was removed: {handler} is no longer served"
        ),
        Decision::Removed {
            origin,
            handler: None,
        } => tracing::info!(file = %origin, "{origin} was removed: it served no handler"),
    }
}
