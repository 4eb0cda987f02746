//! What a guest returns.

use alert_manager::alert::{Block, Enrichment};
use alert_manager::runtime::{Limits, checked_enrichment};

use super::engine::{Dice, fuzz};

const FACTS_MAX: usize = 256;
const NAME_BYTES_MAX: usize = 256;
const VALUE_BYTES_MAX: usize = 8 << 10;
const BLOCKS_MAX: usize = 64;
const BYTES_MAX: usize = 1 << 20;

fn text(dice: &mut Dice) -> String {
    match dice.below(40) {
        0 => "x".repeat(dice.below(2 << 20)),
        1..3 => "é".repeat(dice.below(10_000)),
        _ => dice.text(20),
    }
}

fn texts(dice: &mut Dice, most: usize) -> Vec<String> {
    (0..dice.below(most)).map(|_| text(dice)).collect()
}

fn block(dice: &mut Dice) -> Block {
    let title = text(dice);
    match dice.below(7) {
        0 => Block::Markdown { text: title },
        1 => Block::Fields {
            fields: texts(dice, 6)
                .into_iter()
                .map(|name| (name, text(dice)))
                .collect(),
        },
        2 => {
            let header = texts(dice, 4);
            let rows = (0..dice.below(4))
                .map(|_| match dice.one_in(6) {
                    true => texts(dice, 6),
                    false => header.iter().map(|_| dice.text(8)).collect(),
                })
                .collect();
            Block::Table {
                title,
                header,
                rows,
            }
        }
        3 => Block::Excerpt {
            title,
            text: text(dice),
        },
        4 => {
            let schemes = [
                "https://",
                "http://",
                "HTTPS://",
                "javascript:",
                "",
                " https://",
                "file://",
                "data:",
            ];
            let url = format!("{}{}", dice.pick(&schemes), dice.text(10));
            Block::Link { title, url }
        }
        5 => Block::Image {
            title,
            media_type: text(dice),
            data: text(dice).into_bytes(),
        },
        _ => Block::Custom {
            name: title,
            fallback: text(dice),
            data: text(dice),
        },
    }
}

/// Every byte of text or data that a block keeps.
fn bytes(block: &Block) -> usize {
    match block {
        Block::Markdown { text } => text.len(),
        Block::Fields { fields } => fields.iter().map(|(a, b)| a.len() + b.len()).sum(),
        Block::Table {
            title,
            header,
            rows,
        } => {
            let cells = header.iter().chain(rows.iter().flatten());
            title.len() + cells.map(String::len).sum::<usize>()
        }
        Block::Excerpt { title, text } => title.len() + text.len(),
        Block::Link { title, url } => title.len() + url.len(),
        Block::Image {
            title,
            media_type,
            data,
        } => title.len() + media_type.len() + data.len(),
        Block::Custom {
            name,
            fallback,
            data,
        } => name.len() + fallback.len() + data.len(),
    }
}

/// What is wrong with it, counted anew here; what only comes near a bound (each string costs a little
/// besides its bytes) may be refused or not.
fn is_within(facts: &[(String, String)], blocks: &[Block]) -> bool {
    let total = facts.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>()
        + blocks.iter().map(bytes).sum::<usize>();
    facts.len() <= FACTS_MAX
        && facts
            .iter()
            .all(|(n, v)| n.len() <= NAME_BYTES_MAX && v.len() <= VALUE_BYTES_MAX)
        && blocks.len() <= BLOCKS_MAX
        && total <= BYTES_MAX
        && blocks.iter().all(is_sound)
}

fn is_sound(block: &Block) -> bool {
    match block {
        Block::Table { header, rows, .. } => rows.iter().all(|row| row.len() == header.len()),
        Block::Link { url, .. } => {
            let url = url.to_ascii_lowercase();
            url.starts_with("http://") || url.starts_with("https://")
        }
        _ => true,
    }
}

#[test]
fn returned_values_are_kept_whole_or_refused_with_the_bound() {
    let (mut taken, mut refused) = (0, 0);
    fuzz("returned_values", 500, |dice| {
        let most = if dice.one_in(20) { 400 } else { 8 };
        let facts: Vec<_> = texts(dice, most)
            .into_iter()
            .map(|name| (name, text(dice)))
            .collect();
        let most = if dice.one_in(20) { 100 } else { 6 };
        let blocks: Vec<_> = (0..dice.below(most)).map(|_| block(dice)).collect();
        match checked_enrichment(facts.clone(), blocks.clone(), &Limits::default()) {
            Ok(found) => {
                taken += 1;
                assert!(
                    is_within(&facts, &blocks),
                    "{} facts, {} blocks",
                    facts.len(),
                    blocks.len()
                );
                assert_eq!(found.blocks, blocks);
                for (name, value) in &facts {
                    let last = facts.iter().rfind(|(other, _)| other == name).unwrap();
                    let first = facts.iter().find(|(other, _)| other == name).unwrap();
                    let kept = found.facts.get(name);
                    let is_kept = kept == Some(&last.1)
                        || kept == Some(&first.1)
                        || kept.is_none() && value.is_empty();
                    assert!(is_kept, "{name:?} is {kept:?}");
                }
                let stored = serde_json::to_string(&found).unwrap();
                assert_eq!(serde_json::from_str::<Enrichment>(&stored).unwrap(), found);
            }
            Err(failure) => {
                refused += 1;
                let said = failure.to_string();
                assert!(!said.is_empty() && said.len() <= 2_000, "{said}");
            }
        }
    });
    println!("returned: {taken} taken, {refused} refused");
    assert!(std::env::var("ALERT_MANAGER_FUZZ_RUN").is_ok() || (taken > 0 && refused > 0));
}
