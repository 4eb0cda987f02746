//! Senders that choose another server for each attempt, and send each alert until it is acknowledged. The alerts are those of
//! [`crate::load`]: pairs of a firing and its resolved, which is sent when the firing is acknowledged and no request with it is under
//! way. A request that a suspended server takes up after the resolved would be a new firing to all of them, as to one server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::{Client, StatusCode};
use serde_json::Value;
use tests::fakes::watched::Watched;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::load::post;

/// Connections that send at one time.
const SENDERS: usize = 12;

/// How long a sender waits for an answer before it asks another server: one may be suspended.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(3);

/// How long a sender that was refused waits before it sends again.
const AGAIN_AFTER: Duration = Duration::from_millis(20);

/// The senders, and what was acknowledged.
pub(crate) struct Senders {
    permits: Arc<Semaphore>,
    acknowledged: Watched<BTreeSet<usize>>,
    /// Why the last post failed.
    failure: Arc<Mutex<String>>,
    granted: usize,
    senders: JoinSet<()>,
}

impl Senders {
    /// Starts the senders; they wait for [`Self::more`].
    pub(crate) fn start(targets: &Arc<Mutex<Vec<String>>>) -> Self {
        let permits = Arc::new(Semaphore::new(0));
        let acknowledged = Watched::new(BTreeSet::new());
        let failure = Arc::new(Mutex::new("none".to_owned()));
        let next = Arc::new(AtomicUsize::new(0));
        let mut senders = JoinSet::new();
        for sender in 0..SENDERS {
            let (permits, next) = (Arc::clone(&permits), Arc::clone(&next));
            let (targets, failure) = (Arc::clone(targets), Arc::clone(&failure));
            let acknowledged = acknowledged.clone();
            senders.spawn(async move {
                let http = Client::new();
                let mut turn = sender;
                while let Ok(permit) = permits.acquire().await {
                    permit.forget();
                    let firing = next.fetch_add(2, Ordering::Relaxed);
                    for n in [firing, firing + 1] {
                        let unanswered = send(&http, &targets, &mut turn, n, &failure).await;
                        acknowledged.change(|all| all.insert(n));
                        for request in unanswered {
                            let _ = request.await;
                        }
                    }
                }
            });
        }
        Self {
            permits,
            acknowledged,
            failure,
            granted: 0,
            senders,
        }
    }

    /// Sends this many more pairs.
    pub(crate) fn more(&mut self, pairs: usize) {
        self.granted += 2 * pairs;
        self.permits.add_permits(pairs);
    }

    /// Returns how many were acknowledged.
    pub(crate) fn count(&self) -> usize {
        self.acknowledged.read(BTreeSet::len)
    }

    /// Waits until `n` are acknowledged.
    pub(crate) async fn wait_for(&self, n: usize) {
        let seen = |all: &BTreeSet<usize>| {
            let (count, granted) = (all.len(), self.granted);
            let failure = self.failure.lock();
            format!("{count} of {granted} acknowledged; the last failure: {failure}")
        };
        let found = |all: &BTreeSet<usize>| (all.len() >= n).then_some(());
        let what = format!("{n} acknowledged");
        self.acknowledged.wait(&what, found, seen).await;
    }

    /// Waits until every alert is acknowledged.
    pub(crate) async fn wait_for_all(&self) {
        self.wait_for(self.granted).await;
    }

    /// Waits until every alert is acknowledged, and returns which those are.
    pub(crate) async fn finish(mut self) -> BTreeSet<usize> {
        self.wait_for_all().await;
        self.permits.close();
        while let Some(ended) = self.senders.join_next().await {
            ended.unwrap();
        }
        self.acknowledged.read(Clone::clone)
    }
}

/// A request that is under way.
type Request = JoinHandle<reqwest::Result<(StatusCode, Value)>>;

/// Sends an alert until it is acknowledged; returns the requests that were not answered in time.
async fn send(
    http: &Client,
    targets: &Mutex<Vec<String>>,
    turn: &mut usize,
    n: usize,
    failure: &Mutex<String>,
) -> Vec<Request> {
    let mut unanswered = Vec::new();
    loop {
        *turn += 1;
        let url = {
            let targets = targets.lock();
            let count = targets.len();
            targets.get(*turn % count.max(1)).cloned()
        };
        if let Some(url) = url {
            let (http, to) = (http.clone(), url.clone());
            let mut request = tokio::spawn(async move { post(&http, &to, n).await });
            match timeout(ANSWER_TIME_MAX, &mut request).await {
                Ok(Ok(Ok((StatusCode::ACCEPTED, answer)))) => {
                    let known = ["accepted", "duplicates"].map(|key| answer[key].as_u64());
                    assert_eq!(known.iter().flatten().sum::<u64>(), 1, "{answer}");
                    return unanswered;
                }
                Ok(Ok(other)) => *failure.lock() = format!("{url}: {other:?}"),
                Ok(Err(panicked)) => panic!("{panicked}"),
                Err(_) => {
                    *failure.lock() = format!("{url}: no answer");
                    unanswered.push(request);
                }
            }
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}
