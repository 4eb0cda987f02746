//! Block Kit's blocks.

use serde_json::Value;

use super::inline::Rich;
use super::mrkdwn::{mrkdwn, plain};
use super::rich_text::rich_text;

/// The most blocks of a message that are drawn: twice what Slack accepts.
const BLOCKS_MAX: usize = 100;
/// The most parts of one block that are drawn: twice the cells of a row, which are most.
const PARTS_MAX: usize = 40;

/// A block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Block {
    Header(Rich),
    Section {
        text: Option<Rich>,
        fields: Vec<Rich>,
        accessory: Option<Element>,
    },
    Context(Vec<Element>),
    Actions(Vec<Element>),
    Divider,
    Image(Element),
    RichText(Rich),
    /// Standard Markdown, which is shown as it is written.
    Markdown(String),
    Table(Vec<Vec<Rich>>),
    /// A block that is not drawn, by its type.
    Other(String),
}

/// What stands within a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Text(Rich),
    Image {
        alt: String,
        title: Option<String>,
        url: Option<String>,
    },
    Button {
        text: Rich,
        style: Style,
        url: Option<String>,
    },
    /// An element that is not drawn, by its type.
    Other(String),
}

/// How a button is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Default,
    Primary,
    Danger,
}

impl Style {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Default => "",
            Self::Primary => "primary",
            Self::Danger => "danger",
        }
    }
}

/// Parses the blocks of a message; those beyond the bound are counted in a last one.
pub(super) fn blocks(value: &Value) -> Vec<Block> {
    let all = value.as_array().map_or(&[][..], Vec::as_slice);
    let mut blocks: Vec<_> = all.iter().take(BLOCKS_MAX).map(block).collect();
    if all.len() > BLOCKS_MAX {
        blocks.push(Block::Other(format!("{} more", all.len() - BLOCKS_MAX)));
    }
    blocks
}

fn block(block: &Value) -> Block {
    let elements = || items(&block["elements"]).map(element).collect();
    match kind(block) {
        "header" => Block::Header(text(&block["text"]).unwrap_or_default()),
        "section" => Block::Section {
            text: text(&block["text"]),
            fields: items(&block["fields"]).filter_map(text).collect(),
            accessory: block["accessory"]
                .is_object()
                .then(|| element(&block["accessory"])),
        },
        "context" => Block::Context(elements()),
        "actions" => Block::Actions(elements()),
        "divider" => Block::Divider,
        "image" => Block::Image(element(block)),
        "rich_text" => Block::RichText(rich_text(block)),
        "markdown" => Block::Markdown(word(&block["text"])),
        "table" => {
            let rows = items(&block["rows"]).map(|row| items(row).map(cell).collect());
            Block::Table(rows.collect())
        }
        other => Block::Other(other.to_owned()),
    }
}

fn cell(cell: &Value) -> Rich {
    match kind(cell) {
        "rich_text" => rich_text(cell),
        _ => plain(cell["text"].as_str().unwrap_or_default()),
    }
}

fn element(element: &Value) -> Element {
    match kind(element) {
        "mrkdwn" | "plain_text" => Element::Text(text(element).unwrap_or_default()),
        "image" => Element::Image {
            alt: word(&element["alt_text"]),
            title: element["title"]["text"].as_str().map(str::to_owned),
            url: element["image_url"].as_str().map(str::to_owned),
        },
        "button" => Element::Button {
            text: text(&element["text"]).unwrap_or_default(),
            style: match element["style"].as_str() {
                Some("primary") => Style::Primary,
                Some("danger") => Style::Danger,
                _ => Style::Default,
            },
            url: element["url"].as_str().map(str::to_owned),
        },
        other => Element::Other(other.to_owned()),
    }
}

/// Parses a text object.
fn text(object: &Value) -> Option<Rich> {
    let text = object["text"].as_str()?;
    Some(match kind(object) {
        "mrkdwn" => mrkdwn(text),
        _ => plain(text),
    })
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten().take(PARTS_MAX)
}

fn kind(object: &Value) -> &str {
    object["type"].as_str().unwrap_or("without a type")
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
