//! Sanitizes a message: markup that came with the alert is made inert, and links may lead to the web only.
//!
//! The SDKs escape the texts of alerts. This is for a handler that puts a label into its blocks as it is: a mention that the
//! handler wrote is sent; one that came with labels is shown and pings nobody, whether one label has all of it or several labels
//! together form it in the finished text (`pieces.rs`).

mod pieces;

use std::borrow::Cow;

use serde_json::Value;

use alert_manager_core::alert::{Alert, Block, Enrichment};
use alert_manager_core::shapes;
use pieces::Pieces;

/// Mentions of one message that are sent; any more are made inert.
const MENTIONS_MAX: usize = 100;
/// A longer text is not a mention of Slack.
const MENTION_BYTES_MAX: usize = 256;
/// Blocks nested in one another deeper than this are refused.
const DEPTH_MAX: usize = 32;

/// The texts that a handler was given and did not write itself.
pub(in crate::slack) struct Outside {
    pieces: Pieces,
    mentions: usize,
}

/// What was changed in blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::slack) struct Changed {
    /// Markup was made inert.
    pub(in crate::slack) markup: bool,
    /// Secrets were masked.
    pub(in crate::slack) masked: bool,
}

/// Why blocks cannot be sent.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::slack) struct Unfit(pub(in crate::slack) String);

impl Outside {
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

    /// Returns the text with markup that came with the alert escaped; None if there is none.
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
            let is_alien = match Markup::of(&text[open + 1..close]) {
                Markup::Web => false,
                Markup::Other => true,
                Markup::Mention => {
                    mentions += 1;
                    mentions > MENTIONS_MAX
                        || seen
                            .get_or_insert_with(|| self.pieces.seen_in(text))
                            .is_alien(open, end)
                }
            };
            if is_alien {
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

    /// Sanitizes every text of the blocks in which Slack reads markup, and masks secrets in every text that it shows.
    ///
    /// # Errors
    /// If a link leads elsewhere than to the web.
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
                // Slack reads no markup in plain text, nor in the leaves of rich text.
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

/// Fields whose text Slack shows to people. Links are not among them: a link with a masked part would be broken.
const SHOWN: [&str; 5] = ["text", "alt_text", "title", "description", "fallback"];

/// What is between `<` and `>`.
enum Markup {
    /// A date, or a link to the web.
    Web,
    /// `!channel`, `@U1`, `#C1`.
    Mention,
    /// Any other: no handler needs it.
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
