//! Senders that never give up: each alert is posted until it is acknowledged, over every restart.
//!
//! They come in pairs: a firing has an even number, its resolved the next one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use reqwest::{Client, StatusCode};
use serde_json::Value;
use tests::alerts;
use tests::fakes::watched::Watched;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Connections that send at one time.
const SENDERS: usize = 12;

/// The senders, and the responses that they got.
pub(crate) struct Load {
    url: watch::Sender<String>,
    permits: Arc<Semaphore>,
    acknowledged: Watched<BTreeSet<usize>>,
    /// Why the last post failed.
    failure: Arc<Mutex<String>>,
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
        let failure = Arc::new(Mutex::new("none".to_owned()));
        let mut senders = JoinSet::new();
        for _ in 0..SENDERS {
            let mut to = url.subscribe();
            let (permits, next) = (Arc::clone(&permits), Arc::clone(&next));
            let failure = Arc::clone(&failure);
            let acknowledged = acknowledged.clone();
            senders.spawn(async move {
                let http = Client::new();
                while let Ok(permit) = permits.acquire().await {
                    permit.forget();
                    let firing = next.fetch_add(2, Ordering::Relaxed);
                    for n in [firing, firing + 1] {
                        send(&http, &mut to, n, &failure).await;
                        acknowledged.change(|all| all.insert(n));
                    }
                }
            });
        }
        Self {
            url,
            permits,
            acknowledged,
            failure,
            granted: 0,
            senders,
        }
    }

    /// Sets the server's new URL for the senders.
    pub(crate) fn to(&self, url: &str) {
        self.url.send_replace(url.to_owned());
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
        self.acknowledged
            .wait(
                &format!("{n} acknowledged"),
                |all| (all.len() >= n).then_some(()),
                |all| {
                    let (count, granted) = (all.len(), self.granted);
                    let failure = self.failure.lock();
                    format!("{count} of {granted} acknowledged; the last failure: {failure}")
                },
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

/// Returns the `n`th alert: a firing, or the resolved of the one before.
pub(crate) fn alert(n: usize) -> Value {
    let pair = (n / 2).to_string();
    let labels = [("pair", pair.as_str())];
    let mut alert = match n % 2 {
        0 => alerts::firing("Effects", &labels),
        _ => alerts::resolved("Effects", &labels),
    };
    alert["annotations"]["n"] = n.to_string().into();
    alert
}

/// Returns which alert a delivery is of, by its story.
pub(crate) fn number(story: &Value) -> usize {
    let n = story["alert"]["annotations"]["n"].as_str();
    n.expect("an alert of these senders")
        .parse()
        .expect("a number")
}

async fn send(http: &Client, to: &mut watch::Receiver<String>, n: usize, failure: &Mutex<String>) {
    loop {
        let url = to.borrow_and_update().clone();
        // Without an acknowledgement nothing was promised, so the alert is sent again; if the server is down, once it is back.
        let Err(error) = acknowledged(http, &url, n).await else {
            return;
        };
        let is_gone = error.is_connect() || error.is_builder();
        *failure.lock() = format!("{error:?}");
        if is_gone {
            to.changed().await.unwrap();
        }
    }
}

/// Posts once; returns status and answer.
///
/// # Errors
/// If there was no answer.
pub(crate) async fn post(
    http: &Client,
    url: &str,
    n: usize,
) -> reqwest::Result<(StatusCode, Value)> {
    let request = http
        .post(format!("{url}/webhook"))
        .header("content-type", "application/json")
        .body(alert(n).to_string());
    let response = request.send().await?;
    let status = response.status();
    Ok((status, response.json().await?))
}

/// Posts once; an error means that there was no answer.
async fn acknowledged(http: &Client, url: &str, n: usize) -> reqwest::Result<()> {
    let (status, answer) = post(http, url, n).await?;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let known = answer["accepted"].as_u64().unwrap() + answer["duplicates"].as_u64().unwrap();
    assert_eq!(known, 1, "{answer}");
    Ok(())
}
