//! `check`: reports all problems of the configuration and of the modules at once.

mod storms;

use std::process::ExitCode;

use anyhow::anyhow;
use serde_json::json;

use super::args::CheckArgs;
use super::modules::{self, Found};
use super::print::{self, Paint};
use super::{online, serve};
use crate::alarms::Ways;
use crate::config::{Config, Overrides};
use crate::description::Description;
use crate::findings::{self, Finding};
use crate::http::server::Tls;
use crate::review;
use crate::router::Router;
use storms::Storms;

/// The results of the check.
#[derive(Default)]
struct Findings {
    /// The file that was checked.
    checked: String,
    problems: Vec<Finding>,
    warnings: Vec<Finding>,
    /// What a sensible operator may well intend, hints, and what was reached.
    notes: Vec<Finding>,
    storms: Storms,
    found: Found,
}

/// Checks, prints the results, and returns 1 if there are problems.
pub(super) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let overrides = Overrides {
        handlers_dir: args.config.handlers.clone(),
        ..Overrides::default()
    };
    let file = args.config.file.config_file.as_deref();
    let env = |name: &str| std::env::var(name).ok();
    let named = Config::file_named(file, &env);
    let mut findings = Findings {
        checked: match &named {
            Some(file) => file.display().to_string(),
            None => "no configuration file: the defaults".to_owned(),
        },
        ..Findings::default()
    };
    let unused = serve::unused_file(file).into_iter();
    findings.notes.extend(unused.map(bare));
    let examined = Config::examine(file, &overrides, &env);
    let starts = examined.problems.0.is_empty();
    let problems = examined.problems.0.into_iter();
    findings.problems.extend(problems.map(Finding::from));
    let config = match examined.config {
        Some(config) => config,
        None => modules_alone(args)?,
    };
    check_folder(&config, &mut findings)?;
    if named.is_none() || config.file.is_some() {
        review(&config, !examined.is_partial, &mut findings);
    }
    refused(&mut findings);
    if starts {
        if let Some(Err(error)) = config.tls_server.clone().map(Tls::new) {
            findings.problems.push(outside(error.to_string()));
        }
        if args.online {
            let asked = online::ask(&config)?;
            findings.problems.extend(asked.findings.problems);
            findings.warnings.extend(asked.findings.warnings);
            findings.notes.extend(asked.notes.into_iter().map(bare));
        }
    } else if args.online {
        let note = "nothing was asked online: correct the configuration first";
        findings.notes.push(bare(note.to_owned()));
    }
    if args.json {
        print::json(&json!({
            "file": named,
            "problems": findings.problems,
            "warnings": findings.warnings,
            "notes": findings.notes,
            "storms": findings.storms.json(),
            "modules": modules(&findings.found),
        }));
    } else {
        show(&findings);
    }
    Ok(if findings.problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Adds the findings of comparing the modules with the configuration. Unless it is whole, only the names in it are compared, since
/// a missing part may be one that could not be read.
fn review(config: &Config, is_whole: bool, findings: &mut Findings) {
    let found = &findings.found;
    let reviewed = if is_whole {
        review::review(config, &found.files, &found.descriptions)
    } else {
        review::review_names(config, &found.files, &found.descriptions)
    };
    findings.problems.extend(reviewed.problems);
    findings.warnings.extend(reviewed.warnings);
    findings.notes.extend(reviewed.notes);
    if is_whole {
        let descriptions = &findings.found.descriptions;
        let router = Router::with_described(config.routes.clone(), descriptions)
            .with_settings(config.router.clone());
        findings.storms = Storms::of(&router, descriptions);
        findings
            .notes
            .extend(reporting(config, &router, descriptions));
        if config.router.storm_by.is_empty() {
            let note = "storms are off (storm.over is 0): each alert runs by itself";
            findings.notes.push(bare(note.to_owned()));
        }
    }
    let by_place = |finding: &Finding| findings::position(&finding.problem);
    findings.problems.sort_by_key(by_place);
    findings.warnings.sort_by_key(by_place);
    findings.notes.sort_by_key(by_place);
}

/// Checks the modules although the configuration cannot be read, so that both can be corrected at once.
fn modules_alone(args: &CheckArgs) -> anyhow::Result<Config> {
    let flags = Overrides {
        handlers_dir: args.config.handlers.clone(),
        ..Overrides::default()
    };
    let file = args.config.file.config_file.as_deref();
    let dir = Config::handlers_dir(file, &flags, &|name| std::env::var(name).ok());
    let flags = Overrides {
        handlers_dir: Some(dir),
        ..Overrides::default()
    };
    Config::load(None, &flags, &|_| None).map_err(|problems| anyhow!("{problems}"))
}

fn check_folder(config: &Config, findings: &mut Findings) -> anyhow::Result<()> {
    if !config.handlers_dir.is_dir() {
        findings.problems.push(outside(format!(
            "{}: no such folder: make it, or name another with --handlers DIR or handlers_dir",
            config.handlers_dir.display()
        )));
        return Ok(());
    }
    findings.found = modules::load(config)?;
    Ok(())
}

/// Adds the files that are refused, unless the handler's entry in the configuration is reported for it.
fn refused(findings: &mut Findings) {
    for module in &findings.found.files {
        let Some(error) = &module.error else { continue };
        let is_said = |finding: &Finding| finding.problem.message.contains(error);
        if !findings.problems.iter().any(is_said) {
            let problem = outside(format!("{}: {error}", module.origin));
            findings.problems.push(problem);
        }
    }
}

/// Returns a finding without a position in the configuration file.
fn outside(text: String) -> Finding {
    let (place, message) = text.split_once(": ").unwrap_or(("", &text));
    Finding::from(crate::config::Problem {
        place: place.to_owned(),
        message: message.to_owned(),
        advice: String::new(),
    })
}

/// Returns a finding that is a message alone.
fn bare(message: String) -> Finding {
    Finding::from(crate::config::Problem {
        place: String::new(),
        message,
        advice: String::new(),
    })
}

/// Returns each file of the folder, with the settings that its module declares.
fn modules(found: &Found) -> serde_json::Value {
    let modules = found.files.iter().map(|file| {
        let description = found
            .descriptions
            .iter()
            .find(|description| Some(&description.name) == file.name.as_ref());
        let mut module = json!(file);
        module["settings"] = json!(description.and_then(|d| d.settings.as_ref()));
        module["storm"] = json!(description.map(|d| if d.storm_one { "one" } else { "each" }));
        module
    });
    modules.collect()
}

/// Returns a note if nobody is notified of dead letters.
fn reporting(config: &Config, router: &Router, descriptions: &[Description]) -> Option<Finding> {
    let ways = Ways::new(
        config.dead_letter.as_deref(),
        &config.handlers,
        router,
        descriptions,
    );
    let note = ways.reporting().note();
    note.map(|text| bare(text.to_owned()))
}

fn show(findings: &Findings) {
    let paint = Paint::for_stdout();
    print::line(&format!("checked {}", print::plain(&findings.checked)));
    for module in &findings.found.files {
        if let (Some(name), Some(version)) = (&module.name, &module.version) {
            print::line(&format!(
                "{} {name} {version} ({}), imports {}",
                paint.green("module"),
                print::one_line(&module.origin.to_string()),
                if module.imports.is_empty() {
                    "nothing".to_owned()
                } else {
                    module.imports.join(", ")
                }
            ));
        }
    }
    for line in findings.storms.lines() {
        print::line(&print::plain(&line));
    }
    for note in &findings.notes {
        print::line(&format!(
            "{} {}",
            paint.dim("note"),
            print::plain(&note.to_string())
        ));
    }
    for warning in &findings.warnings {
        print::line(&format!(
            "{} {}",
            paint.yellow("warning"),
            print::plain(&warning.to_string())
        ));
    }
    for problem in &findings.problems {
        print::line(&format!(
            "{} {}",
            paint.red("problem"),
            print::plain(&problem.to_string())
        ));
    }
    let counted = |list: &[Finding], what: &str| match list.len() {
        0 => None,
        1 => Some(format!("1 {what}")),
        n => Some(format!("{n} {what}s")),
    };
    let problems = counted(&findings.problems, "problem").unwrap_or_else(|| paint.green("ok"));
    let warnings = counted(&findings.warnings, "warning");
    let all: Vec<_> = [problems].into_iter().chain(warnings).collect();
    print::line(&all.join(", "));
}
