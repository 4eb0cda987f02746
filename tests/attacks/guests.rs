//! A guest that fails again and again and leaves something behind each time: its record and its story have bounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::json;
use tests::alerts;
use tests::server::ids;

use crate::sized;
use crate::target::{Bounds, Target};

const MIB: u64 = 1 << 20;

/// How long an attack goes on if nothing ends it.
fn lasts() -> Duration {
    sized(Duration::from_secs(5), Duration::from_secs(60))
}

/// What one delivery may leave in the store, and what the server may hold to run it.
const BOUNDS: Bounds = Bounds {
    resident_bytes_max: 192 * MIB,
    store_bytes_max: 160 * MIB,
};

/// What a request to a service of the attacker's own is answered with, in bytes.
const ANSWER_BYTES: usize = 1 << 20;

/// Starts a service of the attacker's own, and returns its URL: large answers, and a number that is another each time.
async fn accomplice() -> String {
    let number = Arc::new(AtomicU64::new(0));
    let counting = async move || {
        let number = number.fetch_add(1, Ordering::Relaxed);
        (StatusCode::CONFLICT, number.to_string())
    };
    let router = Router::new()
        .route("/take", post(async || "x".repeat(ANSWER_BYTES)))
        .route("/number", post(counting));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// Sends alerts for a mode of the guest, and waits until all of them are settled or the attack's time is over.
async fn attack(name: &str, target: &Target, mode: &str, url: &str, count: usize, bounds: Bounds) {
    let list: Vec<_> = (0..count)
        .map(|n| {
            let labels = [("mode", mode), ("url", url), ("n", &n.to_string())];
            alerts::firing("Hostile", &labels)
        })
        .collect();
    let attack = async {
        assert_eq!(target.post(json!(list).to_string()).await, 202);
        let _ = tokio::time::timeout(lasts(), target.drained()).await;
    };
    let ((), honest) = target.under(attack).await;
    target.judge(name, honest, bounds);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn effects_with_large_answers_fill_no_journal() {
    let url = accomplice().await;
    let allow = format!("allow: {{ http: [\"{url}\"] }}");
    let target = Target::start("", &allow).await;
    let mode = "unavailable-after-effects";
    attack(
        "effects, large answers, unavailable",
        &target,
        mode,
        &url,
        1,
        BOUNDS,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_deliveries_with_large_answers_stop_nobody() {
    let url = accomplice().await;
    let allow = format!("allow: {{ http: [\"{url}\"] }}");
    let target = Target::start("", &allow).await;
    let mode = "unavailable-after-effects";
    let bounds = Bounds {
        resident_bytes_max: 512 * MIB,
        store_bytes_max: 8 * BOUNDS.store_bytes_max,
    };
    attack(
        "the same, eight alerts at a time",
        &target,
        mode,
        &url,
        8,
        bounds,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_of_its_own_state_fill_no_journal() {
    // The shortest that an operator may ask for.
    let target = Target::start("", "retry: { min_backoff: 1ms, max_backoff: 1ms }").await;
    let mode = "unavailable-after-kv";
    attack("kv alone, unavailable", &target, mode, "", 1, BOUNDS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_hundred_alerts_say_without_a_grant_fills_no_stories() {
    let target = Target::start("", "").await;
    let mode = "unavailable-after-talk";
    attack(
        "stories of 100 alerts without a grant",
        &target,
        mode,
        "",
        100,
        BOUNDS,
    )
    .await;
}
