//! Name and value pairs: the labels and annotations of an alert, and handlers' facts.

use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The initial capacity for the text and the pairs of a JSON object, enough for most alerts; what is unused is freed.
const USUAL: (usize, usize) = (512, 16);

/// Name and value pairs, sorted by name, each name once.
///
/// All text is in one string, because an alert has dozens of names and values and is dropped by another thread than the one
/// that allocated it.
#[derive(Clone, Default)]
pub struct Labels {
    text: String,
    pairs: Vec<Pair>,
}

/// The positions in the text of a name and of its value, which follows it.
#[derive(Clone, Copy)]
struct Pair {
    name_at: usize,
    value_at: usize,
    end: usize,
}

impl Pair {
    fn name(self, text: &str) -> &str {
        &text[self.name_at..self.value_at]
    }

    fn value(self, text: &str) -> &str {
        &text[self.value_at..self.end]
    }
}

impl Labels {
    /// Returns the value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self
            .pairs
            .binary_search_by(|pair| pair.name(&self.text).cmp(name));
        found.ok().map(|i| self.pairs[i].value(&self.text))
    }

    /// Returns the pairs in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        let text = self.text.as_str();
        self.pairs
            .iter()
            .map(move |pair| (pair.name(text), pair.value(text)))
    }

    /// Returns these with `later` added; if a name is in both, the later value is used.
    #[must_use]
    pub fn merged(&self, later: &Self) -> Self {
        self.iter().chain(later.iter()).collect()
    }

    /// Removes the pairs with an empty value, which Prometheus treats as absent.
    #[must_use]
    pub fn without_empty_values(mut self) -> Self {
        self.pairs.retain(|pair| pair.value_at < pair.end);
        self
    }

    /// Returns whether there are no pairs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Returns the number of pairs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Collects the pairs that `gather` adds; if a name occurs twice, the last value is used.
    pub fn gathered(gather: impl FnOnce(&mut dyn FnMut(&str, &str))) -> Self {
        let mut labels = Self::default();
        gather(&mut |name, value| labels.add(name, value));
        labels.sorted()
    }

    fn add(&mut self, name: &str, value: &str) {
        let name_at = self.text.len();
        self.text.push_str(name);
        let value_at = self.text.len();
        self.text.push_str(value);
        self.push(name_at, value_at);
    }

    /// Returns the length of all names and values together, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.pairs.iter().map(|pair| pair.end - pair.name_at).sum()
    }

    /// Adds a pair whose name and value are already at the end of the text.
    fn push(&mut self, name_at: usize, value_at: usize) {
        self.pairs.push(Pair {
            name_at,
            value_at,
            end: self.text.len(),
        });
    }

    /// Sorts the pairs; if a name occurs twice, the last value is used.
    fn sorted(mut self) -> Self {
        let text = self.text.as_str();
        self.pairs.sort_by(|a, b| a.name(text).cmp(b.name(text)));
        // `dedup_by` keeps the first of equal elements.
        self.pairs.dedup_by(|later, earlier| {
            let same = later.name(text) == earlier.name(text);
            if same {
                *earlier = *later;
            }
            same
        });
        self
    }
}

/// If a name occurs twice, the last value is used.
impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut labels = Self::default();
        for (name, value) in pairs {
            labels.add(name.as_ref(), value.as_ref());
        }
        labels.sorted()
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Labels {}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Pairs)
    }
}

struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = Labels;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping of strings to strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
        let mut labels = Labels::default();
        loop {
            let name_at = labels.text.len();
            if map.next_key_seed(Appended(&mut labels))?.is_none() {
                if labels.text.len() < USUAL.0 / 4 {
                    labels.text.shrink_to_fit();
                    labels.pairs.shrink_to_fit();
                }
                return Ok(labels.sorted());
            }
            let value_at = labels.text.len();
            map.next_value_seed(Appended(&mut labels))?;
            labels.push(name_at, value_at);
        }
    }
}

/// Appends a string of the input to the text, without an intermediate copy.
struct Appended<'a>(&'a mut Labels);

impl<'de> DeserializeSeed<'de> for Appended<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Appended<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let labels = self.0;
        if labels.text.capacity() == 0 {
            labels.text.reserve(USUAL.0);
            labels.pairs.reserve(USUAL.1);
        }
        labels.text.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn labels_are_sorted_and_of_a_name_given_twice_the_last_counts() {
        let given = [("b", "1"), ("a", "2"), ("b", "3"), ("", "4")];
        let expected = [("", "4"), ("a", "2"), ("b", "3")];
        let labels: Labels = given.into_iter().collect();
        assert!(labels.iter().eq(expected));
        let json = r#"{"b":"1","a":"2","b":"3","":"4"}"#;
        let read: Labels = serde_json::from_str(json).unwrap();
        assert!(read.iter().eq(expected));
        assert_eq!(read, labels);
        assert_eq!(
            serde_json::to_string(&labels).unwrap(),
            r#"{"":"4","a":"2","b":"3"}"#
        );
        assert_eq!(
            (labels.len(), labels.get("b"), labels.get("c")),
            (3, Some("3"), None)
        );
    }

    #[test]
    fn texts_with_escapes_and_of_any_length_are_kept_as_they_are() {
        let long = "ü".repeat(USUAL.0);
        let labels: Labels = [("l", long.as_str()), ("e", "a\n\"b\"\u{1}")]
            .into_iter()
            .collect();
        let json = serde_json::to_string(&labels).unwrap();
        let read: Labels = serde_json::from_str(&json).unwrap();
        assert!(read.iter().eq([("e", "a\n\"b\"\u{1}"), ("l", &long)]));
    }

    #[test]
    fn what_is_no_string_is_an_error_and_an_empty_value_no_label() {
        for json in [r#"{"a":1}"#, r#"{"a":null}"#, r#"["a"]"#, r#""a""#] {
            assert!(serde_json::from_str::<Labels>(json).is_err(), "{json}");
        }
        let labels: Labels = [("a", ""), ("b", "1")].into_iter().collect();
        assert!(
            labels
                .clone()
                .without_empty_values()
                .iter()
                .eq([("b", "1")])
        );
        assert_ne!(labels.clone().without_empty_values(), labels);
        assert!(Labels::default().is_empty());
    }

    #[test]
    fn of_a_name_in_both_the_later_value_counts() {
        let first: Labels = [("a", "1"), ("b", "2")].into_iter().collect();
        let later: Labels = [("b", "3"), ("c", "4")].into_iter().collect();
        let merged = first.merged(&later);
        assert!(merged.iter().eq([("a", "1"), ("b", "3"), ("c", "4")]));
    }
}
