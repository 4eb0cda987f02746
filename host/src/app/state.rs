//! The state of a running server, and how it follows the configuration and the folder of handlers: reload, rebuild, readiness.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use rustix::system::uname;
use tokio::sync::watch;

use super::settings::{self, LastGood};
use super::{ConfigSource, options, report};
use crate::alarms::{Heartbeats, Notifier, Ways};
use crate::alert::HandlerName;
use crate::api::Reloaded;
use crate::config::{self, Changes, Config};
use crate::description::Description;
use crate::findings::{Finding, Findings, Problem, Problems};
use crate::http::answers::Server;
use crate::http::server::Bound;
use crate::journal::{BoxFuture, Dependency};
use crate::queue::{Queue, ReplicaAbout, ServedHandler, Wake};
use crate::review::{self, Latest};
use crate::router::Router;
use crate::runtime::{ModuleInfo, PreviewSink, Registry, Runtime, Serving};
use crate::telemetry::Metrics;
use crate::worker::{Breakers, Usage};

/// A handle on a running server. Cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<State>);

impl Handle {
    pub(super) fn new(state: Arc<State>) -> Self {
        Self(state)
    }

    /// Returns once the first scan of the folder has ended and its modules are routed: alerts are accepted from then on.
    pub async fn ready(&self) {
        self.0.ready().await;
    }

    /// Returns the names of the handlers that serve, sorted.
    #[must_use]
    pub fn handlers(&self) -> Vec<HandlerName> {
        let modules = self.0.registry.serving().descriptions();
        modules.into_iter().map(|module| module.name).collect()
    }

    /// Reads configuration and folder again, and returns what has changed. An invalid configuration is refused, and the old one
    /// stays in use.
    ///
    /// # Errors
    /// Returns every problem of the new configuration.
    pub async fn reload(&self) -> Result<Reloaded, Problems> {
        self.0.reload().await
    }

    /// Returns a watch that changes with each commit of the store.
    #[must_use]
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.0.queue.commits()
    }

    /// Returns a watch that changes with each module that is loaded, refused or removed, once the API shows it.
    #[must_use]
    pub fn folder_changes(&self) -> watch::Receiver<u64> {
        self.0.folder_changes()
    }
}

/// The source of a reload, and what stays as it was at the start.
pub(super) struct Source {
    pub(super) read: ConfigSource,
    pub(super) preview: PreviewSink,
    /// The key of the references to Slack's messages.
    pub(super) ref_key: [u8; 32],
    pub(super) bound: Arc<Bound>,
}

/// The parts that change while the server runs, and those that follow them.
pub(super) struct State {
    pub(super) config: config::Current,
    pub(super) router: Arc<ArcSwap<Router>>,
    pub(super) queue: Queue,
    pub(super) runtime: Arc<Runtime>,
    pub(super) registry: Arc<Registry>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) breakers: Arc<Breakers>,
    pub(super) usage: Arc<Usage>,
    pub(super) heartbeats: Arc<Heartbeats>,
    pub(super) notifier: Arc<Notifier>,
    pub(super) findings: Arc<Latest>,
    last_good: LastGood,
    /// The configuration at the start, which is still in use for keys that take effect only after a restart.
    pub(super) started_with: Arc<Config>,
    source: Source,
    reloads: watch::Sender<()>,
    /// True once the modules of the first scan are routed: an earlier alert would find no route.
    routed: watch::Sender<bool>,
    /// The files of the folder when their modules were last routed, and how often that was done.
    listed: ArcSwap<Vec<ModuleInfo>>,
    listings: watch::Sender<u64>,
    /// Held during a reload.
    reload: tokio::sync::Mutex<()>,
    /// Held while the router and the concurrency limits are rebuilt from the newest configuration and folder.
    rebuild: parking_lot::Mutex<()>,
}

impl State {
    pub(super) fn new(
        started_with: Arc<Config>,
        source: Source,
        queue: Queue,
        runtime: Arc<Runtime>,
        registry: Arc<Registry>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let notifier = Notifier::new(queue.clone(), Arc::clone(runtime.slack_breaker()));
        let state = Self {
            config: config::Current::new(Arc::clone(&started_with)),
            router: Arc::new(ArcSwap::from_pointee(Router::default())),
            queue,
            runtime,
            registry,
            metrics,
            breakers: Arc::default(),
            usage: Arc::default(),
            heartbeats: Arc::default(),
            notifier: Arc::new(notifier),
            findings: Arc::default(),
            last_good: LastGood::default(),
            started_with,
            source,
            reloads: watch::Sender::new(()),
            routed: watch::Sender::new(false),
            listed: ArcSwap::default(),
            listings: watch::Sender::new(0),
            reload: tokio::sync::Mutex::default(),
            rebuild: parking_lot::Mutex::default(),
        };
        state.rebuild();
        state.expect_heartbeats();
        state
    }

    /// Returns once the first scan of the folder has ended and its modules are routed.
    pub(super) async fn ready(&self) {
        self.registry.ready().await;
        if !*self.routed.borrow() {
            self.rebuild();
        }
    }

    /// Returns a watch that is true once [`Self::ready`] returns.
    pub(super) fn ready_changes(&self) -> watch::Receiver<bool> {
        self.routed.subscribe()
    }

    /// Returns a watch that changes with each reload.
    pub(super) fn reloads(&self) -> watch::Receiver<()> {
        self.reloads.subscribe()
    }

    /// Returns a watch that changes with each module that is loaded, refused or removed, once [`Server::files`] has it.
    pub(super) fn folder_changes(&self) -> watch::Receiver<u64> {
        self.listings.subscribe()
    }

    async fn reload(&self) -> Result<Reloaded, Problems> {
        let _one_at_a_time = self.reload.lock().await;
        let replaced = self.replace_config().await;
        let changes = replaced.inspect_err(|_| self.metrics.reloaded(Err(())))?;
        self.rebuild();
        self.runtime.slack_breaker().probe_now();
        self.findings.forget_online();
        self.expect_heartbeats();
        self.reloads.send_replace(());
        let terms = settings::terms(&self.config.whole.load_full());
        self.registry.set_terms(terms).await;
        // The response is sent once all loaded modules are routed.
        self.rebuild();
        self.metrics.reloaded(Ok(()));
        let keep_settings = self.config.handlers.load().that_keep_settings();
        report::reloaded(&changes, &keep_settings);
        let findings = self.findings.findings();
        let lines = |found: &[Finding]| found.iter().map(ToString::to_string).collect();
        Ok(Reloaded {
            reloaded: true,
            changed: changes.changed,
            needs_restart: changes.needs_restart,
            keep_settings,
            problems: lines(&findings.problems),
            warnings: lines(&findings.warnings),
        })
    }

    /// Puts a new configuration in use, or returns why it cannot be used.
    async fn replace_config(&self) -> Result<Changes, Problems> {
        let read = Arc::clone(&self.source.read);
        let config = match tokio::task::spawn_blocking(move || read()).await {
            Ok(read) => read.inspect_err(log_refused)?,
            Err(error) => {
                tracing::error!(%error, "reading the configuration failed; the old one stays");
                return Err(not_reloaded("it cannot be read", &error));
            }
        };
        let bound = &self.source.bound;
        if let Some(open) = config.endpoints_without_authentication(bound) {
            let problems = left_open(bound, open);
            log_refused(&problems);
            return Err(problems);
        }
        let mistakes = config.mistakes_beyond(&self.config.whole.load());
        if !mistakes.0.is_empty() {
            log_refused(&mistakes);
            return Err(mistakes);
        }
        self.findings.log_all_again();
        let services = options::service_options(
            &config,
            self.source.ref_key,
            Arc::clone(&self.source.preview),
        );
        if let Err(error) = self.runtime.reconfigure(services) {
            tracing::error!(%error, "the new configuration cannot be used; the old one stays");
            return Err(not_reloaded("it cannot be used", &error));
        }
        let changes = Changes::between(&self.started_with, &self.config.whole.load(), &config);
        let modules = self.registry.serving().descriptions();
        let handlers = self.last_good.in_use(&config, &modules);
        self.config.replace(config, handlers);
        Ok(changes)
    }

    fn expect_heartbeats(&self) {
        let expected = &self.config.whole.load().heartbeats;
        self.heartbeats.expect(expected, Instant::now());
    }

    /// Rebuilds the router and the concurrency limits from the configuration and the modules that serve.
    fn rebuild(&self) {
        let _one_at_a_time = self.rebuild.lock();
        let has_scanned = self.registry.is_ready();
        let config = self.config.whole.load();
        let serving = self.registry.serving();
        let (modules, descriptions) = (serving.listed(), serving.descriptions());
        let handlers = self.last_good.in_use(&config, &descriptions);
        self.config.handlers.store(Arc::new(handlers));
        let router = Router::with_described(config.routes.clone(), &descriptions)
            .with_settings(config.router.clone());
        let ways = Ways::new(
            config.dead_letter.as_deref(),
            &config.handlers,
            &router,
            &descriptions,
        );
        self.router.store(Arc::new(router.with_own(ways.routes())));
        // Without a module and a configuration, the server says that no handler is loaded.
        let is_empty = modules.is_empty() && config.file.is_none();
        self.notifier.set_ways(ways, has_scanned && !is_empty);
        self.queue.set_caps(options::caps(&config, &descriptions));
        self.queue.set_storm(config.queue.storm);
        self.queue
            .set_gate_rates(|name| config.slack.gate_rate(name));
        self.metrics.handlers(modules.iter().filter_map(|module| {
            Some((
                module.name.as_ref()?.as_str(),
                module.version.as_deref()?,
                module.sha256.as_deref()?,
            ))
        }));
        self.queue.announce(about(has_scanned.then_some(modules)));
        let before = self.listed.swap(Arc::new(modules.to_vec()));
        for name in changed(&before, modules).filter_map(|module| module.name.as_ref()) {
            self.findings.log_again(name);
        }
        if has_scanned {
            self.findings
                .take(review::review(&config, modules, &descriptions));
            self.routed.send_replace(true);
        }
        self.listings.send_modify(|n| *n += 1);
    }

    /// Follows the folder until the server ends: loaded modules are routed, refused ones are counted.
    pub(super) async fn follow_folder(self: Arc<Self>) {
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

impl Server for State {
    fn files(&self) -> Arc<Vec<ModuleInfo>> {
        if *self.routed.borrow() {
            self.listed.load_full()
        } else {
            // No alert is accepted yet; the progress of the first scan is shown.
            Arc::new(self.registry.serving().listed().to_vec())
        }
    }

    fn missing_grants(
        &self,
        module: &ModuleInfo,
        description: Option<&Description>,
    ) -> Option<String> {
        review::missing_grants(&self.config.whole.load(), module, description)
    }

    fn findings(&self) -> Arc<Findings> {
        self.findings.findings()
    }

    fn reload(&self) -> BoxFuture<'_, Result<Reloaded, Problems>> {
        Box::pin(Self::reload(self))
    }
}

/// Returns what this server says of itself to the others on its store: the handlers that serve, once the folder was read.
fn about(modules: Option<&[ModuleInfo]>) -> ReplicaAbout {
    let served = |module: &ModuleInfo| {
        Some(ServedHandler {
            name: module.name.clone()?,
            version: module.version.clone()?,
            sha256: module.sha256.clone()?,
        })
    };
    ReplicaAbout {
        host: uname().nodename().to_string_lossy().into_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        handlers: modules.map(|modules| modules.iter().filter_map(served).collect()),
    }
}

/// Returns the files that are new or have changed in a scan of the folder.
fn changed<'a>(
    before: &'a [ModuleInfo],
    now: &'a [ModuleInfo],
) -> impl Iterator<Item = &'a ModuleInfo> {
    now.iter().filter(|module| {
        let old = before.iter().find(|old| old.origin == module.origin);
        !old.is_some_and(|old| is_same(old, module))
    })
}

/// Returns true if a scan of the folder found a file unchanged.
fn is_same(old: &ModuleInfo, new: &ModuleInfo) -> bool {
    (&old.sha256, &old.error, &old.exposure) == (&new.sha256, &new.error, &new.exposure)
}

/// Another `listen` takes effect after a restart: until then the server can still be reached at the address that is bound.
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
