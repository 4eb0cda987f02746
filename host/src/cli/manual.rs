//! The parts of `--help`, the manual page and the completions apart from the arguments: examples, environment variables, exit
//! codes.

use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use super::args::Args;

/// Examples of each command.
const EXAMPLES: &[(&str, &[&str])] = &[
    (
        "serve",
        &[
            "alert-manager serve --config.file alert-manager.yml",
            "alert-manager serve --handlers handlers --log.format json",
        ],
    ),
    (
        "dev",
        &[
            "alert-manager dev",
            "alert-manager dev path/to/handlers --log.level debug",
        ],
    ),
    (
        "check",
        &[
            "alert-manager check --config alert-manager.yml",
            "alert-manager check --json",
        ],
    ),
    (
        "new",
        &[
            "alert-manager new disk-full --alert NodeFilesystemSpaceFillingUp",
            "alert-manager new owner --lang python --alert '*'",
        ],
    ),
    (
        "build",
        &[
            "alert-manager build path/to/handler --out handlers",
            "alert-manager build --offline --json",
        ],
    ),
    (
        "inspect",
        &[
            "alert-manager inspect handlers/slack-notify.wasm",
            "alert-manager inspect handlers/slack-notify.wasm --json",
        ],
    ),
    (
        "test",
        &[
            "alert-manager test disk-full.wasm --alert alert.json",
            "alert-manager test disk-full.wasm --alert alert.json --resolve --http answers.yml --config alert-manager.yml",
        ],
    ),
    (
        "migrate-store",
        &[
            "alert-manager migrate-store sqlite:alert-manager.db 'postgres://am@db.example.com/alerts?password_file=password'",
            "alert-manager migrate-store postgres://am@db.example.com/alerts sqlite:alert-manager.db --json",
        ],
    ),
    (
        "routes",
        &[
            "alert-manager routes alertname=DiskFull severity=critical",
            "alert-manager routes --alert alert.json --config alert-manager.yml",
        ],
    ),
    (
        "coverage",
        &[
            "alert-manager coverage --prometheus http://prometheus-k8s.monitoring.svc:9090",
            "alert-manager coverage --rules rules/*.yml --config alert-manager.yml --fail-on unrouted",
        ],
    ),
    (
        "init",
        &[
            "alert-manager init",
            "alert-manager init --handlers handlers --out -",
        ],
    ),
    (
        "send",
        &[
            "alert-manager send",
            "alert-manager send alertname=DiskFull severity=critical --annotation summary=full",
            "alert-manager send alertname=DiskFull severity=critical --resolve",
        ],
    ),
    ("handlers", &["alert-manager handlers"]),
    (
        "channels",
        &["alert-manager channels", "alert-manager channels --json"],
    ),
    (
        "replicas",
        &["alert-manager replicas", "alert-manager replicas --json"],
    ),
    (
        "deliveries",
        &[
            "alert-manager deliveries --state dead",
            "alert-manager deliveries --since 1h --match 'severity=\"critical\"'",
            "alert-manager deliveries --watch",
        ],
    ),
    (
        "explain",
        &[
            "alert-manager explain",
            "alert-manager explain 6h061csw00000",
        ],
    ),
    (
        "retry",
        &[
            "alert-manager retry 6h061csw00000",
            "alert-manager retry --handler slack-notify",
        ],
    ),
    ("cancel", &["alert-manager cancel 6h061csw00000"]),
    ("reload", &["alert-manager reload"]),
    (
        "completions",
        &[
            "alert-manager completions bash > /etc/bash_completion.d/alert-manager",
            "alert-manager completions zsh > ~/.zfunc/_alert-manager",
        ],
    ),
    (
        "man",
        &[
            "alert-manager man | man -l -",
            "alert-manager man send | man -l -",
        ],
    ),
];

/// The environment variables that the commands read.
pub const VARIABLES: &[(&str, &str)] = &[
    ("PORT", "The port to listen on (5000)."),
    (
        "SLACK_TOKEN, SLACK_TOKEN_FILE",
        "The token of the Slack app's bot, or a file that holds it.",
    ),
    (
        "SLACK_CHANNEL",
        "The Slack channel that the channel `alerts` stands for (#alerts).",
    ),
    (
        "SLACK_API_URL",
        "The base of Slack's API (https://slack.com/api/).",
    ),
    ("ALERT_MANAGER_CONFIG", "The configuration file."),
    (
        "ALERT_MANAGER_STORE",
        "The store (sqlite:alert-manager.db): a file, or a PostgreSQL database.",
    ),
    (
        "PGPASSFILE",
        "The file of the database's passwords, in libpq's format, if the store's URL does not say where its password is.",
    ),
    (
        "ALERT_MANAGER_URL",
        "The server that the commands for a running server connect to (http://127.0.0.1:5000).",
    ),
    (
        "ALERT_MANAGER_TOKEN_FILE",
        "A file with the bearer token of the server's api.authorization.",
    ),
    (
        "ALERT_MANAGER_WEBHOOK_TOKEN_FILE",
        "For send: a file with the bearer token of the server's webhook.authorization.",
    ),
    (
        "ALERT_MANAGER_TOOLS",
        "The folder for the tools that build handlers in Python and TypeScript (~/.cache/alert-manager/tools).",
    ),
    (
        "CI",
        "If it is set, and not to false, `build` does not update a Cargo.lock.",
    ),
    ("NO_COLOR", "If it is set, output has no colours."),
];

/// The meaning of exit codes.
pub const EXIT_CODES: &[(&str, &str)] = &[
    ("0", "Done."),
    (
        "1",
        "Failed; the reason is on standard error. For send, also: an alert that no route took.",
    ),
    ("2", "The command line is invalid."),
    ("130", "serve, dev: ended at once by a second signal."),
];

/// Returns the command line with its examples.
pub(super) fn command() -> Command {
    let mut command = Args::command();
    for (name, examples) in EXAMPLES {
        command = command.mut_subcommand(name, |sub| {
            let mut text = "Examples:".to_owned();
            for example in *examples {
                let _ = write!(text, "\n  {example}");
            }
            sub.after_help(text)
        });
    }
    command.after_help("Example: alert-manager dev   (COMMAND --help has examples of each command)")
        .after_long_help(format!(
            "Example: alert-manager dev   (COMMAND --help has examples of each command)\n\nEnvironment variables (a flag beats a variable, a variable beats the configuration file):\n{}\n\nExit codes:\n{}",
            table(VARIABLES),
            table(EXIT_CODES)
        ))
}

fn table(rows: &[(&str, &str)]) -> String {
    let lines: Vec<_> = rows
        .iter()
        .map(|(name, about)| format!("  {name}\n          {about}"))
        .collect();
    lines.join("\n")
}

/// What the reference in the documentation has about a command.
#[derive(Clone, Debug)]
pub struct CommandHelp {
    /// As in `alert-manager NAME`.
    pub name: String,
    /// What it does.
    pub about: String,
    /// How it is written, in one line.
    pub usage: String,
    /// An example or two.
    pub examples: &'static [&'static str],
    /// Its arguments and flags.
    pub arguments: Vec<ArgumentHelp>,
}

/// What the reference in the documentation has about an argument or a flag.
#[derive(Clone, Debug)]
pub struct ArgumentHelp {
    /// As in `--url URL` or `[DIR]`, with its short forms.
    pub written: Vec<String>,
    /// What it is for.
    pub about: String,
    /// Its default, if it has one.
    pub default: Option<String>,
    /// The environment variable that it overrides.
    pub variable: Option<String>,
}

/// Returns every command.
#[must_use]
pub fn commands() -> Vec<CommandHelp> {
    let mut command = command();
    command.build();
    let commands = visible(&command).map(|sub| {
        let mut sub = sub.clone();
        let usage = sub.render_usage().to_string();
        let mut examples = EXAMPLES.iter();
        let examples = examples.find(|(name, _)| *name == sub.get_name());
        CommandHelp {
            name: sub.get_name().to_owned(),
            about: sub.get_about().map(ToString::to_string).unwrap_or_default(),
            usage: usage.trim_start_matches("Usage: ").replace('\n', " "),
            examples: examples.map_or(&[], |(_, examples)| *examples),
            arguments: sub
                .get_arguments()
                .filter(|argument| !argument.is_hide_set())
                .filter(|argument| argument.get_id() != "help")
                .map(argument)
                .collect(),
        }
    });
    commands.collect()
}

fn argument(argument: &clap::Arg) -> ArgumentHelp {
    let takes_value = argument.get_action().takes_values();
    let values: Vec<String> = argument
        .get_value_names()
        .filter(|_| takes_value)
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect();
    let value = values.join(" ");
    let flag = |flag: String| format!("{flag} {value}").trim_end().to_owned();
    let long = argument.get_long().map(|long| flag(format!("--{long}")));
    let aliases = argument.get_visible_aliases().into_iter().flatten();
    let aliases = aliases.map(|alias| flag(format!("--{alias}")));
    let short = argument.get_short().map(|short| flag(format!("-{short}")));
    let is_positional = argument.is_positional();
    let defaults = argument.get_default_values().iter();
    let defaults: Vec<_> = defaults.map(|value| value.to_string_lossy()).collect();
    ArgumentHelp {
        written: long
            .into_iter()
            .chain(aliases)
            .chain(short)
            .chain(is_positional.then_some(value.clone()))
            .collect(),
        about: argument
            .get_help()
            .map(ToString::to_string)
            .unwrap_or_default(),
        default: (takes_value && !defaults.is_empty()).then(|| defaults.join(" ")),
        variable: argument
            .get_env()
            .map(|name| name.to_string_lossy().into_owned()),
    }
}

/// Returns the manual page of one command, or one page with all of them.
pub(super) fn page(name: Option<&str>) -> anyhow::Result<String> {
    let mut command = command();
    command.build();
    let mut page = Vec::new();
    match name {
        Some(name) => {
            let Some(sub) = command.find_subcommand(name) else {
                let names: Vec<_> = visible(&command).map(Command::get_name).collect();
                bail!("{name:?} is not a command: {}", names.join(", "));
            };
            let sub = sub.clone().bin_name(format!("alert-manager {name}"));
            render(&sub, &mut page)?;
        }
        None => {
            // On this page the variables and the exit codes have sections of their own.
            let top = command.clone().after_long_help(None::<&str>);
            render(&top, &mut page)?;
            for sub in visible(&command) {
                page.extend(section(sub)?.into_bytes());
            }
        }
    }
    let mut page = String::from_utf8(page).context("the page is not UTF-8")?;
    page.push_str(&list("ENVIRONMENT", VARIABLES));
    page.push_str(&list("EXIT STATUS", EXIT_CODES));
    Ok(page)
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    let commands = command.get_subcommands();
    commands.filter(|sub| sub.get_name() != "help" && !sub.is_hide_set())
}

fn render(command: &Command, page: &mut Vec<u8>) -> anyhow::Result<()> {
    Man::new(command.clone())
        .title(command.get_name().to_owned())
        .render(page)
        .context("cannot render the manual page")
}

/// Returns a command as a section of the page of all commands.
fn section(command: &Command) -> anyhow::Result<String> {
    let man = Man::new(command.clone());
    let mut text = Vec::new();
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    man.render_extra_section(&mut text)?;
    let text = String::from_utf8(text).context("the page is not UTF-8")?;
    let name = command.get_name();
    let mut section = format!(".SH \"alert-manager {name}\"\n");
    for line in text.lines() {
        // The preamble that each part begins with is needed only once; sections become subsections of this one.
        if line.starts_with(".ie ") || line.starts_with(".el ") {
            continue;
        }
        section.push_str(&line.replacen(".SH ", ".SS ", 1));
        section.push('\n');
    }
    Ok(section)
}

fn list(title: &str, rows: &[(&str, &str)]) -> String {
    let escaped = |text: &str| text.replace('\\', "\\e").replace('-', "\\-");
    let mut text = format!(".SH \"{title}\"\n");
    for (name, about) in rows {
        let _ = writeln!(text, ".TP\n\\fB{}\\fR\n{}", escaped(name), escaped(about));
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// Splits an example into the words of a shell, as far as the examples need it.
    fn words(example: &str) -> Vec<String> {
        let own = example.split([' ']).take_while(|w| *w != "|" && *w != ">");
        own.map(|word| word.replace('\'', "")).collect()
    }

    #[test]
    fn every_help_has_examples_and_they_are_understood() {
        for sub in visible(&command()) {
            let help = sub.clone().render_long_help().to_string();
            assert!(help.contains("Examples:"), "{help}");
        }
        for example in EXAMPLES.iter().flat_map(|(_, examples)| *examples) {
            let parsed = command().try_get_matches_from(words(example));
            parsed.unwrap_or_else(|error| panic!("{example}: {error}"));
        }
        let help = command().render_long_help().to_string();
        assert!(
            help.contains("Example:") && help.contains("Exit codes:"),
            "{help}"
        );
    }

    #[test]
    fn the_page_has_every_option_variable_and_exit_code() {
        let page = page(None).unwrap().replace("\\-", "-");
        for sub in visible(&command()) {
            let name = sub.get_name();
            assert!(
                page.contains(&format!(".SH \"alert-manager {name}\"")),
                "{name}"
            );
            let shown = sub
                .get_arguments()
                .filter(|argument| !argument.is_hide_set());
            for argument in shown.filter_map(|argument| argument.get_long()) {
                assert!(
                    page.contains(&format!("--{argument}")),
                    "{name} --{argument}"
                );
            }
        }
        for (name, _) in VARIABLES {
            assert!(page.contains(name), "{name}");
        }
        assert!(page.contains(".SH \"EXIT STATUS\""));
        assert!(!page.contains("compile-module"));
        assert_eq!(page.matches(".TH ").count(), 1, "one page");
    }

    #[test]
    fn a_command_has_a_page_of_its_own() {
        let page = page(Some("send")).unwrap().replace("\\-", "-");
        for part in [
            "alert-manager send",
            "--webhook-token-file",
            "EXIT STATUS",
            "Examples",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
        let error = super::page(Some("sned")).unwrap_err().to_string();
        assert!(error.contains("send"), "{error}");
    }
}
