//! What all limits together cost, against a twin of the sandbox that has none.

use std::process::Command;

use anyhow::Context as _;
use tests::{modules, process};

use crate::show::{Figures, Target};

/// Of what an alert costs without any limit.
const SHARE_MAX: f64 = 10.0;

/// The twin is no part of the server: it is built with the server's own tests, which therefore measure.
const TEST: &str = "runtime::invoke::cost::what_the_limits_cost";

/// Runs the measurement and shows what it says.
pub(crate) fn run(figures: &mut Figures) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(modules::workspace()).args([
        "test",
        "--quiet",
        "--locked",
        "--package",
        "alert-manager",
        "--lib",
    ]);
    command.args(process::profile());
    command.args(["--", "--ignored", "--exact", "--nocapture", TEST]);
    let output = command.output().context("cargo does not run")?;
    let said = String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(
        output.status.success(),
        "the measurement failed:\n{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let (limited, without) = said.lines().find_map(read).context("it says no figure")?;
    figures.add("one alert, every limit", limited / 1e3, "µs", Target::None);
    figures.add("one alert, no limit", without / 1e3, "µs", Target::None);
    figures.add(
        "the limits' part",
        (limited / without - 1.0) * 100.0,
        "%",
        Target::AtMost(SHARE_MAX),
    );
    Ok(())
}

/// Reads the line with both figures, in nanoseconds.
fn read(line: &str) -> Option<(f64, f64)> {
    let (limited, without) = line.strip_prefix("limited ")?.split_once(" ns, without ")?;
    let without = without.strip_suffix(" ns")?;
    Some((limited.parse().ok()?, without.parse().ok()?))
}
