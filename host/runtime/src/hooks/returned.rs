//! What a hook returned, taken within its bounds and without secrets.

use std::time::Duration;

use crate::bindings::types;
use crate::limits;
use crate::limits::quota::{LimitHit, LimitName, Limits};
use crate::text::{cut, masked};
use crate::types::StepFailure;
use alert_manager_core::alert::{Block, Enrichment, Labels};
use alert_manager_core::shapes;

/// Takes what `enrich` returned.
///
/// # Errors
/// Names the bound that it is over.
pub(crate) fn enrichment_from(
    given: types::Enrichment,
    limits: &Limits,
) -> Result<Enrichment, StepFailure> {
    let facts_bytes = check_facts(&given.facts, limits)?;
    if given.blocks.len() > limits.blocks_max {
        let what = format!("{} blocks", given.blocks.len());
        let used = given.blocks.len();
        return Err(over(LimitName::Blocks, used, &what, limits.blocks_max));
    }
    let bytes = facts_bytes + given.blocks.iter().map(block_bytes).sum::<usize>();
    check_output(bytes, limits)?;
    Ok(Enrichment {
        facts: facts_without_secrets(given.facts),
        blocks: given
            .blocks
            .into_iter()
            .map(|block| block_from(without_secrets(block)))
            .collect::<Result<_, _>>()?,
    })
}

/// Takes what `act` returned. Facts of the host's that it passes on are left out: what it did is done, and no reason
/// to fail.
///
/// # Errors
/// Names the bound that it is over.
pub(crate) fn facts_from(mut given: types::Labels, limits: &Limits) -> Result<Labels, StepFailure> {
    given.retain(|(name, _)| hosts_prefix(name).is_none());
    let bytes = check_facts(&given, limits)?;
    check_output(bytes, limits)?;
    Ok(facts_without_secrets(given))
}

/// Facts go into stories. By their shape alone: programs read them, and a name says little of what they are.
fn facts_without_secrets(mut facts: types::Labels) -> Labels {
    for (name, value) in &mut facts {
        shapes::mask(name);
        shapes::mask(value);
    }
    Labels::from_iter(facts)
}

/// What people read of a block, with secrets masked.
fn without_secrets(mut block: types::Block) -> types::Block {
    match &mut block {
        types::Block::Markdown(text) => shapes::mask(text),
        types::Block::Fields(fields) => {
            for (name, value) in fields {
                shapes::mask_named(name, value);
                shapes::mask(name);
            }
        }
        types::Block::Table(table) => {
            let cells = table.header.iter_mut();
            let cells = cells.chain(table.rows.iter_mut().flatten());
            cells.for_each(shapes::mask);
            shapes::mask(&mut table.title);
        }
        types::Block::Excerpt(excerpt) => {
            shapes::mask(&mut excerpt.title);
            shapes::mask(&mut excerpt.text);
        }
        types::Block::Link(link) => shapes::mask(&mut link.title),
        types::Block::Image(image) => shapes::mask(&mut image.title),
        types::Block::Custom(custom) => {
            shapes::mask(&mut custom.fallback);
            shapes::mask(&mut custom.data);
        }
    }
    block
}

fn check_facts(facts: &types::Labels, limits: &Limits) -> Result<usize, StepFailure> {
    if facts.len() > limits.facts_max {
        let what = format!("{} facts", facts.len());
        return Err(over(LimitName::Facts, facts.len(), &what, limits.facts_max));
    }
    let mut bytes = 0;
    for (name, value) in facts {
        if name.len() > limits.fact_name_bytes_max {
            let what = format!(
                "the name of the fact {:?} with {} bytes",
                masked(name, 32),
                name.len()
            );
            let max = limits.fact_name_bytes_max;
            return Err(over(LimitName::FactNameBytes, name.len(), &what, max));
        }
        check_fact_name(name)?;
        if value.len() > limits.fact_bytes_max {
            let name = masked(name, limits::TRACE_LINE_BYTES_MAX);
            let what = format!("the fact {name:?} with {} bytes", value.len());
            let max = limits.fact_bytes_max;
            return Err(over(LimitName::FactBytes, value.len(), &what, max));
        }
        bytes += name.len() + value.len();
    }
    Ok(bytes)
}

/// Facts are read by other handlers and shown to people: a name is one, and none is the host's.
fn check_fact_name(name: &str) -> Result<(), StepFailure> {
    let shown = || masked(name, limits::TRACE_LINE_BYTES_MAX);
    let why = if name.is_empty() {
        "without a name".to_owned()
    } else if name.contains(char::is_control) {
        format!("{:?}, whose name holds a control character", shown())
    } else if let Some(prefix) = hosts_prefix(name) {
        format!(
            "{:?}: names that begin with {prefix} are the host's",
            shown()
        )
    } else {
        return Ok(());
    };
    Err(StepFailure::Permanent(format!(
        "it returned a fact {why}: give it another name"
    )))
}

/// Returns what a name begins with that is the host's.
fn hosts_prefix(name: &str) -> Option<&'static str> {
    ["enrich_failed.", "storm."]
        .into_iter()
        .find(|prefix| name.starts_with(prefix))
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

fn block_bytes(block: &types::Block) -> usize {
    // What each string costs besides its bytes, so that a million empty ones are not free.
    const EACH: usize = 32;
    let pair = |(a, b): &(String, String)| a.len() + b.len() + 2 * EACH;
    match block {
        types::Block::Markdown(text) => text.len() + EACH,
        types::Block::Fields(fields) => fields.iter().map(pair).sum(),
        types::Block::Table(table) => {
            let cells = table.header.iter().chain(table.rows.iter().flatten());
            table.title.len()
                + EACH * table.rows.len()
                + cells.map(|c| c.len() + EACH).sum::<usize>()
        }
        types::Block::Excerpt(excerpt) => excerpt.title.len() + excerpt.text.len() + EACH,
        types::Block::Link(link) => link.title.len() + link.url.len() + EACH,
        types::Block::Image(image) => {
            image.title.len() + image.media_type.len() + image.data.len() + EACH
        }
        types::Block::Custom(custom) => {
            custom.kind.len() + custom.fallback.len() + custom.data.len() + EACH
        }
    }
}

fn block_from(block: types::Block) -> Result<Block, StepFailure> {
    Ok(match block {
        types::Block::Markdown(text) => Block::Markdown { text },
        types::Block::Fields(fields) => Block::Fields { fields },
        types::Block::Table(table) => {
            let width = table.header.len();
            if let Some(row) = table.rows.iter().position(|row| row.len() != width) {
                return Err(StepFailure::Permanent(format!(
                    "it returned the table {:?} whose row {row} has {} cells under a header of {width}",
                    cut(&table.title, 64),
                    table.rows[row].len()
                )));
            }
            Block::Table {
                title: table.title,
                header: table.header,
                rows: table.rows,
            }
        }
        types::Block::Excerpt(excerpt) => Block::Excerpt {
            title: excerpt.title,
            text: excerpt.text,
        },
        types::Block::Link(link) => {
            let url = link.url.to_ascii_lowercase();
            if !url.starts_with("https://") && !url.starts_with("http://") {
                return Err(StepFailure::Permanent(format!(
                    "it returned a link to {:?}: only http and https are shown",
                    masked(&link.url, 64)
                )));
            }
            Block::Link {
                title: link.title,
                url: link.url,
            }
        }
        types::Block::Image(image) => Block::Image {
            title: image.title,
            media_type: image.media_type,
            data: image.data,
        },
        types::Block::Custom(custom) => Block::Custom {
            name: custom.kind,
            fallback: custom.fallback,
            data: custom.data,
        },
    })
}

/// Takes a handler's own failure.
pub(crate) fn failure_from(failure: types::Failure) -> StepFailure {
    let after = |ms: Option<u32>| ms.map(|ms| Duration::from_millis(ms.into()));
    let message = |text: String| {
        if text.is_empty() {
            "the handler gave no reason".to_owned()
        } else {
            masked(&text, limits::FAILURE_BYTES_MAX)
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
    fn what_a_guest_returns_is_bounded_and_the_bound_is_named() {
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
    fn a_fact_has_a_name_that_is_not_the_hosts() {
        let facts = |name: &str| vec![(name.to_owned(), String::new())];
        let enriched = |name: &str| {
            let given = types::Enrichment {
                facts: facts(name),
                blocks: vec![],
            };
            enrichment_from(given, &Limits::default())
        };
        let hosts = ["enrich_failed.other", "storm.count"];
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
    fn an_actor_may_pass_on_the_hosts_facts_and_they_are_not_kept_as_its_own() {
        let names = ["enrich_failed.other", "ticket", "storm.count"];
        let given = names.map(|name| (name.to_owned(), "x".to_owned()));
        let kept = facts_from(given.to_vec(), &Limits::default()).unwrap();
        let own = vec![("ticket".to_owned(), "x".to_owned())];
        assert_eq!(kept, Labels::from_iter(own));
    }

    #[test]
    fn links_lead_to_the_web_and_rows_fit_their_header() {
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
    fn a_secret_in_a_name_or_a_link_that_is_refused_is_not_told() {
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
