//! `compile-module`: a process that compiles modules for a server, one after the other; limits itself, reads a module, writes its
//! code.

use std::process::ExitCode;

use anyhow::Context as _;

use super::args::CompileArgs;
use super::{print, process};
use crate::runtime::{CompileError, EXIT_DAMAGED, Effort, compile_modules};

/// Compiles the modules of standard input to standard output.
pub(super) fn run(args: &CompileArgs) -> anyhow::Result<ExitCode> {
    process::confine(args.memory_bytes_max).context("the compiler cannot limit itself")?;
    let effort = match args.fast {
        true => Effort::Fast,
        false => Effort::Full,
    };
    let (modules, code) = (std::io::stdin().lock(), std::io::stdout().lock());
    let limited = || process::limit_cpu_time_from_now(args.seconds_max);
    match compile_modules(effort, modules, code, limited) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(CompileError::Damaged(why)) => {
            print::note(&why);
            Ok(ExitCode::from(EXIT_DAMAGED))
        }
        Err(error) => Err(error.into()),
    }
}
