//! A builder for Block Kit that respects Slack's limits.

use super::markdown;
use super::mrkdwn::{Mrkdwn, is_invisible, truncate};
use super::size::Size;
use crate::enrichment::{Block, Enrichment, Table};
use crate::mask;

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
/// Text that is too long is cut with an ellipsis, and empty text is left out. If there are more blocks than Slack allows,
/// the last one says how many are missing. So Slack rejects none of it. Plain text is escaped; see [`Mrkdwn`].
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
        /// The bytes of a block besides its texts.
        const FRAME_BYTES: usize = 100;
        let mut blocks: Vec<Self> = Vec::new();
        for object in objects {
            let fits = |texts: &&mut Self| {
                let bytes: usize = texts.json.iter().map(|json| json.len() + 1).sum();
                texts.json.len() < texts_max
                    && bytes + object.0.len() + FRAME_BYTES <= limits::BLOCKS_BYTES_MAX
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
            let (text, size) = mrkdwn_object(&text, limits::SECTION_CHARS_MAX);
            self.push(format!(r#"{{"type":"section","text":{text}}}"#), size);
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
            .map(|text| mrkdwn_object(&text, limits::CONTEXT_CHARS_MAX));
        for elements in Texts::in_blocks(texts, limits::CONTEXT_ELEMENTS_MAX) {
            self.push(
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
        self,
        links: impl IntoIterator<Item = (T, U)>,
    ) -> Self {
        let links = links
            .into_iter()
            .filter(|(_, url)| crate::alert::is_web_url(url.as_ref()))
            .map(|(title, url)| Mrkdwn::new().link(url, title));
        self.section(Mrkdwn::join(links, " · "))
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
            self.push(
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
        let room = limits::SECTION_CHARS_MAX - head.as_str().chars().count().min(1_000) - 20;
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
    pub fn enrichment(mut self, found: &Enrichment) -> Self {
        let mut links: Vec<(&str, &str)> = Vec::new();
        for block in &found.blocks {
            if let Block::Link(link) = block {
                links.push((&link.title, &link.url));
                continue;
            }
            // Consecutive links share a row.
            self = self.links(std::mem::take(&mut links)).block(block);
        }
        self.links(links)
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

    /// Returns the JSON array for Slack, with as many blocks as one message may have.
    pub fn to_json(&self) -> String {
        let array = |blocks: &[Built]| {
            let json: Vec<&str> = blocks.iter().map(|block| block.json.as_str()).collect();
            format!("[{}]", json.join(","))
        };
        if fitting(&self.blocks, 0) == self.blocks.len() {
            return array(&self.blocks);
        }
        let more = |missing: usize| Self::new().context([format!("… and {missing} more blocks")]);
        let kept = fitting(&self.blocks, more(self.blocks.len()).json_bytes());
        let missing = self.blocks.len() - kept;
        array(&[&self.blocks[..kept], &more(missing).blocks].concat())
    }

    /// Splits the blocks into messages of at most as many as Slack allows; the last message has all that are left.
    pub(crate) fn in_messages(self, messages_max: usize) -> Vec<Self> {
        let mut messages = Vec::new();
        let mut left = self.blocks;
        while !left.is_empty() {
            let rest = match messages.len() + 1 < messages_max {
                true => left.split_off(fitting(&left, 0)),
                false => Vec::new(),
            };
            messages.push(Self { blocks: left });
            left = rest;
        }
        messages
    }

    fn json_bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.json.len() + 1).sum()
    }

    fn push(&mut self, json: String, size: Size) {
        let size = Size { blocks: 1, ..size };
        self.blocks.push(Built { json, size });
    }

    fn block(self, block: &Block) -> Self {
        match block {
            Block::Markdown(text) => self.markdown(text),
            Block::Fields(pairs) => {
                self.fields(pairs.iter().map(|(name, value)| (name, value.as_str())))
            }
            Block::Table(table) => self.table(table),
            Block::Excerpt(excerpt) => self.excerpt(&excerpt.title, &mask::text(&excerpt.text)),
            Block::Link(link) => self.links([(&link.title, &link.url)]),
            Block::Image(image) => {
                self.context([format!("Picture, not shown here: {}", image.title)])
            }
            Block::Custom(custom) => self.markdown(&custom.fallback),
        }
    }

    /// Adds a table: columns are aligned in a monospaced font; rows that do not fit are counted.
    fn table(self, table: &Table) -> Self {
        const CELL_CHARS_MAX: usize = 60;
        const CHARS_MAX: usize = 2_000;
        let cell = |text: &str| {
            let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
            truncate(&line, CELL_CHARS_MAX)
        };
        let lines: Vec<Vec<String>> = std::iter::once(&table.header)
            .chain(&table.rows)
            .map(|row| row.iter().map(|text| cell(text)).collect())
            .collect();
        let columns = table.header.len();
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                lines
                    .iter()
                    .filter_map(|row| row.get(column))
                    .map(|text| text.chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        let mut shown = 0;
        for row in &lines {
            let padded: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(text, width)| format!("{text:<width$}"))
                .collect();
            let line = padded.join("  ");
            if text.len() + line.len() > CHARS_MAX {
                break;
            }
            text.push_str(line.trim_end());
            text.push('\n');
            shown += 1;
        }
        let missing = lines.len().saturating_sub(shown.max(1));
        let blocks = self.excerpt(&table.title, &text);
        match missing {
            0 => blocks,
            _ => blocks.context([format!("… and {missing} more rows")]),
        }
    }
}

/// Returns how many of the blocks, from the first, fit into one message together with a last block of so many bytes: at
/// least one, since a single block that is too large cannot be made smaller here.
fn fitting(blocks: &[Built], last_bytes: usize) -> usize {
    let blocks_max = limits::BLOCKS_MAX - usize::from(last_bytes > 0);
    let mut bytes = "[]".len() + last_bytes;
    let fitting = blocks.iter().take(blocks_max).take_while(|block| {
        bytes += block.json.len() + ",".len();
        bytes <= limits::BLOCKS_BYTES_MAX
    });
    fitting.count().max(1).min(blocks.len())
}

/// Returns a text object with `verbatim`, which stops Slack from looking for mentions and channel names in it.
fn mrkdwn_object(text: &Mrkdwn, chars_max: usize) -> (String, Size) {
    let text = truncate(text.as_str(), chars_max);
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

/// Returns the end of a text whose markup has at most so many characters: whole lines, or the end of a line that is too
/// long by itself. Searches from the back, since a log may be much longer than what is kept.
fn tail_that_fits(text: &str, chars_max: usize) -> &str {
    let mut used = 0;
    for (at, char) in text.char_indices().rev() {
        used += match char {
            '&' => "&amp;".len(),
            '<' | '>' => "&lt;".len(),
            // Each three of them get a space in between.
            '`' => 2,
            _ => 1,
        };
        if used > chars_max {
            let tail = &text[at + char.len_utf8()..];
            return tail.split_once('\n').map_or(tail, |(_, lines)| lines);
        }
    }
    text
}
