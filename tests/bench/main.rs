//! Measures this machine: `cargo run --release -p tests --bin bench [-- NAME… --seconds N]`.

#![allow(clippy::print_stdout, reason = "figures are what this program is for")]

mod drop_in;
mod effects;
mod hostile;
mod ingest;
mod load;
mod peers;
mod rig;
mod sandbox;
mod show;
mod stand_in;
mod start;
mod storm;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};

use show::Figures;

// The server's own: the sandbox is measured within this process.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Every benchmark, in the order in which they run.
const NAMES: [&str; 8] = [
    "sandbox",
    "start",
    "drop-in",
    "ingest",
    "end-to-end",
    "latency",
    "storm",
    "hostile",
];

/// How long each load lasts where nothing else is said.
const SECONDS_DEFAULT: u64 = 60;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let (names, load_time, is_smoke) = arguments()?;
    if cfg!(debug_assertions) && !is_smoke {
        bail!("figures of a debug build say nothing: cargo run --release -p tests --bin bench");
    }
    let mut figures = Figures::default();
    for name in names {
        println!("\n{name}");
        measure(&name, load_time, &mut figures).with_context(|| name.clone())?;
    }
    figures.summary();
    Ok(())
}

fn measure(name: &str, load_time: Duration, figures: &mut Figures) -> anyhow::Result<()> {
    // One thread for what makes load: the cores belong to what is measured.
    let lean = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
    };
    match name {
        "sandbox" => sandbox::run(figures),
        "start" => start::run(figures),
        "drop-in" => lean()?.block_on(drop_in::run(figures)),
        "ingest" => lean()?.block_on(ingest::run(load_time, figures)),
        "end-to-end" => lean()?.block_on(effects::rate(load_time, figures)),
        "latency" => lean()?.block_on(effects::latency(load_time, figures)),
        "hostile" => lean()?.block_on(hostile::run(load_time, figures)),
        _ => lean()?.block_on(storm::run(figures)),
    }
}

/// `--smoke` runs a debug build too: to see that it runs, not how fast.
fn arguments() -> anyhow::Result<(Vec<String>, Duration, bool)> {
    let mut names = Vec::new();
    let mut seconds = SECONDS_DEFAULT;
    let mut is_smoke = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--seconds" {
            let value = arguments.next().context("--seconds takes a number")?;
            seconds = value.parse().context("--seconds takes a number")?;
        } else if argument == "--smoke" {
            is_smoke = true;
        } else if NAMES.contains(&argument.as_str()) {
            names.push(argument);
        } else {
            bail!(
                "{argument} is no benchmark: take any of {}, and --seconds N",
                NAMES.join(", ")
            );
        }
    }
    if names.is_empty() {
        names = NAMES.map(str::to_owned).to_vec();
    }
    Ok((names, Duration::from_secs(seconds), is_smoke))
}
