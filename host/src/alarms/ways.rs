//! The ways to deliver the server's alerts about itself, in order: the handlers configured for dead letters, the same handlers on
//! their other channels, then each other handler that accepts any alert. If one way fails, the next one reports it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::alert::{DEAD_LETTER_ROUTE, HandlerName};
use crate::description::{Description, Setting};
use crate::queue::Way;
use crate::router::Router;
use crate::runtime::SlackHold;
use crate::worker;

/// How many ways there are at most, so that a notice that fails on all of them is not tried for hours.
const WAYS_MAX: usize = 16;

/// The setting for the Slack channel of handlers that declare no settings, and its usual default.
const CHANNEL: &str = "channel";
const CHANNEL_DEFAULT: &str = "alerts";

type Settings = Arc<BTreeMap<String, String>>;

/// Whether anybody is notified about dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reporting {
    /// Somebody is.
    On,
    /// Nobody is: `dead_letter: { handlers: [] }`.
    Off,
    /// Nobody is: there is no `dead_letter` and no handler that accepts any alert.
    Nobody,
}

impl Reporting {
    /// Returns what the operator should know if nobody is notified.
    pub(crate) fn note(self) -> Option<&'static str> {
        match self {
            Self::On => None,
            Self::Off => Some(
                "dead_letter.handlers is empty: nobody is notified of an alert that is dead-lettered. `alert-manager deliveries --state dead` lists them",
            ),
            Self::Nobody => Some(
                "nobody is notified of an alert that is dead-lettered: no handler that acts is there for any alert, so none can report it. Add:\ndead_letter:\n  handlers: [HANDLER]",
            ),
        }
    }
}

/// The ways, the best first.
#[derive(Clone, Debug)]
pub(crate) struct Ways {
    ways: Vec<Planned>,
    /// The value of `dead_letter.handlers`; absent if it is not configured.
    named: Option<Vec<HandlerName>>,
}

#[derive(Clone, Debug)]
struct Planned {
    route: Arc<str>,
    config: Settings,
    handlers: Vec<Reporter>,
}

/// A handler on one way.
#[derive(Clone, Debug)]
struct Reporter {
    name: HandlerName,
    is_loaded: bool,
    /// The Slack channel that it posts to, if its settings name one that it is granted.
    channel: Option<String>,
}

impl Reporter {
    fn is_blocked(&self, holds: &[SlackHold]) -> bool {
        let is_held = |channel: &String| {
            let mut holds = holds.iter();
            holds.any(|hold| hold.channel.as_ref().is_none_or(|held| held == channel))
        };
        !self.is_loaded || self.channel.as_ref().is_some_and(is_held)
    }
}

impl Ways {
    /// Computes the ways from the configuration, the routes and the loaded modules.
    ///
    /// `named` is `dead_letter.handlers`.
    pub(crate) fn new(
        named: Option<&[HandlerName]>,
        handlers: &worker::Settings,
        router: &Router,
        loaded: &[Description],
    ) -> Self {
        let mut builder = Builder {
            named,
            handlers,
            loaded,
            ways: Vec::new(),
        };
        if !named.is_some_and(<[_]>::is_empty) {
            builder.build(router);
        }
        builder.ways.truncate(WAYS_MAX);
        Self {
            ways: builder.ways,
            named: named.map(<[_]>::to_vec),
        }
    }

    pub(crate) fn reporting(&self) -> Reporting {
        if self.named.as_ref().is_some_and(Vec::is_empty) {
            Reporting::Off
        } else if self.ways.is_empty() {
            Reporting::Nobody
        } else {
            Reporting::On
        }
    }

    /// Returns the routes of the ways, with the settings that each overrides.
    pub(crate) fn routes(&self) -> impl Iterator<Item = (Arc<str>, Settings)> {
        let ways = self.ways.iter();
        ways.map(|way| (Arc::clone(&way.route), Arc::clone(&way.config)))
    }

    /// Returns whether these handlers of the way with this route are all that the operator named for dead letters.
    pub(crate) fn are_all_named(&self, route: &str, handlers: &[HandlerName]) -> bool {
        route == DEAD_LETTER_ROUTE && self.named.as_deref() == Some(handlers)
    }

    /// Returns the ways, given what is held. Of several handlers, those that cannot deliver now are left out.
    pub(crate) fn under(&self, holds: &[SlackHold]) -> Vec<Way> {
        let ways = self.ways.iter().map(|way| {
            let names = |with_blocked: bool| -> Vec<HandlerName> {
                let handlers = way.handlers.iter();
                handlers
                    .filter(|handler| with_blocked || !handler.is_blocked(holds))
                    .map(|handler| handler.name.clone())
                    .collect()
            };
            let free = names(false);
            Way {
                route: Arc::clone(&way.route),
                is_blocked: free.is_empty(),
                handlers: if free.is_empty() { names(true) } else { free },
            }
        });
        ways.collect()
    }
}

struct Builder<'a> {
    named: Option<&'a [HandlerName]>,
    handlers: &'a worker::Settings,
    loaded: &'a [Description],
    ways: Vec<Planned>,
}

impl Builder<'_> {
    fn build(&mut self, router: &Router) {
        let loaded = self.loaded;
        let open = || {
            let routes = router.routes().iter().rev();
            routes.filter(|route| route.matchers.is_empty() && any_acts(loaded, &route.handlers))
        };
        let first = match (self.named, open().next()) {
            (Some(handlers), _) => Some((handlers, Settings::default())),
            (None, Some(route)) => Some((route.handlers.as_slice(), Arc::clone(&route.config))),
            (None, None) => None,
        };
        let mut done = BTreeSet::new();
        if let Some((handlers, config)) = &first {
            self.add(DEAD_LETTER_ROUTE, handlers, config);
            self.add_channels(DEAD_LETTER_ROUTE, handlers, config);
            if let [only] = handlers {
                done.insert(only.clone());
            }
        }
        let mut others: Vec<(HandlerName, Settings)> = Vec::new();
        for route in open() {
            let of_route = route.handlers.iter().filter(|name| acts(loaded, name));
            others.extend(of_route.map(|name| (name.clone(), Arc::clone(&route.config))));
        }
        let any = |description: &&Description| {
            !description.enrich_only && description.alerts.iter().any(|name| name == "*")
        };
        let of_any = self.loaded.iter().filter(any);
        others.extend(of_any.map(|description| (description.name.clone(), Settings::default())));
        // A handler whose pipeline failed may succeed alone; it comes after the handlers that were not tried.
        let was_tried = |name: &HandlerName| {
            first
                .as_ref()
                .is_some_and(|(handlers, _)| handlers.contains(name))
        };
        if let Some((handlers, config)) = &first {
            let handlers = handlers.iter();
            others.extend(handlers.map(|name| (name.clone(), Arc::clone(config))));
        }
        others.sort_by_key(|(name, _)| was_tried(name));
        for (name, config) in others {
            if !done.insert(name.clone()) {
                continue;
            }
            let route = format!("{DEAD_LETTER_ROUTE}:{name}");
            let alone = std::slice::from_ref(&name);
            self.add(&route, alone, &config);
            if !was_tried(&name) {
                self.add_channels(&route, alone, &config);
            }
        }
    }

    fn add(&mut self, route: &str, handlers: &[HandlerName], config: &Settings) {
        let reporter = |name: &HandlerName| Reporter {
            name: name.clone(),
            is_loaded: self.loaded.iter().any(|module| module.name == *name),
            channel: self.channel_of(name, config),
        };
        self.ways.push(Planned {
            route: route.into(),
            config: Arc::clone(config),
            handlers: handlers.iter().map(reporter).collect(),
        });
    }

    /// Adds a way with the same handlers for each other channel that is granted to any of them.
    fn add_channels(&mut self, route: &str, handlers: &[HandlerName], config: &Settings) {
        let granted: BTreeSet<String> = handlers
            .iter()
            .flat_map(|name| self.handlers.of(name).grants.slack.clone())
            .collect();
        for channel in granted {
            let (mut of_channel, mut over) = (Vec::new(), (**config).clone());
            for name in handlers {
                let is_granted = self.handlers.of(name).grants.slack.contains(&channel);
                let is_there = self.channel_of(name, config).as_ref() == Some(&channel);
                if let (true, false, Some((key, _))) = (is_granted, is_there, self.setting_of(name))
                {
                    over.insert(key.to_owned(), channel.clone());
                    of_channel.push(name.clone());
                }
            }
            if !of_channel.is_empty() {
                self.add(&format!("{route}@{channel}"), &of_channel, &Arc::new(over));
            }
        }
    }

    /// Returns the channel that a handler posts to under a route's settings, if they name one.
    fn channel_of(&self, name: &HandlerName, over: &Settings) -> Option<String> {
        let settings = self.handlers.of(name);
        let granted = &settings.grants.slack;
        let (set, default) = match self.setting_of(name) {
            Some((key, default)) => (settings.config_under(over).get(key).cloned(), default),
            None => (None, None),
        };
        let only = (granted.len() == 1).then(|| granted.first().cloned());
        let default = default.and_then(|default| granted.get(default).cloned());
        set.filter(|_| !granted.is_empty())
            .or_else(|| only.flatten())
            .or(default)
    }

    /// Returns the setting for a handler's channel and its default: as its module declares them, otherwise the usual ones. `None` if
    /// the module declares settings without such a one.
    fn setting_of(&self, name: &HandlerName) -> Option<(&str, Option<&str>)> {
        let described = self.loaded.iter().find(|module| module.name == *name);
        let Some(stated) = described.and_then(|module| module.settings.as_deref()) else {
            return Some((CHANNEL, Some(CHANNEL_DEFAULT)));
        };
        let names_channel = |setting: &&Setting| setting.names_a(CHANNEL) && !setting.is_pattern();
        let setting = stated.iter().find(names_channel)?;
        Some((&setting.name, setting.default.as_deref()))
    }
}

/// Returns whether a handler acts. One that only enriches reports nothing; one without a module may act.
fn acts(loaded: &[Description], name: &HandlerName) -> bool {
    let mut loaded = loaded.iter();
    !loaded.any(|module| module.name == *name && module.enrich_only)
}

fn any_acts(loaded: &[Description], names: &[HandlerName]) -> bool {
    names.iter().any(|name| acts(loaded, name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::alert::Timestamp;
    use crate::config::Config;

    const SLACK: &str = "slack: { preview: true, channels: { alerts: '#a', oncall: '#o' } }\n";

    fn parsed(yaml: &str) -> Config {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("am.yml");
        std::fs::write(&file, format!("{SLACK}{yaml}")).unwrap();
        Config::load(Some(&file), &crate::config::Overrides::default(), &|_| None).unwrap()
    }

    fn ways_from(config: &Config, router: &Router, loaded: &[Description]) -> Ways {
        let named = config.dead_letter.as_deref();
        Ways::new(named, &config.handlers, router, loaded)
    }

    fn described(name: &str, alerts: &[&str]) -> Description {
        Description {
            name: HandlerName::new(name),
            version: "1.0.0".into(),
            summary: String::new(),
            alerts: alerts.iter().map(|&name| name.to_owned()).collect(),
            act_only: false,
            enrich_only: false,
            storm_one: false,
            settings: None,
        }
    }

    fn loaded() -> Vec<Description> {
        vec![
            described("crash", &["KubePodCrashLooping"]),
            described("notify", &["*"]),
            described("page", &[]),
        ]
    }

    fn ways_of(yaml: &str) -> Ways {
        let config = parsed(yaml);
        let router = Router::with_described(config.routes.clone(), &loaded());
        ways_from(&config, &router, &loaded())
    }

    fn shown(ways: &[Way]) -> Vec<String> {
        let shown = |way: &Way| {
            let names: Vec<_> = way.handlers.iter().map(HandlerName::as_str).collect();
            let blocked = if way.is_blocked { " blocked" } else { "" };
            format!("{}={}{blocked}", way.route, names.join("+"))
        };
        ways.iter().map(shown).collect()
    }

    fn hold(channel: Option<&str>) -> SlackHold {
        SlackHold {
            channel: channel.map(str::to_owned),
            code: "is_archived".into(),
            advice: String::new(),
            since: Timestamp::UNIX_EPOCH,
        }
    }

    #[track_caller]
    fn check(yaml: &str, expected: &[&str]) {
        assert_eq!(shown(&ways_of(yaml).under(&[])), expected);
    }

    const NOTIFY: &str = "handlers: { notify: { allow: { slack: [alerts, oncall] } } }\n";

    #[test]
    fn the_last_route_without_matchers_reports_and_then_its_other_channels() {
        check(
            &format!(
                "{NOTIFY}routes:\n  - {{ handlers: [page], continue: true }}\n  - {{ handlers: [notify], config: {{ channel: oncall }} }}\n"
            ),
            &[
                "dead-letter=notify",
                "dead-letter@alerts=notify",
                "dead-letter:page=page",
            ],
        );
    }

    #[test]
    fn without_routes_the_one_for_any_alert_reports() {
        check(NOTIFY, &["dead-letter=notify", "dead-letter@oncall=notify"]);
    }

    #[test]
    fn what_is_named_goes_first_and_each_alone_last() {
        check(
            "dead_letter: { handlers: [page, crash] }\nroutes:\n  - { handlers: [notify] }\n",
            &[
                "dead-letter=page+crash",
                "dead-letter:notify=notify",
                "dead-letter:page=page",
                "dead-letter:crash=crash",
            ],
        );
    }

    #[test]
    fn a_handler_that_only_enriches_reports_nothing() {
        let mut enricher = described("owner", &["*"]);
        enricher.enrich_only = true;
        for yaml in ["", "routes:\n  - handlers: [owner]\n"] {
            let config = parsed(yaml);
            let loaded = [enricher.clone()];
            let router = Router::with_described(config.routes.clone(), &loaded);
            let ways = ways_from(&config, &router, &loaded);
            assert_eq!(ways.reporting(), Reporting::Nobody, "{yaml}");
        }
    }

    #[test]
    fn nobody_is_not_the_same_as_off() {
        let off = ways_of("dead_letter: { handlers: [] }\n");
        assert_eq!(off.reporting(), Reporting::Off);
        assert!(off.under(&[]).is_empty());
        let config = parsed("routes:\n  - { matchers: ['a=\"b\"'], handlers: [crash] }\n");
        let router = Router::with_described(config.routes.clone(), &loaded()[..1]);
        let nobody = ways_from(&config, &router, &loaded()[..1]);
        assert_eq!(nobody.reporting(), Reporting::Nobody);
    }

    #[test]
    fn a_channel_is_set_as_the_module_states_it() {
        let config = parsed("handlers: { pager: { allow: { slack: [alerts, oncall] } } }\n");
        let mut pager = described("pager", &["*"]);
        pager.settings = Some(vec![Setting {
            name: "room".into(),
            kind: "string".into(),
            default: Some("oncall".into()),
            about: String::new(),
            required: false,
            values: Vec::new(),
            refers_to: Some("channel".into()),
        }]);
        let ways = |pager: Description| {
            let router =
                Router::with_described(config.routes.clone(), std::slice::from_ref(&pager));
            ways_from(&config, &router, &[pager])
        };
        let stated = ways(pager.clone());
        let under = stated.under(&[hold(Some("oncall"))]);
        assert_eq!(
            shown(&under),
            ["dead-letter=pager blocked", "dead-letter@alerts=pager"]
        );
        let set = |key: &str| stated.ways[1].config.get(key).map(String::as_str);
        assert_eq!((set("room"), set("channel")), (Some("alerts"), None));
        pager.settings = Some(Vec::new());
        assert_eq!(shown(&ways(pager).under(&[])), ["dead-letter=pager"]);
    }

    #[test]
    fn what_is_held_or_not_loaded_is_blocked_and_left_out_of_a_pipeline() {
        let ways = ways_of(&format!(
            "{NOTIFY}dead_letter: {{ handlers: [notify, gone, page] }}\n"
        ));
        assert_eq!(
            shown(&ways.under(&[hold(Some("alerts"))])),
            [
                "dead-letter=page",
                "dead-letter@oncall=notify",
                "dead-letter:notify=notify blocked",
                "dead-letter:gone=gone blocked",
                "dead-letter:page=page",
            ]
        );
        // The remaining handlers may only enrich, so it is not enough if they are done.
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|name| HandlerName::new(name))
                .collect::<Vec<_>>()
        };
        assert!(!ways.are_all_named("dead-letter", &names(&["page"])));
        assert!(ways.are_all_named("dead-letter", &names(&["notify", "gone", "page"])));
        assert!(!ways.are_all_named("dead-letter@oncall", &names(&["notify", "gone", "page"])));
        let all = shown(&ways.under(&[hold(None)]));
        assert_eq!(all[1], "dead-letter@oncall=notify blocked");
    }
}
