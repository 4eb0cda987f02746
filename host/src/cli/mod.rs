//! The command line: commands and exit codes.

mod alerts;
mod args;
mod build;
mod channels;
mod check;
mod client;
mod compile;
mod coverage;
mod describe;
mod dev;
mod entry;
mod explain;
mod init;
mod inspect;
mod manual;
mod migrate;
mod module_check;
mod modules;
mod new;
mod next;
mod online;
mod paths;
mod print;
mod process;
mod remote;
mod replicas;
mod retry;
mod routes;
mod send;
mod serve;
mod test;
mod watch;

use std::process::ExitCode;

use clap::{FromArgMatches as _, Parser as _};

use args::{Args, Command, CompileArgs, CompletionsArgs, ManArgs};

pub use manual::{ArgumentHelp, CommandHelp, EXIT_CODES, VARIABLES, commands};

use crate::runtime::COMPILE_COMMAND;
use crate::telemetry::log;

/// Parses the command line, runs the command and returns the exit code: 0 done, 1 failed, 2 invalid command line.
#[must_use]
pub fn main() -> ExitCode {
    let outcome = match compile_args() {
        Some(args) => compile::run(&args),
        None => parsed().and_then(|args| run(args.command)),
    };
    // The server's log lines come before the final error.
    log::flush();
    match outcome {
        Ok(code) => code,
        Err(error) => {
            print::error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Returns the arguments; exits if they are invalid or ask for help.
fn parsed() -> anyhow::Result<Args> {
    Ok(Args::from_arg_matches(&manual::command().get_matches())?)
}

/// Returns the arguments of the command by which a server compiles a module.
fn compile_args() -> Option<CompileArgs> {
    let mut words = std::env::args_os().skip(1);
    (words.next()? == COMPILE_COMMAND).then(|| CompileArgs::parse_from(words))
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(args) => serve::run(args),
        Command::Dev(args) => dev::run(args),
        Command::Check(args) => check::run(&args),
        Command::Build(args) => build::run(&args),
        Command::New(args) => new::run(args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Routes(args) => routes::run(&args),
        Command::Coverage(args) => coverage::run(&args),
        Command::Handlers(args) => remote::handlers(&args),
        Command::Channels(args) => channels::run(&args),
        Command::Replicas(args) => replicas::run(&args),
        Command::Deliveries(args) if args.watch => watch::run(&args),
        Command::Deliveries(args) => remote::deliveries(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Retry(args) => retry::retry(&args),
        Command::Cancel(args) => retry::cancel(&args),
        Command::Reload(args) => remote::reload(&args),
        Command::Init(args) => init::run(&args),
        Command::Send(args) => send::run(&args),
        Command::MigrateStore(args) => migrate::run(&args),
        Command::Completions(args) => Ok(completions(&args)),
        Command::Man(args) => man(&args),
    }
}

fn completions(args: &CompletionsArgs) -> ExitCode {
    let mut text = Vec::new();
    let mut command = manual::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(args.shell, &mut command, name, &mut text);
    print::out(&String::from_utf8_lossy(&text));
    ExitCode::SUCCESS
}

fn man(args: &ManArgs) -> anyhow::Result<ExitCode> {
    print::out(&manual::page(args.command.as_deref())?);
    Ok(ExitCode::SUCCESS)
}
