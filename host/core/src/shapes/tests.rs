//! What is masked, and what must not be.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::hint::black_box;
use std::time::Instant;

use std::path::PathBuf;

use super::*;

#[track_caller]
fn check(plain: &str, expected: &str) {
    assert_eq!(masked(plain), expected);
    assert_eq!(masked(expected), expected, "masking twice");
}

#[test]
fn every_expression_of_the_file_can_be_compiled_and_can_find_something() {
    for rule in &SHAPES.rules {
        assert!(
            rule.expression.get().is_some(),
            "{}: {}",
            rule.id,
            rule.expression.regex
        );
        assert!(!rule.keywords.is_empty(), "{} is never tried", rule.id);
    }
    for allow in SHAPES
        .allow
        .iter()
        .chain(SHAPES.rules.iter().flat_map(|rule| &rule.allow))
    {
        for regex in &allow.regexes {
            assert!(compile(regex).is_some(), "{regex}");
        }
    }
    assert!(SHAPES.rules.len() > 200);
}

#[test]
fn secrets_of_services_are_masked_by_their_shape() {
    // From a public list of formats; none was ever valid.
    for (plain, expected) in [
        (
            "atlassian ATATT3RplJZqgspEqA7gSmQNxgl7mgbs9KQsK9kazAu3EL2pCV3B69Tgqyax4dby5neJZGCJhPSvd3s8Vcj7anYlpcpQXvB8TquwLw9WlnnGxtPs7nTUHEg8sgFY5EcKBUd3c9HCqr2CaxpXmTjRCVAEGqlCNcUrSKwC9XWZJ9aaf9kat9qvmGr5jTdsyxRV",
            "atlassian [masked]",
        ),
        (
            "artifactory AKCpKNAg7rjdmxQCzf72uzkUlXQ9E8pUH5RCC5wjNdnDAgzHLjVRuBklcDrHXJS9lg54DYQNH",
            "artifactory [masked]",
        ),
        (
            "1password A3-JVSSPB-RLABEBDBCRB-YCSSR-LFLCM-NWNUK",
            "1password [masked]",
        ),
        (
            "curl -u deploy:CZfqt4las5CrdD https://x.example/",
            "curl -u [masked] https://x.example/",
        ),
        (
            "CLOJARS_fcdf65d226beb9215468c59de2dddf076ee60ff0253a87643939a0ad19f8",
            "[masked]",
        ),
        ("key AKIAQYLPMN5HFIQR7XYA used", "key [masked] used"),
        (
            "GITHUB=ghp_9sJcX2vQ7LmN4pR8tWzB1kYdF6hG3aUeV5oT",
            "GITHUB=[masked]",
        ),
        ("password: \"Zx81kqP0v7Tn3Lw9\"", "password: \"[masked]\""),
        (
            "postgres://app:hunter2@db/x",
            "postgres://app:[masked]@db/x",
        ),
        ("amqp://:s3c@mq", "amqp://:[masked]@mq"),
        (
            "cut -----BEGIN RSA PRIVATE KEY-----\nMIIEabc",
            "cut -----BEGIN RSA PRIVATE KEY-----[masked]",
        ),
        (
            "é ghp_9sJcX2vQ7LmN4pR8tWzB1kYdF6hG3aUeV5oT é",
            "é [masked] é",
        ),
    ] {
        check(plain, expected);
    }
}

#[test]
fn what_alerts_and_clusters_say_stays() {
    for plain in [
        "exit code 137",
        "pod shop/checkout-6c9f8d7b5c-x2xkz restarted 14 times",
        "image registry.example.com/shop/checkout@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "uid 014df517-39d1-4453-b7b3-9930c563627d, revision 3b18e512dba79e4c8300dd08aeb37f8e728b8dad",
        "secretName: db-credentials",
        "Error: secret \"db\" not found",
        "MountVolume.SetUp failed for volume \"kube-api-access-x7k2p\"",
        "couldn't find key DATABASE_URL in Secret shop/checkout-env",
        "token count: 12, key=value, author: ada",
        "http://prometheus.example.com/graph?g0.expr=rate(kube_pod_container_status_restarts_total%7Bnamespace%3D%22prod-eu%22%7D%5B10m%5D)&g0.tab=1",
        "https://alerts.example.com/deliveries/01JDQ4Z8K7M2X",
        "https://grafana.example.com/d/a1b2c3d4e5f6/pods?orgId=1&var-pod=checkout-6c9f8d7b5c-x2xkz",
        "lease token 4f2a is held by node-1",
        "etcd key /registry/pods/kube-system/coredns-5d78c9869d-abcde",
        "http://host:8080/a@b",
        "ok, C0123456 1732955806.123459",
        "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
        "Grüße – ünïcode 🦀 token stays whole",
        "",
    ] {
        check(plain, plain);
    }
}

#[test]
fn the_bodies_that_senders_send_stay_as_they_are() {
    let mut folders = vec![PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/fixtures"
    ))];
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            check(&text, &text);
            read += 1;
        }
    }
    assert!(read >= 4, "{read}");
}

#[test]
fn a_value_is_masked_by_what_its_name_says() {
    let named = |name: &str, value: &str| {
        let mut value = value.to_owned();
        mask_named(name, &mut value);
        value
    };
    assert_eq!(named("api_token", "Zx81kqP0v7Tn3Lw9"), MASK);
    assert_eq!(named("pod", "Zx81kqP0v7Tn3Lw9"), "Zx81kqP0v7Tn3Lw9");
    assert_eq!(named("token", ""), "");
}

#[test]
fn a_hostile_text_is_read_in_one_pass() {
    for piece in [
        "curl ",
        "curl -u ",
        "curl\n",
        "key=",
        "token token ",
        "-----BEGIN PRIVATE KEY-----",
        "data: kind: secret ",
        "a.b-c_",
        "eyJ",
        "x://a:",
        "authress_a.",
    ] {
        let text = piece.repeat(2_000 / piece.len());
        assert!(!masked(&text).is_empty(), "{piece}");
    }
}

/// Prints the speed of masking; a debug build only shows that it works.
#[test]
fn speed() {
    let log: String = (0..520)
        .map(|n| format!(
            "2026-11-30T01:02:{:02}.{n:03}Z level=info msg=\"handled request\" method=GET path=/api/v1/orders/{n} status=200 duration=12ms pod=checkout-6c9f8d7b5c-x2xkz\n",
            n % 60
        ))
        .collect();
    let log = &log[..64 << 10];
    let secrets = format!("{}\ntoken=Zx81kqP0v7Tn3Lw9\n", &log[..63 << 10]);
    let message = &log[..3 << 10];
    let rounds = if cfg!(debug_assertions) { 1 } else { 300 };
    for (what, text) in [
        ("a log of 64 KiB", log),
        ("one with a secret", &secrets),
        ("a message of 3 KiB", message),
        ("a line", &log[..100]),
    ] {
        black_box(masked(text));
        let began = Instant::now();
        for _ in 0..rounds {
            black_box(masked(black_box(text)));
        }
        let each = began.elapsed().as_secs_f64() / f64::from(rounds);
        println!(
            "masking {what}: {:.1} us, {:.0} MB/s",
            each * 1e6,
            text.len() as f64 / each / 1e6
        );
    }
}

#[test]
fn of_a_long_line_what_stands_near_a_match_is_looked_at() {
    let text = "api_key: 'x9Kq2LmN8vB3zR7tY1wE' ".repeat(1_000);
    let at = text.len() / 2;
    let near = line(text.as_bytes(), &(at..at + 20));
    assert!(near.len() <= 20 + 2 * 1_024, "{}", near.len());
    assert_eq!(line(b"a\nbcd\ne", &(3..4)), b"bcd");
    assert_eq!(masked(&text).matches(MASK).count(), 1_000);
}
