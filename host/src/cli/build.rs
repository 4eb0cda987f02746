//! `build`: compiles handler projects to components.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use handler_build::{
    Artifact, BuildError, Colour, Event, Found, Language, Options, Project, Summary,
};
use serde_json::{Value, json};

use super::args::BuildArgs;
use super::module_check::ModuleCheck;
use super::modules::CacheUse;
use super::print::{self, Paint};

/// The digits of a digest that are shown: as many as in the server's log.
const DIGEST_DIGITS: usize = 12;

/// Builds the projects of a folder.
pub(super) fn run(args: &BuildArgs) -> anyhow::Result<ExitCode> {
    let dir = folder(args.dir.as_deref());
    let found = projects(dir)?;
    if found.projects.is_empty() && found.unreadable.is_empty() {
        bail!(
            "{}: no handler project found. A handler project has a Cargo.toml with crate-type = [\"cdylib\"] below [lib] (Rust), a pyproject.toml with [tool.alert-manager] (Python), or a package.json with \"alertManager\" (TypeScript)",
            dir.display()
        );
    }
    report_unreadable(&found);
    let out = args.out.as_deref().unwrap_or(dir);
    let module_check = ModuleCheck::new(None, out, CacheUse::IfThere)?;
    let options = Options {
        is_offline: args.offline,
        is_locked: args.locked || is_in_ci(),
        ..options(out, module_check)
    };
    let results = build(&found.projects, &options, ToolsMissing::Fails);
    if args.json {
        print::json(&as_json(&found, &results));
    }
    let all = found.unreadable.is_empty() && results.iter().all(Result::is_ok);
    Ok(if all {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Returns whether this runs in continuous integration, where a build changes no file of the project.
fn is_in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// Returns the folder that is meant if none, or this one, is named.
pub(super) fn folder(named: Option<&Path>) -> &Path {
    let current = Path::new(".");
    match named {
        Some(named) => named,
        None if handler_build::is_project(current) => current,
        None => Path::new("handlers"),
    }
}

/// Returns the handler projects of a folder, which must exist.
pub(super) fn projects(dir: &Path) -> anyhow::Result<Found> {
    if !dir.is_dir() {
        bail!(
            "{}: no such folder: create it, or name the folder of one or several handler projects",
            dir.display()
        );
    }
    handler_build::discover(dir)
        .with_context(|| format!("cannot look for handler projects in {}", dir.display()))
}

/// Prints an error for each project that cannot be read.
pub(super) fn report_unreadable(found: &Found) {
    for error in &found.unreadable {
        print::note(&format!("{} {error}", Paint::for_stderr().red("error:")));
    }
}

/// Returns options that build into `out`, print what happens, and refuse a module that a server would refuse.
pub(super) fn options(out: &Path, module_check: ModuleCheck) -> Options {
    let paint = Paint::for_stderr();
    let mut options = Options::new(out);
    if paint.is_on() {
        options.colour = Colour::Always;
    }
    options.progress = Arc::new(move |event| report(event, paint));
    options.check = Arc::new(move |file, module| module_check.check(file, module).map(Some));
    options
}

/// What it means for a project that the tools of its language are not on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ToolsMissing {
    /// It cannot be built, which is an error.
    Fails,
    /// It is left out, with a line that says how to get them.
    Skips,
}

/// Builds projects. If one fails, its error is printed, the previous module is kept, and the other projects are built.
pub(super) fn build(
    projects: &[Project],
    options: &Options,
    tools_missing: ToolsMissing,
) -> Vec<Result<Artifact, BuildError>> {
    let paint = Paint::for_stderr();
    let started = Instant::now();
    let results = handler_build::build_all(projects, options);
    let mut reported: Vec<String> = Vec::new();
    let mut skipped = 0;
    for (project, result) in projects.iter().zip(&results) {
        let Err(error) = result else { continue };
        if error.is_about_tools() && tools_missing == ToolsMissing::Skips {
            skipped += 1;
            let (name, why) = (&project.name, on_one_line(error));
            print::note(&format!("{} {name}: {why}", paint.yellow("skipped")));
            continue;
        }
        // On a terminal, cargo's output was shown as it came.
        let was_shown = paint.is_on() && project.language() == Language::Rust;
        let error = match error {
            BuildError::Compile { project, .. } if was_shown => {
                format!("{project} does not build: see above")
            }
            error => error.to_string(),
        };
        // A missing tool fails every project with the same error.
        if !reported.contains(&error) {
            print::note(&format!("{} {error}", paint.red("error:")));
            reported.push(error);
        }
    }
    let built = results.iter().filter(|result| result.is_ok()).count();
    print::note(&format!(
        "{} {built} of {} in {:.1} s",
        paint.green("built"),
        projects.len() - skipped,
        started.elapsed().as_secs_f64()
    ));
    results
}

/// Returns an error without line breaks, and without the space in which each begins.
fn on_one_line(error: &BuildError) -> String {
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.join("; ")
}

fn report(event: Event<'_>, paint: Paint) {
    match event {
        Event::InstallingTarget { command } => print::note(&format!(
            "{} {command}   (once: it lets Rust build for WebAssembly)",
            paint.bold("running")
        )),
        Event::FetchingTools {
            content, folder, ..
        } => print::note(&format!(
            "{} {content} into {}   (once)",
            paint.bold("fetching"),
            folder.display()
        )),
        Event::WaitingForTools { language } => print::note(&format!(
            "{} for another build, which fetches the tools for {language}",
            paint.bold("waiting")
        )),
        Event::Building { projects } => {
            print::note(&format!(
                "{} {}",
                paint.bold("building"),
                projects.join(", ")
            ));
        }
        // The progress of a compiler or a package manager is shown only on a terminal; if it fails, its output is in the error.
        Event::Output(line) if paint.is_on() => print::note(&paint.dim(line)),
        Event::UpdatingLockfile { lockfile } => print::note(&format!(
            "{} {}, which does not cover the dependencies in Cargo.toml",
            paint.bold("updating"),
            lockfile.display()
        )),
        Event::Note { text } => print::note(&format!("{} {text}", paint.yellow("note"))),
        Event::Built(artifact) => {
            print::note(&format!("  {}", described(artifact)));
            if let Some(note) = other_name(artifact) {
                print::note(&format!("  {} {note}", paint.yellow("note")));
            }
        }
        _ => {}
    }
}

/// Returns a note if a module calls itself other than its project: the server and its configuration know it by that name.
fn other_name(artifact: &Artifact) -> Option<String> {
    let handler = &artifact.summary.as_ref()?.handler;
    (*handler != artifact.name).then(|| {
        format!(
            "the project is called {}, but the handler {handler}: the configuration names it handlers.{handler}. Give both one name",
            artifact.name
        )
    })
}

/// Returns what was built, in one line.
fn described(artifact: &Artifact) -> String {
    let path = artifact.path.display();
    let size = format!("{} KiB", artifact.bytes.div_ceil(1024));
    let Some(summary) = &artifact.summary else {
        return format!("{path} ({size})");
    };
    let digest = &summary.sha256.get(..DIGEST_DIGITS).unwrap_or_default();
    if !artifact.changed {
        return format!("{path} unchanged (sha256 {digest})");
    }
    print::plain(&format!(
        "{path} is {} {} for {}, imports {}, {size}, sha256 {digest}",
        summary.handler,
        summary.version,
        summary.alerts.join(", "),
        summary.imports.join(", ")
    ))
}

fn as_json(found: &Found, results: &[Result<Artifact, BuildError>]) -> Value {
    let built = |project: &Project, result: &Result<Artifact, BuildError>| {
        let mut value = json!({
            "project": project.name,
            "language": project.language().to_string().to_lowercase(),
        });
        match result {
            Ok(artifact) => {
                value["file"] = json!(artifact.path);
                value["bytes"] = json!(artifact.bytes);
                value["changed"] = json!(artifact.changed);
                if let Some(Summary {
                    handler,
                    version,
                    alerts,
                    imports,
                    sha256,
                }) = &artifact.summary
                {
                    value["name"] = json!(handler);
                    value["version"] = json!(version);
                    value["alerts"] = json!(alerts);
                    value["imports"] = json!(imports);
                    value["sha256"] = json!(sha256);
                }
            }
            Err(error) => value["error"] = json!(error.to_string()),
        }
        value
    };
    let projects = found.projects.iter().zip(results);
    let unreadable = found.unreadable.iter();
    json!({
        "modules": projects.map(|(project, result)| built(project, result)).collect::<Vec<_>>(),
        "unreadable": unreadable.map(ToString::to_string).collect::<Vec<_>>(),
    })
}
