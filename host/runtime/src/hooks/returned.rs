//! Checks what a hook returned against its limits, and masks secrets in it.

use std::time::Duration;

use crate::bindings::types;
use crate::facts::{self, RefusedFacts};
use crate::hooks::block;
use crate::limits;
use crate::limits::quota::{LimitHit, LimitName, Limits};
use crate::text::{cut, masked};
use crate::types::StepFailure;
use alert_manager_core::alert::{Block, Enrichment, Labels};
use alert_manager_core::shapes;

/// Checks the result of `enrich`.
///
/// # Errors
/// As [`checked_enrichment`].
pub(crate) fn enrichment_from(
    given: types::Enrichment,
    limits: &Limits,
) -> Result<Enrichment, StepFailure> {
    let blocks = given.blocks.into_iter().map(block::from_contract);
    checked_enrichment(given.facts, blocks.collect(), limits)
}

/// Checks facts and blocks that a handler found, and returns them with secrets masked.
///
/// # Errors
/// The limit that they exceed, or what is wrong with one of them.
pub fn checked_enrichment(
    given: Vec<(String, String)>,
    mut blocks: Vec<Block>,
    limits: &Limits,
) -> Result<Enrichment, StepFailure> {
    let facts_bytes = check_facts(&given, limits)?;
    if blocks.len() > limits.blocks_max {
        let what = format!("{} blocks", blocks.len());
        return Err(over(
            LimitName::Blocks,
            blocks.len(),
            &what,
            limits.blocks_max,
        ));
    }
    let bytes = facts_bytes + blocks.iter().map(block_bytes).sum::<usize>();
    check_output(bytes, limits)?;
    for block in &mut blocks {
        mask_secrets(block);
        check_block(block)?;
    }
    Ok(Enrichment {
        facts: facts::without_secrets(given),
        blocks,
    })
}

/// Checks the result of `act`. Facts with the host's prefixes are dropped instead of refused, because the handler's effects
/// have already happened.
///
/// # Errors
/// The limit that they exceed.
pub(crate) fn facts_from(mut given: types::Labels, limits: &Limits) -> Result<Labels, StepFailure> {
    given.retain(|(name, _)| facts::hosts_prefix(name).is_none());
    let bytes = check_facts(&given, limits)?;
    check_output(bytes, limits)?;
    Ok(facts::without_secrets(given))
}

/// Masks secrets in the texts of a block that people read.
fn mask_secrets(block: &mut Block) {
    match block {
        Block::Markdown { text } => shapes::mask(text),
        Block::Fields { fields } => {
            for (name, value) in fields {
                shapes::mask_named(name, value);
                shapes::mask(name);
            }
        }
        Block::Table {
            title,
            header,
            rows,
        } => {
            let cells = header.iter_mut().chain(rows.iter_mut().flatten());
            cells.for_each(shapes::mask);
            shapes::mask(title);
        }
        Block::Excerpt { title, text } => {
            shapes::mask(title);
            shapes::mask(text);
        }
        Block::Link { title, .. } | Block::Image { title, .. } => shapes::mask(title),
        Block::Custom { fallback, data, .. } => {
            shapes::mask(fallback);
            shapes::mask(data);
        }
    }
}

/// Checks facts; returns how many bytes they have.
fn check_facts(given: &types::Labels, limits: &Limits) -> Result<usize, StepFailure> {
    facts::check(given, limits).map_err(|why| match why {
        RefusedFacts::Over {
            limit,
            used,
            what,
            max,
        } => over(limit, used, &what, max),
        name @ RefusedFacts::Name(_) => StepFailure::Permanent(format!("it returned {name}")),
    })
}

fn check_output(bytes: usize, limits: &Limits) -> Result<(), StepFailure> {
    if bytes <= limits.output_bytes_max {
        return Ok(());
    }
    let what = format!("facts and blocks of {bytes} bytes");
    let max = limits.output_bytes_max;
    Err(over(LimitName::OutputBytes, bytes, &what, max))
}

fn over(limit: LimitName, used: usize, what: &str, max: usize) -> StepFailure {
    StepFailure::Limit(LimitHit {
        limit,
        used: used as u64,
        max: max as u64,
        detail: format!("it returned {what}, at most {max} are taken"),
    })
}

fn block_bytes(block: &Block) -> usize {
    // Added for each string, so that a million empty ones are not free.
    const EACH: usize = 32;
    let pair = |(a, b): &(String, String)| a.len() + b.len() + 2 * EACH;
    match block {
        Block::Markdown { text } => text.len() + EACH,
        Block::Fields { fields } => fields.iter().map(pair).sum(),
        Block::Table {
            title,
            header,
            rows,
        } => {
            let cells = header.iter().chain(rows.iter().flatten());
            title.len() + EACH * rows.len() + cells.map(|c| c.len() + EACH).sum::<usize>()
        }
        Block::Excerpt { title, text } => title.len() + text.len() + EACH,
        Block::Link { title, url } => title.len() + url.len() + EACH,
        Block::Image {
            title,
            media_type,
            data,
        } => title.len() + media_type.len() + data.len() + EACH,
        Block::Custom {
            name,
            fallback,
            data,
        } => name.len() + fallback.len() + data.len() + EACH,
    }
}

/// Checks that the rows of a table have as many cells as its header, and that a link is http or https.
fn check_block(block: &Block) -> Result<(), StepFailure> {
    match block {
        Block::Table {
            title,
            header,
            rows,
        } => {
            let width = header.len();
            let Some(row) = rows.iter().position(|row| row.len() != width) else {
                return Ok(());
            };
            Err(StepFailure::Permanent(format!(
                "it returned the table {:?} whose row {row} has {} cells under a header of {width}",
                cut(title, 64),
                rows[row].len()
            )))
        }
        Block::Link { url, .. } => {
            let lower = url.to_ascii_lowercase();
            if lower.starts_with("https://") || lower.starts_with("http://") {
                return Ok(());
            }
            Err(StepFailure::Permanent(format!(
                "it returned a link to {:?}: only http and https are shown",
                masked(url, 64)
            )))
        }
        _ => Ok(()),
    }
}

/// Adds what to do to a failure that gives only the number of an error of the operating system, as Rust's standard library does:
/// what a component does not have fails with one of these.
fn with_remedy(mut text: String) -> String {
    const NOT_FOUND: &str = "(os error 44)";
    if text.contains(NOT_FOUND) {
        text.push_str(
            ": a handler has no files: build the data in (in Rust, include_str!), declare a setting, or keep it in kv",
        );
    }
    text
}

/// Returns the failure that a handler returned, with secrets masked.
pub(crate) fn failure_from(failure: types::Failure) -> StepFailure {
    let after = |ms: Option<u32>| ms.map(|ms| Duration::from_millis(ms.into()));
    let message = |text: String| {
        if text.is_empty() {
            "the handler gave no reason".to_owned()
        } else {
            with_remedy(masked(&text, limits::FAILURE_BYTES_MAX))
        }
    };
    match failure {
        types::Failure::Retryable(retry) => StepFailure::Retryable {
            message: message(retry.message),
            after: after(retry.after_ms),
        },
        types::Failure::Unavailable(retry) => StepFailure::Unavailable {
            message: message(retry.message),
            after: after(retry.after_ms),
        },
        types::Failure::Permanent(text) => StepFailure::Permanent(message(text)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_result_over_a_limit_is_refused_with_the_limits_name() {
        let limit = |facts: types::Labels| {
            facts_from(facts, &Limits::default())
                .unwrap_err()
                .to_string()
        };
        let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        assert!(limit(vec![pair("a", "b"); 257]).contains("257 facts, at most 256"));
        assert!(limit(vec![pair(&"n".repeat(1_000_000), "")]).contains("the name of the fact"));
        assert!(limit(vec![pair("a", &"v".repeat(9_000))]).contains("9000 bytes"));
        let many = types::Enrichment {
            facts: vec![],
            blocks: vec![types::Block::Fields(vec![pair("", ""); 20_000])],
        };
        assert!(matches!(
            enrichment_from(many, &Limits::default()),
            Err(StepFailure::Limit(_))
        ));
    }

    #[test]
    fn a_fact_without_a_valid_name_is_refused() {
        let facts = |name: &str| vec![(name.to_owned(), String::new())];
        let enriched = |name: &str| {
            let given = types::Enrichment {
                facts: facts(name),
                blocks: vec![],
            };
            enrichment_from(given, &Limits::default())
        };
        let hosts = ["enrich_failed.other", "storm.count", "timer.key"];
        for name in ["", "a\nb", "\u{1b}[2J"] {
            let failure = facts_from(facts(name), &Limits::default()).unwrap_err();
            assert!(matches!(failure, StepFailure::Permanent(_)), "{name:?}");
            assert!(enriched(name).is_err(), "{name:?}");
        }
        for name in hosts {
            let failure = enriched(name).unwrap_err();
            assert!(matches!(failure, StepFailure::Permanent(_)), "{name:?}");
        }
        assert!(enriched("owner.team-x").is_ok());
    }

    #[test]
    fn facts_with_the_hosts_prefixes_are_dropped_from_the_result_of_act() {
        let names = ["enrich_failed.other", "ticket", "storm.count", "timer.key"];
        let given = names.map(|name| (name.to_owned(), "x".to_owned()));
        let kept = facts_from(given.to_vec(), &Limits::default()).unwrap();
        let own = vec![("ticket".to_owned(), "x".to_owned())];
        assert_eq!(kept, Labels::from_iter(own));
    }

    #[test]
    fn links_to_other_schemes_and_rows_of_another_width_are_refused() {
        let refused = |block| {
            let blocks = vec![block];
            let given = types::Enrichment {
                facts: vec![],
                blocks,
            };
            enrichment_from(given, &Limits::default()).is_err()
        };
        let link = |url: &str| {
            types::Block::Link(types::Link {
                title: String::new(),
                url: url.to_owned(),
            })
        };
        assert!(refused(link("javascript:alert(1)")));
        assert!(!refused(link("HTTPS://example.com")));
        assert!(refused(types::Block::Table(types::Table {
            title: String::new(),
            header: vec!["a".to_owned()],
            rows: vec![vec![]],
        })));
    }

    #[test]
    fn a_secret_in_a_name_or_a_link_that_is_refused_is_not_repeated() {
        const SECRET: &str = "ghp_x9Kq2LmN8vB3zR7tY1wEaaBcDeFgHiJkLmNo";
        let given = |facts, blocks| {
            let given = types::Enrichment { facts, blocks };
            enrichment_from(given, &Limits::default())
        };
        let pair = |name: String| vec![(name, "v".to_owned())];
        let link = types::Block::Link(types::Link {
            title: String::new(),
            url: format!("ftp://{SECRET}"),
        });
        for failure in [
            given(vec![], vec![link]).unwrap_err(),
            given(pair(format!("{SECRET}\n")), vec![]).unwrap_err(),
            given(pair(format!("storm.{SECRET}")), vec![]).unwrap_err(),
        ] {
            assert!(!failure.to_string().contains("x9Kq2L"), "{failure}");
        }
        let fields = types::Block::Fields(pair(SECRET.to_owned()));
        let kept = given(pair(SECRET.to_owned()), vec![fields]).unwrap();
        assert!(!format!("{kept:?}").contains("x9Kq2L"), "{kept:?}");
    }
}
