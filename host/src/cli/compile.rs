//! `compile-module`: the process that compiles a module for a server; limits itself, reads the module, writes the code.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;

use super::args::CompileArgs;
use super::{print, process};
use crate::runtime::{EXIT_DAMAGED, Effort, compile_module};

/// Compiles standard input to standard output.
pub(super) fn run(args: &CompileArgs) -> anyhow::Result<ExitCode> {
    process::confine(args.memory_bytes_max, args.seconds_max)
        .context("the compiler cannot limit itself")?;
    let mut module = Vec::new();
    std::io::stdin()
        .read_to_end(&mut module)
        .context("the module cannot be read")?;
    let effort = match args.fast {
        true => Effort::Fast,
        false => Effort::Full,
    };
    match compile_module(&module, effort) {
        Ok(code) => {
            let mut out = std::io::stdout().lock();
            out.write_all(&code)
                .and_then(|()| out.flush())
                .context("the code cannot be written")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(why) => {
            print::note(&why);
            Ok(ExitCode::from(EXIT_DAMAGED))
        }
    }
}
