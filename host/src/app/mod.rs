//! Composes the server from its configuration, and runs it on a listener until it is stopped. Each part has its own module, and
//! gets its dependencies here.

mod grant_uses;
mod options;
mod report;
mod settings;
mod state;
mod versions;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::alarms::{HeartbeatWatch, HoldAlarms, PingClient, Pings};
use crate::config::{Config, Problems};
use crate::http::access::{Access, Sessions};
use crate::http::answers::{Answers, Changes, Shared};
use crate::http::origin::OriginCheck;
use crate::http::server::{Bound, Server, Tls};
use crate::http::webhook::{self, Webhook};
use crate::http::{self, RefusalLog};
use crate::queue::{self, Leases, Queue};
use crate::review::SlackCheck;
use crate::runtime::{self, Compiler, PreviewSink, Registry, Runtime};
use crate::telemetry::{Metrics, Refusals};
use crate::worker::{GuestThreads, Phase, Prober, Worker};
use state::{Source, State};

pub use crate::http::server::TlsError;
pub use options::{module_sources, pins, runtime_options, service_options};
pub use state::Handle;

/// How long running deliveries may take to finish at a shutdown: less than Kubernetes' grace period of 30 s.
const DRAIN_MAX: Duration = Duration::from_secs(20);

/// The purpose for which the key of references to Slack messages is derived.
const MESSAGE_REFS: &str = "slack message references";

/// The purpose for which the key of the page's sessions is derived.
const SESSIONS: &str = "page sessions";

/// How long logging the last lines about deliveries may take.
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
    /// The HTTP clients for pings cannot be created.
    #[error("cannot set up the client for heartbeats: {0}")]
    Pings(#[from] reqwest::Error),
    /// The metrics.
    #[error("cannot set up the metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// What guests run on.
    #[error("cannot start threads for handlers: {0}")]
    Threads(std::io::Error),
}

/// The listener's task ended by itself, which is a mistake in the server.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve: {0}")]
pub struct ServeError(#[from] tokio::task::JoinError);

/// A server that is set up and not yet listening.
pub struct App {
    state: Arc<State>,
    leases: Leases,
    guests: GuestThreads,
    tls: Option<Arc<Tls>>,
    bound: Arc<Bound>,
    ping_client: PingClient,
    refusals: Arc<Refusals>,
}

impl App {
    /// Opens the store, sets up the sandbox and starts the first scan of the folder.
    ///
    /// `source` is read again at each reload; `preview` shows messages that are not posted; `compiler` compiles modules.
    ///
    /// # Errors
    /// If the store, the folder or the sandbox cannot be opened.
    pub async fn start(
        config: Config,
        source: ConfigSource,
        preview: PreviewSink,
        compiler: Compiler,
    ) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::new()?);
        let tls = config.tls_server.clone().map(Tls::new).transpose()?;
        let caps = options::caps(&config, &[]);
        let (queue, leases) = Queue::open(&config.store, config.queue.clone(), caps)?;
        let ref_key = queue.secret(MESSAGE_REFS);
        let runtime = Runtime::new(options::runtime_options(
            &config,
            ref_key,
            Arc::clone(&preview),
            compiler,
        ))?;
        grant_uses::restore(runtime.grant_uses(), &queue.recovered().grants_used);
        let guests = GuestThreads::start().map_err(StartError::Threads)?;
        let sources = options::module_sources(&config)?;
        let config = Arc::new(config);
        let terms = settings::terms(&config);
        // A module's `describe` is guest code too.
        let registry =
            guests.enter(|| Registry::open(Arc::clone(runtime.loader()), sources, terms));
        let ping_client = PingClient::new()?;
        let bound = Arc::new(Bound {
            listen: config.listen,
            tls: config.tls_server.clone(),
        });
        report::started(&config, queue.recovered());
        let source = Source {
            read: source,
            preview,
            ref_key,
            bound: Arc::clone(&bound),
        };
        Ok(Self {
            state: Arc::new(State::new(
                config, source, queue, runtime, registry, metrics,
            )),
            leases,
            guests,
            tls: tls.map(Arc::new),
            bound,
            ping_client,
            refusals: Arc::default(),
        })
    }

    /// Returns a handle on the server, for use in the same process.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.state))
    }

    /// Serves until `shutdown` resolves; then takes no more work, finishes or gives back running deliveries within a time limit,
    /// and returns once everything is durable.
    ///
    /// # Errors
    /// If the listener's task ends by itself.
    pub async fn run(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServeError> {
        let (phase, phase_seen) = watch::channel(Phase::Serving);
        let reports = tokio::spawn(report::settled(self.state.queue.settled()));
        let hold_alarms = self.hold_alarms();
        let (restored, firing) = oneshot::channel();
        let mut background = self.background(&phase_seen);
        background.spawn(hold_alarms.clone().run(firing));
        let server = self.server(phase_seen.clone());
        let mut stop = phase_seen.clone();
        let mut serve = tokio::spawn(server.serve(listener, async move {
            let _ = stop.wait_for(|phase| *phase != Phase::Serving).await;
        }));
        let Self {
            state,
            leases,
            guests,
            refusals,
            ..
        } = self;
        let restore = {
            let state = Arc::clone(&state);
            async move {
                state.ready().await;
                let channels = &state.config.slack.load_full().channels;
                let firing = hold_alarms.restore(|name| channels.contains_key(name));
                // At a shutdown its result is no longer needed.
                let _ = restored.send(firing.await);
            }
        };
        let worker = guests.enter(|| work(worker(&state), leases, restore, phase_seen));
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
        grant_uses::store(state.runtime.grant_uses(), &state.queue);
        state.queue.shutdown().await;
        refusals.sum_up(None);
        // It ends with the store.
        let _ = tokio::time::timeout(REPORTS_MAX, reports).await;
        tracing::info!("stopped");
        match served {
            Some(Err(error)) => Err(ServeError(error)),
            _ => Ok(()),
        }
    }

    /// Starts the tasks that run beside the worker and the listener until the server ends.
    fn background(&self, phase: &watch::Receiver<Phase>) -> JoinSet<()> {
        let state = &self.state;
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&self.refusals).sum_up_each_window());
        tasks.spawn(Arc::clone(state).follow_folder());
        let arriving = Arc::clone(&state.heartbeats);
        let queue = &state.queue;
        queue.set_on_arrival(move |alert| arriving.note(alert, Instant::now()));
        let heartbeats = HeartbeatWatch {
            heartbeats: Arc::clone(&state.heartbeats),
            queue: state.queue.clone(),
            router: Arc::clone(&state.router),
            notifier: Arc::clone(&state.notifier),
            ready: state.ready_changes(),
        };
        tasks.spawn(heartbeats.run());
        let pings = Pings {
            client: self.ping_client.clone(),
            queue: state.queue.clone(),
            settings: Arc::clone(&state.config.pings),
            reloads: state.reloads(),
        };
        tasks.spawn(pings.run());
        let prober = Prober {
            queue: state.queue.clone(),
            slack_breaker: Arc::clone(state.runtime.slack_breaker()),
            breakers: Arc::clone(&state.breakers),
        };
        tasks.spawn(prober.run(phase.clone()));
        let slack = SlackCheck {
            config: Arc::clone(&state.config.whole),
            runtime: Arc::clone(&state.runtime),
            queue: state.queue.clone(),
            latest: Arc::clone(&state.findings),
            ready: state.ready_changes(),
            reloads: state.reloads(),
        };
        tasks.spawn(slack.run());
        let uses = Arc::clone(state.runtime.grant_uses());
        tasks.spawn(grant_uses::keep(uses, state.queue.clone()));
        tasks.spawn(versions::keep(Arc::clone(state)));
        tasks
    }

    fn hold_alarms(&self) -> HoldAlarms {
        HoldAlarms {
            queue: self.state.queue.clone(),
            notifier: Arc::clone(&self.state.notifier),
            slack_breaker: Arc::clone(self.state.runtime.slack_breaker()),
            ways_changes: self.state.folder_changes(),
        }
    }

    /// Returns the HTTP server with its endpoints.
    fn server(&self, phase: watch::Receiver<Phase>) -> Server {
        let state = &self.state;
        let settings = &state.config;
        let origin = OriginCheck {
            settings: Arc::clone(&settings.origin),
            bound: Arc::clone(&self.bound),
        };
        let webhook = Webhook {
            queue: state.queue.clone(),
            router: Arc::clone(&state.router),
            heartbeats: Arc::clone(&state.heartbeats),
            metrics: Arc::clone(&state.metrics),
            settings: Arc::clone(&settings.webhook),
            server: Arc::clone(&settings.server),
            origin: origin.clone(),
            ready: state.ready_changes(),
            load: webhook::Load::default(),
        };
        let answers = Answers {
            queue: state.queue.clone(),
            registry: Arc::clone(&state.registry),
            slack_breaker: Arc::clone(state.runtime.slack_breaker()),
            breakers: Arc::clone(&state.breakers),
            grant_uses: Arc::clone(state.runtime.grant_uses()),
            heartbeats: Arc::clone(&state.heartbeats),
            metrics: Arc::clone(&state.metrics),
            usage: Arc::clone(&state.usage),
            handlers: Arc::clone(&settings.handlers),
            slack: Arc::clone(&settings.slack),
            router: Arc::clone(&state.router),
            ready: state.ready_changes(),
            changes: Changes::new(state.queue.commits(), state.folder_changes(), phase),
            shared: Shared::default(),
            server: Arc::clone(state) as _,
        };
        let access = Access {
            settings: Arc::clone(&settings.api),
            origin,
            sessions: Sessions::new(state.queue.secret(SESSIONS)),
        };
        let log = RefusalLog {
            metrics: Arc::clone(&state.metrics),
            refusals: Arc::clone(&self.refusals),
        };
        Server {
            endpoints: http::endpoints(answers, access, webhook, log),
            settings: Arc::clone(&settings.server),
            metrics: Arc::clone(&state.metrics),
            refusals: Arc::clone(&self.refusals),
            tls: self.tls.clone(),
        }
    }
}

fn worker(state: &State) -> Worker {
    Worker {
        queue: state.queue.clone(),
        runtime: Arc::clone(&state.runtime),
        registry: Arc::clone(&state.registry),
        settings: Arc::clone(&state.config.handlers),
        handlers_dir: state.started_with.handlers_dir.as_path().into(),
        router: Arc::clone(&state.router),
        metrics: Arc::clone(&state.metrics),
        breakers: Arc::clone(&state.breakers),
        usage: Arc::clone(&state.usage),
        started: Instant::now(),
    }
}

/// Starts the worker once the first scan of the folder has ended and the holds are restored: before, a backlog would find its
/// handlers missing.
fn work(
    worker: Worker,
    leases: Leases,
    restore: impl Future<Output = ()> + Send + 'static,
    phase: watch::Receiver<Phase>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut stop = phase.clone();
        // A store that cannot be written does not answer, and must not prevent the server from stopping.
        tokio::select! {
            () = restore => {}
            _ = stop.wait_for(|phase| *phase != Phase::Serving) => {}
        }
        worker.run(leases, phase, DRAIN_MAX).await;
    })
}
