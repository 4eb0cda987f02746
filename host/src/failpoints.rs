//! The command with failpoints, for the proofs in `tests/`: no release has it.

use std::process::ExitCode;

use alert_manager::queue::failpoint::{self, Failpoint};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    failpoint::set(&std::env::var(Failpoint::VARIABLE).unwrap_or_default());
    alert_manager::cli::main()
}
