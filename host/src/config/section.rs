//! A mapping while it is decoded: only keys that are described can be read, and the others in it are mistakes.

use super::closest;
use super::key::Key;
use super::node::{Entry, Node, Place};
use super::reader::{Reader, Scalar};

/// A mapping while it is decoded.
#[derive(Debug)]
pub(super) struct Section<'a> {
    /// Its place in the file.
    pub(super) at: Place,
    /// Its path, as in `webhook.rate`.
    pub(super) path: String,
    entries: &'a [Entry],
    keys: Vec<&'static Key>,
    /// The keys that its decoder has looked for.
    taken: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// Opens a mapping that can have these keys.
    pub(super) fn open(
        reader: &mut Reader,
        node: &'a Node,
        path: &str,
        keys: impl IntoIterator<Item = &'static Key>,
    ) -> Self {
        Self {
            at: node.at,
            path: path.to_owned(),
            entries: reader.entries(node, path),
            keys: keys.into_iter().collect(),
            taken: Vec::new(),
        }
    }

    /// Opens the mapping below a key of this one.
    pub(super) fn below(&mut self, reader: &mut Reader, name: &str) -> Option<Section<'a>> {
        let (key, node, path) = self.find(name)?;
        Some(Section::open(reader, node, &path, key.written.keys()))
    }

    /// Returns the description of a key, its value and its full path, unless the key is absent or empty.
    pub(super) fn find(&mut self, name: &str) -> Option<(&'static Key, &'a Node, String)> {
        let key = *self.keys.iter().find(|key| key.name == name)?;
        self.taken.push(key.name);
        let entry = self.entries.iter().find(|entry| entry.key == name)?;
        (!entry.value.is_null()).then(|| (key, &entry.value, self.path_of(name)))
    }

    /// Returns the value of a key and its full path, unless the key is absent or empty.
    pub(super) fn take(&mut self, name: &str) -> Option<(&'a Node, String)> {
        let (_, node, path) = self.find(name)?;
        Some((node, path))
    }

    /// Reads the value of a key, in the form that its description says.
    pub(super) fn value<T: Scalar>(&mut self, reader: &mut Reader, name: &str) -> Option<T> {
        let (key, node, path) = self.find(name)?;
        reader.value(node, &path, key)
    }

    /// Sets `target` to the value of a key, if the mapping has one that can be read.
    pub(super) fn set<T: Scalar>(&mut self, reader: &mut Reader, name: &str, target: &mut T) {
        if let Some(value) = self.value(reader, name) {
            *target = value;
        }
    }

    /// Reads the value of a key with `parse`.
    pub(super) fn parsed<T>(
        &mut self,
        reader: &mut Reader,
        name: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let (key, node, path) = self.find(name)?;
        reader.scalar(node, &path, &key.written.expected(), parse)
    }

    /// Reads the value of a key as a text.
    pub(super) fn text(&mut self, reader: &mut Reader, name: &str) -> Option<&'a str> {
        let (node, path) = self.take(name)?;
        reader.text(node, &path)
    }

    /// Returns true if one of `keys` has a value, even if it could not be read.
    pub(super) fn has_any(&self, keys: &[&str]) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|entry| keys.contains(&entry.key.as_str()) && !entry.value.is_null())
    }

    /// Accepts keys that mean nothing together with others, which have been reported already.
    pub(super) fn accept(&mut self, keys: &[&str]) {
        for key in keys {
            let _ = self.find(key);
        }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// Reports the keys that nothing looked for.
    pub(super) fn finish(self, reader: &mut Reader) {
        let known: Vec<&str> = self.keys.iter().map(|key| key.name).collect();
        for entry in self.entries {
            let key = entry.key.as_str();
            if self.taken.contains(&key) {
                continue;
            }
            let path = self.path_of(key);
            let advice = match closest(key, &known) {
                _ if known.contains(&key) => {
                    format!("it has no meaning beside {}", self.taken.join(", "))
                }
                Some(known) => format!("did you mean {known}?"),
                _ => format!("the keys here are {}", known.join(", ")),
            };
            reader.fail(entry.at, format!("unknown key {path}"), advice);
        }
    }
}
