//! `dev` builds the project that was saved, once, and nothing else. The `cargo` that comes first in PATH stands for the real one.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tests::modules;
use tests::process::{Process, command, run};

/// "Compiles" a project whose `src/lib.rs` names a component and a number of three digits: appends the number to the component,
/// in a section that means nothing, and notes the build. Waits while there is a file named `hold`.
const CARGO: &str = r#"#!/bin/sh
case "$1" in
  locate-project) echo "$PWD/Cargo.toml" ;;
  *)
    read -r component number < src/lib.rs
    mkdir -p target/handlers/wasm32-wasip2/handler
    echo "$number" >> target/built
    while [ -e ../../hold ]; do sleep 0.01; done
    if [ ! -f "$component" ]; then echo "error: no such component" >&2; exit 1; fi
    { cat "$component"; printf '\000\005\001x%s' "$number"; } > "target/handlers/wasm32-wasip2/handler/$(basename "$PWD").wasm" ;;
esac
"#;

struct Folder(tempfile::TempDir);

impl Folder {
    /// Makes a folder with the projects `one` and `two`.
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("cargo.sh", CARGO);
        folder.write("rustc.sh", "#!/bin/sh\necho /\n");
        for name in ["cargo", "rustc"] {
            // Put in place by another process: Linux runs no file that is open for writing.
            let installed = std::process::Command::new("install")
                .args([
                    "-D",
                    "-m",
                    "755",
                    &format!("{name}.sh"),
                    &format!("bin/{name}"),
                ])
                .current_dir(folder.0.path())
                .status();
            assert!(installed.unwrap().success());
        }
        folder.project("one");
        folder.project("two");
        folder
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn project(&self, name: &str) {
        self.save(name, 0);
        self.write(
            &format!("handlers/{name}/Cargo.toml"),
            &format!(
                "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\n[lib]\ncrate-type = [\"cdylib\"]\n[workspace]\n"
            ),
        );
    }

    /// Saves the source of a project, in its state `number`.
    fn save(&self, name: &str, number: u32) {
        let component = component(name).display().to_string();
        self.write(
            &format!("handlers/{name}/src/lib.rs"),
            &format!("{component} {number:03}\n"),
        );
    }

    /// Returns the states of a project that were built, in order.
    fn built(&self, name: &str) -> Vec<String> {
        let built = fs::read_to_string(self.path(&format!("handlers/{name}/target/built")));
        built.unwrap().lines().map(str::to_owned).collect()
    }

    fn dev(&self) -> Process {
        let path = std::env::var("PATH").unwrap();
        let mut dev = command(self.0.path(), &["dev", "handlers"]);
        dev.env("PATH", format!("{}:{path}", self.path("bin").display()));
        Process::start(dev)
    }
}

/// Returns the component that a project has, besides its number.
fn component(project: &str) -> PathBuf {
    modules::path(match project {
        "one" => "slack-notify",
        "two" => "kube-pod-crash-looping",
        _ => "guest-post",
    })
}

/// Returns the beginning of the digest of a project's component in the state `number`, as it is shown.
fn digest(project: &str, number: u32) -> String {
    let mut bytes = fs::read(component(project)).unwrap();
    bytes.extend([0, 5, 1, b'x']);
    bytes.extend(format!("{number:03}").bytes());
    let digest = Sha256::digest(&bytes);
    digest[..6]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Waits until the server serves a project in the state `number`.
fn wait_until_served(dev: &Process, project: &str, number: u32) {
    dev.wait_for_line(&format!("sha256={}", digest(project, number)));
}

#[test]
fn left_alone_it_builds_nothing_whatever_else_is_written() {
    let folder = Folder::new();
    let dev = folder.dev();
    for noise in [
        "one/target/debug/lib.rs",
        "one/node_modules/x/index.js",
        "one/.venv/lib/x.py",
        "one/__pycache__/handler.pyc",
        "one/Cargo.lock",
        "one/README.md",
        "one/src/.lib.rs.swp",
        "one/src/lib.rs~",
        "one/src/4913",
        "one/src/#lib.rs#",
        "notes.txt",
        "no-project/src/lib.rs",
    ] {
        folder.write(&format!("handlers/{noise}"), "x");
    }
    // Whatever had been due by now would be built before this, or with it.
    folder.save("two", 1);
    wait_until_served(&dev, "two", 1);
    assert_eq!(folder.built("one"), ["000"]);
    // And of that nothing is left either.
    folder.save("one", 1);
    wait_until_served(&dev, "one", 1);
    assert_eq!(folder.built("two"), ["000", "001"]);
}

#[test]
fn saves_during_a_build_lead_to_one_more_build_of_the_newest_state() {
    let folder = Folder::new();
    let dev = folder.dev();
    folder.write("hold", "");
    folder.save("one", 1);
    dev.wait_for_line("building one");
    for number in 2..50 {
        folder.save("one", number);
    }
    fs::remove_file(folder.path("hold")).unwrap();
    wait_until_served(&dev, "one", 49);
    folder.save("two", 1);
    wait_until_served(&dev, "two", 1);
    let built = folder.built("one");
    assert_eq!(built.len(), 3, "{built:?}");
    assert_eq!((&*built[0], &*built[2]), ("000", "049"));
    assert_eq!(folder.built("two"), ["000", "001"]);
}

#[test]
fn of_a_hundred_saves_in_a_row_the_last_one_is_served() {
    let folder = Folder::new();
    let dev = folder.dev();
    for number in 1..=100 {
        if number % 2 == 0 {
            folder.save("one", number);
        } else {
            // As editors do that write a file beside it first.
            let component = component("one").display().to_string();
            folder.write(
                "handlers/one/src/.lib.rs.new",
                &format!("{component} {number:03}\n"),
            );
            let source = folder.path("handlers/one/src/lib.rs");
            fs::rename(folder.path("handlers/one/src/.lib.rs.new"), source).unwrap();
        }
    }
    wait_until_served(&dev, "one", 100);
    assert_eq!(folder.built("one").last().unwrap(), "100");
    assert_eq!(served(&dev, "slack-notify"), digest("one", 100));
}

/// Returns the beginning of the digest of the module that serves under a name.
fn served(dev: &Process, name: &str) -> String {
    let listed = run(Path::new("/"), &["handlers", "--json", "--url", &dev.url]);
    let answer: Value = serde_json::from_str(&listed.stdout).unwrap();
    let handlers = answer["handlers"].as_array().unwrap();
    let handler = handlers
        .iter()
        .find(|handler| handler["name"] == name)
        .unwrap();
    handler["sha256"].as_str().unwrap()[..12].to_owned()
}

#[test]
fn a_save_that_does_not_compile_is_shown_and_leaves_the_module_in_place_until_the_next() {
    let folder = Folder::new();
    let dev = folder.dev();
    folder.write("handlers/one/src/lib.rs", "broken 001\n");
    dev.wait_for_line("one does not build");
    dev.wait_for_line("error: no such component");
    assert_eq!(served(&dev, "slack-notify"), digest("one", 0));
    // What is broken is not built again and again.
    folder.save("two", 1);
    wait_until_served(&dev, "two", 1);
    assert_eq!(folder.built("one"), ["000", "001"]);
    folder.save("one", 2);
    wait_until_served(&dev, "one", 2);
}

#[test]
fn a_project_that_is_added_is_built_and_one_that_is_removed_is_forgotten() {
    let folder = Folder::new();
    let dev = folder.dev();
    folder.project("three");
    wait_until_served(&dev, "three", 0);
    fs::remove_dir_all(folder.path("handlers/two")).unwrap();
    folder.save("one", 1);
    wait_until_served(&dev, "one", 1);
    assert!(Path::new(&folder.path("handlers/two.wasm")).exists());
    assert_eq!(served(&dev, "kube-pod-crash-looping"), digest("two", 0));
}
