//! `coverage`: which alerts of a set of rules are answered, and by what.

mod prometheus;
mod show;

use std::process::ExitCode;

use anyhow::{anyhow, bail};

use super::args::{CoverageArgs, FailOn};
use super::{modules, print, serve};
use crate::api::Coverage;
use crate::config::{Overrides, Problems, RULES_MAX, Secrets, alert_rules};
use crate::coverage::{AlertRule, Labelling, Relabelling, coverage};
use crate::router::Router;

/// What the rules and their server are known to be.
struct Asked {
    rules: Vec<AlertRule>,
    labelling: Labelling,
    assumptions: Vec<String>,
}

/// Prints what answers each alert.
pub(super) fn run(args: &CoverageArgs) -> anyhow::Result<ExitCode> {
    let mut asked = match &args.prometheus {
        Some(url) => prometheus::ask(url, args)?,
        None => read(args)?,
    };
    asked
        .labelling
        .external
        .extend(args.external_labels.iter().cloned());
    if asked.rules.is_empty() {
        bail!(
            "there is no alerting rule: name other files with --rules, or another server with --prometheus"
        );
    }
    let overrides = Overrides {
        handlers_dir: args.config.handlers.clone(),
        secrets: Secrets::LeftAlone,
        ..Overrides::default()
    };
    let config = serve::source(args.config.file.config_file.clone(), overrides)()
        .map_err(|problems| anyhow!("{problems}"))?;
    if !config.handlers_dir.is_dir() {
        print::note(&format!(
            "{}: no such folder: only the routes of the configuration are known. Name another with --handlers DIR",
            config.handlers_dir.display()
        ));
    }
    let descriptions = modules::load(&config)?.descriptions;
    let router = Router::with_described(config.routes.clone(), &descriptions)
        .with_settings(config.router.clone());
    let mut found = coverage(&asked.rules, &asked.labelling, &router, &descriptions);
    found.assumptions = asked.assumptions;
    found.assumptions.extend(of_relabelling(&asked.labelling));
    match args.json {
        true => print::json(&serde_json::to_value(&found)?),
        false => show::show(&found),
    }
    Ok(match fails(&found, args.fail_on) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// Reads the rules of files.
fn read(args: &CoverageArgs) -> anyhow::Result<Asked> {
    let mut rules = Vec::new();
    let mut problems = Problems::default();
    for file in &args.rules {
        match alert_rules(file) {
            Ok(found) => rules.extend(found),
            Err(found) => problems.0.extend(found.0),
        }
    }
    if !problems.0.is_empty() {
        bail!("{problems}");
    }
    if rules.len() > RULES_MAX {
        bail!(
            "the files have {} alerting rules, more than {RULES_MAX}: ask about fewer files at a time",
            rules.len()
        );
    }
    let mut assumptions = Vec::new();
    if args.external_labels.is_empty() {
        assumptions.push(
            "their Prometheus server adds no external labels: rule files do not say. Name them with --external-label NAME=VALUE"
                .to_owned(),
        );
    }
    Ok(Asked {
        rules,
        labelling: Labelling::default(),
        assumptions,
    })
}

fn of_relabelling(labelling: &Labelling) -> Vec<String> {
    let has = |relabelling| labelling.relabellings.contains(&relabelling);
    let mut assumptions = Vec::new();
    if has(Relabelling::DropsAlerts) {
        assumptions
            .push("alert_relabel_configs of the server drop none of these alerts".to_owned());
    }
    if has(Relabelling::Unknown) {
        assumptions.push(
            "nothing about labels: alert_relabel_configs of the server may change any of them"
                .to_owned(),
        );
    }
    assumptions
}

fn fails(found: &Coverage, fail_on: Option<FailOn>) -> bool {
    found.alerts.iter().any(|alert| match fail_on {
        None => false,
        Some(FailOn::Unrouted) => alert.may_be_unrouted,
        Some(FailOn::Fallback) => alert.may_be_unrouted || alert.may_be_fallback,
    })
}
