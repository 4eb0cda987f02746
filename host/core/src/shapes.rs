//! Masks secrets in text that people read: Slack messages, log lines, stories.
//!
//! The rules are those of gitleaks (`host/shapes/gitleaks.json`, with version and licence). As in gitleaks, a text is first
//! searched for the keywords of all rules at once. Only rules with a keyword in the text are tried, and a match counts if it is
//! as random as the rule requires and is not on a list of harmless values.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{LazyLock, OnceLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::bytes::{Regex, RegexBuilder};
use serde::Deserialize;

/// The text that replaces a secret; the same as in the SDK.
pub const MASK: &str = "[masked]";

/// How far to the left of a match a rule looks, as in gitleaks' own expressions.
const LEFT_BYTES_MAX: usize = 50;
/// How far on each side of a match its line is examined, since one line may be the whole text.
const LINE_BYTES_MAX: usize = 1 << 10;
/// The size limit of a compiled expression.
const REGEX_BYTES_MAX: usize = 4 << 20;
/// The size limit of a search automaton's cache, for each expression in use.
const REGEX_CACHE_BYTES_MAX: usize = 256 << 10;

/// Rules that gitleaks lacks, since it searches repositories: passwords in URLs, and private keys that were cut off in a
/// log.
const OWN: &str = r#"[
    {
        "id": "password-in-a-url",
        "regex": "(?i)\\b[a-z][a-z0-9+.-]{1,30}://[^\\s:/?#@'\"]{0,64}:([^\\s/?#@'\"]{3,256})@[a-z0-9\\[]",
        "keywords": ["://"]
    },
    {
        "id": "private-key-cut-off",
        "regex": "-----BEGIN[ A-Z0-9_-]{0,100}PRIVATE KEY(?: BLOCK)?-----([\\s\\S]+?)(?:-----END|\\z)",
        "keywords": ["-----begin"]
    }
]"#;

static SHAPES: LazyLock<Shapes> = LazyLock::new(Shapes::load);

/// Returns the text with secrets masked, or the text itself if there are none.
#[must_use]
pub fn masked(text: &str) -> Cow<'_, str> {
    SHAPES.masked(text)
}

/// Masks secrets in place.
pub fn mask(text: &mut String) {
    if let Cow::Owned(masked) = masked(text) {
        *text = masked;
    }
}

/// Masks secrets in a value, including those that are recognized only by the value's name.
pub fn mask_named(name: &str, value: &mut String) {
    mask(value);
    let lead = format!("{name}=");
    let pair = format!("{lead}{value}");
    if let Cow::Owned(masked) = masked(&pair)
        && let Some(masked) = masked.strip_prefix(&lead)
    {
        masked.clone_into(value);
    }
}

#[derive(Deserialize)]
struct File {
    allow: Vec<Allow>,
    rules: Vec<Rule>,
}

struct Shapes {
    keywords: AhoCorasick,
    /// The rules by keyword.
    rules_of: Vec<Vec<usize>>,
    rules: Vec<Rule>,
    /// Values that are harmless for every rule.
    allow: Vec<Allow>,
}

#[derive(Deserialize)]
struct Rule {
    #[cfg(test)]
    id: String,
    #[serde(flatten)]
    expression: Expression,
    keywords: Vec<String>,
    #[serde(default)]
    entropy: f64,
    #[serde(default)]
    group: usize,
    #[serde(default)]
    allow: Vec<Allow>,
}

/// An expression that is compiled when it is first used: most never are.
#[derive(Deserialize)]
struct Expression {
    regex: String,
    #[serde(skip)]
    compiled: OnceLock<Option<Regex>>,
}

/// A condition for values that look like a secret but are harmless.
#[derive(Deserialize)]
struct Allow {
    /// True if both an expression and a word must match, not just one of them.
    all: bool,
    target: Target,
    #[serde(default)]
    regexes: Vec<String>,
    #[serde(default)]
    stopwords: Vec<String>,
    #[serde(skip)]
    compiled: OnceLock<(Vec<Regex>, Option<AhoCorasick>)>,
}

/// The part of the text that a condition is applied to.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Target {
    Secret,
    Match,
    Line,
}

impl Shapes {
    #[allow(
        clippy::expect_used,
        reason = "the file is a part of the program, and a test reads it"
    )]
    fn load() -> Self {
        let mut file: File = serde_json::from_str(include_str!("../shapes/gitleaks.json"))
            .expect("host/shapes/gitleaks.json can be read");
        let own: Vec<Rule> = serde_json::from_str(OWN).expect("our own shapes can be read");
        file.rules.extend(own);
        let mut words: Vec<&str> = Vec::new();
        let mut rules_of: Vec<Vec<usize>> = Vec::new();
        for (number, rule) in file.rules.iter().enumerate() {
            for word in &rule.keywords {
                let index = words.iter().position(|known| known == word);
                let index = index.unwrap_or_else(|| {
                    words.push(word);
                    rules_of.push(Vec::new());
                    words.len() - 1
                });
                rules_of[index].push(number);
            }
        }
        let keywords = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(Some(AhoCorasickKind::DFA))
            .build(&words)
            .expect("some hundred words are few");
        Self {
            keywords,
            rules_of,
            rules: file.rules,
            allow: file.allow,
        }
    }

    fn masked<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut is_due = vec![false; self.rules.len()];
        let mut any = false;
        for found in self.keywords.find_overlapping_iter(text) {
            any = true;
            for rule in &self.rules_of[found.pattern().as_usize()] {
                is_due[*rule] = true;
            }
        }
        if !any {
            return Cow::Borrowed(text);
        }
        let mut places: Vec<Range<usize>> = Vec::new();
        for (rule, _) in self.rules.iter().zip(is_due).filter(|(_, is_due)| *is_due) {
            self.find(rule, text, &mut places);
        }
        if places.is_empty() {
            return Cow::Borrowed(text);
        }
        Cow::Owned(without(text, places))
    }

    fn find(&self, rule: &Rule, text: &str, places: &mut Vec<Range<usize>>) {
        let Some(regex) = rule.expression.get() else {
            return;
        };
        for found in regex.captures_iter(text.as_bytes()) {
            let group = match rule.group {
                0 => (1..found.len())
                    .filter_map(|group| found.get(group))
                    .find(|group| !group.is_empty()),
                group => found.get(group),
            };
            let Some(all) = found.get(0) else {
                continue;
            };
            let place = unquoted(text.as_bytes(), group.unwrap_or(all).range());
            let secret = &text.as_bytes()[place.clone()];
            if rule.entropy > 0.0 && entropy(secret) <= rule.entropy {
                continue;
            }
            let mut allow = self.allow.iter().chain(&rule.allow);
            if !allow.any(|allow| allow.covers(text, secret, &all.range())) {
                places.push(place);
            }
        }
    }
}

impl Expression {
    fn get(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| compile(&self.regex)).as_ref()
    }
}

/// Compiles an expression as RE2 would: its classes for letters, digits and spaces are ASCII.
fn compile(regex: &str) -> Option<Regex> {
    let compiled = RegexBuilder::new(regex)
        .unicode(false)
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_CACHE_BYTES_MAX)
        .build();
    // A test compiles every expression.
    compiled.ok()
}

impl Allow {
    fn covers(&self, text: &str, secret: &[u8], found: &Range<usize>) -> bool {
        let (regexes, stopwords) = self.compiled.get_or_init(|| {
            let regexes = self.regexes.iter().filter_map(|regex| compile(regex));
            let words = (!self.stopwords.is_empty()).then(|| {
                AhoCorasick::builder()
                    .ascii_case_insensitive(true)
                    .build(&self.stopwords)
                    .ok()
            });
            (regexes.collect(), words.flatten())
        });
        let bytes = text.as_bytes();
        let target = match self.target {
            Target::Secret => secret,
            Target::Match => &bytes[widened(bytes, found)],
            Target::Line => line(bytes, found),
        };
        let has_regex = regexes.iter().any(|regex| regex.is_match(target));
        let has_word = stopwords
            .as_ref()
            .is_some_and(|words| words.is_match(secret));
        match self.all {
            true => (has_regex || regexes.is_empty()) && (has_word || stopwords.is_none()),
            false => has_regex || has_word,
        }
    }
}

/// Returns a match without the quotes that some rules include.
fn unquoted(text: &[u8], place: Range<usize>) -> Range<usize> {
    match &text[place.clone()] {
        [first @ (b'"' | b'\''), _, .., last] if first == last => place.start + 1..place.end - 1,
        _ => place,
    }
}

/// Returns a match with the text to its left that gitleaks' own expressions include.
fn widened(text: &[u8], found: &Range<usize>) -> Range<usize> {
    let in_name = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let before = text[..found.start].iter().rev();
    let more = before.take(LEFT_BYTES_MAX).take_while(in_name).count();
    found.start - more..found.end
}

fn line<'t>(text: &'t [u8], found: &Range<usize>) -> &'t [u8] {
    let from = found.start.saturating_sub(LINE_BYTES_MAX);
    let to = text.len().min(found.end + LINE_BYTES_MAX);
    let before = text[from..found.start].iter();
    let start = before.rev().position(|byte| *byte == b'\n');
    let end = text[found.end..to].iter().position(|byte| *byte == b'\n');
    &text[start.map_or(from, |at| found.start - at)..end.map_or(to, |at| found.end + at)]
}

/// Returns Shannon's entropy, in bits per byte.
fn entropy(secret: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in secret {
        counts[usize::from(*byte)] += 1;
    }
    let all = secret.len() as f64;
    let each = |count: u32| {
        let share = f64::from(count) / all;
        -share * share.log2()
    };
    counts
        .into_iter()
        .filter(|count| *count > 0)
        .map(each)
        .sum()
}

fn without(text: &str, mut places: Vec<Range<usize>>) -> String {
    places.sort_by_key(|place| (place.start, place.end));
    let mut masked = String::with_capacity(text.len());
    let (mut taken, mut is_first) = (0, true);
    for place in places {
        // The expressions match bytes; a multi-byte character is masked as a whole.
        let (start, end) = (
            text.floor_char_boundary(place.start),
            text.ceil_char_boundary(place.end),
        );
        if is_first || start >= taken {
            masked.push_str(&text[taken..start]);
            masked.push_str(MASK);
        }
        taken = taken.max(end);
        is_first = false;
    }
    masked.push_str(&text[taken..]);
    masked
}
