//! `inspect MODULE`: shows what a module is before anybody trusts it. Nothing of it runs but `describe`, in the sandbox with
//! all imports denied.

use std::process::ExitCode;

use super::args::InspectArgs;
use super::describe;
use super::modules::{self, CacheUse};
use super::print::{self, Paint};
use super::process;

/// Prints the description of the module, or fails with why a server would refuse it.
pub(super) fn run(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    let config = modules::config_or_default(None)?;
    let bytes = modules::read(&args.module, config.sandbox.module_bytes_max)?;
    let size = bytes.len() as u64;
    let (runtime, _folder) = modules::sandbox(&config, CacheUse::IfThere)?;
    let module = process::threads()?.block_on(modules::load_one(&runtime, &args.module, bytes))?;
    let inspection = describe::of(&module, size);
    if args.json {
        print::json(&serde_json::to_value(&inspection)?);
    } else {
        print::out(&describe::whole(&inspection, Paint::for_stdout()));
    }
    Ok(ExitCode::SUCCESS)
}
