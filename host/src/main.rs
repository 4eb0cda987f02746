//! The `alert-manager` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    alert_manager::cli::main()
}
