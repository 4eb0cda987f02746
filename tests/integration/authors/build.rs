//! Projects in Python and TypeScript are built with the real tools, and their mistakes get messages that authors understand.

use std::fs;
use std::path::Path;

use handler_build::{BuildError, Options, Tools, discover};
use handler_sdk::mock::assert_snapshot;
use serde_json::{Value, json};
use tests::modules::{self, workspace};
use tests::process::{command, finished};

const PYTHON: &str = r#"from handler_sdk import Alert, Context, Description, Enrichment, Facts, Handler


class DiskFull(Handler):
    def describe(self) -> Description:
        return Description("disk-full", "1.2.3", "Says which disk fills up.", alerts=["DiskFull"])

    def act(self, cx: Context, alert: Alert, found: Enrichment) -> Facts:
        disk = alert.label("mountpoint") or "a disk"
        cx.slack.post("alerts", f"{disk} fills up")
        return {"disk": disk}
"#;

const TYPESCRIPT: &str = r#"import { defineHandler } from "handler-sdk";

export default defineHandler({
  name: "disk-slow",
  version: "1.2.3",
  summary: "Says which disk is slow.",
  alerts: ["DiskSlow"],
  act(cx, alert) {
    const disk = alert.label("mountpoint") ?? "a disk";
    cx.slack.post({ channel: "alerts", text: `${disk} is slow` });
    return { disk };
  },
});
"#;

/// Writes a Python project. `more` goes into `[project]`.
fn python(dir: &Path, more: &str, handler: &str) {
    let sdk = workspace().join("handler-sdk/python");
    let manifest = format!(
        "[project]\nname = \"disk-full\"\nversion = \"1.2.3\"\n{more}\n[tool.alert-manager]\nneeds = [\"slack\"]\nsdk = \"{}\"\n",
        sdk.display()
    );
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join("pyproject.toml"), manifest).unwrap();
    fs::write(dir.join("handler.py"), handler).unwrap();
}

fn typescript(dir: &Path, handler: &str) {
    let manifest = json!({
        "name": "disk-slow",
        "version": "1.2.3",
        "type": "module",
        "alertManager": { "needs": ["slack"], "sdk": workspace().join("handler-sdk/typescript") },
    });
    fs::create_dir_all(dir.join("src")).unwrap();
    fs::write(dir.join("package.json"), format!("{manifest:#}\n")).unwrap();
    fs::write(dir.join("src/handler.ts"), handler).unwrap();
}

#[test]
fn projects_of_both_languages_are_built_validated_and_described() {
    let folder = tempfile::tempdir().unwrap();
    python(&folder.path().join("handlers/one"), "", PYTHON);
    typescript(&folder.path().join("handlers/two"), TYPESCRIPT);
    let build = || {
        let mut build = command(folder.path(), &["build", "handlers", "--json"]);
        build.env("ALERT_MANAGER_TOOLS", modules::tools());
        finished(build.output().unwrap())
    };
    if !has_tools(folder.path()) {
        return;
    }
    let built = build();
    assert_eq!(built.code, Some(0), "{built:?}");
    let modules: Value = serde_json::from_str(&built.stdout).unwrap();
    for (index, name, language, alert) in [
        (0, "disk-full", "python", "DiskFull"),
        (1, "disk-slow", "typescript", "DiskSlow"),
    ] {
        let module = &modules["modules"][index];
        let file = format!("handlers/{name}.wasm");
        let expected = json!({
            "project": name, "language": language, "file": file,
            "name": name, "version": "1.2.3", "alerts": [alert],
            "imports": ["config", "log", "slack"], "changed": true,
            "bytes": fs::metadata(folder.path().join(&file)).unwrap().len(),
            "sha256": module["sha256"],
        });
        assert_eq!(*module, expected);
    }
    let again: Value = serde_json::from_str(&build().stdout).unwrap();
    for module in again["modules"].as_array().unwrap() {
        assert_eq!(module["changed"], false, "{module}");
    }
}

/// Returns whether the tools of both languages are there or could be fetched.
fn has_tools(folder: &Path) -> bool {
    let built =
        ["one", "two"].map(|name| modules::built_with_tools(&folder.join("handlers").join(name)));
    built.iter().all(Option::is_some)
}

/// Returns the message about a project that cannot be built, without paths of this machine; `None` if its tools are missing.
fn message(dir: &Path) -> Option<String> {
    let mut options = Options::new(dir.join("out"));
    options.tools = Tools {
        folder: Some(modules::tools()),
        ..Tools::default()
    };
    let found = discover(dir).unwrap();
    let error = match &found.projects[..] {
        [project] => handler_build::build(project, &options).expect_err("it has a mistake"),
        _ => found.unreadable.into_iter().next().unwrap(),
    };
    if modules::are_missing(&error) {
        return None;
    }
    let unreachable = error.to_string().contains("pip cannot bring");
    if unreachable && std::env::var_os("GITHUB_ACTIONS").is_none() {
        tests::skipped(&format!("SKIPPED: {error}"));
        return None;
    }
    assert!(
        matches!(
            error,
            BuildError::Compile { .. } | BuildError::Manifest { .. }
        ),
        "{error:?}"
    );
    let canonical = fs::canonicalize(dir).unwrap();
    Some(
        error
            .to_string()
            .replace(&canonical.display().to_string(), "DIR")
            .replace(&workspace().display().to_string(), "WORKSPACE"),
    )
}

/// Mistakes in a Python handler: what is written instead of a part of it.
const PYTHON_MISTAKES: [(&str, &str, &str); 7] = [
    (
        "a syntax error",
        "def act(self, cx: Context, alert: Alert, found: Enrichment) -> Facts:",
        "def act(self, cx, alert, found)",
    ),
    (
        "an interface that is not in needs",
        "cx.slack.post(\"alerts\", f\"{disk} fills up\")",
        "cx.kv.set(\"disk\", disk)",
    ),
    ("a coroutine", "    def act", "    async def act"),
    (
        "a module that is not there",
        "from handler_sdk import Alert",
        "import yaml\nfrom handler_sdk import Alert",
    ),
    (
        "a name that the SDK does not have",
        "Facts, Handler",
        "Facts, Handlers",
    ),
    (
        "an error at the top of the module",
        "class DiskFull",
        "LIMIT = int(\"many\")\n\n\nclass DiskFull",
    ),
    ("no handler", "class DiskFull(Handler):", "class DiskFull:"),
];

/// The same in TypeScript.
const TYPESCRIPT_MISTAKES: [(&str, &str, &str); 9] = [
    ("a syntax error", "act(cx, alert) {", "act(cx, alert) ["),
    (
        "a value of the wrong type",
        "alerts: [\"DiskSlow\"]",
        "alerts: \"DiskSlow\"",
    ),
    (
        "an interface that is not in needs",
        "cx.slack.post({ channel: \"alerts\", text: `${disk} is slow` })",
        "cx.kv.set(\"disk\", disk)",
    ),
    (
        "an async function",
        "act(cx, alert) {",
        "async act(cx, alert) {",
    ),
    (
        "a package that is not there",
        "import { defineHandler } from \"handler-sdk\";",
        "import { defineHandler } from \"handler-sdk\";\nimport yaml from \"yaml\";",
    ),
    (
        "a global of Node.js",
        "alert.label(\"mountpoint\") ?? \"a disk\"",
        "process.env[\"DISK\"] ?? \"a disk\"",
    ),
    (
        "an error outside of all functions",
        "export default",
        "const LIMIT = JSON.parse(\"many\") as number;\n\nexport default",
    ),
    (
        "no default export",
        "export default defineHandler",
        "export const handler = defineHandler",
    ),
    (
        "a handler without act or enrich",
        "act(cx, alert) {",
        "other(cx, alert) {",
    ),
];

#[test]
fn each_mistake_of_a_python_author_is_named_with_its_line() {
    let mut shown = String::new();
    for (mistake, part, instead) in PYTHON_MISTAKES {
        let folder = tempfile::tempdir().unwrap();
        assert!(PYTHON.contains(part), "{part}");
        python(folder.path(), "", &PYTHON.replacen(part, instead, 1));
        let Some(message) = message(folder.path()) else {
            return;
        };
        shown += &format!("# {mistake}\n{message}\n\n");
    }
    assert_snapshot(snapshot("python"), &shown);
}

#[test]
fn each_mistake_of_a_typescript_author_is_named_with_its_line() {
    let mut shown = String::new();
    for (mistake, part, instead) in TYPESCRIPT_MISTAKES {
        let folder = tempfile::tempdir().unwrap();
        assert!(TYPESCRIPT.contains(part), "{part}");
        typescript(folder.path(), &TYPESCRIPT.replacen(part, instead, 1));
        let Some(message) = message(folder.path()) else {
            return;
        };
        shown += &format!("# {mistake}\n{message}\n\n");
    }
    assert_snapshot(snapshot("typescript"), &shown);
}

#[test]
fn the_mistakes_of_a_project_are_named_with_the_file_to_change() {
    let mut shown = String::new();
    let mut show = |mistake: &str, change: &dyn Fn(&Path)| {
        let folder = tempfile::tempdir().unwrap();
        change(folder.path());
        let Some(message) = message(folder.path()) else {
            return false;
        };
        shown += &format!("# {mistake}\n{message}\n\n");
        true
    };
    let without = |dir: &Path, file: &str| fs::remove_file(dir.join(file)).unwrap();
    let replaced = |dir: &Path, file: &str, part: &str, instead: &str| {
        let file = dir.join(file);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(part), "{part} in {text}");
        fs::write(file, text.replace(part, instead)).unwrap();
    };
    let sdk = workspace().join("handler-sdk").display().to_string();
    let all = show("a Python handler without its module", &|dir| {
        python(dir, "", PYTHON);
        without(dir, "handler.py");
    }) && show("a Python SDK that is not there", &|dir| {
        python(dir, "", PYTHON);
        replaced(dir, "pyproject.toml", &sdk, ".sdk");
    }) && show("a Python package with native code", &|dir| {
        python(
            dir,
            "dependencies = [\"handler_sdk\", \"markupsafe==3.0.3\"]\n",
            PYTHON,
        );
    }) && show("a TypeScript handler without its file", &|dir| {
        typescript(dir, TYPESCRIPT);
        without(dir, "src/handler.ts");
    }) && show("a TypeScript SDK that is not there", &|dir| {
        typescript(dir, TYPESCRIPT);
        replaced(dir, "package.json", &sdk, ".sdk");
    });
    if all {
        assert_snapshot(snapshot("projects"), &shown);
    }
}

fn snapshot(name: &str) -> std::path::PathBuf {
    workspace().join(format!("tests/integration/authors/mistakes/{name}.txt"))
}

#[test]
fn a_python_handler_may_use_packages_that_are_pure_python() {
    let folder = tempfile::tempdir().unwrap();
    let more = "dependencies = [\"handler_sdk\", \"six==1.17.0\"]\n";
    // Its module stops the build once the package was imported.
    let handler = PYTHON.replace(
        "from handler_sdk import Alert",
        "import six\nraise RuntimeError(six.__version__)\nfrom handler_sdk import Alert",
    );
    python(folder.path(), more, &handler);
    if let Some(message) = message(folder.path()) {
        assert!(message.ends_with("RuntimeError: 1.17.0"), "{message}");
    }
}
