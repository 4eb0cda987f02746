//! Process settings that are made before a secret is read.

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Keeps secrets out of core dumps and away from other processes, and raises the limit of open files as far as allowed,
/// because each connection needs one.
pub(super) fn harden() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "cannot disable core dumps; they would contain secrets");
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        if let Err(error) = crate::runtime::open_page_map() {
            tracing::warn!(%error, "cannot open /proc/self/pagemap; handlers will run more slowly");
        }
        // Also prevents other processes of the same user from debugging it and from reading `/proc/PID/mem`.
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            tracing::warn!(%error, "cannot hide this process's memory from other processes of its user");
        }
    }
    let files = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: files.maximum,
        ..files
    };
    if files.current != files.maximum && setrlimit(Resource::Nofile, raised).is_err() {
        tracing::debug!("cannot raise the limit of open files");
    }
}

/// Returns the threads on which a command that runs no server waits for what is asynchronous.
pub(super) fn threads() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the worker threads")
}

/// Makes every file that this process creates readable only by its user.
pub(super) fn keep_files_private() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
}

/// The files that a compiler opens at most: its three, and those for examining the machine.
const COMPILER_FILES_MAX: u64 = 32;
/// How much nicer a compiler is than the guests' threads that start it. The guests get about five times its CPU time, but no
/// more, so that a new module does not wait until a busy machine is idle.
const COMPILER_NICE: i32 = 2;

/// Limits the address space of this process, which then can write no file; exceeding the limit ends it.
pub(super) fn confine(memory_bytes_max: u64) -> std::io::Result<()> {
    let at_most = |n| Rlimit {
        current: Some(n),
        maximum: Some(n),
    };
    setrlimit(Resource::Core, at_most(0))?;
    setrlimit(Resource::As, at_most(memory_bytes_max))?;
    setrlimit(Resource::Nofile, at_most(COMPILER_FILES_MAX))?;
    // It is not always permitted, and compiling must not fail without it.
    let _ = rustix::process::nice(COMPILER_NICE);
    // If memory runs out, the kernel should kill this process, not the server.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    setrlimit(Resource::Fsize, at_most(0))?;
    Ok(())
}

/// Limits the CPU time of this process to so many seconds from now on, to the next full second; exceeding it ends the process.
pub(super) fn limit_cpu_time_from_now(seconds_max: u64) -> std::io::Result<()> {
    use rustix::time::{ClockId, clock_gettime};
    let used = clock_gettime(ClockId::ProcessCPUTime);
    let used = used.tv_sec.unsigned_abs() + u64::from(used.tv_nsec > 0);
    let before = getrlimit(Resource::Cpu);
    let until = used.saturating_add(seconds_max);
    let time = Rlimit {
        current: Some(before.maximum.map_or(until, |most| most.min(until))),
        ..before
    };
    setrlimit(Resource::Cpu, time)?;
    Ok(())
}
