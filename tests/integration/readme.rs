//! The examples and texts of the documentation match the code.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use alert_manager::alert::HandlerName;
use alert_manager::config::{Config, Overrides};
use alert_manager::telemetry::{METRICS, Metric};
use tests::modules::{ENRICHERS, bundled};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the first code block after `mark`.
fn code_block_after<'a>(page: &'a str, mark: &str) -> &'a str {
    let after = page
        .split_once(mark)
        .unwrap_or_else(|| panic!("no {mark}"))
        .1;
    let fenced = after.split_once("```").unwrap().1;
    let body = fenced.split_once('\n').unwrap().1;
    body.split_once("\n```").unwrap().0
}

#[test]
fn the_curl_posts_the_alert_that_the_tests_post() {
    let readme = read("README.md");
    let curl = code_block_after(&readme, "<!-- the alert -->");
    let json = curl
        .split_once("-d '")
        .unwrap()
        .1
        .strip_suffix('\'')
        .unwrap();
    assert_eq!(json, read("tests/fixtures/readme-alert.json").trim_end());
    assert_eq!(
        read("host/src/cli/readme-alert.json"),
        read("tests/fixtures/readme-alert.json"),
        "what `send` posts"
    );
}

#[test]
fn the_handler_in_twenty_lines_is_the_one_that_the_sdk_compiles() {
    let documented: String = read("handler-sdk/src/lib.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
        .collect();
    let readme = read("README.md");
    let handler = code_block_after(&readme, "`src/lib.rs`:");
    assert!(handler.contains("handler_sdk::export!"), "{handler}");
    assert!(
        documented.contains(handler),
        "not the example of handler-sdk's documentation, which its tests compile:\n{handler}"
    );
}

#[test]
fn the_example_configuration_is_accepted() {
    let file = root().join("host/alert-manager.example.yml");
    let config = Config::load(Some(&file), &Overrides::default(), &|_| None);
    let config = config.unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.routes.len(), 3);
    assert!(config.slack.preview);
}

#[test]
fn the_readmes_configuration_is_accepted_and_grants_both_bundled_handlers() {
    let readme = read("README.md");
    let config = load(code_block_after(&readme, "<!-- the configuration -->"));
    assert_grants_both(&config);
    assert!(!config.slack.preview, "it is one to go live with");
}

#[test]
fn the_configurations_in_the_guides_are_accepted() {
    let mut loaded = 0;
    for page in guides() {
        let text = read(&page);
        for after in text.split("<!-- configuration -->").skip(1) {
            let block = code_block_after(after, "");
            let folder = tempfile::tempdir().unwrap();
            for secret in relative_files(block) {
                fs::write(folder.path().join(secret), "secret").unwrap();
            }
            let file = folder.path().join("alert-manager.yml");
            fs::write(&file, block).unwrap();
            let token = |name: &str| {
                (name == "SLACK_TOKEN" && !block.contains("slack-token"))
                    .then(|| "xoxb-none".to_owned())
            };
            Config::load(Some(&file), &Overrides::default(), &token)
                .unwrap_or_else(|problems| panic!("{page}: {problems}\n{block}"));
            loaded += 1;
        }
    }
    assert!(loaded > 1, "{loaded}");
}

/// A block of YAML that nothing names would be checked by nothing. What Grafana and Slack read is checked by hand.
#[test]
fn each_block_of_yaml_in_the_guides_says_what_reads_it() {
    let readers = [
        "configuration",
        "alertmanager",
        "prometheus",
        "grafana",
        "slack",
        // `kubernetes.rs` reads these.
        "kustomization single",
        "kustomization modules",
        "kustomization replicated",
        "kustomization migrate-store",
        // `try_module.rs` and `authors/cookbook.rs` read these.
        "rules",
    ];
    let marks = readers.map(|reader| format!("<!-- {reader} -->"));
    let mut blocks = 0;
    for page in guides() {
        let text = read(&page);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (number, line) in lines.iter().enumerate() {
            if !matches!(*line, "```yaml" | "```yml") {
                continue;
            }
            let above = lines[..number].iter().rev();
            let mark = above.copied().find(|line| !line.is_empty());
            assert!(
                mark.is_some_and(|mark| marks.iter().any(|known| known == mark)),
                "{page}:{}: write one of {marks:?} above the block",
                number + 1
            );
            blocks += 1;
        }
    }
    assert!(blocks > 15, "{blocks}");
}

/// Returns the files beside a configuration that it reads secrets and certificates from.
fn relative_files(configuration: &str) -> BTreeSet<&str> {
    configuration
        .split("_file: ")
        .skip(1)
        .filter_map(|rest| rest.split([' ', ',', '}', '\n']).next())
        .filter(|name| !name.starts_with('/'))
        .collect()
}

/// Whole files of Alertmanager and Prometheus in the guides are what these programs accept. (Not the secrets that they name:
/// those are on no machine that runs tests.)
#[allow(clippy::print_stderr, reason = "a test that checked nothing says so")]
#[test]
fn amtool_and_promtool_accept_the_senders_files_in_the_guides() {
    let amtool: &[&str] = &["check-config"];
    let promtool: &[&str] = &["check", "config", "--syntax-only"];
    let tools = [
        ("alertmanager", "amtool", amtool),
        ("prometheus", "promtool", promtool),
    ];
    for (kind, tool, arguments) in tools {
        let mut checked = 0;
        for page in guides() {
            let text = read(&page);
            for after in text.split(&format!("<!-- {kind} -->")).skip(1) {
                let block = code_block_after(after, "");
                let folder = tempfile::tempdir().unwrap();
                let file = folder.path().join(format!("{kind}.yml"));
                fs::write(&file, format!("{block}\n")).unwrap();
                let mut command = std::process::Command::new(tool);
                match command.args(arguments).arg(&file).output() {
                    Ok(said) => assert!(said.status.success(), "{page}: {said:?}\n{block}"),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                        eprintln!(
                            "SKIPPED: {tool} did not check the guides, since it is not installed. On Debian: apt-get install --no-install-recommends prometheus prometheus-alertmanager"
                        );
                        return;
                    }
                    Err(error) => panic!("{tool}: {error}"),
                }
                checked += 1;
            }
        }
        assert!(checked > 2, "{kind}: {checked}");
    }
}

/// Returns what the server's sources say, as one text: strings that are continued on the next line are joined.
fn sources(dir: &Path, all: &mut String) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap().replace("\\\"", "\"");
            for (number, part) in text.split("\\\n").enumerate() {
                all.push_str(if number > 0 { part.trim_start() } else { part });
            }
            all.push('\n');
        }
    }
}

/// In the first column of tables that are marked `<!-- texts -->`, `…` stands for what differs.
#[test]
fn the_texts_in_troubleshooting_are_those_that_the_server_prints() {
    let mut known = String::new();
    for folder in ["host", "handlers", "handler-sdk"] {
        sources(&root().join(folder), &mut known);
    }
    let page = read("docs/troubleshooting.md");
    let mut checked = 0;
    let rows = page
        .split("<!-- texts -->\n")
        .skip(1)
        .flat_map(|table| table.lines().take_while(|line| line.starts_with('|')));
    for row in rows {
        let cell = row.split('|').nth(1).unwrap();
        for text in cell.split('`').skip(1).step_by(2) {
            for part in text.split('…') {
                let part = part.trim_matches([' ', ':', '.', ',', '(', ')']);
                // A limit's name and what it says of it are put together when it is met.
                for piece in part.split(": ") {
                    assert!(
                        known.contains(piece),
                        "the server does not print {piece:?}: {row}"
                    );
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 100, "{checked}");
}

/// Returns the guides for users.
fn guides() -> Vec<String> {
    [pages_in("docs"), pages_in("docs/cookbook")].concat()
}

/// Returns the pages in a folder, without those in folders of it.
fn pages_in(folder: &str) -> Vec<String> {
    let mut pages: Vec<_> = fs::read_dir(root().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".md"))
        .map(|name| format!("{folder}/{name}"))
        .collect();
    pages.sort();
    pages
}

#[test]
fn the_configuration_in_the_cluster_is_accepted() {
    let config = read("host/deploy/kubernetes/base/alert-manager.yml");
    let secrets = tempfile::tempdir().unwrap();
    for name in ["slack", "webhook", "api"] {
        fs::write(secrets.path().join(name), "secret").unwrap();
    }
    let mounted = "/etc/alert-manager/secrets";
    assert!(config.contains(mounted), "{config}");
    let config = load(&config.replace(mounted, secrets.path().to_str().unwrap()));
    for name in bundled() {
        let settings = config.handlers.of(&HandlerName::new(&name));
        let posts = !ENRICHERS.contains(&name.as_str());
        assert_eq!(settings.grants.slack.contains("alerts"), posts, "{name}");
    }
    assert!(config.webhook.authorization.is_some() && config.api.authorization.is_some());
}

/// Loads a text as the file of a server that has a token.
fn load(text: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("alert-manager.yml");
    fs::write(&file, text).unwrap();
    let token = |name: &str| (name == "SLACK_TOKEN").then(|| "xoxb-none".to_owned());
    Config::load(Some(&file), &Overrides::default(), &token)
        .unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

fn assert_grants_both(config: &Config) {
    for name in ["kube-pod-crash-looping", "slack-notify"] {
        let settings = config.handlers.of(&HandlerName::new(name));
        assert!(settings.grants.slack.contains("alerts"), "{name}");
    }
}

#[test]
fn the_rules_about_the_server_ask_for_metrics_that_it_has() {
    let metrics: BTreeSet<String> = METRICS.iter().map(Metric::name).collect();
    let rules = read("host/deploy/alert-manager.rules.yml");
    let asked: BTreeSet<&str> = rules
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("alert_manager_"))
        .collect();
    assert!(asked.len() > 5, "{asked:?}");
    for name in asked {
        assert!(metrics.contains(name), "{name}");
    }
}

#[test]
fn the_pages_link_to_files_that_are_there() {
    let mut links = Vec::new();
    let mut pages = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "tests/README.md",
        "tests/bench/README.md",
    ]
    .map(str::to_owned)
    .to_vec();
    pages.extend(guides());
    pages.extend(pages_in("docs/decisions"));
    for page in pages {
        let text = read(&page);
        let folder = root().join(&page).parent().unwrap().to_owned();
        links.extend(
            text.split("](")
                .skip(1)
                .filter_map(|rest| rest.split_once(')'))
                .map(|(target, _)| target)
                .filter(|target| !target.contains("://"))
                .map(|target| folder.join(target.split('#').next().unwrap())),
        );
    }
    assert!(links.len() > 10, "{links:?}");
    let missing: Vec<PathBuf> = links.into_iter().filter(|path| !path.exists()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Returns every function of the workspace's Rust sources below `dir`.
fn functions(dir: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("target") {
                functions(&path, names);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            names.extend(text.split("fn ").skip(1).filter_map(|rest| {
                let name = rest.split(['(', '<']).next()?;
                Some(name.to_owned())
            }));
        }
    }
}

#[test]
fn the_tests_that_security_names_exist() {
    let mut known = BTreeSet::new();
    for dir in ["host", "tests", "handler-sdk", "handlers"] {
        functions(&root().join(dir), &mut known);
    }
    let page = read("SECURITY.md");
    let mut named = 0;
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        let proof = row.trim_end_matches('|').rsplit('|').next().unwrap();
        for name in proof.split('`').skip(1).step_by(2) {
            if name.ends_with(".rs") {
                assert!(root().join(name).exists(), "{name} is gone");
                continue;
            }
            assert!(known.contains(name), "there is no test {name}");
            named += 1;
        }
    }
    assert!(named > 40, "{named}");
}

#[allow(clippy::print_stderr, reason = "a test that checked nothing says so")]
#[test]
fn promtool_finds_nothing_wrong_with_the_rules_and_refused_requests_fire() {
    let rules = root().join("host/deploy/alert-manager.rules.yml");
    let folder = tempfile::tempdir().unwrap();
    let series = |reason: &str, values: &str| {
        format!(
            "      - series: 'alert_manager_webhook_refused_requests_total{{job=\"alert-manager\",instance=\"a\",reason=\"{reason}\"}}'\n        values: '{values}'\n"
        )
    };
    let expected = |at: &str, reasons: &[&str]| {
        let alerts: String = reasons
            .iter()
            .map(|reason| format!(
                "          - exp_labels: {{ severity: warning, job: alert-manager, instance: a, reason: {reason} }}\n            exp_annotations:\n              summary: 'Requests that may contain alerts are refused: {reason}.'\n              description: 'These alerts do not arrive. The server''s log names the sender and the reason (\"request refused\"); docs/operating.md lists what to do for each reason.'\n"
            ))
            .collect();
        format!(
            "      - eval_time: {at}\n        alertname: AlertManagerRequestsRefused\n        exp_alerts:\n{alerts}"
        )
    };
    let misdirected = |at: &str, alerts: &str| {
        format!(
            "      - eval_time: {at}\n        alertname: AlertManagerRequestsMisdirected\n        exp_alerts: {alerts}\n"
        )
    };
    let fires = "[{ exp_labels: { severity: warning, job: alert-manager, instance: sender }, exp_annotations: { \
         summary: 'Requests that may contain alerts are posted to a path that the server does not have.', \
         description: 'These alerts do not arrive. The server''s log names the sender and the path (\"request refused\"). Alerts have to be posted to /webhook, or to /api/v2/alerts by Prometheus.' } }]";
    // A permanent refusal; one because the queue is full, which is retried; one because it stays full; a scanner, and a sender
    // with a wrong path.
    let test = format!(
        "rule_files: ['{}']\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:\n{}{}{}{}{}    alert_rule_test:\n{}{}{}{}",
        rules.display(),
        series("unauthorized", "0 0 1x40"),
        series("rate", "0 0 5x40"),
        series("unavailable", "0+60x40"),
        series("path", "0 0 500x70"),
        series("path", "0+1x30 30+1x40").replace("instance=\"a\"", "instance=\"sender\""),
        expected("1m", &[]).replace("exp_alerts:\n", "exp_alerts: []\n"),
        expected("10m", &["unauthorized", "unavailable"]),
        misdirected("20m", "[]"),
        misdirected("60m", fires),
    );
    let file = folder.path().join("test.yml");
    fs::write(&file, &test).unwrap();
    let promtool = std::process::Command::new("promtool")
        .args(["test", "rules"])
        .arg(&file)
        .output();
    match promtool {
        Ok(said) => assert!(said.status.success(), "{said:?}\n{test}"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => eprintln!(
            "SKIPPED: promtool did not test the rules, since it is not installed. On Debian: apt-get install --no-install-recommends prometheus"
        ),
        Err(error) => panic!("promtool: {error}"),
    }
}
