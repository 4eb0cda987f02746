//! Durations in Prometheus' syntax, and sizes in bytes.

use std::fmt::Write as _;
use std::time::Duration;

/// The units of a duration from the largest, in milliseconds.
const DURATION_UNITS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 60 * 60 * 1000),
    ("w", 7 * 24 * 60 * 60 * 1000),
    ("d", 24 * 60 * 60 * 1000),
    ("h", 60 * 60 * 1000),
    ("m", 60 * 1000),
    ("s", 1000),
    ("ms", 1),
];

const SIZE_UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Parses `1h30m`, `500ms`, `7d`: whole numbers with units from the largest to the smallest, each at most once
/// (prometheus/common, `model/time.go`). A `0` without a unit is not a duration.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut units = DURATION_UNITS.iter();
    let mut total_ms: u64 = 0;
    while !rest.is_empty() {
        let (number, unit, after) = leading_quantity(rest)?;
        let (_, ms) = units.find(|(name, _)| *name == unit)?;
        total_ms = total_ms.checked_add(number.parse::<u64>().ok()?.checked_mul(*ms)?)?;
        rest = after;
    }
    (!text.is_empty()).then(|| Duration::from_millis(total_ms))
}

/// Formats a duration for [`parse_duration`], in its two largest units; the smallest unit is milliseconds.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut left_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    let mut units_left = 2;
    for (unit, ms) in DURATION_UNITS {
        // Weeks and years are hard to read: 10d is clearer than 1w3d.
        if matches!(unit, "y" | "w") {
            continue;
        }
        let count = left_ms / ms;
        if count > 0 && units_left > 0 {
            let _ = write!(text, "{count}{unit}");
            left_ms -= count * ms;
            units_left -= 1;
        } else if units_left < 2 {
            break;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

/// Parses `64MiB`, `2GiB`, `500KB`, or a number of bytes without a unit.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let unit = text[digits..].trim_start();
    if unit.is_empty() {
        return Some(number);
    }
    let (_, bytes) = SIZE_UNITS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.checked_mul(*bytes)
}

/// Formats bytes as in the configuration: `64MiB`.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    for (unit, size) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= size && bytes.is_multiple_of(size) {
            return format!("{}{unit}", bytes / size);
        }
    }
    format!("{bytes}B")
}

/// Returns a whole number that lacks its unit with that of `like`: `64` like `32MiB` is `64MiB`. `None` if it is no such number, or if
/// that is in bytes or has no unit either.
#[must_use]
pub fn with_unit_of(number: &str, like: &str) -> Option<String> {
    let (_, unit, _) = leading_quantity(like)?;
    let is_bare = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_bare && unit != "B").then(|| format!("{number}{unit}"))
}

/// Splits `1h30m` into `1`, `h` and `30m`.
fn leading_quantity(text: &str) -> Option<(&str, &str, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let letters = text[digits..]
        .bytes()
        .take_while(u8::is_ascii_alphabetic)
        .count();
    let end = digits + letters;
    (digits > 0 && letters > 0).then(|| (&text[..digits], &text[digits..end], &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_without_a_unit_gets_that_of_another() {
        for (number, like, expected) in [
            ("64", "32MiB", Some("64MiB")),
            ("5", "500ms", Some("5ms")),
            ("3", "3h50m", Some("3h")),
            ("64", "256B", None),
            ("64", "8", None),
            ("64KiB", "32MiB", None),
            ("-1", "30s", None),
            ("", "30s", None),
        ] {
            assert_eq!(with_unit_of(number, like).as_deref(), expected, "{number}");
        }
    }

    #[test]
    fn durations_are_read_as_prometheus_reads_them() {
        let cases = [
            ("0", Some(0)),
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            ("1h30m", Some(5_400_000)),
            ("3h50m", Some(13_800_000)),
            ("7d", Some(604_800_000)),
            ("1w", Some(604_800_000)),
            ("1y", Some(31_536_000_000)),
            ("1m1ms", Some(60_001)),
            ("", None),
            ("5", None),
            ("1.5h", None),
            ("30m1h", None),
            ("1h1h", None),
            ("-1s", None),
            ("1 h", None),
            ("1us", None),
            ("99999999999999999999y", None),
            ("18446744073709551615y", None),
        ];
        for (text, expected_ms) in cases {
            let expected = expected_ms.map(Duration::from_millis);
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }

    #[test]
    fn sizes_are_read_in_powers_of_two_and_of_ten() {
        let cases = [
            ("64MiB", Some(64 << 20)),
            ("2GiB", Some(2 << 30)),
            ("2 gib", Some(2 << 30)),
            ("500KB", Some(500_000)),
            ("1024", Some(1024)),
            ("12B", Some(12)),
            ("", None),
            ("MiB", None),
            ("-1MiB", None),
            ("1.5GiB", None),
            ("1Mi", None),
            ("18446744073709551615KiB", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_size(text), expected, "{text}");
        }
    }

    #[test]
    fn sizes_are_written_as_they_are_read() {
        for (bytes, text) in [(64 << 20, "64MiB"), (1 << 30, "1GiB"), (1_000, "1000B")] {
            assert_eq!(format_size(bytes), text);
            assert_eq!(parse_size(text), Some(bytes));
        }
    }
}
