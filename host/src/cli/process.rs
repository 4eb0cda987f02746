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
        tracing::warn!(%error, "core dumps cannot be switched off; they would hold secrets");
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        if let Err(error) = crate::runtime::open_page_map() {
            tracing::warn!(%error, "handlers will run more slowly");
        }
        // Also bars debuggers of the same user, and `/proc/PID/mem`.
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            tracing::warn!(%error, "the memory of this process cannot be closed to other processes");
        }
    }
    let files = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: files.maximum,
        ..files
    };
    if files.current != files.maximum && setrlimit(Resource::Nofile, raised).is_err() {
        tracing::debug!("the limit of open files stays as it is");
    }
}

/// Makes every file that this process writes readable to its user alone.
pub(super) fn keep_files_private() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
}
