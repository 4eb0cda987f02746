//! Bodies of every sender, and every way in which they are wrong.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::alert::{Fingerprint, Labels, Status};

const README: &str = r#"{"annotations":{"description":"Pod customer/customer-rs-transformer-9b75b488c-cpfd7 (rs-transformer) is restarting 2.11 times / 10 minutes.","summary":"Pod is crash looping."},"labels":{"alertname":"KubePodCrashLooping","cluster":"cluster-main","container":"rs-transformer","endpoint":"http","job":"kube-state-metrics","namespace":"customer","pod":"customer-rs-transformer-9b75b488c-cpfd7","priority":"P0","prometheus":"monitoring/kube-prometheus-stack-prometheus","region":"us-west-1","replica":"0","service":"kube-prometheus-stack-kube-state-metrics","severity":"CRITICAL"},"startsAt":"2022-03-02T07:31:57.339Z","status":"firing"}"#;

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn read(body: &str) -> Result<Parsed, PayloadError> {
    parse(body.as_bytes(), now())
}

/// Returns the one good alert of a body.
fn one(body: &str) -> ParsedAlert {
    let mut parsed = read(body).unwrap();
    assert_eq!(parsed.alerts.len(), 1);
    parsed.alerts.remove(0).unwrap()
}

fn refused(body: &str) -> String {
    read(body).unwrap_err().to_string()
}

#[test]
fn the_readme_alert_is_read() {
    let ParsedAlert {
        alert,
        starts_at_missing,
    } = one(README);
    assert!(!starts_at_missing);
    assert_eq!(alert.name(), "KubePodCrashLooping");
    assert_eq!(alert.status, Status::Firing);
    assert_eq!(alert.labels.len(), 13);
    assert_eq!(
        alert.annotations.get("summary"),
        Some("Pod is crash looping.")
    );
    assert_eq!(alert.starts_at.to_string(), "2022-03-02T07:31:57.339Z");
    assert_eq!(alert.fingerprint, Fingerprint::of(&alert.labels));
    assert_eq!(alert.received_at, now());
    assert_eq!((alert.ends_at, alert.generator_url), (None, None));
    assert_eq!(alert.origin.sender, "json");
}

#[test]
fn alertmanagers_group_is_read() {
    let parsed = read(
        r#"{"version":"4","groupKey":"{}:{job=\"x\"}","truncatedAlerts":3,"receiver":"team\\-x",
        "status":"firing","notification_reason":"first","groupLabels":{"job":"x"},"commonLabels":{},
        "commonAnnotations":{},"routeLabels":{"a":{"b":1}},"externalURL":"http://am:9093","alerts":[
        {"status":"firing","labels":{"alertname":"A"},"annotations":{},"startsAt":"2025-01-01T00:00:00.123456789Z",
         "endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://p/graph","fingerprint":"00000000deadbeef"},
        {"status":"resolved","labels":{"alertname":"B"},"startsAt":"2025-01-01T02:00:00+02:00",
         "endsAt":"2025-01-01T01:00:00Z","generatorURL":"","fingerprint":"short"}]}"#,
    )
    .unwrap();
    assert_eq!(parsed.truncated_alerts, 3);
    let [Ok(a), Ok(b)] = &parsed.alerts[..] else {
        panic!("both alerts are good: {parsed:?}");
    };
    assert_eq!(
        a.alert.fingerprint,
        Fingerprint(0xdead_beef),
        "as it was sent"
    );
    assert_eq!(a.alert.starts_at.subsec_nanosecond(), 123_456_789);
    assert_eq!(a.alert.ends_at, None, "the zero time is no time");
    assert_eq!(a.alert.generator_url.as_deref(), Some("http://p/graph"));
    let origin = &a.alert.origin;
    assert_eq!(origin.sender, "alertmanager");
    assert_eq!(origin.receiver.as_deref(), Some("team\\-x"));
    assert_eq!(origin.group_key.as_deref(), Some("{}:{job=\"x\"}"));
    assert_eq!(origin.group_labels.get("job"), Some("x"));
    assert_eq!(origin.external_url.as_deref(), Some("http://am:9093"));

    assert_eq!(b.alert.fingerprint, Fingerprint::of(&b.alert.labels));
    assert_eq!(b.alert.status, Status::Resolved);
    assert_eq!(b.alert.starts_at.to_string(), "2025-01-01T00:00:00Z");
    assert_eq!(b.alert.ends_at.unwrap().to_string(), "2025-01-01T01:00:00Z");
    assert_eq!(b.alert.generator_url, None);
}

#[test]
fn grafanas_group_is_read_with_its_own_fields() {
    let parsed = one(
        r#"{"receiver":"r","status":"firing","orgId":1,"version":"1","groupKey":"k","title":"[FIRING:1]",
        "state":"alerting","message":"long","externalURL":"https://g/","truncatedAlerts":0,"groupLabels":{},
        "alerts":[{"status":"firing","labels":{"alertname":"A"},"annotations":{},
        "startsAt":"2025-01-01T00:00:00Z","endsAt":"0001-01-01T00:00:00Z","fingerprint":"c6eadffa33fcdf37",
        "silenceURL":"https://g/s","dashboardURL":"","panelURL":"https://g/p","ruleUID":"u",
        "values":{"A":44.2,"B":null},"valueString":"[ var='A' ]","imageURL":null}]}"#,
    );
    let origin = parsed.alert.origin;
    assert_eq!(origin.sender, "grafana");
    let extra: Vec<_> = origin.extra.iter().collect();
    assert_eq!(
        extra,
        [
            ("orgId", "1"),
            ("panelURL", "https://g/p"),
            ("ruleUID", "u"),
            ("silenceURL", "https://g/s"),
            ("state", "alerting"),
            ("title", "[FIRING:1]"),
            ("valueString", "[ var='A' ]"),
            ("values", r#"{"A":44.2,"B":null}"#),
        ]
    );
}

#[test]
fn prometheus_list_has_no_status_so_the_end_decides() {
    let parsed = read(
        r#" [{"labels":{"alertname":"A"},"startsAt":"2025-01-01T00:00:00Z","endsAt":"2025-12-31T23:59:59Z"},
        {"labels":{"alertname":"B"},"startsAt":"2025-01-01T00:00:00Z","endsAt":"2026-01-01T00:04:00Z"},
        {"labels":{"alertname":"C"}}]"#,
    )
    .unwrap();
    let alerts: Vec<_> = parsed.alerts.into_iter().map(Result::unwrap).collect();
    let statuses: Vec<_> = alerts.iter().map(|parsed| parsed.alert.status).collect();
    assert_eq!(statuses, [Status::Resolved, Status::Firing, Status::Firing]);
    assert!(
        alerts
            .iter()
            .all(|parsed| parsed.alert.origin.sender == "prometheus")
    );
    assert!(alerts[2].starts_at_missing);
    assert_eq!(alerts[2].alert.starts_at, now());
}

#[test]
fn a_bad_body_is_refused_with_the_field_that_is_wrong() {
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let deep_label = format!(r#"{{"labels":{{"a":{deep}}}}}"#);
    let cases = [
        ("", "the body is empty"),
        (
            "{",
            "the body is not JSON: EOF while parsing an object at line 1 column 1",
        ),
        (
            "{}x",
            "the body is not JSON: trailing characters at line 1 column 3",
        ),
        (
            "[",
            "the body is not JSON: EOF while parsing a list at line 1 column 1",
        ),
        (
            "\"text\"",
            "the body is a string: an object or a list of alerts is expected",
        ),
        (
            "12",
            "the body is a number: an object or a list of alerts is expected",
        ),
        ("[]", "alerts: the list is empty"),
        (r#"{"alerts":[]}"#, "alerts: the list is empty"),
        (
            r#"{"alerts":{}}"#,
            "alerts: expected a list, found an object",
        ),
        (
            "{}",
            "body: it has neither alerts (a group) nor labels (one alert)",
        ),
        (
            r#"{"status":"firing"}"#,
            "body: it has neither alerts (a group) nor labels (one alert)",
        ),
        (
            r#"{"alerts":[{}]}"#,
            "alerts[0].labels: missing; an alert needs at least one label",
        ),
        (
            r#"{"labels":{}}"#,
            "labels: there is none; an alert needs at least one label with a value",
        ),
        (
            r#"{"labels":{"a":""}}"#,
            "labels: there is none; an alert needs at least one label with a value",
        ),
        (r#"{"labels":{"":"a"}}"#, "labels: a label has no name"),
        (
            r#"{"labels":[]}"#,
            "labels: expected an object, found a list",
        ),
        (
            r#"{"labels":{"a":1}}"#,
            "labels.a: expected a string, found a number",
        ),
        (
            r#"{"labels":{"a":null}}"#,
            "labels.a: expected a string, found null",
        ),
        (
            r#"{"labels":{"a":{"b":"c"}}}"#,
            "labels.a: expected a string, found an object",
        ),
        (
            r#"{"labels":{"a":"b"},"annotations":{"c":true}}"#,
            "annotations.c: expected a string, found a boolean",
        ),
        (
            r#"{"labels":{"a":"b"},"startsAt":"yesterday"}"#,
            "startsAt: expected a time as in RFC 3339, such as 2022-03-02T07:31:57.339Z",
        ),
        (
            r#"{"labels":{"a":"b"},"startsAt":"2025-02-30T00:00:00Z"}"#,
            "startsAt: expected a time as in RFC 3339, such as 2022-03-02T07:31:57.339Z",
        ),
        (
            r#"{"labels":{"a":"b"},"startsAt":1646206317}"#,
            "startsAt: expected a string, found a number",
        ),
        (
            r#"{"labels":{"a":"b"},"endsAt":"9999-01-01T00:00:00Z"}"#,
            "endsAt: the time is not between the years 1678 and 2261",
        ),
        (
            r#"{"labels":{"a":"b"},"status":"pending"}"#,
            "status: expected \"firing\" or \"resolved\"",
        ),
        (
            r#"{"labels":{"a":"b"},"status":1}"#,
            "status: expected a string, found a number",
        ),
        (
            r#"{"alerts":[1]}"#,
            "alerts[0]: expected an object, found a number",
        ),
        (
            r#"[{"labels":{"a":2}},3]"#,
            "[0].labels.a: expected a string, found a number",
        ),
        (r#"["x"]"#, "[0]: expected an object, found a string"),
        (&deep, "[0]: the body is nested too deeply"),
        (&deep_label, "the body is nested too deeply"),
    ];
    for (body, expected) in cases {
        assert_eq!(refused(body), expected, "{}", &body[..body.len().min(80)]);
    }
}

#[test]
fn damage_is_told_with_its_field_wherever_that_can_be_found() {
    for (body, expected) in [
        (
            &b"{\"labels\":{\"a\":\"\xff\"}}"[..],
            "labels: not UTF-8 (the body's first bad byte is at 16)",
        ),
        (
            b"{\"labels\":{\"a\":\"b\"},\"annotations\":{\"a\":\"\xff\"}}",
            "annotations: not UTF-8 (the body's first bad byte is at 40)",
        ),
        (
            b"[{\"labels\":{\"a\":\"\xff\"}}]",
            "[0].labels: not UTF-8 (the body's first bad byte is at 17)",
        ),
        (
            b"{\"alerts\":[{\"labels\":{\"a\":\"\xff\"}}]}",
            "alerts[0].labels: not UTF-8 (the body's first bad byte is at 27)",
        ),
        (b"\xff\xfe{\0", "the body is not UTF-8: byte 0 is invalid"),
    ] {
        let error = parse(body, now()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn one_bad_alert_does_not_refuse_its_group() {
    let parsed = read(
        r#"{"alerts":[{"labels":{"alertname":"Good"}},{"labels":{"alertname":"Bad","severity":4}},
        7,{"labels":{"alertname":"Late"},"startsAt":"soon"},{"labels":{"alertname":"Fine"}}]}"#,
    )
    .unwrap();
    let told: Vec<_> = parsed
        .alerts
        .iter()
        .map(|alert| match alert {
            Ok(good) => good.alert.name().to_owned(),
            Err(bad) => format!("{} {:?} {}", bad.index, bad.alertname, bad.error),
        })
        .collect();
    assert_eq!(
        told,
        [
            "Good",
            r#"1 "Bad" alerts[1].labels.severity: expected a string, found a number"#,
            r#"2 "" alerts[2]: expected an object, found a number"#,
            r#"3 "Late" alerts[3].startsAt: expected a time as in RFC 3339, such as 2022-03-02T07:31:57.339Z"#,
            "Fine",
        ]
    );
    let bad = parsed.alerts[1].as_ref().unwrap_err();
    assert_eq!(bad.json, r#"{"labels":{"alertname":"Bad","severity":4}}"#);
}

#[test]
fn damage_in_one_alert_does_not_refuse_its_group() {
    let body = b"{\"alerts\":[{\"labels\":{\"alertname\":\"A\"}},{\"labels\":{\"alertname\":\"B\",\"x\":\"\xff\"}}]}";
    let parsed = parse(body, now()).unwrap();
    assert!(parsed.alerts[0].is_ok());
    let bad = parsed.alerts[1].as_ref().unwrap_err();
    assert_eq!(
        bad.error,
        "alerts[1].labels: not UTF-8 (the body's first bad byte is at 72)"
    );
    assert_eq!(bad.alertname, "B");
}

#[test]
fn the_json_of_a_bad_alert_is_bounded() {
    let long = "ü".repeat(BAD_JSON_BYTES_MAX);
    let parsed = read(&format!(
        r#"[{{"labels":{{"a":"b"}}}},{{"labels":{{"alertname":"Long","b":1,"c":"{long}"}}}}]"#
    ))
    .unwrap();
    let bad = parsed.alerts[1].as_ref().unwrap_err();
    assert!(bad.json.len() <= BAD_JSON_BYTES_MAX && bad.json.len() > BAD_JSON_BYTES_MAX - 4);
    assert_eq!(bad.alertname, "Long");
}

#[test]
fn of_a_field_given_twice_the_last_counts() {
    let twice = one(
        r#"{"labels":{"a":"1"},"labels":{"a":"2","a":"3"},"status":"resolved","status":"firing"}"#,
    );
    assert_eq!(twice.alert.labels.get("a"), Some("3"));
    assert_eq!(twice.alert.status, Status::Firing);
    let group =
        one(r#"{"alerts":[],"alerts":[{"labels":{"a":"b"}}],"receiver":"x","receiver":"y"}"#);
    assert_eq!(group.alert.origin.receiver.as_deref(), Some("y"));
}

#[test]
fn what_only_informs_may_have_any_type() {
    let alert = one(
        r#"{"alerts":[{"labels":{"alertname":"A","empty":"","größe":"x"},"annotations":null,"generatorURL":{},
        "fingerprint":12,"ruleUID":7,"values":{"a":1}}],"truncatedAlerts":-1,"receiver":5,"groupLabels":[],
        "version":4,"externalURL":null}"#,
    )
    .alert;
    let labels: Vec<_> = alert.labels.iter().collect();
    assert_eq!(
        labels,
        [("alertname", "A"), ("größe", "x")],
        "an empty value is no label"
    );
    assert_eq!(alert.annotations, Labels::default());
    assert_eq!(alert.generator_url, None);
    assert_eq!(alert.fingerprint, Fingerprint::of(&alert.labels));
    assert_eq!(alert.origin.extra.get("ruleUID"), Some("7"));
    assert_eq!(alert.origin.extra.get("values"), Some(r#"{"a":1}"#));
    assert_eq!(alert.origin.sender, "alertmanager");
    assert_eq!(alert.origin.receiver.as_deref(), Some("5"));
}

#[test]
fn both_ways_of_reading_come_to_the_same_alert() {
    let escaped = r#"{"labels":{"alertname":"\u00e9\n"},"startsAt":"2025-01-01T00:00:00Z","endsAt":null,"x":1}"#;
    for body in [README, escaped] {
        let tree: Value = serde_json::from_str(body).unwrap();
        let slow = WireAlert::from_tree(&tree)
            .and_then(|wire| wire.into_alert(&sent_by("json"), now()))
            .unwrap_or_else(|error| panic!("{}: {}", error.field, error.problem));
        assert!(
            serde_json::from_str::<WireAlert<'_>>(body).is_ok(),
            "the fast way takes it"
        );
        assert_eq!(one(body), slow);
    }
}

#[test]
fn an_unknown_field_however_deep_does_no_harm() {
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let alert = one(&format!(r#"{{"labels":{{"a":"b"}},"unknown":{deep}}}"#)).alert;
    assert_eq!(alert.labels.get("a"), Some("b"));
}

#[test]
fn an_alert_needs_no_alertname() {
    assert_eq!(one(r#"{"labels":{"job":"x"}}"#).alert.name(), "");
}
