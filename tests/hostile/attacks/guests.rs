//! A guest that fails again and again and leaves something behind each time: its record and its story have bounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::json;
use tests::alerts;

use super::target::{Bounds, LOG_BYTES_MAX, Target};
use super::{Attack, sized};

pub(super) const ATTACKS: &[Attack] = attacks![
    effects_with_large_answers_fill_no_journal,
    eight_deliveries_with_large_answers_stop_nobody,
    reads_of_its_own_state_fill_no_journal,
    what_is_said_without_a_grant_fills_no_stories,
];

const MIB: u64 = 1 << 20;

/// How long an attack goes on if nothing ends it.
fn lasts() -> Duration {
    sized(Duration::from_secs(10), Duration::from_secs(60))
}

/// Settings of a busy operator that help an attacker: a very short backoff, and enough time for a guest in a debug build.
const GENEROUS: &str =
    "limits: { cpu: 20s, wall: 60s }, retry: { min_backoff: 1ms, max_backoff: 1ms }";

/// What one delivery may leave in the store, and what the server may hold to run it.
const BOUNDS: Bounds = Bounds {
    resident_bytes_max: 160 * MIB,
    store_bytes_max: LOG_BYTES_MAX + 32 * MIB,
};

/// The size of the answers of the attacker's own service, in bytes.
const ANSWER_BYTES: usize = 1 << 20;

/// Starts a service of the attacker's own, and returns its URL. Its answers are large, with a number that differs each time.
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

/// Sends alerts for a mode of the guest, and waits until all of them are settled, the store is over its bound, or the
/// attack's time is over.
async fn attack(
    name: &str,
    target: &Target,
    labels: &[(&str, &str)],
    count: usize,
    bounds: Bounds,
) {
    let list: Vec<_> = (0..count)
        .map(|n| {
            let n = n.to_string();
            alerts::firing("Hostile", &[labels, &[("n", n.as_str())]].concat())
        })
        .collect();
    let attack = async {
        assert_eq!(target.post(json!(list).to_string()).await, 202);
        // If a bound is exceeded, the short form ends at once; the long one continues to show the final figures.
        let store_bytes_max = sized(bounds.store_bytes_max, u64::MAX);
        tokio::select! {
            () = target.drained() => {}
            () = target.store_is_over(store_bytes_max) => {}
            () = tokio::time::sleep(lasts()) => {}
        }
    };
    let ((), honest) = target.under(attack).await;
    println!("the last of them is {}", target.fate("hostile").await);
    target.judge(name, honest, bounds);
}

/// Starts a server that grants the guest the attacker's service, and returns both.
async fn with_accomplice() -> (Target, String) {
    let url = accomplice().await;
    let settings = format!("allow: {{ http: [\"{url}\"] }}, {GENEROUS}");
    (Target::start("", &settings).await, url)
}

async fn effects_with_large_answers_fill_no_journal() {
    let (target, url) = with_accomplice().await;
    let labels = [("mode", "unavailable-after-effects"), ("url", url.as_str())];
    attack(
        "effects, large answers, unavailable",
        &target,
        &labels,
        1,
        BOUNDS,
    )
    .await;
}

async fn eight_deliveries_with_large_answers_stop_nobody() {
    let (target, url) = with_accomplice().await;
    let labels = [("mode", "unavailable-after-effects"), ("url", url.as_str())];
    let bounds = Bounds {
        resident_bytes_max: 512 * MIB,
        store_bytes_max: LOG_BYTES_MAX + 8 * 32 * MIB,
    };
    attack(
        "the same, eight alerts at a time",
        &target,
        &labels,
        8,
        bounds,
    )
    .await;
}

async fn reads_of_its_own_state_fill_no_journal() {
    let target = Target::start("", GENEROUS).await;
    let labels = [("mode", "unavailable-after-kv")];
    attack("kv alone, unavailable", &target, &labels, 1, BOUNDS).await;
}

async fn what_is_said_without_a_grant_fills_no_stories() {
    let target = Target::start("", GENEROUS).await;
    let labels = [("mode", "unavailable-after-talk")];
    let count = sized(10, 100);
    let name = format!("stories of {count} alerts without a grant");
    // Of each alert some two dozen attempts are kept, each of a quarter of a MiB.
    let stories = 6 * MIB * u64::try_from(count).unwrap();
    let bounds = Bounds {
        store_bytes_max: LOG_BYTES_MAX + stories,
        ..BOUNDS
    };
    attack(&name, &target, &labels, count, bounds).await;
}
