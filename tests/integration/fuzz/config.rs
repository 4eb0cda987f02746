//! The configuration file.

use std::path::Path;

use alert_manager::config::{Config, Overrides, Problems};

use super::engine::{Dice, corpus, fuzz};

/// The secret in the configurations. Lines with it are not mutated, so that it stays a secret.
const SECRET: &str = "hunter2-hunter2";

const DICTIONARY: [&str; 34] = [
    "listen: 0.0.0.0:5000\n",
    "listen: '[::]:1'\n",
    "insecure: true\n",
    "insecure: yes\n",
    "routes: []\n",
    "- handlers: [a]\n",
    "webhook: {}\n",
    "  matchers: ['a=b']\n",
    "allow: { http: ['https://*.example.com:1-2/x'] }",
    "http: ['ftp://x']",
    "&a ",
    "*a",
    "<<: *a\n",
    "!!binary ",
    "? ",
    "|\n",
    ">-\n",
    "{{{{{{{{",
    "[[[[[[[[",
    "\t",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "null",
    "~",
    "0x10",
    "1e3",
    ".inf",
    "99999999999999999999",
    "-1",
    "0s",
    "9999999y",
    "\u{feff}",
    "é",
];

/// Changes some lines, moves and repeats others.
fn mutate(dice: &mut Dice, text: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for _ in 0..=dice.below(3) {
        let at = dice.below(lines.len());
        if lines[at].contains(SECRET) {
            continue;
        }
        match dice.below(6) {
            0 => drop(lines.remove(at)),
            1 => lines[at].insert_str(0, "  "),
            2 => {
                let line = lines[at].clone();
                let to = dice.below(lines.len() + 1);
                lines.insert(to, line);
            }
            3 => lines.insert(at, dice.pick(&DICTIONARY).trim_end_matches('\n').to_owned()),
            _ => lines[at] = dice.mutate_text(&lines[at], &DICTIONARY).replace('\n', " "),
        }
        if lines.is_empty() {
            break;
        }
    }
    lines.join("\n") + "\n"
}

fn load(dir: &Path, text: &str) -> Result<Config, Problems> {
    let file = dir.join("am.yml");
    std::fs::write(&file, text).unwrap();
    Config::load(Some(&file), &Overrides::default(), &|name| {
        (name == "SLACK_TOKEN").then(|| "xoxb-variable".to_owned())
    })
}

fn check_problems(problems: &Problems, dir: &Path, text: &str) {
    assert!(!problems.0.is_empty());
    let file = dir.join("am.yml").display().to_string();
    for problem in &problems.0 {
        assert!(!problem.message.is_empty(), "{problem}");
        let shown = problem.to_string();
        assert!(
            !shown.contains(SECRET) && !shown.contains("xoxb-variable"),
            "{shown}"
        );
        let Some(place) = problem.place.strip_prefix(&file) else {
            continue;
        };
        let line = place.split(':').nth(1).filter(|line| !line.is_empty());
        if let Some(line) = line {
            let line: usize = line.parse().unwrap_or_else(|_| panic!("{shown}"));
            // A mistake at the end of the text stands on the line after its last.
            assert!(
                (1..=text.lines().count() + 1).contains(&line),
                "{shown} in {text:?}"
            );
        }
    }
}

/// What must be so of any configuration that is accepted.
fn check_config(config: &Config) {
    let is_closed = config.webhook.is_closed() && config.api.authorization.is_some();
    assert!(
        config.listen.ip().is_loopback()
            || config.insecure
            || is_closed
            || config.tls_server.is_some(),
        "{} is open to the network",
        config.listen
    );
    let shown = format!("{config:?}");
    assert!(
        !shown.contains(SECRET) && !shown.contains("xoxb-variable"),
        "{shown}"
    );
    for name in config.handlers.names() {
        let settings = config.handlers.of(name);
        for grant in &settings.grants.http {
            let again = alert_manager::policy::HttpGrant::parse(&grant.to_string()).unwrap();
            assert_eq!(again.to_string(), grant.to_string());
        }
        for channel in &settings.grants.slack {
            assert!(config.slack.channels.contains_key(channel), "{channel}");
        }
        for credential in &settings.grants.credentials {
            assert!(config.credentials.contains_key(credential), "{credential}");
        }
    }
    for route in &config.routes {
        for matcher in &route.matchers {
            let printed = matcher.to_string();
            let again = alert_manager::router::Matcher::parse(&printed).unwrap();
            assert_eq!(again, std::slice::from_ref(matcher), "{printed}");
        }
    }
}

#[test]
fn config() {
    let dir = tempfile::tempdir().unwrap();
    let seeds: Vec<_> = corpus("config")
        .into_iter()
        .map(|seed| String::from_utf8(seed).unwrap())
        .collect();
    for seed in &seeds {
        load(dir.path(), seed).unwrap_or_else(|problems| panic!("a seed is refused: {problems}"));
    }
    let mut accepted = 0;
    fuzz("config", 300, |dice| {
        let seed = dice.pick(&seeds).clone();
        let text = mutate(dice, &seed);
        match load(dir.path(), &text) {
            Err(problems) => check_problems(&problems, dir.path(), &text),
            Ok(config) => {
                accepted += 1;
                check_config(&config);
                // A block's own text may hold what looks like a comment or a key.
                let is_simple = !text.contains(['|', '>', '"', '\'', '%']) && !text.contains("...");
                if is_simple {
                    let commented = format!("{text}\n# a comment\n");
                    let again = load(dir.path(), &commented).unwrap();
                    assert_eq!(
                        format!("{again:?}"),
                        format!("{config:?}"),
                        "a comment changed it"
                    );
                    let unknown = format!("{text}\nzzz_unknown: 1\n");
                    assert!(
                        load(dir.path(), &unknown).is_err(),
                        "an unknown key is accepted:\n{text}"
                    );
                }
            }
        }
    });
    println!("config: {accepted} accepted");
}
