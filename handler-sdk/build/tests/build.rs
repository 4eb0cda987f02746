//! Discovery, and builds with the real cargo of projects without dependencies.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::path::Path;

use common::{Folder, recorded};
use handler_build::{BuildError, Language, Options, build, build_all, discover};

/// Projects that are built with the real cargo.
trait Projects {
    fn project(&self, name: &str, code: &str);
    fn workspace(&self, members: &[&str]);
    fn options(&self) -> Options;
}

impl Projects for Folder {
    /// Writes a handler project whose code needs only core, so that it builds quickly.
    fn project(&self, name: &str, code: &str) {
        self.write(
            &format!("{name}/Cargo.toml"),
            &format!(
                "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n"
            ),
        );
        self.write(&format!("{name}/src/lib.rs"), code);
    }

    fn workspace(&self, members: &[&str]) {
        self.write(
            "Cargo.toml",
            &format!("[workspace]\nresolver = \"3\"\nmembers = {members:?}\n"),
        );
    }

    fn options(&self) -> Options {
        Options::new(self.0.join("out"))
    }
}

const EMPTY: &str = "";
const BROKEN: &str = "pub fn broken() -> u8 { \"seven\" }\n";

#[test]
fn a_project_is_found_at_its_own_folder() {
    let folder = Folder::new();
    folder.project("one", EMPTY);
    folder.project("one/nested", EMPTY);
    let projects = discover(&folder.0.join("one")).unwrap().projects;
    assert_eq!(projects.len(), 1);
    assert_eq!(projects[0].name, "one");
    assert_eq!(projects[0].language(), Language::Rust);
    assert_eq!(projects[0].dir, folder.0.join("one"));
}

#[test]
fn direct_subfolders_that_are_projects_are_found() {
    let folder = Folder::new();
    folder.project("zebra", EMPTY);
    folder.project("apple", EMPTY);
    folder.project("deeper/hidden", EMPTY);
    folder.write("library/Cargo.toml", "[package]\nname = \"library\"\n");
    folder.write("notes.txt", "no project");
    folder.write("apple.wasm", "not a folder");
    folder.workspace(&["apple", "zebra"]);
    let names: Vec<String> = discover(&folder.0)
        .unwrap()
        .projects
        .into_iter()
        .map(|project| project.name)
        .collect();
    assert_eq!(names, ["apple", "zebra"]);
}

#[test]
fn a_manifest_that_cannot_be_read_does_not_hold_back_the_other_projects() {
    let folder = Folder::new();
    folder.project("good", EMPTY);
    fs::create_dir_all(folder.0.join("bad/Cargo.toml")).unwrap();
    let binary = folder.write("worse/Cargo.toml", "");
    fs::write(binary, [0xff, 0xfe]).unwrap();
    let found = discover(&folder.0).unwrap();
    let names: Vec<&str> = found.projects.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["good"]);
    let mut errors: Vec<String> = found.unreadable.iter().map(ToString::to_string).collect();
    errors.sort();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].contains("bad/Cargo.toml"), "{errors:?}");
    assert!(errors[1].contains("worse/Cargo.toml"), "{errors:?}");
}

#[test]
fn a_missing_folder_is_an_error_that_names_it() {
    let error = discover(Path::new("/nowhere/at/all")).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("reading the folder /nowhere/at/all: "),
        "{error}"
    );
}

#[test]
fn projects_of_a_workspace_are_built_together_and_put_in_place() {
    let folder = Folder::new();
    folder.project("one", EMPTY);
    folder.project("two-words", EMPTY);
    folder.workspace(&["one", "two-words"]);
    let (options, events) = recorded(folder.options());
    let projects = discover(&folder.0).unwrap().projects;

    let artifacts: Vec<_> = build_all(&projects, &options)
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(
        *events.lock().unwrap(),
        ["building one two-words", "built one", "built two-words"]
    );
    assert_eq!(artifacts[1].path, folder.0.join("out/two-words.wasm"));
    for artifact in &artifacts {
        let component = fs::read(&artifact.path).unwrap();
        // The preamble of a component; that of a core module has version 1 and layer 0.
        assert_eq!(component[..8], *b"\0asm\x0d\0\x01\0");
        assert_eq!(artifact.bytes, component.len() as u64);
        assert!(artifact.changed);
    }
    assert!(folder.0.join("target/handlers/wasm32-wasip2").is_dir());
    let left: Vec<_> = fs::read_dir(folder.0.join("out")).unwrap().collect();
    assert_eq!(left.len(), 2, "no temporary file is left: {left:?}");

    let again = build(&projects[0], &options).unwrap();
    assert!(!again.changed);
}

#[test]
fn a_project_that_does_not_compile_gives_its_message_and_spares_the_others() {
    let folder = Folder::new();
    folder.project("broken", BROKEN);
    folder.project("sound", EMPTY);
    folder.workspace(&["broken", "sound"]);
    let results = build_all(&discover(&folder.0).unwrap().projects, &folder.options());

    let Err(BuildError::Compile { project, output }) = &results[0] else {
        panic!("{results:?}")
    };
    assert_eq!(project, "broken");
    assert!(
        output.contains("error[E0308]: mismatched types"),
        "{output}"
    );
    assert!(
        !output.contains('\u{1b}'),
        "no colour was asked for: {output:?}"
    );
    assert!(results[1].as_ref().unwrap().path.is_file());
    assert!(!folder.0.join("out/broken.wasm").exists());
}

#[test]
fn a_lockfile_that_does_not_know_a_new_project_may_grow() {
    let folder = Folder::new();
    folder.project("new", EMPTY);
    folder.write("new/Cargo.lock", "version = 4\n");
    let projects = discover(&folder.0.join("new")).unwrap().projects;
    build(&projects[0], &folder.options()).unwrap();
    let lockfile = fs::read_to_string(folder.0.join("new/Cargo.lock")).unwrap();
    assert!(lockfile.contains("name = \"new\""), "{lockfile}");
}

/// A project whose lockfile was made before a dependency was added.
fn with_an_old_lockfile() -> Folder {
    let folder = Folder::new();
    folder.project("one", EMPTY);
    folder.write(
        "one/Cargo.lock",
        "version = 4\n\n[[package]]\nname = \"one\"\nversion = \"0.1.0\"\n",
    );
    folder.write(
        "dep/Cargo.toml",
        "[package]\nname = \"dep\"\nversion = \"0.1.0\"\nedition = \"2024\"\n",
    );
    folder.write("dep/src/lib.rs", EMPTY);
    let manifest = fs::read_to_string(folder.0.join("one/Cargo.toml")).unwrap();
    folder.write(
        "one/Cargo.toml",
        &format!("{manifest}\n[dependencies]\ndep = {{ path = \"../dep\" }}\n"),
    );
    folder
}

#[test]
fn a_lockfile_without_a_dependency_that_was_added_is_updated_and_reported() {
    let folder = with_an_old_lockfile();
    let (options, events) = recorded(folder.options());
    build(
        &discover(&folder.0.join("one")).unwrap().projects[0],
        &options,
    )
    .unwrap();
    let lockfile = folder.0.join("one/Cargo.lock");
    assert_eq!(
        *events.lock().unwrap(),
        [
            "building one".to_owned(),
            format!("updating {}", lockfile.display()),
            "built one".to_owned()
        ]
    );
    let lockfile = fs::read_to_string(lockfile).unwrap();
    assert!(lockfile.contains("name = \"dep\""), "{lockfile}");
}

#[test]
fn a_lockfile_that_may_not_change_is_an_error_with_the_command() {
    let folder = with_an_old_lockfile();
    let before = fs::read_to_string(folder.0.join("one/Cargo.lock")).unwrap();
    let options = Options {
        is_locked: true,
        ..folder.options()
    };
    let project = &discover(&folder.0.join("one")).unwrap().projects[0];
    let error = build(project, &options).unwrap_err();
    assert!(matches!(error, BuildError::Lockfile { .. }), "{error}");
    let command = format!(
        "cargo update --workspace --manifest-path {}/one/Cargo.toml",
        folder.0.display()
    );
    assert!(error.to_string().ends_with(&command), "{error}");
    assert_eq!(
        fs::read_to_string(folder.0.join("one/Cargo.lock")).unwrap(),
        before
    );
}

#[test]
fn what_a_component_does_not_have_is_reported_with_its_line() {
    let folder = Folder::new();
    // It is looked for in the text alone: here it is not compiled.
    let code = "#[cfg(any())]\npub fn read() { let _ = std::fs::read(\"x\"); }\n";
    folder.project("one", code);
    let (options, events) = recorded(folder.options());
    build(
        &discover(&folder.0.join("one")).unwrap().projects[0],
        &options,
    )
    .unwrap();
    let events = events.lock().unwrap();
    let line = format!("note {}/one/src/lib.rs:2: std::fs: ", folder.0.display());
    assert!(events[0].starts_with(&line), "{events:?}");
}

#[cfg(unix)]
mod target {
    use super::*;

    /// Options with a rustc that finds the target if the file `installed` exists.
    fn without_target(folder: &Folder, rustup: &str) -> Options {
        let mut options = folder.options();
        let installed = folder.0.join("installed");
        options.tools.rustc = folder.program("rustc", &format!("echo {}", installed.display()));
        options.tools.rustup = folder.program("rustup", rustup);
        options
    }

    #[test]
    fn a_missing_target_is_installed_and_reported() {
        let folder = Folder::new();
        folder.project("one", EMPTY);
        let installs = format!(
            "echo \"$@\" > {0}/asked && mkdir {0}/installed",
            folder.0.display()
        );
        let (options, events) = recorded(without_target(&folder, &installs));
        build(&discover(&folder.0).unwrap().projects[0], &options).unwrap();
        assert_eq!(events.lock().unwrap()[0], "rustup target add wasm32-wasip2");
        assert_eq!(
            fs::read_to_string(folder.0.join("asked")).unwrap(),
            "target add wasm32-wasip2\n"
        );
    }

    #[test]
    fn a_target_that_cannot_be_installed_gives_the_command_to_run() {
        let folder = Folder::new();
        folder.project("one", EMPTY);
        let options = without_target(&folder, "echo 'error: no network' >&2; exit 1");
        let error = build(&discover(&folder.0).unwrap().projects[0], &options).unwrap_err();
        let message = error.to_string();
        assert!(
            matches!(error, BuildError::MissingTarget { .. }),
            "{message}"
        );
        assert!(message.contains("error: no network"), "{message}");
        assert!(
            message.ends_with("one && rustup target add wasm32-wasip2"),
            "{message}"
        );
    }

    #[test]
    fn without_rustup_the_command_is_reported_too() {
        let folder = Folder::new();
        folder.project("one", EMPTY);
        let mut options = without_target(&folder, "");
        options.tools.rustup = "no-such-rustup".into();
        let message = build(&discover(&folder.0).unwrap().projects[0], &options)
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("`no-such-rustup` is not installed"),
            "{message}"
        );
        assert!(
            message.ends_with("rustup target add wasm32-wasip2"),
            "{message}"
        );
    }
}
