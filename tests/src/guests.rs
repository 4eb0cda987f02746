//! Builds the handlers below `tests/guests/`, once for each test process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Returns the component of the guest `name`: `hostile` or `probe`.
///
/// # Panics
/// Where the guests do not build; the compiler has said why.
#[must_use]
pub fn guest(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build).join(format!("{name}.wasm"))
}

/// Returns the guest's bytes.
///
/// # Panics
/// Where the guests do not build.
#[must_use]
#[allow(clippy::expect_used, reason = "without its guest no test can go on")]
pub fn guest_bytes(name: &str) -> Vec<u8> {
    std::fs::read(guest(name)).expect("a built guest can be read")
}

#[allow(clippy::expect_used, reason = "without its guests no test can go on")]
fn build() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // A folder of their own: a nested cargo waits for ever on the one that runs it.
    let target = root.with_file_name("target").join("guests");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--target", "wasm32-wasip2"])
        .arg("--manifest-path")
        .arg(root.join("guests/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        // What the tests are built with is not meant for guests.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .status()
        .expect("cargo starts");
    assert!(
        status.success(),
        "the guests do not build; is the target there? `rustup target add wasm32-wasip2`"
    );
    target.join("wasm32-wasip2/debug")
}
