//! Takes from a message what must not work in it: markup that came with the alert, and links that lead
//! elsewhere than to the web.
//!
//! The SDKs escape what alerts say. This is for the handler that puts a label into its blocks as it is: a
//! mention that it writes itself goes out, one that labels brought along is shown and pings nobody, whether one
//! label has it or several come together to it in the finished text (`pieces.rs`).

mod pieces;

use std::borrow::Cow;

use serde_json::Value;

use alert_manager_core::alert::{Alert, Block, Enrichment};
use alert_manager_core::shapes;
use pieces::Pieces;

/// Mentions of one message that may go out; any further are made inert.
const MENTIONS_MAX: usize = 100;
/// A longer one is no mention of Slack's.
const MENTION_BYTES_MAX: usize = 256;
/// Blocks nested in one another deeper than this are refused.
const DEPTH_MAX: usize = 32;

/// Everything that a handler was given and did not write itself.
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

/// Blocks that cannot go out, and why.
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

    /// Returns the text with its alien markup escaped; None where it has none.
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

    /// Disarms every text of the blocks that Slack reads markup in, and masks secrets in every text that it shows.
    ///
    /// # Errors
    /// Where a link leads elsewhere than to the web.
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

/// Fields whose text Slack shows to people. A link is left as it is: without a part it leads nowhere.
const SHOWN: [&str; 5] = ["text", "alt_text", "title", "description", "fallback"];

/// What stands between `<` and `>`.
enum Markup {
    /// A date, or a link to the web.
    Web,
    /// `!channel`, `@U1`, `#C1`: of whoever wrote it.
    Mention,
    /// None that a handler needs.
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
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;
    use alert_manager_core::alert::{Fingerprint, Labels, Origin, Status, Timestamp};

    fn alert(values: &[&str]) -> Alert {
        let labels: Labels = values
            .iter()
            .enumerate()
            .map(|(n, value)| (format!("label{n}"), (*value).to_owned()))
            .collect();
        Alert {
            fingerprint: Fingerprint::of(&labels),
            status: Status::Firing,
            labels,
            annotations: Labels::default(),
            starts_at: Timestamp::UNIX_EPOCH,
            ends_at: None,
            generator_url: None,
            received_at: Timestamp::UNIX_EPOCH,
            origin: Origin::default(),
        }
    }

    fn sanitized(values: &[&str], text: &str) -> String {
        let (alert, found) = (alert(values), Enrichment::default());
        let safe = Outside::of(&alert, &found).sanitize(text);
        safe.unwrap_or_else(|| text.to_owned())
    }

    #[test]
    fn a_mention_that_a_label_brought_pings_nobody() {
        for mention in [
            "<!channel>",
            "<!here|here>",
            "<@U012>",
            "<!subteam^S1>",
            "<#C1>",
        ] {
            let inside = &mention[1..mention.len() - 1];
            let text = format!("pod {mention} is down");
            assert_eq!(
                sanitized(&[mention], &text),
                format!("pod &lt;{inside}&gt; is down")
            );
            let embedded = format!("a {mention} b");
            assert!(!sanitized(&[&embedded], &text).contains(mention));
            // Cut in two over labels that the handler puts side by side.
            for at in 1..mention.len() {
                let (one, other) = mention.split_at(at);
                let safe = sanitized(&[one, other], &text);
                assert!(!safe.contains(mention), "{one} and {other}");
            }
            let before = format!("pod {}", &mention[..3]);
            assert!(!sanitized(&[&before], &text).contains(mention), "{mention}");
        }
    }

    #[test]
    fn a_mention_that_the_handler_wrote_goes_out() {
        let text =
            "<!subteam^S1> <@U1>: look at <https://r.example|the runbook>, <!date^1^{time}|t>";
        assert_eq!(sanitized(&["<!channel>", "a<b"], text), text);
        assert_eq!(sanitized(&["web"], "1 < 2 < 3"), "1 < 2 < 3");
    }

    #[test]
    fn a_link_leads_to_the_web_or_is_none() {
        for markup in [
            "<javascript:alert(1)|x>",
            "<file:///etc/passwd>",
            "<slack://x|y>",
            "<b>",
        ] {
            let inside = &markup[1..markup.len() - 1];
            assert_eq!(sanitized(&[], markup), format!("&lt;{inside}&gt;"));
        }
        assert_eq!(
            sanitized(&[], "<HTTPS://a.example|x>"),
            "<HTTPS://a.example|x>"
        );
    }

    #[test]
    fn blocks_are_disarmed_where_slack_reads_markup() {
        let (alert, found) = (alert(&["<!channel>"]), Enrichment::default());
        let mut blocks = json!([
            {"type": "section", "text": {"type": "mrkdwn", "text": "a <!channel> <!here>"},
             "fields": [{"type": "mrkdwn", "text": "<!channel>"}]},
            {"type": "header", "text": {"type": "plain_text", "text": "<!channel>"}},
            {"type": "markdown", "text": "<!channel>"},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": "<!channel>"}]},
            {"type": "actions", "elements": [{"type": "button", "confirm": {"text": {"type": "mrkdwn", "text": "<!channel>"}}}]},
            {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": "<!channel>"}]}]},
            {"type": "table", "rows": [[{"type": "raw_text", "text": "<!channel>"}]]},
        ]);
        assert!(
            Outside::of(&alert, &found)
                .sanitize_blocks(&mut blocks)
                .unwrap()
                .markup
        );
        let expected = json!([
            {"type": "section", "text": {"type": "mrkdwn", "text": "a &lt;!channel&gt; <!here>"},
             "fields": [{"type": "mrkdwn", "text": "&lt;!channel&gt;"}]},
            {"type": "header", "text": {"type": "plain_text", "text": "<!channel>"}},
            {"type": "markdown", "text": "&lt;!channel&gt;"},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": "&lt;!channel&gt;"}]},
            {"type": "actions", "elements": [{"type": "button", "confirm": {"text": {"type": "mrkdwn", "text": "&lt;!channel&gt;"}}}]},
            {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": "<!channel>"}]}]},
            {"type": "table", "rows": [[{"type": "raw_text", "text": "<!channel>"}]]},
        ]);
        assert_eq!(blocks, expected);
        assert!(
            !Outside::of(&alert, &found)
                .sanitize_blocks(&mut blocks)
                .unwrap()
                .markup
        );
    }

    #[test]
    fn a_button_that_leads_elsewhere_is_unfit() {
        let (alert, found) = (alert(&[]), Enrichment::default());
        let button =
            |url: &str| json!([{"type": "actions", "elements": [{"type": "button", "url": url}]}]);
        let judged = |url: &str| Outside::of(&alert, &found).sanitize_blocks(&mut button(url));
        assert_eq!(judged("https://a.example"), Ok(Changed::default()));
        for url in [
            "javascript:alert(1)",
            "data:text/html,x",
            " https://a",
            "//a",
            "",
        ] {
            let Unfit(why) = judged(url).unwrap_err();
            assert!(why.contains("http and https"), "{why}");
        }
        let mut deep = json!("x");
        for _ in 0..200 {
            deep = json!([deep]);
        }
        assert!(
            Outside::of(&alert, &found)
                .sanitize_blocks(&mut deep)
                .is_err()
        );
    }

    #[test]
    fn a_message_of_nothing_but_mentions_takes_no_time() {
        let label = "x<".repeat(50_000);
        let text: String = (0..50_000).map(|n| format!("<!{n}>")).collect();
        let safe = sanitized(&[&label], &text);
        assert!(safe.starts_with("<!0>") && safe.ends_with("&lt;!49999&gt;"));
    }
}
