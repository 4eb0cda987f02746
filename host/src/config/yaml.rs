//! A small decoder over YAML that keeps going after a mistake and knows the place of each.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use saphyr::{LoadableYamlNode as _, MarkedYaml, Scalar, YamlData};
use saphyr_parser::{Event, Parser};
use zeroize::{Zeroize as _, Zeroizing};

use super::placeholder::placeholder;
use super::suggest::closest;
use crate::findings::{Problem, Problems};
use crate::units::{parse_duration, parse_size};

/// Deeper than any configuration; a bound for the recursion over the document.
const DEPTH_MAX: usize = 64;
/// What a document may come to once every alias is what it stands for, in bytes: ten lines of aliases of
/// aliases stand for a thousand million of anything.
const LOADED_BYTES_MAX: usize = 64 << 20;
/// What a node takes besides its text.
const NODE_BYTES: usize = 64;

/// A place in the file, both from 1: printed as `line:column`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    line: usize,
    column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// The top of the file.
impl Default for Place {
    fn default() -> Self {
        Self { line: 1, column: 1 }
    }
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: Place,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Null,
    /// As written, without quotes; the JSON is what YAML makes of it.
    Scalar(String, serde_json::Value),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: Place,
    pub(super) value: Node,
}

/// Some of what stands in the file is secret, and which of it is known only later.
impl Drop for Node {
    fn drop(&mut self) {
        if let Value::Scalar(text, json) = &mut self.value {
            text.zeroize();
            if let serde_json::Value::String(text) = json {
                text.zeroize();
            }
        }
    }
}

impl Node {
    /// Returns true for `key:` with nothing behind it, which counts as absent.
    fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// Returns where the value of `key` stands.
    pub(super) fn place_of(&self, key: &str) -> Option<Place> {
        let Value::Map(entries) = &self.value else {
            return None;
        };
        let entry = entries.iter().find(|entry| entry.key == key)?;
        Some(entry.value.at)
    }

    pub(super) fn is_mapping(&self) -> bool {
        matches!(self.value, Value::Map(_))
    }

    /// Returns how a sentence names what stands here.
    fn described(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Scalar(text, _) if text.chars().count() > 40 => {
                format!("\"{}…\"", text.chars().take(40).collect::<String>())
            }
            Value::Scalar(text, _) => format!("{text:?}"),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }

    /// Returns a scalar as written, a list or mapping as JSON.
    pub(super) fn as_setting(&self) -> String {
        match &self.value {
            Value::Null => String::new(),
            Value::Scalar(text, _) => text.clone(),
            Value::List(_) | Value::Map(_) => self.to_json().to_string(),
        }
    }

    /// Calls `see` with the path and the place of each key and item below this node, from the top down. A key is shown where
    /// its value stands, and one with a block below it where itself does.
    pub(super) fn walk(&self, path: &str, see: &mut impl FnMut(String, Place)) {
        match &self.value {
            Value::Map(entries) => {
                for entry in entries {
                    let path = match path {
                        "" => entry.key.clone(),
                        _ => format!("{path}.{}", entry.key),
                    };
                    let at = match entry.value.value {
                        Value::Map(_) | Value::Null => entry.at,
                        Value::Scalar(..) | Value::List(_) => entry.value.at,
                    };
                    see(path.clone(), at);
                    entry.value.walk(&path, see);
                }
            }
            Value::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    let path = format!("{path}[{i}]");
                    see(path.clone(), item.at);
                    item.walk(&path, see);
                }
            }
            Value::Null | Value::Scalar(..) => {}
        }
    }

    fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Scalar(_, json) => json.clone(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.value.to_json()))
                .collect(),
        }
    }
}

/// Looks over the document before it is loaded: loading repeats what aliases stand for, and is as deep as the
/// document is. What is no YAML is left for the loader to say.
fn measure(text: &str) -> Result<(), (Place, String, &'static str)> {
    let mut anchored: HashMap<usize, usize> = HashMap::new();
    let mut open = Vec::new();
    let mut bytes = 0usize;
    for event in Parser::new_from_str(text) {
        let Ok((event, span)) = event else {
            return Ok(());
        };
        let at = place(span.start.line(), span.start.col());
        match event {
            Event::Alias(anchor) => {
                bytes = bytes.saturating_add(anchored.get(&anchor).copied().unwrap_or(NODE_BYTES));
            }
            Event::Scalar(text, _, anchor, _) => {
                bytes += text.len() + NODE_BYTES;
                anchored.insert(anchor, text.len() + NODE_BYTES);
            }
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                open.push((anchor, bytes));
                bytes += NODE_BYTES;
                if open.len() > DEPTH_MAX + 1 {
                    let message = format!("the file is nested more than {DEPTH_MAX} levels deep");
                    return Err((at, message, "flatten it"));
                }
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some((anchor, before)) = open.pop() {
                    anchored.insert(anchor, bytes - before);
                }
            }
            _ => {}
        }
        if bytes > LOADED_BYTES_MAX {
            let mib = LOADED_BYTES_MAX >> 20;
            let message = format!("the aliases up to here stand for more than {mib} MiB");
            return Err((at, message, "write out what is meant"));
        }
    }
    Ok(())
}

/// What reading a file found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What keeps the file from being used.
    pub(super) problems: Problems,
    /// What can be used and would fail every time.
    pub(super) mistakes: Vec<Problem>,
    /// What is allowed but hardly meant.
    pub(super) warnings: Vec<Problem>,
}

/// Reads nodes and collects what is wrong with them.
#[derive(Debug)]
pub(super) struct Reader {
    file: PathBuf,
    problems: Vec<(Place, Problem)>,
    warnings: Vec<(Place, Problem)>,
    /// What can be read and used, and would fail every time.
    mistakes: Vec<(Place, Problem)>,
}

impl Reader {
    pub(super) fn new(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            problems: Vec::new(),
            warnings: Vec::new(),
            mistakes: Vec::new(),
        }
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    fn problem(&self, at: Place, message: String, advice: String) -> Problem {
        let file = self.file.display();
        Problem {
            place: format!("{file}:{at}"),
            message,
            advice,
        }
    }

    pub(super) fn fail(&mut self, at: Place, message: String, advice: impl Into<String>) {
        let problem = self.problem(at, message, advice.into());
        self.problems.push((at, problem));
    }

    pub(super) fn warn(&mut self, at: Place, message: String, advice: impl Into<String>) {
        let problem = self.problem(at, message, advice.into());
        self.warnings.push((at, problem));
    }

    /// Notes what `check` refuses and a server takes: it was taken before, and everything else still works.
    pub(super) fn mistake(&mut self, at: Place, message: String, advice: impl Into<String>) {
        let problem = self.problem(at, message, advice.into());
        self.mistakes.push((at, problem));
    }

    pub(super) fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    /// Returns the path in the file, which is relative to the file's folder, as Prometheus has it.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.file
            .parent()
            .map_or_else(|| PathBuf::from(path), |folder| folder.join(path))
    }

    /// Returns what was found, each in the order of the file.
    pub(super) fn finish(self) -> Found {
        let in_order = |mut list: Vec<(Place, Problem)>| {
            list.sort_by_key(|(at, _)| *at);
            list.into_iter().map(|(_, problem)| problem).collect()
        };
        Found {
            problems: Problems(in_order(self.problems)),
            mistakes: in_order(self.mistakes),
            warnings: in_order(self.warnings),
        }
    }

    /// Parses the text; None where it is no YAML or empty.
    pub(super) fn parse(&mut self, text: &str) -> Option<Node> {
        if let Err((at, message, advice)) = measure(text) {
            self.fail(at, message, advice);
            return None;
        }
        let documents = match MarkedYaml::load_from_str(text) {
            Ok(documents) => documents,
            Err(error) => {
                let marker = error.marker();
                let at = place(marker.line(), marker.col());
                let advice = "check the indentation and the quotes from here upwards";
                self.fail(at, format!("this is no YAML: {}", error.info()), advice);
                return None;
            }
        };
        if let Some(second) = documents.get(1) {
            let at = place(second.span.start.line(), second.span.start.col());
            let message = "the file holds more than one document".to_owned();
            self.fail(at, message, "take out the line ---");
        }
        let characters: Zeroizing<Vec<char>> = Zeroizing::new(text.chars().collect());
        documents
            .first()
            .map(|node| self.convert(node, &characters, 0))
    }

    fn convert(&mut self, node: &MarkedYaml<'_>, text: &[char], depth: usize) -> Node {
        let at = place(node.span.start.line(), node.span.start.col());
        if depth > DEPTH_MAX {
            let message = format!("the file is nested more than {DEPTH_MAX} levels deep");
            self.fail(at, message, "flatten it");
            return Node {
                at,
                value: Value::Null,
            };
        }
        // The library resolves scalars; `1.10` and `yes` must reach handlers as they are written.
        let written = || -> String {
            let span = node.span.start.index()..node.span.end.index();
            let raw: String = text.get(span).unwrap_or_default().iter().collect();
            raw.trim().to_owned()
        };
        let value = match &node.data {
            YamlData::Value(Scalar::Null) => Value::Null,
            YamlData::Value(Scalar::Boolean(b)) => Value::Scalar(written(), (*b).into()),
            YamlData::Value(Scalar::Integer(i)) => Value::Scalar(written(), (*i).into()),
            YamlData::Value(Scalar::FloatingPoint(x)) => Value::Scalar(written(), x.0.into()),
            YamlData::Value(Scalar::String(s)) => {
                Value::Scalar(s.to_string(), s.to_string().into())
            }
            YamlData::Sequence(items) => Value::List(
                items
                    .iter()
                    .map(|item| self.convert(item, text, depth + 1))
                    .collect(),
            ),
            YamlData::Mapping(entries) => Value::Map(
                entries
                    .iter()
                    .map(|(key, value)| self.convert_entry(key, value, text, depth))
                    .collect(),
            ),
            YamlData::Tagged(..)
            | YamlData::Representation(..)
            | YamlData::Alias(_)
            | YamlData::BadValue => {
                let message = "this value cannot be read".to_owned();
                self.fail(at, message, "write it in quotes, without a tag");
                Value::Null
            }
        };
        Node { at, value }
    }

    fn convert_entry(
        &mut self,
        key: &MarkedYaml<'_>,
        value: &MarkedYaml<'_>,
        text: &[char],
        depth: usize,
    ) -> Entry {
        let key = self.convert(key, text, depth + 1);
        let at = key.at;
        if matches!(key.value, Value::List(_) | Value::Map(_)) {
            let message = "a key is a word, not a list or a mapping".to_owned();
            self.fail(at, message, "see the configuration in the README");
        }
        Entry {
            key: key.as_setting(),
            at,
            value: self.convert(value, text, depth + 1),
        }
    }

    fn expected(&mut self, node: &Node, path: &str, what: &str) {
        let found = match &node.value {
            // Somebody wrote a secret where a mapping belongs, or in another's place.
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
            format!("it should be {what}"),
        );
    }

    /// Opens a mapping whose keys are known beforehand.
    pub(super) fn section<'a>(&mut self, node: &'a Node, path: &str) -> Section<'a> {
        Section {
            at: node.at,
            path: path.to_owned(),
            entries: self.entries(node, path),
            known: Vec::new(),
        }
    }

    /// Returns the entries of a mapping; none, and a problem, where it is something else.
    pub(super) fn entries<'a>(&mut self, node: &'a Node, path: &str) -> &'a [Entry] {
        match &node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            _ => {
                self.expected(node, path, "a mapping of keys to values");
                &[]
            }
        }
    }

    /// Returns the items of a list; none, and a problem, where it is something else.
    pub(super) fn items<'a>(&mut self, node: &'a Node, path: &str) -> &'a [Node] {
        match &node.value {
            Value::List(items) => items,
            Value::Null => &[],
            _ => {
                self.expected(node, path, "a list, as in [one, two]");
                &[]
            }
        }
    }

    /// Returns a scalar as written.
    pub(super) fn text<'a>(&mut self, node: &'a Node, path: &str) -> Option<&'a str> {
        match &node.value {
            Value::Scalar(text, _) if !text.is_empty() => Some(text),
            Value::Null => None,
            _ => {
                self.expected(node, path, "a text");
                None
            }
        }
    }

    /// Returns each item of a list of texts with its place.
    pub(super) fn texts<'a>(&mut self, node: &'a Node, path: &str) -> Vec<(Place, &'a str)> {
        let mut texts = Vec::new();
        for item in self.items(node, path) {
            if item.is_null() {
                self.expected(item, path, "a list of texts");
            } else if let Some(text) = self.text(item, path) {
                texts.push((item.at, text));
            }
        }
        texts
    }

    /// Reads a scalar with `parse`; `what` says what it should be.
    pub(super) fn scalar<T>(
        &mut self,
        node: &Node,
        path: &str,
        what: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let parsed = match &node.value {
            Value::Scalar(text, _) => parse(text),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        };
        if parsed.is_none() && !node.is_null() {
            self.expected(node, path, what);
        }
        parsed
    }

    /// Notes a URL whose host has still to be filled in.
    pub(super) fn refuse_placeholder(&mut self, node: &Node, path: &str) {
        let Value::Scalar(text, _) = &node.value else {
            return;
        };
        if let Some(left) = placeholder(text) {
            let message = format!("{path}: {left:?} is a placeholder");
            self.mistake(node.at, message, "write the name of the host that is meant");
        }
    }

    pub(super) fn boolean(&mut self, node: &Node, path: &str) -> Option<bool> {
        self.scalar(node, path, "true or false", |text| text.parse().ok())
    }

    pub(super) fn duration(&mut self, node: &Node, path: &str) -> Option<Duration> {
        let what = "a duration such as 30s, 5m or 1h30m";
        self.scalar(node, path, what, parse_duration)
    }

    /// Reads a duration of more than nothing.
    pub(super) fn time(&mut self, node: &Node, path: &str) -> Option<Duration> {
        let what = "a duration of more than 0, such as 30s or 5m";
        self.scalar(node, path, what, |text| {
            parse_duration(text).filter(|time| !time.is_zero())
        })
    }

    /// Reads how often something may happen in a second.
    pub(super) fn rate(&mut self, node: &Node, path: &str) -> Option<f64> {
        let what = "a number, 0 or more; 0 is off";
        self.scalar(node, path, what, |text| {
            let number = text.parse::<f64>().ok()?;
            (number.is_finite() && number >= 0.0).then_some(number)
        })
    }

    pub(super) fn size(&mut self, node: &Node, path: &str) -> Option<u64> {
        let what = "a size such as 64MiB or 2GiB";
        self.scalar(node, path, what, parse_size)
    }

    /// Reads a whole number of at least 1.
    pub(super) fn count<T: TryFrom<u64>>(&mut self, node: &Node, path: &str) -> Option<T> {
        self.scalar(node, path, "a whole number, 1 or more", |text| {
            let number = text.parse::<u64>().ok().filter(|n| *n > 0)?;
            T::try_from(number).ok()
        })
    }
}

/// A mapping being read: what is taken from it is known, what is left over is a mistake.
#[derive(Debug)]
pub(super) struct Section<'a> {
    pub(super) at: Place,
    pub(super) path: String,
    entries: &'a [Entry],
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// Returns the value of `key` and its full path, unless it is absent or empty.
    pub(super) fn take(&mut self, key: &'static str) -> Option<(&'a Node, String)> {
        self.known.push(key);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        (!entry.value.is_null()).then(|| (&entry.value, self.path_of(key)))
    }

    /// Returns true where one of `keys` is given, even if it could not be read.
    pub(super) fn has_any(&self, keys: &[&str]) -> bool {
        self.entries
            .iter()
            .any(|entry| keys.contains(&entry.key.as_str()))
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// Reports the keys that nothing took.
    pub(super) fn finish(self, reader: &mut Reader) {
        for entry in self.entries {
            let key = entry.key.as_str();
            if self.known.contains(&key) {
                continue;
            }
            let path = self.path_of(key);
            let advice = match closest(key, &self.known) {
                _ if path == "storm" => "it is not supported by this version: remove it".to_owned(),
                Some(known) => format!("did you mean {known}?"),
                None => format!("the keys here are {}", self.known.join(", ")),
            };
            reader.fail(entry.at, format!("unknown key {path}"), advice);
        }
    }
}

/// Returns true where what stands at `path` may be a secret, whatever it should be.
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

fn place(line: usize, column_from_zero: usize) -> Place {
    Place {
        line,
        column: column_from_zero + 1,
    }
}
