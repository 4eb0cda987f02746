//! An answer that takes the store some time and that many ask for: it is made at most once in a while, for all of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::http::error::ApiError;

/// The last answer, and when it was made.
#[derive(Debug)]
pub(crate) struct Cached<T>(Mutex<Option<(Instant, Arc<T>)>>);

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Cached<T> {
    /// Returns the last answer if it is younger than `fresh_for`, or else a new one. Those who ask while one is made wait for it.
    ///
    /// # Errors
    /// If it cannot be made; the next one tries again.
    pub(super) async fn get(
        &self,
        fresh_for: Duration,
        make: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<Arc<T>, ApiError> {
        let mut last = self.0.lock().await;
        if let Some((made_at, answer)) = &*last
            && made_at.elapsed() < fresh_for
        {
            return Ok(Arc::clone(answer));
        }
        let answer = Arc::new(make.await?);
        *last = Some((Instant::now(), Arc::clone(&answer)));
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use http::StatusCode;

    use super::*;

    #[tokio::test]
    async fn an_answer_is_made_again_once_it_is_old_and_after_a_failure() {
        let (cached, hour) = (Cached::default(), Duration::from_secs(3_600));
        let failed = async { Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "away")) };
        assert!(cached.get(hour, failed).await.is_err());
        assert_eq!(*cached.get(hour, async { Ok(1) }).await.unwrap(), 1);
        assert_eq!(*cached.get(hour, async { Ok(2) }).await.unwrap(), 1);
        assert_eq!(
            *cached.get(Duration::ZERO, async { Ok(3) }).await.unwrap(),
            3
        );
    }
}
