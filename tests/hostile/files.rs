//! Files in the drop folder that are not handlers.

use std::fs;
use std::path::Path;

use super::case::{Case, component, file};
use tests::raw::{self, Core};

pub(crate) fn cases() -> Vec<Case> {
    let mut all = bytes();
    #[cfg(unix)]
    all.extend(nodes());
    all.extend(names());
    all
}

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("the folder takes it");
}

fn bytes() -> Vec<Case> {
    vec![
        file("a-text-file", |path| write(path, b"#!/bin/sh\nrm -rf /\n"))
            .tells(["text file", "wasm32-wasip2"]),
        file("an-empty-file", |path| write(path, b"")).tells(["the file is empty"]),
        file("a-core-module", |path| write(path, &raw::wat("(module)")))
            .tells(["core WebAssembly module"]),
        file("a-program", |path| {
            write(
                path,
                &fs::read("/proc/self/exe").expect("this program")[..1 << 20],
            );
        })
        .tells(["machine code"]),
        file("random-bytes", |path| write(path, &[0xfe; 4_096])).tells(["not WebAssembly"]),
        file("a-version-to-come", |path| {
            write(path, b"\0asm\x0e\0\x01\0rest");
        })
        .tells(["version that this server does not know"]),
        file("a-component-that-is-empty", |path| {
            write(path, b"\0asm\x0d\0\x01\0");
        })
        .tells(["exports nothing"]),
        file("half-a-component", |path| {
            let whole = raw::component("half-a-component", &Core::default());
            write(path, &whole[..whole.len() / 2]);
        })
        .tells(["does not compile", "damaged"]),
        file("a-component-with-a-tail", |path| {
            let mut whole = raw::component("a-component-with-a-tail", &Core::default());
            whole.extend([0xff; 100]);
            write(path, &whole);
        })
        .tells(["does not compile", "damaged"]),
        file("a-section-longer-than-the-file", |path| {
            write(path, b"\0asm\x0d\0\x01\0\x01\xff\xff\xff\xff\x0f");
        })
        .tells(["does not compile", "damaged"]),
        // Sparse: half a gigabyte that costs the sender nothing.
        file("half-a-gigabyte", |path| {
            let sparse = fs::File::create(path).expect("the folder takes it");
            sparse.set_len(500 << 20).expect("a sparse file");
        })
        .tells(["at most", "67108864"]),
    ]
}

#[cfg(unix)]
fn nodes() -> Vec<Case> {
    use super::world::sibling;
    use std::os::unix::fs::symlink;
    vec![
        file("a-device", |path| {
            symlink("/dev/zero", path).expect("a link");
        })
        .tells(["not a regular file"]),
        file("a-terminal", |path| {
            symlink("/dev/tty", path).expect("a link");
        })
        .tells(["not a regular file"]),
        file("a-folder", |path| fs::create_dir(path).expect("a folder"))
            .tells(["not a regular file"]),
        file("a-pipe", |path| {
            let made = std::process::Command::new("mkfifo").arg(path).status();
            assert!(made.expect("mkfifo").success());
        })
        .tells(["not a regular file"]),
        file("a-socket", |path| {
            drop(std::os::unix::net::UnixListener::bind(path).expect("a socket"));
        })
        .tells(["not a regular file"]),
        file("a-link-to-a-secret", |path| {
            let secret = sibling(path, "..secret");
            write(&secret, super::world::SECRET.as_bytes());
            symlink(secret, path).expect("a link");
        })
        .tells(["text file"]),
    ]
}

fn names() -> Vec<Case> {
    vec![
        component("a-name-that-is-taken", |_| {
            raw::component("bench-handler-000", &Core::default())
        })
        .tells(["bench-handler-000 is already served from guest-bench.wasm"]),
        component("pinned", |name| raw::component(name, &Core::default()))
            .tells(["handlers.pinned.sha256"]),
        component("a-name-for-the-host", |_| {
            raw::component("", &Core::default())
        })
        .tells(["describe().name"]),
        component("a-name-with-a-newline", |_| {
            raw::component("a\\0a  b: c", &Core::default())
        })
        .tells(["describe().name"]),
    ]
}
