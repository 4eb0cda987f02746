//! Answers that all who ask for them share: a hundred viewers of a page cost what one costs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, Semaphore};

/// The pause after an answer, in times of how long it took to make: whoever asks meanwhile waits.
const REST: u32 = 4;

/// The longest such pause.
const REST_MAX: Duration = Duration::from_millis(500);

/// How many questions have their last answer kept.
const QUESTIONS_MAX: usize = 32;

/// How many answers to different questions are made at once: each may scan the store.
const MADE_AT_ONCE: usize = 4;

/// An answer that is made for all who ask for it.
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
    /// Returns an answer of `make`: the last one if it is at most `age_max` old, or else a new one. Those who ask meanwhile share
    /// the next.
    ///
    /// # Errors
    /// If it cannot be made; the next one who asks tries again.
    pub(super) async fn answer<E>(
        &self,
        age_max: Duration,
        make: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let asked = Instant::now();
        let mut last = self.0.lock().await;
        if let Some(made) = &*last {
            if made.begun + age_max > asked {
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

/// Answers to different questions, each made for all who ask it.
#[derive(Debug)]
pub(crate) struct ByQuestion<T> {
    answers: parking_lot::Mutex<HashMap<String, Arc<Together<T>>>>,
    at_once: Semaphore,
}

impl<T> ByQuestion<T> {
    /// Returns an answer of `make` to a question, which was begun after this was called.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(super) async fn answer<E>(
        &self,
        question: &str,
        make: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let of_question = {
            let mut answers = self.answers.lock();
            if answers.len() >= QUESTIONS_MAX && !answers.contains_key(question) {
                answers.retain(|_, asked| Arc::strong_count(asked) > 1);
            }
            Arc::clone(answers.entry(question.to_owned()).or_default())
        };
        let make = async || {
            // It is never closed.
            let _one = self.at_once.acquire().await.ok();
            make().await
        };
        of_question.answer(Duration::ZERO, make).await
    }
}

impl<T> Default for ByQuestion<T> {
    fn default() -> Self {
        Self {
            answers: parking_lot::Mutex::default(),
            at_once: Semaphore::new(MADE_AT_ONCE),
        }
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
                *together.answer(Duration::ZERO, make).await.unwrap()
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
        let failed = together
            .answer(Duration::ZERO, async || Err::<usize, _>("no"))
            .await;
        assert_eq!(failed, Err("no"));
        assert_eq!(
            together
                .answer(Duration::ZERO, async || Ok::<_, &str>(1))
                .await,
            Ok(Arc::new(1))
        );
    }

    #[tokio::test]
    async fn an_answer_is_made_again_once_it_is_old() {
        let (together, hour) = (Together::default(), Duration::from_secs(3_600));
        let answer = async |age_max, n| {
            let made = together.answer(age_max, async || Ok::<_, Infallible>(n));
            *made.await.unwrap()
        };
        assert_eq!(answer(hour, 1).await, 1);
        assert_eq!(answer(hour, 2).await, 1);
        assert_eq!(answer(Duration::ZERO, 3).await, 3);
    }

    #[tokio::test]
    async fn each_question_has_its_own_answer_and_few_are_kept() {
        let by_question = ByQuestion::default();
        for n in 0..=QUESTIONS_MAX {
            let question = n.to_string();
            let made = by_question.answer(&question, async || Ok::<_, Infallible>(n));
            assert_eq!(*made.await.unwrap(), n);
        }
        assert_eq!(by_question.answers.lock().len(), 1);
    }

    #[tokio::test]
    async fn only_some_answers_are_made_at_once() {
        let by_question = Arc::new(ByQuestion::default());
        let (begun, go_on) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let asked: Vec<_> = (0..=MADE_AT_ONCE)
            .map(|n| {
                let (by_question, begun) = (Arc::clone(&by_question), Arc::clone(&begun));
                let go_on = Arc::clone(&go_on);
                tokio::spawn(async move {
                    let make = async || {
                        begun.fetch_add(1, Ordering::Relaxed);
                        go_on
                            .acquire()
                            .await
                            .map(tokio::sync::SemaphorePermit::forget)
                    };
                    by_question.answer(&n.to_string(), make).await.map(drop)
                })
            })
            .collect();
        while begun.load(Ordering::Relaxed) < MADE_AT_ONCE {
            tokio::task::yield_now().await;
        }
        // Whoever could begin has begun by now, on this one thread.
        tokio::task::yield_now().await;
        assert_eq!(begun.load(Ordering::Relaxed), MADE_AT_ONCE);
        go_on.add_permits(MADE_AT_ONCE + 1);
        for asked in asked {
            asked.await.unwrap().unwrap();
        }
    }
}
