#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

const GIB: f64 = 1_073_741_824.0;
const NOW: i64 = 1_800_000_000;

/// Returns the space of 100 GiB by what was free in GiB, every ten minutes until now.
fn space(free: &[f64]) -> Space {
    let count = i64::try_from(free.len()).unwrap();
    let at = |index: usize| NOW - (count - 1 - i64::try_from(index).unwrap()) * 600;
    let points = free
        .iter()
        .enumerate()
        .map(|(index, free)| (at(index), free * GIB));
    let series = Series {
        points: points.collect(),
        ..Series::default()
    };
    Space::of(Unit::Bytes, &series, Some(100.0 * GIB), NOW).unwrap()
}

/// Returns a period of six hours in which `free` is reached evenly.
fn evenly(from: f64, to: f64) -> Vec<f64> {
    (0..37)
        .map(|index| from + (to - from) * f64::from(index) / 36.0)
        .collect()
}

#[test]
fn an_even_fall_is_predicted_by_the_last_hour() {
    let space = space(&evenly(40.0, 4.0));
    assert_eq!(
        space.verdict("The volume").to_string(),
        "The volume fills up: 4GiB of 100GiB are free (4 %); at the pace of the last 1h, full in 40m."
    );
    assert_eq!(space.changed(NOW), None, "it fell evenly");
}

#[test]
fn a_fall_at_once_is_what_changed_and_predicts_nothing() {
    let mut free = vec![50.0; 20];
    free.extend([20.0, 5.0]);
    free.extend(vec![5.0; 15]);
    let space = space(&free);
    assert_eq!(space.trend, Trend::Steady);
    assert_eq!(
        space.changed(NOW).unwrap(),
        "45GiB were used within 20m, until 2h 30m before the alert began"
    );
    assert_eq!(
        space.verdict("The volume").to_string(),
        "The volume is nearly full: 5GiB of 100GiB are free (5 %), and that did not fall in the last hour."
    );
}

#[test]
fn a_slow_fall_is_predicted_by_the_whole_period() {
    // It fell all the time, but for the last hour.
    let mut free = evenly(11.0, 5.0);
    free.truncate(30);
    free.extend(vec![6.0; 7]);
    assert!(matches!(
        space(&free).trend,
        Trend::Falls { over: 21_600, .. }
    ));
}

#[test]
fn nothing_left_and_space_that_gets_free_are_told_apart() {
    let full = space(&evenly(3.0, 0.0));
    assert_eq!(
        full.verdict("The volume").to_string(),
        "The volume is full: 0B of 100GiB are free (0 %)."
    );
    let free = space(&[2.0, 2.0, 3.0, 9.0]);
    assert_eq!(free.trend, Trend::Rises(7.0 * GIB));
    assert_eq!(
        free.verdict("The volume").to_string(),
        "The volume gets free again: 9GiB of 100GiB are free (9 %), 7GiB more than an hour ago."
    );
}

#[test]
fn noise_is_no_trend() {
    assert_eq!(space(&[5.0, 5.001, 5.0, 4.9999, 5.0]).trend, Trend::Steady);
}

#[test]
fn a_value_that_is_no_longer_reported_is_not_taken_for_the_present() {
    let series = Series {
        points: vec![(NOW - 3_600, GIB)],
        ..Series::default()
    };
    assert_eq!(Space::of(Unit::Bytes, &series, Some(GIB), NOW), None);
    assert_eq!(
        Space::of(Unit::Bytes, &Series::default(), Some(GIB), NOW),
        None
    );
}

#[test]
fn inodes_are_counted() {
    let series = Series {
        points: vec![(NOW, 1_234.0)],
        ..Series::default()
    };
    let space = Space::of(Unit::Inodes, &series, Some(1_310_720.0), NOW).unwrap();
    assert_eq!(space.left(), "1,234 of 1,310,720 inodes are free (0 %)");
}
