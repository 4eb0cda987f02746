//! An answer that all who ask for it at the same time share: a hundred viewers of a page cost what one costs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

/// The pause after an answer, in times of how long it took to make: whoever asks meanwhile waits.
const REST: u32 = 4;

/// The longest such pause.
const REST_MAX: Duration = Duration::from_millis(50);

/// Makes an answer for all who have asked for it before it was begun.
#[derive(Debug)]
pub(crate) struct Together<T>(Mutex<Option<Made<T>>>);

#[derive(Debug)]
struct Made<T> {
    begun: Instant,
    /// No other is begun before.
    rests_until: Instant,
    answer: Arc<T>,
}

impl<T> Together<T> {
    /// Returns the answer of `make`, which was begun after this was called, or after another who waits called it.
    pub(super) async fn answer<E>(
        &self,
        make: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let asked = Instant::now();
        let mut last = self.0.lock().await;
        if let Some(made) = &*last {
            if made.begun > asked {
                return Ok(Arc::clone(&made.answer));
            }
            tokio::time::sleep_until(made.rests_until.into()).await;
        }
        let begun = Instant::now();
        let answer = Arc::new(make().await?);
        let ended = Instant::now();
        let rest = (REST * (ended - begun)).min(REST_MAX);
        *last = Some(Made {
            begun,
            rests_until: ended + rest,
            answer: Arc::clone(&answer),
        });
        Ok(answer)
    }
}

impl<T> Default for Together<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn those_who_ask_while_one_is_made_share_the_next() {
        let together = Arc::new(Together::default());
        let (made, begun, go_on) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(Notify::new()),
            Arc::new(Notify::new()),
        );
        let ask = || {
            let (together, made) = (Arc::clone(&together), Arc::clone(&made));
            let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
            tokio::spawn(async move {
                let make = async || {
                    begun.notify_one();
                    go_on.notified().await;
                    Ok::<_, Infallible>(made.fetch_add(1, Ordering::Relaxed) + 1)
                };
                *together.answer(make).await.unwrap()
            })
        };
        let first = ask();
        begun.notified().await;
        let later: Vec<_> = (0..100).map(|_| ask()).collect();
        // Each of them has asked once it was polled, on this one thread.
        tokio::task::yield_now().await;
        go_on.notify_one();
        assert_eq!(first.await.unwrap(), 1);
        begun.notified().await;
        go_on.notify_one();
        for asked in later {
            assert_eq!(asked.await.unwrap(), 2);
        }
        let again = ask();
        begun.notified().await;
        go_on.notify_one();
        assert_eq!(
            again.await.unwrap(),
            3,
            "what was made before is not served"
        );
    }

    #[tokio::test]
    async fn an_error_is_for_the_one_who_asked_and_is_not_kept() {
        let together = Together::default();
        let failed = together.answer(async || Err::<usize, _>("no")).await;
        assert_eq!(failed, Err("no"));
        assert_eq!(
            together.answer(async || Ok::<_, &str>(1)).await,
            Ok(Arc::new(1))
        );
    }
}
