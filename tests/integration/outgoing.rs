//! What a handler cannot send out: an encoded credential, a request outside of its grants, a secret from somebody's log.

use serde_json::Value;
use tests::harness::{Answer, Harness, World, bearer, facts};

const SECRET: &str = "s3cret<token>&marks";

fn bed_with_secret(world: &World) -> Harness {
    Harness::with_services(|services| {
        let credential = bearer(SECRET, &world.url);
        services.credentials.insert("k".to_owned(), credential);
    })
}

async fn told(harness: &Harness, world: &World, script: &str) -> Vec<String> {
    let call = harness.probe(script).await.http(&world.url);
    call.credential("k").facts().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_is_masked_as_go_and_html_spell_it() {
    let world = World::start().await;
    let harness = bed_with_secret(&world);
    world.then(Answer::new(
        200,
        r#"{"seen":"Bearer s3cret\u003ctoken\u003e\u0026marks","page":"s3cret&lt;token&gt;&#38;marks"}"#,
    ));
    let told = told(&harness, &world, &format!("credential k {}/a", world.url)).await;
    assert_eq!(
        told,
        [r#"200 {"seen":"Bearer [credential]","page":"[credential]"}"#]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_credential_left_at_a_service_is_masked_without_it_too() {
    let world = World::start().await;
    let harness = bed_with_secret(&world);
    world.then(Answer::new(200, "kept"));
    world.then(Answer::new(200, SECRET));
    let url = &world.url;
    let told = told(
        &harness,
        &world,
        &format!("credential k {url}/a\nget {url}/kept"),
    )
    .await;
    assert_eq!(told, ["200 kept", "200 [credential]"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_echo_does_not_come_in_parts_or_packed() {
    let world = World::start().await;
    let harness = bed_with_secret(&world);
    let url = &world.url;
    let answers = told(
        &harness,
        &world,
        &format!("header Range {url}/a\nheader Accept-Encoding {url}/a"),
    )
    .await;
    for (told, name) in answers.iter().zip(["Range", "Accept-Encoding"]) {
        assert!(
            told.contains("InvalidRequest") && told.contains(name),
            "{told}"
        );
    }
    assert!(world.asked().is_empty(), "nothing went out");
    for (status, name, value) in [
        (200, "content-encoding", "gzip"),
        (206, "content-range", "bytes 0-3/19"),
        (200, "content-type", "text/plain; charset=utf-7"),
    ] {
        for (verb, expected) in [("credential", "Denied"), ("credential-post", "20")] {
            world.then(Answer::With(
                status,
                vec![(name, value.to_owned())],
                "s3cr".to_owned(),
            ));
            let script = format!("{verb} k {url}/a");
            let call = harness.probe(&script).await.http(url).credential("k");
            let invoked = call.run().await;
            let told = &facts(&invoked)[0];
            // The change was made; only the answer is withheld.
            assert!(
                told.contains(expected) && !told.contains("s3cr"),
                "{name}: {told}"
            );
            let line = &invoked.trace.calls[0].result;
            assert!(line.contains("withheld"), "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_that_steers_a_request_past_its_grant_is_refused_with_the_line_to_add() {
    let world = World::start().await;
    let harness = Harness::new();
    let url = &world.url;
    for name in [
        "X-HTTP-Method-Override",
        "X-Original-URL",
        "x_rewrite_url",
        "Impersonate-User",
    ] {
        let script = format!("header {name} {url}/a");
        let told = harness.probe(&script).await.http(url).facts().await;
        let line = format!("headers: [{name}]");
        assert!(
            told[0].contains("Denied") && told[0].contains(&line),
            "{told:?}"
        );
    }
    assert!(world.asked().is_empty(), "nothing went out");
}

/// Of a public list of shapes; none was ever valid.
const SHAPES: [&str; 5] = [
    "ATATT3RplJZqgspEqA7gSmQNxgl7mgbs9KQsK9kazAu3EL2pCV3B69Tgqyax4dby5neJZGCJhPSvd3s8Vcj7anYlpcpQXvB8TquwLw9WlnnGxtPs7nTUHEg8sgFY5EcKBUd3c9HCqr2CaxpXmTjRCVAEGqlCNcUrSKwC9XWZJ9aaf9kat9qvmGr5jTdsyxRV",
    "AKCpKNAg7rjdmxQCzf72uzkUlXQ9E8pUH5RCC5wjNdnDAgzHLjVRuBklcDrHXJS9lg54DYQNH",
    "A3-JVSSPB-RLABEBDBCRB-YCSSR-LFLCM-NWNUK",
    "curl -u deploy:CZfqt4las5CrdD https://x.example/",
    "CLOJARS_fcdf65d226beb9215468c59de2dddf076ee60ff0253a87643939a0ad19f8",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_of_a_known_shape_reaches_slack_a_log_line_or_a_story() {
    let world = World::start().await;
    let harness = Harness::with_slack(&world.url);
    for shape in SHAPES {
        let telling = shape
            .split([' ', ':'])
            .max_by_key(|part| part.len())
            .unwrap();
        let telling = if shape.starts_with("curl") {
            "CZfqt4las5CrdD"
        } else {
            telling
        };
        for ts in ["1.1", "2.2"] {
            let body = serde_json::json!({"ok": true, "channel": "C1", "ts": ts});
            world.then(Answer::new(200, body.to_string()));
        }
        let block = serde_json::json!([{"type": "section", "text": {"type": "mrkdwn", "text": format!("`{shape} `")},
            "fields": [{"type": "plain_text", "text": shape}]}]);
        let script = format!(
            "slack alerts log: {shape}\nblocks alerts {block}\nlog {shape}\nprint {shape}\npanic {shape}"
        );
        let invoked = harness.probe(&script).await.slack("alerts").run().await;
        let posted = world.asked();
        let posted = &posted[posted.len() - 2..];
        for asked in posted {
            let body: Value = serde_json::from_str(&asked.body).unwrap();
            assert!(!body.to_string().contains(telling), "{body}");
            assert!(body.to_string().contains("[masked]"), "{body}");
        }
        let trace = serde_json::to_string(&invoked.trace).unwrap();
        assert!(
            trace.contains("[masked]") && !trace.contains(telling),
            "{trace}"
        );
        let failure = invoked.outcome.unwrap_err().to_string();
        assert!(!failure.contains(telling), "{failure}");

        for failing in ["retryable", "unavailable"] {
            let script = format!("{failing} {shape}");
            let failure = harness.probe(&script).await.run().await.outcome;
            let failure = failure.unwrap_err().to_string();
            assert!(
                failure.contains("[masked]") && !failure.contains(telling),
                "{failure}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_handler_found_holds_no_secret_for_the_next_one() {
    let world = World::start().await;
    let harness = Harness::new();
    world.then(Answer::new(200, SHAPES[4]));
    let script = format!("get {}/log", world.url);
    let told = harness.probe(&script).await.http(&world.url).facts().await;
    assert_eq!(told, ["200 [masked]"]);
}
