//! Each recipe of the cookbook is put into a project that `new` makes, and passes its own test; the page shows what it does with
//! its alert in the sandbox.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use handler_build::{Options, Tools, build_all, discover};
use regex::Regex;
use tests::modules::{self, workspace};
use tests::pages::{self, Block};
use tests::process::{finished, run};

/// The recipes in one language, in projects side by side.
struct Recipes {
    dir: tempfile::TempDir,
    recipes: Vec<Recipe>,
}

struct Recipe {
    /// The handler's name, which is also that of the page.
    name: String,
    page: String,
    blocks: Vec<Block>,
    project: PathBuf,
}

impl Recipes {
    /// Makes a project of each page in this language, by the page's own command and with the SDK in the folder `sdk`.
    fn make(language: &str, sdk: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sdk = sdk.to_str().unwrap();
        let mut recipes = Vec::new();
        for page in pages_of_the_cookbook() {
            let blocks = pages::blocks(&pages::read(&page));
            let commands = pages::commands(&blocks);
            let new = words(&commands[0]);
            let Some(args) = new.strip_prefix(&["alert-manager".to_owned()]) else {
                panic!("{page} begins with {new:?}");
            };
            if !args.iter().any(|word| word == language) {
                continue;
            }
            let mut args: Vec<_> = args.iter().map(String::as_str).collect();
            args.extend(["--sdk", sdk]);
            let made = run(dir.path(), &args);
            assert_eq!(made.code, Some(0), "{page}: {made:?}");
            let name = args[1].to_owned();
            let recipe = Recipe {
                project: dir.path().join(&name),
                name,
                page,
                blocks,
            };
            recipe.write();
            recipes.push(recipe);
        }
        assert_eq!(recipes.len(), 4, "in {language}");
        Self { dir, recipes }
    }

    /// Builds all of them; `false` if the tools are missing, which is said.
    fn build(&self) -> bool {
        let mut options = Options::new(self.dir.path().join("modules"));
        options.tools = Tools {
            folder: Some(modules::tools()),
            ..Tools::default()
        };
        let found = discover(self.dir.path()).unwrap();
        assert_eq!(found.projects.len(), self.recipes.len(), "{found:?}");
        for built in build_all(&found.projects, &options) {
            match built {
                Ok(module) => {
                    let project = self.dir.path().join(&module.name);
                    symlink(&module.path, project.join(format!("{}.wasm", module.name))).unwrap();
                }
                Err(error) if modules::are_missing(&error) => return false,
                Err(error) => panic!("{error}"),
            }
        }
        true
    }
}

impl Recipe {
    /// Writes the files of the page over those of `new`.
    fn write(&self) {
        pages::write_files(&self.blocks, &self.project);
        for block in &self.blocks {
            match block.mark.as_deref() {
                Some("configuration") => self.write_file("alert-manager.yml", &block.text),
                Some("rules") => self.write_file("rules.yml", &block.text),
                Some("needs") => self.declare(&block.text),
                _ => {}
            }
        }
    }

    fn write_file(&self, name: &str, text: &str) {
        fs::write(self.project.join(name), text).unwrap();
    }

    /// Puts the needs of the page into the project's manifest.
    fn declare(&self, text: &str) {
        let needs = Regex::new(r#""?needs"?\s*[=:]\s*\[[^\]]*\]"#).unwrap();
        let declared = needs.find(text).unwrap().as_str();
        let manifest = ["pyproject.toml", "package.json"].map(|name| self.project.join(name));
        let manifest = manifest.iter().find(|path| path.exists()).unwrap();
        let before = fs::read_to_string(manifest).unwrap();
        let after = needs.replace(&before, declared);
        assert_ne!(before, after, "{}: new needs are the same", self.page);
        fs::write(manifest, &*after).unwrap();
    }

    /// Runs what the page says, and compares what is shown with the page.
    fn is_as_its_page_says(&self) {
        let commands = pages::commands(&self.blocks);
        let mut shown = Vec::new();
        for command in &commands[1..] {
            let words = words(command);
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            match &words[..] {
                ["cd", folder] => assert_eq!(*folder, self.name),
                // All recipes of a language are built together.
                ["alert-manager", "build"] => {}
                ["alert-manager", args @ ..] => {
                    let ran = run(&self.project, args);
                    assert_eq!(ran.code, Some(0), "{}: {command}: {ran:?}", self.page);
                    shown.push(steady(&ran.stdout));
                }
                _ => panic!("{}: nothing runs {command}", self.page),
            }
        }
        assert!(!shown.is_empty(), "{} tries nothing", self.page);
        let shown = format!("```text\n{}\n```", shown.join("\n\n"));
        pages::assert_current(&self.page, "output", &shown);
    }
}

/// Returns the pages of the recipes.
fn pages_of_the_cookbook() -> Vec<String> {
    let files = fs::read_dir(pages::path("cookbook")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut pages: Vec<_> = names
        .filter(|name| name != "README.md")
        .map(|name| format!("cookbook/{name}"))
        .collect();
    pages.sort();
    assert_eq!(pages.len(), 12);
    pages
}

/// Splits a command as a shell does that has nothing but single quotes to understand.
fn words(command: &str) -> Vec<String> {
    let words = command.split_whitespace();
    words
        .map(|word| word.trim_matches('\'').to_owned())
        .collect()
}

/// Removes what differs from run to run.
fn steady(shown: &str) -> String {
    let replaced = [
        (r" \(\d+(\.\d+)? (µs|ms|s)\)", ""),
        (r" in \d+(\.\d+)? (µs|ms|s) \(cpu [^)]*\)", ""),
        (r"(?m)^  used .*\n?", ""),
        (r"(?m)^(\S+ \S+) [0-9a-f]{12}:", "$1:"),
        (r"(?m)^(  (?:enrich|act) \S+ \S+) [0-9a-f]{12}", "$1"),
        (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "(time)"),
        (r"\b\d+d(?: \d+h)?\b", "(age)"),
        (r#""timeEnd":\d+"#, r#""timeEnd":(time)"#),
        (r"[A-Za-z0-9_-]{30,}\.[A-Za-z0-9_-]{20,}", "(reference)"),
    ];
    let steady = replaced
        .iter()
        .fold(shown.to_owned(), |text, (pattern, with)| {
            let pattern = Regex::new(pattern).unwrap();
            pattern.replace_all(&text, *with).into_owned()
        });
    let lines: Vec<_> = steady.lines().map(str::trim_end).collect();
    lines.join("\n").trim().to_owned()
}

/// The projects become a workspace, so that what they share is compiled once; its target directory is that of the tests.
#[test]
fn the_rust_recipes_pass_their_tests_and_do_what_their_pages_show() {
    let recipes = Recipes::make("rust", &workspace().join("handler-sdk"));
    let root = recipes.dir.path();
    let mut members = String::new();
    for recipe in &recipes.recipes {
        let manifest = recipe.project.join("Cargo.toml");
        let text = fs::read_to_string(&manifest).unwrap();
        let alone = "[workspace]\n";
        assert!(text.contains(alone), "{text}");
        fs::write(manifest, text.replace(alone, "")).unwrap();
        members += &format!("{:?}, ", recipe.name);
    }
    let workspace_manifest = format!("[workspace]\nresolver = \"3\"\nmembers = [{members}]\n");
    fs::write(root.join("Cargo.toml"), workspace_manifest).unwrap();
    fs::copy(workspace().join("Cargo.lock"), root.join("Cargo.lock")).unwrap();
    symlink(workspace().join("target"), root.join("target")).unwrap();
    cargo(root, &["fmt", "--check"]);
    cargo(root, &["test", "--quiet", "--offline", "--lib"]);
    assert!(recipes.build());
    for recipe in &recipes.recipes {
        recipe.is_as_its_page_says();
    }
}

/// Runs cargo as an author does, without what is set for these tests.
pub(super) fn cargo(dir: &Path, args: &[&str]) {
    let mut command = Command::new("cargo");
    command.args(args).current_dir(dir);
    for (name, _) in std::env::vars() {
        if name.starts_with("CARGO_") || name == "RUSTFLAGS" {
            command.env_remove(name);
        }
    }
    let ran = finished(command.output().unwrap());
    assert_eq!(ran.code, Some(0), "{args:?}: {}{}", ran.stdout, ran.stderr);
}

#[test]
fn the_python_recipes_pass_their_tests_and_do_what_their_pages_show() {
    let recipes = Recipes::make("python", &workspace().join("handler-sdk/python"));
    let Some(python) = super::python::interpreter() else {
        return;
    };
    for recipe in &recipes.recipes {
        super::python::pytest(&python, &recipe.project);
        super::python::run(&python, &recipe.project, &["-m", "mypy"]);
    }
    if recipes.build() {
        for recipe in &recipes.recipes {
            recipe.is_as_its_page_says();
        }
    }
}

/// What npm installs is the same for all of them, so it is installed once.
#[test]
fn the_typescript_recipes_pass_their_tests_and_do_what_their_pages_show() {
    let Some(sdk) = super::typescript::built_sdk() else {
        return;
    };
    let recipes = Recipes::make("typescript", &sdk);
    if !recipes.build() {
        return;
    }
    let installed = &recipes.recipes[0].project;
    super::typescript::installs(installed);
    for recipe in &recipes.recipes {
        let modules = recipe.project.join("node_modules");
        if !modules.exists() {
            symlink(installed.join("node_modules"), modules).unwrap();
        }
        super::typescript::passes_its_tests(&recipe.project);
        recipe.is_as_its_page_says();
    }
}
