//! A project as `new` writes it, in a folder of its own, and the commands of its author.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use handler_build::Language;
use tempfile::TempDir;
use tests::modules;
use tests::process::{binary, command};

/// The handler's name, in which other digits take the place of the zeroes. It is so long that no compiler makes an immediate
/// operand of it.
pub(super) const NAME: &str = "a-handler-that-is-measured-in-each-language-000";
/// The alertname, likewise.
pub(super) const ALERTNAME: &str = "AnAlertOfTheHandlerThatIsMeasuredInEachLanguage000";

/// The part of a new project that [`Project::change`] replaces.
const SUMMARY: &str = "Posts the alert to Slack";

/// A project in a temporary folder.
pub(super) struct Project {
    folder: TempDir,
    language: Language,
}

impl Project {
    /// Writes a project with `new`.
    pub(super) fn new(language: Language) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        write(folder.path(), language)?;
        Ok(Self { folder, language })
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join(NAME)
    }

    /// Builds it, and returns how long that took.
    pub(super) fn build(&self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        finish(author(&self.dir(), &["build", "."], &modules::tools()))?;
        Ok(began.elapsed())
    }

    /// Changes its source, so that each `number` gives another component.
    pub(super) fn change(&self, number: usize) -> anyhow::Result<()> {
        change(&self.dir(), self.language, number)
    }

    /// Returns the component that was built.
    pub(super) fn module(&self) -> anyhow::Result<Vec<u8>> {
        Ok(fs::read(self.dir().join(format!("{NAME}.wasm")))?)
    }
}

/// Writes a project with `new` into a folder outside of this repository, so that it stands alone.
pub(super) fn write(folder: &Path, language: Language) -> anyhow::Result<()> {
    let lang = language.to_string().to_lowercase();
    let args = ["new", NAME, "--lang", &lang, "--alert", ALERTNAME];
    finish(author(folder, &args, &modules::tools()))
}

/// Changes the source of the project in a folder, so that each `number` gives another component.
pub(super) fn change(dir: &Path, language: Language, number: usize) -> anyhow::Result<()> {
    let file = dir.join(match language {
        Language::Python => "handler.py",
        Language::TypeScript => "src/handler.ts",
        _ => "src/lib.rs",
    });
    let text = fs::read_to_string(&file)?;
    let at = text.find(SUMMARY).context("the text to change")?;
    let end = at + text[at..].find('"').context("the end of the text")?;
    let text = format!("{}{SUMMARY}, {number}.{}", &text[..at], &text[end..]);
    Ok(fs::write(file, text)?)
}

/// Returns a command of `alert-manager` with the tools in a folder.
pub(super) fn author(dir: &Path, args: &[&str], tools: &Path) -> Command {
    let mut command = command(dir, args);
    as_author(&mut command, tools);
    command
}

/// Takes away what cargo has set for this program, and puts `alert-manager` into the search path.
pub(super) fn as_author(command: &mut Command, tools: &Path) {
    for (name, _) in std::env::vars() {
        if name.starts_with("CARGO_") && name != "CARGO_HOME" {
            command.env_remove(name);
        }
    }
    let folder = binary().parent().unwrap_or(Path::new("."));
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .env("ALERT_MANAGER_TOOLS", tools)
        .env("PATH", format!("{}:{path}", folder.display()))
        .stdin(Stdio::null());
}

/// Runs a command to its end.
pub(super) fn finish(mut command: Command) -> anyhow::Result<()> {
    let output = command.output()?;
    anyhow::ensure!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
