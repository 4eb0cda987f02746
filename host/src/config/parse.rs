//! Turns YAML into a tree, and says what of it cannot be one.

use std::collections::HashMap;

use saphyr::{LoadableYamlNode as _, MarkedYaml, Scalar, YamlData};
use saphyr_parser::{Event, Parser};
use zeroize::Zeroizing;

use super::node::{Entry, Node, Place, Value};

/// Deeper than any configuration; a bound for the recursion over the document.
const DEPTH_MAX: usize = 64;
/// The size of a document with every alias replaced by what it stands for, in bytes: ten lines of aliases of aliases can
/// stand for a thousand million values.
const LOADED_BYTES_MAX: usize = 64 << 20;
/// The size of a node in addition to its text.
const NODE_BYTES: usize = 64;

/// What is wrong with a text as YAML.
#[derive(Debug)]
pub(super) struct Mistake {
    pub(super) at: Place,
    pub(super) message: String,
    pub(super) advice: &'static str,
}

/// Parses a text; returns nothing if it is empty or not YAML, and everything that is wrong.
pub(super) fn parse(text: &str) -> (Option<Node>, Vec<Mistake>) {
    let mut parse = Parse {
        // All at once: a vector that grows leaves copies of what it held, secrets among them.
        characters: Zeroizing::new(Vec::with_capacity(text.len())),
        mistakes: Vec::new(),
    };
    let node = parse.document(text);
    (node, parse.mistakes)
}

/// Parses a text with any number of documents, and returns everything that is wrong with it.
pub(super) fn parse_all(text: &str) -> (Vec<Node>, Vec<Mistake>) {
    let mut parse = Parse {
        characters: Zeroizing::new(Vec::with_capacity(text.len())),
        mistakes: Vec::new(),
    };
    let documents = parse.load(text).unwrap_or_default();
    let nodes = documents.iter().map(|one| parse.node(one, 0)).collect();
    (nodes, parse.mistakes)
}

/// Measures a document before it is loaded: loading copies what aliases stand for, and recurses as deep as the document is
/// nested. It reports no other mistake: the loader does.
fn measure(text: &str) -> Result<(), Mistake> {
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
                    let advice = "flatten it";
                    return Err(Mistake {
                        at,
                        message,
                        advice,
                    });
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
            let advice = "write out what is meant";
            return Err(Mistake {
                at,
                message,
                advice,
            });
        }
    }
    Ok(())
}

/// A document while it is converted.
struct Parse {
    /// The text: the library resolves scalars, and `1.10` and `yes` must reach handlers as they are written.
    characters: Zeroizing<Vec<char>>,
    mistakes: Vec<Mistake>,
}

impl Parse {
    fn fail(&mut self, at: Place, message: String, advice: &'static str) {
        self.mistakes.push(Mistake {
            at,
            message,
            advice,
        });
    }

    fn document(&mut self, text: &str) -> Option<Node> {
        let documents = self.load(text)?;
        if let Some(second) = documents.get(1) {
            let at = place(second.span.start.line(), second.span.start.col());
            let message = "the file has more than one document".to_owned();
            self.fail(at, message, "remove the line ---");
        }
        let first = documents.first()?;
        Some(self.node(first, 0))
    }

    /// Loads the documents of a text; nothing if it is not YAML.
    fn load<'a>(&mut self, text: &'a str) -> Option<Vec<MarkedYaml<'a>>> {
        if let Err(mistake) = measure(text) {
            self.mistakes.push(mistake);
            return None;
        }
        match MarkedYaml::load_from_str(text) {
            Ok(documents) => {
                self.characters.extend(text.chars());
                Some(documents)
            }
            Err(error) => {
                let marker = error.marker();
                let at = place(marker.line(), marker.col());
                let advice = "check the indentation and the quotes from here upwards";
                self.fail(at, format!("this is not YAML: {}", error.info()), advice);
                None
            }
        }
    }

    fn node(&mut self, node: &MarkedYaml<'_>, depth: usize) -> Node {
        let at = place(node.span.start.line(), node.span.start.col());
        if depth > DEPTH_MAX {
            let message = format!("the file is nested more than {DEPTH_MAX} levels deep");
            self.fail(at, message, "flatten it");
            return Node {
                at,
                value: Value::Null,
            };
        }
        let value = match &node.data {
            YamlData::Value(Scalar::Null) => Value::Null,
            YamlData::Value(Scalar::Boolean(b)) => Value::Scalar(self.written(node), (*b).into()),
            YamlData::Value(Scalar::Integer(i)) => Value::Scalar(self.written(node), (*i).into()),
            YamlData::Value(Scalar::FloatingPoint(x)) => {
                Value::Scalar(self.written(node), x.0.into())
            }
            YamlData::Value(Scalar::String(s)) => {
                Value::Scalar(s.to_string(), s.to_string().into())
            }
            YamlData::Sequence(items) => Value::List(
                items
                    .iter()
                    .map(|item| self.node(item, depth + 1))
                    .collect(),
            ),
            YamlData::Mapping(entries) => Value::Map(
                entries
                    .iter()
                    .map(|(key, value)| self.entry(key, value, depth))
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

    fn written(&self, node: &MarkedYaml<'_>) -> String {
        let span = node.span.start.index()..node.span.end.index();
        let raw: String = self
            .characters
            .get(span)
            .unwrap_or_default()
            .iter()
            .collect();
        raw.trim().to_owned()
    }

    fn entry(&mut self, key: &MarkedYaml<'_>, value: &MarkedYaml<'_>, depth: usize) -> Entry {
        let key = self.node(key, depth + 1);
        let at = key.at;
        if matches!(key.value, Value::List(_) | Value::Map(_)) {
            let message = "a key is a word, not a list or a mapping".to_owned();
            self.fail(at, message, "docs/configuration.md has the keys");
        }
        Entry {
            key: key.as_setting(),
            at,
            value: self.node(value, depth + 1),
        }
    }
}

fn place(line: usize, column_from_zero: usize) -> Place {
    Place {
        line,
        column: column_from_zero + 1,
    }
}
