//! The settings of handlers: grants, limits, and how steps are retried.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::alert::{HandlerName, Priority};
use crate::policy::Grants;
use crate::runtime::Limits;

/// The settings of every handler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `handlers`, by name.
    pub by_name: BTreeMap<HandlerName, Arc<HandlerSettings>>,
    /// Handlers that have no entry below `handlers`.
    pub others: Arc<HandlerSettings>,
}

impl Settings {
    /// Returns the settings of `name`: those of its entry below `handlers`, or the defaults.
    #[must_use]
    pub fn of(&self, name: &HandlerName) -> Arc<HandlerSettings> {
        Arc::clone(self.by_name.get(name).unwrap_or(&self.others))
    }

    /// Returns the names that have an entry below `handlers`, sorted.
    pub fn names(&self) -> impl Iterator<Item = &HandlerName> {
        self.by_name.keys()
    }

    /// Returns the names of the handlers that keep the settings that they had.
    #[must_use]
    pub fn that_keep_settings(&self) -> Vec<HandlerName> {
        let kept = self.by_name.iter().filter(|(_, own)| own.kept.is_some());
        kept.map(|(name, _)| name.clone()).collect()
    }
}

/// The settings of one handler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandlerSettings {
    /// `sha256`: the only module that is accepted under this name.
    pub sha256: Option<[u8; 32]>,
    /// `allow`.
    pub grants: Arc<Grants>,
    /// `limits`.
    pub limits: Limits,
    /// `enrich`.
    pub enrich: EnrichBudget,
    /// `retry`.
    pub retry: Retry,
    /// `config`: scalars as written, lists and mappings as JSON.
    pub config: Arc<BTreeMap<String, String>>,
    /// The settings that are in use instead, because those of the configuration do not fit the module. Never in a
    /// configuration as it was read.
    pub kept: Option<Arc<KeptSettings>>,
}

/// The settings of a handler in an earlier configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptSettings {
    /// Its own.
    pub config: Arc<BTreeMap<String, String>>,
    /// Those of the routes that it was on, by their names, and of newer ones whose settings fit together with its own.
    pub routes: BTreeMap<Arc<str>, Arc<BTreeMap<String, String>>>,
}

impl HandlerSettings {
    /// Returns the settings that the handler is given on a route whose own are `over`.
    #[must_use]
    pub fn given_on(
        &self,
        route: &str,
        over: Option<&BTreeMap<String, String>>,
    ) -> Arc<BTreeMap<String, String>> {
        match (&self.kept, over) {
            (Some(kept), _) => match kept.routes.get(route) {
                Some(over) => under(&kept.config, over),
                None => Arc::clone(&kept.config),
            },
            (None, Some(over)) => self.config_under(over),
            (None, None) => Arc::clone(&self.config),
        }
    }

    /// Returns the handler's `config` overridden by that of a route.
    #[must_use]
    pub fn config_under(&self, over: &BTreeMap<String, String>) -> Arc<BTreeMap<String, String>> {
        under(&self.config, over)
    }
}

fn under(
    config: &Arc<BTreeMap<String, String>>,
    over: &BTreeMap<String, String>,
) -> Arc<BTreeMap<String, String>> {
    if over.is_empty() {
        return Arc::clone(config);
    }
    let mut config = (**config).clone();
    config.extend(over.iter().map(|(k, v)| (k.clone(), v.clone())));
    Arc::new(config)
}

/// The budget of one delivery's enrichment by one handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrichBudget {
    /// `attempts`: 2 by default.
    pub attempts_max: u32,
    /// `within`: over all attempts, 10 s by default. Half of it for a critical alert.
    pub within: Duration,
}

impl EnrichBudget {
    /// Returns the budget of a delivery of this priority: a critical alert is enriched in half of the time.
    pub(crate) fn of(&self, priority: Priority) -> Self {
        let within = match priority {
            Priority::Critical => self.within / 2,
            Priority::Warning | Priority::Normal => self.within,
        };
        Self {
            within,
            ..self.clone()
        }
    }
}

impl Default for EnrichBudget {
    fn default() -> Self {
        Self {
            attempts_max: 2,
            within: Duration::from_secs(10),
        }
    }
}

/// How a failed actor is retried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// `max_attempts`: 10 by default.
    pub attempts_max: u32,
    /// `min_backoff`: 1 s by default.
    pub backoff_min: Duration,
    /// `max_backoff`: 5 minutes by default.
    pub backoff_max: Duration,
    /// `max_age`: from acceptance, 4 hours by default.
    pub age_max: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts_max: 10,
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(5 * 60),
            age_max: Duration::from_secs(4 * 60 * 60),
        }
    }
}
