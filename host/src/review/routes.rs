//! Finds handler names that no module has, modules that no alert reaches, and alerts that reach no module.

use crate::alert::HandlerName;
use crate::config::closest;
use crate::description::Description;
use crate::policy::scalar;
use crate::router::Route;
use crate::runtime::ModuleInfo;

use super::{FindingText, Review};

impl Review<'_> {
    /// Finds names that no module has: in routes, for dead letters, below `handlers`.
    pub(super) fn names(&mut self) {
        let mut named = Vec::new();
        for (index, route) in self.config.routes.iter().enumerate() {
            let handlers = route.handlers.iter().enumerate();
            named.extend(
                handlers.map(|(at, name)| (format!("routes[{index}].handlers[{at}]"), name)),
            );
        }
        let dead_letter = self.config.dead_letter.iter().flatten().enumerate();
        named.extend(dead_letter.map(|(at, name)| (format!("dead_letter.handlers[{at}]"), name)));
        for (path, name) in named {
            // Of a refused file, the handler's own entry says it.
            let has_entry = self.config.handlers.names().any(|entry| entry == name);
            if self.has_module(name) || (has_entry && self.refused(name).is_some()) {
                continue;
            }
            let (whose, advice) = self.absent(name, "put its .wasm there, or take the name out");
            self.fail(
                Some(name),
                &path,
                FindingText::new(format!("{path} names the handler {name}, {whose}"), advice),
            );
        }
        for name in self.config.handlers.names() {
            if self.has_module(name) {
                continue;
            }
            let path = format!("handlers.{name}");
            if let Some(refused) = self.refused(name) {
                let (file, why) = (&refused.origin, refused.error.clone().unwrap_or_default());
                let message = format!("{path}: {file} is refused, so nothing is served: {why}");
                self.fail(Some(name), &path, FindingText::new(message, ""));
                continue;
            }
            let (_, advice) = self.absent(name, "put its .wasm there, or remove the entry");
            let message = format!(
                "handlers.{name}: no module in {} has this name, so what it grants and sets counts for nothing",
                self.config.handlers_dir.display()
            );
            self.warn(Some(name), &path, FindingText::new(message, advice));
        }
    }

    /// Returns the file that is refused and would have this name.
    fn refused(&self, name: &HandlerName) -> Option<&ModuleInfo> {
        let mut modules = self.modules.iter();
        modules.find(|module| module.error.is_some() && module.is_of(name))
    }

    /// Returns why there is no module of this name, and what to do.
    fn absent(&self, name: &HandlerName, otherwise: &str) -> (String, String) {
        let dir = self.config.handlers_dir.display();
        if let Some(ModuleInfo { origin: file, .. }) = self.refused(name) {
            let whose = format!("whose file {file} in {dir} is refused");
            return (whose, "see why below".to_owned());
        }
        let names: Vec<_> = self.descriptions.iter().map(|d| d.name.as_str()).collect();
        let advice = match closest(name.as_str(), &names) {
            Some(known) => format!("did you mean {known}? Else {otherwise}"),
            None => otherwise.to_owned(),
        };
        (format!("which no module in {dir} is"), advice)
    }

    /// Finds modules that are never run, and alerts that no handler answers.
    pub(super) fn routes(&mut self) {
        for description in self.descriptions {
            let name = &description.name;
            let is_configured = |route: &Route| route.handlers.contains(name);
            let is_named = self.config.routes.iter().any(is_configured);
            let patterns: Vec<_> = description
                .alerts
                .iter()
                .filter(|alert| is_expression(alert))
                .collect();
            if !is_named {
                for pattern in &patterns {
                    let lines = format!(
                        "routes:\n  - matchers: ['alertname=~\"{}\"']\n    handlers: [{}]",
                        pattern
                            .replace('\\', "\\\\")
                            .replace('"', "\\\"")
                            .replace('\'', "''"),
                        scalar(name.as_str())
                    );
                    let message = format!(
                        "{name} names the alertname {pattern:?}, which is compared literally: it is not used as a regular expression, so its route takes no alert"
                    );
                    let advice = "name the handler in a route ahead of those without matchers";
                    let said = FindingText::new(message, advice).with_lines(lines);
                    self.warn(Some(name), "routes", said);
                }
            }
            if !self.is_run(name) {
                let message = format!(
                    "{name} is never run: no route names it, and it names no alerts itself"
                );
                let said = FindingText::new(message, "name it in `routes`, or remove its file");
                // An enricher is installed for those routes that name it, of which there may be none yet.
                match description.enrich_only {
                    true => self.note(Some(name), "routes", said),
                    false => self.warn(Some(name), "routes", said),
                }
            }
        }
        self.unanswered();
        self.enrichers_alone();
        self.heartbeats();
    }

    /// Notes that there may be alerts which no handler answers.
    fn unanswered(&mut self) {
        // Without a module and a configuration, the server says that no handler is loaded.
        let is_empty = self.modules.is_empty() && self.config.file.is_none();
        let mut routes = self.router.routes().iter();
        let takes_any =
            |route: &Route| route.matchers.is_empty() && !only_enrich(route, self.descriptions);
        if !is_empty && !routes.any(takes_any) {
            let message = "every route has matchers: an alert that no route matches is stored as done without being handled";
            let advice = "to answer those too, add a last route without matchers";
            self.note(None, "routes", FindingText::new(message, advice));
        }
    }

    /// Finds routes whose handlers all enrich alone.
    fn enrichers_alone(&mut self) {
        for (index, route) in self.config.routes.iter().enumerate() {
            if !only_enrich(route, self.descriptions) {
                continue;
            }
            let names: Vec<_> = route.handlers.iter().map(HandlerName::as_str).collect();
            let message = format!(
                "routes[{index}]: {} only {}, so nobody is notified of the alerts of this route",
                names.join(", "),
                if names.len() == 1 {
                    "enriches"
                } else {
                    "enrich"
                }
            );
            let advice = "add a handler that acts, such as slack-notify, after it";
            let path = format!("routes[{index}].handlers");
            self.warn(None, &path, FindingText::new(message, advice));
        }
    }

    /// Finds heartbeats whose alert no route takes.
    fn heartbeats(&mut self) {
        let config = self.config;
        for name in config.heartbeats.keys() {
            let labels = crate::alarms::labels_of_alarm(name);
            if self.router.matching(&labels).is_empty() {
                let message = format!(
                    "heartbeats.{name}: no route takes the alert {} that its absence raises, so nobody would hear of it",
                    crate::alarms::MISSING
                );
                let advice = "add a route for it, or a last one without matchers";
                self.warn(
                    None,
                    &format!("heartbeats.{name}"),
                    FindingText::new(message, advice),
                );
            }
        }
    }
}

/// Returns whether each handler of a route has a module that only enriches.
fn only_enrich(route: &Route, descriptions: &[Description]) -> bool {
    let enriches = |name: &HandlerName| {
        let mut descriptions = descriptions.iter();
        descriptions.any(|description| description.name == *name && description.enrich_only)
    };
    !route.handlers.is_empty() && route.handlers.iter().all(enriches)
}

/// Returns whether an alertname is written as a regular expression. Parentheses and dots occur in names too.
fn is_expression(alertname: &str) -> bool {
    alertname != "*"
        && (alertname.contains(['*', '|', '^', '$', '\\', '?']) || alertname.contains(".+"))
}

#[cfg(test)]
mod tests {
    use super::is_expression;

    #[test]
    fn what_is_written_as_an_expression_is_recognised() {
        for (name, expected) in [
            ("Kube.*", true),
            ("Kube*", true),
            ("A|B", true),
            ("^Kube", true),
            ("Pod.+", true),
            ("*", false),
            ("Node (memory) full", false),
            ("v1.2 is old", false),
        ] {
            assert_eq!(is_expression(name), expected, "{name}");
        }
    }
}
