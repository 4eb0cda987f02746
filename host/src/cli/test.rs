//! `test MODULE --alert FILE`: runs a module for one alert in the real sandbox, with nothing going out, and shows what it would have
//! done.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{anyhow, bail};

use super::args::TestArgs;
use super::explain::attempt::{mebibytes, micros, render_step};
use super::modules::{self, CacheUse};
use super::print::{self, Paint, one_line, plain};
use super::{alerts, process, serve};
use crate::alert::{Alert, Labels, Status, Timestamp};
use crate::api::{Kept, Trial, TrialOutcome, TrialRun, Used};
use crate::app;
use crate::config::{self, Config, Overrides, Secrets};
use crate::review;
use crate::router::Router;
use crate::runtime::{Limits, Module};
use crate::trial::{Bench, Configured, HttpRules};

/// The longest value of the key-value store that is shown.
const VALUE_CHARS_MAX: usize = 200;

/// Runs the module and prints what it did. Returns 1 if a step did not succeed.
pub(super) fn run(args: &TestArgs) -> anyhow::Result<ExitCode> {
    let events = events(args)?;
    let rules = match &args.http {
        Some(file) => config::http_rules(file).map_err(|problems| anyhow!("{problems}"))?,
        None => HttpRules::default(),
    };
    let overrides = Overrides {
        secrets: Secrets::LeftAlone,
        ..Overrides::default()
    };
    let config = serve::source(args.file.config_file.clone(), overrides)()
        .map_err(|problems| anyhow!("{problems}"))?;
    let bytes = modules::read(&args.module, config.sandbox.module_bytes_max)?;
    let (runtime, _folder) = modules::sandbox(&config, CacheUse::IfThere)?;
    let (trial, limits) = process::threads()?.block_on(async {
        let module = modules::load_one(&runtime, &args.module, bytes).await?;
        if let Some(why) = review::refusal(&config, module.description()) {
            return Err(modules::refused(&args.module, &why));
        }
        let configured = configured(&config, &module);
        let limits = configured.settings.limits;
        let bench = Bench::new(runtime, module, configured, rules)?;
        let facts: Labels = args.facts.iter().cloned().collect();
        anyhow::Ok((bench.run(events, &facts).await, limits))
    })?;
    if args.json {
        print::json(&serde_json::to_value(&trial)?);
    } else {
        let rules = args.http.as_deref();
        print::out(&render(&trial, &limits, rules, Paint::for_stdout()));
    }
    Ok(match trial.outcome.is(TrialOutcome::Done) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Returns what a server with this configuration would give the module.
fn configured(config: &Config, module: &Module) -> Configured {
    let described = [module.description().clone()];
    let router = Router::with_described(config.routes.clone(), &described);
    Configured {
        settings: config.handlers.of(module.name()),
        router: router.with_settings(config.router.clone()),
        services: app::service_options(config, [0; 32], Arc::new(|_: &str| ())),
    }
}

/// Returns the alert that is meant, and its end if that is to follow.
fn events(args: &TestArgs) -> anyhow::Result<Vec<Alert>> {
    let now = Timestamp::now();
    let file = args.alert.display();
    let body = alerts::read(&args.alert, now)?;
    let index = match args.index {
        Some(index) => index,
        // Bad ones have been named already.
        None => body.first(),
    };
    let alert = body.at(index)?;
    if body.count() > 1 {
        print::note(&format!(
            "{file} has {} alerts: this is number {index}; --index chooses another",
            body.count()
        ));
    }
    let mut events = vec![alert];
    if args.resolve {
        let Some(first) = events
            .first()
            .filter(|alert| alert.status == Status::Firing)
        else {
            bail!("the alert of {file} is resolved already: leave --resolve out");
        };
        events.push(Alert {
            status: Status::Resolved,
            ends_at: Some(now),
            ..first.clone()
        });
    }
    Ok(events)
}

/// Renders what the module did.
fn render(trial: &Trial, limits: &Limits, rules: Option<&Path>, paint: Paint) -> String {
    let mut out = String::new();
    let outcome = one_line(&trial.outcome.to_text());
    let outcome = match trial.outcome.is(TrialOutcome::Done) {
        true => paint.green(&outcome),
        false => paint.red(&outcome),
    };
    let _ = writeln!(
        out,
        "{} {} {}: {outcome}, and nothing was sent",
        paint.bold(&one_line(trial.handler.as_str())),
        one_line(&trial.version),
        paint.dim(trial.sha256.get(..12).unwrap_or_default()),
    );
    for run in &trial.runs {
        render_run(&mut out, run, limits, paint);
    }
    if !trial.kept.is_empty() {
        let _ = writeln!(out, "\n{}", paint.bold("kept"));
        for kept in &trial.kept {
            let key = paint.dim(&one_line(&kept.key));
            let _ = writeln!(out, "  {key} {}", value(kept));
        }
    }
    if !trial.unanswered.is_empty() {
        let place = match rules {
            Some(file) => format!("to {}", file.display()),
            None => "to a file for --http".to_owned(),
        };
        let title = paint.yellow("no rule answers these requests");
        let _ = writeln!(out, "\n{title}: add {place}");
        for unanswered in &trial.unanswered {
            let _ = writeln!(out, "{}", plain(&unanswered.rule));
        }
    }
    let steps = || trial.runs.iter().flat_map(|run| &run.steps);
    let is_said = |lines: &&String| {
        let mut errors = steps().filter_map(|step| step.error.as_deref());
        errors.any(|error| error.contains(lines.as_str()))
    };
    let allow: Vec<_> = trial.allow.iter().filter(|lines| !is_said(lines)).collect();
    if !allow.is_empty() {
        let title = paint.yellow("calls were denied");
        let _ = writeln!(out, "\n{title}: to allow them, put into the configuration");
        for lines in allow {
            let _ = writeln!(out, "{}", plain(lines));
        }
    }
    for note in &trial.notes {
        let _ = writeln!(out, "\n{} {}", paint.yellow("note"), plain(note));
    }
    out
}

fn render_run(out: &mut String, run: &TrialRun, limits: &Limits, paint: Paint) {
    let alert = &run.alert;
    let name = match one_line(alert.name()) {
        name if name.is_empty() => "(no alertname)".to_owned(),
        name => name,
    };
    let _ = writeln!(out, "\n{} {}", paint.bold(&name), alert.status);
    for step in &run.steps {
        render_step(out, step, paint);
    }
    let Used {
        wall_us,
        cpu_us,
        memory_bytes,
        host_calls,
    } = &run.used;
    let each: Vec<_> = host_calls
        .iter()
        .map(|(kind, count)| format!("{} {count}", one_line(kind)))
        .collect();
    let calls = match host_calls.values().sum::<u64>() {
        0 => "no host call".to_owned(),
        1 => format!("1 host call ({})", each.join(", ")),
        count => format!("{count} host calls ({})", each.join(", ")),
    };
    let _ = writeln!(
        out,
        "  {} {} in all; cpu {} (a step has {:?}), memory {} of {}; {calls}",
        paint.dim("used"),
        micros(*wall_us),
        micros(*cpu_us),
        limits.cpu_max,
        mebibytes(*memory_bytes),
        mebibytes(limits.memory_bytes_max),
    );
}

fn value(kept: &Kept) -> String {
    match &kept.value {
        Some(text) => print::first_line(&one_line(text), VALUE_CHARS_MAX),
        None => format!("{} bytes that are no text", kept.bytes),
    }
}
