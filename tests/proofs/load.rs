//! Senders that never give up: each alert is posted until it is acknowledged, over every restart.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::{Client, StatusCode};
use serde_json::Value;
use tests::alerts;
use tests::fakes::watched::Watched;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Connections that send at one time.
const SENDERS: usize = 12;

/// The senders, and what they were told.
pub(crate) struct Load {
    url: watch::Sender<String>,
    permits: Arc<Semaphore>,
    acknowledged: Watched<BTreeSet<usize>>,
    granted: usize,
    senders: JoinSet<()>,
}

impl Load {
    /// Starts the senders; they wait for [`Load::more`].
    pub(crate) fn start() -> Self {
        let url = watch::Sender::new(String::new());
        let permits = Arc::new(Semaphore::new(0));
        let acknowledged = Watched::new(BTreeSet::new());
        let next = Arc::new(AtomicUsize::new(0));
        let mut senders = JoinSet::new();
        for _ in 0..SENDERS {
            let mut to = url.subscribe();
            let (permits, next) = (Arc::clone(&permits), Arc::clone(&next));
            let acknowledged = acknowledged.clone();
            senders.spawn(async move {
                let http = Client::new();
                while let Ok(permit) = permits.acquire().await {
                    permit.forget();
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    send(&http, &mut to, n).await;
                    acknowledged.change(|all| all.insert(n));
                }
            });
        }
        Self {
            url,
            permits,
            acknowledged,
            granted: 0,
            senders,
        }
    }

    /// Tells the senders where the server now is.
    pub(crate) fn to(&self, url: &str) {
        self.url.send_replace(url.to_owned());
    }

    /// Has `alerts` more of them sent.
    pub(crate) fn more(&mut self, alerts: usize) {
        self.granted += alerts;
        self.permits.add_permits(alerts);
    }

    /// Returns how many were acknowledged.
    pub(crate) fn count(&self) -> usize {
        self.acknowledged.read(BTreeSet::len)
    }

    /// Waits until `n` are acknowledged.
    pub(crate) async fn wait_for(&self, n: usize) {
        self.acknowledged
            .wait(
                &format!("{n} acknowledged"),
                |all| (all.len() >= n).then_some(()),
                |all| format!("{} acknowledged", all.len()),
            )
            .await;
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

/// Returns the `n`th alert.
pub(crate) fn alert(n: usize) -> Value {
    alerts::firing("Effects", &[("n", &n.to_string())])
}

async fn send(http: &Client, to: &mut watch::Receiver<String>, n: usize) {
    loop {
        let url = to.borrow_and_update().clone();
        if post(http, &url, n).await {
            return;
        }
        // Whatever went wrong, nothing was promised: again, once the server is back.
        to.changed().await.unwrap();
    }
}

/// Posts once; true where it was acknowledged.
async fn post(http: &Client, url: &str, n: usize) -> bool {
    let request = http
        .post(format!("{url}/webhook"))
        .header("content-type", "application/json")
        .body(alert(n).to_string());
    let Ok(response) = request.send().await else {
        return false;
    };
    let status = response.status();
    let Ok(answer) = response.json::<Value>().await else {
        return false;
    };
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let known = answer["accepted"].as_u64().unwrap() + answer["duplicates"].as_u64().unwrap();
    assert_eq!(known, 1, "{answer}");
    true
}
