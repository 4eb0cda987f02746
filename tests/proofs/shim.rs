//! The library that is loaded before the C library of a server: built once, described in `shim.c`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Returns the built shim, for `LD_PRELOAD`.
///
/// # Panics
/// If there is no C compiler; building the server needs one too.
pub(crate) fn path() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let partial = folder.join(format!("proofs-shim-{}.so", std::process::id()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("proofs/shim.c");
        let built = Command::new("cc")
            .args(["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o"])
            .args([&partial, &source])
            .args(["-ldl", "-lpthread"])
            .output()
            .expect("cc runs");
        assert!(
            built.status.success(),
            "the shim does not build:\n{}",
            String::from_utf8_lossy(&built.stderr)
        );
        // Renamed when whole: another run of the tests may load it at this moment.
        let whole = folder.join("proofs-shim.so");
        std::fs::rename(&partial, &whole).expect("the folder takes it");
        whole
    })
}
