//! Bodies of every sender, valid and invalid.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::group::Group;
use super::reader::{ONE_GO_BYTES_MAX, PORTION_ALERTS_MAX};
use super::wire::WireAlert;
use super::*;
use crate::alert::{Fingerprint, Labels, Status};

const README: &str = r#"{"annotations":{"description":"Pod customer/customer-rs-transformer-9b75b488c-cpfd7 (rs-transformer) is restarting 2.11 times / 10 minutes.","summary":"Pod is crash looping."},"labels":{"alertname":"KubePodCrashLooping","cluster":"cluster-main","container":"rs-transformer","endpoint":"http","job":"kube-state-metrics","namespace":"customer","pod":"customer-rs-transformer-9b75b488c-cpfd7","priority":"P0","prometheus":"monitoring/kube-prometheus-stack-prometheus","region":"us-west-1","replica":"0","service":"kube-prometheus-stack-kube-state-metrics","severity":"CRITICAL"},"startsAt":"2022-03-02T07:31:57.339Z","status":"firing"}"#;

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn read(body: &str) -> Result<Parsed, PayloadError> {
    parse(body.as_bytes(), now())
}

/// Returns the only alert of a body, which must be valid.
fn one(body: &str) -> ParsedAlert {
    let mut parsed = read(body).unwrap();
    assert_eq!(
        (parsed.alerts.len(), parsed.bad.count()),
        (1, 0),
        "{parsed:?}"
    );
    parsed.alerts.remove(0)
}

fn refused(body: &str) -> String {
    read(body).unwrap_err().to_string()
}

#[test]
fn the_readme_alert_is_read() {
    let ParsedAlert {
        alert,
        starts_at_missing,
        ..
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
    let [a, b] = &parsed.alerts[..] else {
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
    let alerts = parsed.alerts;
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
            r#"{"labels":{"a":"b"},"endsAt":"tomorrow"}"#,
            "endsAt: expected a time as in RFC 3339, such as 2022-03-02T07:31:57.339Z",
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
        (&deep_label, "labels.a: the body is nested too deeply"),
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
    let good = parsed
        .alerts
        .iter()
        .map(|good| good.alert.name().to_owned());
    let bad = parsed.bad.first.iter();
    let told: Vec<_> = good
        .chain(bad.map(|bad| format!("{} {:?} {}", bad.index, bad.alertname, bad.error)))
        .collect();
    assert_eq!(
        told,
        [
            "Good",
            "Fine",
            r#"1 "Bad" alerts[1].labels.severity: expected a string, found a number"#,
            r#"2 "" alerts[2]: expected an object, found a number"#,
            r#"3 "Late" alerts[3].startsAt: expected a time as in RFC 3339, such as 2022-03-02T07:31:57.339Z"#,
        ]
    );
    let bad = &parsed.bad.first[0];
    assert_eq!(bad.json, r#"{"labels":{"alertname":"Bad","severity":4}}"#);
}

#[test]
fn damage_in_one_alert_does_not_refuse_its_group() {
    let body = b"{\"alerts\":[{\"labels\":{\"alertname\":\"A\"}},{\"labels\":{\"alertname\":\"B\",\"x\":\"\xff\"}}]}";
    let parsed = parse(body, now()).unwrap();
    assert_eq!(parsed.alerts.len(), 1);
    let bad = &parsed.bad.first[0];
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
    let bad = &parsed.bad.first[0];
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
    let grafana = r#"{"labels":{"alertname":"G"},"values":{"A":1},"valueString":"s","ruleUID":"u","annotations":{"a":"b"}}"#;
    for body in [README, escaped, grafana] {
        let slow = WireAlert::lenient(body)
            .and_then(|wire| wire.into_alert(0, &Group::none("json"), now()))
            .unwrap_or_else(|error| panic!("{}: {}", error.field, error.problem));
        assert!(
            serde_json::from_str::<WireAlert<'_>>(body).is_ok(),
            "the fast way takes it"
        );
        assert_eq!((one(body), 0), slow);
    }
}

/// Parses a body in portions, whatever its length.
fn in_portions(body: &str) -> Result<Parsed, PayloadError> {
    // White space may occur anywhere, and makes it too long to be parsed at once.
    read(&format!("{}{body}", " ".repeat(ONE_GO_BYTES_MAX)))
}

/// Bodies with oddities that must not cost a valid alert, with the number of their valid alerts.
const ODD_BODIES: [(&str, usize); 34] = [
    // Unpaired surrogates: in a label, an annotation, a name, a group's field, an unknown field.
    (r#"{"labels":{"alertname":"cut \ud83d"}}"#, 1),
    (
        r#"{"labels":{"a":"b"},"annotations":{"s":"\udc00 x","t":"\ud83d\ude00"}}"#,
        1,
    ),
    (
        r#"{"labels":{"a":"b"},"annotations":{"\ud83d":"x"},"\ud83d":1}"#,
        1,
    ),
    (
        r#"{"version":"1","title":"disk \ud83d","alerts":[{"labels":{"a":"b"}}]}"#,
        1,
    ),
    (r#"{"\udfff":"x","alerts":[{"labels":{"a":"\\ud83d"}}]}"#, 1),
    (
        r#"{"message":"\ud83d","alerts":[{"labels":{"a":"b"}},{"labels":{"a":"\ud800\ud800"}}]}"#,
        2,
    ),
    (
        r#"[{"labels":{"a":"b"},"annotations":{"s":"\uD83D"}},{"labels":{"c":"d"}}]"#,
        2,
    ),
    // A group's fields with the wrong type.
    (
        r#"{"groupLabels":["a"],"alerts":[{"labels":{"a":"b"}}]}"#,
        1,
    ),
    (
        r#"{"groupLabels":"a","title":5,"alerts":[{"labels":{"a":"b"}}]}"#,
        1,
    ),
    (
        r#"{"groupLabels":{"a":1,"b":null,"c":[2]},"alerts":[{"labels":{"a":"b"}}]}"#,
        1,
    ),
    (
        r#"{"receiver":null,"groupKey":{},"alerts":[{"labels":{"a":"b"}}]}"#,
        1,
    ),
    (
        r#"{"truncatedAlerts":"3","version":4,"alerts":[{"labels":{"a":"b"}}]}"#,
        1,
    ),
    (
        r#"{"truncatedAlerts":-1.5e300,"orgId":"x","alerts":[{"labels":{"a":"b"}}]}"#,
        1,
    ),
    (
        r#"{"status":["firing"],"externalURL":7,"alerts":[{"labels":{"a":"b"}}]}"#,
        1,
    ),
    (
        r#"{"commonLabels":7,"commonAnnotations":null,"routeLabels":[],"alerts":[{"labels":{"a":"b"}}]}"#,
        1,
    ),
    (
        r#"{"state":true,"orgId":1e999,"alerts":[{"labels":{"a":"b"}}]}"#,
        1,
    ),
    // Fields that occur twice, a byte order mark, white space.
    (
        r#"{"groupLabels":1,"groupLabels":{"a":"b"},"alerts":1,"alerts":[{"labels":{"a":"b"}}]}"#,
        1,
    ),
    (
        r#"{"labels":7,"labels":{"a":"b"},"annotations":{},"annotations":null}"#,
        1,
    ),
    ("\u{feff}{\"alerts\":[{\"labels\":{\"a\":\"b\"}}]}", 1),
    (
        "\u{feff} [ {\"labels\":{\"a\":\"b\"}} , {\"labels\":{\"c\":\"d\"}} ] \n",
        2,
    ),
    // Fields of an alert that only inform.
    (
        r#"{"labels":{"a":"b"},"annotations":{"n":5,"t":true,"z":null,"o":{"x":[1]}}}"#,
        1,
    ),
    (r#"{"labels":{"a":"b"},"annotations":"none"}"#, 1),
    (
        r#"{"labels":{"a":"b"},"status":"Resolved","endsAt":"soon"}"#,
        1,
    ),
    (
        r#"{"status":"firing","alerts":[{"labels":{"a":"b"},"endsAt":0}]}"#,
        1,
    ),
    (
        r#"{"labels":{"a":"b"},"generatorURL":7,"fingerprint":[],"values":[1,2],"imageURL":{}}"#,
        1,
    ),
    (
        r#"{"labels":{"a":"b"},"valueString":null,"ruleUID":1.50,"panelURL":false}"#,
        1,
    ),
    (
        r#"{"labels":{"a":"b"},"status":null,"startsAt":null,"endsAt":null}"#,
        1,
    ),
    (
        r#"{"labels":{"a":"b"},"status":"","startsAt":"","endsAt":""}"#,
        1,
    ),
    // Times.
    (
        r#"{"labels":{"a":"b"},"startsAt":"9999-12-31T23:59:59.999999999Z"}"#,
        1,
    ),
    (
        r#"{"labels":{"a":"b"},"startsAt":"2262-04-12T00:00:00+14:00","endsAt":"9999-12-31T23:59:59-12:00"}"#,
        1,
    ),
    (
        r#"{"labels":{"a":"b"},"startsAt":"2026-01-01t00:00:00z"}"#,
        1,
    ),
    (
        r#"{"labels":{"a":"b"},"startsAt":"1600-01-01T00:00:00Z"}"#,
        1,
    ),
    // Invalid alerts in the list.
    (
        r#"[{"labels":{"a":"b"}},1,null,"x",[],{},{"labels":{}},{"labels":{"a":1}}]"#,
        1,
    ),
    (
        r#"{"alerts":[null,{"labels":{"a":"b"}},{"alerts":[]}],"status":7}"#,
        1,
    ),
];

#[test]
fn what_stands_beside_an_alert_never_costs_the_alert() {
    for (body, good) in ODD_BODIES {
        let parsed = read(body).unwrap_or_else(|error| panic!("{error}: {body}"));
        assert_eq!(parsed.alerts.len(), good, "{body}");
        if !body.starts_with('\u{feff}') {
            assert_eq!(in_portions(body), Ok(parsed), "{body}");
        }
    }
}

#[test]
fn half_surrogates_are_read_as_go_reads_them() {
    let parsed = read(
        r#"{"version":"1","orgId":1,"title":"disk \ud83d","alerts":[
        {"labels":{"alertname":"A\udc00"},"annotations":{"summary":"cut \ud83d","whole":"\ud83d\ude00 \\ud83d"}},
        {"labels":{"alertname":"B"}}]}"#,
    )
    .unwrap();
    let [a, b] = &parsed.alerts[..] else {
        panic!("both are good: {parsed:?}");
    };
    assert_eq!(a.alert.name(), "A\u{fffd}");
    assert_eq!(a.alert.annotations.get("summary"), Some("cut \u{fffd}"));
    assert_eq!(a.alert.annotations.get("whole"), Some("😀 \\ud83d"));
    assert_eq!(b.alert.origin.extra.get("title"), Some("disk \u{fffd}"));
}

#[test]
fn what_is_no_text_is_shown_as_it_was_written() {
    let parsed = one(
        r#"{"title":5,"groupLabels":{"n":1.50,"b":true,"z":null},"truncatedAlerts":"3","alerts":[
        {"labels":{"a":"b"},"annotations":{"n":5,"t":true,"z":null,"o":{"x":[1]}}}]}"#,
    );
    let annotations: Vec<_> = parsed.alert.annotations.iter().collect();
    assert_eq!(
        annotations,
        [("n", "5"), ("o", r#"{"x":[1]}"#), ("t", "true")]
    );
    let origin = parsed.alert.origin;
    assert_eq!(origin.extra.get("title"), Some("5"));
    let labels: Vec<_> = origin.group_labels.iter().collect();
    assert_eq!(labels, [("b", "true"), ("n", "1.50")]);
    let counted = read(r#"{"truncatedAlerts":"3","alerts":[{"labels":{"a":"b"}}]}"#).unwrap();
    assert_eq!(counted.truncated_alerts, 3);
}

#[test]
fn a_groups_status_holds_for_alerts_without_one() {
    let of = |group: &str, alert: &str| {
        let body = format!(r#"{{{group}"alerts":[{{{alert}"labels":{{"a":"b"}}}}]}}"#);
        let read = one(&body).alert.status;
        assert_eq!(in_portions(&body).unwrap().alerts[0].alert.status, read);
        read
    };
    let (firing, resolved) = (r#""status":"firing","#, r#""status":"resolved","#);
    let ended = r#""endsAt":"2025-01-01T00:00:00Z","#;
    assert_eq!(of(resolved, ""), Status::Resolved);
    assert_eq!(of(resolved, firing), Status::Firing, "its own counts");
    assert_eq!(of(firing, ended), Status::Firing);
    assert_eq!(
        of("", ended),
        Status::Resolved,
        "nobody says it, so the end does"
    );
    assert_eq!(of(r#""status":"alerting","#, ended), Status::Resolved);
}

#[test]
fn gos_zero_time_is_no_time_in_whatever_zone_it_is_written() {
    for zero in [
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00.000000000Z",
        "0001-01-01T08:00:00+08:00",
        // Of Shanghai, Amsterdam and New York before time zones; Go writes the offset without its seconds.
        "0001-01-01T08:05:43+08:05",
        "0001-01-01T00:19:32+00:19",
        "0000-12-31T19:03:58-04:56",
        "0000-12-31T16:00:00-08:00",
        "0000-12-31T12:00:00-12:00",
    ] {
        let body = format!(r#"{{"labels":{{"a":"b"}},"startsAt":"{zero}","endsAt":"{zero}"}}"#);
        let parsed = one(&body);
        assert!(parsed.starts_at_missing, "{zero}");
        assert_eq!(parsed.alert.ends_at, None, "{zero}");
    }
    let set = one(r#"{"labels":{"a":"b"},"startsAt":"0001-01-01T00:01:00Z"}"#);
    assert!(!set.starts_at_missing);
}

#[test]
fn times_reach_to_the_end_of_the_year_9999() {
    for (written, read) in [
        ("2300-01-01T00:00:00Z", "2300-01-01T00:00:00Z"),
        ("9999-12-30T21:59:59Z", "9999-12-30T21:59:59Z"),
        ("9999-12-31T23:59:59Z", "9999-12-30T22:00:00.999999999Z"),
        (
            "9999-12-31T23:59:59-12:00",
            "9999-12-30T22:00:00.999999999Z",
        ),
        ("9999-12-31T00:00:00+14:00", "9999-12-30T10:00:00Z"),
    ] {
        let body = format!(r#"{{"labels":{{"a":"b"}},"endsAt":"{written}"}}"#);
        let alert = one(&body).alert;
        assert_eq!(alert.ends_at.unwrap().to_string(), read, "{written}");
        assert_eq!(alert.status, Status::Firing);
    }
    for wrong in [
        "10000-01-01T00:00:00Z",
        "9999-12-32T00:00:00Z",
        "9999-12-31T23:59:59",
    ] {
        let body = format!(r#"{{"labels":{{"a":"b"}},"startsAt":"{wrong}"}}"#);
        assert!(refused(&body).starts_with("startsAt: "), "{wrong}");
    }
}

#[test]
fn a_groups_fields_are_in_memory_once() {
    let body = |alerts: usize| {
        let alert = r#"{"labels":{"a":"b"}}"#;
        let key = "k".repeat(2_000);
        let alerts = vec![alert; alerts].join(",");
        format!(r#"{{"alerts":[{alerts}],"groupKey":"{key}","groupLabels":{{"a":"b"}}}}"#)
    };
    for parsed in [read(&body(2)).unwrap(), in_portions(&body(2)).unwrap()] {
        let [a, b] = &parsed.alerts[..] else {
            panic!("both are good");
        };
        let (a, b) = (&a.alert.origin, &b.alert.origin);
        let (one, other) = (a.group_key.as_ref().unwrap(), b.group_key.as_ref().unwrap());
        assert!(one.len() == 2_000 && one.is_same(other));
        assert!(a.group_labels.is_same(&b.group_labels));
    }
}

#[test]
fn what_a_group_says_of_itself_is_bounded() {
    let long = "ü".repeat(20_000);
    let body = format!(
        r#"{{"groupLabels":{{"a":"{long}"}},"title":"{long}","receiver":"r","groupKey":"k","alerts":[{{"labels":{{"a":"b"}}}}]}}"#
    );
    let parsed = read(&body).unwrap();
    assert_eq!(parsed.fields_left_out, 2);
    let origin = &parsed.alerts[0].alert.origin;
    assert_eq!(origin.receiver.as_deref(), Some("r"));
    assert!(origin.group_labels.is_empty());
    assert_eq!(
        origin.extra.iter().collect::<Vec<_>>(),
        [("alert_manager.left_out", "groupLabels, title")]
    );
    // The stored size of all alerts together is a small multiple of the body, however many there are.
    let alerts = vec![r#"{"labels":{"a":"b"}}"#; 20_000].join(",");
    let key = "k".repeat(10_000);
    let parsed = read(&format!(r#"{{"groupKey":"{key}","alerts":[{alerts}]}}"#)).unwrap();
    assert_eq!(parsed.alerts.len(), 20_000);
    assert!(
        parsed
            .alerts
            .iter()
            .all(|parsed| parsed.alert.origin.group_key.is_none())
    );
}

#[test]
fn what_an_alert_says_is_bounded_and_what_it_is_is_not_cut() {
    let mib = 1 << 20;
    let long = "ü".repeat(mib);
    let body = format!(
        r#"{{"labels":{{"a":"b"}},"annotations":{{"a":"{long}","b":"c","long":"{long}"}},"generatorURL":"http://{long}","valueString":"v"}}"#
    );
    let parsed = read(&body).unwrap();
    assert_eq!(parsed.fields_left_out, 4);
    let alert = &parsed.alerts[0].alert;
    assert_eq!(alert.generator_url, None);
    assert!(alert.annotations.bytes() <= mib);
    assert!(alert.annotations.get("a").unwrap().ends_with("ü…"));
    assert_eq!(alert.annotations.get("b"), None, "there is no room left");
    assert_eq!(alert.origin.extra.get("valueString"), Some("v"));
    assert_eq!(
        alert.origin.extra.get("alert_manager.left_out"),
        Some("annotations.a, annotations.b, annotations.long, generatorURL")
    );
    let error = refused(&format!(r#"{{"labels":{{"a":"{long}"}}}}"#));
    assert_eq!(
        error,
        "labels: they have 2097153 bytes; an alert's labels may have 1048576"
    );
}

#[test]
fn of_parts_that_are_no_alerts_the_first_are_kept_and_the_rest_is_counted() {
    let body = |part: &str| {
        format!(
            r#"[{{"labels":{{"a":"b"}}}}{}]"#,
            format!(",{part}").repeat(50_000)
        )
    };
    for part in ["1", "{}", r#"{"labels":{"a":1}}"#] {
        let parsed = read(&body(part)).unwrap();
        assert_eq!(parsed.alerts.len(), 1);
        assert_eq!((parsed.bad.first.len(), parsed.bad.count()), (16, 50_000));
        assert_eq!(parsed.bad.first[15].index, 16);
        assert!(
            parsed
                .bad
                .first
                .iter()
                .all(|bad| bad.digest == parsed.bad.first[0].digest)
        );
    }
    let only_bad = format!("[{}1]", "1,".repeat(100_000));
    let error = read(&only_bad).unwrap_err();
    assert_eq!(error.alerts(), 100_001);
}

#[test]
fn a_long_body_is_read_in_portions_and_nothing_is_lost_between_them() {
    let alerts: Vec<_> = (0..3_500)
        .map(|n| match n % 700 {
            3 => "7".to_owned(),
            _ => format!(
                r#" {{"labels":{{"n":"{n}","long":"{}"}}}}"#,
                "x".repeat(2_000)
            ),
        })
        .collect();
    let body = format!(
        "{{\"alerts\":[{}\n],\"version\":\"4\"}}",
        alerts.join(" ,\n")
    );
    let mut payload = Payload::open(body.into_bytes(), now()).unwrap();
    let (mut portions, mut names) = (Vec::new(), Vec::new());
    while !payload.is_read() {
        let portion = payload.next_portion().unwrap();
        portions.push(portion.len());
        names.extend(
            portion
                .iter()
                .map(|parsed| parsed.alert.labels.get("n").unwrap().to_owned()),
        );
    }
    assert_eq!(portions.len(), 4, "{portions:?}");
    assert!(portions.iter().all(|alerts| *alerts <= PORTION_ALERTS_MAX));
    assert_eq!(payload.bad().count(), 5);
    let expected = (0..3_500).filter(|n| n % 700 != 3).map(|n| n.to_string());
    assert!(names.into_iter().eq(expected));
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
