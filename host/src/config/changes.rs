//! What a new configuration changes, by its keys: for the log and for whoever asked for the reload.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Config;
use crate::alert::HandlerName;
use crate::queue;
use crate::router::Route;
use crate::worker::HandlerSettings;

/// What is different in another configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// One for each key, handler, credential and route: `handlers.NAME: changed (allow, limits)`.
    pub changed: Vec<String>,
    /// Keys whose new values count after a restart.
    pub needs_restart: Vec<String>,
}

impl Changes {
    /// Compares the configuration in use with a new one; `started` is that of the start, which the keys that take a restart
    /// still have.
    #[must_use]
    pub fn between(started: &Config, old: &Config, new: &Config) -> Self {
        let mut changes = Self {
            changed: keys(old, new).into_iter().map(changed).collect(),
            needs_restart: restart(started, new)
                .into_iter()
                .map(str::to_owned)
                .collect(),
        };
        changes.credentials(old, new);
        changes.heartbeats(old, new);
        changes.handlers(old, new);
        changes.routes(&old.routes, &new.routes);
        changes
    }

    /// Returns `changed` as one line.
    #[must_use]
    pub fn summary(&self) -> String {
        if self.changed.is_empty() {
            "nothing".to_owned()
        } else {
            self.changed.join("; ")
        }
    }

    fn credentials(&mut self, old: &Config, new: &Config) {
        self.entries("credentials", &old.credentials, &new.credentials, |_, _| {
            String::new()
        });
    }

    fn heartbeats(&mut self, old: &Config, new: &Config) {
        self.entries("heartbeats", &old.heartbeats, &new.heartbeats, |_, _| {
            String::new()
        });
        let pings = |config: &Config| -> BTreeMap<_, _> {
            let pings = config.pings.iter();
            pings
                .map(|ping| (ping.name.clone(), ping.clone()))
                .collect()
        };
        self.entries("heartbeats", &pings(old), &pings(new), |_, _| String::new());
    }

    fn handlers(&mut self, old: &Config, new: &Config) {
        self.entries(
            "handlers",
            &old.handlers.by_name,
            &new.handlers.by_name,
            |old: &std::sync::Arc<HandlerSettings>, new| format!(" ({})", parts(old, new)),
        );
    }

    /// Routes go by their names: one without a name that has other matchers or handlers is another one.
    fn routes(&mut self, old: &[Route], new: &[Route]) {
        let by_name = |routes: &[Route]| -> BTreeMap<String, Route> {
            let routes = routes.iter();
            routes.map(|route| (shown(route), route.clone())).collect()
        };
        let (old_names, new_names) = (by_name(old), by_name(new));
        self.entries("routes", &old_names, &new_names, |_, _| String::new());
        let kept = |routes: &[Route], others: &BTreeMap<String, Route>| -> Vec<String> {
            let names = routes.iter().map(shown);
            names.filter(|name| others.contains_key(name)).collect()
        };
        if kept(old, &new_names) != kept(new, &old_names) {
            self.changed.push("routes: reordered".to_owned());
        }
    }

    fn entries<K: Ord + std::fmt::Display, V: PartialEq>(
        &mut self,
        key: &str,
        old: &BTreeMap<K, V>,
        new: &BTreeMap<K, V>,
        detail: impl Fn(&V, &V) -> String,
    ) {
        for (name, value) in new {
            match old.get(name) {
                None => self.changed.push(format!("{key}.{name}: added")),
                Some(before) if before != value => {
                    let detail = detail(before, value);
                    self.changed.push(format!("{key}.{name}: changed{detail}"));
                }
                Some(_) => {}
            }
        }
        for name in old.keys().filter(|name| !new.contains_key(name)) {
            self.changed.push(format!("{key}.{name}: removed"));
        }
    }
}

fn changed(key: &str) -> String {
    format!("{key}: changed")
}

/// Returns the keys that hold one value and have another one. The pattern names every field, so that none is forgotten.
fn keys(old: &Config, new: &Config) -> Vec<&'static str> {
    let Config {
        file: _,
        listen,
        external_url,
        insecure,
        handlers_dir,
        sandbox,
        store,
        queue,
        webhook,
        api,
        server,
        tls_server,
        proxy,
        slack,
        credentials: _,
        routes: _,
        heartbeats: _,
        pings: _,
        dead_letter,
        warnings: _,
        mistakes: _,
        spots: _,
        handlers,
    } = new;
    [
        ("listen", old.listen != *listen),
        ("external_url", old.external_url != *external_url),
        ("insecure", old.insecure != *insecure),
        ("handlers_dir", old.handlers_dir != *handlers_dir),
        ("sandbox", old.sandbox != *sandbox),
        ("store", old.store != *store),
        ("retention", retention_of(&old.queue) != retention_of(queue)),
        (
            "webhook",
            old.webhook != *webhook || old.queue.queue_depth_max != queue.queue_depth_max,
        ),
        ("api", old.api != *api),
        ("web", old.server != *server),
        ("tls_server_config", old.tls_server != *tls_server),
        ("proxy_url, no_proxy", old.proxy != *proxy),
        ("slack", old.slack != *slack),
        ("dead_letter", old.dead_letter != *dead_letter),
        (
            "handlers without an entry",
            old.handlers.others != handlers.others,
        ),
    ]
    .into_iter()
    .filter_map(|(key, has_changed)| has_changed.then_some(key))
    .collect()
}

fn retention_of(queue: &queue::Options) -> (Duration, u64) {
    (queue.retention_time, queue.retention_bytes_max)
}

fn restart(started: &Config, new: &Config) -> Vec<&'static str> {
    [
        ("listen", started.listen != new.listen),
        ("store", started.store != new.store),
        ("handlers_dir", started.handlers_dir != new.handlers_dir),
        ("tls_server_config", started.tls_server != new.tls_server),
        (
            "retention",
            retention_of(&started.queue) != retention_of(&new.queue),
        ),
        ("sandbox", started.sandbox != new.sandbox),
        (
            "webhook.queue_depth_max",
            started.queue.queue_depth_max != new.queue.queue_depth_max,
        ),
    ]
    .into_iter()
    .filter_map(|(key, has_changed)| has_changed.then_some(key))
    .collect()
}

/// Returns which settings of a handler differ.
fn parts(old: &HandlerSettings, new: &HandlerSettings) -> String {
    let HandlerSettings {
        sha256,
        grants,
        limits,
        enrich,
        retry,
        config,
    } = new;
    let parts = [
        ("sha256", old.sha256 != *sha256),
        ("allow", old.grants != *grants),
        ("limits", old.limits != *limits),
        ("enrich", old.enrich != *enrich),
        ("retry", old.retry != *retry),
        ("config", old.config != *config),
    ];
    let parts = parts
        .into_iter()
        .filter_map(|(part, differs)| differs.then_some(part));
    parts.collect::<Vec<_>>().join(", ")
}

/// Returns a route's name; of one whose name is a digest, what it matches and who handles it.
fn shown(route: &Route) -> String {
    if route.name != Route::digest(&route.matchers, &route.handlers) {
        return route.name.to_string();
    }
    let matchers: Vec<_> = route.matchers.iter().map(ToString::to_string).collect();
    let handlers: Vec<_> = route.handlers.iter().map(HandlerName::as_str).collect();
    format!("{{{}}} → {}", matchers.join(","), handlers.join(","))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;

    use super::*;
    use crate::config::Overrides;

    fn read(yaml: &str) -> Config {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.yml");
        std::fs::write(
            &file,
            format!("slack: {{ preview: true, channels: {{ a: \"#a\" }} }}\n{yaml}"),
        )
        .unwrap();
        load(&file)
    }

    fn load(file: &Path) -> Config {
        Config::load(Some(file), &Overrides::default(), &|_| None).unwrap()
    }

    fn changed(old: &str, new: &str) -> Vec<String> {
        let (old, new) = (read(old), read(new));
        Changes::between(&old, &old, &new).changed
    }

    #[test]
    fn what_is_added_removed_and_changed_is_named() {
        let old = "handlers:\n  one: { config: { a: b } }\n  two: {}\nroutes:\n  - name: first\n    handlers: [one]\n";
        let new = "webhook: { body_bytes_max: 1MiB }\nhandlers:\n  one: { config: { a: c }, allow: { slack: [a] } }\n  three: {}\nroutes:\n  - name: first\n    matchers: ['a=\"b\"']\n    handlers: [one]\n  - handlers: [three]\n";
        assert_eq!(
            changed(old, new),
            [
                "webhook: changed",
                "handlers.one: changed (allow, config)",
                "handlers.three: added",
                "handlers.two: removed",
                "routes.first: changed",
                "routes.{} → three: added",
            ]
        );
        assert!(changed(new, new).is_empty());
    }

    #[test]
    fn the_order_of_routes_is_a_change() {
        let routes = |names: [&str; 2]| {
            let route = |name| {
                format!("  - name: {name}\n    matchers: ['a=\"{name}\"']\n    handlers: [one]\n")
            };
            format!("routes:\n{}{}", route(names[0]), route(names[1]))
        };
        assert_eq!(
            changed(&routes(["x", "y"]), &routes(["y", "x"])),
            ["routes: reordered"]
        );
    }

    #[test]
    fn another_secret_is_a_change_and_is_not_shown() {
        let old = "api: { authorization: { credentials: first-secret } }\n";
        let changes = changed(old, &old.replace("first", "second"));
        assert_eq!(changes, ["api: changed"]);
    }

    #[test]
    fn what_takes_a_restart_is_named_until_it_is_as_it_was_at_the_start() {
        let (first, second) = (read(""), read("retention: { time: 1d }\n"));
        let restart = |old, new| Changes::between(&first, old, new).needs_restart;
        assert_eq!(restart(&first, &second), ["retention"]);
        assert_eq!(restart(&second, &second), ["retention"], "still to come");
        assert!(restart(&second, &first).is_empty());
    }
}
