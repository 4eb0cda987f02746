//! The arguments of the command line.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use clap::builder::UnknownArgumentValueParser;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use crate::config::Overrides;
use crate::runtime::ENGINE;
use crate::telemetry::log::{Format, Verbosity};
use crate::units::parse_duration;

/// The version with what a bug report needs.
static LONG_VERSION: LazyLock<String> = LazyLock::new(|| {
    let commit = env!("ALERT_MANAGER_COMMIT");
    format!("{}\ncommit {commit}\n{ENGINE}", env!("CARGO_PKG_VERSION"))
});

/// Answers alerts with sandboxed WebAssembly handlers.
#[derive(Debug, Parser)]
#[command(name = "alert-manager", version, long_version = LONG_VERSION.as_str(), arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve the compiled handlers of a folder.
    Serve(ServeArgs),
    /// Build every handler project below DIR, serve them, rebuild and reload on change.
    Dev(DevArgs),
    /// Validate the configuration and every module; print all problems at once.
    Check(CheckArgs),
    /// Make a handler project that builds and passes its own test.
    New(NewArgs),
    /// Build one handler project, or every one below DIR, to .wasm.
    Build(BuildArgs),
    /// Show what a module is, imports and needs, with the configuration to paste.
    Inspect(InspectArgs),
    /// Run a module for one alert in the real sandbox, with nothing going out, and show what it would have done.
    Test(TestArgs),
    /// Show which routes match an alert, and why.
    Routes(RoutesArgs),
    /// Show which alerts of Prometheus' rules are answered, by which route and handlers, and which routes no alert takes.
    Coverage(CoverageArgs),
    /// Write a complete, commented configuration for the modules of a folder.
    Init(InitArgs),
    /// Post an alert to a running server and show the result.
    Send(SendArgs),
    /// List the handlers of a running server.
    Handlers(RemoteArgs),
    /// List Slack's channels of a running server, with what waits for the rate limit of each.
    Channels(RemoteArgs),
    /// List the servers that have the store of a running one open, with which has the term.
    Replicas(RemoteArgs),
    /// List the deliveries of a running server, newest first.
    Deliveries(DeliveriesArgs),
    /// Show the story of one delivery: the recorded trace of everything it did; without an ID, of the newest.
    Explain(ExplainArgs),
    /// Retry dead deliveries; those that wait for a retry run now.
    Retry(RetryArgs),
    /// Cancel deliveries that are not settled.
    Cancel(CancelArgs),
    /// Make a running server read its configuration and folder again, and show what changed.
    Reload(RemoteArgs),
    /// Move a store to another one, such as a file to a database, while no server uses them.
    MigrateStore(MigrateStoreArgs),
    /// Print the completions of a shell.
    Completions(CompletionsArgs),
    /// Print the manual page, of all commands or of one.
    Man(ManArgs),
}

/// The arguments of the command by which a server compiles a module. It is not part of [`Command`], so that neither the help
/// nor a suggestion for a misspelt command names it.
#[derive(Debug, Parser)]
#[command(no_binary_name = true)]
pub(super) struct CompileArgs {
    /// The address space in bytes.
    #[arg(value_name = "BYTES")]
    pub(super) memory_bytes_max: u64,
    /// The processor time of each module in seconds.
    #[arg(value_name = "SECONDS")]
    pub(super) seconds_max: u64,
    /// Whether the time of compiling matters more than the speed of the code.
    #[arg(long)]
    pub(super) fast: bool,
}

/// The argument that names the configuration file.
#[derive(Clone, Debug, ClapArgs)]
pub(super) struct FileArgs {
    /// The configuration file; by default, the one that the variable `ALERT_MANAGER_CONFIG` names.
    // The variable is read elsewhere, with the others: clap would take an empty value as a path.
    #[arg(
        long = "config.file",
        visible_alias = "config",
        short = 'c',
        value_name = "FILE"
    )]
    pub(super) config_file: Option<PathBuf>,
}

/// The arguments that name the configuration file and the folder of handlers.
#[derive(Clone, Debug, ClapArgs)]
pub(super) struct ConfigArgs {
    #[command(flatten)]
    pub(super) file: FileArgs,
    /// The folder of compiled handlers.
    #[arg(long, value_name = "DIR")]
    pub(super) handlers: Option<PathBuf>,
}

/// The arguments for listening and logging, spelled as in Prometheus.
#[derive(Clone, Debug, ClapArgs)]
pub(super) struct WebArgs {
    /// The address to listen on.
    #[arg(
        long = "web.listen-address",
        visible_alias = "listen",
        value_name = "ADDR"
    )]
    pub(super) listen: Option<String>,
    /// Not a flag: whoever tries it is shown the one that there is.
    #[arg(
        long = "port",
        hide = true,
        value_parser = UnknownArgumentValueParser::suggest_arg("--web.listen-address")
            .and_suggest("as in --web.listen-address 127.0.0.1:8080; or set the variable PORT")
    )]
    pub(super) port: Option<Infallible>,
    /// The URL under which people reach this server, for links in messages.
    #[arg(long = "web.external-url", value_name = "URL")]
    pub(super) external_url: Option<String>,
    /// The lowest level that is logged.
    #[arg(long = "log.level", value_name = "LEVEL", default_value = "info")]
    pub(super) log_level: Verbosity,
    /// The format of log lines; by default readable on a terminal, else logfmt.
    #[arg(long = "log.format", value_name = "FORMAT")]
    pub(super) log_format: Option<Format>,
}

impl WebArgs {
    /// Returns what these flags override in variables and file.
    pub(super) fn overrides(&self, handlers: Option<PathBuf>) -> Overrides {
        Overrides {
            listen: self.listen.clone(),
            external_url: self.external_url.clone(),
            handlers_dir: handlers,
            ..Overrides::default()
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    #[command(flatten)]
    pub(super) web: WebArgs,
}

#[derive(Debug, ClapArgs)]
pub(super) struct DevArgs {
    /// A handler project, or a folder of them; their modules are written there too. By default the current folder if it is a
    /// project, else `handlers`.
    #[arg(value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
    #[command(flatten)]
    pub(super) file: FileArgs,
    #[command(flatten)]
    pub(super) web: WebArgs,
}

#[derive(Debug, ClapArgs)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// Also ask Slack about the token and the channels, and connect to each granted origin and to the database of the store.
    #[arg(long)]
    pub(super) online: bool,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct BuildArgs {
    /// A handler project, or a folder of them. By default the current folder if it is a project, else `handlers`.
    #[arg(value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
    /// The folder for the modules; DIR itself if absent.
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Fetch nothing: fail if a tool or a package is not here.
    #[arg(long)]
    pub(super) offline: bool,
    /// Fail if a Cargo.lock does not cover the dependencies of a project, instead of updating it; so it is, too, if the variable CI
    /// is set.
    #[arg(long)]
    pub(super) locked: bool,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// The language of a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Lang {
    /// Rust.
    #[value(alias = "rs")]
    Rust,
    /// Python.
    #[value(alias = "py")]
    Python,
    /// TypeScript.
    #[value(aliases = ["ts", "js", "javascript"])]
    Typescript,
}

#[derive(Debug, ClapArgs)]
pub(super) struct NewArgs {
    /// The handler's name in kebab-case; the folder and the module are called so. On a terminal, what is left out is asked for.
    #[arg(value_name = "NAME")]
    pub(super) name: Option<String>,
    /// The language; Rust if absent.
    #[arg(long, value_enum, value_name = "LANGUAGE")]
    pub(super) lang: Option<Lang>,
    /// The alertname that it answers, `*` for any; made from the name if absent.
    #[arg(long, value_name = "ALERTNAME")]
    pub(super) alert: Option<String>,
    /// The folder to make the project in; by default `handlers` within this repository, else the working folder.
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
    /// The SDK to use, such as a clone of this repository; by default a copy of the one that this program carries.
    #[arg(long, value_name = "DIR")]
    pub(super) sdk: Option<PathBuf>,
    /// Replace the SDK of the project DIR by the one that this program carries, and do nothing else.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["name", "lang", "alert", "dir", "sdk"])]
    pub(super) update_sdk: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct InspectArgs {
    /// The module, a .wasm file. Only its `describe` runs, and every call that it makes is denied.
    #[arg(value_name = "MODULE")]
    pub(super) module: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct TestArgs {
    /// The module, a .wasm file.
    #[arg(value_name = "MODULE")]
    pub(super) module: PathBuf,
    /// A file with an alert, or with any body that the webhook accepts; `-` is standard input.
    #[arg(long, value_name = "FILE", required = true)]
    pub(super) alert: PathBuf,
    /// Which alert of a body with several, counted from 0; the first that is valid if absent.
    #[arg(long, value_name = "N")]
    pub(super) index: Option<usize>,
    /// After a firing alert, also run it as resolved, with what was kept.
    #[arg(long)]
    pub(super) resolve: bool,
    /// A file with rules that answer HTTP requests, in YAML or JSON; without it, none is answered.
    #[arg(long = "http", value_name = "FILE")]
    pub(super) http: Option<PathBuf>,
    /// A fact that an earlier handler of the route found, as NAME=VALUE; may be repeated.
    #[arg(long = "fact", value_name = "NAME=VALUE", value_parser = parse_label)]
    pub(super) facts: Vec<(String, String)>,
    #[command(flatten)]
    pub(super) file: FileArgs,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["alert", "labels"]))]
pub(super) struct RoutesArgs {
    /// A file with an alert, or with any body that the webhook accepts; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(super) alert: Option<PathBuf>,
    /// Labels, as NAME=VALUE.
    #[arg(value_name = "LABEL=VALUE", value_parser = parse_label)]
    pub(super) labels: Vec<(String, String)>,
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// What makes `coverage` fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FailOn {
    /// An alert may take no route.
    Unrouted,
    /// An alert may have only handlers that are for any alert, or take no route.
    Fallback,
}

#[derive(Debug, ClapArgs)]
#[command(group = clap::ArgGroup::new("rules_of").required(true).args(["prometheus", "rules"]))]
pub(super) struct CoverageArgs {
    /// The server whose rules are read: Prometheus, or one with its API under this URL.
    #[arg(long, value_name = "URL")]
    pub(super) prometheus: Option<String>,
    /// Files with rules, or with manifests of the kind `PrometheusRule`.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(super) rules: Vec<PathBuf>,
    /// A label that the Prometheus server adds to every alert, as NAME=VALUE; may be repeated.
    #[arg(long = "external-label", value_name = "NAME=VALUE", value_parser = parse_label)]
    pub(super) external_labels: Vec<(String, String)>,
    /// A file with the bearer token for the Prometheus server.
    #[arg(
        long,
        value_name = "FILE",
        requires = "prometheus",
        conflicts_with = "username"
    )]
    pub(super) bearer_token_file: Option<PathBuf>,
    /// The user for the Prometheus server.
    #[arg(long, value_name = "NAME", requires_all = ["prometheus", "password_file"])]
    pub(super) username: Option<String>,
    /// A file with the password of the user.
    #[arg(long, value_name = "FILE", requires = "username")]
    pub(super) password_file: Option<PathBuf>,
    /// How long each answer of the Prometheus server may take.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_wait)]
    pub(super) timeout: Duration,
    /// Fail if an alert may take no route, or may have only a fallback.
    #[arg(long, value_enum, value_name = "ANSWER")]
    pub(super) fail_on: Option<FailOn>,
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

fn parse_label(text: &str) -> Result<(String, String), &'static str> {
    text.split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or("not a label: write NAME=VALUE")
}

/// The arguments that name the server to connect to.
#[derive(Clone, Debug, ClapArgs)]
pub(super) struct ServerArgs {
    /// The server's address, `http://127.0.0.1:5000` by default; without a scheme it is `http`.
    #[arg(long, value_name = "URL", env = "ALERT_MANAGER_URL")]
    pub(super) url: Option<String>,
    /// A file with the bearer token for the server's `api.authorization`.
    #[arg(
        long,
        value_name = "FILE",
        env = "ALERT_MANAGER_TOKEN_FILE",
        hide_env_values = true
    )]
    pub(super) token_file: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct RemoteArgs {
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct DeliveriesArgs {
    /// Only deliveries in this state.
    #[arg(long, value_name = "STATE", value_parser = ["queued", "running", "retrying", "done", "dead"])]
    pub(super) state: Option<String>,
    /// Ended for this reason: handled, unrouted, coalesced, outdated, failed, expired, cancelled, backlog, refused or died.
    #[arg(long)]
    pub(super) reason: Option<String>,
    /// Only deliveries of this priority.
    #[arg(long, value_parser = ["critical", "warning", "normal"])]
    pub(super) priority: Option<String>,
    /// Of this alertname.
    #[arg(long)]
    pub(super) alertname: Option<String>,
    /// Only deliveries with this handler.
    #[arg(long)]
    pub(super) handler: Option<String>,
    /// Only deliveries of this fingerprint.
    #[arg(long)]
    pub(super) fingerprint: Option<String>,
    /// Only deliveries whose labels match, in Alertmanager's syntax: 'severity=~"crit.*"'; may be repeated.
    #[arg(long = "match", value_name = "MATCHER")]
    pub(super) matchers: Vec<String>,
    /// Only deliveries received within this time (1h, 2d) or since this moment (RFC 3339).
    #[arg(long, value_name = "WHEN")]
    pub(super) since: Option<String>,
    /// Only deliveries older than this one.
    #[arg(long, value_name = "ID", conflicts_with = "watch")]
    pub(super) before: Option<String>,
    /// Keep running: print each delivery when it arrives and whenever its state changes.
    #[arg(long)]
    pub(super) watch: bool,
    /// At most this many, up to 1000.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) limit: u32,
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ExplainArgs {
    /// The delivery, as `deliveries` lists it; the newest if absent.
    #[arg(value_name = "ID")]
    pub(super) id: Option<String>,
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true).args(["ids", "handler", "reason", "matchers", "waiting"]))]
pub(super) struct RetryArgs {
    /// The deliveries.
    #[arg(value_name = "ID")]
    pub(super) ids: Vec<String>,
    /// Every dead delivery of this handler.
    #[arg(long, conflicts_with = "ids")]
    pub(super) handler: Option<String>,
    /// Every dead delivery that ended for this reason, as `deliveries` shows it, or whose error contains this text.
    #[arg(long, value_name = "TEXT", conflicts_with = "ids")]
    pub(super) reason: Option<String>,
    /// Every dead delivery whose labels match, in Alertmanager's syntax: 'severity=~"crit.*"'; may be repeated.
    #[arg(long = "match", value_name = "MATCHER", conflicts_with = "ids")]
    pub(super) matchers: Vec<String>,
    /// Instead of dead deliveries, those that wait for a retry: they run now.
    #[arg(long, conflicts_with = "ids")]
    pub(super) waiting: bool,
    /// Even if a later event of the same alert has already run.
    #[arg(long, conflicts_with_all = ["handler", "reason", "matchers", "waiting"])]
    pub(super) force: bool,
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct MigrateStoreArgs {
    /// The store that is moved, as in `store` of the configuration: `sqlite:FILE` or `postgres://USER@HOST/DATABASE`. It stays
    /// as it is.
    #[arg(value_name = "FROM")]
    pub(super) from: String,
    /// The store that it is moved to: a file that does not exist, an empty database, or one of a move that was cut off.
    #[arg(value_name = "TO")]
    pub(super) to: String,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct CompletionsArgs {
    /// The shell.
    pub(super) shell: clap_complete::Shell,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ManArgs {
    /// The command; all of them if absent.
    #[arg(value_name = "COMMAND")]
    pub(super) command: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct InitArgs {
    /// The folder of compiled handlers that the configuration is for.
    #[arg(long, value_name = "DIR", default_value = "handlers")]
    pub(super) handlers: PathBuf,
    /// The file that is written; `-` is standard output.
    #[arg(long, value_name = "FILE", default_value = "alert-manager.yml")]
    pub(super) out: PathBuf,
    /// Replace an existing file.
    #[arg(long)]
    pub(super) force: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct SendArgs {
    /// Labels of the alert, as NAME=VALUE; without labels and without --alert, the alert of the README.
    #[arg(value_name = "LABEL=VALUE", value_parser = parse_label, conflicts_with = "alert")]
    pub(super) labels: Vec<(String, String)>,
    /// A file with an alert, or with any body that the webhook accepts; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(super) alert: Option<PathBuf>,
    /// An annotation, as NAME=VALUE; may be repeated.
    #[arg(long = "annotation", value_name = "NAME=VALUE", value_parser = parse_label, conflicts_with = "alert")]
    pub(super) annotations: Vec<(String, String)>,
    /// Send it as resolved: ends the firing alert with the same labels.
    #[arg(long)]
    pub(super) resolve: bool,
    /// Send the alerts of --alert as if they began now: they are new events, which run even if they were sent before.
    #[arg(long, requires = "alert", conflicts_with = "resolve")]
    pub(super) again: bool,
    /// Return once it is stored, without waiting for its handlers.
    #[arg(long)]
    pub(super) no_wait: bool,
    /// How long to wait for its handlers, and before that for a server that is still loading them.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_wait)]
    pub(super) timeout: Duration,
    /// A file with the bearer token for the server's `webhook.authorization`; by default, that of --token-file.
    #[arg(
        long,
        value_name = "FILE",
        env = "ALERT_MANAGER_WEBHOOK_TOKEN_FILE",
        hide_env_values = true
    )]
    pub(super) webhook_token_file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

fn parse_wait(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text).ok_or("write a duration such as 500ms, 30s or 2m")
}

#[derive(Debug, ClapArgs)]
pub(super) struct CancelArgs {
    /// The deliveries.
    #[arg(value_name = "ID", required = true)]
    pub(super) ids: Vec<String>,
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}
