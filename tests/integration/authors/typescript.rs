//! The TypeScript SDK and the handlers that are written in it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use handler_sdk::{Description, Setting, Severity};
use serde_json::Value;
use tests::modules::workspace;
use tests::{node, pages};

const SDK: &str = "handler-sdk/typescript";

/// Returns a copy of a package with its dependencies, or says what is skipped. Where there is a network for certain, nothing is.
fn package(path: &str) -> Option<PathBuf> {
    match node::folder("handler-sdk/shared").and_then(|_| node::package(path)) {
        Ok(dir) => Some(dir),
        Err(error) if std::env::var_os("GITHUB_ACTIONS").is_some() => panic!("{error:#}"),
        Err(error) => {
            tests::skipped(&format!("SKIPPED: {path} was not tested: {error:#}"));
            None
        }
    }
}

/// Returns the SDK's copy with its JavaScript, which is made once.
pub(super) fn built_sdk() -> Option<PathBuf> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        let dir = package(SDK)?;
        node::npm(&dir, &["run", "prepack"]).unwrap_or_else(|e| panic!("{e:#}"));
        Some(dir)
    };
    BUILT.get_or_init(build).clone()
}

/// Installs the dependencies of a project.
#[track_caller]
pub(super) fn installs(dir: &Path) {
    node::npm(dir, &["install"]).unwrap_or_else(|e| panic!("{e:#}"));
}

#[track_caller]
pub(super) fn passes_its_tests(dir: &Path) {
    let said = node::npm(dir, &["test"]).unwrap_or_else(|e| panic!("{e:#}"));
    assert!(count_of_passed(&said) > 0, "{said}");
}

/// Returns how many tests Node says have passed, whichever of its reporters says so.
fn count_of_passed(said: &str) -> u32 {
    let counts = said.lines().filter_map(|line| line.split_once(" pass "));
    counts
        .filter_map(|(_, count)| count.trim().parse::<u32>().ok())
        .sum()
}

#[test]
fn the_typescript_sdk_passes_its_own_tests_and_the_strict_compiler() {
    let Some(dir) = package(SDK) else { return };
    passes_its_tests(&dir);
}

#[test]
fn the_bundled_typescript_handler_passes_its_own_tests() {
    if built_sdk().is_none() {
        return;
    }
    let Some(dir) = package("handlers/runbook-digest") else {
        return;
    };
    passes_its_tests(&dir);
}

/// Returns what a program prints that imports the SDK's JavaScript, as JSON.
fn printed(sdk: &Path, program: &str) -> Value {
    let program =
        format!("import * as sdk from './dist/index.js'; console.log(JSON.stringify({program}));");
    let mut command = Command::new("node");
    command.args(["--input-type=module", "--eval", &program]);
    let out = node::run(command.current_dir(sdk)).unwrap_or_else(|e| panic!("{e:#}"));
    serde_json::from_str(&out).unwrap()
}

#[test]
fn the_typescript_sdk_has_the_severities_of_the_rust_sdk() {
    let Some(sdk) = built_sdk() else { return };
    let words = printed(&sdk, "sdk.SEVERITY_WORDS");
    let names = [
        (Severity::Critical, "critical"),
        (Severity::Warning, "warning"),
        (Severity::Info, "info"),
    ];
    for ((severity, expected), (known, name)) in Severity::WORDS.iter().zip(names) {
        assert_eq!(*severity, known);
        assert_eq!(words[name], Value::from(expected.to_vec()), "{name}");
    }
    assert_eq!(words.as_object().unwrap().len(), names.len());
}

#[test]
fn the_typescript_sdk_declares_settings_as_the_rust_sdk_does() {
    let Some(sdk) = built_sdk() else { return };
    let declared = printed(
        &sdk,
        "[sdk.Setting.string('s', 'a', { default: 'x' }), sdk.Setting.oneOf('o', ['a', 'b'], 'a'), \
         sdk.Setting.integer('i', 'a', { default: 12 }), sdk.Setting.number('n', 'a', { default: 0.5 }), \
         sdk.Setting.boolean('b', 'a', { default: true }), sdk.Setting.duration('d', 'a', { default: '1h' }), \
         sdk.Setting.url('u', 'a', { required: true }), sdk.Setting.origin('c.*.u', 'a'), \
         sdk.Setting.list('l', 'a', { default: ['x'] }), sdk.Setting.map('m', 'a', { default: { x: 1 } }), \
         sdk.Setting.channel('ch', 'a', { default: 'alerts' }), sdk.Setting.credential('cr', 'a', { default: '' })]",
    );
    let rust = Description::new("a", "1.0.0", "A.").settings([
        &Setting::string("s", "a").default("x"),
        &Setting::one_of("o", &["a", "b"], "a"),
        &Setting::integer("i", "a").default("12"),
        &Setting::number("n", "a").default("0.5"),
        &Setting::boolean("b", "a").default("true"),
        &Setting::duration("d", "a").default("1h"),
        &Setting::url("u", "a").required(),
        &Setting::origin("c.*.u", "a"),
        &Setting::list("l", "a").default(r#"["x"]"#),
        &Setting::map("m", "a").default(r#"{"x":1}"#),
        &Setting::channel("ch", "a").default("alerts"),
        &Setting::credential("cr", "a").default(""),
    ]);
    assert_eq!(
        declared,
        serde_json::from_str::<Value>(&rust.more[0].1).unwrap()
    );
}

#[test]
fn the_prefixes_of_secrets_are_those_of_the_rust_sdk() {
    let rust =
        std::fs::read_to_string(workspace().join("handler-sdk/src/mask/prefixes.rs")).unwrap();
    let rows = rust.lines().filter_map(|line| {
        let row = line.strip_prefix("    (\"")?.strip_suffix("),")?;
        Some(format!("  [\"{row}],\n"))
    });
    let rows: String = rows.collect();
    let file = workspace().join(SDK).join("src/prefixes.ts");
    let kept = std::fs::read_to_string(&file).unwrap();
    let (head, _) = kept.split_once("= [\n").unwrap();
    handler_sdk::mock::assert_snapshot(file, &format!("{head}= [\n{rows}];\n"));
}

/// Puts a piece of a handler's method, which begins with its imports, into a file that compiles.
fn method(piece: &str) -> String {
    let (imports, body) = match piece.split_once("\n\n") {
        Some((imports, body)) if imports.starts_with("import ") => (imports, body),
        _ => ("", piece),
    };
    format!(
        "import {{ defineHandler }} from \"handler-sdk\";\n{imports}\n\
         export default defineHandler({{ name: \"a\", version: \"1.0.0\", summary: \"A.\",\n\
         act(cx, alert, found) {{\nvoid [alert, found];\n{body}return {{}};\n}},\n}});\n"
    )
}

/// A project like a reader of the guide has it, with the packed SDK: the guide's files and pieces, and one test more.
#[test]
fn the_packed_typescript_sdk_installs_and_the_guides_handler_passes_its_test() {
    let Some(sdk) = built_sdk() else { return };
    let project = tempfile::tempdir().unwrap();
    let dir = project.path();
    let to = dir.to_str().unwrap();
    let tarball =
        node::npm(&sdk, &["pack", "--pack-destination", to]).unwrap_or_else(|e| panic!("{e:#}"));
    let write = |name: &str, content: &str| {
        let file = dir.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
    };
    let mut pieces = 0;
    let blocks = pages::blocks(&pages::read("handlers-typescript.md"));
    pages::write_files(&blocks, dir);
    for piece in blocks.iter().filter(|block| block.mark.is_none()) {
        if piece.language == "ts" {
            pieces += 1;
            write(&format!("src/piece-{pieces}.ts"), &method(&piece.text));
        }
    }
    assert!(pieces > 4, "{pieces}");
    let manifest = std::fs::read_to_string(dir.join("package.json")).unwrap();
    let mut manifest: Value = serde_json::from_str(&manifest).unwrap();
    let tools = std::fs::read_to_string(sdk.join("package.json")).unwrap();
    let tools: Value = serde_json::from_str(&tools).unwrap();
    for (tool, version) in tools["devDependencies"].as_object().unwrap() {
        assert_eq!(
            manifest["devDependencies"][tool], *version,
            "{tool} in the guide"
        );
    }
    manifest["devDependencies"]["handler-sdk"] = format!("file:{}", tarball.trim()).into();
    write("package.json", &manifest.to_string());
    write(
        "tsconfig.json",
        r#"{ "extends": "handler-sdk/tsconfig.handler.json",
             "compilerOptions": { "rootDir": ".", "outDir": "out", "types": ["node"] }, "include": ["src", "test"] }"#,
    );
    write("test/needs.test.ts", NEEDS_TEST);
    node::npm(dir, &["install"]).unwrap_or_else(|e| panic!("{e:#}"));
    let said = node::npm(dir, &["test"]).unwrap_or_else(|e| panic!("{e:#}"));
    assert_eq!(count_of_passed(&said), 2, "{said}");
}

const NEEDS_TEST: &str = r#"import assert from "node:assert/strict";
import { test } from "node:test";
import { Alert, defineHandler } from "handler-sdk";
import { Host } from "handler-sdk/mock";

const asks = defineHandler({
  name: "asks",
  version: "1.0.0",
  summary: "Asks a server.",
  act: (cx) => ({ body: cx.http.get("https://a.example").text() }),
});

test("an interface that package.json does not name is refused", () => {
  const run = new Host().run(asks, Alert.of({ labels: { alertname: "A" } }));
  assert.match(run.failure?.message ?? "", /add it in package.json: "alertManager": \{ "needs": \["slack", "http"\] \}/);
});
"#;
