//! The command line: what `alert-manager` is asked to do, and its exit code.

mod args;
mod ask;
mod build;
mod check;
mod client;
mod compile;
mod dev;
mod explain;
mod modules;
mod print;
mod process;
mod routes;
mod serve;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Args, Command};

/// Parses the command line, runs it and says how it ended: 0 done, 1 failed, 2 not understood.
#[must_use]
pub fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match args.command {
        Command::Serve(args) => serve::run(args),
        Command::Dev(args) => dev::run(args),
        Command::Check(args) => check::run(&args),
        Command::Build(args) => build::run(&args),
        Command::Routes(args) => routes::run(&args),
        Command::Handlers(args) => ask::handlers(&args),
        Command::Deliveries(args) => ask::deliveries(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Retry(args) => ask::retry(&args),
        Command::Cancel(args) => ask::cancel(&args),
        Command::CompileModule(args) => compile::run(&args),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            print::error(&error);
            ExitCode::FAILURE
        }
    }
}
