//! That something has changed, for those who follow it live.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until};

use crate::http::error::ApiError;
use crate::worker::Phase;

/// The shortest time between two notifications of one follower.
const CHANGE_EVERY: Duration = Duration::from_millis(500);

/// How many can follow at once: half of the connections that a server has by default.
const FOLLOWERS_MAX: usize = 512;

/// What followers are notified of. A notification says only that something has changed, so one covers all that was missed.
pub(crate) struct Changes {
    commits: watch::Receiver<u64>,
    folder: watch::Receiver<u64>,
    phase: watch::Receiver<Phase>,
    followers: Arc<Semaphore>,
}

/// A notification of one follower, with a number by which it can go on later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Change {
    /// Nothing has changed yet.
    Nothing(u64),
    /// Something has changed.
    Something(u64),
}

/// A follower.
struct Follower {
    commits: watch::Receiver<u64>,
    folder: watch::Receiver<u64>,
    phase: watch::Receiver<Phase>,
    /// The number of the last notification.
    seen: Option<u64>,
    /// When the next one may be sent.
    not_before: Instant,
    _one_of_all: OwnedSemaphorePermit,
}

impl Changes {
    /// Notifies of commits of the store and of changes of the folder of handlers until the server shuts down.
    pub(crate) fn new(
        commits: watch::Receiver<u64>,
        folder: watch::Receiver<u64>,
        phase: watch::Receiver<Phase>,
    ) -> Self {
        Self {
            commits,
            folder,
            phase,
            followers: Arc::new(Semaphore::new(FOLLOWERS_MAX)),
        }
    }

    /// Returns the changes, at most two a second: first whether there was one since the number `seen`, or where it begins.
    ///
    /// # Errors
    /// 503 if too many follow already.
    pub(in crate::http) fn follow(
        &self,
        seen: Option<u64>,
    ) -> Result<impl Stream<Item = Change> + Unpin + use<>, ApiError> {
        let one_of_all = Arc::clone(&self.followers).try_acquire_owned();
        let one_of_all = one_of_all.map_err(|_| {
            ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!(
                    "{FOLLOWERS_MAX} follow the events already: close a page that is not needed"
                ),
            )
        })?;
        let follower = Follower {
            commits: self.commits.clone(),
            folder: self.folder.clone(),
            phase: self.phase.clone(),
            seen,
            not_before: Instant::now(),
            _one_of_all: one_of_all,
        };
        let changes = stream::unfold(follower, |mut follower| async {
            let change = follower.next().await?;
            Some((change, follower))
        });
        Ok(Box::pin(changes))
    }
}

impl Follower {
    /// Waits for the next change; nothing if the server shuts down.
    async fn next(&mut self) -> Option<Change> {
        loop {
            let Self {
                commits,
                folder,
                phase,
                ..
            } = self;
            if *phase.borrow() != Phase::Serving {
                return None;
            }
            let number = commits
                .borrow_and_update()
                .wrapping_add(*folder.borrow_and_update());
            let seen = self.seen.replace(number);
            if seen.is_none() {
                return Some(Change::Nothing(number));
            }
            let news = async {
                if seen == Some(number) {
                    tokio::select! {
                        changed = commits.changed() => changed.ok()?,
                        changed = folder.changed() => changed.ok()?,
                    }
                    Some(None)
                } else {
                    sleep_until(self.not_before).await;
                    Some(Some(Change::Something(number)))
                }
            };
            let news = tokio::select! {
                news = news => news?,
                _ = phase.wait_for(|phase| *phase != Phase::Serving) => return None,
            };
            if news.is_some() {
                self.not_before = Instant::now() + CHANGE_EVERY;
                return news;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use futures_util::{FutureExt as _, StreamExt as _};

    use super::*;

    struct Sources {
        commits: watch::Sender<u64>,
        folder: watch::Sender<u64>,
        phase: watch::Sender<Phase>,
    }

    fn changes() -> (Sources, Changes) {
        let (commits, commits_seen) = watch::channel(3);
        let (folder, folder_seen) = watch::channel(1);
        let (phase, phase_seen) = watch::channel(Phase::Serving);
        let sources = Sources {
            commits,
            folder,
            phase,
        };
        (sources, Changes::new(commits_seen, folder_seen, phase_seen))
    }

    #[tokio::test]
    async fn a_follower_learns_where_it_is_and_then_of_each_change() {
        let (sources, changes) = changes();
        let mut stream = changes.follow(None).unwrap();
        assert_eq!(stream.next().await, Some(Change::Nothing(4)));
        assert!(stream.next().now_or_never().is_none());
        sources.commits.send_modify(|n| *n += 1);
        assert_eq!(stream.next().await, Some(Change::Something(5)));
        // Those that follow each other are one.
        sources.commits.send_modify(|n| *n += 10);
        sources.folder.send_modify(|n| *n += 1);
        assert_eq!(stream.next().await, Some(Change::Something(16)));
        sources.phase.send_replace(Phase::Draining);
        assert_eq!(stream.next().await, None);
    }

    #[tokio::test]
    async fn what_was_missed_in_between_comes_at_once() {
        let (_sources, changes) = changes();
        let mut missed = changes.follow(Some(2)).unwrap();
        assert_eq!(missed.next().await, Some(Change::Something(4)));
        let mut not_missed = changes.follow(Some(4)).unwrap();
        assert!(not_missed.next().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_follower_too_many_is_refused_until_one_goes() {
        let (_sources, changes) = changes();
        let mut followers: Vec<_> = (0..FOLLOWERS_MAX)
            .map(|_| changes.follow(None).unwrap())
            .collect();
        assert!(changes.follow(None).is_err());
        drop(followers.pop());
        assert!(changes.follow(None).is_ok());
    }
}
