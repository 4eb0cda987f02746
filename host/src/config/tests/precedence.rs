//! Flags, variables and the file together, and what holds without a file.

use std::path::Path;

use super::{CLOSED, Given, good, problems};
use crate::alert::HandlerName;
use crate::config::{Config, Overrides, Secrets};
use crate::queue::StoreUrl;

#[test]
fn without_a_file_every_handler_may_post_to_one_channel_in_preview() {
    let config = Given::new().bare().unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:5000");
    assert_eq!(config.store, StoreUrl::Sqlite("alert-manager.db".into()));
    assert_eq!(config.handlers_dir, Path::new("handlers"));
    assert!(config.slack.preview);
    assert_eq!(config.slack.channels["alerts"], "#alerts");
    let handler = config.handlers.of(&HandlerName::new("anything"));
    assert!(handler.grants.slack("alerts").is_ok());
    assert!(handler.grants.http.is_empty());

    let given = Given::new()
        .variable("PORT", "0")
        .variable("SLACK_TOKEN", "xoxb-1")
        .variable("SLACK_CHANNEL", "#night")
        .variable("SLACK_API_URL", "http://127.0.0.1:1/api")
        .variable("ALERT_MANAGER_STORE", "sqlite:/tmp/x.db")
        .variable("ALERT_MANAGER_PORT", "tcp://10.0.0.1:5000");
    let config = given.bare().unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:0");
    assert!(!config.slack.preview);
    assert_eq!(
        config.slack.token.unwrap().read().unwrap().expose(),
        "xoxb-1"
    );
    assert_eq!(config.slack.channels["alerts"], "#night");
    assert_eq!(config.slack.api_url.as_str(), "http://127.0.0.1:1/api/");
    assert_eq!(config.store, StoreUrl::Sqlite("/tmp/x.db".into()));
}

#[test]
fn with_a_file_a_missing_token_is_an_error_unless_preview_is_asked_for() {
    const POSTS: &str = "handlers: { post: { allow: { slack: [alerts] } } }\n";
    let found = problems(Given::new(), POSTS);
    for part in [
        "am.yml:1:1: there is no Slack token, and post may post (handlers.post.allow.slack)",
        "set SLACK_TOKEN or slack.token_file",
        "slack: { preview: true }",
    ] {
        assert!(found[0].contains(part), "{part}: {found:?}");
    }
    // Nothing can be posted, so nothing is needed for it.
    for text in ["", "listen: 127.0.0.1:1\n", "handlers: { quiet: {} }\n"] {
        let slack = good(text).slack;
        assert!(!slack.preview && slack.token.is_none(), "{text}");
    }
    let found = problems(Given::new(), "slack: { token_file: nowhere }\n");
    assert!(
        found[0].starts_with("am.yml:1:22: slack.token_file: cannot read"),
        "{found:?}"
    );

    assert!(good(CLOSED).slack.preview);
    assert!(good(&format!("{CLOSED}{POSTS}")).slack.preview);
    let given = Given::new().variable("SLACK_TOKEN", "xoxb");
    let (_, config) = given.load_text(POSTS);
    assert!(!config.unwrap().slack.preview);
    let (_, config) = Given::new()
        .variable("SLACK_TOKEN", "xoxb")
        .load_text(CLOSED);
    assert!(
        config.unwrap().slack.token.is_none(),
        "in preview nothing is posted"
    );
}

#[test]
fn a_flag_overrides_a_variable_and_a_variable_overrides_the_file() {
    let text = "listen: 127.0.0.1:1\nstore: sqlite:a.db\nhandlers_dir: x\nslack: { token_file: t, channels: { alerts: A, b: B } }\n";
    let given = Given::new()
        .file("t", "from-file")
        .variable("PORT", "2")
        .variable("SLACK_TOKEN", "from-variable")
        .variable("SLACK_CHANNEL", "C")
        .variable("ALERT_MANAGER_STORE", "sqlite:b.db");
    let (mut given, config) = given.load_text(text);
    let config = config.unwrap();
    assert_eq!(config.listen.port(), 2);
    assert_eq!(config.store, StoreUrl::Sqlite("b.db".into()));
    assert_eq!(
        config.slack.token.unwrap().read().unwrap().expose(),
        "from-variable"
    );
    assert_eq!(
        config.slack.channels,
        [("alerts", "C"), ("b", "B")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into()
    );

    given.flags = Overrides {
        listen: Some("localhost:3".to_owned()),
        handlers_dir: Some("flag".into()),
        external_url: Some("http://h/base".to_owned()),
        ..Overrides::default()
    };
    let config = given.load(Some(&given.path("am.yml"))).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:3");
    assert_eq!(config.handlers_dir, Path::new("flag"));
    assert_eq!(config.external_url.unwrap().as_str(), "http://h/base/");
}

#[test]
fn the_folder_of_handlers_is_read_even_if_the_rest_is_wrong() {
    let given = Given::new().file("am.yml", "handlers_dir: mods\nnonsense: 1\nlisten: no\n");
    let path = given.path("am.yml");
    let none = |_: &str| None;
    let dir = |file, flags: &Overrides| Config::handlers_dir(file, flags, &none);
    assert!(given.load(Some(&path)).is_err());
    assert_eq!(dir(Some(&path), &given.flags), given.path("mods"));
    assert_eq!(dir(None, &given.flags), Path::new("handlers"));
    let flag = Overrides {
        handlers_dir: Some("flag".into()),
        ..Overrides::default()
    };
    assert_eq!(dir(Some(&path), &flag), Path::new("flag"));
}

#[test]
fn the_variable_names_the_file_and_problems_outside_it_are_reported_too() {
    let given = Given::new().file("am.yml", "listen: 127.0.0.1:9\nslack: { preview: true }\n");
    let path = given.path("am.yml");
    let mut given = given.variable("ALERT_MANAGER_CONFIG", path.to_str().unwrap());
    assert_eq!(given.load(None).unwrap().listen.port(), 9);

    given.variables.insert("PORT", "http".to_owned());
    given
        .variables
        .insert("ALERT_MANAGER_STORE", "postgres:h".to_owned());
    given.flags.external_url = Some("nowhere".to_owned());
    let places: Vec<_> = given
        .load(None)
        .unwrap_err()
        .0
        .into_iter()
        .map(|p| p.place)
        .collect();
    assert_eq!(
        places,
        [
            "the variable PORT",
            "--web.external-url",
            "the variable ALERT_MANAGER_STORE"
        ]
    );

    let missing = given.path("none.yml");
    let error = given.load(Some(&missing)).unwrap_err().to_string();
    assert!(
        error.contains("none.yml: the configuration cannot be read"),
        "{error}"
    );
}

#[test]
fn a_public_address_needs_authorization_of_both_endpoints() {
    let closed = "webhook: { authorization: { credentials: a } }\napi: { authorization: { credentials: b } }\n";
    let public = "listen: '[::]:5000'\n";
    for (text, expected) in [
        (String::new(), "webhook and api have no authorization"),
        (
            "api: { authorization: { credentials: b } }\n".to_owned(),
            "webhook has no authorization",
        ),
        (
            "webhook: { authorization: { credentials: b } }\n".to_owned(),
            "api has no authorization",
        ),
    ] {
        let found = problems(Given::new(), &format!("{CLOSED}{public}{text}"));
        assert!(found[0].contains(expected), "{found:?}");
    }
    assert!(
        good(&format!("{CLOSED}{public}{closed}"))
            .webhook
            .authorization
            .is_some()
    );
    assert!(good(&format!("{CLOSED}{public}insecure: true\n")).insecure);

    let mut given = Given::new();
    given.flags.listen = Some(":5000".to_owned());
    let error = given.bare().unwrap_err().to_string();
    assert!(
        error.starts_with("the listen address: 0.0.0.0:5000 can be reached"),
        "{error}"
    );
}

#[test]
fn secrets_that_are_left_alone_need_not_be_there() {
    let text = "proxy_url_file: nowhere
slack: { token_file: nowhere, proxy_url_file: nowhere }
webhook: { authorization: { credentials_env: NO_SUCH }, hmac: { secret_file: nowhere } }
credentials:
  github: { authorization: { credentials_file: nowhere }, origins: [\"https://api.example.com\"] }
heartbeats: { self: { ping_url_file: nowhere, every: 1m } }
";
    let mut given = Given::new().file("am.yml", text);
    let path = given.path("am.yml");
    assert!(given.load(Some(&path)).is_err());
    given.flags.secrets = Secrets::LeftAlone;
    let config = given.load(Some(&path)).unwrap();
    assert_eq!(config.warnings, []);
    assert_eq!(config.credentials.len(), 1);
}
