//! Says of which commit and of which wasmtime a program is, for `--version`.

use std::path::Path;
use std::process::Command;

fn main() {
    check_sqlite_flags();
    println!("cargo::rerun-if-env-changed=ALERT_MANAGER_COMMIT");
    println!(
        "cargo::rustc-env=ALERT_MANAGER_COMMIT={}",
        commit().unwrap_or_else(|| "unknown".to_owned())
    );
    println!("cargo::rerun-if-changed=../Cargo.lock");
    println!(
        "cargo::rustc-env=ALERT_MANAGER_WASMTIME={}",
        wasmtime().unwrap_or_else(|| "unknown".to_owned())
    );
}

/// Warns if `SQLite` is compiled without the repository's flags: cargo reads `.cargo/config.toml` for builds within the clone
/// and for `cargo install --path`, but not for `--manifest-path` from elsewhere and not for `cargo install --git`.
fn check_sqlite_flags() {
    println!("cargo::rerun-if-env-changed=LIBSQLITE3_FLAGS");
    let flags = std::env::var("LIBSQLITE3_FLAGS").unwrap_or_default();
    if !flags.contains("HAVE_FDATASYNC") {
        println!(
            "cargo::warning=SQLite is compiled without the flags of .cargo/config.toml: each commit costs more. \
             Build inside the clone, or set LIBSQLITE3_FLAGS as that file does."
        );
    }
}

/// Returns the variable that builds outside a clone set, else what git says.
fn commit() -> Option<String> {
    if let Ok(commit) = std::env::var("ALERT_MANAGER_COMMIT")
        && !commit.is_empty()
    {
        return Some(commit);
    }
    // A debug build is of no commit in particular; to say so spares a build of everything after each commit.
    if std::env::var("PROFILE").as_deref() != Ok("release") {
        return Some("of a debug build".to_owned());
    }
    // Sources that were unpacked within another project's clone are not of its commit.
    if !Path::new("../.git").exists() {
        return None;
    }
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    // The file that changes with every commit, checkout and reset.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    if Path::new(&log).exists() {
        println!("cargo::rerun-if-changed={log}");
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

/// Reads the version that is locked; a package that was published alone has no such file.
fn wasmtime() -> Option<String> {
    let lock = std::fs::read_to_string("../Cargo.lock").ok()?;
    let (_, after) = lock.split_once("name = \"wasmtime\"\nversion = \"")?;
    after.split('"').next().map(str::to_owned)
}
