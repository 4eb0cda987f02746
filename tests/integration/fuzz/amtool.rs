//! Matchers against the real ones: `amtool` reads a configuration with as many routes as there are matchers, and says
//! which of them a set of labels takes.
//!
//! Debian's amtool is 0.25, which has the classic parser alone and Go 1.19's `regexp`. What later ones take beside that
//! is a table in `host/src/router/tests.rs`, and is left out here.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use alert_manager::alert::Labels;
use alert_manager::router::Matcher;

use super::engine::{Dice, fuzz};
use super::expressions;

/// Runs of the short form, and what each compares.
const RUNS: u64 = 26;
const MATCHERS: usize = 200;
const LABEL_SETS: usize = 4;
/// Of the texts that we refuse, how many of a run amtool is asked about: each takes a process of its own.
const REFUSED_MAX: usize = 12;
/// What the short form compares at least.
const PAIRS_MIN: usize = 20_000;

#[test]
fn amtool() {
    if Command::new("amtool").arg("--version").output().is_err() {
        tests::skipped(
            "SKIPPED: matchers were not compared with amtool's, since it is not installed. On Debian: \
             apt-get install --no-install-recommends prometheus-alertmanager",
        );
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let amtool = Amtool {
        file: folder.path().join("alertmanager.yml"),
    };
    let (mut pairs, mut matched, mut refused, mut runs) = (0, 0, 0, 0);
    fuzz("amtool", RUNS, |dice| {
        let mut batch = Vec::new();
        let mut bad = Vec::new();
        while batch.len() < MATCHERS {
            let candidate = Candidate::new(dice, batch.len());
            match Matcher::parse(&candidate.text) {
                Ok(matchers) => batch.push((candidate, matchers)),
                Err(error) if bad.len() < REFUSED_MAX => bad.push((candidate.text, error)),
                Err(_) => {}
            }
        }
        for (text, error) in bad {
            let is_ours = error.to_string().contains("too large") || is_newer(&text);
            assert!(
                is_ours || !amtool.takes(&[&text]),
                "amtool takes {text:?}: {error}"
            );
            refused += 1;
        }
        amtool.keep_taken(&mut batch);
        for _ in 0..LABEL_SETS {
            let labels: Labels = batch
                .iter()
                .filter_map(|(candidate, _)| candidate.label(dice))
                .collect();
            let theirs = amtool.matching(&labels);
            for (index, (candidate, matchers)) in batch.iter().enumerate() {
                let ours = matchers.iter().all(|matcher| matcher.matches(&labels));
                let text = &candidate.text;
                let value = labels.get(&candidate.name);
                assert_eq!(ours, theirs.contains(&index), "{text:?} on {value:?}");
                pairs += 1;
                matched += usize::from(ours);
            }
        }
        runs += 1;
    });
    println!(
        "amtool: {pairs} pairs agree, {matched} of them match; {refused} texts are refused by both"
    );
    assert!(
        runs < RUNS || pairs >= PAIRS_MIN,
        "{pairs} pairs in {runs} runs"
    );
    assert!(
        matched * 8 > pairs && matched * 8 < 7 * pairs,
        "{matched} of {pairs} match"
    );
}

/// True for what Go's `regexp` has taken since 1.19, and for the escapes of the UTF-8 parser.
fn is_newer(text: &str) -> bool {
    let newer = regex::Regex::new(r"\(\?<|\\[pP][a-z{]|\\[uU]").unwrap();
    newer.is_match(text)
}

/// True for what the UTF-8 parser alone takes: names that the classic one has not, also in quotes, and white space around
/// braces.
fn is_utf8_alone(text: &str, matchers: &[Matcher]) -> bool {
    let is_classic = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    let is_name = |name: &str| {
        name.starts_with(|c: char| is_classic(c) && !c.is_ascii_digit())
            && name.chars().all(is_classic)
    };
    let is_braced = text.trim().starts_with('{') || text.trim().ends_with('}');
    let quoted_name = |matcher: &Matcher| text.contains(&format!("\"{}\"", matcher.name()));
    let mut each = matchers.iter();
    each.any(|matcher| !is_name(matcher.name()) || quoted_name(matcher))
        || is_braced && text.trim() != text
        || text.contains(|c: char| c.is_whitespace() && !" \t\n\r\x0c".contains(c))
}

/// A matcher, or a list of two, about a label of its own, and values for it.
struct Candidate {
    name: String,
    text: String,
    values: Vec<String>,
}

impl Candidate {
    fn new(dice: &mut Dice, index: usize) -> Self {
        let name = format!("l{index}");
        let mut values = Vec::new();
        let mut text = matcher(dice, &name, &mut values);
        if dice.one_in(12) {
            let other = matcher(dice, &name, &mut values);
            text = match dice.below(3) {
                0 => format!("{text},{other}"),
                1 => format!("{{{text}, {other} , }}"),
                _ => format!("{text} , {other}}}"),
            };
        }
        if dice.one_in(12) {
            text = dice.mutate_text(&text, &expressions::WORDS);
            text.retain(|c| c == '\n' || c == '\t' || !c.is_control());
        }
        Self { name, text, values }
    }

    /// Returns the label for one set of labels, None if it is missing.
    fn label(&self, dice: &mut Dice) -> Option<(String, String)> {
        let value = match dice.below(10) {
            0 => return None,
            1 => String::new(),
            2 => expressions::value(dice),
            3 | 4 => {
                let value = dice.pick(&self.values);
                expressions::changed(dice, value)
            }
            _ => dice.pick(&self.values).clone(),
        };
        Some((self.name.clone(), value))
    }
}

/// Writes a matcher in one of the ways in which people do, and adds values that may match it.
fn matcher(dice: &mut Dice, name: &str, values: &mut Vec<String>) -> String {
    let (op, value) = if dice.one_in(6) {
        let value = expressions::value(dice);
        values.push(value.clone());
        (*dice.pick(&["=", "!="]), value)
    } else {
        let expression = expressions::Expression::new(dice);
        values.extend((0..3).map(|_| expression.sample(dice)));
        (*dice.pick(&["=~", "=~", "=~", "!~"]), expression.text(dice))
    };
    let escaped = || {
        value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
    };
    let written = match dice.below(8) {
        0 => value.clone(),
        // Backslashes as they are, which the classic parser takes for themselves.
        1 | 2 => format!("\"{}\"", value.replace('"', "\\\"")),
        _ => format!("\"{}\"", escaped()),
    };
    match dice.below(8) {
        0 => format!(" {name} {op} {written} "),
        1 => format!("{{{name}{op}{written}}}"),
        _ => format!("{name}{op}{written}"),
    }
}

struct Amtool {
    file: PathBuf,
}

impl Amtool {
    /// Writes a configuration with a route for each text.
    fn write(&self, texts: &[&str]) {
        let mut file = "receivers:\n- name: none\n".to_owned();
        for index in 0..texts.len() {
            let _ = writeln!(file, "- name: r{index}");
        }
        file.push_str("route:\n  receiver: none\n  routes:\n");
        for (index, text) in texts.iter().enumerate() {
            // JSON's strings are YAML's double-quoted ones.
            let text = serde_json::Value::from(*text);
            let _ = writeln!(
                file,
                "  - {{ receiver: r{index}, continue: true, matchers: [{text}] }}"
            );
        }
        std::fs::write(&self.file, file).unwrap();
    }

    fn run(&self, command: &[&str], more: impl IntoIterator<Item = String>) -> Output {
        let run = Command::new("amtool").args(command).args(more).output();
        run.expect("amtool runs")
    }

    fn takes(&self, texts: &[&str]) -> bool {
        self.write(texts);
        let file = self.file.display().to_string();
        let output = self.run(&["check-config"], [file]);
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() || !said.contains("yaml: "),
            "the configuration is no YAML: {said}"
        );
        output.status.success()
    }

    /// Removes the texts that this amtool does not take, and checks that only a newer one does.
    fn keep_taken(&self, batch: &mut Vec<(Candidate, Vec<Matcher>)>) {
        let is_taken = |part: &[(Candidate, Vec<Matcher>)]| {
            let texts: Vec<&str> = part.iter().map(|(c, _)| c.text.as_str()).collect();
            self.takes(&texts)
        };
        let mut start = 0;
        while start < batch.len() {
            if is_taken(&batch[start..]) {
                break;
            }
            // The first that is refused: the longest good beginning ends before it.
            let (mut good, mut bad) = (start, batch.len());
            while bad - good > 1 {
                let middle = good.midpoint(bad);
                if is_taken(&batch[start..middle]) {
                    good = middle;
                } else {
                    bad = middle;
                }
            }
            let (refused, matchers) = batch.remove(good);
            let text = refused.text;
            assert!(
                is_newer(&text) || is_utf8_alone(&text, &matchers),
                "amtool refuses {text:?}"
            );
            start = good;
        }
        let texts: Vec<&str> = batch.iter().map(|(c, _)| c.text.as_str()).collect();
        self.write(&texts);
    }

    /// Returns which of the texts match, by their places.
    fn matching(&self, labels: &Labels) -> BTreeSet<usize> {
        let file = format!("--config.file={}", self.file.display());
        let labels = labels.iter().map(|(name, value)| {
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            format!("{name}=\"{value}\"")
        });
        let output = self.run(&["config", "routes", "test", &file, "--"], labels);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let said = String::from_utf8_lossy(&output.stdout);
        let receivers = said
            .trim()
            .split(',')
            .filter(|receiver| *receiver != "none");
        receivers
            .map(|receiver| receiver[1..].parse().unwrap_or_else(|_| panic!("{said}")))
            .collect()
    }
}
