//! Modules that a test offers by hand, for tests that are not about files.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use alert_manager::runtime::{Candidate, Content, LoadError, ModuleSource, Origin, SourceEvent};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

/// A source whose modules are in memory. Its clones are one source: one is given to the registry, one is kept.
#[derive(Clone)]
pub struct Memory(Arc<Shared>);

struct Shared {
    name: &'static str,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    modules: BTreeMap<String, Vec<u8>>,
    events: VecDeque<SourceEvent>,
    is_busy: bool,
}

impl Memory {
    /// Makes an empty source.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        let state = State {
            is_busy: true,
            ..State::default()
        };
        Self(Arc::new(Shared {
            name,
            state: Mutex::new(state),
            changed: Notify::new(),
        }))
    }

    /// Returns it as a registry takes its sources.
    #[must_use]
    pub fn boxed(&self) -> Box<dyn ModuleSource> {
        Box::new(self.clone())
    }

    /// Returns what a module of this name has for an origin.
    #[must_use]
    pub fn origin(&self, name: &str) -> Origin {
        Origin::Named {
            source: self.0.name,
            name: name.to_owned(),
        }
    }

    /// Offers a module, in the place of what had this name before.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let offer = self.offer(name, bytes.clone());
        self.0.state.lock().modules.insert(name.to_owned(), bytes);
        self.push(offer);
    }

    /// Offers a module whose bytes are read only once they are sent.
    pub fn put_slowly(&self, name: &str) -> oneshot::Sender<Vec<u8>> {
        let (bytes, read) = oneshot::channel();
        let content = async {
            let bytes = read.await.unwrap_or_default();
            let exposure = None;
            Ok(Content { bytes, exposure })
        };
        self.push(self.offer_content(name, content.boxed()));
        bytes
    }

    /// Reports that a module has changed since it was offered.
    pub fn change(&self, name: &str) {
        self.push(SourceEvent::Changed(self.origin(name)));
    }

    /// Removes a module.
    pub fn remove(&self, name: &str) {
        self.0.state.lock().modules.remove(name);
        self.push(SourceEvent::Removed(self.origin(name)));
    }

    fn push(&self, event: SourceEvent) {
        self.0.state.lock().events.push_back(event);
        self.0.changed.notify_one();
    }

    fn offer(&self, name: &str, bytes: Vec<u8>) -> SourceEvent {
        let content = Content {
            bytes,
            exposure: None,
        };
        self.offer_content(name, async { Ok(content) }.boxed())
    }

    fn offer_content(
        &self,
        name: &str,
        content: BoxFuture<'static, Result<Content, LoadError>>,
    ) -> SourceEvent {
        SourceEvent::Offered(Candidate {
            origin: self.origin(name),
            since: None,
            is_settled: true,
            content,
        })
    }

    fn next_now(&self) -> Option<SourceEvent> {
        let mut state = self.0.state.lock();
        match state.events.pop_front() {
            Some(event) => {
                state.is_busy = true;
                Some(event)
            }
            None => std::mem::take(&mut state.is_busy).then_some(SourceEvent::Idle),
        }
    }
}

impl ModuleSource for Memory {
    fn next(&mut self) -> BoxFuture<'_, SourceEvent> {
        async {
            loop {
                match self.next_now() {
                    Some(event) => return event,
                    None => self.0.changed.notified().await,
                }
            }
        }
        .boxed()
    }

    fn look(&mut self, again: &[Origin]) {
        let mut state = self.0.state.lock();
        for origin in again {
            let mut modules = state.modules.iter();
            let its = modules.find(|(name, _)| self.origin(name) == *origin);
            if let Some((name, bytes)) = its {
                let event = self.offer(name, bytes.clone());
                state.events.push_back(event);
            }
        }
        state.is_busy = true;
        self.0.changed.notify_one();
    }
}
