//! The bodies of senders.

use alert_manager::alert::{Alert, Fingerprint, Timestamp};
use alert_manager::http::webhook::{self, Parsed};
use serde_json::{Value, json};

use super::engine::{Dice, corpus, fuzz};

const DICTIONARY: [&str; 25] = [
    "\"labels\":{",
    "\"annotations\":{",
    "\"alerts\":[",
    "\"alertname\":\"A\"",
    "\"status\":\"resolved\"",
    "\"startsAt\":\"0001-01-01T00:00:00Z\"",
    "\"startsAt\":\"9999-12-31T23:59:59.999999999+14:00\"",
    "\"endsAt\":\"\"",
    "\"fingerprint\":\"ffffffffffffffff\"",
    "\"truncatedAlerts\":18446744073709551615",
    "null",
    "{}",
    "[[[[[[[[",
    "1e999",
    "-0",
    "\\ud800",
    "\\udfff",
    "\"title\":\"\\ud83d\"",
    "\"endsAt\":\"0001-01-01T08:05:43+08:05\"",
    "\\u0000",
    "\u{feff}",
    "\"version\":\"4\"",
    "\"version\":\"1\"",
    ",",
    "}",
];

fn value(dice: &mut Dice, depth: usize) -> Value {
    match dice.below(if depth == 0 { 6 } else { 8 }) {
        0 => Value::Null,
        1 => json!(dice.one_in(2)),
        2 => json!(dice.next()),
        3 => json!(-1.5e300),
        4 | 5 => json!(dice.text(20)),
        6 => (0..dice.below(4)).map(|_| value(dice, depth - 1)).collect(),
        _ => (0..dice.below(4))
            .map(|_| (dice.text(8), value(dice, depth - 1)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

fn labels(dice: &mut Dice) -> Value {
    let mut labels = serde_json::Map::new();
    for _ in 0..dice.below(5) {
        let name = match dice.below(3) {
            0 => "alertname".to_owned(),
            1 => "severity".to_owned(),
            _ => dice.text(12),
        };
        let odd = dice.one_in(12);
        let label = if odd {
            value(dice, 1)
        } else {
            json!(dice.text(12))
        };
        labels.insert(name, label);
    }
    labels.into()
}

fn alert(dice: &mut Dice) -> Value {
    let times = [
        "2026-01-02T03:04:05.678Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "2026-13-01T00:00:00Z",
        "",
    ];
    let mut alert = json!({ "labels": labels(dice) });
    for (key, often) in [
        ("status", 1),
        ("annotations", 2),
        ("startsAt", 2),
        ("endsAt", 3),
        ("fingerprint", 3),
        ("generatorURL", 3),
    ] {
        if !dice.one_in(often + 1) {
            continue;
        }
        alert[key] = match key {
            _ if dice.one_in(10) => value(dice, 2),
            "status" => json!(dice.pick(&["firing", "resolved", "gone"])),
            "annotations" => labels(dice),
            "startsAt" | "endsAt" => json!(dice.pick(&times)),
            "fingerprint" => json!(format!("{:016x}", dice.next())),
            _ => json!(dice.text(20)),
        };
    }
    alert
}

fn body(dice: &mut Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    if dice.one_in(3) {
        return dice.pick(seeds).clone();
    }
    let alerts: Vec<_> = (0..=dice.below(4))
        .map(|_| {
            if dice.one_in(10) {
                value(dice, 2)
            } else {
                alert(dice)
            }
        })
        .collect();
    let body = match dice.below(4) {
        0 => json!(alerts),
        1 => alerts[0].clone(),
        _ => {
            let mut group = json!({ "version": "4", "receiver": dice.text(5), "alerts": alerts });
            for key in [
                "groupLabels",
                "commonLabels",
                "truncatedAlerts",
                "groupKey",
                "externalURL",
                "orgId",
            ] {
                if dice.one_in(3) {
                    group[key] = if dice.one_in(2) {
                        labels(dice)
                    } else {
                        value(dice, 1)
                    };
                }
            }
            group
        }
    };
    body.to_string().into_bytes()
}

/// How many alerts another reader of JSON sees; None if it sees no JSON.
fn counted(body: &[u8]) -> Option<usize> {
    match serde_json::from_slice(body).ok()? {
        Value::Array(alerts) => Some(alerts.len()),
        Value::Object(group) => match group.get("alerts") {
            Some(Value::Array(alerts)) => Some(alerts.len()),
            Some(_) => None,
            None => Some(1),
        },
        _ => None,
    }
}

fn check(parsed: &Parsed, body: &[u8]) {
    let good = parsed.alerts.len();
    assert!(good > 0, "a body of bad alerts alone is an error");
    let all = good + usize::try_from(parsed.bad.count()).unwrap();
    // The meaning of a duplicate key is not defined.
    if let Some(counted) = counted(body)
        && String::from_utf8_lossy(body).matches("\"alerts\"").count() <= 1
    {
        assert_eq!(all, counted, "accepted and rejected are all that came");
    }
    for parsed in &parsed.alerts {
        let alert = &parsed.alert;
        assert!(!alert.labels.is_empty());
        let names: Vec<_> = alert.labels.iter().map(|(name, _)| name).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        let own: Fingerprint = alert.fingerprint.to_string().parse().unwrap();
        assert_eq!(own, alert.fingerprint);
        let stored = serde_json::to_string(alert).unwrap();
        assert_eq!(serde_json::from_str::<Alert>(&stored).unwrap(), *alert);
    }
    let places: Vec<_> = parsed.bad.first.iter().map(|bad| bad.index).collect();
    assert!(places.is_sorted_by(|a, b| a < b) && places.iter().all(|place| *place < all));
    for bad in &parsed.bad.first {
        assert!(
            !bad.error.is_empty() && bad.error.len() <= 400,
            "{}",
            bad.error
        );
        assert!(bad.json.len() <= 64 << 10 && bad.alertname.len() <= 256);
    }
}

/// White space may stand anywhere: a longer body is read in portions, and has to come to the same.
fn stretched(body: &[u8]) -> Vec<u8> {
    [&[b' '; 130 << 10], body].concat()
}

#[test]
fn bodies() {
    let seeds = corpus("bodies");
    let now: Timestamp = "2026-06-07T08:09:10Z".parse().unwrap();
    let (mut taken, mut refused) = (0, 0);
    fuzz("bodies", 3_000, |dice| {
        let mut body = body(dice, &seeds);
        if dice.one_in(2) {
            dice.mutate(&mut body, &DICTIONARY);
        }
        match webhook::parse(&body, now) {
            Ok(parsed) => {
                taken += 1;
                check(&parsed, &body);
                let again = if body.starts_with("\u{feff}".as_bytes()) || !dice.one_in(10) {
                    webhook::parse(&body, now)
                } else {
                    webhook::parse(&stretched(&body), now)
                };
                if std::str::from_utf8(&body).is_ok() {
                    assert_eq!(again, Ok(parsed));
                }
            }
            Err(error) => {
                refused += 1;
                let error = error.to_string();
                assert!(!error.is_empty() && error.len() <= 500, "{error}");
            }
        }
    });
    println!("bodies: {taken} taken, {refused} refused");
    assert!(std::env::var("ALERT_MANAGER_FUZZ_RUN").is_ok() || (taken > 0 && refused > 0));
}
