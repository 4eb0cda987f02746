//! Text with its marks, as HTML.

use std::fmt::{self, Display, Formatter};

use askama::filters::HtmlSafe;
use jiff::Timestamp;

use super::emoji;
use crate::http::page::filters::escape_into;

/// A piece of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Span {
    Text(String),
    Marked(Mark, Vec<Span>),
    Link {
        url: String,
        label: String,
    },
    /// A person, a channel or a group of people, by its ID or by the name that the message has for it.
    Mention(String),
    Emoji(String),
    Date {
        at: Timestamp,
        text: String,
    },
}

/// How a piece is set off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Bold,
    Italic,
    Strike,
    Code,
}

/// A part of a text, from top to bottom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Lines(Vec<Vec<Span>>),
    Quote(Vec<Vec<Span>>),
    Preformatted(Vec<Span>),
    List {
        is_ordered: bool,
        items: Vec<Vec<Span>>,
    },
}

/// A text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rich(pub(super) Vec<Part>);

impl HtmlSafe for Rich {}

impl Display for Rich {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Lines(lines) => written(f, lines)?,
                Part::Quote(lines) => {
                    f.write_str("<blockquote>")?;
                    written(f, lines)?;
                    f.write_str("</blockquote>")?;
                }
                Part::Preformatted(spans) => {
                    f.write_str("<pre>")?;
                    // HTML drops a newline at the beginning.
                    f.write_str("\n")?;
                    spans.iter().try_for_each(|span| span.fmt(f))?;
                    f.write_str("</pre>")?;
                }
                Part::List { is_ordered, items } => {
                    let tag = if *is_ordered { "ol" } else { "ul" };
                    write!(f, "<{tag}>")?;
                    for item in items {
                        f.write_str("<li>")?;
                        item.iter().try_for_each(|span| span.fmt(f))?;
                        f.write_str("</li>")?;
                    }
                    write!(f, "</{tag}>")?;
                }
            }
        }
        Ok(())
    }
}

fn written(f: &mut Formatter<'_>, lines: &[Vec<Span>]) -> fmt::Result {
    for (number, line) in lines.iter().enumerate() {
        if number > 0 {
            f.write_str("<br>")?;
        }
        f.write_str("<bdi>")?;
        line.iter().try_for_each(|span| span.fmt(f))?;
        f.write_str("</bdi>")?;
    }
    Ok(())
}

impl Display for Span {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => escape_into(f, text),
            Self::Marked(mark, inner) => {
                let tag = match mark {
                    Mark::Bold => "strong",
                    Mark::Italic => "em",
                    Mark::Strike => "s",
                    Mark::Code => "code",
                };
                write!(f, "<{tag}>")?;
                inner.iter().try_for_each(|span| span.fmt(f))?;
                write!(f, "</{tag}>")
            }
            Self::Link { url, label } if is_safe(url) => {
                f.write_str("<a rel=\"noopener noreferrer nofollow\" href=\"")?;
                attribute(f, url)?;
                f.write_str("\">")?;
                escape_into(f, label)?;
                f.write_str("</a>")
            }
            Self::Link { url, label } => {
                escape_into(f, label)?;
                f.write_str(" (")?;
                escape_into(f, url)?;
                f.write_str(")")
            }
            Self::Mention(whom) => {
                f.write_str("<span class=\"mention\">")?;
                escape_into(f, whom)?;
                f.write_str("</span>")
            }
            Self::Emoji(name) => match emoji::sign(name) {
                Some(sign) => write!(
                    f,
                    "<span role=\"img\" aria-label=\"{}\">{sign}</span>",
                    name.replace('_', " ")
                ),
                None => write!(f, ":{name}:"),
            },
            Self::Date { at, text } => {
                write!(
                    f,
                    "<time datetime=\"{}\">",
                    at.strftime("%Y-%m-%dT%H:%M:%SZ")
                )?;
                escape_into(f, text)?;
                f.write_str("</time>")
            }
        }
    }
}

/// Returns whether a browser may follow it.
fn is_safe(url: &str) -> bool {
    let parsed = url::Url::parse(url);
    parsed.is_ok_and(|url| matches!(url.scheme(), "http" | "https" | "mailto"))
}

/// Writes a URL into an attribute. What is invisible in it is left out: a browser ignores it or escapes it.
fn attribute(f: &mut Formatter<'_>, url: &str) -> fmt::Result {
    let visible = crate::text::inert(url).replace(['\n', '\t'], "");
    escape_into(f, &visible)
}

impl Rich {
    /// Returns the spans of its lines.
    pub(super) fn spans(self) -> impl Iterator<Item = Span> {
        self.0.into_iter().flat_map(|part| match part {
            Part::Lines(lines) | Part::Quote(lines) | Part::List { items: lines, .. } => {
                lines.into_iter().flatten().collect()
            }
            Part::Preformatted(spans) => spans,
        })
    }
}

impl HtmlSafe for Span {}
