//! `init`: writes a complete, commented configuration for the modules of a folder.

mod starter;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use handler_build::shell_word;

use super::args::InitArgs;
use super::modules;
use super::paths;
use super::print;
use crate::config::{Config, Overrides};
use starter::Starter;

/// Examines the modules, writes the file and prints the next steps.
pub(super) fn run(args: &InitArgs) -> anyhow::Result<ExitCode> {
    let overrides = Overrides {
        handlers_dir: Some(args.handlers.clone()),
        ..Overrides::default()
    };
    if !args.handlers.is_dir() {
        bail!(
            "{}: no such folder: make it and put the compiled handlers there (`alert-manager build --out {}`), or name another with --handlers DIR",
            args.handlers.display(),
            shell_word(&args.handlers)
        );
    }
    let config = Config::load(None, &overrides, &|_| None).map_err(|e| anyhow!("{e}"))?;
    let found = modules::load(&config)?;
    for module in &found.files {
        if let Some(error) = &module.error {
            print::note(&print::plain(&format!(
                "left out {}: {error}",
                module.origin
            )));
        }
    }
    let served: Vec<_> = found.files.iter().filter(|m| m.error.is_none()).collect();
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let text = Starter {
        has_token: env("SLACK_TOKEN").is_some() || env("SLACK_TOKEN_FILE").is_some(),
        channel: env("SLACK_CHANNEL").unwrap_or_else(|| "#alerts".to_owned()),
        handlers_dir: &from_folder_of(&args.out, &args.handlers),
        modules: &served,
        descriptions: &found.descriptions,
    }
    .text();
    if args.out == Path::new("-") {
        print::out(&text);
        return Ok(ExitCode::SUCCESS);
    }
    write(&args.out, &text, args.force)?;
    let file = shell_word(&args.out);
    print::line(&format!(
        "wrote {} for {} handlers. Next:\n  1. read it: what it does not grant is denied\n  2. alert-manager check --config {file}\n  3. alert-manager serve --config {file}",
        args.out.display(),
        served.len()
    ));
    Ok(ExitCode::SUCCESS)
}

/// Returns the path of `dir` relative to the folder of the file `out`, which is how the file has to name it.
fn from_folder_of(out: &Path, dir: &Path) -> PathBuf {
    let folder = match out.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        // The working folder, or standard output.
        _ => return dir.to_owned(),
    };
    if dir.is_absolute() {
        return dir.to_owned();
    }
    // A missing folder is reported when the file is written.
    let (Ok(from), Ok(to)) = (folder.canonicalize(), dir.canonicalize()) else {
        return dir.to_owned();
    };
    paths::relative(&from, &to)
}

/// Writes a file that only its user can read: it should contain no tokens, but people put them there.
fn write(path: &Path, text: &str, force: bool) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).mode(0o600);
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let mut file = options.open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => anyhow!(
            "{} already exists: write to another file with --out FILE, or replace it with --force",
            path.display()
        ),
        _ => anyhow!("cannot write {}: {error}", path.display()),
    })?;
    file.write_all(text.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_folder_of_handlers_is_named_from_the_file_s_own() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for folder in ["conf/deep", "handlers"] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        let handlers = at("handlers");
        assert_eq!(from_folder_of(&at("conf/am.yml"), &handlers), handlers);
        for out in ["am.yml", "-"] {
            let same = from_folder_of(Path::new(out), Path::new("handlers"));
            assert_eq!(same, Path::new("handlers"), "{out}");
        }
    }
}
