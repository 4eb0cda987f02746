//! The modules of the server: which serve under which names, and why the others do not. The one handle for everybody else.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::modules::catalog::Pins;
use crate::modules::follower::{Follower, Rescan};
use crate::modules::loader::Loader;
use crate::modules::serving::{ModuleInfo, Published, Served, Serving};
use crate::modules::source::{ModuleSource, Sources};
use alert_manager_core::alert::HandlerName;

/// The modules of every source, kept up to date.
pub struct Registry {
    published: Arc<Published>,
    rescans: mpsc::Sender<Rescan>,
}

impl Registry {
    /// Serves the modules of the sources from the end of the first scan on, in a task that ends with the last handle.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn open(loader: Arc<Loader>, sources: Vec<Box<dyn ModuleSource>>, pins: Pins) -> Arc<Self> {
        let published = Arc::<Published>::default();
        let (rescans, requests) = mpsc::channel(16);
        let sources = Sources::new(sources);
        let follower = Follower::new(loader, sources, pins, Arc::clone(&published));
        tokio::spawn(follower.run(requests));
        Arc::new(Self { published, rescans })
    }

    /// Returns the module that serves under `name`. Calls under way finish on it even if it is replaced.
    #[must_use]
    pub fn get(&self, name: &HandlerName) -> Option<Arc<Served>> {
        self.published.serving.load().get(name).cloned()
    }

    /// Returns why the module that would be `name` is refused: the one that served as `name`, or the file `NAME.wasm`.
    #[must_use]
    pub fn refusal(&self, name: &HandlerName) -> Option<String> {
        let serving = self.published.serving.load();
        let mut listed = serving.listed().iter();
        let is_its =
            |info: &&ModuleInfo| info.name.as_ref() == Some(name) || info.origin.is_file_of(name);
        listed.find(is_its)?.error.clone()
    }

    /// Returns what is served now, as a whole.
    #[must_use]
    pub fn serving(&self) -> Arc<Serving> {
        self.published.serving.load_full()
    }

    /// Returns a watch on the generation: it changes with what is served or refused.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.published.generation.subscribe()
    }

    /// Returns true once the first scan has ended.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.published.generation.borrow() > 0
    }

    /// Returns once the first scan has ended.
    pub async fn ready(&self) {
        let mut generation = self.subscribe();
        // The sender lives as long as `self`.
        let _ = generation.wait_for(|n| *n > 0).await;
    }

    /// Looks for changes now, and returns once everything that was found is served or refused: after ten seconds in any case.
    pub async fn rescan(&self) {
        self.look(None).await;
    }

    /// Sets the hashes that modules must have, looks for changes, and holds what serves to them.
    pub async fn set_pins(&self, pins: Pins) {
        self.look(Some(pins)).await;
    }

    async fn look(&self, pins: Option<Pins>) {
        let (done, is_done) = oneshot::channel();
        if self.rescans.send(Rescan { pins, done }).await.is_ok() {
            let _ = is_done.await;
        }
    }
}
