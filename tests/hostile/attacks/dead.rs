//! Thousands of dead letters: each is reported, all are sent again, and no cost grows with the square of their number.

use serde_json::json;
use tests::alerts;
use tests::process::{command, finished};

use super::target::{Bounds, LOG_BYTES_MAX, Target};
use super::{Attack, sized};

pub(super) const ATTACKS: &[Attack] = attacks![
    every_death_is_reported_without_a_look_at_all_others,
    one_command_sends_all_dead_again,
];

const MIB: u64 = 1 << 20;

/// Alerts in one body.
const GROUP: usize = 500;

fn deaths() -> usize {
    sized(2_000, 100_000)
}

fn bounds() -> Bounds {
    let deaths = u64::try_from(deaths()).unwrap();
    Bounds {
        resident_bytes_max: 96 * MIB + 2 * deaths * (1 << 10),
        store_bytes_max: LOG_BYTES_MAX + deaths * (16 << 10),
    }
}

const DEAD: &str = "alert_manager_deliveries_total{handler=\"hostile\"";

/// Sends alerts that end dead at once, and waits until they are.
async fn die(target: &Target) {
    for group in 0..deaths() / GROUP {
        let alerts: Vec<_> = (0..GROUP)
            .map(|n| {
                let n = (group * GROUP + n).to_string();
                alerts::firing("Hostile", &[("mode", "unknown"), ("n", &n)])
            })
            .collect();
        let status = target.post(json!(alerts).to_string()).await;
        assert_eq!(status, 202);
    }
    target.drained().await;
}

/// Asserts the number of the handler's dead letters.
async fn assert_died(target: &Target, times: usize) {
    let died = target.metric(DEAD, "outcome=\"dead\"").await.unwrap();
    assert!(
        (died - times as f64).abs() < 0.5,
        "{died} deaths of {times}"
    );
}

fn config(more: &str) -> String {
    format!("webhook: {{ queue_depth_max: {} }}\n{more}", 4 * deaths())
}

async fn every_death_is_reported_without_a_look_at_all_others() {
    let target = Target::start(&config("dead_letter: { handlers: [post] }"), "").await;
    let ((), honest) = target.under(die(&target)).await;
    assert_died(&target, deaths()).await;
    let name = format!("{} deaths, each reported", deaths());
    target.judge(&name, honest, bounds());
}

async fn one_command_sends_all_dead_again() {
    let target = Target::start(&config(""), "").await;
    die(&target).await;
    assert_died(&target, deaths()).await;
    let mut retry = command(target.dir.path(), &["retry", "--handler", "hostile"]);
    retry.env("ALERT_MANAGER_URL", &target.process.url);
    let attack = async {
        let output = tokio::task::spawn_blocking(move || retry.output().unwrap());
        let ended = finished(output.await.unwrap());
        target.drained().await;
        ended
    };
    let (ended, honest) = target.under(attack).await;
    let name = format!("retry --handler with {} dead", deaths());
    target.judge(&name, honest, bounds());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_died(&target, 2 * deaths()).await;
}
