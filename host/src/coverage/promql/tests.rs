//! What expressions prove, most of them of the shapes that the mixins have.

use super::*;
use crate::coverage::labels::Proof;
use crate::router::Matcher;

/// Returns what an expression proves about each of these labels: a value, `-` if it is missing, `?` if it is not known.
#[track_caller]
fn check(expression: &str, expected: &[(&str, &str)]) {
    let series = series(expression).unwrap_or_else(|why| panic!("{expression}: {why}"));
    for (label, known) in expected {
        let found = match series.get(label) {
            What::Any | What::Such(_) => "?".to_owned(),
            What::Missing(_) => "-".to_owned(),
            What::OneOf(values) => values.into_iter().collect::<Vec<_>>().join("|"),
        };
        assert_eq!(found, *known, "{label} of {expression}");
    }
}

#[test]
fn a_selector_proves_what_it_compares() {
    check(
        r#"up{job="a", code=~"4|5", pod!="", gone="", x=~"a.*"} offset 5m == 0"#,
        &[
            ("job", "a"),
            ("code", "4|5"),
            ("pod", "?"),
            ("gone", ""),
            ("x", "?"),
            ("other", "?"),
        ],
    );
    check(r#"{"http.requests", job="a"}"#, &[("job", "a")]);
    check(
        r#":node:sum{job='a'} @ start() # a comment "#,
        &[("job", "a")],
    );
    check(r#"x{job=~"(a|b)", job!="b"}"#, &[("job", "a")]);
}

#[test]
fn an_aggregation_keeps_what_it_names() {
    let both = [("namespace", "?"), ("pod", "-")];
    check("sum by (namespace) (x)", &both);
    check("sum(rate(x[5m])) by (namespace,)", &both);
    check("SUM BY (namespace) (x)", &both);
    check("max without (pod) (x)", &both);
    check("count(x)", &[("namespace", "-")]);
    check(
        r#"topk(3, x{job="a"}) by (namespace)"#,
        &[("pod", "?"), ("job", "a")],
    );
    check(
        r#"count_values("version", x)"#,
        &[("version", "?"), ("pod", "-")],
    );
    check("quantile by (a) (0.9, x)", &[("a", "?"), ("b", "-")]);
    // A metric may be called as an aggregation.
    check("sum > 1", &[("a", "?")]);
}

#[test]
fn an_operation_keeps_the_labels_of_its_matching() {
    check(
        r#"a{x="1"} / on (namespace) b"#,
        &[("namespace", "?"), ("x", "-")],
    );
    check(
        r#"a / on (namespace) b{namespace="n"}"#,
        &[("namespace", "n")],
    );
    check("a / ignoring (pod) b", &[("pod", "-"), ("x", "?")]);
    check(
        "sum by (a, b) (x) / ignoring (b) sum by (a) (y)",
        &[("a", "?"), ("b", "-"), ("c", "-")],
    );
    check(
        "sum by (a) (x) * on (a) group_left (owner) max by (a, owner) (y)",
        &[("a", "?"), ("owner", "?"), ("pod", "-")],
    );
    check(
        "max by (a, owner) (y) * on (a) group_right (owner) sum by (a) (x)",
        &[("owner", "?"), ("pod", "-")],
    );
    check("sum by (a) (x) > bool 0", &[("a", "?"), ("b", "-")]);
    check("2 * sum by (a) (x)", &[("a", "?"), ("b", "-")]);
    check("-sum by (a) (x) ^ 2", &[("b", "-")]);
}

#[test]
fn sets_keep_the_labels_of_their_sides() {
    check(
        r#"sum by (a) (x) and on (a) y{b="1"}"#,
        &[("a", "?"), ("b", "-")],
    );
    check(r#"x{a="1"} unless on (a) y{a="2"}"#, &[("a", "1")]);
    check(r#"x{a="1"} or y{a="2"}"#, &[("a", "1|2"), ("b", "?")]);
    check(
        r#"sum by (a) (x) or absent(up{job="b"} == 1)"#,
        &[("b", "-"), ("a", "?"), ("job", "-")],
    );
}

#[test]
fn functions_change_few_labels() {
    check(
        r#"absent(up{job="kubelet", x=~"a"})"#,
        &[("job", "kubelet"), ("x", "-"), ("pod", "-")],
    );
    check(r#"absent(sum(up{job="a"}))"#, &[("job", "-")]);
    check(
        r#"label_replace(sum by (a) (x), "host", "$1", "a", "(.*)")"#,
        &[("host", "?"), ("a", "?"), ("b", "-")],
    );
    check(
        "histogram_quantile(0.99, sum by (le, job) (rate(x[5m])))",
        &[("le", "-"), ("job", "?"), ("pod", "-")],
    );
    check("vector(1)", &[("a", "-")]);
    check("time() > 1", &[("a", "-")]);
    check(
        "predict_linear(sum by (a) (x)[6h:1m], 4 * 24 * 3600) < 0",
        &[("a", "?"), ("b", "-")],
    );
    check("1e-5 < sum by (a) (x) < +Inf", &[("b", "-")]);
}

#[test]
fn expressions_of_the_mixins_are_understood() {
    check(
        r#"max_over_time(kube_pod_container_status_waiting_reason{reason="CrashLoopBackOff", job="kube-state-metrics"}[5m]) >= 1"#,
        &[
            ("reason", "CrashLoopBackOff"),
            ("job", "kube-state-metrics"),
            ("pod", "?"),
        ],
    );
    check(
        r#"sum by (namespace, pod, job, cluster) (max by (namespace, pod, job, cluster) (kube_pod_status_phase{job="kube-state-metrics",
           phase=~"Pending|Unknown"}) * on (namespace, pod, cluster) group_left (owner_kind) topk by (namespace, pod, cluster) (1,
           max by (namespace, pod, owner_kind, cluster) (kube_pod_owner{owner_kind!="Job"}))) > 0"#,
        &[
            ("namespace", "?"),
            ("pod", "?"),
            ("container", "-"),
            ("phase", "-"),
        ],
    );
    check(
        r#"100 * (count(up == 0) BY (cluster, job, namespace, service) / count(up) BY (cluster, job, namespace, service)) > 10"#,
        &[("job", "?"), ("instance", "-")],
    );
    check(
        r#"(kubelet_volume_stats_available_bytes{job="kubelet"} / kubelet_volume_stats_capacity_bytes{job="kubelet"}) < 0.03 and
           kubelet_volume_stats_used_bytes{job="kubelet"} > 0 unless on (cluster, namespace, persistentvolumeclaim)
           kube_persistentvolumeclaim_access_mode{access_mode="ReadOnlyMany"} == 1"#,
        &[
            ("job", "kubelet"),
            ("persistentvolumeclaim", "?"),
            ("access_mode", "?"),
        ],
    );
}

#[test]
fn what_is_not_understood_is_said_and_never_panics() {
    for (expression, why) in [
        ("", "it ends too early"),
        ("up ==", "it ends too early"),
        ("up)", ") is not expected there"),
        ("(up", ") is missing at the end"),
        ("up{a=1}", "a quoted value is expected after a"),
        ("up{a='x}", "a quoted text has no end"),
        ("up{é='x'}", "'é' is no sign of PromQL"),
        ("up[5m", "] is missing at the end"),
        ("sum by (a (x)", "( is not expected"),
        ("up{a=~'('}", "the regular expression"),
        ("info(up)", "the function info is not known"),
        ("up offset x", "a duration is expected after offset"),
        (r"up{a='\x41'}", r"the escape \x is not read"),
        ("sum(1)", "sum has no series"),
        (r#"up{a="1" or b="2"}"#, "} is expected before or"),
    ] {
        let said = series(expression).unwrap_err();
        assert!(
            said.contains(why) || (why.starts_with("( is") && said.contains("expected")),
            "{expression}: {said}"
        );
    }
    let deep = format!("{}up{}", "(".repeat(5_000), ")".repeat(5_000));
    assert!(
        series(&deep)
            .unwrap_err()
            .contains("more than 64 levels deep")
    );
    assert!(
        series(&"-".repeat(5_000))
            .unwrap_err()
            .contains("more than 64 levels deep")
    );
    assert!(
        series(&"a".repeat(70 << 10))
            .unwrap_err()
            .contains("more than 64 KiB")
    );
    // Every beginning of an expression is an answer.
    let whole = r#"sum by (a) (rate(x{b=~"c|d", "e"!="f"}[5m:1m] offset -1h @ end())) / on (a) group_left (g) :h{} ^ 2 or vector(1)"#;
    for end in 0..whole.len() {
        let _ = series(&whole[..end]);
    }
}

#[test]
fn a_matcher_that_the_expression_has_is_proved() {
    let series = series(r#"up{a=~"x.+", b!="", c!~"y.*"}"#).unwrap_or_else(|why| panic!("{why}"));
    let proves = |text: &str| {
        let matcher = Matcher::parse(text)
            .unwrap_or_else(|error| panic!("{error}"))
            .remove(0);
        series.get(matcher.name()).proves(&matcher)
    };
    for (text, is_proved) in [
        (r#"a=~"x.+""#, true),
        (r#"b!="""#, true),
        (r#"a!="z""#, true),
        (r#"a=~"x""#, false),
        (r#"c="z""#, false),
    ] {
        assert_eq!(proves(text) == Proof::Always, is_proved, "{text}");
    }
    assert!(matches!(proves(r#"c="yes""#), Proof::Never(_)));
    assert_eq!(proves(r#"z="1""#), Proof::Maybe);
}
