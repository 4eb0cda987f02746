//! `serve`: the server itself, from flags to exit.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};

use super::args::ServeArgs;
use super::next::Next;
use super::print::{self, Paint};
use super::process;
use crate::app::{App, ConfigSource, Shared};
use crate::config::{Config, Overrides};
use crate::http::server;
use crate::runtime::Compiler;
use crate::telemetry::log;

/// The file that somebody may have written without naming it.
const USUAL_FILE: &str = "alert-manager.yml";

/// How long what nobody needs any more is waited for.
const AFTER_THE_END_MAX: Duration = Duration::from_secs(1);

/// Who started the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// `serve`: advice is for a terminal alone.
    Operator,
    /// `dev`: a person who tries it out.
    Developer,
}

/// Serves until a signal.
pub(super) fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    log::init(
        args.web.log_format,
        args.web.log_level,
        Paint::for_stderr().colours(),
    );
    let overrides = args.web.overrides(args.config.handlers.clone());
    process::keep_files_private();
    let file = args.config.file.config_file;
    hint_at_usual_file(file.as_deref());
    serve(source(file, overrides), Audience::Operator, || ())
}

/// Reads the configuration in the way of this process: its flags, its variables, its file.
pub(super) fn source(file: Option<std::path::PathBuf>, overrides: Overrides) -> ConfigSource {
    Arc::new(move || {
        Config::load(file.as_deref(), &overrides, &|name| {
            std::env::var(name).ok()
        })
    })
}

/// Starts the server that `source` describes and runs it until a signal; `started` is called once it listens.
pub(super) fn serve(
    source: ConfigSource,
    audience: Audience,
    started: impl FnOnce(),
) -> anyhow::Result<ExitCode> {
    process::harden();
    let config = source().map_err(|problems| anyhow!("{problems}"))?;
    let threads = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(server::half_of_the_processors())
        .thread_name("http")
        .enable_all()
        .build()
        .context("cannot start the worker threads")?;
    let ended = threads.block_on(listen_and_run(config, source, audience, started));
    // Everything is on disk: what still reads or parses beside it is not waited for.
    threads.shutdown_timeout(AFTER_THE_END_MAX);
    ended
}

async fn listen_and_run(
    config: Config,
    source: ConfigSource,
    audience: Audience,
    started: impl FnOnce(),
) -> anyhow::Result<ExitCode> {
    // Before anybody can know that the server is there: a signal would end it out of order.
    let mut signals = Signals::new().context("cannot listen for signals")?;
    // The port first: a second server on one machine should say so before it fails on the store.
    let listener = bind(config.listen).await?;
    let address = listener
        .local_addr()
        .context("the listener has no address")?;
    let (handlers_dir, preview) = (config.handlers_dir.clone(), config.slack.preview);
    let has_file = config.file.is_some();
    let scheme = match config.tls_server {
        Some(_) => "https",
        None => "http",
    };
    let advice = (audience == Audience::Developer || std::io::stderr().is_terminal())
        .then(|| Next::new(&config, address));
    let compiler = compiler()?;
    // On a thread that may wait for the disk, so that a signal ends a start that hangs.
    let starting = tokio::task::spawn_blocking(move || {
        Handle::current().block_on(App::start(config, source, Arc::new(show_preview), compiler))
    });
    let app = tokio::select! {
        app = starting => app.context("the start has failed")??,
        () = signals.stop() => {
            tracing::info!("stopped before the start was complete");
            return Ok(ExitCode::SUCCESS);
        }
    };
    let shared = app.shared();
    tracing::info!(
        "listening on {scheme}://{address}, handlers from {}",
        handlers_dir.display()
    );
    if preview {
        tracing::info!(
            "Slack is in preview: messages are shown here and kept with their delivery, not posted. To post them, {}",
            if has_file {
                "set SLACK_TOKEN or slack.token_file, and remove `preview: true` below `slack` in the configuration"
            } else {
                "set SLACK_TOKEN"
            }
        );
    }
    announce_ready(shared.clone(), advice);
    started();
    app.run(listener, signals.shutdown(shared)).await?;
    Ok(ExitCode::SUCCESS)
}

/// Modules are compiled by this very program.
pub(super) fn compiler() -> anyhow::Result<Compiler> {
    Compiler::this_program().context("cannot find the file of this program, which compiles modules")
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            let airplay = if cfg!(target_os = "macos") && address.port() == 5000 {
                " (on macOS, AirPlay Receiver has 5000)"
            } else {
                ""
            };
            anyhow!(
                "port {} is in use{airplay}: stop what has it, or choose another with PORT=5001 or --web.listen-address {}:5001",
                address.port(),
                address.ip()
            )
        }
        std::io::ErrorKind::PermissionDenied => anyhow!(
            "may not listen on {address}: ports below 1024 need a privilege; choose another with PORT or --web.listen-address"
        ),
        _ => anyhow!("cannot listen on {address}: {error}"),
    })
}

fn announce_ready(shared: Shared, advice: Option<Next>) {
    tokio::spawn(async move {
        shared.ready().await;
        let modules = shared.registry.serving().descriptions();
        let serving: Vec<_> = modules.iter().map(|m| m.name.as_str()).collect();
        if serving.is_empty() {
            tracing::warn!(
                "ready, but no handler is loaded: put a .wasm file into the folder of handlers"
            );
        } else {
            tracing::info!("ready: {} serve", serving.join(", "));
            if let Some(advice) = advice {
                log::flush();
                print::note(&advice.to_string());
            }
        }
    });
}

/// Shows a message that was not posted, as it would read.
fn show_preview(message: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{message}");
    let _ = out.flush();
}

fn hint_at_usual_file(file: Option<&Path>) {
    if let Some(hint) = unused_file(file) {
        print::note(&hint);
    }
}

/// Returns the hint at a file that somebody wrote and did not name, if there is one and none is named.
pub(super) fn unused_file(file: Option<&Path>) -> Option<String> {
    let named = Config::file_named(file, &|name| std::env::var(name).ok());
    (named.is_none() && Path::new(USUAL_FILE).exists()).then(|| {
        format!("{USUAL_FILE} is here and not used: name it with --config.file {USUAL_FILE}")
    })
}

/// The signals that a server answers to.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Resolves at a SIGTERM or SIGINT.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Resolves at the first SIGTERM or SIGINT; the second ends the process at once. SIGHUP reloads.
    async fn shutdown(mut self, shared: Shared) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = self.hang_up.recv() => {
                    let shared = shared.clone();
                    // What is refused is logged where it is refused.
                    tokio::spawn(async move { let _ = shared.reload().await; });
                }
            }
        }
        tokio::spawn(async move {
            self.stop().await;
            tracing::warn!(
                "second signal: stopping at once; running deliveries continue after the next start"
            );
            log::flush();
            #[allow(
                clippy::exit,
                reason = "the operator asked twice; what is accepted is on disk"
            )]
            std::process::exit(130);
        });
    }
}
