//! What people read, who watch: however many they are, the store does little for them at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::model::ReadError;

/// A query that takes less may be followed by the next one at once.
const SHORT: Duration = Duration::from_millis(5);

/// The places of those who read.
#[derive(Debug)]
pub(crate) struct Views(Arc<Semaphore>);

impl Views {
    /// Returns so many places.
    pub(crate) fn new(places: usize) -> Self {
        Self(Arc::new(Semaphore::new(places)))
    }

    /// Reads on a blocking thread, once there is a place. After a long query its place stays empty for as long as the query took, so
    /// that a processor is left to what runs.
    ///
    /// # Errors
    /// Those of `read`.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let failed = |error: &dyn std::error::Error| ReadError(error.to_string());
        let place = Arc::clone(&self.0).acquire_owned().await;
        let place = place.map_err(|e| failed(&e))?;
        let runtime = Handle::current();
        // The place goes with the query, which goes on if whoever asked goes away.
        let query = move || {
            let began = Instant::now();
            let answer = read();
            let took = began.elapsed();
            if took >= SHORT {
                runtime.spawn(async move {
                    tokio::time::sleep(took).await;
                    drop(place);
                });
            }
            answer
        };
        let answer = tokio::task::spawn_blocking(query).await;
        answer.unwrap_or_else(|e| Err(failed(&e)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::mpsc;

    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    #[tokio::test]
    async fn only_as_many_read_at_once_as_have_a_place() {
        let views = Arc::new(Views::new(2));
        let (begun, mut begins) = unbounded_channel();
        let mut asked: Vec<_> = (0..3)
            .map(|n| {
                let (views, begun) = (Arc::clone(&views), begun.clone());
                let (go_on, until) = mpsc::channel::<()>();
                let read = async move {
                    let query = move || {
                        begun.send(n).unwrap();
                        let _ = until.recv();
                        Ok(n)
                    };
                    views.read(query).await
                };
                (go_on, tokio::spawn(read))
            })
            .collect();
        let first = begins.recv().await.unwrap();
        assert_ne!(begins.recv().await.unwrap(), first);
        assert_eq!(views.0.available_permits(), 0);
        assert!(begins.try_recv().is_err());
        let (go_on, answer) = asked.remove(first);
        drop(go_on);
        assert_eq!(answer.await.unwrap().unwrap(), first);
        // The third one has its place.
        begins.recv().await.unwrap();
        for (go_on, answer) in asked {
            drop(go_on);
            answer.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn a_query_keeps_its_place_if_whoever_asked_goes_away() {
        let views = Arc::new(Views::new(1));
        let (begun, mut begins) = unbounded_channel();
        let (go_on, until) = mpsc::channel::<()>();
        let query = move || {
            begun.send(()).unwrap();
            let _ = until.recv();
            Ok(())
        };
        let reads = Arc::clone(&views);
        let asked = tokio::spawn(async move { reads.read(query).await });
        begins.recv().await.unwrap();
        asked.abort();
        assert!(asked.await.unwrap_err().is_cancelled());
        assert_eq!(views.0.available_permits(), 0);
        drop(go_on);
        assert_eq!(views.read(|| Ok(1)).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn an_error_is_answered_and_gives_the_place_back() {
        let views = Views::new(1);
        let failed = views.read(|| Err::<(), _>(ReadError("no".into()))).await;
        assert_eq!(failed.unwrap_err().0, "no");
        assert_eq!(views.read(|| Ok(1)).await.unwrap(), 1);
    }
}
