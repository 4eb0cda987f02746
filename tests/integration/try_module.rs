//! `test`: a module is run for one alert as a server would, with nothing going out.

use std::fs;
use std::path::Path;

use alert_manager::api::{StepOutcome, Trial, TrialOutcome};
use handler_sdk::mock::assert_snapshot;
use regex::Regex;
use serde_json::{Value, json};
use tests::alerts;
use tests::modules::{self, workspace};
use tests::process::{Finished, run};

const GRANTS: &str = r##"
slack: { channels: { alerts: "#alerts", oncall: "#oncall" }, token_file: /nowhere/token }
credentials:
  github: { authorization: { credentials_file: /nowhere/github }, origins: ["https://api.example.com"] }
handlers:
  probe:
    allow: { http: ["https://api.example.com"], slack: [alerts], credentials: [github] }
    config: { region: eu }
"##;

/// A folder in which `test` is run.
struct Folder {
    dir: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("am.yml"), GRANTS).unwrap();
        Self { dir }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).unwrap();
    }

    /// Runs the probe with a script for both steps, or for the one that is named.
    fn script(&self, script: &str, step: Option<&str>, more: &[&str]) -> Finished {
        let mut alert = alerts::firing("Probe", &[]);
        alert["annotations"] = json!({ "script": script });
        if let Some(step) = step {
            alert["labels"]["step"] = json!(step);
        }
        self.write("alert.json", &alert.to_string());
        self.run("probe", more)
    }

    fn run(&self, module: &str, more: &[&str]) -> Finished {
        let module = modules::path(module);
        let mut words = vec!["test", module.to_str().unwrap(), "--alert", "alert.json"];
        words.extend(more);
        run(self.dir.path(), &words)
    }
}

const CONFIG: [&str; 3] = ["--config", "am.yml", "--json"];

fn trial(told: &Finished) -> Trial {
    let value: Value = serde_json::from_str(&told.stdout).unwrap_or_else(|_| panic!("{told:?}"));
    let trial: Trial = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(
        serde_json::to_value(&trial).unwrap(),
        value,
        "no field is lost"
    );
    let is_done = trial.outcome.is(TrialOutcome::Done);
    assert_eq!(told.code, Some(if is_done { 0 } else { 1 }));
    trial
}

/// Returns what each line of the script was answered in a step.
fn answers(trial: &Trial, step: usize) -> Vec<String> {
    let facts = trial.runs[0].steps[step].facts.iter();
    let mut answers: Vec<_> = facts
        .map(|(number, answer)| (number.parse::<u32>().unwrap(), answer.to_owned()))
        .collect();
    answers.sort_unstable();
    answers.into_iter().map(|(_, answer)| answer).collect()
}

#[test]
fn the_quotas_of_kv_and_timers_are_those_of_a_server_from_step_to_step() {
    let folder = Folder::new();
    let limited = GRANTS.replace(
        "    config:",
        "    limits: { kv_keys: 2, timer_calls: 200 }\n    config:",
    );
    folder.write("am.yml", &limited);
    let told = trial(&folder.script("set a 1\nset b 1\nset c 1\nset a 2", None, &CONFIG));
    for step in [0, 1] {
        let answers = answers(&told, step);
        assert_eq!(answers[..2], ["Ok(())", "Ok(())"], "step {step}");
        assert!(answers[2].contains("QuotaExceeded"), "{answers:?}");
        assert_eq!(answers[3], "Ok(())");
    }
    let keys: Vec<_> = told.kept.iter().map(|kept| &*kept.key).collect();
    assert_eq!(keys, ["a", "b"]);
    let script: Vec<_> = (0..=100).map(|n| format!("timer {n} 60")).collect();
    let told = trial(&folder.script(&script.join("\n"), Some("act"), &CONFIG));
    let answers = answers(&told, 1);
    assert_eq!(answers[99], "Ok(())");
    assert!(
        answers[100].contains("timers: 100 timers are open"),
        "{answers:?}"
    );
}

#[test]
fn a_setting_that_is_read_and_not_declared_is_noted() {
    let script = "config region\nconfig story_base\nconfig region";
    let told = trial(&Folder::new().script(script, Some("act"), &CONFIG));
    let notes = told
        .notes
        .iter()
        .filter(|note| note.contains("does not declare"));
    let notes: Vec<_> = notes.collect();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(
        notes[0].starts_with("probe reads the setting \"region\""),
        "{notes:?}"
    );
}

#[test]
fn both_steps_run_and_nothing_goes_out() {
    let folder = Folder::new();
    let script = "dry-run\nset k from-both\nincrement n 2\nslack alerts hello\nupdate changed\nreact eyes\nvalue k";
    let trial = trial(&folder.script(script, None, &CONFIG));
    let [enrich, act] = &trial.runs[0].steps[..] else {
        panic!("{trial:?}");
    };
    assert!(enrich.outcome.is(StepOutcome::Done) && act.outcome.is(StepOutcome::Done));
    let told = answers(&trial, 0);
    assert_eq!(told[0], "true", "the handler is told that it is a dry run");
    assert!(
        told[3].contains("Denied"),
        "Slack is denied in enrich: {told:?}"
    );
    let told = answers(&trial, 1);
    assert_eq!(
        told[1..],
        [
            "Ok(())",
            "Ok(4)",
            "posted",
            "posted",
            "Ok(())",
            "Ok(Some(Ok(\"from-both\")))"
        ],
        "and it sees what enrich kept"
    );
    let preview = act
        .trace
        .calls
        .iter()
        .find_map(|call| call.preview.as_ref())
        .unwrap();
    assert_eq!(
        (&preview["channel"], &preview["text"]),
        (&json!("alerts"), &json!("hello"))
    );
    let kept: Vec<_> = trial
        .kept
        .iter()
        .map(|k| (&*k.key, k.value.as_deref()))
        .collect();
    assert_eq!(kept, [("k", Some("from-both")), ("n", Some("4"))]);
    let used = &trial.runs[0].used;
    assert!(used.wall_us > 0 && used.cpu_us > 0 && used.memory_bytes > 0);
    assert_eq!(used.host_calls["kv"], 6);
}

#[test]
fn requests_are_answered_by_the_rules_of_a_file() {
    let folder = Folder::new();
    folder.write("body.txt", "from a file");
    folder.write(
        "rules.yml",
        "- { url: \"https://api.example.com/pods?all=1\", headers: { x-a: b }, body: { items: [1] } }
- { url: \"https://api.example.com/*/log\", status: 404, body: gone }
- { method: POST, url: \"https://api.example.com/silences\", status: 201, body_file: body.txt }
- { url: https://*, status: 503 }\n",
    );
    let script = "get https://api.example.com/pods?all=1\nget https://api.example.com/pods/a/log\n\
                  post https://api.example.com/silences {\"a\":1}\npost https://api.example.com/other x\n\
                  credential github https://api.example.com/me";
    let told = folder.script(
        script,
        Some("act"),
        &[&CONFIG[..], &["--http", "rules.yml"]].concat(),
    );
    let trial = trial(&told);
    assert_eq!(
        answers(&trial, 1),
        [
            "200 {\"items\":[1]}",
            "404 gone",
            "201 from a file",
            "200 ",
            "503 "
        ]
    );
    assert_eq!(trial.unanswered, []);
    let calls = &trial.runs[0].steps[1].trace.calls;
    let lines: Vec<_> = calls.iter().map(|call| call.result.as_str()).collect();
    assert_eq!(
        lines[2],
        "held back; the handler was answered 201, 11 bytes"
    );
    assert_eq!(lines[3], "held back; the handler was answered 200");
    let shown = calls[2].preview.as_ref().unwrap();
    assert_eq!(
        *shown,
        json!({ "url": "https://api.example.com/silences", "body": "{\"a\":1}" })
    );
}

#[test]
fn a_read_that_no_rule_answers_prints_the_rule_to_add() {
    let folder = Folder::new();
    let ask = |rules: &[&str]| {
        let more = [&CONFIG[..], rules].concat();
        trial(&folder.script("get https://api.example.com/pods?x=1", Some("act"), &more))
    };
    let first = ask(&[]);
    assert!(
        answers(&first, 1)[0].contains("no rule answers it"),
        "{first:?}"
    );
    assert_eq!(first.unanswered.len(), 1);
    folder.write("rules.yml", &first.unanswered[0].rule);
    let second = ask(&["--http", "rules.yml"]);
    assert_eq!(answers(&second, 1), ["200 {}"]);
    assert_eq!(second.unanswered, []);
}

#[test]
fn grants_are_applied_and_a_denied_call_prints_the_lines() {
    let folder = Folder::new();
    let script = "get https://other.example.com/\nslack oncall hello\nget http://169.254.169.254/";
    let told = trial(&folder.script(script, Some("act"), &CONFIG));
    let answers = answers(&told, 1);
    assert!(
        answers.iter().all(|answer| answer.contains("Denied")),
        "{answers:?}"
    );
    let lines = told.allow.join("\n");
    for part in [
        "handlers:\n  probe:\n    allow:\n      http: [\"https://api.example.com\", \"https://other.example.com\"]",
        "slack: [alerts, oncall]",
    ] {
        assert!(lines.contains(part), "{lines}");
    }
    assert_eq!(told.unanswered, [], "what is denied needs no rule");
    // Without a configuration, as a server without one: the channel `alerts` and nothing else.
    let told = trial(&folder.script("slack alerts hi\nslack oncall hi", Some("act"), &["--json"]));
    let answers = self::answers(&told, 1);
    assert_eq!(answers[0], "posted");
    assert!(answers[1].contains("Denied"));
}

#[test]
fn the_outcome_is_the_exit_code() {
    let folder = Folder::new();
    for (script, outcome) in [
        ("permanent-no-such-verb", StepOutcome::Failed),
        ("retryable later", StepOutcome::Retry),
        ("panic oh", StepOutcome::Failed),
    ] {
        let told = trial(&folder.script(script, Some("act"), &CONFIG));
        assert!(told.outcome.is(TrialOutcome::Failed), "{script}");
        assert!(
            told.runs[0].steps[1].outcome.is(outcome),
            "{script}: {told:?}"
        );
        assert!(told.runs[0].steps[1].error.is_some(), "{script}");
    }
    // A failed enrichment is a fact for `act`, as on a server.
    let told = trial(&folder.script("panic oh", Some("enrich"), &CONFIG));
    let [enrich, act] = &told.runs[0].steps[..] else {
        panic!("{told:?}")
    };
    assert!(enrich.outcome.is(StepOutcome::Failed) && act.outcome.is(StepOutcome::Done));
    assert_eq!(folder.run("probe", &["--no-such-flag"]).code, Some(2));
}

#[test]
fn an_alert_is_chosen_resolved_and_given_facts() {
    let folder = Folder::new();
    let alert = |name: &str| {
        let mut alert = alerts::firing(name, &[("severity", "critical"), ("step", "act")]);
        alert["annotations"] =
            json!({ "script": "fact owner\nfact priority\nincrement n\nconfig region" });
        alert
    };
    let body = json!([alert("First"), alert("Second")]);
    folder.write("alert.json", &body.to_string());
    let more = [
        &CONFIG[..],
        &["--index", "1", "--resolve", "--fact", "owner=team-a"],
    ]
    .concat();
    let told = trial(&folder.run("probe", &more));
    let [firing, resolved] = &told.runs[..] else {
        panic!("{told:?}")
    };
    assert_eq!(
        (firing.alert.name(), resolved.alert.name()),
        ("Second", "Second")
    );
    assert_eq!(resolved.alert.status.as_str(), "resolved");
    assert_eq!(
        answers(&told, 1),
        ["team-a", "critical", "Ok(1)", "Some(\"eu\")"]
    );
    assert_eq!(
        resolved.steps[1].facts.get("2"),
        Some("Ok(2)"),
        "what was kept for the alert is there for its end"
    );
    assert_eq!(firing.route, None, "it serves Probe alone");
    assert!(
        told.notes[0].contains("no route sends this alert to probe"),
        "{:?}",
        told.notes
    );
}

#[test]
fn limits_are_the_server_s() {
    let folder = Folder::new();
    folder.write(
        "am.yml",
        "slack: { preview: true }\nhandlers:\n  probe: { allow: { slack: [alerts] }, limits: { kv_calls: 1 } }\n",
    );
    let told = trial(&folder.script("set a b\nset c d", Some("act"), &CONFIG));
    assert!(answers(&told, 1)[1].contains("BudgetExhausted"), "{told:?}");
}

#[test]
fn the_rules_in_the_guide_are_accepted() {
    let guide = fs::read_to_string(workspace().join("docs/command-line.md")).unwrap();
    let block = guide.split("<!-- rules -->\n```yaml\n").nth(1).unwrap();
    let folder = Folder::new();
    folder.write("rules.yml", block.split("```").next().unwrap());
    folder.write("silence.json", "{}");
    let script =
        "post https://api.example.com/v1/silences x\nget https://api.example.com/v1/pods/a";
    let more = [&CONFIG[..], &["--http", "rules.yml"]].concat();
    let trial = trial(&folder.script(script, Some("act"), &more));
    assert_eq!(answers(&trial, 1), ["201 {}", "200 {\"items\":[]}"]);
}

/// Replaces what differs from run to run.
fn steady(text: &str, dir: &Path) -> String {
    let text = text.replace(&dir.display().to_string(), "DIR");
    let text = text.replace(
        &modules::path("slack-notify").display().to_string(),
        "slack-notify.wasm",
    );
    let replaced = [
        (r"\d+(\.\d+)? (µs|ms|s)\b", "TIME"),
        (r"\d+\.\d MiB", "SIZE"),
        (r"\b[0-9a-f]{12}\b", "DIGEST"),
        (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "MOMENT"),
        (r"@\d+(\.\d+)?", "@SECONDS"),
        (r":\d{10}\b", ":SECONDS"),
        (r"[A-Za-z0-9_-]{30,}\.[A-Za-z0-9_-]{20,}", "REFERENCE"),
        (r"\(\d+s\)|for \d+s|after \d+s", "AGO"),
    ];
    replaced.iter().fold(text, |text, (pattern, with)| {
        Regex::new(pattern)
            .unwrap()
            .replace_all(&text, *with)
            .into_owned()
    })
}

#[test]
fn it_shows_the_message_as_a_person_reads_it() {
    let folder = Folder::new();
    // It began when it was read, so that what is said about its age does not depend on the day.
    let alert = json!({
        "labels": { "alertname": "DiskFull", "severity": "critical", "instance": "db-1" },
        "annotations": { "summary": "The disk is full" },
    });
    folder.write("alert.json", &alert.to_string());
    let told = folder.run("slack-notify", &["--resolve"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_snapshot(
        workspace().join("tests/integration/snapshots/test-slack-notify.txt"),
        &steady(&told.stdout, folder.dir.path()),
    );
}

/// A mistake of an author: what is in the file that is named, and the command.
struct Mistake {
    about: &'static str,
    file: (&'static str, &'static str),
    words: &'static [&'static str],
}

const MISTAKES: &[Mistake] = &[
    Mistake {
        about: "a setting that the handler does not have",
        file: (
            "am.yml",
            "slack: { preview: true }\nhandlers:\n  slack-notify:\n    allow: { slack: [alerts] }\n    config: { chanel: alerts }\n",
        ),
        words: &["check", "--config", "am.yml"],
    },
    Mistake {
        about: "a value of another type",
        file: (
            "am.yml",
            "slack: { preview: true }\nhandlers:\n  slack-notify:\n    allow: { slack: [alerts] }\n    config: { runbook_base: runbooks }\n",
        ),
        words: &["check", "--config", "am.yml"],
    },
    Mistake {
        about: "none of the values of a setting",
        file: (
            "am.yml",
            "slack: { preview: true }\nhandlers:\n  slack-notify:\n    allow: { slack: [alerts] }\n    config: { emoji: of }\n",
        ),
        words: &["check", "--config", "am.yml"],
    },
    Mistake {
        about: "settings with which a server would not load the module",
        file: (
            "am.yml",
            "slack: { preview: true }\nhandlers:\n  slack-notify:\n    config: { emojis: off, runbook_base: x }\n",
        ),
        words: &["test", "M", "--alert", "alert.json", "--config", "am.yml"],
    },
    Mistake {
        about: "a rule without a URL",
        file: ("rules.yml", "- status: 200\n  body: {}\n"),
        words: &["test", "M", "--alert", "alert.json", "--http", "rules.yml"],
    },
    Mistake {
        about: "a mistyped key, an impossible status and an unknown method in one file of rules",
        file: (
            "rules.yml",
            "- url: https://api.example.com/a\n  stauts: 200\n- url: https://api.example.com/b\n  status: 99\n- url: https://api.example.com/c\n  method: FETCH\n",
        ),
        words: &["test", "M", "--alert", "alert.json", "--http", "rules.yml"],
    },
    Mistake {
        about: "a URL that is none, and two bodies",
        file: (
            "rules.yml",
            "- url: api.example.com/a\n- url: https://api.example.com/b\n  body: a\n  body_file: nowhere.json\n",
        ),
        words: &["test", "M", "--alert", "alert.json", "--http", "rules.yml"],
    },
    Mistake {
        about: "rules that are no list",
        file: ("rules.yml", "url: https://api.example.com/a\nbody: {}\n"),
        words: &["test", "M", "--alert", "alert.json", "--http", "rules.yml"],
    },
    Mistake {
        about: "an alert that is none",
        file: ("alert.json", "alertname: A\n"),
        words: &["test", "M", "--alert", "alert.json"],
    },
    Mistake {
        about: "an alert that the body does not have",
        file: (
            "alert.json",
            "[{\"labels\":{\"alertname\":\"A\"}},{\"labels\":{\"alertname\":\"B\"}}]",
        ),
        words: &["test", "M", "--alert", "alert.json", "--index", "2"],
    },
    Mistake {
        about: "the end of an alert that has resolved already",
        file: (
            "alert.json",
            "{\"status\":\"resolved\",\"labels\":{\"alertname\":\"A\"}}",
        ),
        words: &["test", "M", "--alert", "alert.json", "--resolve"],
    },
    Mistake {
        about: "a text file instead of a module",
        file: ("notes.wasm", "# notes\n"),
        words: &["inspect", "notes.wasm"],
    },
    Mistake {
        about: "a core module instead of a component",
        file: ("core.wasm", "\0asm\x01\0\0\0"),
        words: &["inspect", "core.wasm"],
    },
    Mistake {
        about: "a folder instead of a module",
        file: ("alert.json", "{}"),
        words: &["inspect", "."],
    },
];

#[test]
fn each_mistake_is_named_with_its_place_and_the_remedy() {
    let mut shown = String::new();
    for mistake in MISTAKES {
        let dir = tests::server::folder(&["slack-notify"]);
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("alert.json", &alerts::firing("A", &[]).to_string());
        write(mistake.file.0, mistake.file.1);
        let words = mistake.words.iter();
        let words: Vec<_> = words
            .map(|&word| {
                if word == "M" {
                    "handlers/slack-notify.wasm"
                } else {
                    word
                }
            })
            .collect();
        let told = run(dir.path(), &words);
        assert_eq!(told.code, Some(1), "{}: {told:?}", mistake.about);
        // Of `check`, only what it finds.
        let found = told
            .stdout
            .lines()
            .filter(|line| line.starts_with("problem "));
        let lines: Vec<_> = found.chain(told.stderr.lines()).collect();
        shown += &format!(
            "# {}\n$ alert-manager {}\n{}\n\n",
            mistake.about,
            words.join(" "),
            steady(&lines.join("\n"), dir.path())
        );
    }
    assert_snapshot(
        workspace().join("tests/integration/snapshots/mistakes-with-modules.txt"),
        &shown,
    );
}
