//! Which modules serve under which names, and why the other files do not.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};

use crate::modules::folder::{ANSWER_MAX, Folder, FolderError, RESCAN};
use crate::{Module, ModuleState, Runtime};
use alert_manager_core::alert::HandlerName;
use alert_manager_core::description::Description;

/// The hash that a module of a name must have.
pub type Pins = BTreeMap<HandlerName, [u8; 32]>;

/// One file of the folder, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModuleInfo {
    /// Of the module that serves from this file; absent where none ever did.
    pub name: Option<HandlerName>,
    /// Of the module that serves.
    pub version: Option<String>,
    /// Of the module that serves, else of the file where it was read.
    pub sha256: Option<String>,
    /// The file's name within the folder.
    pub file: String,
    /// Never [`ModuleState::Limited`]: whoever knows the grants says so.
    pub state: ModuleState,
    /// What the module says of itself.
    pub summary: Option<String>,
    /// The alertnames that it serves where no route says otherwise.
    pub alerts: Vec<String>,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// Who besides the file's owner could have written the module that serves, where anybody.
    pub exposure: Option<String>,
    /// Why the file as it is now is not served.
    pub error: Option<String>,
}

/// What is served at one moment.
#[derive(Default)]
pub struct Serving {
    pub(crate) modules: BTreeMap<HandlerName, Arc<Module>>,
    pub(crate) files: Vec<ModuleInfo>,
}

impl Serving {
    /// Returns every file of the folder, refused ones too, by file name.
    #[must_use]
    pub fn files(&self) -> &[ModuleInfo] {
        &self.files
    }

    /// Returns what every module that serves says of itself, by name.
    #[must_use]
    pub fn descriptions(&self) -> Vec<Description> {
        let modules = self.modules.values();
        modules.map(|module| module.description().clone()).collect()
    }
}

/// What the registry and its folder's task share.
pub(crate) struct Shared {
    pub(crate) serving: ArcSwap<Serving>,
    pub(crate) pins: ArcSwap<Pins>,
    /// Goes up with every change of what is served; 0 until the first scan has ended.
    pub(crate) generation: watch::Sender<u64>,
}

/// The modules of one folder, kept up with it.
pub struct Registry {
    shared: Arc<Shared>,
    rescans: mpsc::Sender<oneshot::Sender<()>>,
}

impl Registry {
    /// Watches `dir` and serves the modules in it, from the first scan on. Ends with the last handle.
    ///
    /// # Errors
    /// Where `dir` is no folder that can be read.
    pub fn open(runtime: Arc<Runtime>, dir: PathBuf, pins: Pins) -> Result<Arc<Self>, FolderError> {
        let shared = Arc::new(Shared {
            serving: ArcSwap::default(),
            pins: ArcSwap::from_pointee(pins),
            generation: watch::Sender::new(0),
        });
        let (rescans, requests) = mpsc::channel(16);
        let folder = Folder::open(runtime, dir, Arc::clone(&shared))?;
        tokio::spawn(folder.run(requests));
        Ok(Arc::new(Self { shared, rescans }))
    }

    /// Returns the module that serves under `name`. Whoever holds it finishes on it, replaced or not.
    #[must_use]
    pub fn get(&self, name: &HandlerName) -> Option<Arc<Module>> {
        self.shared.serving.load().modules.get(name).cloned()
    }

    /// Returns why a file that was to be `name` is refused, where that is known by its name alone.
    #[must_use]
    pub fn refusal(&self, name: &HandlerName) -> Option<String> {
        let serving = self.shared.serving.load();
        let file = serving.files.iter().find(|file| {
            file.name.as_ref() == Some(name)
                || file.file.strip_suffix(".wasm") == Some(name.as_str())
        })?;
        file.error.clone()
    }

    /// Returns every module that serves, by name.
    #[must_use]
    pub fn modules(&self) -> Vec<Arc<Module>> {
        self.shared
            .serving
            .load()
            .modules
            .values()
            .cloned()
            .collect()
    }

    /// Returns what is served now, whole.
    #[must_use]
    pub fn serving(&self) -> Arc<Serving> {
        self.shared.serving.load_full()
    }

    /// Returns a watch on the generation: it changes whenever what is served or refused does.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.generation.subscribe()
    }

    /// Returns true once the first scan has ended.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.shared.generation.borrow() > 0
    }

    /// Returns once the first scan has ended.
    pub async fn ready(&self) {
        let mut generation = self.subscribe();
        // The sender lives as long as `self`.
        let _ = generation.wait_for(|n| *n > 0).await;
    }

    /// Looks at the folder now, and returns once every file in it is served or refused: after some
    /// ten seconds in any case.
    pub async fn rescan(&self) {
        let (done, is_done) = oneshot::channel();
        let asked = async {
            if self.rescans.send(done).await.is_ok() {
                let _ = is_done.await;
            }
        };
        // The folder answers in time by itself, unless its disk hangs.
        if tokio::time::timeout(ANSWER_MAX + RESCAN, asked)
            .await
            .is_err()
        {
            tracing::warn!(
                "the folder of handlers does not answer; modules that are loaded stay in service"
            );
        }
    }

    /// Sets the hashes that modules must have, and judges the files by them anew.
    pub async fn set_pins(&self, pins: Pins) {
        self.shared.pins.store(Arc::new(pins));
        self.rescan().await;
    }
}
