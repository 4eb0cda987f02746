//! Work that goes on where whoever waits for it goes away.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt as _;
use futures_util::future::CatchUnwind;
use tokio::runtime::Handle;

/// A future that runs where it is awaited, which costs less than a task; dropped before its end, it goes on as one.
pub(super) struct Outliving<F: Future<Output: Send> + Send + 'static>(Option<Work<F>>);

type Work<F> = Pin<Box<CatchUnwind<AssertUnwindSafe<F>>>>;

impl<F: Future<Output: Send> + Send + 'static> Outliving<F> {
    pub(super) fn new(work: F) -> Self {
        Self(Some(Box::pin(AssertUnwindSafe(work).catch_unwind())))
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for Outliving<F> {
    /// Absent where the work panicked.
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let ended = ready!(work.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(ended.ok())
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for Outliving<F> {
    fn drop(&mut self) {
        // Without a runtime the server is at its end.
        if let (Some(work), Ok(here)) = (self.0.take(), Handle::try_current()) {
            here.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::future::poll_fn;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn work_goes_on_where_nobody_waits_for_it_any_more() {
        let (go, gone) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let mut work = Outliving::new(async move {
            gone.await.unwrap();
            done.send(7).unwrap();
        });
        let polled = poll_fn(|cx| Poll::Ready(work.poll_unpin(cx))).await;
        assert!(polled.is_pending());
        drop(work);
        go.send(()).unwrap();
        assert_eq!(is_done.await.unwrap(), 7);
    }

    #[tokio::test]
    async fn whoever_waits_gets_the_result_and_no_panic() {
        assert_eq!(Outliving::new(async { 7 }).await, Some(7));
        let panics = Outliving::new(async { panic!("meant to be seen in the log") });
        assert_eq!(panics.await, None::<()>);
    }
}
