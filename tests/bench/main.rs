//! Measures this machine: `cargo run --release -p tests --bin bench [-- NAME… --seconds N --before SERVER --deliveries N]`.

#![allow(clippy::print_stdout, reason = "figures are what this program is for")]

mod builds;
mod drop_in;
mod effects;
mod hostile;
mod http_sink;
mod ingest;
mod languages;
mod load;
mod page;
mod peers;
mod rig;
mod sandbox;
mod show;
mod start;
mod storm;
mod viewers;
mod worst_day;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};

use show::Figures;

// The server's own: the sandbox is measured within this process.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Every benchmark, in the order in which they run.
const NAMES: [&str; 15] = [
    "sandbox",
    "start",
    "drop-in",
    "ingest",
    "end-to-end",
    "latency",
    "storm",
    "worst-day",
    "hostile",
    "builds",
    "languages",
    "saves",
    "first-alert",
    "page",
    "viewers",
];

/// How long each load lasts by default.
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
    let arguments = arguments()?;
    if cfg!(debug_assertions) && !arguments.is_smoke {
        bail!("figures of a debug build say nothing: cargo run --release -p tests --bin bench");
    }
    let mut figures = Figures::default();
    for name in &arguments.names {
        println!("\n{name}");
        measure(name, &arguments, &mut figures).with_context(|| name.clone())?;
    }
    figures.summary();
    Ok(())
}

fn measure(name: &str, arguments: &Arguments, figures: &mut Figures) -> anyhow::Result<()> {
    let load_time = arguments.load_time;
    // One thread for the load generator, so that the other cores are free for the servers.
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
        "worst-day" => lean()?.block_on(worst_day::run(figures)),
        "hostile" => lean()?.block_on(hostile::run(load_time, figures)),
        "languages" => languages::run(figures),
        "saves" => languages::saves(figures),
        "first-alert" => languages::first_alert(figures),
        "builds" => {
            let before = arguments.before.as_deref();
            lean()?.block_on(builds::run(before, load_time, figures))
        }
        "page" => lean()?.block_on(page::run(arguments.deliveries, figures)),
        "viewers" => lean()?.block_on(viewers::run(load_time, figures)),
        _ => lean()?.block_on(storm::run(figures)),
    }
}

/// What the command line says.
struct Arguments {
    names: Vec<String>,
    load_time: Duration,
    /// Accepts a debug build too, to check that the benchmarks run.
    is_smoke: bool,
    /// Another build of the server, for `builds`.
    before: Option<PathBuf>,
    /// How many deliveries the store has, for `page`.
    deliveries: u64,
}

fn arguments() -> anyhow::Result<Arguments> {
    let mut parsed = Arguments {
        names: Vec::new(),
        load_time: Duration::from_secs(SECONDS_DEFAULT),
        is_smoke: false,
        before: None,
        deliveries: page::DELIVERIES,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seconds" => {
                let value = arguments.next().context("--seconds takes a number")?;
                let seconds = value.parse().context("--seconds takes a number")?;
                parsed.load_time = Duration::from_secs(seconds);
            }
            "--before" => {
                let path = arguments.next().context("--before takes a server's path")?;
                let path = Path::new(&path).canonicalize();
                parsed.before = Some(path.context("--before takes a server's path")?);
            }
            "--deliveries" => {
                let value = arguments.next().context("--deliveries takes a number")?;
                parsed.deliveries = value.parse().context("--deliveries takes a number")?;
            }
            "--smoke" => parsed.is_smoke = true,
            name if NAMES.contains(&name) => parsed.names.push(name.to_owned()),
            other => bail!(
                "{other} is no benchmark: take any of {}, --seconds N, --before SERVER and --deliveries N",
                NAMES.join(", ")
            ),
        }
    }
    if parsed.names.is_empty() {
        parsed.names = NAMES.map(str::to_owned).to_vec();
    }
    Ok(parsed)
}
