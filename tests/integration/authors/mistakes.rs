//! What authors are told about their mistakes in Rust, and about those that show only when a handler runs. (`build.rs` has what a
//! build says in the other languages; the Python SDK's own tests have the rest of Python.)

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use handler_sdk::mock::assert_snapshot;
use regex::Regex;
use tests::alerts;
use tests::modules::{self, workspace};
use tests::process::{Finished, command, finished};

/// A mistake: what is written instead of a part of a file.
struct Mistake {
    about: &'static str,
    file: &'static str,
    part: &'static str,
    instead: &'static str,
}

const fn in_code(about: &'static str, part: &'static str, instead: &'static str) -> Mistake {
    Mistake {
        about,
        file: "src/lib.rs",
        part,
        instead,
    }
}

const IN_RUST: [Mistake; 13] = [
    in_code("a syntax error", "Ok(Facts::new()", "Ok(Facts::new("),
    in_code("no `export!`", "handler_sdk::export!(DiskFull);\n", ""),
    in_code("no prelude", "use handler_sdk::prelude::*;\n", ""),
    in_code(
        "a default of another type",
        "Setting::channel(\"channel\", \"the Slack channel\").default(\"alerts\")",
        "Setting::integer(\"lines\", \"how many lines are shown\").default(\"twelve\")",
    ),
    in_code(
        "two handlers",
        "handler_sdk::export!(DiskFull);",
        "handler_sdk::export!(DiskFull);\nhandler_sdk::export!(DiskFull);",
    ),
    in_code("an async function", "fn act(", "async fn act("),
    in_code(
        "text instead of facts",
        "Ok(Facts::new().with(\"posted\", \"yes\"))",
        "Ok(\"posted\")",
    ),
    in_code(
        "a foreign error with `?`",
        "let channel =",
        "let lines: u32 = \"12\".parse()?;\n        let channel =",
    ),
    in_code(
        "a name that the SDK does not have",
        ".section(summary)",
        ".text(summary)",
    ),
    in_code(
        "a name that is not in kebab-case",
        "\"disk-full\"",
        "\"DiskFull\"",
    ),
    in_code(
        "a version that is not semantic",
        "env!(\"CARGO_PKG_VERSION\")",
        "\"v1\"",
    ),
    in_code(
        "a panic in `describe`",
        "Description::new(",
        "let summary: Option<&str> = None;\n        summary.unwrap();\n        Description::new(",
    ),
    Mistake {
        about: "no `cdylib`",
        file: "Cargo.toml",
        part: "crate-type = [\"cdylib\", \"rlib\"]",
        instead: "crate-type = [\"rlib\"]",
    },
];

/// A Rust project as `new` makes it. It shares what is compiled with the other tests, so its name is no other test's.
fn rust_project(dir: &Path, name: &str) -> PathBuf {
    let sdk = workspace().join("handler-sdk");
    let args = ["new", name, "--lang", "rust", "--alert", "DiskFull"];
    let args = [&args[..], &["--sdk", sdk.to_str().unwrap()]].concat();
    let made = run(dir, &args);
    assert_eq!(made.code, Some(0), "{made:?}");
    let project = dir.join(name);
    fs::copy(workspace().join("Cargo.lock"), project.join("Cargo.lock")).unwrap();
    symlink(workspace().join("target"), project.join("target")).unwrap();
    project
}

fn run(dir: &Path, args: &[&str]) -> Finished {
    let mut command = command(dir, args);
    command
        .env("ALERT_MANAGER_TOOLS", modules::tools())
        .env("CARGO_NET_OFFLINE", "true");
    finished(command.output().unwrap())
}

#[test]
fn each_mistake_of_a_rust_author_is_named_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let project = rust_project(dir.path(), "disk-full");
    let mut shown = String::new();
    for mistake in IN_RUST {
        let file = project.join(mistake.file);
        let right = fs::read_to_string(&file).unwrap();
        assert!(right.contains(mistake.part), "{}: {right}", mistake.part);
        let wrong = right.replacen(mistake.part, mistake.instead, 1);
        fs::write(&file, wrong).unwrap();
        let built = run(&project, &["build", "."]);
        assert_eq!(built.code, Some(1), "{}: {built:?}", mistake.about);
        fs::write(&file, right).unwrap();
        let said = without_progress(&built.stderr, &project);
        shown += &format!("# {}\n{said}\n\n", mistake.about);
    }
    assert_snapshot(snapshot("rust"), &shown);
}

/// Returns what was said, without the lines that report progress and without what differs from run to run.
fn without_progress(said: &str, project: &Path) -> String {
    let progress = [
        "Compiling ",
        "Building ",
        "Checking ",
        "Finished ",
        "Locking ",
        "Adding ",
        "building ",
        "built ",
        "Blocking ",
        "error: could not compile",
        "For more information about this error",
        "Some errors have detailed",
    ];
    let lines = said.lines().filter(|line| {
        let line = line.trim_start();
        !progress.iter().any(|start| line.starts_with(start))
    });
    let said = lines.collect::<Vec<_>>().join("\n");
    let said = said
        .replace(&format!("{}/", project.display()), "")
        .replace(&project.display().to_string(), ".")
        .replace(&workspace().display().to_string(), "WORKSPACE");
    let replaced = [
        (r"\n{2,}", "\n"),
        (r"/rustc/[0-9a-f]+/", "RUST/"),
        (r"/\S+/rustlib/src/rust/", "RUST/"),
        (r"error while executing at wasm backtrace:(?s:.*)", ""),
        (r"used \d+ms|asked for \d+ bytes", "used too much"),
    ];
    let said = replaced.iter().fold(said, |text, (pattern, with)| {
        let pattern = Regex::new(pattern).unwrap();
        pattern.replace_all(&text, *with).into_owned()
    });
    said.trim().to_owned()
}

/// A handler that makes the mistake that the alert's label `mistake` names.
const RUST: &str = r#"use handler_sdk::prelude::*;

struct DiskFull;

impl Handler for DiskFull {
    fn describe() -> Description {
        Description::new("disk-fuller", "0.1.0", "Makes mistakes.").alerts(["*"])
    }

    fn enrich(cx: &Cx, alert: &Alert, _: &Enrichment) -> Result<Enrichment, Failure> {
        if alert.label("mistake") == Some("slack in enrich") {
            cx.slack().post(Message::new("alerts", "too early"))?;
        }
        Ok(Enrichment::new())
    }

    fn act(cx: &Cx, alert: &Alert, _: &Enrichment) -> Result<Facts, Failure> {
        match alert.label("mistake").unwrap_or_default() {
            "a label that is not there" => {
                let pod = alert.label("pod").unwrap();
                Ok(Facts::new().with("pod", pod))
            }
            "a loop without end" => loop {
                std::hint::black_box(alert);
            },
            "more memory than the limit" => {
                let bytes = std::hint::black_box(vec![1_u8; 100 << 20]);
                Ok(Facts::new().with("bytes", bytes.len()))
            }
            "a file" => {
                let text = std::fs::read_to_string("/etc/hosts");
                Ok(Facts::new().with("hosts", text.map_err(|why| Failure::permanent(why.to_string()))?))
            }
            "a channel that is not granted" => {
                cx.slack().post(Message::new("oncall", "wake up"))?;
                Ok(Facts::new())
            }
            "an origin that is not granted" => {
                cx.http().get("https://api.example.com/pods").send()?;
                Ok(Facts::new())
            }
            "JSON of a 404" => {
                let answer = cx.http().get("https://granted.example.com/pod").send()?;
                let pod: handler_sdk::serde_json::Value = answer.json()?;
                Ok(Facts::new().with("pod", pod))
            }
            "a key of kv that is too long" => {
                cx.kv().set(&"k".repeat(600), "x", None)?;
                Ok(Facts::new())
            }
            _ => Ok(Facts::new()),
        }
    }
}

handler_sdk::export!(DiskFull);
"#;

const RUST_MISTAKES: [&str; 9] = [
    "slack in enrich",
    "a label that is not there",
    "a loop without end",
    "more memory than the limit",
    "a file",
    "a channel that is not granted",
    "an origin that is not granted",
    "JSON of a 404",
    "a key of kv that is too long",
];

/// The same in TypeScript: what the compiler cannot see, because it is told something else of a value.
const TYPESCRIPT: &str = r#"import { defineHandler, type Facts } from "handler-sdk";

/** Returns what a server might answer, with the type that its author expects. */
function given<T>(text: string): T {
  return JSON.parse(text) as T;
}

export default defineHandler({
  name: "disk-full",
  version: "0.1.0",
  summary: "Makes mistakes.",
  alerts: ["*"],

  act(cx, alert): Facts {
    switch (alert.label("mistake")) {
      case "a number as a fact":
        return { restarts: given<{ restarts: string }>('{ "restarts": 14 }').restarts };
      case "a value that is not there":
        return { phase: given<{ status: { phase: string } }>("{}").status.phase };
      case "no facts":
        return given<Facts>("null");
      case "a time to live that is no number":
        cx.kv.set("seen", "yes", { ttlSeconds: Number("a day") });
        return {};
      case "a number as a message":
        cx.slack.post({ channel: "alerts", text: given<string>("14") });
        return {};
      case "JSON of a 404":
        return JSON.parse(cx.http.get("https://granted.example.com/pod").text()) as Facts;
      case "an error of one's own":
        throw new Error("the pod has no owner");
      default:
        throw "no owner";
    }
  },
});
"#;

const TYPESCRIPT_MISTAKES: [&str; 8] = [
    "a number as a fact",
    "a value that is not there",
    "no facts",
    "a time to live that is no number",
    "a number as a message",
    "JSON of a 404",
    "an error of one's own",
    "text that is thrown",
];

const CONFIGURATION: &str = "
slack: { preview: true, channels: { alerts: '#alerts', oncall: '#oncall' } }
handlers:
  NAME: { allow: { slack: [alerts], http: ['https://granted.example.com'] } }
";
const RULES: &str =
    "- { url: 'https://granted.example.com/*', status: 404, body: '<html>no such pod</html>' }";

/// Runs the module of a project for an alert with each mistake, and returns what `test` says went wrong.
fn running(project: &Path, mistakes: &[&str]) -> String {
    let name = project.file_name().unwrap().to_str().unwrap();
    let module = format!("{name}.wasm");
    fs::write(project.join("am.yml"), CONFIGURATION.replace("NAME", name)).unwrap();
    fs::write(project.join("rules.yml"), RULES).unwrap();
    let mut shown = String::new();
    for mistake in mistakes {
        let alert = alerts::firing("DiskFull", &[("mistake", mistake)]);
        fs::write(project.join("alert.json"), alert.to_string()).unwrap();
        let args = ["test", &module, "--alert", "alert.json"];
        let more = ["--config", "am.yml", "--http", "rules.yml", "--json"];
        let tried = run(project, &[&args[..], &more].concat());
        let trial: alert_manager::api::Trial =
            serde_json::from_str(&tried.stdout).unwrap_or_else(|_| panic!("{mistake}: {tried:?}"));
        let steps = trial.runs.iter().flat_map(|run| &run.steps);
        let errors = steps.filter_map(|step| step.error.as_deref());
        // Below that is what the guest printed, and the frames of the module's machine code.
        let errors = errors.map(|error| error.split("\nits last stderr:").next().unwrap());
        let errors: Vec<_> = errors.collect();
        assert!(!errors.is_empty(), "{mistake}: {trial:?}");
        let said = without_progress(&errors.join("\n"), project);
        shown += &format!("# {mistake}\n{said}\n\n");
    }
    shown
}

#[test]
fn what_goes_wrong_when_a_rust_handler_runs_is_named_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let project = rust_project(dir.path(), "disk-fuller");
    fs::write(project.join("src/lib.rs"), RUST).unwrap();
    let built = run(&project, &["build", "."]);
    assert_eq!(built.code, Some(0), "{built:?}");
    let shown = running(&project, &RUST_MISTAKES);
    assert_snapshot(snapshot("rust-running"), &shown);
}

#[test]
fn what_goes_wrong_when_a_typescript_handler_runs_is_named_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let sdk = workspace().join("handler-sdk/typescript");
    let args = ["new", "disk-full", "--lang", "typescript", "--alert", "*"];
    let args = [&args[..], &["--sdk", sdk.to_str().unwrap()]].concat();
    let made = run(dir.path(), &args);
    assert_eq!(made.code, Some(0), "{made:?}");
    let project = dir.path().join("disk-full");
    fs::write(project.join("src/handler.ts"), TYPESCRIPT).unwrap();
    let manifest = project.join("package.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let needs = text.replace(
        "\"needs\": [\"slack\"]",
        "\"needs\": [\"slack\", \"http\", \"kv\"]",
    );
    fs::write(manifest, needs).unwrap();
    let Some(module) = modules::built_with_tools(&project) else {
        return;
    };
    symlink(module, project.join("disk-full.wasm")).unwrap();
    let shown = running(&project, &TYPESCRIPT_MISTAKES);
    assert_snapshot(snapshot("typescript-running"), &shown);
}

fn snapshot(name: &str) -> PathBuf {
    workspace().join(format!("tests/integration/authors/mistakes/{name}.txt"))
}
