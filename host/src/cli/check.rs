//! `check`: every problem of the configuration and of the modules, at once.

use std::process::ExitCode;

use anyhow::anyhow;
use serde_json::json;

use super::args::CheckArgs;
use super::modules::{self, Found};
use super::print::{self, Paint};
use super::serve;
use crate::alarms::Ways;
use crate::app::missing_grants;
use crate::config::{Config, Overrides, closest};
use crate::router::{Route, Router};
use crate::server::Tls;

/// What was found.
#[derive(Default)]
struct Findings {
    problems: Vec<String>,
    warnings: Vec<String>,
    found: Found,
}

/// Checks, prints, and returns 1 where anything is wrong.
pub(super) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let overrides = Overrides {
        handlers_dir: args.config.handlers.clone(),
        ..Overrides::default()
    };
    let mut findings = Findings::default();
    match serve::source(args.config.file.config_file.clone(), overrides)() {
        Ok(config) => {
            findings
                .warnings
                .extend(config.warnings.iter().map(ToString::to_string));
            check_modules(&config, &mut findings)?;
            check_grants(&config, &mut findings);
            check_routes(&config, &mut findings);
            if let Some(Err(error)) = config.tls_server.map(Tls::new) {
                findings.problems.push(error.to_string());
            }
        }
        Err(problems) => {
            findings
                .problems
                .extend(problems.0.iter().map(ToString::to_string));
            check_modules(&modules_alone(args)?, &mut findings)?;
        }
    }
    if args.json {
        print::json(&json!({
            "problems": findings.problems,
            "warnings": findings.warnings,
            "modules": findings.found.files,
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

/// Where the configuration is wrong its modules are looked at all the same: both are mended in one go then.
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

fn check_modules(config: &Config, findings: &mut Findings) -> anyhow::Result<()> {
    if !config.handlers_dir.is_dir() {
        findings.problems.push(format!(
            "{}: no such folder: make it, or name another with --handlers DIR or handlers_dir",
            config.handlers_dir.display()
        ));
        return Ok(());
    }
    findings.found = modules::load(config)?;
    for module in &findings.found.files {
        if let Some(error) = &module.error {
            findings.problems.push(format!("{}: {error}", module.file));
        }
    }
    Ok(())
}

fn check_grants(config: &Config, findings: &mut Findings) {
    for module in &findings.found.files {
        if let Some(name) = &module.name
            && let Some(lines) = missing_grants(config, module)
        {
            findings.warnings.push(format!(
                "{name} is limited: what it is not granted answers `denied`. To grant it, add:\n{lines}"
            ));
        }
    }
}

fn check_routes(config: &Config, findings: &mut Findings) {
    let descriptions = &findings.found.descriptions;
    let router = Router::with_described(config.routes.clone(), descriptions);
    let mut missing: Vec<_> = router
        .routes()
        .iter()
        .flat_map(|route| &route.handlers)
        .chain(config.dead_letter.iter().flatten())
        .filter(|name| !descriptions.iter().any(|d| d.name == **name))
        .collect();
    missing.sort();
    missing.dedup();
    for name in config.handler_names() {
        if descriptions.iter().any(|d| d.name == *name) {
            continue;
        }
        let names: Vec<_> = descriptions.iter().map(|d| d.name.as_str()).collect();
        let meant = match closest(name.as_str(), &names) {
            Some(known) => format!("did you mean {known}?"),
            None => "put its .wasm there, or remove the entry".to_owned(),
        };
        findings.warnings.push(format!(
            "handlers.{name}: no module in {} has this name, so what it grants and sets counts for nothing: {meant}",
            config.handlers_dir.display()
        ));
    }
    for name in missing {
        findings.problems.push(format!(
            "routes or dead_letter name the handler {name}, which no module in {} is: put its .wasm there",
            config.handlers_dir.display()
        ));
    }
    for description in descriptions {
        let name = &description.name;
        let is_named = |route: &Route| route.handlers.contains(name);
        if !router.routes().iter().any(is_named)
            && !config
                .dead_letter
                .iter()
                .flatten()
                .any(|named| named == name)
        {
            findings.warnings.push(format!(
                "{name} is never run: no route names it, and it names no alerts itself. Name it in `routes`, or remove its file"
            ));
        }
    }
    if !router
        .routes()
        .iter()
        .any(|route| route.matchers.is_empty())
    {
        findings.warnings.push(
            "no route is without matchers: an alert that none matches is stored as done and handled by nobody".into(),
        );
    }
    check_reporting(config, &router, findings);
}

fn check_reporting(config: &Config, router: &Router, findings: &mut Findings) {
    let ways = Ways::new(config, router, &findings.found.descriptions);
    let warning = ways.reporting().warning();
    findings.warnings.extend(warning.map(str::to_owned));
}

fn show(findings: &Findings) {
    let paint = Paint::for_stdout();
    for module in &findings.found.files {
        if let (Some(name), Some(version)) = (&module.name, &module.version) {
            print::line(&format!(
                "{} {name} {version} ({}), imports {}",
                paint.green("module"),
                print::one_line(&module.file),
                if module.imports.is_empty() {
                    "nothing".to_owned()
                } else {
                    module.imports.join(", ")
                }
            ));
        }
    }
    for warning in &findings.warnings {
        print::line(&format!(
            "{} {}",
            paint.yellow("warning"),
            print::plain(warning)
        ));
    }
    for problem in &findings.problems {
        print::line(&format!(
            "{} {}",
            paint.red("problem"),
            print::plain(problem)
        ));
    }
    print::line(&match findings.problems.len() {
        0 => paint.green("ok"),
        1 => "1 problem".to_owned(),
        n => format!("{n} problems"),
    });
}
