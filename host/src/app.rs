//! Puts the server together from its configuration, and runs it on a listener until it is told to stop.

mod holds;
mod online;
mod pulse;
mod report;
mod reviewed;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::alarms::{Notices, Reporting, Ways};
use crate::alert::Alert;
use crate::config::{self, Changes, Config, Problem, Problems, Store};
use crate::description::Description;
use crate::heartbeat::Heartbeats;
use crate::http;
use crate::http::server::{self, Bound, Server, Tls};
use crate::http::webhook::{Room, SenderRates};
use crate::journal::Dependency;
use crate::queue::{self, Leases, Queue, Wake};
use crate::review::{self, Findings};
use crate::router::Router;
use crate::runtime::{
    self, Compiler, Folder, FolderError, ModuleInfo, ModuleSource, ModuleState, Pins, PreviewSink,
    Registry, Runtime, ServiceOptions, Serving,
};
use crate::telemetry::{Metrics, REFUSALS_WINDOW, Refusals};
use crate::worker::{Breakers, GuestThreads, Phase, Prober, Worker};

pub use crate::http::server::TlsError;

/// How long what runs may take to finish once a shutdown has begun: below Kubernetes' 30 s of grace.
const DRAIN_MAX: Duration = Duration::from_secs(20);

/// What the key of the references to Slack's messages is derived for.
const MESSAGE_REFS: &str = "slack message references";

/// How long the last lines about deliveries may take to be logged.
const REPORTS_MAX: Duration = Duration::from_secs(2);

/// How long connections may take to end after that.
const CONNECTIONS_MAX: Duration = Duration::from_secs(3);

/// Reads the configuration again: the same file, flags and variables as at the start.
pub type ConfigSource = Arc<dyn Fn() -> Result<Config, Problems> + Send + Sync>;

/// Why the server could not start. Each message is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store.
    #[error(transparent)]
    Store(#[from] queue::OpenError),
    /// The sandbox.
    #[error(transparent)]
    Runtime(#[from] runtime::RuntimeError),
    /// The drop folder.
    #[error(transparent)]
    Folder(#[from] runtime::FolderError),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// What pings are sent with.
    #[error("cannot set up the client for heartbeats: {0}")]
    Pings(#[from] reqwest::Error),
    /// The metrics.
    #[error("cannot set up the metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// What guests run on.
    #[error("cannot start threads for handlers: {0}")]
    Threads(std::io::Error),
}

/// The listener's task ended by itself: a mistake of ours.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve: {0}")]
pub struct ServeError(#[from] tokio::task::JoinError);

/// What the endpoints share; cheap to clone.
#[derive(Clone)]
pub struct Shared(Arc<Parts>);

impl std::ops::Deref for Shared {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// The parts of a server.
pub struct Parts {
    pub(crate) config: config::Current,
    pub(crate) router: Arc<ArcSwap<Router>>,
    pub(crate) queue: Queue,
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) registry: Arc<Registry>,
    preview: PreviewSink,
    /// What this process listens on.
    pub(crate) bound: Arc<Bound>,
    pub(crate) metrics: Arc<Metrics>,
    /// Requests that were refused lately.
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) breakers: Arc<Breakers>,
    pub(crate) senders: SenderRates,
    pub(crate) bodies: Room,
    /// Turns for large bodies: they are worked through, not all at once.
    pub(crate) large_bodies: Semaphore,
    pub(crate) heartbeats: Heartbeats,
    /// Ends of alerts about heartbeats, for the task that stores them.
    beats_again: mpsc::UnboundedSender<Alert>,
    /// Changes with each configuration.
    reloads: watch::Sender<()>,
    /// True once the modules of the first scan are routed: what came before would find no route.
    routed: watch::Sender<bool>,
    /// The folder's files as of the last time that what they serve was routed, and how often that was.
    listed: ArcSwap<Vec<ModuleInfo>>,
    listings: watch::Sender<u64>,
    /// Whether anybody is notified of dead letters, as it was last looked at.
    reporting: ArcSwapOption<Reporting>,
    changes: Turns,
    /// The configuration of the start: what takes a restart is as it says.
    started_with: Arc<Config>,
    source: ConfigSource,
    pub(crate) reviewed: reviewed::Reviewed,
}

/// What may be changed by one at a time: each takes the newest configuration and folder, in turn.
#[derive(Default)]
struct Turns {
    /// Held for a whole reload.
    reload: tokio::sync::Mutex<()>,
    /// Held while the router and the caps are made.
    rebuild: parking_lot::Mutex<()>,
}

/// A server that is set up and not yet listening.
pub struct App {
    shared: Shared,
    leases: Leases,
    guests: GuestThreads,
    tls: Option<Arc<Tls>>,
    pings: pulse::Client,
    beats_again: mpsc::UnboundedReceiver<Alert>,
}

impl App {
    /// Opens the store, sets up the sandbox and starts the first scan of the folder.
    ///
    /// `source` is asked again at each reload; `preview` shows messages that are not posted; `compiler` is where
    /// modules are compiled.
    ///
    /// # Errors
    /// Where the store, the folder or the sandbox cannot be opened.
    pub async fn start(
        config: Config,
        source: ConfigSource,
        preview: PreviewSink,
        compiler: Compiler,
    ) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::new()?);
        let tls = config.tls_server.clone().map(Tls::new).transpose()?;
        let Store::Sqlite(path) = &config.store;
        let (queue, leases) = Queue::open(path, config.queue.clone(), caps(&config, &[]))?;
        let ref_key = queue.secret(MESSAGE_REFS);
        let runtime = Runtime::new(runtime_options(
            &config,
            ref_key,
            Arc::clone(&preview),
            compiler,
        ))?;
        let guests = GuestThreads::start().map_err(StartError::Threads)?;
        let (sources, pinned) = (module_sources(&config)?, pins(&config));
        // A module is asked what it is, and that is guest code too.
        let registry = guests.enter(|| Registry::open(Arc::clone(&runtime), sources, pinned));
        let pings = pulse::Client::new()?;
        let bound = Arc::new(Bound {
            listen: config.listen,
            tls: config.tls_server.clone(),
        });
        let (beats_again, beats_seen) = mpsc::unbounded_channel();
        report::started(&config, queue.recovered());
        let started_with = Arc::new(config);
        let config = config::Current::new(Arc::clone(&started_with));
        let shared = Shared(Arc::new(Parts {
            router: Arc::new(ArcSwap::from_pointee(Router::default())),
            config,
            queue,
            runtime,
            registry,
            preview,
            bound,
            metrics,
            refusals: Arc::default(),
            breakers: Arc::default(),
            senders: SenderRates::default(),
            bodies: Room::default(),
            large_bodies: Semaphore::new(server::half_of_the_processors()),
            heartbeats: Heartbeats::default(),
            beats_again,
            reloads: watch::Sender::new(()),
            routed: watch::Sender::new(false),
            listed: ArcSwap::default(),
            listings: watch::Sender::new(0),
            reporting: ArcSwapOption::empty(),
            changes: Turns::default(),
            started_with,
            source,
            reviewed: reviewed::Reviewed::default(),
        }));
        shared.rebuild();
        shared.expect_heartbeats();
        Ok(Self {
            shared,
            leases,
            guests,
            tls: tls.map(Arc::new),
            pings,
            beats_again: beats_seen,
        })
    }

    /// Returns handles on the parts, for whoever drives the server in its own process.
    #[must_use]
    pub fn shared(&self) -> Shared {
        self.shared.clone()
    }

    /// Serves until `shutdown` resolves; then takes no more, finishes or gives back what runs within a
    /// bound, and returns with everything durable.
    ///
    /// # Errors
    /// Where the listener's task ends by itself.
    pub async fn run(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServeError> {
        let Self {
            shared,
            leases,
            guests,
            tls,
            pings,
            beats_again,
        } = self;
        let (phase, phase_seen) = watch::channel(Phase::Serving);
        let worker = Worker {
            queue: shared.queue.clone(),
            runtime: Arc::clone(&shared.runtime),
            registry: Arc::clone(&shared.registry),
            settings: Arc::clone(&shared.config.handlers),
            handlers_dir: shared.started_with.handlers_dir.as_path().into(),
            router: Arc::clone(&shared.router),
            metrics: Arc::clone(&shared.metrics),
            breakers: Arc::clone(&shared.breakers),
        };
        let reports = tokio::spawn(report::settled(shared.queue.settled()));
        let mut background = JoinSet::new();
        background.spawn(shared.clone().sum_up_refusals());
        background.spawn(shared.clone().follow_folder());
        background.spawn(shared.clone().watch_heartbeats(beats_again));
        background.spawn(shared.clone().send_pings(pings));
        let prober = Prober {
            queue: shared.queue.clone(),
            holds: Arc::clone(shared.runtime.holds()),
            breakers: Arc::clone(&shared.breakers),
        };
        background.spawn(prober.run(phase_seen.clone()));
        background.spawn(shared.clone().ask_slack());
        let (restored, seen) = oneshot::channel();
        background.spawn(shared.clone().report_holds(seen));
        let endpoints = http::endpoints(&shared);
        let mut stop = phase_seen.clone();
        let server = Server {
            endpoints: endpoints.with_state(shared.clone()),
            settings: Arc::clone(&shared.config.server),
            metrics: Arc::clone(&shared.metrics),
            refusals: Arc::clone(&shared.refusals),
            tls,
        };
        let mut serve = tokio::spawn(server.serve(listener, async move {
            let _ = stop.wait_for(|phase| *phase != Phase::Serving).await;
        }));
        // Nothing is run before the first scan has ended: a backlog would find its handlers missing.
        let ready = shared.clone();
        let work = async move {
            let mut stop = phase_seen.clone();
            let restore = async {
                ready.ready().await;
                // Whoever is not there any more needs no list.
                let _ = restored.send(ready.restore_holds().await);
            };
            // A store that cannot be written does not answer, and must not keep the server from stopping.
            tokio::select! {
                () = restore => {}
                _ = stop.wait_for(|phase| *phase != Phase::Serving) => {}
            }
            worker.run(leases, phase_seen, DRAIN_MAX).await;
        };
        let worker = guests.enter(|| tokio::spawn(work));
        let served = tokio::select! {
            () = shutdown => None,
            ended = &mut serve => Some(ended),
        };
        tracing::info!("shutting down: no new work is taken, running deliveries may finish");
        let _ = phase.send(Phase::Draining);
        if let Err(error) = worker.await {
            tracing::error!(%error, "the worker ended unexpectedly");
        }
        let served = match served {
            Some(ended) => Some(ended),
            None => tokio::time::timeout(CONNECTIONS_MAX, &mut serve).await.ok(),
        };
        serve.abort();
        background.shutdown().await;
        shared.queue.shutdown().await;
        shared.refusals.sum_up(None);
        // It ends with the store.
        let _ = tokio::time::timeout(REPORTS_MAX, reports).await;
        tracing::info!("stopped");
        match served {
            Some(Err(error)) => Err(ServeError(error)),
            _ => Ok(()),
        }
    }
}

impl Shared {
    /// Resolves once the first scan of the folder has ended and its modules are routed.
    pub async fn ready(&self) {
        self.registry.ready().await;
        if !self.is_ready() {
            self.rebuild();
        }
    }

    /// Returns true once [`Self::ready`] resolves: alerts can be taken.
    pub(crate) fn is_ready(&self) -> bool {
        *self.routed.borrow()
    }

    /// Changes with each commit of the store.
    #[must_use]
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.queue.commits()
    }

    /// Returns every file of the folder, refused ones too: one that serves is routed already, once the server is ready.
    pub(crate) fn handlers(&self) -> Arc<Vec<ModuleInfo>> {
        if *self.routed.borrow() {
            self.listed.load_full()
        } else {
            // No alert is taken yet; the first scan is shown as far as it is.
            Arc::new(self.registry.serving().listed().to_vec())
        }
    }

    /// Changes with each module that is loaded, refused or removed, once [`Self::handlers`] tells of it.
    #[must_use]
    pub fn folder_changes(&self) -> watch::Receiver<u64> {
        self.listings.subscribe()
    }

    /// Reads configuration and folder again, and returns what is different. A bad configuration is refused, and the old one
    /// stays.
    ///
    /// # Errors
    /// Every problem of the new configuration.
    pub async fn reload(&self) -> Result<Reloaded, Problems> {
        let _one_at_a_time = self.changes.reload.lock().await;
        let source = Arc::clone(&self.source);
        let read = tokio::task::spawn_blocking(move || source()).await;
        let config = match read {
            Ok(Ok(config)) => config,
            Ok(Err(problems)) => {
                self.metrics.reloaded(Err(()));
                log_refused(&problems);
                return Err(problems);
            }
            Err(error) => {
                self.metrics.reloaded(Err(()));
                tracing::error!(%error, "reading the configuration failed; the old one stays");
                return Err(not_reloaded("it cannot be read", &error));
            }
        };
        if let Some(open) = config.endpoints_without_authentication(&self.bound) {
            self.metrics.reloaded(Err(()));
            let problems = left_open(&self.bound, open);
            log_refused(&problems);
            return Err(problems);
        }
        self.reviewed.say_all_again();
        if let Err(error) = self.runtime.reconfigure(service_options(
            &config,
            self.ref_key(),
            Arc::clone(&self.preview),
        )) {
            self.metrics.reloaded(Err(()));
            tracing::error!(%error, "the new configuration cannot be used; the old one stays");
            return Err(not_reloaded("it cannot be used", &error));
        }
        let changes = Changes::between(&self.started_with, &self.config.whole.load(), &config);
        self.config.replace(config);
        self.rebuild();
        self.runtime.holds().try_now();
        self.reviewed.forget_online();
        self.expect_heartbeats();
        self.registry
            .set_pins(pins(&self.config.whole.load()))
            .await;
        // The answer comes once all that was found is routed.
        self.rebuild();
        self.metrics.reloaded(Ok(()));
        report::reloaded(&changes);
        Ok(Reloaded {
            changes,
            findings: self.reviewed.findings(),
        })
    }

    fn expect_heartbeats(&self) {
        let expected = &self.config.whole.load().heartbeats;
        self.heartbeats.expect(expected, Instant::now());
        self.reloads.send_replace(());
    }

    /// Takes the ways to report dead letters, as they follow from the newest configuration and modules.
    fn report_dead_letters(&self, ways: Ways, has_scanned: bool) {
        let reporting = ways.reporting();
        let notices = (reporting == Reporting::On)
            .then(|| Arc::new(Notices::new(ways, Arc::clone(self.runtime.holds()))) as _);
        self.queue.set_dead_letters(notices);
        // Before the first scan has ended nobody could be notified; afterwards it is said once, and after each change.
        if has_scanned
            && self.reporting.swap(Some(Arc::new(reporting))).as_deref() != Some(&reporting)
            && let Some(warning) = reporting.warning()
        {
            tracing::warn!("{warning}");
        }
    }

    fn ref_key(&self) -> [u8; 32] {
        self.queue.secret(MESSAGE_REFS)
    }

    /// Makes the router and the caps anew from the configuration and the modules that serve.
    fn rebuild(&self) {
        let _one_at_a_time = self.changes.rebuild.lock();
        let has_scanned = self.registry.is_ready();
        let config = self.config.whole.load();
        let serving = self.registry.serving();
        let (modules, descriptions) = (serving.listed(), serving.descriptions());
        let router = Router::with_described(config.routes.clone(), &descriptions);
        let ways = Ways::new(
            config.dead_letter.as_deref(),
            &config.handlers,
            &router,
            &descriptions,
        );
        self.router.store(Arc::new(router.with_own(ways.routes())));
        self.report_dead_letters(ways, has_scanned);
        self.queue.set_caps(caps(&config, &descriptions));
        self.metrics.handlers(modules.iter().filter_map(|module| {
            Some((
                module.name.as_ref()?.as_str(),
                module.version.as_deref()?,
                module.sha256.as_deref()?,
            ))
        }));
        let before = self.listed.swap(Arc::new(modules.to_vec()));
        for name in changed(&before, modules).filter_map(|module| module.name.as_ref()) {
            self.reviewed.say_again(name);
        }
        if has_scanned {
            self.reviewed
                .take(review::review(&config, modules, &descriptions));
            self.routed.send_replace(true);
        }
        self.listings.send_modify(|n| *n += 1);
    }

    /// Logs what refused requests have in common, once a window.
    async fn sum_up_refusals(self) {
        let mut windows = tokio::time::interval(REFUSALS_WINDOW);
        windows.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            windows.tick().await;
            self.refusals.sum_up(Some(Instant::now()));
        }
    }

    /// Follows the drop folder: what is loaded is routed, what is refused is counted.
    async fn follow_folder(self) {
        let mut changes = self.registry.subscribe();
        let mut known = Arc::default();
        loop {
            let serving = self.registry.serving();
            self.note_changes(Serving::listed(&known), serving.listed());
            known = serving;
            self.rebuild();
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn note_changes(&self, before: &[ModuleInfo], now: &[ModuleInfo]) {
        for module in changed(before, now) {
            if module.error.is_some() {
                self.metrics.load_failure();
            }
            if let Some(name) = &module.name {
                self.breakers.forget(name);
                let dependency = Dependency::Handler(name.to_string());
                self.queue.wake(&dependency, Wake::All);
            }
        }
    }
}

/// What a reload came to.
#[derive(Debug)]
pub struct Reloaded {
    /// What changed, and what takes a restart.
    pub changes: Changes,
    /// What is wrong or odd with the configuration and the modules together.
    pub findings: Arc<Findings>,
}

/// Returns what is new or different.
fn changed<'a>(
    before: &'a [ModuleInfo],
    now: &'a [ModuleInfo],
) -> impl Iterator<Item = &'a ModuleInfo> {
    now.iter().filter(|module| {
        let old = before.iter().find(|old| old.origin == module.origin);
        !old.is_some_and(|old| is_same(old, module))
    })
}

/// Returns true if nothing about a module's origin is new.
fn is_same(old: &ModuleInfo, new: &ModuleInfo) -> bool {
    (&old.sha256, &old.error, &old.exposure) == (&new.sha256, &new.error, &new.exposure)
}

/// Another `listen` counts after a restart: until then what is bound stays open to whoever reaches it.
fn left_open(bound: &Bound, open: &str) -> Problems {
    let listen = bound.listen;
    Problems(vec![Problem {
        place: "the new configuration".to_owned(),
        message: format!(
            "this process listens on {listen}, which can be reached from outside this machine, but {open} no authorization"
        ),
        advice: "keep the authorization, or restart the server for another listen address"
            .to_owned(),
    }])
}

fn log_refused(problems: &Problems) {
    tracing::error!(%problems, "the new configuration is refused; the old one stays in use");
}

fn not_reloaded(what: &str, error: &dyn std::error::Error) -> Problems {
    Problems(vec![Problem {
        place: "the new configuration".to_owned(),
        message: format!("{what}: {error}"),
        advice: "correct what it names, then reload again".to_owned(),
    }])
}

/// Returns how a module stands, its grants considered.
#[must_use]
pub fn module_state(config: &Config, module: &ModuleInfo) -> ModuleState {
    match module.state {
        ModuleState::Ready if review::missing_grants(config, module, None).is_some() => {
            ModuleState::Limited
        }
        state => state,
    }
}

fn caps(config: &Config, modules: &[Description]) -> queue::Caps {
    queue::Caps {
        by_handler: modules
            .iter()
            .map(|module| &module.name)
            .chain(config.handlers.names())
            .map(|name| {
                (
                    name.clone(),
                    config.handlers.of(name).limits.concurrency_max,
                )
            })
            .collect(),
        default: runtime::Limits::default().concurrency_max,
    }
}

/// Returns where modules come from, as the configuration says: each source is one line here.
///
/// # Errors
/// If the folder of handlers cannot be read.
pub fn module_sources(config: &Config) -> Result<Vec<Box<dyn ModuleSource>>, FolderError> {
    let (dir, bytes_max) = (config.handlers_dir.clone(), config.sandbox.module_bytes_max);
    Ok(vec![Box::new(Folder::open(dir, bytes_max)?)])
}

/// Returns how the sandbox is set up.
#[must_use]
pub fn runtime_options(
    config: &Config,
    ref_key: [u8; 32],
    preview: PreviewSink,
    compiler: Compiler,
) -> runtime::Options {
    runtime::Options {
        cache_dir: cache_dir(config),
        compiler,
        bounds: config.sandbox,
        services: service_options(config, ref_key, preview),
    }
}

/// Beside the store: what may be executed belongs where only the server writes.
fn cache_dir(config: &Config) -> PathBuf {
    let Store::Sqlite(store) = &config.store;
    let mut name = store.clone().into_os_string();
    name.push(".cache");
    name.into()
}

fn service_options(config: &Config, ref_key: [u8; 32], preview: PreviewSink) -> ServiceOptions {
    ServiceOptions {
        slack: config.slack.clone(),
        proxy: config.proxy.clone(),
        credentials: config.credentials.clone(),
        message_ref_key: ref_key,
        preview,
    }
}

/// Returns the hashes that modules must have.
#[must_use]
pub fn pins(config: &Config) -> Pins {
    config
        .handlers
        .names()
        .filter_map(|name| Some((name.clone(), config.handlers.of(name).sha256?)))
        .collect()
}
