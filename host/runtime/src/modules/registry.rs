//! The handle by which the rest of the server uses modules: which of them serve under which names, and why others are
//! refused.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::modules::catalog::Terms;
use crate::modules::follower::{Follower, Rescan};
use crate::modules::loader::Loader;
use crate::modules::module::Module;
use crate::modules::serving::{ModuleInfo, Published, Served, Serving};
use crate::modules::source::{ModuleSource, Sources};
use alert_manager_core::alert::HandlerName;

/// The modules of every source, kept up to date.
pub struct Registry {
    published: Arc<Published>,
    rescans: mpsc::Sender<Rescan>,
}

impl Registry {
    /// Follows the sources, and serves their modules from the end of the first scan on. The task ends when the registry is
    /// dropped.
    ///
    /// # Panics
    /// If called outside of a tokio runtime.
    #[must_use]
    pub fn open(
        loader: Arc<Loader>,
        sources: Vec<Box<dyn ModuleSource>>,
        terms: impl Into<Terms<Module>>,
    ) -> Arc<Self> {
        let published = Arc::<Published>::default();
        let (rescans, requests) = mpsc::channel(16);
        let sources = Sources::new(sources);
        let follower = Follower::new(loader, sources, terms.into(), Arc::clone(&published));
        tokio::spawn(follower.run(requests));
        Arc::new(Self { published, rescans })
    }

    /// Returns the module that serves under `name`. Running calls finish with it even if it is replaced.
    #[must_use]
    pub fn get(&self, name: &HandlerName) -> Option<Arc<Served>> {
        self.published.serving.load().get(name).cloned()
    }

    /// Returns why a handler's newest module is refused. It is found by the name that it claims, by the module that serves
    /// under `name` from the same origin, or by the file name `NAME.wasm`.
    #[must_use]
    pub fn refusal(&self, name: &HandlerName) -> Option<String> {
        let serving = self.published.serving.load();
        let mut listed = serving.listed().iter();
        let is_refused = |info: &&ModuleInfo| info.error.is_some() && info.is_of(name);
        listed.find(is_refused)?.error.clone()
    }

    /// Returns a snapshot of what is served now.
    #[must_use]
    pub fn serving(&self) -> Arc<Serving> {
        self.published.serving.load_full()
    }

    /// Returns a number that changes if what is served or refused changes.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.published.generation.subscribe()
    }

    /// Returns true once the first scan has ended.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.published.generation.borrow() > 0
    }

    /// Waits until the first scan has ended.
    pub async fn ready(&self) {
        let mut generation = self.subscribe();
        // The sender lives as long as `self`.
        let _ = generation.wait_for(|n| *n > 0).await;
    }

    /// Looks for changes now. Returns when every candidate is served or refused, at the latest after ten seconds.
    pub async fn rescan(&self) {
        self.look(None).await;
    }

    /// Sets new terms and looks for changes; then withdraws modules that do not match their pins. Returns like
    /// [`Self::rescan`].
    pub async fn set_terms(&self, terms: impl Into<Terms<Module>>) {
        self.look(Some(terms.into())).await;
    }

    async fn look(&self, terms: Option<Terms<Module>>) {
        let (done, is_done) = oneshot::channel();
        if self.rescans.send(Rescan { terms, done }).await.is_ok() {
            let _ = is_done.await;
        }
    }
}
