//! The blocks that handlers or the host found, as Slack shows them.

use super::Blocks;
use crate::enrichment::{Block, Table};
use crate::mask;
use crate::slack::truncate;

impl Blocks {
    /// Adds blocks that handlers or the host found.
    pub(crate) fn found<'b>(mut self, blocks: impl IntoIterator<Item = &'b Block>) -> Self {
        let mut links: Vec<(&str, &str)> = Vec::new();
        for block in blocks {
            if let Block::Link(link) = block {
                links.push((&link.title, &link.url));
                continue;
            }
            // Consecutive links share a row.
            self = self.links(std::mem::take(&mut links)).block(block);
        }
        self.links(links)
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
    pub(crate) fn table(self, table: &Table) -> Self {
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
