//! The guides of the three languages have one shape, and their commands go the whole way: `new`, the project's own test, `build`,
//! `test`, `inspect`, the module in the folder of a running server, an alert, the effect.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::modules;
use tests::pages::{self, Block};
use tests::process::{Finished, binary, command, finished};
use tests::server::{Server, Setup};

/// The folder of handlers in the guides.
const FOLDER: &str = "/etc/alert-manager/handlers/";
/// What makes the environment of pytest in the guide. The tests have one already.
const ENVIRONMENT: &str = "python3 -m venv .venv && .venv/bin/pip install pytest mypy\n";
/// What the handler that `new` makes posts about its alert.
const POSTED: &str =
    "[FIRING] NodeFilesystemSpaceFillingUp: A filesystem will be full within 24 hours.";

/// A guide, and a folder in which its commands are run.
struct Guide {
    page: &'static str,
    blocks: Vec<Block>,
    dir: tempfile::TempDir,
    server: Server,
}

impl Guide {
    async fn new(page: &'static str) -> Self {
        Self {
            page,
            blocks: pages::blocks(&pages::read(page)),
            dir: tempfile::tempdir().unwrap(),
            server: Setup::new().start().await,
        }
    }

    fn project(&self) -> PathBuf {
        self.dir.path().join("disk-full")
    }

    /// Returns the blocks of commands, of which the first makes the project.
    fn commands(&self) -> Vec<&str> {
        let commands = self.blocks.iter().filter(|block| block.is("commands"));
        commands.map(|block| &*block.text).collect()
    }

    /// Makes the project; the page shows its files as they are.
    fn makes_its_project(&self) {
        let made = self.run(self.dir.path(), self.commands()[0]);
        assert_eq!(made.code, Some(0), "{made:?}");
        assert!(made.stdout.contains("made disk-full"), "{made:?}");
        let files: Vec<_> = self.blocks.iter().filter_map(Block::path).collect();
        assert!(files.len() > 2, "{files:?}");
        for file in files {
            let text = fs::read_to_string(self.project().join(file)).unwrap();
            pages::assert_block(self.page, file, &text);
        }
    }

    /// Runs the other commands; `false` if tools are missing, which is said.
    async fn goes_into_production(self) -> bool {
        let mut shown = String::new();
        for commands in &self.commands()[1..] {
            let ran = self.run(&self.project(), commands);
            if ran.code != Some(0) && modules::built_with_tools(&self.project()).is_none() {
                return false;
            }
            assert_eq!(ran.code, Some(0), "{}: {commands}{ran:?}", self.page);
            if commands.contains(FOLDER) {
                let serves = |handler: &serde_json::Value| handler["name"] == "disk-full";
                self.server.wait_for_handler(serves).await;
            }
            shown += &ran.stdout;
        }
        // `test` shows it, and `send` and `explain` do.
        assert!(shown.matches(POSTED).count() > 1, "{shown}");
        for part in ["done, and nothing was sent", "imports", "firing: done"] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
        let previews = self.server.previews();
        assert_eq!(previews.len(), 1, "{previews:?}");
        assert!(previews[0].contains(POSTED), "{}", previews[0]);
        self.server.stop().await;
        true
    }

    /// Runs commands as they are on the page, with the binary of the tests, their tools and their server.
    fn run(&self, dir: &Path, commands: &str) -> Finished {
        let folder = format!("{}/", self.server.handlers_dir().display());
        let script = commands.replace(ENVIRONMENT, "").replace(FOLDER, &folder);
        let path = std::env::var("PATH").unwrap();
        let programs = binary().parent().unwrap().display();
        // `command` keeps the variables of the user who runs the tests away.
        let like = command(dir, &[]);
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", &script])
            .current_dir(dir);
        for (name, value) in like.get_envs() {
            match value {
                Some(value) => bash.env(name, value),
                None => bash.env_remove(name),
            };
        }
        for (name, _) in std::env::vars() {
            if name.starts_with("CARGO_") || name == "RUSTFLAGS" || name == "PYTHONPATH" {
                bash.env_remove(name);
            }
        }
        bash.env("PATH", format!("{programs}:{path}"))
            .env("ALERT_MANAGER_TOOLS", modules::tools())
            .env("ALERT_MANAGER_URL", &self.server.url)
            // The packages of the workspace's lock file are here, and those of npm are in its cache.
            .env("CARGO_NET_OFFLINE", "true")
            .env("npm_config_prefer_offline", "true")
            .env("npm_config_audit", "false")
            .env("npm_config_fund", "false");
        finished(bash.output().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rust_guide_goes_from_new_to_an_effect_and_its_code_runs() {
    let guide = Guide::new("handlers-rust.md").await;
    guide.makes_its_project();
    super::cookbook::cargo(&guide.project(), &["fmt", "--check"]);
    let pieces = guide.blocks.iter();
    let pieces: Vec<_> = pieces
        .filter(|block| block.mark.is_none() && block.language == "rust")
        .map(|block| &*block.text)
        .collect();
    assert!(pieces.len() > 6, "{}", pieces.len());
    // `cargo test` of the guide runs them too.
    fs::create_dir(guide.project().join("tests")).unwrap();
    fs::write(
        guide.project().join("tests/pieces.rs"),
        pieces_as_tests(&pieces),
    )
    .unwrap();
    assert!(guide.goes_into_production().await);
}

/// Puts each piece of a handler's hook into a test against the mock host.
fn pieces_as_tests(pieces: &[&str]) -> String {
    let mut text = "#![allow(unused)]
use handler_sdk::http::Method;
use handler_sdk::mock::{Host, Reply};
use handler_sdk::prelude::*;

fn host() -> Host {
    Host::new()
        .http_get(\"*/pods/web-0\", 200, r#\"{\"status\":{\"phase\":\"Running\"}}\"#)
        .http_get(\"*/owners/web-0\", 200, \"team-web\")
        .http(Method::Post, \"*\", Reply::status(201, \"{}\"))
}
"
    .to_owned();
    for (number, piece) in pieces.iter().enumerate() {
        text += &format!(
            "
#[test]
fn piece_{number}_runs() {{
    fn run(cx: &Cx, alert: &Alert, found: &Enrichment) -> Result<(), Failure> {{
        {piece}
        Ok(())
    }}
    let alert = Alert::new(\"DiskFull\").with_label(\"pod\", \"web-0\");
    run(&host().cx_for(&alert), &alert, &Enrichment::new()).unwrap();
}}
"
        );
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_guide_goes_from_new_to_an_effect() {
    let guide = Guide::new("handlers-python.md").await;
    guide.makes_its_project();
    let Some(python) = super::python::interpreter() else {
        return;
    };
    let page = pages::read(guide.page);
    assert!(page.contains(ENVIRONMENT), "{ENVIRONMENT}");
    let environment = python.ancestors().nth(2).unwrap();
    std::os::unix::fs::symlink(environment, guide.project().join(".venv")).unwrap();
    guide.goes_into_production().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_typescript_guide_goes_from_new_to_an_effect() {
    let guide = Guide::new("handlers-typescript.md").await;
    guide.makes_its_project();
    if modules::built_with_tools(&guide.project()).is_some() {
        guide.goes_into_production().await;
    }
}

#[test]
fn the_guides_have_one_shape() {
    let headings = |page| {
        let text = pages::read(page);
        let headings = text.lines().filter(|line| line.starts_with("## "));
        headings.map(str::to_owned).collect::<Vec<_>>()
    };
    let rust = headings("handlers-rust.md");
    assert!(rust.len() > 12, "{rust:?}");
    assert_eq!(rust, headings("handlers-python.md"));
    assert_eq!(rust, headings("handlers-typescript.md"));
}
