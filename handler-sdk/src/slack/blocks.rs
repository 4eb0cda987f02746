//! A builder for Block Kit that respects Slack's limits.

mod fit;
mod found;

use super::markdown;
use super::mrkdwn::{Most, Mrkdwn, is_invisible, json_bytes, json_bytes_of, split};
use super::size::Size;
use crate::enrichment::Enrichment;

/// Slack's limits, in characters and items (Slack's reference, "Block Kit" and `chat.postMessage`).
pub mod limits {
    /// A message's text when it is posted.
    pub const TEXT_CHARS_MAX: usize = 40_000;
    /// A message's text when it is updated.
    pub const UPDATE_TEXT_CHARS_MAX: usize = 4_000;
    /// Blocks of a message.
    pub const BLOCKS_MAX: usize = 50;
    /// All blocks of a message together, as JSON, in bytes. Slack does not document this limit: it rejects
    /// (`msg_blocks_too_long`) more than 12,000 to 13,300 characters, its own markup included (slackapi/bolt-js#2509,
    /// #2867). This value is lower, since how Slack counts is not known.
    pub const BLOCKS_BYTES_MAX: usize = 10_000;
    /// A header's text.
    pub const HEADER_CHARS_MAX: usize = 150;
    /// A section's text.
    pub const SECTION_CHARS_MAX: usize = 3_000;
    /// Fields of a section.
    pub const FIELDS_MAX: usize = 10;
    /// A field's text.
    pub const FIELD_CHARS_MAX: usize = 2_000;
    /// Elements of a context.
    pub const CONTEXT_ELEMENTS_MAX: usize = 10;
    /// An element's text in a context: Slack's text object has the same limit as a section.
    pub const CONTEXT_CHARS_MAX: usize = 3_000;
    /// Elements of an actions block.
    pub const ACTIONS_MAX: usize = 25;
    /// A button's text.
    pub const BUTTON_CHARS_MAX: usize = 75;
    /// A button's URL.
    pub const BUTTON_URL_CHARS_MAX: usize = 3_000;
}

/// The blocks of a message, from top to bottom.
///
/// Text that is too long is cut with an ellipsis, and empty text is left out. If the blocks together are more than Slack
/// allows, the first ones are kept, and the links and the context at the end; a line between them says how many are missing.
/// So Slack rejects none of it. Plain text is escaped; see [`Mrkdwn`].
///
/// ```
/// use handler_sdk::slack::{Blocks, Mrkdwn};
///
/// let blocks = Blocks::new()
///     .header("KubePodCrashLooping · customer/rs-transformer")
///     .section(Mrkdwn::new().bold("Likely out of memory:").text(" killed at 512Mi"))
///     .fields([("Cluster", "cluster-main"), ("Restarts", "14")])
///     .links([("Runbook", "https://runbooks.example.com/crash"), ("Not shown", "javascript:alert(1)")])
///     .context(["since 2h 5m", "receiver oncall"]);
/// assert_eq!(blocks.len(), 5);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Blocks {
    blocks: Vec<Built>,
}

/// A block as JSON, and its visible size. (A JSON tree would double the size of a small component.)
#[derive(Debug, Clone, PartialEq, Eq)]
struct Built {
    json: String,
    size: Size,
    /// True for links, buttons and context: at the end of a message they are kept if other blocks have to be left out.
    is_foot: bool,
    /// The text of a paragraph, which can be cut further.
    text: Option<Mrkdwn>,
}

impl Built {
    fn paragraph(text: &Mrkdwn, json_bytes: usize) -> Self {
        let (object, size) = mrkdwn_object(text, limits::SECTION_CHARS_MAX, json_bytes);
        Self {
            json: format!(r#"{{"type":"section","text":{object}}}"#),
            size: Size { blocks: 1, ..size },
            is_foot: false,
            text: Some(text.clone()),
        }
    }

    /// Returns a paragraph cut to so many bytes of JSON; `None` if that would leave next to nothing, or it is none.
    fn cut(&self, json_bytes: usize) -> Option<Self> {
        let room = json_bytes.checked_sub(FRAME_JSON_BYTES + CUT_JSON_BYTES_MIN)?;
        Some(Self::paragraph(
            self.text.as_ref()?,
            room + CUT_JSON_BYTES_MIN,
        ))
    }
}

/// The texts of one block, as JSON, with their size.
#[derive(Default)]
struct Texts {
    json: Vec<String>,
    size: Size,
}

impl Texts {
    fn push(&mut self, object: (String, Size)) {
        self.json.push(object.0);
        self.size = self.size.plus(object.1);
    }

    /// Distributes the texts over as many blocks as they need, with at most so many in each.
    fn in_blocks(objects: impl IntoIterator<Item = (String, Size)>, texts_max: usize) -> Vec<Self> {
        let mut blocks: Vec<Self> = Vec::new();
        for object in objects {
            let fits = |texts: &&mut Self| {
                let bytes: usize = texts.json.iter().map(|json| json.len() + 1).sum();
                texts.json.len() < texts_max
                    && bytes + object.0.len() + FRAME_JSON_BYTES <= limits::BLOCKS_BYTES_MAX
            };
            match blocks.last_mut().filter(fits) {
                Some(texts) => texts.push(object),
                None => {
                    let mut texts = Self::default();
                    texts.push(object);
                    blocks.push(texts);
                }
            }
        }
        blocks
    }
}

impl Blocks {
    /// Returns an empty list of blocks.
    pub const fn new() -> Self {
        Self { blocks: Vec::new() }
    }

    /// Adds a large line of plain text.
    #[must_use]
    pub fn header(mut self, text: impl AsRef<str>) -> Self {
        let line = text
            .as_ref()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        if !line.is_empty() {
            let (text, size) = plain_text(&line, limits::HEADER_CHARS_MAX);
            self.push(format!(r#"{{"type":"header","text":{text}}}"#), size);
        }
        self
    }

    /// Adds a paragraph.
    #[must_use]
    pub fn section(mut self, text: impl Into<Mrkdwn>) -> Self {
        let text = text.into();
        if !text.is_empty() {
            self.blocks
                .push(Built::paragraph(&text, TEXT_JSON_BYTES_MAX));
        }
        self
    }

    /// Adds text in as many paragraphs as it needs.
    #[must_use]
    pub fn paragraphs(mut self, text: impl Into<Mrkdwn>) -> Self {
        let most = Most {
            lines: usize::MAX,
            chars: limits::SECTION_CHARS_MAX,
            json_bytes: TEXT_JSON_BYTES_MAX,
        };
        let mut left: Mrkdwn = text.into();
        while !left.is_empty() {
            let (paragraph, rest) = left.split(most);
            self = self.section(paragraph);
            left = rest;
        }
        self
    }

    /// Adds name and value pairs in two columns; more than ten need more sections. An empty value is shown as a dash.
    #[must_use]
    pub fn fields<N: AsRef<str>, V: Into<Mrkdwn>>(
        mut self,
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let fields = pairs.into_iter().map(|(name, value)| {
            let value = value.into();
            let value = if value.is_empty() {
                Mrkdwn::from("–")
            } else {
                value
            };
            mrkdwn_object(
                &Mrkdwn::new().bold(name).text("\n").then(value),
                limits::FIELD_CHARS_MAX,
                TEXT_JSON_BYTES_MAX,
            )
        });
        for texts in Texts::in_blocks(fields, limits::FIELDS_MAX) {
            self.push(
                format!(
                    r#"{{"type":"section","fields":[{}]}}"#,
                    texts.json.join(",")
                ),
                texts.size,
            );
        }
        self
    }

    /// Adds small grey text, for example when an alert began; texts after the tenth are left out.
    #[must_use]
    pub fn context<T: Into<Mrkdwn>>(mut self, texts: impl IntoIterator<Item = T>) -> Self {
        let texts = texts
            .into_iter()
            .map(Into::into)
            .filter(|text| !text.is_empty())
            .take(limits::CONTEXT_ELEMENTS_MAX)
            .map(|text| mrkdwn_object(&text, limits::CONTEXT_CHARS_MAX, TEXT_JSON_BYTES_MAX));
        for elements in Texts::in_blocks(texts, limits::CONTEXT_ELEMENTS_MAX) {
            self.push_foot(
                format!(
                    r#"{{"type":"context","elements":[{}]}}"#,
                    elements.json.join(",")
                ),
                elements.size,
            );
        }
        self
    }

    /// Adds a row of links, each a title and a URL. A URL that is neither `https` nor `http` is left out.
    #[must_use]
    pub fn links<T: AsRef<str>, U: AsRef<str>>(
        mut self,
        links: impl IntoIterator<Item = (T, U)>,
    ) -> Self {
        let links = links
            .into_iter()
            .filter(|(_, url)| crate::alert::is_web_url(url.as_ref()))
            .map(|(title, url)| Mrkdwn::new().link(url, title));
        let row = Mrkdwn::join(links, " · ");
        if !row.is_empty() {
            let mut block = Built::paragraph(&row, TEXT_JSON_BYTES_MAX);
            block.is_foot = true;
            self.blocks.push(block);
        }
        self
    }

    /// Adds a row of buttons that open links, each a title and a URL. Buttons with a URL that is neither `https` nor `http`,
    /// or too long, and buttons after the 25th are left out.
    ///
    /// Slack notifies its app of each click, and shows a warning if the app does not answer. If the app may not be set up
    /// for that, use [`links`](Self::links).
    #[must_use]
    pub fn buttons<T: AsRef<str>, U: AsRef<str>>(
        mut self,
        buttons: impl IntoIterator<Item = (T, U)>,
    ) -> Self {
        let buttons = buttons
            .into_iter()
            .filter(|(title, url)| {
                let url = url.as_ref();
                let fits = url.chars().count() <= limits::BUTTON_URL_CHARS_MAX;
                fits && crate::alert::is_web_url(url) && !title.as_ref().trim().is_empty()
            })
            .take(limits::ACTIONS_MAX)
            .enumerate()
            .map(|(index, (title, url))| {
                let (text, size) = plain_text(title.as_ref(), limits::BUTTON_CHARS_MAX);
                let url = quoted(url.as_ref());
                let button = format!(
                    r#"{{"type":"button","action_id":"link-{index}","text":{text},"url":{url}}}"#
                );
                (button, size)
            });
        for elements in Texts::in_blocks(buttons, limits::ACTIONS_MAX) {
            self.push_foot(
                format!(
                    r#"{{"type":"actions","elements":[{}]}}"#,
                    elements.json.join(",")
                ),
                elements.size,
            );
        }
        self
    }

    /// Adds a horizontal line.
    #[must_use]
    pub fn divider(mut self) -> Self {
        self.push(r#"{"type":"divider"}"#.to_owned(), Size::default());
        self
    }

    /// Adds preformatted text in a monospaced font under a title. Of a text that is too long the end is kept, because that is
    /// where a log has the reason.
    #[must_use]
    pub fn excerpt(self, title: &str, text: &str) -> Self {
        let text = text.trim_end();
        if text.is_empty() {
            return self;
        }
        let head = Mrkdwn::new().bold(title);
        let head = if head.is_empty() {
            head
        } else {
            head.then(Mrkdwn::raw("\n"))
        };
        let room = Most {
            lines: usize::MAX,
            chars: limits::SECTION_CHARS_MAX - head.as_str().chars().count().min(1_000) - 20,
            json_bytes: TEXT_JSON_BYTES_MAX - json_bytes(head.as_str()).min(4_000) - 40,
        };
        let tail = tail_that_fits(text, room);
        let cut = if tail.len() < text.len() { "…\n" } else { "" };
        self.section(head.then(Mrkdwn::new().preformatted(format!("{cut}{tail}"))))
    }

    /// Adds Markdown, converted to Slack's markup.
    #[must_use]
    pub fn markdown(self, markdown: &str) -> Self {
        self.section(markdown::to_mrkdwn(markdown))
    }

    /// Adds the blocks that earlier handlers found, in their order. Secrets in excerpts are masked.
    ///
    /// Of a picture only the title is shown: Slack shows a picture in blocks only if it has a public URL. A block of a kind
    /// that this version does not know shows its fallback.
    #[must_use]
    pub fn enrichment(self, found: &Enrichment) -> Self {
        self.found(&found.blocks)
    }

    /// Adds other blocks after these.
    #[must_use]
    pub fn then(mut self, other: Blocks) -> Self {
        self.blocks.extend(other.blocks);
        self
    }

    /// Returns how many blocks there are.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Returns whether there are no blocks.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Returns the visible size of the blocks.
    pub fn size(&self) -> Size {
        self.blocks
            .iter()
            .fold(Size::default(), |sum, block| sum.plus(block.size))
    }

    fn push(&mut self, json: String, size: Size) {
        let size = Size { blocks: 1, ..size };
        self.blocks.push(Built {
            json,
            size,
            is_foot: false,
            text: None,
        });
    }

    fn push_foot(&mut self, json: String, size: Size) {
        self.push(json, size);
        if let Some(last) = self.blocks.last_mut() {
            last.is_foot = true;
        }
    }
}

/// The JSON of a block around its text.
pub(crate) const FRAME_JSON_BYTES: usize = 100;
/// The bytes of one text in JSON: with its block around it, it still fits into a message.
const TEXT_JSON_BYTES_MAX: usize = limits::BLOCKS_BYTES_MAX - 2 * FRAME_JSON_BYTES;
/// A paragraph that would be cut shorter than this is left out, since it says nothing.
const CUT_JSON_BYTES_MIN: usize = 100;

/// Returns a text object with `verbatim`, which stops Slack from looking for mentions and channel names in it.
fn mrkdwn_object(text: &Mrkdwn, chars_max: usize, json_bytes: usize) -> (String, Size) {
    let most = Most {
        lines: usize::MAX,
        chars: chars_max,
        json_bytes,
    };
    let (text, _) = split(text.as_str(), most);
    (
        format!(
            r#"{{"type":"mrkdwn","text":{},"verbatim":true}}"#,
            quoted(&text)
        ),
        Size::of_text(&text),
    )
}

fn plain_text(text: &str, chars_max: usize) -> (String, Size) {
    // Plain text has no markup, but characters that reorder or hide text have the same effect here.
    let text: String = text.chars().filter(|c| !is_invisible(*c)).collect();
    let text = if text.chars().count() <= chars_max {
        text
    } else {
        text.chars().take(chars_max - 1).chain(['…']).collect()
    };
    (
        format!(
            r#"{{"type":"plain_text","text":{},"emoji":false}}"#,
            quoted(&text)
        ),
        Size::of_text(&text),
    )
}

fn quoted(text: &str) -> String {
    // Text can always be written as JSON.
    serde_json::to_string(text).unwrap_or_default()
}

/// Returns the end of a text whose markup has at most this size: whole lines, or the end of a line that is too long by
/// itself. Searches from the back, since a log may be much longer than what is kept.
fn tail_that_fits(text: &str, most: Most) -> &str {
    let (mut chars, mut bytes) = (0, 0);
    for (at, char) in text.char_indices().rev() {
        let markup = match char {
            '&' => "&amp;".len(),
            '<' | '>' => "&lt;".len(),
            // Each three of them get a space of three bytes in between.
            '`' => 2,
            _ => 1,
        };
        chars += markup;
        bytes += markup.max(json_bytes_of(char));
        if chars > most.chars || bytes > most.json_bytes {
            let tail = &text[at + char.len_utf8()..];
            return tail.split_once('\n').map_or(tail, |(_, lines)| lines);
        }
    }
    text
}
