//! Every key that is described: it is read, its example is one, and a reload sees a change of it.

use super::{Given, PathBuf};
use crate::config::{Changes, Config, Described, Overrides, Written, described};

/// What some keys need beside them to mean something.
fn beside(path: &str) -> &'static str {
    match path {
        "no_proxy" => "proxy_url: \"http://h\"\n",
        "heartbeats.NAME.via_proxy" => "ping_url: \"http://h\", every: 1m, ",
        "handlers.NAME.allow.http[].via_proxy" => "url: \"http://h\", ",
        _ => "",
    }
}

/// Returns a document with one value at a path.
fn document(key: &Described) -> String {
    let mut opened = String::new();
    let mut closed = String::new();
    let names: Vec<&str> = key.path.split('.').collect();
    for (depth, name) in names.iter().enumerate() {
        let is_item = name.ends_with("[]");
        let name = match name.trim_end_matches("[]") {
            "NAME" => "some-name",
            name => name,
        };
        if depth > 0 {
            opened += "{ ";
            closed.insert_str(0, " }");
        }
        if depth + 1 == names.len() {
            opened += beside(&key.path);
        }
        opened += &format!("{name}: ");
        if is_item {
            opened += "[";
            closed.insert(0, ']');
        }
    }
    let value = match key.key.written {
        Written::Mapping(_) | Written::Named(_) => "{}",
        Written::Items(_) => "[]",
        _ => key.key.example,
    };
    format!("{opened}{value}{closed}\n")
}

fn examine(text: &str) -> (Config, Vec<String>) {
    let given = Given::new().file("am.yml", text);
    let file: PathBuf = given.path("am.yml");
    let variables = |name: &str| match name {
        // The variable would override it.
        "SLACK_TOKEN" => (!text.contains("token_file")).then(|| "xoxb".to_owned()),
        "TOKEN" | "PROXY_URL" | "DEADMAN_URL" => Some("http://set".to_owned()),
        _ => None,
    };
    let examined = Config::examine(Some(&file), &Overrides::default(), &variables);
    let problems = examined.problems.0.iter();
    let problems = problems.map(ToString::to_string).collect();
    (examined.config.unwrap(), problems)
}

#[test]
fn each_key_has_an_example_that_is_read() {
    for key in described() {
        let text = document(&key);
        assert!(!text.contains(": \n"), "{} has no example", key.path);
        let (_, problems) = examine(&text);
        for wrong in ["unknown key", "it should be", "not YAML", "more than"] {
            let found = problems.iter().find(|problem| problem.contains(wrong));
            assert_eq!(found, None, "{text}");
        }
    }
}

#[test]
fn each_key_that_a_restart_is_documented_for_takes_one_and_no_other() {
    let (before, _) = examine("");
    let mut compared = 0;
    for key in described() {
        let text = document(&key);
        let (after, problems) = examine(&text);
        let changes = Changes::between(&before, &before, &after);
        if changes.changed.is_empty() {
            // It says nothing by itself, or lacks what belongs to it.
            let is_alone = problems.is_empty() && key.key.written.keys().is_empty();
            assert!(!is_alone, "a reload does not see {text}");
            continue;
        }
        compared += 1;
        assert_eq!(
            !changes.needs_restart.is_empty(),
            key.needs_restart,
            "{text}{changes:?}"
        );
    }
    assert!(compared > 60, "{compared}");
}

#[test]
fn each_default_is_accepted_as_it_is_shown() {
    for key in described() {
        let Some(default) = key.key.shown_default() else {
            continue;
        };
        if default.contains(" of ") || default.contains("label") || default == "all" {
            // A sentence.
            continue;
        }
        let text = document(&key).replace(key.key.example, &default);
        let (_, problems) = examine(&text);
        assert!(
            !problems
                .iter()
                .any(|problem| problem.contains("it should be")),
            "{text}{problems:?}"
        );
    }
}

#[test]
fn the_example_names_every_top_level_key() {
    let example = include_str!("../../../alert-manager.example.yml");
    for key in described().iter().filter(|key| !key.path.contains('.')) {
        let is_named = |line: &str| {
            let line = line.trim_start_matches("# ");
            line.starts_with(&format!("{}:", key.path))
                || line.contains(&format!("`{}: ", key.path))
        };
        assert!(example.lines().any(is_named), "{}", key.path);
    }
}
