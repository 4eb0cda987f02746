//! Tables of matching and of the order of routes.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect()
}

fn route(matchers: &[&str], handlers: &[&str]) -> Route {
    let matchers = matchers
        .iter()
        .flat_map(|text| Matcher::parse(text).unwrap())
        .collect();
    Route::new(
        matchers,
        handlers.iter().map(|h| HandlerName::new(h)).collect(),
    )
}

fn described(name: &str, alerts: &[&str]) -> Description {
    Description {
        name: HandlerName::new(name),
        version: "1.0.0".to_owned(),
        summary: String::new(),
        alerts: alerts.iter().map(|a| (*a).to_owned()).collect(),
        act_only: false,
        enrich_only: false,
        storm_one: false,
        settings: None,
    }
}

/// Formats routes as `alertname="A" → a, b`.
fn listed(router: &Router) -> Vec<String> {
    let list = |items: Vec<String>| items.join(", ");
    router
        .routes()
        .iter()
        .map(|route| {
            let matchers = list(route.matchers.iter().map(Matcher::to_string).collect());
            let handlers = list(route.handlers.iter().map(HandlerName::to_string).collect());
            format!("{matchers} → {handlers}")
        })
        .collect()
}

#[test]
fn matchers_are_read_as_alertmanager_reads_them() {
    let cases = [
        (r#"alertname="Down""#, &[r#"alertname="Down""#][..]),
        ("alertname=Down", &[r#"alertname="Down""#]),
        (" alertname != Down ", &[r#"alertname!="Down""#]),
        ("namespace=~prod-.*", &[r#"namespace=~"prod-.*""#]),
        (r#"a=~"x{1,2}""#, &[r#"a=~"x{1,2}""#]),
        ("a!~b", &[r#"a!~"b""#]),
        ("a=", &[r#"a="""#]),
        (r#"{a="b", c=~"d|e",}"#, &[r#"a="b""#, r#"c=~"d|e""#]),
        (r#"a="b",c!="d""#, &[r#"a="b""#, r#"c!="d""#]),
        (r#""host.name"="x""#, &[r#""host.name"="x""#]),
        (r#"host.name=x"#, &[r#""host.name"="x""#]),
        (r#"größe="x""#, &[r#""größe"="x""#]),
        (r#"a="say \"hi\" \\ \n""#, &[r#"a="say \"hi\" \\ \n""#]),
        (r#"a=~"\\d+""#, &[r#"a=~"\\d+""#]),
        (r#"a=~"\d+""#, &[r#"a=~"\\d+""#]),
        (r#"a=~\d+"#, &[r#"a=~"\\d+""#]),
        (r#"ä="\u00e9\x41""#, &[r#""ä"="éA""#]),
        (r#"a="b,c}""#, &[r#"a="b,c}""#]),
        ("{}", &[]),
    ];
    for (text, expected) in cases {
        let matchers = Matcher::parse(text).unwrap();
        let written: Vec<_> = matchers.iter().map(Matcher::to_string).collect();
        assert_eq!(written, expected, "{text}");
        for matcher in &matchers {
            assert_eq!(
                &Matcher::parse(&matcher.to_string()).unwrap()[..],
                std::slice::from_ref(matcher)
            );
        }
    }
}

#[test]
fn where_both_parsers_take_a_text_the_classic_reading_counts() {
    let cases = [
        // Classic: a backslash that escapes nothing is literal. UTF-8: Go's escapes.
        (r#"volume="D:\backup""#, r"D:\backup"),
        (r#"volume="D:\x41""#, r"D:\x41"),
        (r#"a=~"\u00e9|\101""#, "é|A"),
        (r#"a="\t""#, r"\t"),
        (r#"a=~"\x28""#, r"\x28"),
        // Only the classic parser accepts these.
        (r"path=C:\temp", r"C:\temp"),
        ("a=", ""),
        ("a==b", "=b"),
        ("a=b c", "b c"),
        ("a={b", "{b"),
        ("a=b}", "b"),
        ("{a=b", "b"),
        ("a=it's", "it's"),
        ("a=\"b\nc\"", "b\nc"),
        // Only the UTF-8 parser accepts these.
        (r#""a"="\u00e9\x41\n\101""#, "éA\nA"),
        (" {a=b} ", "b"),
        ("a\u{a0}=b", "b"),
        ("größe=x", "x"),
        ("host.name=x", "x"),
        ("1st=x", "x"),
        (r#""" = x"#, "x"),
    ];
    for (text, expected) in cases {
        let matchers = Matcher::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let values: Vec<_> = matchers.iter().map(Matcher::value).collect();
        assert_eq!(values, [expected], "{text}");
    }
    for text in ["", "  ", "{}", " { } "] {
        assert_eq!(Matcher::parse(text), Ok(Vec::new()), "{text:?}");
    }
    let lists = [
        (r#"{a="b,c", d=e}"#, 2),
        (r#"{a="\",", d=~"[,}]+",}"#, 2),
        ("a=b,c!=d,e!~f ,", 3),
        (r#"{"größe"="x", a="D:\\b"}"#, 2),
    ];
    for (text, expected) in lists {
        assert_eq!(Matcher::parse(text).unwrap().len(), expected, "{text}");
    }
}

/// Inputs that users reported, with Alertmanager's results.
#[test]
fn matchers_from_the_field_match_as_they_do_in_alertmanager() {
    let cases = [
        (r#"volume="D:\backup""#, "volume", r"D:\backup", true),
        (r#"path=~"[\w-,]+""#, "path", "a-b,c", true),
        (
            r#"uri=~"/v[1-9]/.*/{gid}/{uid}""#,
            "uri",
            "/v2/x/{gid}/{uid}",
            true,
        ),
        (r#"team=~"\\w+""#, "team", "führung", false),
        (r#"team=~"\\w+""#, "team", "fuehrung", true),
    ];
    for (text, name, value, expected) in cases {
        let alert = labels(&[("alertname", "X"), (name, value)]);
        let matches = Matcher::parse(text).unwrap()[0].matches(&alert);
        assert_eq!(matches, expected, "{text}");
    }
}

#[test]
fn a_matcher_that_cannot_be_read_says_why() {
    let cases = [
        ("alertname", "one of = != =~ !~"),
        ("=Down", "a label's name is expected"),
        (",a=b", "a label's name is expected"),
        ("a=b,,c=d", "a label's name is expected"),
        (r#"a="b"#, "the closing quote is missing"),
        (r#"a="b" c="d""#, "a comma is expected"),
        (r#"a=b"c""#, "a comma is expected"),
        (r#""a"="\q""#, "has an invalid escape"),
        (r#""a"="\ud800""#, "has an invalid escape"),
        (r#""a"="\xff""#, "has an invalid escape"),
        ("\"a\"=\"b\nc\"", "has an invalid escape"),
        ("ä=b}", "the opening brace is missing"),
        ("{ä=b", "the closing brace is missing"),
        ("{ä=b}c", "nothing is expected after the closing brace"),
        ("ä=", "a value is expected"),
        ("ä!b", "the operators are = != =~ !~"),
        ("ä=it's", "' must be within quotes"),
        (r#"a=~"(""#, "is refused: a closing ) is missing"),
        (r#"größe=~"(""#, "is refused: a closing ) is missing"),
        (r#"a=~"(x{1000}){1000}""#, "{1000} is over 1,000"),
        (r#"a=~"(?:\\pL{100}){10}""#, "too large"),
    ];
    for (text, part) in cases {
        let error = Matcher::parse(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn a_missing_label_equals_the_empty_text_and_expressions_match_whole_values() {
    let alert = labels(&[("alertname", "Down"), ("namespace", "prod-eu")]);
    let cases = [
        (r#"alertname="Down""#, true),
        (r#"alertname="down""#, false),
        (r#"alertname=~"Do""#, false),
        (r#"alertname=~"Do.*""#, true),
        (r#"alertname=~"Down|Up""#, true),
        (r#"alertname=~"D|Down""#, true),
        (r#"alertname=~"Down""#, true),
        (r#"alertname!~"Down""#, false),
        (r#"alertname!="Down""#, false),
        (r#"namespace!~"staging-.*""#, true),
        (r#"cluster="""#, true),
        (r#"cluster!="""#, false),
        (r#"cluster!="x""#, true),
        (r#"cluster=~".*""#, true),
        (r#"cluster=~".+""#, false),
        (r#"cluster!~".+""#, true),
    ];
    for (text, expected) in cases {
        let matches = Matcher::parse(text).unwrap()[0].matches(&alert);
        assert_eq!(matches, expected, "{text}");
    }
}

#[test]
fn the_first_match_wins_unless_it_continues() {
    let mut first = route(&["severity=critical"], &["page"]);
    first.after_match = AfterMatch::Continue;
    let router = Router::new(vec![
        first,
        route(&["alertname=Down"], &["down"]),
        route(&[], &["rest"]),
    ]);
    let cases = [
        (
            &[("alertname", "Down"), ("severity", "critical")][..],
            &[0, 1][..],
        ),
        (&[("alertname", "Up"), ("severity", "critical")], &[0, 2]),
        (&[("alertname", "Down")], &[1]),
        (&[("x", "y")], &[2]),
    ];
    for (pairs, expected) in cases {
        assert_eq!(router.matching(&labels(pairs)), expected, "{pairs:?}");
    }
}

#[test]
fn modules_make_routes_by_alertname_in_byte_order_and_the_star_last() {
    let described = [
        described("zeta", &["Down", "*"]),
        described("alpha", &["Zoom", "Down", "äther"]),
        described("notify", &["*"]),
        described("mute", &[]),
    ];
    let router = Router::with_described(Vec::new(), &described);
    assert_eq!(
        listed(&router),
        [
            r#"alertname="Down" → alpha, zeta"#,
            r#"alertname="Zoom" → alpha"#,
            r#"alertname="äther" → alpha"#,
            " → notify, zeta",
        ]
    );
}

#[test]
fn modules_that_a_route_names_make_none_and_the_others_go_before_the_fallback() {
    let router = Router::with_described(
        vec![
            route(&["a=b"], &["named"]),
            route(&[], &["fallback"]),
            route(&["late=yes"], &["late"]),
        ],
        &[
            described("named", &["A"]),
            described("fallback", &["*"]),
            described("dropped-in", &["B"]),
        ],
    );
    assert_eq!(
        listed(&router),
        [
            r#"a="b" → named"#,
            r#"alertname="B" → dropped-in"#,
            " → fallback",
            r#"late="yes" → late"#,
        ]
    );
    let numbers: Vec<_> = (0..4).map(|index| router.number(index)).collect();
    assert_eq!(numbers, [0, 3, 1, 2], "the configuration's numbers stay");
}

#[test]
fn without_a_fallback_the_made_routes_come_last() {
    let router = Router::with_described(
        vec![route(&["a=b"], &["named"])],
        &[described("notify", &["*"])],
    );
    assert_eq!(listed(&router), [r#"a="b" → named"#, " → notify"]);
}

#[test]
fn an_explanation_says_which_matcher_failed_and_who_took_the_alert() {
    let router = Router::new(vec![
        route(&["alertname=Down", "cluster=eu"], &["a"]),
        route(&[], &["b"]),
        route(&["alertname=Down"], &["c"]),
    ]);
    let verdicts = router.explain(&labels(&[("alertname", "Down"), ("cluster", "us")]));
    let outcomes: Vec<_> = verdicts.iter().map(|verdict| verdict.outcome).collect();
    assert_eq!(
        outcomes,
        [
            RouteOutcome::NoMatch,
            RouteOutcome::Taken,
            RouteOutcome::NotReached { taken_by: 1 },
        ]
    );
    assert_eq!(
        verdicts[0].matchers[1],
        MatcherVerdict {
            matcher: r#"cluster="eu""#.to_owned(),
            value: Some("us".to_owned()),
            matches: false,
        }
    );
}

#[test]
fn a_digest_names_matchers_and_handlers_and_nothing_else() {
    let plain = route(&["a=b"], &["x"]);
    let mut other = route(&[r#"a="b""#], &["x"]);
    other.repeat_after = Duration::ZERO;
    assert_eq!(plain.name, other.name);
    assert_eq!(plain.name.len(), 12);
    assert_ne!(plain.name, route(&["a=b"], &["y"]).name);
    assert_ne!(plain.name, route(&["a!=b"], &["x"]).name);
    assert_ne!(
        route(&["a=b", "c=d"], &[]).name,
        route(&["a=b"], &["c=d"]).name
    );
}

#[test]
fn the_route_s_priority_goes_before_the_team_s_words_and_those_before_the_table() {
    let mut urgent = route(&["team=core"], &["notify"]);
    urgent.priority = Some(Priority::Critical);
    urgent.after_match = AfterMatch::Continue;
    let mut quiet = route(&["team=test"], &["notify"]);
    quiet.priority = Some(Priority::Normal);
    let mut settings = Settings::default();
    settings.severity_map.insert("gold", Priority::Critical);
    settings.severity_map.insert("page", Priority::Warning);
    let routes = vec![urgent, quiet, route(&[], &["notify"])];
    let router = Router::new(routes.clone()).with_settings(settings);
    let table = Router::new(routes);
    let priorities = |router: &Router, pairs: &[(&str, &str)]| -> Vec<Priority> {
        let plans = router.plan(&labels(pairs));
        plans.iter().map(|plan| plan.priority).collect()
    };
    use Priority::{Critical, Normal, Warning};
    for (pairs, with_words, without) in [
        (&[("severity", "GOLD")][..], &[Critical][..], &[Normal][..]),
        (&[("severity", "page")], &[Warning], &[Critical]),
        (&[("severity", "sev1")], &[Critical], &[Critical]),
        (
            &[("severity", "gold"), ("team", "test")],
            &[Normal],
            &[Normal],
        ),
        (
            &[("severity", "info"), ("team", "core")],
            &[Critical, Normal],
            &[Critical, Normal],
        ),
        (&[("priority", "P2")], &[Warning], &[Warning]),
        (&[], &[Normal], &[Normal]),
    ] {
        assert_eq!(priorities(&router, pairs), with_words, "{pairs:?}");
        assert_eq!(priorities(&table, pairs), without, "{pairs:?}");
    }
    let by = |index, pairs: &[(&str, &str)]| router.priority(index, &labels(pairs)).by;
    let gold = &[("severity", "gold")];
    assert_eq!(by(0, gold), RankedBy::Route);
    assert_eq!(by(2, gold), RankedBy::Map { label: "severity" });
    assert_eq!(
        by(2, &[("priority", "p0")]),
        RankedBy::Table { label: "priority" }
    );
    assert_eq!(by(2, &[]), RankedBy::Nothing);
}

#[test]
fn a_plan_has_what_its_storm_has_in_common_if_its_route_runs_as_one() {
    let one = |name: &str| {
        let mut description = described(name, &["*"]);
        description.storm_one = true;
        description
    };
    let descriptions = [one("notify"), one("dropped-in"), described("restart", &[])];
    let storms = |router: &Router| -> Vec<Option<String>> {
        let alert = labels(&[("alertname", "Down"), ("cluster", "eu"), ("pod", "a")]);
        let plans = router.plan(&alert).into_iter();
        plans
            .map(|plan| plan.storm.map(|storm| storm.to_string()))
            .collect()
    };
    let mut both = route(&["alertname=Down"], &["restart", "notify"]);
    both.after_match = AfterMatch::Continue;
    let mut last = route(&["alertname=Down"], &["notify"]);
    last.after_match = AfterMatch::Continue;
    let routes = vec![both, last];
    let router = Router::with_described(routes.clone(), &descriptions);
    let usual = Some(r#"{"alertname":"Down","cluster":"eu"}"#.to_owned());
    assert_eq!(
        storms(&router),
        [None, usual.clone(), usual],
        "also on the route that a description makes"
    );
    assert_eq!(
        router.in_storm(0),
        Some(&InStorm::Each {
            because: vec![HandlerName::new("restart")]
        })
    );

    let by_pod = Settings {
        storm_by: ["pod".to_owned()].into(),
        ..Settings::default()
    };
    let pod = Some(r#"{"pod":"a"}"#.to_owned());
    let router = router.with_settings(by_pod);
    assert_eq!(storms(&router), [None, pod.clone(), pod]);
    let off = Settings {
        storm_by: BTreeSet::new(),
        ..Settings::default()
    };
    let router = router.with_settings(off);
    assert_eq!(storms(&router), [None, None, None]);
    assert_eq!(router.in_storm(1), None);

    let router = Router::with_described(routes, &descriptions[2..]);
    assert_eq!(storms(&router), [None, None], "the module is gone");
}
