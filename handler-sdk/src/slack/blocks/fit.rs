//! How many blocks one message takes, and what is left out if there are more.

use super::{Blocks, Built, limits};

impl Blocks {
    /// Returns the JSON array for Slack, with as many blocks as one message may have.
    pub fn to_json(&self) -> String {
        let array = |blocks: &[Built]| {
            let json: Vec<&str> = blocks.iter().map(|block| block.json.as_str()).collect();
            format!("[{}]", json.join(","))
        };
        if fitting(&self.blocks, &[]) == self.blocks.len() {
            return array(&self.blocks);
        }
        let (body, foot) = self.blocks.split_at(self.blocks.len() - self.foot_len());
        let more = |missing: usize| {
            let mut more = Self::new().context([format!("… and {missing} more blocks")]);
            more.blocks.extend_from_slice(foot);
            more.blocks
        };
        let last = more(self.blocks.len());
        let kept = fitting(body, &last);
        let used = array(&[&body[..kept], &last].concat()).len() + ",".len();
        let room = limits::BLOCKS_BYTES_MAX.saturating_sub(used);
        // Half a paragraph is worth its place only if there is little else.
        let body_bytes: usize = body[..kept].iter().map(|block| block.json.len()).sum();
        let has_place = kept + 1 + last.len() <= limits::BLOCKS_MAX
            && body_bytes < limits::BLOCKS_BYTES_MAX / 2;
        let cut = body.get(kept).filter(|_| has_place);
        let cut: Vec<Built> = cut.and_then(|block| block.cut(room)).into_iter().collect();
        match body.len() - kept - cut.len() {
            0 => array(&[&body[..kept], &cut, foot].concat()),
            missing => array(&[&body[..kept], &cut, &more(missing)].concat()),
        }
    }

    /// Returns how many blocks at the end are kept if others have to be left out: together they have at most half of what a
    /// message may have.
    fn foot_len(&self) -> usize {
        let mut bytes = 0;
        let foot = self.blocks.iter().rev().take_while(|block| {
            bytes += block.json.len() + ",".len();
            block.is_foot && bytes <= limits::BLOCKS_BYTES_MAX / 2
        });
        foot.take(limits::BLOCKS_MAX / 2).count()
    }

    /// Splits the blocks into messages of at most as many as Slack allows; the last message has all that are left.
    pub(crate) fn in_messages(self, messages_max: usize) -> Vec<Self> {
        let mut messages = Vec::new();
        let mut left = self.blocks;
        while !left.is_empty() {
            let rest = match messages.len() + 1 < messages_max {
                true => left.split_off(fitting(&left, &[])),
                false => Vec::new(),
            };
            messages.push(Self { blocks: left });
            left = rest;
        }
        messages
    }

    /// Returns the bytes of the blocks in the JSON array.
    pub(crate) fn json_bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.json.len() + 1).sum()
    }
}

/// Returns how many of the blocks, from the first, fit into one message together with the last ones: at least one, since a
/// single block has at most [`TEXT_JSON_BYTES_MAX`] bytes of text.
fn fitting(blocks: &[Built], last: &[Built]) -> usize {
    let blocks_max = limits::BLOCKS_MAX - last.len();
    let size = |block: &Built| block.json.len() + ",".len();
    let mut bytes = "[]".len() + last.iter().map(size).sum::<usize>();
    let fitting = blocks.iter().take(blocks_max).take_while(|block| {
        bytes += size(block);
        bytes <= limits::BLOCKS_BYTES_MAX
    });
    let least = usize::from(last.is_empty());
    fitting.count().max(least).min(blocks.len())
}
