//! Which settings handlers are given: those of the configuration, or, if these do not fit what a module declares, those that it
//! had before.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::alert::HandlerName;
use crate::config::Config;
use crate::description::Description;
use crate::review;
use crate::runtime::{Module, Terms};
use crate::worker::{HandlerSettings, KeptSettings, Settings};

use super::options;

/// The latest settings of each handler that fit its module.
#[derive(Default)]
pub(super) struct LastGood(Mutex<BTreeMap<HandlerName, Arc<KeptSettings>>>);

impl LastGood {
    /// Returns the settings to put in use with a configuration and the modules that serve, and remembers those that fit.
    pub(super) fn in_use(&self, config: &Config, modules: &[Description]) -> Settings {
        let mut settings = config.handlers.clone();
        let mut good = self.0.lock();
        good.retain(|name, _| modules.iter().any(|module| module.name == *name));
        for module in modules {
            let name = &module.name;
            if review::refusal(config, module).is_none() {
                good.insert(name.clone(), Arc::new(of(config, name)));
            } else if let Some(kept) = good.get(name) {
                let with_kept = HandlerSettings {
                    kept: Some(with_new_routes(kept, config, module)),
                    ..(*settings.of(name)).clone()
                };
                settings.by_name.insert(name.clone(), Arc::new(with_kept));
            }
        }
        settings
    }
}

/// Returns the settings that a configuration has for a handler.
fn of(config: &Config, name: &HandlerName) -> KeptSettings {
    let routes = config.routes.iter();
    let its = routes.filter(|route| route.handlers.contains(name));
    KeptSettings {
        config: Arc::clone(&config.handlers.of(name).config),
        routes: its
            .map(|route| (Arc::clone(&route.name), Arc::clone(&route.config)))
            .collect(),
    }
}

/// Returns kept settings with those of the routes that the handler was not on before, each as far as they fit together.
fn with_new_routes(
    kept: &Arc<KeptSettings>,
    config: &Config,
    module: &Description,
) -> Arc<KeptSettings> {
    let name = &module.name;
    let mut all = KeptSettings::clone(kept);
    for route in &config.routes {
        let is_new = route.handlers.contains(name) && !kept.routes.contains_key(&route.name);
        if is_new && fits_on(&route.name, kept, config, module) {
            all.routes
                .insert(Arc::clone(&route.name), Arc::clone(&route.config));
        }
    }
    Arc::new(all)
}

/// Returns true if the settings of a route fit a module together with those that its handler keeps.
fn fits_on(route: &str, kept: &KeptSettings, config: &Config, module: &Description) -> bool {
    let name = &module.name;
    let mut alone = config.clone();
    let own = HandlerSettings {
        config: Arc::clone(&kept.config),
        ..(*alone.handlers.of(name)).clone()
    };
    alone.handlers.by_name.insert(name.clone(), Arc::new(own));
    for other in alone
        .routes
        .iter_mut()
        .filter(|other| *other.name != *route)
    {
        other.handlers.retain(|handler| handler != name);
    }
    review::refusal(&alone, module).is_none()
}

/// Returns what a configuration demands of modules: that they are the pinned ones, and that its settings fit them.
pub(super) fn terms(config: &Arc<Config>) -> Terms<Module> {
    let judged = Arc::clone(config);
    Terms::new(options::pins(config), move |module: &Module| {
        review::refusal(&judged, module.description())
    })
}
