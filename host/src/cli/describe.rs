//! The description of a module, for the commands that print one.

use std::fmt::Write as _;

use super::entry::{self, Pin};
use super::print::{self, Paint, one_line};
use crate::alert::StepKind;
use crate::api::{Import, Inspection, Lenient};
use crate::description::Setting;
use crate::runtime::Module;

/// What a file needs besides the entry of a handler that may post.
const UNTIL_A_TOKEN: &str = "# Leave this line out if your file has `slack` already. Messages are printed until you have a token: then write
# slack: { token_file: FILE } in its place.
slack: { preview: true }
";

/// Returns what a module of this many bytes is.
pub(super) fn of(module: &Module, bytes: u64) -> Inspection {
    let description = module.description();
    let posts = module.imports().iter().any(|name| name == "slack");
    let until_a_token = if posts { UNTIL_A_TOKEN } else { "" };
    let mut configuration = format!("{until_a_token}handlers:\n");
    entry::write(
        &mut configuration,
        description,
        module.imports(),
        Pin::Offered(module.sha256()),
    );
    let mut steps = vec![StepKind::Enrich, StepKind::Act];
    steps.retain(|step| match step {
        StepKind::Enrich => !description.act_only,
        StepKind::Act => !description.enrich_only,
    });
    let imports = module.imports().iter().map(|name| Import {
        name: name.clone(),
        about: about_import(name).to_owned(),
    });
    Inspection {
        name: description.name.clone(),
        version: description.version.clone(),
        summary: description.summary.clone(),
        sha256: module.sha256().to_owned(),
        bytes,
        contract: module.contract().to_owned(),
        alerts: description.alerts.clone(),
        steps: steps.into_iter().map(Lenient::Known).collect(),
        storm: if description.storm_one { "one" } else { "each" }.to_owned(),
        imports: imports.collect(),
        settings: description.settings.clone(),
        configuration,
    }
}

/// Returns what a handler can do with an interface of the contract.
fn about_import(name: &str) -> &'static str {
    match name {
        "config" => "reads its own settings",
        "history" => "reads how often an alert fired before",
        "http" => "sends HTTP requests to origins that are granted",
        "kv" => "keeps values of its own between alerts",
        "log" => "writes lines to the server's log",
        "slack" => "posts and updates messages in Slack channels that are granted",
        "timer" => "runs its act again later",
        _ => "",
    }
}

/// Returns everything: what it is, what it imports, its settings and the configuration for it.
pub(super) fn whole(module: &Inspection, paint: Paint) -> String {
    let mut text = format!(
        "{} {}\n  {}\n\n",
        paint.bold(&one_line(module.name.as_str())),
        one_line(&module.version),
        one_line(&module.summary)
    );
    let steps: Vec<_> = module
        .steps
        .iter()
        .map(|s| one_line(&s.to_text()))
        .collect();
    let storm = match module.storm.as_str() {
        "one" => "one run may stand for many alerts of a storm".to_owned(),
        "each" => "each alert of a storm runs by itself".to_owned(),
        other => one_line(other),
    };
    let rows = [
        ("size", size(module.bytes)),
        ("sha256", one_line(&module.sha256)),
        ("contract", one_line(&module.contract)),
        ("alerts", alerts(module)),
        ("steps", steps.join(", ")),
        ("storms", storm),
    ];
    for (name, value) in rows {
        row(&mut text, name, &value, paint);
    }
    let _ = writeln!(
        text,
        "\n{} (its code has no others, so it can call no others)",
        paint.bold("imports")
    );
    let imports: Vec<_> = module
        .imports
        .iter()
        .map(|import| {
            vec![
                String::new(),
                one_line(&import.name),
                one_line(&import.about),
            ]
        })
        .collect();
    text.push_str(&match imports.is_empty() {
        true => "  nothing\n".to_owned(),
        false => print::rows(&imports),
    });
    let _ = writeln!(text, "\n{}", paint.bold("settings"));
    match module.settings.as_deref() {
        None => text.push_str("  it declares none, so `check` cannot verify those that it reads\n"),
        Some([]) => text.push_str("  none\n"),
        Some(settings) => text.push_str(&settings_table(settings)),
    }
    let _ = write!(
        text,
        "\n{} (what is not granted is denied)\n{}",
        paint.bold("configuration"),
        print::plain(&module.configuration)
    );
    text
}

fn settings_table(settings: &[Setting]) -> String {
    let rows: Vec<_> = settings
        .iter()
        .map(|setting| {
            let required = if setting.required { "required" } else { "" };
            let values: Vec<_> = setting.values.iter().map(|value| one_line(value)).collect();
            let about = match values.is_empty() {
                true => one_line(&setting.about),
                false => format!("{}: {}", one_line(&setting.about), values.join(", ")),
            };
            vec![
                String::new(),
                one_line(&setting.name),
                one_line(setting.refers_to.as_ref().unwrap_or(&setting.kind)),
                setting.default.as_deref().map(one_line).unwrap_or_default(),
                required.to_owned(),
                about,
            ]
        })
        .collect();
    print::table(
        &["", "NAME", "TYPE", "DEFAULT", "REQUIRED", "WHAT IT SETS"],
        &rows,
    )
}

fn alerts(module: &Inspection) -> String {
    let names = module.alerts.iter().map(|name| match name.as_str() {
        "*" => "* (any that no other handler names)".to_owned(),
        name => one_line(name),
    });
    or_nothing(&names.collect::<Vec<_>>())
}

fn or_nothing(words: &[String]) -> String {
    match words {
        [] => "none".to_owned(),
        words => words.join(", "),
    }
}

fn row(text: &mut String, name: &str, value: &str, paint: Paint) {
    let _ = writeln!(text, "  {} {value}", paint.dim(&format!("{name:<9}")));
}

/// Returns a size with its number of bytes.
#[allow(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
    }
}
