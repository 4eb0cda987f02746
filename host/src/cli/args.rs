//! What the command line says, word by word.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

use crate::config::Overrides;
use crate::runtime::COMPILE_COMMAND;
use crate::telemetry::log::{Format, Verbosity};

/// Answers alerts with sandboxed WebAssembly handlers.
#[derive(Debug, Parser)]
#[command(name = "alert-manager", version, arg_required_else_help = true)]
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
    /// Build one handler project, or every one below DIR, to .wasm.
    Build(BuildArgs),
    /// Show which routes match an alert, and why.
    Routes(RoutesArgs),
    /// List the handlers of a running server.
    Handlers(AskArgs),
    /// List the deliveries of a running server, newest first.
    Deliveries(DeliveriesArgs),
    /// Tell the whole story of one delivery.
    Explain(ExplainArgs),
    /// Send dead deliveries again.
    Retry(RetryArgs),
    /// Give up deliveries that are not settled.
    Cancel(CancelArgs),
    /// Compile standard input to standard output, within limits: a server runs this for each new module.
    #[command(name = COMPILE_COMMAND, hide = true)]
    CompileModule(CompileArgs),
}

/// Which file holds the configuration.
#[derive(Clone, Debug, ClapArgs)]
pub(super) struct FileArgs {
    /// The configuration file; without it, the one that the variable `ALERT_MANAGER_CONFIG` names.
    // The variable is read with the others: here, an empty one would be a path.
    #[arg(
        long = "config.file",
        visible_alias = "config",
        short = 'c',
        value_name = "FILE"
    )]
    pub(super) config_file: Option<PathBuf>,
}

/// Where the configuration comes from.
#[derive(Clone, Debug, ClapArgs)]
pub(super) struct ConfigArgs {
    #[command(flatten)]
    pub(super) file: FileArgs,
    /// The folder of compiled handlers.
    #[arg(long, value_name = "DIR")]
    pub(super) handlers: Option<PathBuf>,
}

/// How a server listens and logs, spelled as Prometheus spells it.
#[derive(Clone, Debug, ClapArgs)]
pub(super) struct WebArgs {
    /// The address to listen on.
    #[arg(
        long = "web.listen-address",
        visible_alias = "listen",
        value_name = "ADDR"
    )]
    pub(super) listen: Option<String>,
    /// Where people reach this server, for links in messages.
    #[arg(long = "web.external-url", value_name = "URL")]
    pub(super) external_url: Option<String>,
    /// How much is logged.
    #[arg(long = "log.level", value_name = "LEVEL", default_value = "info")]
    pub(super) log_level: Verbosity,
    /// How it is written; for people where standard error is a terminal, logfmt elsewhere.
    #[arg(long = "log.format", value_name = "FORMAT")]
    pub(super) log_format: Option<Format>,
}

impl WebArgs {
    /// What these flags say over variables and file.
    pub(super) fn overrides(&self, handlers: Option<PathBuf>) -> Overrides {
        Overrides {
            listen: self.listen.clone(),
            external_url: self.external_url.clone(),
            handlers_dir: handlers,
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
    /// The folder of handler projects; their modules are put beside them.
    #[arg(value_name = "DIR", default_value = "handlers")]
    pub(super) dir: PathBuf,
    #[command(flatten)]
    pub(super) file: FileArgs,
    #[command(flatten)]
    pub(super) web: WebArgs,
}

#[derive(Debug, ClapArgs)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct BuildArgs {
    /// A handler project, or a folder of them.
    #[arg(value_name = "DIR", default_value = "handlers")]
    pub(super) dir: PathBuf,
    /// Where the modules go; DIR itself where absent.
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["alert", "labels"]))]
pub(super) struct RoutesArgs {
    /// A file with an alert, or with any body that the webhook takes; `-` is standard input.
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

fn parse_label(text: &str) -> Result<(String, String), &'static str> {
    text.split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or("it is no label: write NAME=VALUE")
}

/// Which server to ask.
#[derive(Clone, Debug, ClapArgs)]
pub(super) struct ServerArgs {
    /// The server's address; `http://127.0.0.1:5000` where neither this nor the variable says another.
    #[arg(long, value_name = "URL", env = "ALERT_MANAGER_URL")]
    pub(super) url: Option<String>,
    /// A file with the bearer token that the server's `api.authorization` asks for.
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct AskArgs {
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct DeliveriesArgs {
    /// In this state.
    #[arg(long, value_name = "STATE", value_parser = ["queued", "running", "retrying", "done", "dead"])]
    pub(super) state: Option<String>,
    /// Of this alertname.
    #[arg(long)]
    pub(super) alertname: Option<String>,
    /// With this handler.
    #[arg(long)]
    pub(super) handler: Option<String>,
    /// Of this fingerprint.
    #[arg(long)]
    pub(super) fingerprint: Option<String>,
    /// Older than this delivery.
    #[arg(long, value_name = "ID")]
    pub(super) before: Option<String>,
    /// At most this many; 1000 are the most.
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
    /// The delivery, as `deliveries` lists it.
    #[arg(value_name = "ID")]
    pub(super) id: String,
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["ids", "handler"]))]
pub(super) struct RetryArgs {
    /// The deliveries.
    #[arg(value_name = "ID")]
    pub(super) ids: Vec<String>,
    /// Every dead delivery of this handler.
    #[arg(long)]
    pub(super) handler: Option<String>,
    /// Also where a later event of the same alert has passed it.
    #[arg(long, conflicts_with = "handler")]
    pub(super) force: bool,
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct CompileArgs {
    /// Bytes of address space.
    #[arg(value_name = "BYTES")]
    pub(super) memory_bytes_max: u64,
    /// Seconds on processors.
    #[arg(value_name = "SECONDS")]
    pub(super) seconds_max: u64,
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
