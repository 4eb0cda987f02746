//! Tests whether a server would serve a module, before the module is put into the folder.

use std::sync::Arc;

use memchr::memmem;

use crate::modules::catalog::{Catalog, Decision, Loaded, Offer, Pins};
use crate::modules::loader::Loader;
use crate::modules::module::Module;
use crate::modules::source::{Candidate, Content, Origin};

impl Loader {
    /// Decides like a server that serves `others` and is then offered `bytes` from `origin`, and returns the module. Pins are
    /// ignored, because a module has to be built before it can be pinned.
    ///
    /// # Errors
    /// Why the module would be refused.
    pub async fn try_module(
        self: &Arc<Self>,
        origin: &Origin,
        bytes: Vec<u8>,
        others: Vec<Candidate>,
    ) -> Result<Arc<Module>, String> {
        let content = Content {
            bytes,
            exposure: None,
        };
        let module = self.load_content(content).await;
        let mut catalog = Catalog::new(Pins::new());
        if let Ok(Loaded { module, .. }) = &module {
            let name = memmem::Finder::new(module.name().as_str());
            for other in others.into_iter().filter(|other| other.origin != *origin) {
                let Ok(content) = other.content.await else {
                    continue;
                };
                // The bytes of a module that claims the name contain it. Others need not be compiled.
                if name.find(&content.bytes).is_some() {
                    let offer = Offer {
                        since: other.since,
                        is_settled: true,
                    };
                    catalog.offered(&other.origin, offer);
                    let loaded = self.load_content(content).await;
                    catalog.loaded(&other.origin, loaded);
                }
            }
        }
        catalog.end_first_scan();
        let offer = Offer {
            since: None,
            is_settled: true,
        };
        catalog.offered(origin, offer);
        let decisions = catalog.loaded(origin, module);
        if let Some(Decision::Refused { why, .. }) = decisions.into_iter().next() {
            return Err(why);
        }
        let serving = catalog.serving(origin);
        serving
            .map(|loaded| Arc::clone(&loaded.module))
            .ok_or_else(|| "it is not served".to_owned())
    }
}
