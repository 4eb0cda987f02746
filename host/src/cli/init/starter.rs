//! The text of the configuration that `init` writes.

use std::fmt::Write as _;
use std::path::Path;

use crate::cli::entry::{self, CHANNEL, Pin};
use crate::description::Description;
use crate::policy::scalar;
use crate::router::{Route, Router};
use crate::runtime::ModuleInfo;

/// The data for the file.
pub(super) struct Starter<'a> {
    /// True if a variable has Slack's token, so that messages are posted with the file as they were without it.
    pub(super) has_token: bool,
    pub(super) channel: String,
    pub(super) handlers_dir: &'a Path,
    pub(super) modules: &'a [&'a ModuleInfo],
    pub(super) descriptions: &'a [Description],
}

impl Starter<'_> {
    /// Returns the text of the file.
    pub(super) fn text(&self) -> String {
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
            "  # Names for the grants and settings below, and what Slack calls the channels.\n  channels: {{ {CHANNEL}: {} }}\n",
            scalar(&self.channel)
        );
    }

    fn credentials(&self, text: &mut String) {
        let imports_http = |module: &&ModuleInfo| module.imports.iter().any(|name| name == "http");
        if self.modules.iter().any(imports_http) {
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
        text.push_str("# The handlers that are run once for each dead delivery.\n");
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
            "# Words of your own for the priority of an alert (labels severity and priority), beside the usual ones.
# severity_map: { critical: [gold], warning: [silver] }
# More alerts than this that are alike run as one, if their handlers allow it. These are the defaults.
# storm: { over: 20, within: 1m, by: [alertname, cluster] }
",
        );
        text.push_str(
            "# An alert that has to come at least this often, such as kube-prometheus' Watchdog.
# heartbeats:
#   prometheus: { matchers: ['alertname=\"Watchdog\"'], every: 15m }

",
        );
    }

    fn routes(&self, text: &mut String) {
        text.push_str(
            "# Without `routes`, these are generated from the alertnames of each module. Remove the `#` to change them.\n# routes:\n",
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
        text.push_str("# The grants, limits and settings of each handler.\nhandlers:\n");
        for module in self.modules {
            let described = |d: &&Description| Some(&d.name) == module.name.as_ref();
            let description = self.descriptions.iter().find(described);
            if let Some(description) = description {
                let pin = match (&module.exposure, &module.sha256) {
                    (Some(exposure), Some(sha256)) => Pin::Advised { sha256, exposure },
                    _ => Pin::None,
                };
                entry::write(text, description, &module.imports, pin);
            }
        }
    }
}

fn route_lines(route: &Route) -> String {
    let handlers: Vec<_> = route.handlers.iter().map(|h| scalar(h.as_str())).collect();
    let handlers = format!("handlers: [{}]", handlers.join(", "));
    if route.matchers.is_empty() {
        return format!("#   - {handlers}      # all alerts that no route before has taken\n");
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::alert::HandlerName;
    use crate::config::{Config, Overrides};
    use crate::review::review;
    use crate::runtime::{ModuleState, Origin};

    /// A folder with one module of each kind that is written in a different way.
    fn modules() -> (Vec<ModuleInfo>, Vec<Description>) {
        let stated = |json: &str| Some(serde_json::from_str(json).unwrap());
        [
            ("silent", &["slack"][..], None),
            ("without-channel", &["slack"], stated(r#"[{"name":"tone","type":"string"}]"#)),
            (
                "other-channel",
                &["slack", "http"],
                stated(
                    r#"[{"name":"channel","type":"string","default":"oncall"},
                        {"name":"escalate","type":"string","default":"oncall","refers_to":"channel"},
                        {"name":"quiet","type":"string","refers_to":"channel"}]"#,
                ),
            ),
            (
                "required",
                &["http"],
                stated(
                    r#"[{"name":"region","type":"string","required":true,"about":"where it is"},
                        {"name":"level","type":"string","required":true,"values":["low","high"]},
                        {"name":"count","type":"integer","required":true},
                        {"name":"ratio","type":"number","required":true},
                        {"name":"on","type":"boolean","required":true},
                        {"name":"every","type":"duration","required":true},
                        {"name":"base","type":"url","required":true,"refers_to":"origin"},
                        {"name":"names","type":"list","required":true},
                        {"name":"owners","type":"map","required":true},
                        {"name":"team.*.url","type":"url","required":true}]"#,
                ),
            ),
            ("plain", &[], stated("[]")),
        ]
        .into_iter()
        .map(|(name, imports, settings)| {
            let description = Description {
                name: HandlerName::new(name),
                version: "1.0.0".to_owned(),
                summary: "Does.".to_owned(),
                alerts: vec![name.to_owned()],
                act_only: false,
                enrich_only: false,
                storm_one: false,
                settings,
            };
            let module = ModuleInfo {
                name: Some(HandlerName::new(name)),
                version: Some("1.0.0".to_owned()),
                sha256: Some("00".repeat(32)),
                origin: Origin::File {
                    path: format!("{name}.wasm").into(),
                },
                state: ModuleState::Ready,
                summary: None,
                alerts: description.alerts.clone(),
                imports: imports.iter().map(|&import| import.to_owned()).collect(),
                exposure: None,
                error: None,
                claims: None,
            };
            (module, description)
        })
        .unzip()
    }

    #[test]
    fn what_is_written_for_any_settings_is_what_check_takes_once_the_required_ones_are_set() {
        let (modules, descriptions) = modules();
        let text = Starter {
            has_token: false,
            channel: "#alerts".to_owned(),
            handlers_dir: Path::new("handlers"),
            modules: &modules.iter().collect::<Vec<_>>(),
            descriptions: &descriptions,
        }
        .text();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("am.yml");
        std::fs::write(&file, &text).unwrap();
        let config = Config::load(Some(&file), &Overrides::default(), &|_| None)
            .unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        let findings = review(&config, &modules, &descriptions);
        // What is required is not invented, so it is what is left to do, and all of it.
        let said = |finding: &crate::findings::Finding| finding.problem.message.clone();
        let said: Vec<_> = findings.problems.iter().map(said).collect();
        for (key, kind) in [
            ("region", "a text: where it is"),
            ("level", "one of low, high"),
            ("count", "a whole number"),
            ("ratio", "a number"),
            ("on", "true or false"),
            ("every", "a duration such as 30s, 5m or 1h30m"),
            ("base", "a URL such as https://alerts.example.com"),
            ("names", "a list"),
            ("owners", "a mapping"),
        ] {
            let missing = format!("the required setting {key} is missing");
            assert!(said.iter().any(|said| said.contains(&missing)), "{said:?}");
            let name = scalar(key);
            let line = format!("      # {name}:      # required, {kind}");
            assert!(text.contains(&line), "{line}\n{text}");
        }
        assert_eq!(said.len(), 9, "{said:#?}\n{text}");
        let set = |name: &str| config.handlers.of(&HandlerName::new(name)).config.clone();
        assert_eq!(set("silent")["channel"], "alerts");
        assert_eq!(set("other-channel")["escalate"], "alerts");
    }
}
