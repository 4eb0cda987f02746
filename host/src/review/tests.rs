//! Configurations that can be read but would fail for every alert: the findings, their places and remedies.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;

use super::*;
use crate::config::Overrides;
use crate::runtime::{ModuleState, Origin};

fn setting(json: &str) -> Setting {
    serde_json::from_str(json).unwrap()
}

fn module(
    name: &str,
    alerts: &[&str],
    imports: &[&str],
    settings: Option<Vec<Setting>>,
) -> (ModuleInfo, Description) {
    let alerts: Vec<_> = alerts.iter().map(|&alert| alert.to_owned()).collect();
    let info = ModuleInfo {
        name: Some(HandlerName::new(name)),
        version: Some("1.0.0".to_owned()),
        sha256: Some("00".repeat(32)),
        origin: Origin::File {
            path: format!("{name}.wasm").into(),
        },
        state: ModuleState::Ready,
        summary: None,
        alerts: alerts.clone(),
        imports: imports.iter().map(|&import| import.to_owned()).collect(),
        exposure: None,
        error: None,
        claims: None,
    };
    let description = Description {
        name: HandlerName::new(name),
        version: "1.0.0".to_owned(),
        summary: "Does.".to_owned(),
        alerts,
        act_only: false,
        enrich_only: false,
        storm_one: false,
        settings,
    };
    (info, description)
}

/// `notify` posts; `kube` also calls an API server; `plain` declares no settings; `greedy` requires one; `owner` only
/// enriches.
fn folder() -> (Vec<ModuleInfo>, Vec<Description>) {
    let channel = || setting(r#"{"name":"channel","type":"string","default":"alerts"}"#);
    let kube = vec![
        channel(),
        setting(
            r#"{"name":"logs","type":"string","default":"message","values":["message","thread","off"]}"#,
        ),
        setting(r#"{"name":"lines","type":"integer","default":12}"#),
        setting(
            r#"{"name":"kubernetes.url","type":"url","default":"https://kubernetes.default.svc","refers_to":"origin"}"#,
        ),
        setting(r#"{"name":"cluster.*.url","type":"url","refers_to":"origin"}"#),
        setting(
            r#"{"name":"credential","type":"string","default":"kubernetes","refers_to":"credential"}"#,
        ),
        setting(r#"{"name":"wait","type":"duration"}"#),
        setting(r#"{"name":"tags","type":"list"}"#),
    ];
    let greedy = vec![setting(
        r#"{"name":"region","type":"string","required":true,"about":"where it is"}"#,
    )];
    let mut enricher = module("owner", &[], &["http"], Some(Vec::new()));
    enricher.1.enrich_only = true;
    [
        module("notify", &["*"], &["slack"], Some(vec![channel()])),
        module("kube", &["PodCrash"], &["http", "slack"], Some(kube)),
        module("plain", &["Kube.*"], &["slack"], None),
        module("greedy", &["Greed"], &[], Some(greedy)),
        enricher,
    ]
    .into_iter()
    .unzip()
}

/// Parses `text` after the part that all cases have in common, and reviews it with the modules of these names.
fn review_of(text: &str, names: &[&str]) -> Findings {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.yml");
    fs::write(&path, text).unwrap();
    let config = Config::load(Some(&path), &Overrides::default(), &|_| None);
    let config = config.unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    let (modules, descriptions) = folder();
    let is_named = |name: &HandlerName| names.contains(&name.as_str());
    let modules: Vec<_> = modules
        .into_iter()
        .filter(|module| module.name.as_ref().is_some_and(is_named))
        .collect();
    let descriptions: Vec<_> = descriptions
        .into_iter()
        .filter(|description| is_named(&description.name))
        .collect();
    review(&config, &modules, &descriptions)
}

struct Case {
    about: &'static str,
    modules: &'static [&'static str],
    text: &'static str,
    /// The line and column, and parts of the message.
    at: &'static str,
    says: &'static [&'static str],
    /// The text that the remedy replaces, and its replacement.
    remedy: (&'static str, &'static str),
}

const SLACK: &str =
    "slack: { preview: true, channels: { alerts: \"#alerts\", oncall: C0123456789 } }\n";

const REFUSED: &[Case] = &[
    Case {
        about: "the module's own channel is not granted",
        modules: &["notify"],
        text: "handlers:\n  notify:\n    allow: { slack: [oncall] }\n",
        at: "4:21",
        says: &[
            "channel is \"alerts\" by default",
            "granted: oncall",
            "slack: [alerts, oncall]",
        ],
        remedy: ("[oncall]", "[alerts, oncall]"),
    },
    Case {
        about: "the channel in config is misspelt",
        modules: &["notify"],
        text: "handlers:\n  notify:\n    allow: { slack: [alerts, oncall] }\n    config: { channel: oncal }\n",
        at: "5:24",
        says: &["\"oncal\"", "did you mean oncall?"],
        remedy: ("channel: oncal }", "channel: oncall }"),
    },
    Case {
        about: "the channel in config is Slack's own name of it",
        modules: &["notify"],
        text: "handlers:\n  notify:\n    allow: { slack: [alerts] }\n    config: { channel: \"#alerts\" }\n",
        at: "5:24",
        says: &["what Slack calls it: write alerts"],
        remedy: ("\"#alerts\" }\n", "alerts }\n"),
    },
    Case {
        about: "the channel of a route is unknown",
        modules: &["notify"],
        text: "routes:\n  - handlers: [notify]\n    config: { channel: database }\nhandlers:\n  notify:\n    allow: { slack: [alerts] }\n",
        at: "4:24",
        says: &[
            "routes[0].config.channel",
            "alerts: \"#alerts\"",
            "database: \"#database\"",
        ],
        remedy: ("channel: database", "channel: alerts"),
    },
    Case {
        about: "the channel of a route is not granted",
        modules: &["plain"],
        text: "routes:\n  - handlers: [plain]\n    config: { channel: oncall }\nhandlers:\n  plain:\n    allow: { slack: [alerts] }\n",
        at: "4:24",
        says: &["plain is not granted", "slack: [alerts, oncall]"],
        remedy: ("slack: [alerts]", "slack: [alerts, oncall]"),
    },
    Case {
        about: "a handler is misspelt in a route",
        modules: &["notify"],
        text: "routes:\n  - handlers: [notfy]\n  - handlers: [notify]\nhandlers:\n  notify: { allow: { slack: [alerts] } }\n",
        at: "3:16",
        says: &["notfy", "did you mean notify?"],
        remedy: ("  - handlers: [notfy]\n", ""),
    },
    Case {
        about: "a handler is misspelt for dead letters",
        modules: &["notify"],
        text: "dead_letter: { handlers: [notfy] }\nhandlers:\n  notify: { allow: { slack: [alerts] } }\n",
        at: "2:27",
        says: &["dead_letter.handlers[0]", "did you mean notify?"],
        remedy: ("[notfy]", "[notify]"),
    },
    Case {
        about: "a setting that the module does not have",
        modules: &["notify"],
        text: "handlers:\n  notify:\n    allow: { slack: [alerts] }\n    config: { chanel: alerts }\n",
        at: "5:23",
        says: &["handlers.notify.config.chanel", "did you mean channel?"],
        remedy: ("chanel", "channel"),
    },
    Case {
        about: "a setting of another type",
        modules: &["kube"],
        text: "handlers:\n  kube:\n    allow: { slack: [alerts] }\n    config: { lines: dozen }\n",
        at: "5:22",
        says: &["\"dozen\"", "a whole number"],
        remedy: ("dozen", "12"),
    },
    Case {
        about: "a list where a text belongs",
        modules: &["kube"],
        text: "handlers:\n  kube:\n    allow: { slack: [alerts] }\n    config: { logs: [off] }\n",
        at: "5:21",
        says: &["it should be a text"],
        remedy: ("[off]", "off"),
    },
    Case {
        about: "a text where a list belongs",
        modules: &["kube"],
        text: "handlers:\n  kube:\n    allow: { slack: [alerts] }\n    config: { tags: one }\n",
        at: "5:21",
        says: &["it should be a list"],
        remedy: ("tags: one", "tags: [one]"),
    },
    Case {
        about: "no duration",
        modules: &["kube"],
        text: "handlers:\n  kube:\n    allow: { slack: [alerts] }\n    config: { wait: soon }\n",
        at: "5:21",
        says: &["a duration such as"],
        remedy: ("soon", "30s"),
    },
    Case {
        about: "none of a setting's values",
        modules: &["kube"],
        text: "handlers:\n  kube:\n    allow: { slack: [alerts] }\n    config: { logs: tread }\n",
        at: "5:21",
        says: &["did you mean thread?"],
        remedy: ("tread", "thread"),
    },
    Case {
        about: "a setting that is required",
        modules: &["greedy"],
        text: "routes:\n  - handlers: [greedy]\nhandlers:\n  greedy:\n    config: {}\n",
        at: "6:5",
        says: &[
            "the required setting region is missing (where it is)",
            "set it to a text",
            "region: …",
        ],
        remedy: ("config: {}", "config: { region: eu }"),
    },
    Case {
        about: "a setting that is required has no value",
        modules: &["greedy"],
        text: "handlers:\n  greedy:\n    config:\n      region:\n",
        at: "5:7",
        says: &["the required setting region is missing (where it is)"],
        remedy: ("region:", "region: eu"),
    },
    Case {
        about: "a URL that the handler may not request",
        modules: &["kube"],
        text: "handlers:\n  kube:\n    allow: { slack: [alerts], http: [\"https://kubernetes.default.svc\"] }\n    config: { credential: \"\", cluster.main.url: \"https://k8s.example.org\" }\n",
        at: "5:49",
        says: &[
            "cluster.main.url",
            "may not request",
            "http: [\"https://kubernetes.default.svc\", \"https://k8s.example.org\"]",
        ],
        remedy: (
            "default.svc\"]",
            "default.svc\", \"https://k8s.example.org\"]",
        ),
    },
    Case {
        about: "a credential bound to another origin",
        modules: &["kube"],
        text: "credentials:\n  kubernetes: { header: { name: X-Key, value: x }, origins: [\"https://10.0.0.1:6443\"] }\nhandlers:\n  kube:\n    allow: { slack: [alerts], credentials: [kubernetes], http: [\"https://kubernetes.default.svc\"] }\n",
        at: "6:44",
        says: &[
            "sent to https://10.0.0.1:6443 alone",
            "origins: [\"https://10.0.0.1:6443\",\"https://kubernetes.default.svc\"]",
        ],
        remedy: (
            "origins: [\"https://10.0.0.1:6443\"]",
            "origins: [\"https://10.0.0.1:6443\",\"https://kubernetes.default.svc\"]",
        ),
    },
    Case {
        about: "a credential in config that is not granted",
        modules: &["kube"],
        text: "credentials:\n  main: { header: { name: X-Key, value: x }, origins: [\"https://kubernetes.default.svc\"] }\nhandlers:\n  kube:\n    allow: { slack: [alerts], http: [\"https://kubernetes.default.svc\"] }\n    config: { credential: main }\n",
        at: "7:27",
        says: &["kube is not granted", "credentials: [main]"],
        remedy: ("allow: { slack", "allow: { credentials: [main], slack"),
    },
    Case {
        about: "a placeholder for a host",
        modules: &["kube"],
        text: "handlers:\n  kube:\n    allow: { slack: [alerts], http: [\"https://HOST\"] }\n    config: { credential: \"\" }\n",
        at: "4:38",
        says: &["\"HOST\" is a placeholder"],
        remedy: ("HOST", "kubernetes.default.svc"),
    },
    Case {
        about: "a name of this machine, which no grant by name opens",
        modules: &["plain"],
        text: "handlers:\n  plain:\n    allow: { slack: [alerts], http: [\"http://localhost:9090\"] }\n",
        at: "4:38",
        says: &["write http://127.0.0.1:9090"],
        remedy: ("localhost", "127.0.0.1"),
    },
    Case {
        about: "more processor time than time",
        modules: &["notify"],
        text: "handlers:\n  notify:\n    allow: { slack: [alerts] }\n    limits: { cpu: 40s }\n",
        at: "5:20",
        says: &["wall (30s) ends each invocation before that"],
        remedy: ("cpu: 40s", "cpu: 40s, wall: 1m"),
    },
];

#[test]
fn what_can_only_fail_is_refused_with_its_place_and_a_remedy() {
    let mut wrong = Vec::new();
    for case in REFUSED {
        let text = format!("{SLACK}{}", case.text);
        let findings = review_of(&text, case.modules);
        let [problem] = &findings.problems[..] else {
            wrong.push(format!("{}: {:#?}", case.about, findings.problems));
            continue;
        };
        let said = problem.to_string();
        let place = format!("c.yml:{}: ", case.at);
        for part in [place.as_str()].iter().chain(case.says) {
            if !said.contains(part) {
                wrong.push(format!("{}: {part} in {said}", case.about));
            }
        }
        let (before, after) = case.remedy;
        assert!(text.contains(before), "{}", case.about);
        // The last occurrence, because the part that all cases have in common comes first.
        let at = text.rfind(before).unwrap();
        let mended = format!("{}{after}{}", &text[..at], &text[at + before.len()..]);
        let findings = review_of(&mended, case.modules);
        if !findings.problems.is_empty() {
            wrong.push(format!(
                "{}:\n{mended}\n{:#?}",
                case.about, findings.problems
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_hardly_meant_is_warned_of() {
    for (about, modules, text, says) in [
        (
            "no channel is granted at all",
            &["notify"][..],
            "handlers:\n  notify:\n    allow: {}\n",
            &[
                "c.yml:4:5: ",
                "notify is limited: it is granted no Slack channel",
                "slack: [alerts]",
            ][..],
        ),
        (
            "an expression for an alertname",
            &["plain"][..],
            "handlers:\n  plain: { allow: { slack: [alerts] } }\n",
            &[
                "\"Kube.*\"",
                "matchers: ['alertname=~\"Kube.*\"']\n    handlers: [plain]",
            ][..],
        ),
        (
            "an alertname with a letter too few",
            &["kube"],
            "routes:\n  - matchers: ['alertname=\"PodCrsh\"']\n    handlers: [kube]\nhandlers:\n  kube: { allow: { slack: [alerts] } }\n",
            &[
                "c.yml:3:",
                "routes[0].matchers: no module and no other route names the alert PodCrsh, but a module names PodCrash",
                "did you mean PodCrash?",
            ],
        ),
        (
            "a route with enrichers alone",
            &["owner"],
            "routes:\n  - handlers: [owner]\nhandlers:\n  owner: { allow: { http: [\"https://api.example.org\"] } }\n",
            &[
                "c.yml:3:",
                "routes[0]: owner only enriches, so nobody is notified",
            ],
        ),
        (
            "a heartbeat whose alarm no route takes",
            &["kube"],
            "heartbeats: { main: { matchers: ['alertname=\"Watchdog\"'], every: 5m } }\nhandlers:\n  kube: { allow: { slack: [alerts] } }\n",
            &[
                "c.yml:2:15: heartbeats.main",
                "AlertManagerHeartbeatMissing",
            ],
        ),
        (
            "more time than all attempts have",
            &["notify"],
            "handlers:\n  notify:\n    allow: { slack: [alerts] }\n    enrich: { within: 5m }\n",
            &[
                "c.yml:5:23",
                "2 attempts end after 30s each",
                "write 1m or less",
            ],
        ),
        (
            "nothing is tried again",
            &["notify"],
            "handlers:\n  notify:\n    allow: { slack: [alerts] }\n    retry: { min_backoff: 1m, max_age: 30s }\n",
            &["max_age (30s) is shorter than min_backoff (1m)"],
        ),
        (
            "the module's own API server is not granted",
            &["kube"],
            "handlers:\n  kube:\n    allow: { slack: [alerts], http: [\"https://k8s.example.org\"] }\n    config: { credential: \"\" }\n",
            &[
                "kubernetes.url is \"https://kubernetes.default.svc\" by default",
                "https://k8s.example.org\", \"https://kubernetes.default.svc\"]",
            ],
        ),
        (
            "no HTTP is granted: the lines have what the module's settings name",
            &["kube"],
            "credentials:\n  kubernetes: { header: { name: X-Key, value: x }, origins: [\"https://kubernetes.default.svc\"] }\nhandlers:\n  kube: { allow: { slack: [alerts] } }\n",
            &[
                "kube is limited",
                "http: [\"https://kubernetes.default.svc\"]\n      slack: [alerts]\n      credentials: [kubernetes]",
            ],
        ),
    ] {
        let findings = review_of(&format!("{SLACK}{text}"), modules);
        assert_eq!(findings.problems, [], "{about}");
        let said: Vec<_> = findings.warnings.iter().map(ToString::to_string).collect();
        let is_said = |said: &String| says.iter().all(|part| said.contains(part));
        assert!(said.iter().any(is_said), "{about}: {said:#?}");
    }
}

/// Sensible configurations of a handler for one alert, and one for any.
#[test]
fn what_is_sensible_is_not_warned_of() {
    for (modules, text) in [
        (
            &["notify"][..],
            "handlers:\n  notify: { allow: { slack: [alerts] } }\n",
        ),
        (
            &["plain"],
            "routes:\n  - matchers: ['alertname=\"DiskFull\"']\n    handlers: [plain]\nhandlers:\n  plain: { allow: { slack: [alerts] } }\n",
        ),
        (
            &["owner", "notify"],
            "handlers:\n  notify: { allow: { slack: [alerts] } }\n",
        ),
    ] {
        let findings = review_of(&format!("{SLACK}{text}"), modules);
        assert_eq!(
            (findings.problems, findings.warnings),
            (vec![], vec![]),
            "{text}"
        );
    }
}

#[test]
fn what_may_well_be_meant_is_a_note() {
    for (about, modules, text, says) in [
        (
            "an alert may take no route",
            &["plain"][..],
            "routes:\n  - matchers: ['alertname=\"DiskFull\"']\n    handlers: [plain]\nhandlers:\n  plain: { allow: { slack: [alerts] } }\n",
            &["every route has matchers"][..],
        ),
        (
            "an enricher for later",
            &["owner", "notify"],
            "handlers:\n  notify: { allow: { slack: [alerts] } }\n",
            &["owner is never run"],
        ),
        (
            "what it needs is not granted either",
            &["owner", "notify"],
            "handlers:\n  notify: { allow: { slack: [alerts] } }\n",
            &["owner is limited", "http: []      # put in the origins"],
        ),
        (
            "a grant that the module has no use for",
            &["notify"],
            "handlers:\n  notify: { allow: { slack: [alerts], http: [\"https://api.example.org\"] } }\n",
            &[
                "c.yml:3:",
                "handlers.notify.allow.http grants what notify cannot use: its module does not import http",
            ],
        ),
        (
            "a name that is near one of another route",
            &["plain"],
            "routes:\n  - matchers: ['alertname=\"DiskFull\"']\n    handlers: [plain]\n  - matchers: ['alertname=\"DiskFul\"']\n    handlers: [plain]\nhandlers:\n  plain: { allow: { slack: [alerts] } }\n",
            &["another route names DiskFull", "did you mean DiskFull?"],
        ),
    ] {
        let findings = review_of(&format!("{SLACK}{text}"), modules);
        assert_eq!(findings.problems, [], "{about}");
        let said: Vec<_> = findings.notes.iter().map(ToString::to_string).collect();
        let is_said = |said: &String| says.iter().all(|part| said.contains(part));
        assert!(said.iter().any(is_said), "{about}: {said:#?}");
    }
}

#[test]
fn names_of_channels_are_compared_with_slacks() {
    let of = |channel: &str| {
        let text = format!("slack: {{ preview: true, channels: {{ a: {channel:?} }} }}\n");
        review_of(&text, &[])
    };
    for (channel, said) in [
        ("#Alerts", "has capital letters"),
        ("#a b", "not a channel that Slack can have"),
        ("#", "not a channel that Slack can have"),
        ("#CHANNEL", "placeholder"),
    ] {
        let found = of(channel);
        let [problem] = &found.problems[..] else {
            panic!("{channel}: {found:?}");
        };
        assert!(problem.to_string().contains(said), "{problem}");
        assert!(problem.problem.place.ends_with(":1:40"), "{problem}");
    }
    let bare = of("alerts");
    assert!(
        bare.warnings[0]
            .to_string()
            .contains("neither a name with its #"),
        "{bare:?}"
    );
    for channel in ["#alerts", "C0123456789", "#störung", "U0123456789"] {
        assert_eq!(of(channel).problems, [], "{channel}");
    }
    let text = "slack: { preview: true, channels: { a: \"#x\", b: \"#x\" } }\n";
    let twins = review_of(text, &[]);
    assert!(
        twins.warnings[0]
            .to_string()
            .contains("b and a are the same channel"),
        "{twins:?}"
    );
}

/// It is set by a key of its own, as `story_base` is.
#[test]
fn a_module_need_not_declare_how_a_route_threads_messages() {
    let text = |setting: &str| {
        format!(
            "{SLACK}routes:\n  - handlers: [notify]\n    slack: {{ thread_by: group }}\nhandlers:\n  notify: {{ allow: {{ slack: [alerts] }}, config: {{ {setting} }} }}\n"
        )
    };
    assert_eq!(
        review_of(&text("channel: alerts"), &["notify"]).problems,
        []
    );
    let problems = review_of(&text("slack.threads: group"), &["notify"]).problems;
    assert!(
        problems[0]
            .to_string()
            .contains("slack.threads: notify has no such setting"),
        "{problems:?}"
    );
}

/// A setting that one handler of a route does not have may be meant for another.
#[test]
fn a_setting_of_a_route_is_known_if_one_of_its_handlers_has_it() {
    let text = |key: &str, handlers: &str| {
        format!(
            "{SLACK}routes:\n  - handlers: [{handlers}]\n    config: {{ {key}: off }}\nhandlers:\n  notify: {{ allow: {{ slack: [alerts] }} }}\n  kube: {{ allow: {{ slack: [alerts] }} }}\n"
        )
    };
    let both = &["notify", "kube"];
    assert_eq!(review_of(&text("logs", "notify, kube"), both).problems, []);
    let unknown = review_of(&text("lgs", "notify, kube"), both).problems;
    assert!(
        unknown[0].to_string().contains("routes[0].config.lgs"),
        "{unknown:?}"
    );
    assert_eq!(review_of(&text("logs", "notify"), both).problems.len(), 1);
}

/// Each type that a setting can have, with values that are of it and values that are not.
#[test]
fn a_value_is_checked_against_the_type_of_its_setting() {
    let config = |value: &str| {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("am.yml");
        let text = format!(
            "{SLACK}handlers:\n  typed:\n    config:\n      story_base: here\n      team.a.of: {value}\n"
        );
        std::fs::write(&file, text).unwrap();
        Config::load(Some(&file), &Overrides::default(), &|_| None).unwrap()
    };
    for (kind, fit, misfit) in [
        (
            "string",
            &["a", "1", "\"[x]\""][..],
            &["[a]", "{ a: b }"][..],
        ),
        ("integer", &["-3"], &["3.5", "three", "[3]"]),
        ("number", &["3.5", "7"], &["NaN", "many"]),
        ("boolean", &["true", "false"], &["yes", "1"]),
        ("duration", &["30s", "1h30m"], &["30", "soon"]),
        (
            "url",
            &["https://a.example.com/x"],
            &["a.example.com", "ftp://a"],
        ),
        ("list", &["[a, b]", "[]"], &["a", "{ a: b }"]),
        ("map", &["{ a: b }", "{}"], &["a", "[a]"]),
        ("of-a-later-version", &["anything", "[1]"], &[]),
    ] {
        let json = format!(r#"[{{"name":"team.*.of","type":"{kind}"}}]"#);
        let settings = serde_json::from_str(&json).unwrap();
        let (_, description) = module("typed", &[], &[], Some(settings));
        for value in fit {
            assert_eq!(misfits(&config(value), &description), [], "{kind}: {value}");
        }
        for value in misfit {
            let found = misfits(&config(value), &description);
            assert_eq!(found.len(), 1, "{kind}: {value}");
            assert!(
                found[0].to_string().contains("it should be "),
                "{}",
                found[0]
            );
        }
    }
}
