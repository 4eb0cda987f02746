//! The command line: what `alert-manager` is asked to do, and its exit code.

mod args;
mod ask;
mod build;
mod check;
mod client;
mod compile;
mod dev;
mod explain;
mod init;
mod modules;
mod online;
mod print;
mod process;
mod routes;
mod send;
mod serve;
mod watch;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use args::{Args, Command, CompileArgs, CompletionsArgs};

use crate::runtime::COMPILE_COMMAND;

/// Parses the command line, runs it and says how it ended: 0 done, 1 failed, 2 not understood.
#[must_use]
pub fn main() -> ExitCode {
    let outcome = match compile_args() {
        Some(args) => compile::run(&args),
        None => run(Args::parse().command),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            print::error(&error);
            ExitCode::FAILURE
        }
    }
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
        Command::Routes(args) => routes::run(&args),
        Command::Handlers(args) => ask::handlers(&args),
        Command::Deliveries(args) if args.watch => watch::run(&args),
        Command::Deliveries(args) => ask::deliveries(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Retry(args) => ask::retry(&args),
        Command::Cancel(args) => ask::cancel(&args),
        Command::Init(args) => init::run(&args),
        Command::Send(args) => send::run(&args),
        Command::Completions(args) => Ok(completions(&args)),
        Command::Man => man(),
    }
}

fn completions(args: &CompletionsArgs) -> ExitCode {
    let mut text = Vec::new();
    let mut command = Args::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(args.shell, &mut command, name, &mut text);
    print::out(&String::from_utf8_lossy(&text));
    ExitCode::SUCCESS
}

/// One page for all commands: nobody looks for `alert-manager-send(1)`.
fn man() -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    let command = Args::command().flatten_help(true);
    clap_mangen::Man::new(command).render(&mut text)?;
    print::out(&String::from_utf8_lossy(&text));
    Ok(ExitCode::SUCCESS)
}
