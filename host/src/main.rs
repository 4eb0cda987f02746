//! The `alert-manager` command.

use std::process::ExitCode;

// An alert makes several hundred small allocations, on one thread and freed on another: the system's
// allocator takes a quarter of its time for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    alert_manager::cli::main()
}
