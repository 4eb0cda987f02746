//! Warns if `SQLite` is compiled without the repository's flags: cargo reads `.cargo/config.toml` for builds within the clone
//! and for `cargo install --path`, but not for `--manifest-path` from elsewhere and not for `cargo install --git`.

fn main() {
    println!("cargo::rerun-if-env-changed=LIBSQLITE3_FLAGS");
    let flags = std::env::var("LIBSQLITE3_FLAGS").unwrap_or_default();
    if !flags.contains("HAVE_FDATASYNC") {
        println!(
            "cargo::warning=SQLite is compiled without the flags of .cargo/config.toml: each commit costs more. \
             Build inside the clone, or set LIBSQLITE3_FLAGS as that file does."
        );
    }
}
