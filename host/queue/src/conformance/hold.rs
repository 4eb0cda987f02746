//! Holds the writer in a transaction, so that what is sent meanwhile is stored together in the next.

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

/// The writer waits in a transaction. It goes on when this is dropped.
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
    /// Has the writer wait in a transaction. Not for cases that report dead letters: the writer is held by those who do.
    pub(crate) async fn hold(&self) -> Held {
        let (mut stopped, stop) = Stopped::new();
        let gate = Gate(Mutex::new(Some(stop)));
        self.queue.set_dead_letters(Some(Arc::new(gate)));
        let raised = self.queue.raise(alert("Held", 0), IfBlocked::Leave);
        assert!(raised.now_or_never().is_none(), "it waits for its answer");
        stopped.stands().await;
        Held {
            queue: self.queue.clone(),
            _stopped: stopped,
        }
    }
}

/// No way to report anything, and the first question for one is answered only after a while.
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

/// A request that goes on step by step.
pub(crate) struct Request<F> {
    future: Pin<Box<F>>,
    woken: Arc<Woken>,
}

impl<F: Future> Request<F> {
    /// Makes a request up to its first wait. What it reads of the store is not there before that: the one thread that reads for
    /// a case is busy meanwhile.
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

    /// Waits until what it waits for is there. It does not go on.
    pub(crate) async fn is_answered(&self) {
        self.woken.0.notified().await;
    }

    /// Goes on up to the next wait.
    pub(crate) fn step(&mut self) {
        let waker = Waker::from(Arc::clone(&self.woken));
        let polled = self.future.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending(), "it waits for the writer");
    }

    /// Reads what it needs of the store, and hands its message to the writer.
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
