//! Which log is shown, and where.

use handler_sdk::mock::Host;
use handler_sdk::prelude::*;
use handler_sdk::serde_json::json;

use super::Handled;
use super::cluster::*;

#[test]
fn a_container_without_a_previous_log_shows_its_present_one() {
    let previous = format!("{}/log?container=rs-transformer&previous=true*", pod_url());
    let host = status(Cluster::default().host(), &previous, 400);
    let shown = message(&host, &readme_alert()).visible();
    assert!(
        shown.contains("*Log (of the present container):*") && shown.contains("batch=60"),
        "{shown}"
    );
}

#[test]
fn a_log_over_the_limit_is_asked_for_again_with_fewer_lines() {
    let few = format!(
        "{}/log?container=rs-transformer&previous=true&tailLines=5&*",
        pod_url()
    );
    let cluster = Cluster {
        log: "x".repeat(262_144),
        ..Cluster::default()
    };
    let host = cluster.host().http_get(&few, 200, "the newest line");
    assert!(
        message(&host, &readme_alert())
            .visible()
            .contains("the newest line")
    );
    let shown = message(&cluster.host(), &readme_alert()).visible();
    assert!(
        shown.contains("the log's newest lines are missing"),
        "{shown}"
    );
}

#[test]
fn logs_go_where_the_operator_wants_them() {
    let secretive = Cluster {
        pod: pod(1, "Error"),
        ..Cluster::default()
    };
    let host = secretive.host().config("logs", "thread");
    assert!(!message(&host, &readme_alert()).visible().contains("batch="));
    assert!(thread(&host).contains("batch=60"));
    for off in ["off", "offf"] {
        let host = secretive.host().config("logs", off);
        let shown = message(&host, &readme_alert()).visible();
        assert!(!shown.contains("batch=") && thread(&host).is_empty());
        assert!(
            !host
                .requests()
                .iter()
                .any(|request| request.url.contains("/log"))
        );
        assert_eq!(
            shown.contains("the setting `logs` is `offf`"),
            off == "offf",
            "{shown}"
        );
    }
}

/// Returns the message of another handler, which does not know this one's findings.
fn shown_by_another(host: &Host) -> String {
    let found = host
        .enrich::<Handled>(&readme_alert(), &Enrichment::new())
        .unwrap();
    Blocks::new().enrichment(&found).to_json()
}

#[test]
fn other_handlers_show_no_log_that_does_not_belong_into_the_message() {
    let mut pod = pod(1, "Error");
    // Kubernetes puts the end of the log there if the program wrote no message of its own.
    pod["spec"]["containers"][0]["terminationMessagePolicy"] = json!("FallbackToLogsOnError");
    let terminated = &mut pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
    terminated["message"] = json!("batch=60");
    let cluster = Cluster {
        pod: pod.clone(),
        ..Cluster::default()
    };
    let shown = shown_by_another(&cluster.host());
    assert!(
        shown.contains("batch=59") && shown.contains("it says: batch=60"),
        "{shown}"
    );
    for logs in ["thread", "off"] {
        let host = cluster.host().config("logs", logs);
        let shown = shown_by_another(&host);
        assert!(
            shown.contains("exit 1") && !shown.contains("batch="),
            "{logs}: {shown}"
        );
        let shown = message(&host, &readme_alert()).visible();
        assert!(!shown.contains("batch="), "{logs}: {shown}");
    }
    // A message that the program wrote is not a log.
    pod["spec"]["containers"][0]["terminationMessagePolicy"] = json!("File");
    let own = Cluster {
        pod,
        ..Cluster::default()
    };
    let shown = shown_by_another(&own.host().config("logs", "thread"));
    assert!(shown.contains("it says: batch=60"), "{shown}");
}

#[test]
fn a_long_log_is_in_the_thread_to_its_last_line() {
    let line = |n: usize| format!("{n:02} {}", "x".repeat(997));
    let cluster = Cluster {
        log: (0..60).map(line).collect::<Vec<_>>().join("\n"),
        ..Cluster::default()
    };
    let host = cluster.host();
    let post = message(&host, &readme_alert());
    let replies: Vec<_> = host
        .posts()
        .into_iter()
        .filter(|post| post.thread.is_some())
        .collect();
    let shown: Vec<String> = replies
        .iter()
        .map(handler_sdk::mock::Post::visible)
        .collect();
    for n in 0..60 {
        let is_shown = |shown: &String| shown.contains(&line(n));
        assert!(
            shown.iter().any(is_shown) || is_shown(&post.visible()),
            "line {n} is nowhere"
        );
    }
    assert!((5..=8).contains(&replies.len()), "{}", replies.len());
    let (first, last) = (&replies[0], &replies[replies.len() - 1]);
    let count = replies.len();
    assert_eq!(
        first.text,
        format!("Log and further findings (1 of {count})")
    );
    assert_eq!(
        last.text,
        format!("Log and further findings ({count} of {count})")
    );
    assert_eq!(
        (first.key.as_deref(), replies[1].key.as_deref()),
        (Some("thread"), Some("thread-2"))
    );
    assert!(
        shown[0].starts_with("*Log before the crash:*"),
        "{}",
        shown[0]
    );
}

#[test]
fn a_long_log_goes_ahead_of_what_other_handlers_found() {
    let line = |n: usize| format!("{n:02} {}", "x".repeat(997));
    let cluster = Cluster {
        log: (0..60).map(line).collect::<Vec<_>>().join("\n"),
        ..Cluster::default()
    };
    let found = (0..20).fold(Enrichment::new(), |found, n| {
        found.with_block(Block::excerpt(format!("Finding {n}"), "y".repeat(2_900)))
    });
    let host = cluster.host();
    host.run_after::<Handled>(&readme_alert(), &found);
    let shown = thread(&host);
    assert!((0..59).all(|n| shown.contains(&line(n))));
    assert!(
        shown.contains("Finding 0") && shown.contains(" more blocks"),
        "what is left out is said to be"
    );
}

#[test]
fn lines_that_find_no_room_even_in_the_thread_are_counted() {
    // Slack counts each `&` as five characters.
    let cluster = Cluster {
        log: vec!["&".repeat(1_000); 60].join("\n"),
        ..Cluster::default()
    };
    let host = cluster.host();
    message(&host, &readme_alert());
    let shown = thread(&host);
    assert!(
        shown.contains("*Log before the crash:* without its first 30 lines, which are too long"),
        "{shown}"
    );
}

#[test]
fn secrets_of_the_log_stay_out_of_slack_and_of_the_findings() {
    let cluster = Cluster {
        pod: pod(1, "Error"),
        log: "connecting to postgres://app:hunter2@db/x\nDB_PASSWORD=hunter2\n".to_owned(),
        ..Cluster::default()
    };
    let host = cluster.host();
    let found = host
        .enrich::<Handled>(&readme_alert(), &Enrichment::new())
        .unwrap();
    assert!(!format!("{found:?}").contains("hunter2"));
    let shown = message(&host, &readme_alert()).visible();
    assert!(
        shown.contains("postgres://app:[masked]@db/x") && !shown.contains("hunter2"),
        "{shown}"
    );
}

#[test]
fn the_last_error_is_kept_above_lines_that_tell_less() {
    let mut log: Vec<String> = vec![
        "listening on :8080".to_owned(),
        "FATAL cannot write /data/x: no space left".to_owned(),
    ];
    log.extend((0..40).map(|n| format!("shutting down worker {}", ["a", "b"][n % 2])));
    let cluster = Cluster {
        pod: pod(1, "Error"),
        log: log.join("\n"),
        ..Cluster::default()
    };
    let host = cluster.host();
    let shown = message(&host, &readme_alert()).visible();
    assert!(
        shown.contains("```FATAL cannot write /data/x: no space left\n…\nshutting"),
        "{shown}"
    );
    let thread = thread(&host);
    assert!(
        thread.contains("listening on :8080") && !thread.contains("FATAL"),
        "{thread}"
    );
}

#[test]
fn a_container_that_has_just_ended_shows_the_log_of_that_end() {
    let mut just_ended = pod(1, "Error");
    let status = &mut just_ended["status"]["containerStatuses"][0];
    status["state"] = json!({ "terminated": status["lastState"]["terminated"].clone() });
    let cluster = Cluster {
        pod: just_ended,
        log: "the newest end".to_owned(),
        ..Cluster::default()
    };
    let host = cluster.host();
    let shown = message(&host, &readme_alert()).visible();
    assert!(shown.contains("its last line: the newest end"), "{shown}");
    assert!(
        !host
            .requests()
            .iter()
            .any(|request| request.url.contains("previous")),
        "{shown}"
    );
    assert!(
        shown.contains("logs customer-rs-transformer-9b75b488c-cpfd7 -c rs-transformer\n"),
        "{shown}"
    );
}
