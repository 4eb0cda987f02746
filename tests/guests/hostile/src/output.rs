//! Modes that return what no host should accept.

use super::alert_manager::handler::types::{Block, Excerpt, Link, Retry, Table};
use super::exports::alert_manager::handler::hooks::Failure;
use super::{Harm, pair};

pub(super) fn harm(mode: &str) -> Option<Harm> {
    let facts = |facts| Ok((facts, vec![]));
    let blocks = |blocks| Ok((vec![], blocks));
    Some(match mode {
        "gigabyte" => facts(vec![pair("big", "x".repeat(20 << 20))]),
        // One string of a megabyte, returned over and over: little memory, a gigabyte to read.
        "gigabyte-of-facts" => facts(vec![pair("big", "x".repeat(8 << 10)); 2_000]),
        "many-facts" => facts((0..100_000).map(|n| pair(&n.to_string(), "")).collect()),
        "big-name" => facts(vec![pair(&"n".repeat(1 << 20), "")]),
        "big-value" => facts(vec![pair("value", "v".repeat(1 << 20))]),
        "fat-facts" => facts(
            (0..200)
                .map(|n| pair(&n.to_string(), "f".repeat(8_000)))
                .collect(),
        ),
        "same-fact" => facts(vec![pair("same", "1"); 200]),
        "host-fact" => facts(vec![pair("enrich_failed.other", "forged")]),
        "many-blocks" => blocks(vec![Block::Markdown("m".into()); 10_000]),
        "fat-block" => blocks(vec![Block::Excerpt(Excerpt {
            title: "t".into(),
            text: "e".repeat(3 << 20),
        })]),
        "empty-strings" => blocks(vec![Block::Fields(vec![pair("", ""); 100_000])]),
        "ragged-table" => blocks(vec![Block::Table(Table {
            title: "t".into(),
            header: vec!["a".into()],
            rows: vec![vec![]],
        })]),
        "script-link" => blocks(vec![Block::Link(Link {
            title: "look".into(),
            url: "javascript:alert(1)".into(),
        })]),
        "long-failure" => Err(Failure::Permanent("f".repeat(1 << 20))),
        "empty-failure" => Err(Failure::Permanent(String::new())),
        "far-retry" => Err(Failure::Retryable(Retry {
            message: "later".into(),
            after_ms: Some(u32::MAX),
        })),
        "endless-retry" => Err(Failure::Retryable(Retry {
            message: "again".into(),
            after_ms: Some(0),
        })),
        "endless-wait" => Err(Failure::Unavailable(Retry {
            message: "not yet".into(),
            after_ms: Some(0),
        })),
        _ => return None,
    })
}
