//! State that tests can wait on: a change wakes them, and a wait that ends in vain shows what was there instead.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::PATIENCE;

/// How many times [`PATIENCE`] a wait lasts at most if there are changes all the time, but not the one that is waited for.
const WITH_PROGRESS: u32 = 10;

/// A value behind a lock, with waiting.
#[derive(Debug)]
pub struct Watched<T> {
    inner: Arc<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    value: Mutex<T>,
    changes: watch::Sender<u64>,
}

impl<T> Clone for Watched<T> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<T> Watched<T> {
    /// Wraps `value`.
    pub fn new(value: T) -> Self {
        Self {
            inner: Arc::new(Inner {
                value: Mutex::new(value),
                changes: watch::Sender::new(0),
            }),
        }
    }

    /// Returns what `look` makes of the value.
    pub fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.inner.value.lock())
    }

    /// Changes the value and wakes all tasks that wait.
    pub fn change<R>(&self, edit: impl FnOnce(&mut T) -> R) -> R {
        let result = edit(&mut self.inner.value.lock());
        self.inner.changes.send_modify(|version| *version += 1);
        result
    }

    /// Waits until `found` returns something, looking again at every change. As long as the value changes, a loaded machine may
    /// take its time.
    ///
    /// # Panics
    /// If nothing has changed for [`PATIENCE`], and in any case after ten times as long, with `what` was waited for and `seen`'s
    /// account of the value.
    pub async fn wait<R>(
        &self,
        what: &str,
        mut found: impl FnMut(&T) -> Option<R>,
        seen: impl FnOnce(&T) -> String,
    ) -> R {
        let began = Instant::now();
        let mut changes = self.inner.changes.subscribe();
        loop {
            changes.borrow_and_update();
            if let Some(result) = self.read(&mut found) {
                return result;
            }
            let changed = tokio::time::timeout(PATIENCE, changes.changed()).await;
            let waited = began.elapsed();
            assert!(
                changed.is_ok() && waited < WITH_PROGRESS * PATIENCE,
                "waited {waited:?} in vain for {what}; seen:\n{}",
                self.read(seen)
            );
        }
    }

    /// Waits without a limit until `found` returns something.
    pub async fn next<R>(&self, mut found: impl FnMut(&T) -> Option<R>) -> R {
        let mut changes = self.inner.changes.subscribe();
        loop {
            changes.borrow_and_update();
            if let Some(result) = self.read(&mut found) {
                return result;
            }
            // The sender lives in self, so this returns only at a change.
            let _ = changes.changed().await;
        }
    }
}
