//! Reads values out of a document and collects what is wrong: decoders go on after a mistake, and every mistake has its place.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Secrets;
use super::key::{Key, Written};
use super::node::{Entry, Node, Place, Value};
use super::parse::parse;
use super::placeholder::placeholder;
use crate::findings::{Problem, Problems};
use crate::secret::{SecretError, SecretSource};
use crate::units::{parse_duration, parse_size, with_unit_of};

/// A size below this many bytes is written with its unit: without one it lacks it by mistake.
const BYTES_WRITTEN_OUT: u64 = 1_000;

/// What reading a configuration found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What keeps the configuration from being used: of the file in its order, then of flags and variables.
    pub(super) problems: Problems,
    /// What can be read and would fail every time.
    pub(super) mistakes: Vec<Problem>,
    /// What is allowed and probably not meant.
    pub(super) warnings: Vec<Problem>,
}

/// Reads nodes and collects what is wrong with them.
#[derive(Debug)]
pub(super) struct Reader {
    file: Option<PathBuf>,
    secrets: Secrets,
    problems: Vec<(Place, Problem)>,
    warnings: Vec<(Place, Problem)>,
    mistakes: Vec<(Place, Problem)>,
    /// Problems with flags and variables.
    outside: Vec<Problem>,
    /// Whether something that a review compares with the modules could not be read.
    pub(super) is_partial: bool,
}

impl Reader {
    /// Returns a reader of this file, or of the defaults alone.
    pub(super) fn new(file: Option<&Path>) -> Self {
        Self {
            file: file.map(Path::to_owned),
            secrets: Secrets::Read,
            problems: Vec::new(),
            warnings: Vec::new(),
            mistakes: Vec::new(),
            outside: Vec::new(),
            is_partial: false,
        }
    }

    /// Returns a reader that reads secrets, or leaves them alone.
    pub(super) fn with_secrets(self, secrets: Secrets) -> Self {
        Self { secrets, ..self }
    }

    /// Returns whether secrets are read.
    pub(super) fn reads_secrets(&self) -> bool {
        self.secrets == Secrets::Read
    }

    /// Returns why a secret cannot be read; `None` if it can be, or if secrets are left alone.
    pub(super) fn unreadable(&self, secret: &SecretSource) -> Option<SecretError> {
        match self.secrets {
            Secrets::Read => secret.read().err(),
            Secrets::LeftAlone => None,
        }
    }

    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Parses the text; returns nothing if it is empty or not YAML.
    pub(super) fn parse(&mut self, text: &str) -> Option<Node> {
        let (document, mistakes) = parse(text);
        for mistake in mistakes {
            self.fail(mistake.at, mistake.message, mistake.advice);
        }
        document
    }

    fn problem(&self, at: Place, message: String, advice: String) -> Problem {
        let place = match &self.file {
            Some(file) => format!("{}:{at}", file.display()),
            None => at.to_string(),
        };
        Problem {
            place,
            message,
            advice,
        }
    }

    /// Reports what cannot be read, and so keeps the configuration from being used.
    pub(super) fn fail(&mut self, at: Place, message: String, advice: impl Into<String>) {
        self.is_partial = true;
        self.refuse(at, message, advice);
    }

    /// Reports what can be read, but keeps the configuration from being used, such as a missing secret.
    pub(super) fn refuse(&mut self, at: Place, message: String, advice: impl Into<String>) {
        let problem = self.problem(at, message, advice.into());
        self.problems.push((at, problem));
    }

    /// Reports what is allowed and probably not meant.
    pub(super) fn warn(&mut self, at: Place, message: String, advice: impl Into<String>) {
        let problem = self.problem(at, message, advice.into());
        self.warnings.push((at, problem));
    }

    /// Reports what can be read and would fail every time.
    pub(super) fn mistake(&mut self, at: Place, message: String, advice: impl Into<String>) {
        let problem = self.problem(at, message, advice.into());
        self.mistakes.push((at, problem));
    }

    /// Reports what keeps a flag or a variable from being used; `place` names it.
    pub(super) fn fail_outside(
        &mut self,
        place: &str,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.outside.push(Problem {
            place: place.to_owned(),
            message: message.into(),
            advice: advice.into(),
        });
    }

    pub(super) fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    /// Returns the path in the file, which is relative to the file's folder.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.folder().join(path)
    }

    /// Returns the folder of the file; empty if there is no file.
    pub(super) fn folder(&self) -> &Path {
        let folder = self.file.as_ref().and_then(|file| file.parent());
        folder.unwrap_or(Path::new(""))
    }

    /// Returns what was found, each in the order of the file.
    pub(super) fn finish(self) -> Found {
        let in_order = |mut list: Vec<(Place, Problem)>| -> Vec<Problem> {
            list.sort_by_key(|(at, _)| *at);
            list.into_iter().map(|(_, problem)| problem).collect()
        };
        let mut problems = in_order(self.problems);
        problems.extend(self.outside);
        Found {
            problems: Problems(problems),
            mistakes: in_order(self.mistakes),
            warnings: in_order(self.warnings),
        }
    }

    /// Reports that a value is not what it should be.
    pub(super) fn unexpected(&mut self, node: &Node, path: &str, expected: &str) {
        let found = match &node.value {
            // A secret may have been written in the place of a mapping, or of another value.
            Value::Scalar(..) if is_about_secrets(path) => "a text".to_owned(),
            _ => node.described(),
        };
        let name = if path.is_empty() {
            "the configuration"
        } else {
            path
        };
        self.fail(
            node.at,
            format!("{name} is {found}"),
            format!("it should be {expected}"),
        );
    }

    /// Returns the entries of a mapping; none, and a problem, if it is something else.
    pub(super) fn entries<'a>(&mut self, node: &'a Node, path: &str) -> &'a [Entry] {
        match &node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            _ => {
                self.unexpected(node, path, "a mapping of keys to values");
                &[]
            }
        }
    }

    /// Returns the items of a list; none, and a problem, if it is something else.
    pub(super) fn items<'a>(&mut self, node: &'a Node, path: &str) -> &'a [Node] {
        match &node.value {
            Value::List(items) => items,
            Value::Null => &[],
            Value::Scalar(text, _) if !is_about_secrets(path) && !text.is_empty() => {
                self.unexpected(node, path, &format!("a list, as in [{text}]"));
                &[]
            }
            _ => {
                self.unexpected(node, path, "a list, as in [one, two]");
                &[]
            }
        }
    }

    /// Returns a scalar as written.
    pub(super) fn text<'a>(&mut self, node: &'a Node, path: &str) -> Option<&'a str> {
        match &node.value {
            Value::Scalar(text, _) if !text.is_empty() => Some(text),
            Value::Null => None,
            Value::Scalar(..) => {
                let advice = "write a text between the quotes, or leave it out";
                self.fail(node.at, format!("{path} is empty"), advice);
                None
            }
            _ => {
                self.unexpected(node, path, "a text");
                None
            }
        }
    }

    /// Returns each item of a list of texts with its place.
    pub(super) fn texts<'a>(&mut self, node: &'a Node, path: &str) -> Vec<(Place, &'a str)> {
        let mut texts = Vec::new();
        for item in self.items(node, path) {
            if item.is_null() {
                self.unexpected(item, path, "a list of texts");
            } else if let Some(text) = self.text(item, path) {
                texts.push((item.at, text));
            }
        }
        texts
    }

    /// Reads a scalar with `parse`; `expected` says what it should be.
    pub(super) fn scalar<T>(
        &mut self,
        node: &Node,
        path: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let parsed = match &node.value {
            Value::Scalar(text, _) => parse(text),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        };
        if parsed.is_none() && !node.is_null() {
            self.unexpected(node, path, expected);
        }
        parsed
    }

    /// Reads a scalar of a form that is common to many keys.
    pub(super) fn value<T: Scalar>(&mut self, node: &Node, path: &str, key: &Key) -> Option<T> {
        self.with_unit(node, path, key, |text| T::parse(text, &key.written))
    }

    /// Reads a scalar of a described key with `parse`. For a number that lacks its unit, it names the one that is probably meant:
    /// that of the key's default.
    pub(super) fn with_unit<T>(
        &mut self,
        node: &Node,
        path: &str,
        key: &Key,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let expected = key.written.expected();
        let text = node.scalar().unwrap_or_default();
        let Some(meant) = meant(text, key) else {
            return self.scalar(node, path, &expected, parse);
        };
        match text.parse::<u64>() {
            Ok(number) if key.written.is_size() && number < BYTES_WRITTEN_OUT => {
                let message = format!("{path} is {number} bytes");
                let bytes = match key.written {
                    Written::Limit(_, least, _) if number < least => String::new(),
                    _ => format!(" For bytes, write {number}B"),
                };
                self.fail(node.at, message, format!("did you mean {meant}?{bytes}"));
                None
            }
            _ => {
                let expected = format!("{expected}; did you mean {meant}?");
                self.scalar(node, path, &expected, parse)
            }
        }
    }

    /// Reports a URL whose host is a placeholder.
    pub(super) fn refuse_placeholder(&mut self, node: &Node, path: &str) {
        let Value::Scalar(text, _) = &node.value else {
            return;
        };
        if let Some(left) = placeholder(text) {
            let message = format!("{path}: {left:?} is a placeholder");
            self.mistake(node.at, message, "write the name of the host that is meant");
        }
    }
}

/// Returns what an amount with a part of its unit missing was meant to be: `64` or, as in Kubernetes, `64Mi`.
fn meant(text: &str, key: &Key) -> Option<String> {
    if text == "0" || !key.written.has_unit() {
        return None;
    }
    let with_byte = format!("{text}B");
    let is_size = parse_size(text).is_none() && parse_size(&with_byte).is_some();
    match key.written.is_size() && is_size {
        true => Some(with_byte),
        false => with_unit_of(text, &key.shown_default()?),
    }
}

/// A value that is written in one of the forms that are common to many keys.
pub(super) trait Scalar: Sized {
    /// Returns the value; None if the text does not have the form.
    fn parse(text: &str, written: &Written) -> Option<Self>;
}

impl Scalar for bool {
    fn parse(text: &str, written: &Written) -> Option<Self> {
        match written {
            Written::Boolean => text.parse().ok(),
            _ => None,
        }
    }
}

impl Scalar for Duration {
    fn parse(text: &str, written: &Written) -> Option<Self> {
        match written {
            Written::Duration => parse_duration(text),
            Written::Time => parse_duration(text).filter(|time| !time.is_zero()),
            _ => None,
        }
    }
}

impl Scalar for f64 {
    fn parse(text: &str, written: &Written) -> Option<Self> {
        match written {
            Written::PerSecond => {
                let number = text.parse::<Self>().ok()?;
                (number.is_finite() && number >= 0.0).then_some(number)
            }
            _ => None,
        }
    }
}

impl Scalar for u64 {
    fn parse(text: &str, written: &Written) -> Option<Self> {
        match written {
            Written::Size => parse_size(text),
            Written::Bytes => parse_size(text).filter(|size| *size > 0),
            Written::SizeBetween(least, most) => {
                parse_size(text).filter(|size| (*least..=*most).contains(size))
            }
            Written::Count => text.parse().ok().filter(|number| *number > 0),
            _ => None,
        }
    }
}

impl Scalar for u32 {
    fn parse(text: &str, written: &Written) -> Option<Self> {
        u64::parse(text, written).and_then(|number| number.try_into().ok())
    }
}

impl Scalar for usize {
    fn parse(text: &str, written: &Written) -> Option<Self> {
        u64::parse(text, written).and_then(|number| number.try_into().ok())
    }
}

/// Returns true if the value at `path` may be a secret, whatever it should be.
fn is_about_secrets(path: &str) -> bool {
    const KEYS: [&str; 9] = [
        "authorization",
        "basic_auth",
        "credentials",
        "header",
        "hmac",
        "password",
        "ping_url",
        "secret",
        "service_account",
    ];
    path.split(['.', '[']).any(|key| KEYS.contains(&key))
}
