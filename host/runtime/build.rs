//! Says which wasmtime is compiled in, for `--version`.

fn main() {
    println!("cargo::rerun-if-changed=../../Cargo.lock");
    println!(
        "cargo::rustc-env=ALERT_MANAGER_WASMTIME={}",
        wasmtime().unwrap_or_else(|| "unknown".to_owned())
    );
}

/// Reads the version that is locked; a package that was published alone has no such file.
fn wasmtime() -> Option<String> {
    let lock = std::fs::read_to_string("../../Cargo.lock").ok()?;
    let (_, after) = lock.split_once("name = \"wasmtime\"\nversion = \"")?;
    after.split('"').next().map(str::to_owned)
}
