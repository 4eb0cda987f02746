//! What is known of an alert besides the alert itself: facts for programs, blocks for people.

use crate::bindings::alert_manager::handler::types;

pub use types::{Block, Custom, Enrichment, Excerpt, Image, Link, Table};

/// What a handler did: name and value pairs that are recorded in the delivery's story.
///
/// ```
/// use handler_sdk::Facts;
///
/// let facts = Facts::new().with("slack.channel", "alerts").with("restarts", 14);
/// assert_eq!(facts.get("restarts"), Some("14"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts(types::Labels);

impl Facts {
    /// Returns no facts.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a fact; an earlier value of the same name is replaced.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.insert(name, value);
        self
    }

    /// Adds a fact; an earlier value of the same name is replaced.
    pub fn insert(&mut self, name: impl Into<String>, value: impl ToString) {
        put(&mut self.0, name.into(), value.to_string());
    }

    /// Returns the fact of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        look_up(&self.0, name)
    }

    /// Returns whether there are no facts.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Iterates over names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(crate) fn into_labels(self) -> types::Labels {
        self.0
    }
}

impl<N: Into<String>, V: ToString> FromIterator<(N, V)> for Facts {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        pairs
            .into_iter()
            .fold(Self::new(), |facts, (name, value)| facts.with(name, value))
    }
}

impl Default for Enrichment {
    fn default() -> Self {
        Self::new()
    }
}

impl Enrichment {
    /// Returns an empty enrichment.
    ///
    /// ```
    /// use handler_sdk::{Block, Enrichment};
    ///
    /// let found = Enrichment::new()
    ///     .with_fact("owner", "team-payments")
    ///     .with_block(Block::markdown("Owned by **team-payments**."));
    /// assert_eq!(found.fact("owner"), Some("team-payments"));
    /// ```
    pub const fn new() -> Self {
        Self {
            facts: Vec::new(),
            blocks: Vec::new(),
        }
    }

    /// Adds a fact; an earlier value of the same name is replaced.
    #[must_use]
    pub fn with_fact(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        put(&mut self.facts, name.into(), value.to_string());
        self
    }

    /// Adds a block after the existing ones.
    #[must_use]
    pub fn with_block(mut self, block: Block) -> Self {
        self.blocks.push(block);
        self
    }

    /// Returns the fact of this name.
    pub fn fact(&self, name: &str) -> Option<&str> {
        look_up(&self.facts, name)
    }

    /// Iterates over the handlers that could not enrich: their names and the reasons.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &str)> {
        self.facts
            .iter()
            .filter_map(|(name, why)| Some((name.strip_prefix("enrich_failed.")?, why.as_str())))
    }
}

impl Block {
    /// Returns a block of Markdown: paragraphs, emphasis, code, links and lists.
    pub fn markdown(text: impl Into<String>) -> Self {
        Self::Markdown(text.into())
    }

    /// Returns a block of name and value pairs, shown in this order.
    pub fn fields<N: Into<String>, V: ToString>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        Self::Fields(
            pairs
                .into_iter()
                .map(|(name, value)| (name.into(), value.to_string()))
                .collect(),
        )
    }

    /// Returns a block with a table. Rows shorter than the header are padded, longer ones are cut.
    pub fn table<C: Into<String>, R: IntoIterator<Item = String>>(
        title: impl Into<String>,
        header: impl IntoIterator<Item = C>,
        rows: impl IntoIterator<Item = R>,
    ) -> Self {
        let header: Vec<String> = header.into_iter().map(Into::into).collect();
        let rows = rows.into_iter().map(|row| {
            let mut row: Vec<String> = row.into_iter().collect();
            row.resize(header.len(), String::new());
            row
        });
        let rows = rows.collect();
        Self::Table(Table {
            title: title.into(),
            header,
            rows,
        })
    }

    /// Returns a block of preformatted text in a monospaced font.
    pub fn excerpt(title: impl Into<String>, text: impl Into<String>) -> Self {
        Self::Excerpt(Excerpt {
            title: title.into(),
            text: text.into(),
        })
    }

    /// Returns a block with a link; the URL must be `https` or `http`.
    pub fn link(title: impl Into<String>, url: impl Into<String>) -> Self {
        Self::Link(Link {
            title: title.into(),
            url: url.into(),
        })
    }

    /// Returns a block with a picture.
    pub fn image(title: impl Into<String>, media_type: impl Into<String>, data: Vec<u8>) -> Self {
        Self::Image(Image {
            title: title.into(),
            media_type: media_type.into(),
            data,
        })
    }

    /// Returns a block of a kind that this version does not define; `fallback` is Markdown, `data` is JSON.
    pub fn custom(
        kind: impl Into<String>,
        fallback: impl Into<String>,
        data: impl Into<String>,
    ) -> Self {
        Self::Custom(Custom {
            kind: kind.into(),
            fallback: fallback.into(),
            data: data.into(),
        })
    }
}

pub(crate) fn look_up<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs
        .iter()
        .rev()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.as_str())
}

/// Inserts a pair and keeps the contract's order: sorted by name, each name once.
pub(crate) fn put(pairs: &mut Vec<(String, String)>, name: String, value: String) {
    match pairs.binary_search_by(|(known, _)| known.as_str().cmp(&name)) {
        Ok(at) => pairs[at].1 = value,
        Err(at) => pairs.insert(at, (name, value)),
    }
}
