//! Sanitizes a message: markup that came with the alert is escaped, and links other than http and https are refused.
//!
//! The SDKs escape the texts of alerts. This is for handlers that put a label into a message without escaping it. A mention
//! that the handler wrote is sent. A mention that came with the alert is shown but notifies nobody, even if it consists of
//! parts from several labels (`pieces.rs`).

mod pieces;

use std::borrow::Cow;

use serde_json::Value;

use alert_manager_core::alert::{Alert, Block, Enrichment};
use alert_manager_core::shapes;
use pieces::Pieces;

/// The most mentions of one message that are sent; further ones are escaped.
const MENTIONS_MAX: usize = 100;
/// The most bytes of a mention. Longer texts are not mentions for Slack.
const MENTION_BYTES_MAX: usize = 256;
/// Blocks that are nested deeper than this are refused.
const DEPTH_MAX: usize = 32;

/// The texts that came with the alert, not from the handler.
pub(in crate::slack) struct AlertTexts {
    pieces: Pieces,
    mentions: usize,
}

/// What was changed in blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::slack) struct Changed {
    /// Markup was escaped.
    pub(in crate::slack) markup: bool,
    /// Secrets were masked.
    pub(in crate::slack) masked: bool,
}

/// Why blocks cannot be sent.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::slack) struct Unfit(pub(in crate::slack) String);

impl AlertTexts {
    pub(in crate::slack) fn of(alert: &Alert, found: &Enrichment) -> Self {
        let mut texts = Vec::new();
        let origin = &alert.origin;
        for labels in [
            &alert.labels,
            &alert.annotations,
            &*origin.group_labels,
            &origin.extra,
            &found.facts,
        ] {
            texts.extend(labels.iter().flat_map(|(name, value)| [name, value]));
        }
        let senders = [
            alert.generator_url.as_deref(),
            origin.external_url.as_deref(),
            origin.group_key.as_deref(),
            origin.receiver.as_deref(),
        ];
        texts.extend(senders.into_iter().flatten());
        found
            .blocks
            .iter()
            .for_each(|block| push(&mut texts, block));
        Self {
            pieces: Pieces::of(texts.into_iter()),
            mentions: 0,
        }
    }

    /// Returns the text with the markup that came with the alert escaped; `None` if there is none.
    pub(in crate::slack) fn sanitize(&mut self, text: &str) -> Option<String> {
        let mut safe = String::new();
        let mut seen = None;
        let mut mentions = self.mentions;
        let mut taken = 0;
        let mut from = 0;
        while let Some(open) = text[from..].find('<').map(|at| from + at) {
            from = open + 1;
            let Some(close) = text[from..].find(['<', '>']).map(|at| from + at) else {
                break;
            };
            if !text[close..].starts_with('>') {
                continue;
            }
            let end = close + 1;
            let is_from_alert = match Markup::of(&text[open + 1..close]) {
                Markup::Web => false,
                Markup::Other => true,
                Markup::Mention => {
                    mentions += 1;
                    mentions > MENTIONS_MAX
                        || seen
                            .get_or_insert_with(|| self.pieces.seen_in(text))
                            .is_from_alert(open, end)
                }
            };
            if is_from_alert {
                safe.push_str(&text[taken..open]);
                safe.push_str("&lt;");
                safe.push_str(&text[open + 1..close]);
                safe.push_str("&gt;");
                taken = end;
            }
            from = end;
        }
        drop(seen);
        self.mentions = mentions;
        if taken == 0 {
            return None;
        }
        safe.push_str(&text[taken..]);
        Some(safe)
    }

    /// Sanitizes the texts of the blocks in which Slack interprets markup, and masks secrets in the texts that it shows.
    ///
    /// # Errors
    /// If a link is not http or https, or the blocks are nested too deeply.
    pub(in crate::slack) fn sanitize_blocks(
        &mut self,
        blocks: &mut Value,
    ) -> Result<Changed, Unfit> {
        let mut changed = Changed::default();
        self.walk(blocks, 0, &mut changed)?;
        Ok(changed)
    }

    fn walk(
        &mut self,
        value: &mut Value,
        depth: usize,
        changed: &mut Changed,
    ) -> Result<(), Unfit> {
        if depth > DEPTH_MAX {
            return Err(Unfit("blocks are nested too deeply".to_owned()));
        }
        match value {
            Value::Array(items) => {
                for item in items {
                    self.walk(item, depth + 1, changed)?;
                }
            }
            Value::Object(fields) => {
                // Slack does not interpret markup in these types.
                let is_plain = matches!(
                    fields.get("type").and_then(Value::as_str),
                    Some("plain_text" | "raw_text" | "text" | "link")
                );
                for (key, field) in fields {
                    let Value::String(text) = field else {
                        self.walk(field, depth + 1, changed)?;
                        continue;
                    };
                    if (key == "url" || key.ends_with("_url")) && !leads_to_the_web(text) {
                        let shown: String = text.chars().take(64).collect();
                        return Err(Unfit(format!(
                            "{key} is {shown:?}: links lead to http and https alone"
                        )));
                    }
                    if SHOWN.contains(&key.as_str())
                        && let Cow::Owned(masked) = shapes::masked(text)
                    {
                        *text = masked;
                        changed.masked = true;
                    }
                    if key == "text"
                        && !is_plain
                        && let Some(safe) = self.sanitize(text)
                    {
                        *text = safe;
                        changed.markup = true;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// The fields whose text Slack shows. URLs are not among them, because masking would break a link.
const SHOWN: [&str; 5] = ["text", "alt_text", "title", "description", "fallback"];

/// A kind of markup, by the text between `<` and `>`.
enum Markup {
    /// A date, or a link with http or https.
    Web,
    /// A mention: `!channel`, `@U1`, `#C1`.
    Mention,
    /// Anything else, which is always escaped.
    Other,
}

impl Markup {
    fn of(inner: &str) -> Self {
        let target = inner.split('|').next().unwrap_or_default();
        if inner.starts_with("!date^") || leads_to_the_web(target) {
            return Self::Web;
        }
        match inner.starts_with(['!', '@', '#']) {
            true if inner.len() <= MENTION_BYTES_MAX => Self::Mention,
            _ => Self::Other,
        }
    }
}

fn push<'a>(texts: &mut Vec<&'a str>, block: &'a Block) {
    match block {
        Block::Markdown { text } => texts.push(text),
        Block::Fields { fields } => {
            for (name, value) in fields {
                texts.extend([name.as_str(), value]);
            }
        }
        Block::Table {
            title,
            header,
            rows,
        } => {
            texts.push(title);
            let cells = header.iter().chain(rows.iter().flatten());
            texts.extend(cells.map(String::as_str));
        }
        Block::Excerpt { title, text } => texts.extend([title.as_str(), text]),
        Block::Link { title, url } => texts.extend([title.as_str(), url]),
        Block::Image { title, .. } => texts.push(title),
        Block::Custom { fallback, data, .. } => texts.extend([fallback.as_str(), data]),
    }
}

fn leads_to_the_web(url: &str) -> bool {
    let scheme = |scheme: &str| {
        url.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    scheme("https://") || scheme("http://")
}

#[cfg(test)]
mod tests;
