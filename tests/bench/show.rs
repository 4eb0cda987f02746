//! Prints figures beside their targets, and all of them again at the end.

use std::time::Duration;

/// The target of a figure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
    /// No bound: shown for information.
    None,
}

/// Everything measured so far.
#[derive(Default)]
pub(crate) struct Figures(Vec<String>);

impl Figures {
    /// Prints and keeps a figure.
    pub(crate) fn add(&mut self, what: &str, value: f64, unit: &str, target: Target) {
        let judged = match target {
            Target::AtMost(most) => verdict(value <= most, &format!("at most {most} {unit}")),
            Target::AtLeast(least) => verdict(value >= least, &format!("at least {least} {unit}")),
            Target::None => String::new(),
        };
        let number = match value {
            value if value >= 100.0 => format!("{value:.0}"),
            value if value >= 10.0 => format!("{value:.1}"),
            value => format!("{value:.2}"),
        };
        let line = format!("  {what:<64} {number:>9} {unit:<4} {judged}");
        println!("{}", line.trim_end());
        self.0.push(line.trim_end().to_owned());
    }

    /// Prints all of it again.
    pub(crate) fn summary(&self) {
        println!("\nall figures");
        for line in &self.0 {
            println!("{line}");
        }
    }
}

fn verdict(is_met: bool, target: &str) -> String {
    let word = if is_met { "ok" } else { "MISSED" };
    format!("{word} ({target})")
}

/// Returns the value below which `share` of the sorted values lie.
pub(crate) fn quantile(sorted: &[Duration], share: f64) -> Duration {
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index into a list that fits in memory"
    )]
    let index = (sorted.len() as f64 * share) as usize;
    sorted
        .get(index.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}

/// Returns milliseconds.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
