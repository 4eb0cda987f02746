//! Compares the configuration with the modules and reports what cannot work. `check` and the server both use it, so they never
//! disagree. Makes no I/O, except `slack.rs`, which asks Slack.

mod alertnames;
mod credentials;
mod grants;
mod latest;
mod online;
mod routes;
mod settings;
mod slack;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use latest::Latest;
pub use online::Asked;
pub(crate) use slack::SlackCheck;

use crate::alert::HandlerName;
use crate::config::Config;
use crate::description::{Description, Setting, parse_http_url};
use crate::findings::{Finding, Findings, Problem};
use crate::policy::{self, Needs, WITHOUT_FILE};
use crate::router::{Route, Router};
use crate::runtime::ModuleInfo;

/// Reviews a configuration together with the modules of its folder.
#[must_use]
pub fn review(config: &Config, modules: &[ModuleInfo], descriptions: &[Description]) -> Findings {
    let router = Router::with_described(config.routes.clone(), descriptions);
    let mut review = Review::new(config, modules, descriptions, &router);
    let warnings = config.warnings.iter().cloned().map(Into::into);
    review.findings.warnings.extend(warnings);
    review.names();
    review.routes();
    review.alertnames();
    for description in descriptions {
        review.handler(description);
    }
    for name in config.handlers.names() {
        review.credentials(name);
        review.unused_grants(name);
    }
    review.findings.in_order()
}

/// Reviews only what does not depend on the parts that could not be read, for a configuration with errors: names, and the
/// settings that are there.
#[must_use]
pub fn review_names(
    config: &Config,
    modules: &[ModuleInfo],
    descriptions: &[Description],
) -> Findings {
    let router = Router::default();
    let mut review = Review::new(config, modules, descriptions, &router);
    review.names();
    for description in descriptions {
        review.written_settings(description);
    }
    review.findings.in_order()
}

/// Returns which settings of the configuration do not fit a module. Other modules need not be known: a key of a route that this
/// handler does not have may be another's, so it is not among them.
fn misfits(config: &Config, description: &Description) -> Vec<Finding> {
    let descriptions = std::slice::from_ref(description);
    let router = Router::with_described(config.routes.clone(), descriptions);
    let mut review = Review::new(config, &[], descriptions, &router);
    review.settings(None, description);
    let mut problems = review.findings.in_order().problems;
    problems.retain(|finding| finding.is_misfit);
    problems
}

/// Returns why a server does not load a module with this configuration; `None` if its settings fit.
#[must_use]
pub fn refusal(config: &Config, description: &Description) -> Option<String> {
    let misfits = misfits(config, description);
    let lines: Vec<_> = misfits.iter().map(ToString::to_string).collect();
    (!lines.is_empty()).then(|| {
        format!(
            "its settings do not fit this module, so it is not loaded:\n{}",
            lines.join("\n")
        )
    })
}

/// A review in progress.
struct Review<'a> {
    config: &'a Config,
    modules: &'a [ModuleInfo],
    descriptions: &'a [Description],
    router: &'a Router,
    findings: Findings,
}

impl<'a> Review<'a> {
    /// Begins with the problems that were found while reading the configuration.
    fn new(
        config: &'a Config,
        modules: &'a [ModuleInfo],
        descriptions: &'a [Description],
        router: &'a Router,
    ) -> Self {
        Self {
            config,
            modules,
            descriptions,
            router,
            findings: Findings {
                problems: config.mistakes.iter().cloned().map(Into::into).collect(),
                ..Findings::default()
            },
        }
    }
}

/// The message, the advice and the lines of a finding.
struct FindingText {
    message: String,
    advice: String,
    lines: String,
}

impl FindingText {
    fn new(message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            advice: advice.into(),
            lines: String::new(),
        }
    }

    fn with_lines(self, lines: String) -> Self {
        Self { lines, ..self }
    }
}

impl Review<'_> {
    fn finding(&self, handler: Option<&HandlerName>, path: &str, said: FindingText) -> Finding {
        let mut advice = said.advice;
        if !said.lines.is_empty() && self.config.file.is_none() {
            advice = format!("{advice}. {WITHOUT_FILE}");
        }
        Finding {
            handler: handler.cloned(),
            problem: Problem {
                place: self.config.spots.place(path),
                message: said.message,
                advice,
            },
            lines: said.lines,
            is_misfit: false,
        }
    }

    fn fail(&mut self, handler: Option<&HandlerName>, path: &str, said: FindingText) {
        let finding = self.finding(handler, path, said);
        self.findings.problems.push(finding);
    }

    /// Reports a setting that does not fit what the handler's module declares.
    fn misfit(&mut self, handler: &HandlerName, path: &str, said: FindingText) {
        let finding = Finding {
            is_misfit: true,
            ..self.finding(Some(handler), path, said)
        };
        self.findings.problems.push(finding);
    }

    fn warn(&mut self, handler: Option<&HandlerName>, path: &str, said: FindingText) {
        let finding = self.finding(handler, path, said);
        self.findings.warnings.push(finding);
    }

    /// Reports what a sensible operator may well intend.
    fn note(&mut self, handler: Option<&HandlerName>, path: &str, said: FindingText) {
        let finding = self.finding(handler, path, said);
        self.findings.notes.push(finding);
    }

    /// Returns whether alerts or notices of dead letters ever run the handler.
    fn is_run(&self, name: &HandlerName) -> bool {
        let of_route = |route: &Route| route.handlers.contains(name);
        let mut named = self.config.dead_letter.iter().flatten();
        self.router.routes().iter().any(of_route) || named.any(|named| named == name)
    }

    /// Reviews what a handler is given on each of its routes.
    fn handler(&mut self, description: &Description) {
        let name = &description.name;
        let Some(module) = self
            .modules
            .iter()
            .find(|module| module.name.as_ref() == Some(name))
        else {
            return;
        };
        let module = module.clone();
        self.settings(Some(&module), description);
    }

    /// Warns of a module with imports that are not granted; if no alert runs it yet, that is a note.
    fn limited(&mut self, module: &ModuleInfo, description: &Description) {
        let name = &description.name;
        if let Some(lines) = missing_grants(self.config, module, Some(description)) {
            let takes = description.alerts.iter().filter(|alert| *alert != "*");
            let takes: Vec<&str> = takes.map(String::as_str).collect();
            let is_named = self
                .config
                .routes
                .iter()
                .any(|route| route.handlers.contains(name));
            let takes = if is_named || takes.is_empty() {
                String::new()
            } else {
                format!(", and these alerts go to it: {}", takes.join(", "))
            };
            let said = FindingText::new(
                format!("{name} is limited: calls that are not granted return `denied`{takes}"),
                "to grant it, put these lines into the configuration",
            );
            let (path, said) = (format!("handlers.{name}.allow"), said.with_lines(lines));
            match self.is_run(name) {
                true => self.warn(Some(name), &path, said),
                false => self.note(Some(name), &path, said),
            }
        }
    }

    /// Returns where the handler runs: each route with its path in the file (absent if it was made from a description), and the
    /// notices about dead letters.
    fn uses(&self, name: &HandlerName) -> Vec<(Option<String>, BTreeMap<String, String>)> {
        let configured = self.config.routes.len();
        let mut uses: Vec<_> = self
            .router
            .routes()
            .iter()
            .enumerate()
            .filter(|(_, route)| route.handlers.contains(name))
            .map(|(index, route)| {
                let number = self.router.number(index);
                let path = (number < configured).then(|| format!("routes[{number}]"));
                (path, (*route.config).clone())
            })
            .collect();
        if self
            .config
            .dead_letter
            .iter()
            .flatten()
            .any(|named| named == name)
        {
            uses.push((None, BTreeMap::new()));
        }
        uses
    }

    fn has_module(&self, name: &HandlerName) -> bool {
        self.descriptions.iter().any(|other| other.name == *name)
    }
}

/// Returns what a handler needs according to its settings, including their defaults.
fn needs(config: &Config, description: &Description) -> Needs {
    let given = config.handlers.of(&description.name);
    let mut needs = Needs::default();
    // The origins of URLs that need not be requested, such as that of runbooks in messages.
    let mut links = BTreeSet::new();
    let declared = description.settings.as_deref().unwrap_or_default();
    let mut add = |setting: Option<&Setting>, key: &str, value: &str| {
        let names_a = |kind| match setting {
            Some(setting) => setting.names_a(kind),
            None => kind == "channel" && key == "channel",
        };
        if value.is_empty() {
            return;
        }
        if names_a("channel") && config.slack.channels.contains_key(value) {
            needs.channels.insert(value.to_owned());
        }
        if names_a("credential") && config.credentials.contains_key(value) {
            needs.credentials.insert(value.to_owned());
        }
        if names_a("origin") && policy::HttpGrant::parse(value).is_ok() {
            needs.origins.insert(value.to_owned());
        } else if setting.is_some_and(|setting| setting.kind == "url")
            && let Some(url) = parse_http_url(value)
        {
            links.insert(url.origin().ascii_serialization());
        }
    };
    for (key, value) in given.config.iter() {
        add(declared.iter().find(|s| s.is_named(key)), key, value);
    }
    for setting in declared {
        if let Some(default) = &setting.default
            && !setting.is_pattern()
            && !given.config.contains_key(&setting.name)
        {
            add(Some(setting), &setting.name, default);
        }
    }
    if needs.origins.is_empty() {
        needs.origins = links;
    }
    needs
}

/// Returns the lines of configuration that grant what a module imports and is not granted.
#[must_use]
pub fn missing_grants(
    config: &Config,
    module: &ModuleInfo,
    description: Option<&Description>,
) -> Option<String> {
    let name = module.name.as_ref()?;
    let settings = config.handlers.of(name);
    let imports: Vec<_> = module.imports.iter().map(String::as_str).collect();
    let needs = description.map(|description| needs(config, description));
    let grants =
        policy::imports_missing(name, &settings.grants, &imports, &needs.unwrap_or_default());
    let is_withheld = settings.sha256.is_none() && !settings.grants.credentials.is_empty();
    let pin = module
        .exposure
        .as_ref()
        .filter(|_| is_withheld)
        .map(|exposure| policy::MissingPin {
            handler: name.clone(),
            sha256: module.sha256.clone().unwrap_or_default(),
            exposure: exposure.clone(),
        });
    let lines: Vec<_> = grants
        .map(|missing| missing.configuration)
        .into_iter()
        .chain(pin.map(|missing| missing.lines()))
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}
