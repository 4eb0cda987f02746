//! `init`: writes a complete, commented configuration for the modules of a folder.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};

use super::args::InitArgs;
use super::modules;
use super::print;
use crate::config::{Config, Overrides};
use crate::policy::scalar;
use crate::router::{Route, Router};
use crate::runtime::{Description, ModuleInfo};

/// Looks at the modules, writes the file and says what to do next.
pub(super) fn run(args: &InitArgs) -> anyhow::Result<ExitCode> {
    let overrides = Overrides {
        handlers_dir: Some(args.handlers.clone()),
        ..Overrides::default()
    };
    if !args.handlers.is_dir() {
        bail!(
            "{}: no such folder: make it and put the compiled handlers there (`alert-manager build --out {0}`), or name another with --handlers DIR",
            args.handlers.display()
        );
    }
    let config = Config::load(None, &overrides, &|_| None).map_err(|e| anyhow!("{e}"))?;
    let found = modules::load(&config)?;
    for module in &found.files {
        if let Some(error) = &module.error {
            print::note(&print::plain(&format!("left out {}: {error}", module.file)));
        }
    }
    let served: Vec<_> = found.files.iter().filter(|m| m.error.is_none()).collect();
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let text = Starter {
        has_token: env("SLACK_TOKEN").is_some() || env("SLACK_TOKEN_FILE").is_some(),
        channel: env("SLACK_CHANNEL").unwrap_or_else(|| "#alerts".to_owned()),
        handlers_dir: &args.handlers,
        modules: &served,
        descriptions: &found.descriptions,
    }
    .text();
    if args.out == Path::new("-") {
        print::out(&text);
        return Ok(ExitCode::SUCCESS);
    }
    write(&args.out, &text, args.force)?;
    let file = args.out.display();
    print::line(&format!(
        "wrote {file} for {} handlers. Next:\n  1. read it: what it does not grant is denied\n  2. alert-manager check --config {file}\n  3. alert-manager serve --config {file}",
        served.len()
    ));
    Ok(ExitCode::SUCCESS)
}

/// Writes a file that only its user can read: tokens end up in such files, though they should not.
fn write(path: &Path, text: &str, force: bool) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).mode(0o600);
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let mut file = options.open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => anyhow!(
            "{} already exists: write to another file with --out FILE, or replace it with --force",
            path.display()
        ),
        _ => anyhow!("cannot write {}: {error}", path.display()),
    })?;
    file.write_all(text.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}

/// What the file is made of.
struct Starter<'a> {
    /// A variable has Slack's token: with the file, messages are posted as they were without it.
    has_token: bool,
    channel: String,
    handlers_dir: &'a Path,
    modules: &'a [&'a ModuleInfo],
    descriptions: &'a [Description],
}

impl Starter<'_> {
    fn text(&self) -> String {
        let dir = self.handlers_dir.display().to_string();
        let mut text = format!(
            "# Alert Manager's configuration, written by `alert-manager init` for the modules in {dir}.
# Check it with: alert-manager check --config FILE
# Unknown keys are errors. Durations: 30s, 4h, 7d. Sizes: 64MiB, 2GiB. Relative paths start at this file's folder.
# What this file does not grant is denied.

# Any address but loopback needs webhook.authorization and api.authorization below.
listen: 127.0.0.1:5000
# Where people reach this server, for links in messages.
# external_url: https://alerts.example.com

handlers_dir: {}
store: sqlite:alert-manager.db
retention: {{ time: 7d, size: 2GiB }}

# What senders (Alertmanager's http_config.authorization) and people (--token-file) prove themselves with.
# webhook: {{ authorization: {{ credentials_file: /run/secrets/webhook }} }}
# api: {{ authorization: {{ credentials_file: /run/secrets/api }} }}

",
            scalar(&dir)
        );
        self.slack(&mut text);
        self.credentials(&mut text);
        self.alarms(&mut text);
        self.routes(&mut text);
        self.handlers(&mut text);
        text
    }

    fn slack(&self, text: &mut String) {
        text.push_str("slack:\n");
        text.push_str(if self.has_token {
            "  # The token is that of SLACK_TOKEN or SLACK_TOKEN_FILE. To read it from a file instead:
  # token_file: /run/secrets/slack
"
        } else {
            "  # With a token (scope chat:write, the bot invited to each channel) messages are posted: remove `preview` then.
  # token_file: /run/secrets/slack
  preview: true
"
        });
        let _ = writeln!(
            text,
            "  # Names for the grants and settings below, and what Slack calls the channels.\n  channels: {{ alerts: {} }}\n",
            scalar(&self.channel)
        );
    }

    fn credentials(&self, text: &mut String) {
        if self.modules.iter().any(|module| imports(module, "http")) {
            text.push_str(
                "# What the server adds to handlers' requests, only on these origins; handlers never see it.
# credentials:
#   kubernetes: { service_account: true, origins: [\"https://kubernetes.default.svc\"] }
#   github: { authorization: { credentials_file: /run/secrets/github }, origins: [\"https://api.github.com\"] }

",
            );
        }
    }

    fn alarms(&self, text: &mut String) {
        let fallbacks: Vec<_> = self
            .descriptions
            .iter()
            .filter(|description| description.alerts.iter().any(|alert| alert == "*"))
            .map(|description| scalar(description.name.as_str()))
            .collect();
        text.push_str("# What runs about each delivery that could not be completed.\n");
        if fallbacks.is_empty() {
            text.push_str("# dead_letter: { handlers: [HANDLER] }\n");
        } else {
            let _ = writeln!(
                text,
                "dead_letter: {{ handlers: [{}] }}",
                fallbacks.join(", ")
            );
        }
        text.push_str(
            "# An alert that has to come at least this often, such as kube-prometheus' Watchdog.
# heartbeats:
#   prometheus: { matchers: ['alertname=\"Watchdog\"'], every: 15m }

",
        );
    }

    fn routes(&self, text: &mut String) {
        text.push_str(
            "# Without `routes` these are made of the alertnames that each module names. Remove the `#` to change them.\n# routes:\n",
        );
        for route in Router::with_described(Vec::new(), self.descriptions).routes() {
            text.push_str(&route_lines(route));
        }
        if self.descriptions.is_empty() {
            text.push_str("#   - handlers: [HANDLER]\n");
        }
        text.push('\n');
    }

    fn handlers(&self, text: &mut String) {
        if self.modules.is_empty() {
            text.push_str(
                "# No module is in the folder yet. Each one needs an entry for what it may reach.
# handlers:
#   NAME:
#     allow: { slack: [alerts] }
",
            );
            return;
        }
        text.push_str("# What each handler may reach, use and be told.\nhandlers:\n");
        for module in self.modules {
            let described = |d: &&Description| Some(&d.name) == module.name.as_ref();
            handler(text, module, self.descriptions.iter().find(described));
        }
    }
}

fn route_lines(route: &Route) -> String {
    let handlers: Vec<_> = route.handlers.iter().map(|h| scalar(h.as_str())).collect();
    let handlers = format!("handlers: [{}]", handlers.join(", "));
    if route.matchers.is_empty() {
        return format!("#   - {handlers}      # every alert that came this far\n");
    }
    let matchers: Vec<_> = route
        .matchers
        .iter()
        .map(|matcher| format!("'{}'", matcher.to_string().replace('\'', "''")))
        .collect();
    format!(
        "#   - matchers: [{}]\n#     {handlers}\n",
        matchers.join(", ")
    )
}

fn handler(text: &mut String, module: &ModuleInfo, description: Option<&Description>) {
    let Some(name) = &module.name else {
        return;
    };
    let version = module.version.as_deref().unwrap_or_default();
    let summary = print::one_line(module.summary.as_deref().unwrap_or_default());
    let _ = writeln!(
        text,
        "  # {} {}: {summary}\n  {}:",
        print::one_line(name.as_str()),
        print::one_line(version),
        scalar(name.as_str())
    );
    if let (Some(exposure), Some(sha256)) = (&module.exposure, &module.sha256) {
        let _ = writeln!(
            text,
            "    # {}, so it is given no credential unless it is pinned:\n    # sha256: {sha256}",
            print::one_line(exposure)
        );
    }
    let (http, slack) = (imports(module, "http"), imports(module, "slack"));
    text.push_str(match (http, slack) {
        (false, false) => "    allow: {}\n",
        _ => "    allow:\n",
    });
    if http {
        let origins = named(description, "origin");
        let where_to = match origins.as_slice() {
            [] => "its documentation says where to",
            _ => "by default to what is named here",
        };
        let list = |names: Vec<String>, otherwise: &str| match names.as_slice() {
            [] => otherwise.to_owned(),
            _ => names.join(", "),
        };
        let origins = origins.iter().map(|url| format!("{url:?}")).collect();
        let credentials = named(description, "credential");
        let credentials = credentials.iter().map(|name| scalar(name)).collect();
        let _ = writeln!(
            text,
            "      # It can make HTTP requests, {where_to}. Until it is granted they are denied.
      # http: [{}]
      # credentials: [{}]",
            list(origins, "\"https://HOST\""),
            list(credentials, "kubernetes")
        );
        if !slack {
            text.push_str("      http: []\n");
        }
    }
    if slack {
        text.push_str("      slack: [alerts]\n");
    }
    text.push_str(
        "    # limits: { memory: 64MiB, cpu: 500ms, wall: 30s, concurrency: 8 }
    # retry: { max_attempts: 10, max_age: 4h }
    # Its own settings.
",
    );
    config(text, slack, description);
}

/// Its settings: the channel as it is granted, the others as comments with their defaults.
fn config(text: &mut String, slack: bool, description: Option<&Description>) {
    let stated = description.and_then(|d| d.settings.as_deref());
    text.push_str(if slack {
        "    config:\n      channel: alerts\n"
    } else {
        "    # config: {}\n"
    });
    for setting in stated.unwrap_or_default() {
        if slack && setting.name == "channel" {
            continue;
        }
        let (name, about) = (
            print::one_line(&setting.name.replace('*', "NAME")),
            print::one_line(&setting.about),
        );
        let default = match &setting.default {
            Some(default) => scalar(default),
            None => sample(&setting.kind).to_owned(),
        };
        let _ = writeln!(text, "      # {name}: {default}      # {about}");
    }
}

/// Returns what a module names by default of this kind.
fn named(description: Option<&Description>, kind: &str) -> Vec<String> {
    let stated = description.and_then(|d| d.settings.as_deref());
    let of_kind = stated
        .unwrap_or_default()
        .iter()
        .filter(|s| s.names_a(kind) && !s.is_pattern());
    of_kind.filter_map(|s| s.default.clone()).collect()
}

/// Returns a value of a setting's type.
fn sample(kind: &str) -> &'static str {
    match kind {
        "integer" | "number" => "0",
        "boolean" => "false",
        "duration" => "30s",
        "url" => "https://www.example.com",
        "list" => "[]",
        "map" => "{}",
        _ => "\"\"",
    }
}

fn imports(module: &ModuleInfo, interface: &str) -> bool {
    module.imports.iter().any(|name| name == interface)
}
