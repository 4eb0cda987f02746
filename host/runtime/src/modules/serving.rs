//! A snapshot of the modules that serve.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::Serialize;
use tokio::sync::watch;

use crate::ModuleState;
use crate::modules::catalog::{Catalog, Listed};
use crate::modules::module::Module;
use crate::modules::source::Origin;
use alert_manager_core::alert::HandlerName;
use alert_manager_core::description::Description;

/// One origin, as the API lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModuleInfo {
    /// The name of the module that serves from this origin; `None` if none does.
    pub name: Option<HandlerName>,
    /// The version of the module that serves.
    pub version: Option<String>,
    /// The SHA-256 of the module that serves, in hexadecimal.
    pub sha256: Option<String>,
    /// The origin. A file is serialized as its name without the folder.
    #[serde(rename = "file")]
    pub origin: Origin,
    /// The state. Never [`ModuleState::Limited`], which depends on the configuration.
    pub state: ModuleState,
    /// The summary from the module's `describe`.
    pub summary: Option<String>,
    /// The alertnames that it serves without a route.
    pub alerts: Vec<String>,
    /// The interfaces of the contract that it imports.
    pub imports: Vec<String>,
    /// Who besides the operator could have written the module that serves; `None` if nobody could.
    pub exposure: Option<String>,
    /// Why the newest bytes of this origin are not served.
    pub error: Option<String>,
    /// The name that a refused module claims, if all that is wrong is who may have it or how it is configured.
    #[serde(skip)]
    pub claims: Option<HandlerName>,
}

impl ModuleInfo {
    /// Returns whether it is the file of a handler of this name: by what it says, or by what the file is called.
    #[must_use]
    pub fn is_of(&self, name: &HandlerName) -> bool {
        let said = self.name.as_ref().or(self.claims.as_ref());
        said == Some(name) || self.origin.is_file_of(name)
    }

    fn of(listed: &Listed<'_, Module>) -> Self {
        let module = listed.serving.map(|loaded| &loaded.module);
        let description = module.map(|module| module.description());
        Self {
            name: description.map(|d| d.name.clone()),
            version: description.map(|d| d.version.clone()),
            sha256: module.map(|module| module.sha256().to_owned()),
            origin: listed.origin.clone(),
            state: listed.state,
            summary: description.map(|d| d.summary.clone()),
            alerts: description.map(|d| d.alerts.clone()).unwrap_or_default(),
            imports: module.map(|m| m.imports().to_vec()).unwrap_or_default(),
            exposure: listed.serving.and_then(|loaded| loaded.exposure.clone()),
            error: listed.error.map(str::to_owned),
            claims: listed.claimed.cloned(),
        }
    }
}

/// A module that serves.
pub struct Served {
    /// The module.
    pub module: Arc<Module>,
    /// Who besides the operator could have written its bytes, as a sentence; `None` if nobody could.
    pub exposure: Option<String>,
}

/// The modules that serve at one moment, and all origins.
#[derive(Default)]
pub struct Serving {
    modules: BTreeMap<HandlerName, Arc<Served>>,
    listed: Vec<ModuleInfo>,
}

impl Serving {
    fn of(catalog: &Catalog<Module>) -> Self {
        let served = catalog.list().filter_map(|listed| listed.serving);
        Self {
            modules: served
                .map(|loaded| {
                    let served = Served {
                        module: Arc::clone(&loaded.module),
                        exposure: loaded.exposure.clone(),
                    };
                    (loaded.module.name().clone(), Arc::new(served))
                })
                .collect(),
            listed: catalog
                .list()
                .map(|listed| ModuleInfo::of(&listed))
                .collect(),
        }
    }

    /// Returns the module that serves under `name`.
    #[must_use]
    pub fn get(&self, name: &HandlerName) -> Option<&Arc<Served>> {
        self.modules.get(name)
    }

    /// Returns every origin, refused ones too, sorted by origin.
    #[must_use]
    pub fn listed(&self) -> &[ModuleInfo] {
        &self.listed
    }

    /// Returns the description of every module that serves, by name.
    #[must_use]
    pub fn descriptions(&self) -> Vec<Description> {
        let served = self.modules.values();
        served
            .map(|served| served.module.description().clone())
            .collect()
    }
}

/// The state that the follower publishes and the registry reads.
#[derive(Default)]
pub(crate) struct Published {
    pub(crate) serving: ArcSwap<Serving>,
    /// Incremented with every change; 0 until the first scan has ended.
    pub(crate) generation: watch::Sender<u64>,
}

impl Published {
    /// Publishes the state of the catalog.
    pub(crate) fn publish(&self, catalog: &Catalog<Module>) {
        self.serving.store(Arc::new(Serving::of(catalog)));
        if !catalog.is_first_scan() {
            self.generation.send_modify(|n| *n += 1);
        }
    }
}
