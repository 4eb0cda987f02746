//! What handlers have found out about an alert.

use serde::{Deserialize, Serialize};

use super::handler::HandlerName;
use super::labels::Labels;

/// Content for people, found by a handler's `enrich`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Block {
    /// Paragraphs, emphasis, code, links and lists.
    Markdown {
        /// The text.
        text: String,
    },
    /// Name and value pairs, shown in this order.
    Fields {
        /// The pairs.
        fields: Vec<(String, String)>,
    },
    /// Rows under a header.
    Table {
        /// Shown above the table.
        title: String,
        /// The names of the columns.
        header: Vec<String>,
        /// The rows, from top to bottom.
        rows: Vec<Vec<String>>,
    },
    /// Preformatted text in a monospaced font.
    Excerpt {
        /// Shown above the text.
        title: String,
        /// The text.
        text: String,
    },
    /// A link.
    Link {
        /// The text of the link.
        title: String,
        /// An `https` or `http` URL.
        url: String,
    },
    /// A picture.
    Image {
        /// Shown above the picture.
        title: String,
        /// Its media type.
        media_type: String,
        /// The content of the file; stored as base64.
        #[serde(with = "base64_bytes")]
        data: Vec<u8>,
    },
    /// A block of a kind that this version does not define.
    Custom {
        /// The kind of `data`.
        name: String,
        /// Markdown, shown by a reader that does not know the kind.
        fallback: String,
        /// The block's content, as JSON.
        data: String,
    },
}

/// What the handlers have found out about an alert.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrichment {
    /// Facts, for programs.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub facts: Labels,
    /// Content for people, in reading order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<Block>,
}

impl Enrichment {
    /// Returns what is found if the enrichment of a handler fails: the fact `enrich_failed.HANDLER` with the first line of the
    /// reason. The story has the complete backtrace of a trap; people need only its first line.
    #[must_use]
    pub fn failed(handler: &HandlerName, reason: &str) -> Self {
        let reason = reason.lines().next().unwrap_or_default().to_owned();
        let fact = (format!("enrich_failed.{handler}"), reason);
        Self {
            facts: Labels::from_iter([fact]),
            blocks: Vec::new(),
        }
    }

    /// Adds what a later handler found; a fact of the same name is replaced.
    pub fn add(&mut self, later: Self) {
        self.facts = self.facts.merged(&later.facts);
        self.blocks.extend(later.blocks);
    }
}

mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(data: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(data))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(serde::de::Error::custom)
    }
}
