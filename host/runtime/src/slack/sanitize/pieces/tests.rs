//! Mentions from an alert, in several pieces.

use super::*;

fn is_from_alert(values: &[&str], text: &str) -> bool {
    let (open, end) = (text.rfind('<'), text.rfind('>'));
    let (Some(open), Some(end)) = (open, end) else {
        panic!("{text} has no mention");
    };
    let pieces = Pieces::of(values.iter().copied());
    pieces.seen_in(text).is_from_alert(open, end + 1)
}

/// Returns every way to cut `text` into at most this many pieces.
fn splits(text: &str, pieces_max: usize) -> Vec<Vec<&str>> {
    let mut splits = vec![vec![text]];
    if pieces_max > 1 {
        for at in 1..text.len() {
            for rest in splits_of(&text[at..], pieces_max - 1) {
                let mut split = vec![&text[..at]];
                split.extend(rest);
                splits.push(split);
            }
        }
    }
    splits
}

fn splits_of(text: &str, pieces_max: usize) -> Vec<Vec<&str>> {
    splits(text, pieces_max)
}

#[test]
fn a_mention_of_joined_pieces_comes_from_the_alert() {
    for mention in ["<!channel>", "<!here|x>", "<@U012>", "<!subteam^S1>"] {
        for split in splits(mention, 4) {
            assert!(
                is_from_alert(&split, &format!("pod {mention} is down")),
                "{split:?}"
            );
            // With other text around the pieces in their labels.
            let mut wide: Vec<String> = split.iter().map(|piece| (*piece).to_owned()).collect();
            wide[0] = format!("a b {}", wide[0]);
            let wide: Vec<&str> = wide.iter().map(String::as_str).collect();
            assert!(
                is_from_alert(&wide, &format!("pod a b {mention} is down")),
                "{wide:?}"
            );
        }
    }
}

#[test]
fn a_mention_is_recognized_after_the_handler_has_decoded_or_split_texts() {
    for (values, text) in [
        (&["<!CHANNEL>"][..], "<!channel>"),
        (&["&lt;!channel&gt;"], "<!channel>"),
        (&["&amp;lt;", "!channel"], "<!channel>"),
        (&[r"\u003c!channel\u003e"], "<!channel>"),
        (&["%3C", "!here", "%3E"], "<!here>"),
        (&[" <", "!here "], "<!here>"),
        (&["a,<,b", "!here>"], "<!here>"),
        (&["a\n<", "!here>"], "a <!here>"),
        // Cut within the mention, and continued by another text.
        (
            &["a long text <!chxxxxx", "annel"],
            "a long text <!channel>",
        ),
        // Only the word.
        (&["channel"], "<!channel>"),
        (&["every", "one"], "<!everyone>"),
    ] {
        assert!(is_from_alert(values, text), "{values:?} in {text}");
    }
}

#[test]
fn an_ordinary_alert_leaves_the_handlers_mentions_alone() {
    let values = [
        "free < 10%",
        "p99 > 1s",
        "@oncall: look here",
        "a<b",
        "1",
        "e",
        "c",
        "h",
        "ch",
        "#ops",
        "sent to #ops!",
        "<https://a.example|a>",
        "<@U099> owns this",
        "web-0",
        "if x <= 1 && y >= 2",
    ];
    for mention in [
        "<!channel>",
        "<!here>",
        "<!everyone>",
        "<@U012>",
        "<!subteam^S1>",
        "<#C1>",
    ] {
        assert!(
            !is_from_alert(&values, &format!("free < 10% {mention}: look")),
            "{mention}"
        );
    }
}

#[test]
fn no_mention_is_sent_for_an_alert_with_thousands_of_marks() {
    let values: Vec<String> = (0..PIECES_MAX + 2).map(|n| format!("<{n}")).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    assert!(is_from_alert(&values, "<!here>"));
    assert!(!is_from_alert(&values[..PIECES_MAX], "<!here>"));
}

#[test]
fn no_mention_is_sent_for_an_alert_that_takes_too_many_steps_to_decode() {
    let label = "\\".repeat(4_096);
    assert!(!is_from_alert(&[label.as_str(); 8], "<!here>"));
    assert!(is_from_alert(&[label.as_str(); 100], "<!here>"));
}

#[test]
fn a_text_that_repeats_a_piece_is_searched_in_one_pass() {
    for (piece, text, found_max) in [
        ("<a".repeat(5_000), "<a".repeat(20_000), 1),
        ("<".to_owned(), "<".repeat(20_000), 1),
        ("<aab<aa".to_owned(), "<aab".repeat(9), 1),
        (
            format!("<{}<", "a".repeat(500)),
            format!("<{}", "a".repeat(500)).repeat(50),
            1,
        ),
    ] {
        let found: Vec<_> = places(&text, &piece).collect();
        assert!(
            found.len() <= found_max,
            "{} times {}",
            found.len(),
            &piece[..3]
        );
    }
}

#[test]
fn a_mention_is_recognized_after_the_handler_has_dropped_characters() {
    for (values, text) in [
        (&["<!`channel`>"][..], "<!channel>"),
        (&["a <\u{1b}[0m!channel> b"], "<!channel>"),
        (&["<!ch\u{1b}[31mannel>"], "<!channel>"),
        (&["<!chan\u{200b}nel>"], "<!channel>"),
        (&["<\"!here\">"], "<!here|x>"),
        (&["owners: channel, here"], "<!channel>"),
        (&["owners: channel, here"], "<!here>"),
        (&["ping=everyone"], "<!everyone>"),
    ] {
        assert!(is_from_alert(values, text), "{values:?} in {text}");
    }
    for value in [
        "the channel is down, look there",
        "there: where",
        "<-- !!",
        "a here",
    ] {
        for mention in ["<!channel>", "<!here>"] {
            assert!(!is_from_alert(&[value], mention), "{value}: {mention}");
        }
    }
}
