//! Matchers, as the configuration and the command line take them.

use alert_manager::alert::Labels;
use alert_manager::router::{MatchOp, Matcher};
use regex::{Regex, RegexBuilder};

use super::engine::{Dice, corpus_lines, fuzz};

const DICTIONARY: [&str; 20] = [
    "=",
    "!=",
    "=~",
    "!~",
    "==",
    "\"",
    "\\\"",
    "\\",
    "\\n",
    "\\x41",
    "\\377",
    "\\U0010FFFF",
    "\\ud800",
    ",",
    "{",
    "}",
    ".*",
    "(a|b){1,9}",
    "(?i)x",
    "é",
];

fn labels(dice: &mut Dice, matchers: &[Matcher]) -> Labels {
    let mut labels: Vec<(String, String)> = Vec::new();
    for matcher in matchers {
        if dice.one_in(3) {
            continue;
        }
        let value = match dice.below(3) {
            0 => dice.text(6),
            _ => matcher.value().to_owned(),
        };
        labels.push((matcher.name().to_owned(), value));
    }
    labels.into_iter().collect()
}

/// Returns the expression of a matcher, compiled without our code, if RE2 and the regex crate read it alike;
/// `amtool.rs` compares the others.
fn expression(matcher: &Matcher) -> Option<Regex> {
    let is_common = |c: char| c.is_ascii_alphanumeric() || " .*+?|,:/-_".contains(c);
    if matches!(matcher.op(), MatchOp::Equal | MatchOp::NotEqual)
        || !matcher.value().chars().all(is_common)
    {
        return None;
    }
    let anchored = format!("^(?:{})$", matcher.value());
    RegexBuilder::new(&anchored)
        .size_limit(1 << 22)
        .build()
        .ok()
}

/// What Alertmanager's documentation says of an operator.
fn expected(matcher: &Matcher, regex: Option<&Regex>, labels: &Labels) -> Option<bool> {
    let value = labels.get(matcher.name()).unwrap_or("");
    Some(match matcher.op() {
        MatchOp::Equal => value == matcher.value(),
        MatchOp::NotEqual => value != matcher.value(),
        op @ (MatchOp::Regex | MatchOp::NotRegex) => {
            regex?.is_match(value) == (op == MatchOp::Regex)
        }
    })
}

fn check(dice: &mut Dice, matchers: &[Matcher]) {
    let printed: Vec<_> = matchers.iter().map(ToString::to_string).collect();
    for (matcher, printed) in matchers.iter().zip(&printed) {
        let again = Matcher::parse(printed).unwrap_or_else(|error| panic!("{printed}: {error}"));
        assert_eq!(again, std::slice::from_ref(matcher), "{printed}");
    }
    if !printed.is_empty() {
        let all = format!("{{{}}}", printed.join(", "));
        assert_eq!(Matcher::parse(&all).unwrap(), matchers, "{all}");
    }
    let expressions: Vec<_> = matchers.iter().map(expression).collect();
    for _ in 0..3 {
        let labels = labels(dice, matchers);
        for (matcher, expression) in matchers.iter().zip(&expressions) {
            if let Some(expected) = expected(matcher, expression.as_ref(), &labels) {
                assert_eq!(
                    matcher.matches(&labels),
                    expected,
                    "{matcher} on {labels:?}"
                );
            }
        }
    }
}

#[test]
fn matchers() {
    let seeds = corpus_lines("matchers");
    fuzz("matchers", 1_500, |dice| {
        let seed = dice.pick(&seeds).clone();
        let text = match dice.below(4) {
            0 => dice.text(24),
            1 => seed,
            _ => dice.mutate_text(&seed, &DICTIONARY),
        };
        match Matcher::parse(&text) {
            Ok(matchers) => check(dice, &matchers),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}

#[test]
fn matchers_that_were_written_are_read_as_they_were_meant() {
    fuzz("matchers_that_were_written", 5_000, |dice| {
        let name = format!("n{}", dice.text(6));
        let op = *dice.pick(&[MatchOp::Equal, MatchOp::NotEqual]);
        let value = dice.text(12);
        let matcher = Matcher::new(&name, op, &value).unwrap();
        let read = Matcher::parse(&matcher.to_string()).unwrap();
        assert_eq!(read.len(), 1, "{matcher}");
        let read = (read[0].name(), read[0].op(), read[0].value());
        assert_eq!(read, (name.as_str(), op, value.as_str()), "{matcher}");
    });
}
