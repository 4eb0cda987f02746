//! The Python SDK passes its own tests and mypy, and its wheel is enough to test a handler.

use std::path::{Path, PathBuf};
use std::process::Command;

use tests::modules::workspace;
use tests::python;

/// The tools of an author, and what builds a wheel without fetching anything.
const PACKAGES: [&str; 4] = [
    "pytest==9.0.2",
    "mypy==1.19.1",
    "setuptools==80.9.0",
    "wheel==0.45.1",
];

/// Returns the interpreter, or says what is skipped. Where there is a network for certain, nothing is.
pub(super) fn interpreter() -> Option<PathBuf> {
    match python::environment("python-sdk", &PACKAGES) {
        Ok(python) => Some(python),
        Err(error) if std::env::var_os("GITHUB_ACTIONS").is_some() => panic!("{error:#}"),
        Err(error) => {
            tests::skipped(&format!(
                "SKIPPED: the Python SDK was not tested: {error:#}"
            ));
            None
        }
    }
}

/// Runs a command of an author in a folder, and fails with all that it printed.
#[track_caller]
pub(super) fn run(python: &Path, dir: &Path, args: &[&str]) {
    let mut command = Command::new(python);
    command.args(args).current_dir(dir);
    // No bytecode is written into the sources, and the variables of the user who runs the tests have no effect.
    command
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env_remove("PYTHONPATH")
        .env_remove("UPDATE_SNAPSHOTS");
    let output = command.output().unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{} in {}:\n{out}{err}",
        args.join(" "),
        dir.display()
    );
}

pub(super) fn pytest(python: &Path, dir: &Path) {
    run(
        python,
        dir,
        &["-m", "pytest", "-q", "-p", "no:cacheprovider"],
    );
}

fn mypy(python: &Path, dir: &Path, cache: &Path) {
    let cache = format!("--cache-dir={}", cache.display());
    run(python, dir, &["-m", "mypy", &cache]);
}

#[test]
fn the_python_sdk_passes_its_tests_and_full_type_checking() {
    let Some(python) = interpreter() else { return };
    let sdk = workspace().join("handler-sdk/python");
    let cache = tempfile::tempdir().unwrap();
    pytest(&python, &sdk);
    mypy(&python, &sdk, cache.path());
}

#[test]
fn the_python_handler_passes_its_tests_and_full_type_checking() {
    let Some(python) = interpreter() else { return };
    let handler = workspace().join("handlers/owner-runbook");
    let cache = tempfile::tempdir().unwrap();
    pytest(&python, &handler);
    mypy(&python, &handler, cache.path());
    let sdk = workspace().join("handler-sdk/python/src");
    let program = format!(
        "import sys; sys.path.insert(0, {sdk:?}); from handler_sdk.check_needs import main; sys.exit(main(['.']))"
    );
    run(&python, &handler, &["-c", &program]);
}

/// Copies a folder, without what was made in it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let is_made = [".", "__pycache__", "build", "target"];
        if is_made.iter().any(|made| name.starts_with(made)) || name.ends_with(".egg-info") {
            continue;
        }
        let target = to.join(&name);
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Returns the folder of an environment's packages.
fn site_packages(python: &Path) -> String {
    let program = "import site; print(site.getsitepackages()[0])";
    let output = Command::new(python).args(["-c", program]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn the_wheel_is_enough_to_test_a_handler() {
    let Some(python) = interpreter() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (sdk, wheels, project) = (
        dir.path().join("sdk"),
        dir.path().join("wheels"),
        dir.path().join("project"),
    );
    // setuptools writes into the folder that it builds from.
    copy(&workspace().join("handler-sdk/python"), &sdk);
    let to = wheels.to_str().unwrap();
    let build = ["--no-deps", "--no-build-isolation", "--wheel-dir", to, "."];
    let pip = ["-m", "pip", "--disable-pip-version-check", "-q"];
    run(&python, &sdk, &[&pip[..], &["wheel"], &build].concat());
    let wheel = std::fs::read_dir(&wheels).unwrap().next().unwrap().unwrap();
    let wheel = wheel.path();

    // A fresh environment that sees pytest and mypy of the other one, and not the sources of the SDK.
    let fresh = dir.path().join("fresh");
    let fresh_path = fresh.to_str().unwrap();
    run(&python, dir.path(), &["-m", "venv", fresh_path]);
    let own = fresh.join("bin/python");
    let install = [
        "install",
        "--no-deps",
        "--no-index",
        wheel.to_str().unwrap(),
    ];
    run(&own, dir.path(), &[&pip[..], &install].concat());
    let tools = site_packages(&python);
    std::fs::write(Path::new(&site_packages(&own)).join("tools.pth"), tools).unwrap();

    copy(&workspace().join("handlers/owner-runbook"), &project);
    let manifest = std::fs::read_to_string(project.join("pyproject.toml")).unwrap();
    let manifest = manifest
        .replace(
            r#"pythonpath = [".", "../../handler-sdk/python/src"]"#,
            r#"pythonpath = ["."]"#,
        )
        .replace("mypy_path = \"../../handler-sdk/python/src\"\n", "");
    assert!(!manifest.contains("python/src"), "{manifest}");
    std::fs::write(project.join("pyproject.toml"), manifest).unwrap();
    pytest(&own, &project);
    mypy(&own, &project, &dir.path().join("cache"));
    let check = ["-m", "handler_sdk.check_needs", "."];
    run(&own, &project, &check);
}
