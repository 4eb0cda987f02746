#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::alert::HandlerName;
use crate::router::Route;

fn rule(name: &str, expr: &str, labels: &[(&str, &str)]) -> AlertRule {
    AlertRule {
        name: name.to_owned(),
        expr: expr.to_owned(),
        labels: labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        group: "g".to_owned(),
        place: "rules.yml".to_owned(),
    }
}

fn route(matchers: &str, handlers: &[&str], after_match: AfterMatch) -> Route {
    let handlers = handlers.iter().map(|name| HandlerName::new(name)).collect();
    Route {
        after_match,
        ..Route::new(Matcher::parse(matchers).unwrap(), handlers)
    }
}

fn described(name: &str, alerts: &[&str]) -> Description {
    serde_json::from_value(
        serde_json::json!({ "name": name, "version": "1.0.0", "summary": "", "alerts": alerts }),
    )
    .unwrap()
}

fn found(rules: &[AlertRule], labelling: &Labelling, routes: Vec<Route>) -> Coverage {
    let modules = [described("disk", &["DiskFull"]), described("post", &["*"])];
    let router = Router::with_described(routes, &modules);
    coverage(rules, labelling, &router, &modules)
}

fn answers(found: &Coverage) -> Vec<Answered> {
    found
        .alerts
        .iter()
        .map(|alert| *alert.answer.known().unwrap())
        .collect()
}

#[test]
fn an_alert_has_a_handler_of_its_own_a_fallback_or_nothing() {
    let rules = [
        rule("DiskFull", "disk > 1", &[]),
        rule("Other", "up == 0", &[]),
    ];
    let made = found(&rules, &Labelling::default(), Vec::new());
    assert_eq!(answers(&made), [Answered::Answered, Answered::Fallback]);
    assert_eq!(made.counts[&Answered::Fallback], 1);
    let only = vec![route(
        r#"alertname="DiskFull""#,
        &["disk", "post"],
        AfterMatch::Stop,
    )];
    let routed = found(&rules, &Labelling::default(), only);
    assert_eq!(answers(&routed), [Answered::Answered, Answered::Unrouted]);
    assert!(routed.alerts[1].may_be_unrouted && !routed.alerts[0].may_be_unrouted);
}

#[test]
fn a_route_with_enrichers_alone_answers_nothing() {
    let mut enricher = described("owner", &[]);
    enricher.enrich_only = true;
    let modules = [enricher, described("post", &["*"])];
    let rules = [rule("Other", "up == 0", &[])];
    let answer = |after_match| {
        let routes = vec![
            route("", &["owner"], after_match),
            route("", &["post"], AfterMatch::Stop),
        ];
        let router = Router::with_described(routes, &modules);
        answers(&coverage(&rules, &Labelling::default(), &router, &modules))
    };
    assert_eq!(answer(AfterMatch::Stop), [Answered::Unrouted]);
    assert_eq!(answer(AfterMatch::Continue), [Answered::Fallback]);
}

#[test]
fn what_a_label_decides_that_is_not_known_is_said_to_depend_on_it() {
    let routes = || {
        vec![
            route(r#"namespace="payments""#, &["unknown"], AfterMatch::Stop),
            route("", &["post", "disk"], AfterMatch::Stop),
        ]
    };
    let rules = [
        rule("Other", "up == 0", &[]),
        rule("Fixed", r#"up{namespace="payments"} == 0"#, &[]),
    ];
    let found = found(&rules, &Labelling::default(), routes());
    assert_eq!(answers(&found), [Answered::Depends, Answered::Answered]);
    assert_eq!(
        found.alerts[0].routes[0].depends_on,
        [r#"namespace="payments""#]
    );
    assert!(found.alerts[0].may_be_fallback && !found.alerts[0].may_be_unrouted);
    assert_eq!(found.alerts[1].routes.len(), 1);
}

#[test]
fn a_route_that_goes_on_adds_to_what_follows() {
    let routes = vec![
        route(r#"severity="critical""#, &["unknown"], AfterMatch::Continue),
        route("", &["post", "disk"], AfterMatch::Stop),
    ];
    let rules = [
        rule("Other", "up", &[("severity", "critical")]),
        rule("Other", "up", &[("severity", "info")]),
    ];
    let found = found(&rules, &Labelling::default(), routes);
    assert_eq!(answers(&found), [Answered::Answered, Answered::Fallback]);
    assert_eq!(found.alerts[0].routes.len(), 2);
}

#[test]
fn a_route_that_can_never_match_has_its_reason() {
    let never = |matchers: &str, expr: &str, labels: &[(&str, &str)]| {
        let routes = vec![
            route(matchers, &["disk"], AfterMatch::Stop),
            route("", &["post"], AfterMatch::Stop),
        ];
        let found = found(&[rule("A", expr, labels)], &Labelling::default(), routes);
        found.routes[0].never.join("\n")
    };
    for (matchers, expr, labels, why) in [
        (
            r#"alertname="B""#,
            "up",
            &[][..],
            "no rule has such an alertname",
        ),
        (
            r#"pod=~".+""#,
            "sum by (namespace) (rate(x[5m])) > 1",
            &[],
            "drops it with sum by (namespace)",
        ),
        (
            r#"pod="a""#,
            "sum(x) > 1",
            &[],
            "sum() without `by` has no labels",
        ),
        (
            r#"severity="page""#,
            "up",
            &[("severity", "info")],
            r#"its severity is always "info""#,
        ),
        (
            r#"job="b""#,
            r#"up{job="a"}"#,
            &[],
            r#"its job is always "a""#,
        ),
        (
            r#"job="b""#,
            r#"up{job!="b"}"#,
            &[],
            r#"the expression selects only job!="b""#,
        ),
        (
            r#"job="c""#,
            r#"up{job=~"a|b"}"#,
            &[],
            r#"its job is one of "a", "b""#,
        ),
        (r#"pod="a""#, "up", &[], ""),
        (r#"pod="a""#, "odd(up)", &[], ""),
    ] {
        let said = never(matchers, expr, labels);
        assert!(
            said.contains(why) && said.is_empty() == why.is_empty(),
            "{matchers} {expr}: {said}"
        );
    }
}

#[test]
fn a_route_behind_one_that_takes_everything_is_not_reached() {
    let routes = vec![
        route("", &["post"], AfterMatch::Stop),
        route(r#"alertname="A""#, &["disk"], AfterMatch::Stop),
    ];
    let found = found(&[rule("A", "up", &[])], &Labelling::default(), routes);
    assert_eq!(
        found.routes[1].never,
        ["an earlier route takes the alert that it matches, and does not continue"]
    );
    assert_eq!(found.routes[0].alerts, 1);
}

#[test]
fn the_reasons_of_a_route_are_bounded() {
    let rules: Vec<_> = (0..9)
        .map(|i| rule(&format!("A{i}"), "sum(up)", &[]))
        .collect();
    let found = found(
        &rules,
        &Labelling::default(),
        vec![route(r#"pod="a""#, &["disk", "post"], AfterMatch::Stop)],
    );
    assert_eq!(found.routes[0].never.len(), 4);
    assert_eq!(found.routes[0].never[3], "and 6 more alerts");
}

#[test]
fn the_servers_own_labels_are_counted_in() {
    let routes = || {
        vec![
            route(r#"cluster="main""#, &["disk"], AfterMatch::Stop),
            route("", &["post"], AfterMatch::Stop),
        ]
    };
    let rules = [rule("A", "sum(up)", &[])];
    let of = |labelling: &Labelling| found(&rules, labelling, routes()).alerts[0].routes[0].route;
    let external = Labelling {
        external: [("cluster".to_owned(), "main".to_owned())].into(),
        relabellings: Vec::new(),
    };
    assert_eq!(of(&Labelling::default()), 1);
    assert_eq!(of(&external), 0);
    let dropped = Labelling {
        relabellings: vec![Relabelling::Drops("clus.*".to_owned())],
        ..external.clone()
    };
    assert_eq!(of(&dropped), 1);
    for relabelling in [
        Relabelling::Sets("cluster".to_owned()),
        Relabelling::Unknown,
    ] {
        let labelling = Labelling {
            relabellings: vec![relabelling],
            ..Labelling::default()
        };
        let found = found(&rules, &labelling, routes());
        assert_eq!(found.alerts[0].routes[0].depends_on, [r#"cluster="main""#]);
    }
}

#[test]
fn an_expression_that_is_not_understood_says_nothing_about_labels() {
    let found = found(
        &[rule(
            "A",
            "up ==",
            &[("severity", "{{ $labels.severity }}")],
        )],
        &Labelling::default(),
        vec![route(
            r#"severity="page", pod="a""#,
            &["disk", "post"],
            AfterMatch::Stop,
        )],
    );
    assert_eq!(found.alerts[0].unread.as_deref(), Some("it ends too early"));
    assert_eq!(answers(&found), [Answered::Depends]);
}
