//! `build` checks the component that it built before it replaces another.

use std::fs;
use std::path::Path;

use tests::modules;
use tests::process::{Finished, command, finished};

/// A handler project that needs no compiler: the `cargo` that comes first in PATH copies `source` to cargo's output path.
struct Project {
    dir: tempfile::TempDir,
}

impl Project {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "one/Cargo.toml",
            "[package]\nname = \"one\"\nversion = \"0.1.0\"\n[lib]\ncrate-type = [\"cdylib\"]\n[workspace]\n",
        );
        write("one/src/lib.rs", "");
        write(
            "cargo.sh",
            "#!/bin/sh\ncase \"$1\" in\n  locate-project) echo \"$PWD/Cargo.toml\" ;;\n  *) mkdir -p target/handlers/wasm32-wasip2/handler && cp ../source.wasm target/handlers/wasm32-wasip2/handler/one.wasm ;;\nesac\n",
        );
        write("rustc.sh", "#!/bin/sh\necho /\n");
        for name in ["cargo", "rustc"] {
            // Put in place by another process: Linux runs no file that is open for writing.
            let installed = std::process::Command::new("install")
                .args(["-m", "755", &format!("{name}.sh"), &format!("bin/{name}")])
                .arg("-D")
                .current_dir(dir.path())
                .status();
            assert!(installed.unwrap().success());
        }
        fs::create_dir(dir.path().join("out")).unwrap();
        Self { dir }
    }

    fn out(&self, file: &str) -> std::path::PathBuf {
        self.dir.path().join("out").join(file)
    }

    fn build(&self, source: &[u8]) -> Finished {
        fs::write(self.dir.path().join("source.wasm"), source).unwrap();
        let path = std::env::var("PATH").unwrap();
        let bin = self.dir.path().join("bin");
        let mut build = command(self.dir.path(), &["build", "one", "--out", "out"]);
        build.env("PATH", format!("{}:{path}", bin.display()));
        finished(build.output().unwrap())
    }
}

fn module(name: &str) -> Vec<u8> {
    fs::read(modules::path(name)).unwrap()
}

/// A component with an import that no server provides.
fn foreign() -> Vec<u8> {
    wat::parse_str(r#"(component (import "other:thing/api@1.0.0" (instance)))"#).unwrap()
}

fn assert_kept(project: &Project, built: &Finished, why: &str, before: &[u8]) {
    assert_eq!(built.code, Some(1), "{built:?}");
    for part in [why, "a server would refuse it", "stays as it was"] {
        assert!(built.stderr.contains(part), "{part} in {}", built.stderr);
    }
    assert_eq!(fs::read(project.out("one.wasm")).unwrap(), before);
    let left = fs::read_dir(project.out("")).unwrap().count();
    assert_eq!(left, 1, "nothing is left beside it");
}

#[test]
fn a_module_that_would_be_refused_leaves_the_good_one_in_place() {
    let project = Project::new();
    let good = module("slack-notify");
    let built = project.build(&good);
    assert_eq!(built.code, Some(0), "{built:?}");
    assert_eq!(fs::read(project.out("one.wasm")).unwrap(), good);
    for (source, why) in [
        (b"\0asm\x01\0\0\0".to_vec(), "component"),
        (b"no".to_vec(), "component"),
        (good[..good.len() / 2].to_vec(), "damaged"),
        (foreign(), "other:thing/api"),
    ] {
        assert_kept(&project, &project.build(&source), why, &good);
    }
    let again = project.build(&good);
    assert_eq!(again.code, Some(0), "{again:?}");
}

#[test]
fn a_name_that_another_file_of_the_folder_has_is_refused() {
    let project = Project::new();
    fs::write(project.out("other.wasm"), module("slack-notify")).unwrap();
    fs::write(project.out("broken.wasm"), b"slack-notify").unwrap();
    let built = project.build(&module("slack-notify"));
    assert_eq!(built.code, Some(1), "{built:?}");
    for part in ["slack-notify", "other.wasm", "nothing was put in place"] {
        assert!(built.stderr.contains(part), "{part} in {}", built.stderr);
    }
    assert!(!Path::new(&project.out("one.wasm")).exists());
    let built = project.build(&module("kube-pod-crash-looping"));
    assert_eq!(built.code, Some(0), "{built:?}");
}

#[test]
fn without_a_folder_the_project_in_the_current_one_is_built() {
    let project = Project::new();
    fs::write(
        project.dir.path().join("source.wasm"),
        module("slack-notify"),
    )
    .unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut build = command(&project.dir.path().join("one"), &["build"]);
    build.env(
        "PATH",
        format!("{}:{path}", project.dir.path().join("bin").display()),
    );
    let built = finished(build.output().unwrap());
    assert_eq!(built.code, Some(0), "{built:?}");
    for part in ["one.wasm is slack-notify", "for *", "imports ", "sha256 "] {
        assert!(built.stderr.contains(part), "{part} in {}", built.stderr);
    }
    // Elsewhere it is the folder `handlers`.
    let missing = finished(command(project.dir.path(), &["build"]).output().unwrap());
    assert!(
        missing.stderr.contains("handlers: no such folder"),
        "{missing:?}"
    );
}
