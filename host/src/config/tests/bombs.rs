//! Configurations that would cost far too much to read, and others that fuzzing found.

use std::fmt::Write as _;

use super::{CLOSED, Given, problems};

#[test]
fn aliases_that_stand_for_a_thousand_million_are_refused() {
    let mut bomb = format!(
        "{CLOSED}handlers:\n  a0: &a0 {{ config: {{ x: [x, x, x, x, x, x, x, x, x, x] }} }}\n"
    );
    for level in 1..10 {
        let before = format!("*a{}", level - 1);
        let ten = [before.as_str(); 10].join(", ");
        let _ = writeln!(bomb, "  a{level}: &a{level} [{ten}]");
    }
    let found = problems(Given::new(), &bomb);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("more than 64 MiB"), "{found:?}");
    let long = format!(
        "{CLOSED}handlers:\n  a: &a {}\n  b: [{}]\n",
        "x".repeat(100_000),
        "*a, ".repeat(1_000)
    );
    assert!(problems(Given::new(), &long)[0].contains("more than 64 MiB"));
}

#[test]
fn nesting_without_end_is_refused_before_it_is_read() {
    for text in [
        "[".repeat(1_000_000),
        "- ".repeat(1_000_000),
        "{a: ".repeat(1_000_000),
        "? ".repeat(1_000_000),
    ] {
        let found = problems(Given::new(), &format!("{CLOSED}handlers: {text}"));
        assert!(!found.is_empty());
        assert!(found.iter().all(|problem| problem.len() < 500), "{found:?}");
    }
}

#[test]
fn a_custom_tag_is_refused_at_its_place() {
    // The library has no position for what follows a tag: this was reported for line 0.
    let found = problems(Given::new(), "slack:\n !preview: true\n");
    assert!(found[0].starts_with("am.yml:2:"), "{found:?}");
    assert!(found[0].contains("without a tag"), "{found:?}");
}
