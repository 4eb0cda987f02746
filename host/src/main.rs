//! The `alert-manager` command.

use std::process::ExitCode;

// An alert makes several hundred small allocations that are freed on another thread: with the system's allocator, they
// take a quarter of the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    alert_manager::cli::main()
}
