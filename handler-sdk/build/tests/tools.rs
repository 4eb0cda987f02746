//! The tools of Python and TypeScript, with programs in the place of python3, node and npm.
#![allow(clippy::unwrap_used, reason = "tests")]
#![cfg(unix)]

mod common;

use std::fs;
use std::sync::Arc;

use common::{Folder, recorded};
use handler_build::{BuildError, Event, Options, Project, Tools, build, discover};

/// Answers as python3 does if the working folder has no modules for it (-I), makes "environments", and is pip in them. Pip waits for the file `go` if there is one named
/// `hold`, and fails if there is one named `offline`.
const PYTHON: &str = r#"
[ "$1" = -I ] || { echo "handler.py is taken for a module of Python's" >&2; exit 1; }
shift
case "$1 $2" in
  "-c "*) cat "$ROOT/python-version"; test ! -e "$ROOT/no-venv" ;;
  "-m venv") mkdir -p "$3/bin"; ln -sf "$ROOT/python3" "$3/bin/python" ;;
  "-m pip")
    echo pip >> "$ROOT/ran"
    if [ -e "$ROOT/hold" ]; then until [ -e "$ROOT/go" ]; do sleep 0.01; done; fi
    if [ -e "$ROOT/offline" ]; then echo "ERROR: No matching distribution found for componentize-py" >&2; exit 1; fi
    ln -sf "$ROOT/componentize-py" "$(dirname "$0")/componentize-py" ;;
esac
"#;

/// Answers as npm does; fails to install if there is a file named `offline`.
const NPM: &str = r#"
if [ "$1" = --version ]; then exit; fi
echo "npm $*" >> "$ROOT/ran"
if [ -e "$ROOT/offline" ]; then echo "npm error code ENOTFOUND" >&2; exit 1; fi
for tool in typescript/bin/tsc esbuild/bin/esbuild componentize-qjs/bin/componentize-qjs; do
  mkdir -p "node_modules/${tool%/*}"; touch "node_modules/$tool"
done
"#;

/// Answers as node does. A part of esbuild is missing if there is a file named `broken`.
const NODE: &str = r#"
if [ "$1" = --version ]; then echo v20.1.0; exit; fi
case "$1" in */esbuild)
  if [ -e "$ROOT/broken" ]; then echo "Error: the package @esbuild/linux-x64 could not be found" >&2; exit 1; fi ;;
esac
"#;

/// Writes a file in the place of a component. Does not run if there is a file named `broken`.
const COMPONENTIZE: &str = r#"
if [ "$1" = --help ]; then test ! -e "$ROOT/broken"; exit; fi
echo componentize >> "$ROOT/ran"
while [ "$1" != --output ]; do shift; done
echo component > "$2"
"#;

struct Machine {
    folder: Folder,
    options: Options,
}

impl Machine {
    fn new() -> Self {
        let folder = Folder::new();
        let root = format!("ROOT={}", folder.0.display());
        let program = |name: &str, script: &str| folder.program(name, &format!("{root}\n{script}"));
        let mut options = Options::new(folder.0.join("out"));
        options.tools = Tools {
            python: program("python3", PYTHON),
            node: program("node", NODE),
            npm: program("npm", NPM),
            folder: Some(folder.0.join("tools")),
            ..Tools::default()
        };
        program("componentize-py", COMPONENTIZE);
        folder.write("python-version", "3.12.1\n");
        folder.write("sdk/src/handler_sdk/__init__.py", "");
        folder.write(
            "sdk/package.json",
            r#"{ "name": "handler-sdk", "exports": {} }"#,
        );
        folder.write(
            "owner/pyproject.toml",
            "[project]\nname = \"owner\"\n\n[tool.alert-manager]\nneeds = [\"slack\"]\nsdk = \"../sdk\"\n",
        );
        folder.write("owner/handler.py", "first\n");
        folder.write(
            "second/pyproject.toml",
            "[project]\nname = \"second\"\n\n[tool.alert-manager]\nsdk = \"../sdk\"\n",
        );
        folder.write("second/handler.py", "first\n");
        folder.write(
            "digest/package.json",
            r#"{ "name": "digest", "alertManager": { "needs": ["http"], "sdk": "../sdk" } }"#,
        );
        folder.write("digest/src/handler.ts", "first\n");
        Self { folder, options }
    }

    fn project(&self, name: &str) -> Project {
        let found = discover(&self.folder.0.join(name)).unwrap();
        found.projects.into_iter().next().unwrap()
    }

    fn build(&self, name: &str) -> Result<handler_build::Artifact, BuildError> {
        build(&self.project(name), &self.options)
    }

    /// Returns the programs that were run, in order.
    fn ran(&self) -> Vec<String> {
        let ran = fs::read_to_string(self.folder.0.join("ran")).unwrap_or_default();
        ran.lines().map(str::to_owned).collect()
    }

    fn error(&self, name: &str) -> String {
        let error = self.build(name).unwrap_err();
        assert!(error.is_about_tools(), "{error}");
        error
            .to_string()
            .replace(&self.folder.0.display().to_string(), "")
    }
}

#[test]
fn tools_are_fetched_once_and_what_is_fetched_is_said_before() {
    let mut machine = Machine::new();
    let (options, events) = recorded(machine.options.clone());
    machine.options = options;
    let built = machine.build("owner").unwrap();
    assert_eq!(fs::read_to_string(built.path).unwrap(), "component\n");
    assert_eq!(
        *events.lock().unwrap(),
        [
            "fetching componentize-py 0.25.1",
            "building owner",
            "built owner"
        ]
    );
    machine.folder.write("owner/handler.py", "second\n");
    machine.build("owner").unwrap();
    assert_eq!(machine.ran(), ["pip", "componentize", "componentize"]);
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(machine.folder.0.join("tools"))
        .unwrap()
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o700, "the programs in it are run");
}

#[test]
fn what_has_not_changed_is_not_built_again() {
    let machine = Machine::new();
    assert!(machine.build("owner").unwrap().changed);
    for noise in [
        "owner/test_handler.py",
        "owner/.handler.py.swp",
        "owner/README.md",
        "owner/__pycache__/x.pyc",
    ] {
        machine.folder.write(noise, "x");
    }
    assert!(!machine.build("owner").unwrap().changed);
    assert_eq!(machine.ran(), ["pip", "componentize"]);
    // Each of these is in the component.
    for (source, text) in [
        ("owner/table.json", "{}"),
        ("owner/prompt.md", "# Owners"),
        ("owner/2026/table.json", "{}"),
        ("owner/out/table.json", "{}"),
        ("owner/tests/table.json", "{}"),
        ("sdk/src/handler_sdk/__init__.py", "changed"),
        (
            "owner/pyproject.toml",
            "[project]\nname = \"owner\"\n\n[tool.alert-manager]\nneeds = [\"kv\"]\nsdk = \"../sdk\"\n",
        ),
    ] {
        let before = machine.ran().len();
        machine.folder.write(source, text);
        machine.build("owner").unwrap();
        assert_eq!(machine.ran().len(), before + 1, "{source}");
    }
}

#[test]
fn tools_whose_folder_was_moved_are_fetched_again() {
    let machine = Machine::new();
    machine.build("owner").unwrap();
    let tools = machine
        .folder
        .0
        .join("tools/python3.12-componentize-py-0.25.1/bin");
    let script = tools.join("componentize-py");
    fs::remove_file(&script).unwrap();
    // It names the interpreter at the place where it was made.
    fs::write(
        &script,
        "#!/moved/away/bin/python\nimport componentize_py\n",
    )
    .unwrap();
    fs::remove_dir_all(machine.folder.0.join("owner/target")).unwrap();
    machine.build("owner").unwrap();
    assert_eq!(
        machine.ran(),
        ["pip", "componentize", "pip", "componentize"]
    );
}

#[test]
fn an_installation_that_was_cut_off_is_repeated() {
    let machine = Machine::new();
    machine.build("owner").unwrap();
    let folder = machine
        .folder
        .0
        .join("tools/python3.12-componentize-py-0.25.1");
    fs::remove_file(folder.join("finished")).unwrap();
    fs::write(folder.join("half"), "").unwrap();
    fs::remove_dir_all(machine.folder.0.join("owner/target")).unwrap();
    machine.build("owner").unwrap();
    assert_eq!(
        machine.ran(),
        ["pip", "componentize", "pip", "componentize"]
    );
    assert!(!folder.join("half").exists());
}

#[test]
fn tools_whose_interpreter_is_gone_are_fetched_again() {
    let machine = Machine::new();
    machine.build("owner").unwrap();
    let tools = machine
        .folder
        .0
        .join("tools/python3.12-componentize-py-0.25.1");
    let python = tools.join("bin/python");
    fs::remove_file(&python).unwrap();
    std::os::unix::fs::symlink("/no/such/python3", &python).unwrap();
    machine.folder.write("owner/handler.py", "second\n");
    machine.build("owner").unwrap();
    assert_eq!(
        machine.ran(),
        ["pip", "componentize", "pip", "componentize"]
    );
}

#[test]
fn tools_that_do_not_run_are_an_error_and_are_fetched_again() {
    let machine = Machine::new();
    machine.folder.write("broken", "");
    let error = machine.error("digest");
    assert!(
        error.contains("esbuild/bin/esbuild --help` does not run: Error: the package @esbuild/linux-x64 could not be found\nA setting of pip or npm"),
        "{error}"
    );
    assert!(
        machine
            .error("owner")
            .contains("componentize-py --help` does not run")
    );
    let before = machine.ran();
    assert!(
        before[0].contains("--include=optional"),
        "esbuild's program is an optional package: {before:?}"
    );
    fs::remove_file(machine.folder.0.join("broken")).unwrap();
    machine.build("owner").unwrap();
    assert_eq!(machine.ran()[before.len()..], ["pip", "componentize"]);
}

#[test]
fn tools_that_others_can_write_to_are_not_run() {
    use std::os::unix::fs::PermissionsExt as _;
    let machine = Machine::new();
    machine.build("owner").unwrap();
    let set = |path: &str, mode| {
        let path = machine.folder.0.join(path);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    machine.folder.write("owner/handler.py", "second\n");
    for (path, mode) in [
        ("tools", 0o770),
        ("tools", 0o702),
        ("tools/python3.12-componentize-py-0.25.1", 0o775),
    ] {
        set(path, mode);
        assert_eq!(
            machine.error("owner"),
            format!(
                "Python handlers cannot be built here: the folder for its tools, /{path}, can be written to by others (mode {mode:o}), and the programs in it are run\nIf they have not changed it: chmod go-w /{path}\nIf they may have: remove it, and it is fetched again."
            )
        );
        set(path, 0o700);
    }
    machine.build("owner").unwrap();
}

#[test]
fn more_files_than_a_build_reads_are_an_error() {
    let machine = Machine::new();
    let data = machine.folder.0.join("owner/data");
    fs::create_dir_all(&data).unwrap();
    for number in 0..=handler_build::FILES_MAX {
        fs::File::create(data.join(format!("{number}.txt"))).unwrap();
    }
    let error = machine.build("owner").unwrap_err().to_string();
    assert!(
        error.contains("more than 20000 files are below ") && error.contains("/owner"),
        "{error}"
    );
    fs::remove_dir_all(data).unwrap();
    machine.build("owner").unwrap();
}

#[test]
fn of_two_builds_at_once_one_fetches_the_tools_and_the_other_waits() {
    let mut machine = Machine::new();
    machine.folder.write("hold", "");
    let go = machine.folder.0.join("go");
    // The fetch ends only once the other build waits for it.
    machine.options.progress = Arc::new(move |event| {
        if let Event::WaitingForTools { .. } = event {
            fs::write(&go, "").unwrap();
        }
    });
    std::thread::scope(|scope| {
        let first = scope.spawn(|| machine.build("owner").map(drop));
        let second = scope.spawn(|| machine.build("second").map(drop));
        first.join().unwrap().unwrap();
        second.join().unwrap().unwrap();
    });
    assert_eq!(machine.ran(), ["pip", "componentize", "componentize"]);
}

#[test]
fn a_registry_that_cannot_be_reached_is_an_error_that_says_what_to_do() {
    let machine = Machine::new();
    machine.folder.write("offline", "");
    let remedy = "A network is needed once: the tools stay in the folder that ALERT_MANAGER_TOOLS names, ~/.cache/alert-manager/tools by default.\nA mirror of the registry is used if pip's or npm's own settings name one. Without a network, copy that folder from a machine of the same kind, to the same path: what is in it names it.";
    assert_eq!(
        machine.error("owner"),
        format!(
            "the tools for Python handlers are not here, and fetching them failed: ERROR: No matching distribution found for componentize-py\n{remedy}"
        )
    );
    assert_eq!(
        machine.error("digest"),
        format!(
            "the tools for TypeScript handlers are not here, and fetching them failed: npm error code ENOTFOUND\n{remedy}"
        )
    );
    // The next build tries again.
    fs::remove_file(machine.folder.0.join("offline")).unwrap();
    machine.build("owner").unwrap();
}

#[test]
fn with_offline_nothing_is_fetched_and_what_is_there_is_used() {
    let mut machine = Machine::new();
    machine.options.is_offline = true;
    assert!(
        machine
            .error("owner")
            .contains("not tried, because of --offline")
    );
    assert!(machine.ran().is_empty());
    machine.options.is_offline = false;
    machine.build("owner").unwrap();
    machine.options.is_offline = true;
    machine.folder.write("owner/handler.py", "second\n");
    machine.build("owner").unwrap();
}

#[test]
fn each_missing_program_is_named_with_the_command_that_brings_it() {
    const PYTHON: &str =
        "On Debian and Ubuntu: apt install python3 python3-venv\nOn macOS: brew install python";
    const NODE: &str = "On Debian and Ubuntu: apt install nodejs npm\nOn macOS: brew install node";
    let check = |project: &str, change: &dyn Fn(&mut Machine), problem: &str, remedy: &str| {
        let mut machine = Machine::new();
        change(&mut machine);
        let language = if project == "owner" {
            "Python"
        } else {
            "TypeScript"
        };
        assert_eq!(
            machine.error(project),
            format!("{language} handlers cannot be built here: {problem}\n{remedy}")
        );
    };
    check(
        "owner",
        &|machine| machine.options.tools.python = "no-such-python3".into(),
        "`no-such-python3` is not installed, or not in PATH",
        PYTHON,
    );
    check(
        "owner",
        &|machine| {
            machine.folder.write("python-version", "3.9.2\n");
        },
        "`/python3` is Python 3.9, and 3.10 is the oldest that will do",
        PYTHON,
    );
    check(
        "owner",
        &|machine| {
            machine.folder.write("no-venv", "");
        },
        "`/python3` has no module `venv` or no `ensurepip`, so it cannot make a virtual environment",
        PYTHON,
    );
    check(
        "digest",
        &|machine| machine.options.tools.node = "no-such-node".into(),
        "`no-such-node` is not installed, or not in PATH",
        NODE,
    );
    check(
        "digest",
        &|machine| machine.options.tools.node = machine.folder.program("old-node", "echo v16.20.1"),
        "`/old-node` is Node.js v16.20.1, and 18 is the oldest that will do",
        NODE,
    );
    check(
        "digest",
        &|machine| machine.options.tools.npm = "no-such-npm".into(),
        "`no-such-npm` is not installed, or not in PATH",
        NODE,
    );
}
