//! Holds the committer in a transaction, so that messages that are sent meanwhile are handled together in the next.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Wake, Waker};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::sync::Notify;

use alert_manager_core::alert::{Alert, HandlerName, Timestamp};

use super::alerts::alert;
use super::bench::{Bench, Stop, Stopped};
use super::harness::Harness;
use crate::{DeadLetter, DeadLetterNotices, Delivery, IfBlocked, Queue, Way};

/// Holds the committer in a transaction until this is dropped.
pub(crate) struct Held {
    queue: Queue,
    _stopped: Stopped,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.queue.set_dead_letters(None);
    }
}

impl<B: Bench> Harness<B> {
    /// Holds the committer in a transaction. Not for cases that report dead letters, since it replaces what makes notices.
    pub(crate) async fn hold(&self) -> Held {
        let (mut stopped, stop) = Stopped::new();
        let gate = Gate(Mutex::new(Some(stop)));
        self.queue.set_dead_letters(Some(Arc::new(gate)));
        let raised = self.queue.raise(alert("Held", 0), IfBlocked::Leave);
        assert!(raised.now_or_never().is_none(), "it waits for its answer");
        stopped.wait_until_stopped().await;
        Held {
            queue: self.queue.clone(),
            _stopped: stopped,
        }
    }
}

/// Has no way to report, and blocks the first request for the ways until it is released.
#[derive(Debug)]
struct Gate(Mutex<Option<Stop>>);

impl DeadLetterNotices for Gate {
    fn ways(&self) -> Vec<Way> {
        let stop = self.0.lock().take();
        if let Some(stop) = stop {
            stop.stand();
        }
        Vec::new()
    }

    fn notice(&self, _: &DeadLetter<'_>, _: Timestamp) -> Alert {
        alert("None", 0)
    }

    fn suffices(&self, _: &str, _: &[HandlerName]) -> bool {
        false
    }

    fn forwarded(&self, alert: Alert, _: &Delivery) -> Alert {
        alert
    }

    fn resolved(&self, alert: Alert, _: Timestamp) -> Alert {
        alert
    }
}

/// A request that is polled step by step.
pub(crate) struct Request<F> {
    future: Pin<Box<F>>,
    woken: Arc<Woken>,
}

impl<F: Future> Request<F> {
    /// Polls a request until it first waits. It cannot read from the store before that: the one blocking thread of a case is busy
    /// meanwhile.
    pub(crate) fn send(request: F) -> Self {
        let mut request = Self {
            future: Box::pin(request),
            woken: Arc::default(),
        };
        let (is_sent, wait) = channel::<()>();
        tokio::task::spawn_blocking(move || wait.recv().is_err());
        request.step();
        drop(is_sent);
        request
    }

    /// Waits until it can continue, without polling it.
    pub(crate) async fn is_answered(&self) {
        self.woken.0.notified().await;
    }

    /// Polls it until it waits again.
    pub(crate) fn step(&mut self) {
        let waker = Waker::from(Arc::clone(&self.woken));
        let polled = self.future.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending(), "it waits for the writer");
    }

    /// Lets it read from the store and send its message to the committer.
    pub(crate) async fn reads(mut self) -> Self {
        self.is_answered().await;
        self.step();
        self
    }
}

impl<F: Future> Future for Request<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.future.as_mut().poll(cx)
    }
}

#[derive(Default)]
struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}
