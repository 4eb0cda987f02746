//! `build`: compiles handler projects to components.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use handler_build::{Artifact, BuildError, Colour, Event, Found, Options, Project};
use parking_lot::Mutex;

use super::args::BuildArgs;
use super::describe;
use super::module_check::ModuleCheck;
use super::modules::CacheUse;
use super::print::{self, Paint};

/// Builds the projects of a folder.
pub(super) fn run(args: &BuildArgs) -> anyhow::Result<ExitCode> {
    let found = projects(&args.dir)?;
    if found.projects.is_empty() && found.unreadable.is_empty() {
        bail!(
            "{}: no handler project found. A handler project has a Cargo.toml with crate-type = [\"cdylib\"] below [lib]",
            args.dir.display()
        );
    }
    let out = args.out.as_deref().unwrap_or(&args.dir);
    let module_check = ModuleCheck::new(None, out, CacheUse::IfThere)?;
    let results = build(&found.projects, out, module_check);
    let all = found.unreadable.is_empty() && results.iter().all(Result::is_ok);
    Ok(if all {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Returns the handler projects of a folder, which must exist, and prints an error for each that cannot be read.
pub(super) fn projects(dir: &Path) -> anyhow::Result<Found> {
    if !dir.is_dir() {
        bail!(
            "{}: no such folder: create it, or name the folder of one or several handler projects",
            dir.display()
        );
    }
    let found = handler_build::discover(dir)
        .with_context(|| format!("cannot look for handler projects in {}", dir.display()))?;
    for error in &found.unreadable {
        print::note(&format!("{} {error}", Paint::for_stderr().red("error:")));
    }
    Ok(found)
}

/// Builds projects into `out` and prints the events. If a project fails, or a server would refuse the module, the error is
/// printed, the previous module is kept, and the other projects are built.
pub(super) fn build(
    projects: &[Project],
    out: &Path,
    module_check: ModuleCheck,
) -> Vec<Result<Artifact, BuildError>> {
    let paint = Paint::for_stderr();
    let started = Instant::now();
    let mut options = Options::new(out);
    if paint.is_on() {
        options.colour = Colour::Always;
    }
    // What each file is, from the check of its module until it is published.
    let described = Arc::new(Mutex::new(BTreeMap::new()));
    let checked = Arc::clone(&described);
    options.check = Arc::new(move |file, module| {
        let module = module_check.check(file, module)?;
        checked.lock().insert(file.to_owned(), module);
        Ok(())
    });
    options.progress = Arc::new(move |event| {
        report(event, paint);
        if let Event::Built(artifact) = event
            && let Some(file) = artifact.path.file_name()
            && let Some(module) = described.lock().remove(&*file.to_string_lossy())
            && artifact.changed
        {
            print::note(describe::summary(&module, paint).trim_end());
        }
    });
    let results = handler_build::build_all(projects, &options);
    let errors = results.iter().filter_map(|result| result.as_ref().err());
    let mut reported: Vec<String> = Vec::new();
    for error in errors.map(ToString::to_string) {
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
        projects.len(),
        started.elapsed().as_secs_f64()
    ));
    results
}

fn report(event: Event<'_>, paint: Paint) {
    match event {
        Event::InstallingTarget { command } => print::note(&format!(
            "{} {command}   (once: it lets Rust build for WebAssembly)",
            paint.bold("running")
        )),
        Event::Building { projects } => {
            print::note(&format!(
                "{} {}",
                paint.bold("building"),
                projects.join(", ")
            ));
        }
        // The compiler's progress is shown only on a terminal; if it fails, its output is in the error.
        Event::Output(line) if paint.is_on() => print::note(&paint.dim(line)),
        Event::Built(artifact) if artifact.changed => {
            print::note(&format!(
                "{} {}",
                paint.bold("wrote"),
                artifact.path.display()
            ));
        }
        _ => {}
    }
}
