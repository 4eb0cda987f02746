//! `routes`: which routes match an alert, and why.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};

use super::args::RoutesArgs;
use super::print::{self, Paint};
use super::{modules, serve};
use crate::alert::{Labels, Timestamp};
use crate::config::Overrides;
use crate::router::Router;
use crate::webhook;

/// Shows what matches.
pub(super) fn run(args: &RoutesArgs) -> anyhow::Result<ExitCode> {
    let sets = match &args.alert {
        Some(file) => read_alerts(file)?,
        None => vec![parse_labels(&args.labels)?],
    };
    let overrides = Overrides {
        handlers_dir: args.config.handlers.clone(),
        ..Overrides::default()
    };
    let config = serve::source(args.config.config_file.clone(), overrides)()
        .map_err(|problems| anyhow!("{problems}"))?;
    let descriptions: Vec<_> = modules::load(&config)?
        .into_iter()
        .filter_map(|module| module.description)
        .collect();
    let router = Router::with_described(&config.routes, &descriptions);
    if args.json {
        let mut answers: Vec<_> = sets.iter().map(|labels| matched(&router, labels)).collect();
        print::json(&if answers.len() == 1 {
            answers.remove(0)
        } else {
            json!({ "alerts": answers })
        });
    } else {
        for labels in &sets {
            show(&router, labels);
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
            json!({ "route": route.number, "name": route.name, "handlers": route.handlers })
        })
        .collect();
    json!({ "alertname": labels.get("alertname").unwrap_or_default(), "matched": matched })
}

fn show(router: &Router, labels: &Labels) {
    let paint = Paint::for_stdout();
    let chosen = router.matching(labels);
    print::line(&paint.bold(&format!(
        "{}",
        print::first_line(labels.get("alertname").unwrap_or("(no alertname)"), 100)
    )));
    for (place, explained) in router.explain(labels).into_iter().enumerate() {
        let route = &router.routes()[place];
        let handlers: Vec<_> = route.handlers.iter().map(|h| h.as_str()).collect();
        let verdict = if chosen.contains(&place) {
            paint.green("matches")
        } else if explained.iter().all(|(_, matched)| *matched) {
            paint.yellow("not reached: one before it matched")
        } else {
            paint.dim("no")
        };
        print::line(&format!(
            "  {} {} → {}: {verdict}",
            route.number,
            route.name,
            handlers.join(", ")
        ));
        for (matcher, matched) in explained {
            let mark = if matched { paint.green("✓") } else { paint.red("✗") };
            print::line(&format!("      {mark} {}", print::plain(&matcher)));
        }
    }
    if chosen.is_empty() {
        print::line(&paint.yellow("  no route matches: it would be stored as done, handled by nobody"));
    }
}

fn read_alerts(file: &Path) -> anyhow::Result<Vec<Labels>> {
    let mut body = Vec::new();
    if file == Path::new("-") {
        std::io::stdin()
            .read_to_end(&mut body)
            .context("cannot read standard input")?;
    } else {
        body = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    }
    let parsed = webhook::parse(&body, Timestamp::now())
        .map_err(|error| anyhow!("{}: {error}", file.display()))?;
    let mut sets = Vec::new();
    for alert in parsed.alerts {
        match alert {
            Ok(parsed) => sets.push(parsed.alert.labels),
            Err(bad) => print::note(&format!("alert {}: {}", bad.index, bad.error)),
        }
    }
    Ok(sets)
}

fn parse_labels(pairs: &[String]) -> anyhow::Result<Labels> {
    pairs
        .iter()
        .map(|pair| {
            pair.split_once('=')
                .filter(|(name, _)| !name.is_empty())
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .ok_or_else(|| anyhow!("{pair:?} is no label: write NAME=VALUE"))
        })
        .collect()
}
