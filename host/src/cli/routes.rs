//! `routes`: which routes match an alert, and why.

use std::process::ExitCode;

use anyhow::anyhow;
use serde_json::{Value, json};

use super::args::RoutesArgs;
use super::print::{self, Paint};
use super::{alerts, modules, serve};
use crate::alert::{Labels, Timestamp};
use crate::api::{Explained, Outcome};
use crate::config::Overrides;
use crate::router::Router;

/// Prints the matching routes.
pub(super) fn run(args: &RoutesArgs) -> anyhow::Result<ExitCode> {
    let sets = match &args.alert {
        Some(file) => alerts::read(file, Timestamp::now())?.labels(),
        None => vec![args.labels.iter().cloned().collect()],
    };
    let overrides = Overrides {
        handlers_dir: args.config.handlers.clone(),
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
    if args.json {
        let mut answers: Vec<_> = sets.iter().map(|labels| matched(&router, labels)).collect();
        print::json(&if answers.len() == 1 {
            answers.remove(0)
        } else {
            json!({ "alerts": answers })
        });
    } else {
        for labels in sets {
            show(&Explained::of(&router, labels));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn matched(router: &Router, labels: &Labels) -> Value {
    let matched: Vec<_> = router
        .matching(labels)
        .into_iter()
        .map(|place| {
            let route = &router.routes()[place];
            json!({ "route": router.number(place), "handlers": route.handlers })
        })
        .collect();
    json!({ "matched": matched })
}

fn show(explained: &Explained) {
    let paint = Paint::for_stdout();
    let name = explained.labels.get("alertname");
    let name = name.unwrap_or("(no alertname)");
    print::line(&paint.bold(&print::first_line(name, 100)));
    for verdict in &explained.verdicts {
        let handlers: Vec<_> = verdict.handlers.iter().map(|h| h.as_str()).collect();
        let outcome = match (verdict.outcome, verdict.taken_by) {
            (Outcome::Taken, _) => paint.green("matches"),
            (Outcome::NotReached, Some(earlier)) => {
                paint.dim(&format!("not reached: route {earlier} took it"))
            }
            _ => paint.dim("no"),
        };
        print::line(&format!(
            "  {} {} → {}: {outcome}",
            verdict.route,
            print::one_line(&verdict.name),
            handlers.join(", ")
        ));
        for matcher in &verdict.matchers {
            let mark = if matcher.matches {
                paint.green("✓")
            } else {
                paint.red("✗")
            };
            let value = match &matcher.value {
                Some(value) => format!("it is {value:?}"),
                None => "the alert has no such label".to_owned(),
            };
            print::line(&format!(
                "      {mark} {} ({value})",
                print::one_line(&matcher.matcher)
            ));
        }
        if let Some(priority) = &verdict.priority {
            print::line(&format!("      {priority}"));
        }
    }
    if !explained.is_routed() {
        print::line(&paint.yellow(
            "  no route matches: the alert would be stored as done, and no handler would run",
        ));
    }
}
