//! What the process gives up, and asks for, before it holds a secret.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Keeps secrets out of core dumps and out of other processes' sight, and raises the limit of open files to
/// what is allowed: each connection is one.
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
        // Also bars debuggers of the same user, and `/proc/PID/mem`.
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

/// Makes every file that this process writes readable to its user alone.
pub(super) fn keep_files_private() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
}

/// Files that a compiler has open at most: its three, and what a look at the machine takes.
const COMPILER_FILES_MAX: u64 = 32;
/// Beyond what guests' threads, which start it, are already. What serves goes first, about five to one, and no more: a new
/// module is not to wait until a busy machine has nothing else to do.
const COMPILER_NICE: i32 = 2;

/// Limits this process to so much address space and time on processors; what exceeds that ends it.
pub(super) fn confine(memory_bytes_max: u64, seconds_max: u64) -> std::io::Result<()> {
    let at_most = |n| Rlimit {
        current: Some(n),
        maximum: Some(n),
    };
    setrlimit(Resource::Core, at_most(0))?;
    setrlimit(Resource::As, at_most(memory_bytes_max))?;
    setrlimit(Resource::Fsize, at_most(memory_bytes_max))?;
    setrlimit(Resource::Nofile, at_most(COMPILER_FILES_MAX))?;
    let time = Rlimit {
        current: Some(seconds_max),
        // The first signal ends it already; the second cannot be caught.
        maximum: Some(seconds_max.saturating_add(1)),
    };
    setrlimit(Resource::Cpu, time)?;
    // No protection, only a courtesy, and not everywhere allowed: compiling must not fail for it.
    let _ = rustix::process::nice(COMPILER_NICE);
    // Where the machine runs out of memory after all, this is what the kernel is to take, not the server.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    Ok(())
}
