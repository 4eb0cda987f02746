//! The reference in `docs/`: what the code's tables have, between the marks of each page.

mod host_functions;
mod mistakes;

use std::fmt::Write as _;
use std::fs;

use alert_manager::alert::{Priority, SEVERITY_WORDS};
use alert_manager::cli::{self, ArgumentHelp};
use alert_manager::config::{Described, Written, described, shown_amount};
use alert_manager::description::Setting;
use alert_manager::runtime::{Bounds, LimitKey, LimitName, Limits, Unit};
use alert_manager::telemetry::{Label, METRICS};
use serde_json::Value;
use tests::harness::Harness;
use tests::modules::{self, workspace};
use tests::pages::assert_current;

/// Returns a table. A column that is empty in each row is left out.
fn table<const N: usize>(columns: [&str; N], rows: &[[String; N]]) -> String {
    let used: Vec<usize> = (0..N)
        .filter(|&column| rows.iter().any(|row| !row[column].is_empty()))
        .collect();
    let line = |cell: &dyn Fn(usize) -> String| {
        let cells: Vec<_> = used.iter().map(|&column| cell(column)).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let mut text = line(&|column| columns[column].to_owned());
    text += &line(&|_| "---".to_owned());
    for row in rows {
        text += &line(&|column| row[column].replace('|', "\\|"));
    }
    text
}

/// Breaks a paragraph into lines of at most 125 columns.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().unwrap();
        if line.is_empty() {
            *line = word.to_owned();
        } else if line.chars().count() + 1 + word.chars().count() <= 125 {
            *line += " ";
            *line += word;
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join("\n")
}

fn code(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!("`{text}`")
    }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

fn kind(written: &Written) -> String {
    match written {
        Written::Text => "text".to_owned(),
        Written::Path => "path".to_owned(),
        Written::Scalar(what) => (*what).to_owned(),
        Written::Boolean => "`true` or `false`".to_owned(),
        Written::Duration => "duration".to_owned(),
        Written::Time => "duration, more than 0".to_owned(),
        Written::Size => "size".to_owned(),
        Written::Bytes => "size, more than 0".to_owned(),
        Written::SizeBetween(least, most) => format!(
            "size, {} to {}",
            shown_amount(*least, Unit::Size),
            shown_amount(*most, Unit::Size)
        ),
        Written::Count => "whole number, 1 or more".to_owned(),
        Written::PerSecond => "number, 0 or more".to_owned(),
        Written::Limit(unit, ..) => limit_kind(*unit).to_owned(),
        Written::Texts => "list of texts".to_owned(),
        Written::Mapping(_) => "mapping".to_owned(),
        Written::ScalarOrMapping(what, _) => format!("`{what}`, or a mapping"),
        Written::Named(_) => "mapping by name".to_owned(),
        Written::NamedTexts => "mapping of names to texts".to_owned(),
        Written::Items(_) => "list of mappings".to_owned(),
        Written::ScalarsOrItems(what, _) => format!("list of {what}, or of mappings"),
        Written::Settings => "mapping of settings".to_owned(),
    }
}

fn limit_kind(unit: Unit) -> &'static str {
    match unit {
        Unit::Size => "size",
        Unit::Time => "duration",
        Unit::Count => "whole number",
        Unit::Rate => "whole number a second; 0 is off",
    }
}

/// A default in words is no code.
fn default_of(described: &Described) -> String {
    let default = described.key.shown_default().unwrap_or_default();
    let is_in_words = default.contains("the ") || default == "all";
    if is_in_words { default } else { code(&default) }
}

const RESTART: &str = " A change needs a restart.";

fn row(path: &str, described: &Described, needs_restart: bool) -> [String; 5] {
    let restart = if needs_restart { RESTART } else { "" };
    [
        code(path),
        kind(&described.key.written),
        default_of(described),
        format!("{}{restart}", described.key.about),
        code(described.key.example),
    ]
}

const COLUMNS: [&str; 5] = ["key", "value", "default", "what it sets", "example"];

/// Limits have a page of their own.
fn is_limit(described: &Described) -> bool {
    matches!(described.key.written, Written::Limit(..))
}

/// Returns the keys of one part, by their paths below it.
fn keys_of(part: &Described, keys: &[Described]) -> String {
    let below = keys.iter().filter_map(|key| {
        let path = key.path.strip_prefix(&part.path)?;
        let path = path.strip_prefix("[]").unwrap_or(path);
        Some((path.strip_prefix('.')?, key))
    });
    let rows: Vec<_> = below
        .filter(|(_, key)| !is_limit(key))
        .map(|(path, key)| {
            // If all of a part needs a restart, its heading says so.
            let needs_restart = key.needs_restart && !part.needs_restart;
            row(path, key, needs_restart)
        })
        .collect();
    if rows.is_empty() {
        "[limits.md](limits.md#of-the-sandbox) has its keys.\n".to_owned()
    } else {
        table(COLUMNS, &rows)
    }
}

fn keys() -> String {
    let keys = described();
    let (plain, parts): (Vec<_>, Vec<_>) = keys
        .iter()
        .filter(|key| !key.path.contains('.'))
        .partition(|key| key.key.written.keys().is_empty());
    let rows: Vec<_> = plain
        .iter()
        .map(|key| row(&key.path, key, key.needs_restart))
        .collect();
    let mut text = table(COLUMNS, &rows);
    for part in parts {
        let (path, about) = (&part.path, part.key.about);
        let restart = if part.needs_restart { RESTART } else { "" };
        let about = wrapped(&format!("{about}{restart}"));
        let _ = writeln!(text, "\n### `{path}`\n\n{about}\n");
        text += &keys_of(part, &keys);
    }
    text
}

#[test]
fn the_page_about_the_configuration_has_every_key_and_variable() {
    assert_current("configuration.md", "variables", &variables());
    assert_current("configuration.md", "keys", &keys());
}

#[test]
fn the_page_about_the_configuration_has_every_word_for_a_priority() {
    let rows: Vec<_> = Priority::ALL
        .iter()
        .flat_map(|priority| {
            SEVERITY_WORDS
                .iter()
                .filter(move |row| row.priority == *priority)
        })
        .map(|row| {
            let words: Vec<_> = row.words.iter().map(|word| code(word)).collect();
            [
                code(row.priority.as_str()),
                words.join(", "),
                row.source.to_owned(),
            ]
        })
        .collect();
    let text = table(["priority", "words", "where they come from"], &rows);
    assert_current("configuration.md", "severity words", &text);
}

fn variables() -> String {
    let rows: Vec<_> = cli::VARIABLES
        .iter()
        .map(|(names, about)| {
            let names: Vec<_> = names.split(", ").map(code).collect();
            [names.join(", "), (*about).to_owned()]
        })
        .collect();
    table(["variable", "what it sets"], &rows)
}

fn limits<S>(table_of: &[LimitKey<S>]) -> String {
    let rows: Vec<_> = table_of
        .iter()
        .map(|limit| {
            [
                code(limit.name),
                limit_kind(limit.unit).to_owned(),
                code(&shown_amount((limit.default)(), limit.unit)),
                code(&shown_amount(limit.most, limit.unit)),
                sentence(limit.about),
            ]
        })
        .collect();
    table(
        ["limit", "value", "default", "at most", "what it limits"],
        &rows,
    )
}

#[test]
fn the_page_about_limits_has_every_limit() {
    assert_current("limits.md", "handlers", &limits(Limits::KEYS));
    assert_current("limits.md", "sandbox", &limits(Bounds::KEYS));
    let others: Vec<_> = LimitName::OTHERS
        .iter()
        .map(|(name, about)| [code(name.as_str()), sentence(about)])
        .collect();
    let text = table(["name", "what it limits"], &others);
    assert_current("limits.md", "others", &text);
}

/// Returns the settings that both bundled handlers have, and those of `kube-pod-crash-looping` alone.
async fn settings() -> [Vec<Setting>; 2] {
    let harness = Harness::new();
    let mut declared = Vec::new();
    for name in ["kube-pod-crash-looping", "slack-notify"] {
        let module = harness.runtime.loader().load(modules::bytes(name)).await;
        let module = module.unwrap();
        declared.push(module.description().settings.clone().unwrap());
    }
    let (other, all) = (declared.pop().unwrap(), declared.pop().unwrap());
    let (both, own): (Vec<_>, Vec<_>) = all.into_iter().partition(|s| other.contains(s));
    assert_eq!(both.len(), other.len(), "slack-notify has no other");
    [both, own]
}

fn setting(setting: &Setting) -> [String; 5] {
    let values: Vec<_> = setting.values.iter().map(|value| code(value)).collect();
    let kind = match values.is_empty() {
        true => setting.kind.clone(),
        false => values.join(", "),
    };
    let needs = match setting.refers_to.as_deref() {
        Some("channel") => "`allow.slack` with that name",
        Some("credential") => "`allow.credentials` with that name",
        Some("origin") => "`allow.http` with that origin",
        _ => "",
    };
    let default = match (&setting.default, setting.required) {
        (_, true) => "required".to_owned(),
        (Some(default), false) if default.is_ascii() => code(default),
        (default, false) => default.clone().unwrap_or_default(),
    };
    [
        code(&setting.name),
        kind,
        default,
        setting.about.clone(),
        needs.to_owned(),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_about_the_bundled_handlers_has_the_settings_that_they_declare() {
    let columns = ["setting", "type", "default", "what it sets", "needs"];
    let tables = settings().await.map(|settings| {
        let rows: Vec<_> = settings.iter().map(setting).collect();
        table(columns, &rows)
    });
    assert_current("handlers.md", "all", &tables[0]);
    assert_current("handlers.md", "kube-pod-crash-looping", &tables[1]);
}

/// Returns a label with the values that it can have.
fn label(label: &Label) -> String {
    let values = label.values();
    if values.is_empty() {
        return code(label.name);
    }
    let values: Vec<_> = values.into_iter().map(code).collect();
    format!("{}: {}", code(label.name), values.join(", "))
}

#[test]
fn the_page_about_metrics_has_every_metric() {
    let rows: Vec<_> = METRICS
        .iter()
        .map(|metric| {
            let labels: Vec<_> = metric.labels.iter().map(label).collect();
            let kind = match metric.unit() {
                Some(unit) => format!("{}, {unit}", metric.kind),
                None => metric.kind.to_owned(),
            };
            let help = metric.help.to_owned();
            [code(&metric.name()), kind, labels.join("; "), help]
        })
        .collect();
    let columns = ["metric", "type", "labels", "what it shows"];
    assert_current("metrics.md", "metrics", &table(columns, &rows));
}

/// Returns the endpoints of the API's document. Those that do the same share a row.
fn endpoints(document: &Value) -> String {
    let mut rows: Vec<[String; 4]> = Vec::new();
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let endpoint = code(&format!("{} {path}", method.to_ascii_uppercase()));
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let parameters = parameters.filter(|parameter| parameter["in"] == "query");
            let names = parameters.filter_map(|parameter| parameter["name"].as_str());
            let names: Vec<_> = names.map(code).collect();
            let answers = operation["responses"].as_object().into_iter().flatten();
            let statuses: Vec<_> = answers.map(|(status, _)| status.as_str()).collect();
            let rest = [
                operation["summary"].as_str().unwrap().to_owned(),
                names.join(", "),
                statuses.join(", "),
            ];
            match rows.iter_mut().find(|row| row[1..] == rest) {
                Some(row) => row[0] += &format!(", {endpoint}"),
                None => {
                    let [summary, query, answers] = rest;
                    rows.push([endpoint, summary, query, answers]);
                }
            }
        }
    }
    table(["endpoint", "what it does", "query", "answers"], &rows)
}

#[test]
fn the_page_about_the_api_has_every_endpoint() {
    let document = fs::read_to_string(workspace().join("docs/openapi.json")).unwrap();
    let document = serde_json::from_str(&document).unwrap();
    assert_current("http-api.md", "endpoints", &endpoints(&document));
}

fn argument(argument: &ArgumentHelp) -> [String; 4] {
    let written: Vec<_> = argument.written.iter().map(|text| code(text)).collect();
    [
        written.join(", "),
        argument.default.as_deref().map(code).unwrap_or_default(),
        argument.variable.as_deref().map(code).unwrap_or_default(),
        argument.about.clone(),
    ]
}

#[test]
fn the_page_about_the_command_line_has_every_command() {
    let commands = cli::commands();
    let rows: Vec<_> = commands
        .iter()
        .map(|command| {
            let link = format!("[`{0}`](#{0})", command.name);
            [link, command.about.clone()]
        })
        .collect();
    let mut text = table(["command", "what it does"], &rows);
    for command in &commands {
        let _ = writeln!(
            text,
            "\n### {}\n\n{}.\n\n```\n{}\n\n{}\n```\n",
            command.name,
            command.about.trim_end_matches('.'),
            command.usage,
            command.examples.join("\n")
        );
        let arguments: Vec<_> = command.arguments.iter().map(argument).collect();
        if !arguments.is_empty() {
            let columns = ["argument", "default", "variable", "what it does"];
            text += &table(columns, &arguments);
        }
    }
    assert_current("command-line.md", "commands", &text);
    let codes: Vec<_> = cli::EXIT_CODES
        .iter()
        .map(|(code, about)| [(*code).to_owned(), (*about).to_owned()])
        .collect();
    let text = table(["exit code", "meaning"], &codes);
    assert_current("command-line.md", "exit codes", &text);
}
