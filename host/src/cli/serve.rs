//! `serve`: runs the server, from flags to exit.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
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
use crate::app::{App, ConfigSource, Handle as ServerHandle};
use crate::config::{Config, Overrides};
use crate::http::server;
use crate::runtime::Compiler;
use crate::telemetry::log;

/// A configuration file that may have been written and is not named.
const USUAL_FILE: &str = "alert-manager.yml";

/// How long the process waits at its end for threads that are no longer needed.
const AFTER_THE_END_MAX: Duration = Duration::from_secs(1);

/// Who has started the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Audience {
    /// `serve`: advice is printed only on a terminal.
    Operator,
    /// `dev`: a person who tries it out.
    Developer {
        /// The alert of the one project that is served.
        alert: Option<PathBuf>,
    },
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

/// Returns the source of the configuration: flags, variables and file.
pub(super) fn source(file: Option<PathBuf>, overrides: Overrides) -> ConfigSource {
    Arc::new(move || {
        Config::load(file.as_deref(), &overrides, &|name| {
            std::env::var(name).ok()
        })
    })
}

/// Starts the server with the configuration of `source` and runs it until a signal; `started` is called once it listens.
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
    // Everything is on disk; threads that still read or parse are not waited for.
    threads.shutdown_timeout(AFTER_THE_END_MAX);
    ended
}

async fn listen_and_run(
    config: Config,
    source: ConfigSource,
    audience: Audience,
    started: impl FnOnce(),
) -> anyhow::Result<ExitCode> {
    // Before anything shows that the server runs: a signal would end the process without a proper shutdown.
    let mut signals = Signals::new().context("cannot listen for signals")?;
    // The port is bound first: a second server on one machine should report that before it fails on the store.
    let listener = bind(config.listen).await?;
    let address = listener
        .local_addr()
        .context("the listener has no address")?;
    let (handlers_dir, preview) = (config.handlers_dir.clone(), config.slack.preview);
    let has_file = config.file.is_some();
    let external_url = config.external_url.clone();
    let scheme = match config.tls_server {
        Some(_) => "https",
        None => "http",
    };
    let (advice, compiler) = match audience {
        Audience::Operator => {
            let advice = std::io::stderr().is_terminal();
            let advice = advice.then(|| Next::new(&config, address, None));
            (advice, compiler()?)
        }
        Audience::Developer { alert } => {
            let advice = Next::new(&config, address, alert);
            (Some(advice), compiler()?.fast())
        }
    };
    // On a thread that may block on the disk, so that a signal can end a start that hangs.
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
    let server = app.handle();
    let page = external_url.map_or_else(|| format!("{scheme}://{address}/"), |url| url.to_string());
    tracing::info!("the page is at {page}");
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
    announce_ready(server.clone(), advice);
    started();
    app.run(listener, signals.shutdown(server)).await?;
    Ok(ExitCode::SUCCESS)
}

/// Returns a compiler that runs this program.
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
                "port {} is in use{airplay}: stop the program that uses it, or choose another with PORT=5001 or --web.listen-address {}:5001",
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

fn announce_ready(server: ServerHandle, advice: Option<Next>) {
    tokio::spawn(async move {
        server.ready().await;
        let handlers = server.handlers();
        let serving: Vec<_> = handlers.iter().map(|name| name.as_str()).collect();
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

/// Prints a message that was not posted, as a reader would see it.
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

/// Returns a hint if there is a file with the usual name and none is named.
pub(super) fn unused_file(file: Option<&Path>) -> Option<String> {
    let named = Config::file_named(file, &|name| std::env::var(name).ok());
    (named.is_none() && Path::new(USUAL_FILE).exists()).then(|| {
        format!("{USUAL_FILE} is here and not used: name it with --config.file {USUAL_FILE}")
    })
}

/// The signals that a server handles.
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

    /// Waits for SIGTERM or SIGINT.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Resolves at the first SIGTERM or SIGINT; the second ends the process at once. SIGHUP reloads.
    async fn shutdown(mut self, server: ServerHandle) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = self.hang_up.recv() => {
                    let server = server.clone();
                    // What is refused is logged where it is refused.
                    tokio::spawn(async move { let _ = server.reload().await; });
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
