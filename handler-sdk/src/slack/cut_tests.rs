//! What is cut is cut where a person would cut it, and nothing is lost.

use super::mrkdwn::{json_bytes, split};
use super::tests::{blocks_of, visible};
use super::*;

/// Texts whose characters have one to four bytes, are escaped in JSON or in markup, or belong together.
const ALPHABETS: [&str; 6] = ["word ", "größer ", "監視", "👩‍👩‍👧 ", "\"\\\n", "<&> "];

#[test]
fn blocks_over_the_limit_of_all_together_keep_their_head_and_their_links() {
    for alphabet in ALPHABETS {
        let long = alphabet.repeat(3_000);
        for paragraphs in [1, 2, 20, 70] {
            let blocks = (0..paragraphs)
                .fold(Blocks::new().header("Disk full · db-1"), |blocks, _| {
                    blocks.section(long.as_str())
                });
            let blocks = blocks
                .links([
                    ("Runbook", "https://r.example"),
                    ("Silence", "https://s.example"),
                ])
                .context([format!("since 3:12 {}", alphabet.repeat(200))]);
            let json = blocks.to_json();
            assert!(
                json.len() <= limits::BLOCKS_BYTES_MAX,
                "{alphabet} {}",
                json.len()
            );
            let shown = visible(blocks);
            assert!(shown.starts_with("Disk full · db-1\n"), "{shown}");
            let links = "<https://r.example|Runbook> · <https://s.example|Silence>\nsince 3:12";
            assert!(shown.contains(links), "{alphabet}: {shown}");
            let said = shown.chars().count();
            assert!(
                said > 500,
                "{alphabet} {paragraphs}: only {said} characters are left"
            );
            if paragraphs != 2 {
                let is_counted = shown.contains("more blocks");
                assert_eq!(
                    is_counted,
                    paragraphs > 2,
                    "{alphabet} {paragraphs}\n{shown}"
                );
            }
        }
    }
}

#[test]
fn paragraphs_of_any_text_lose_nothing_and_each_fits() {
    for alphabet in ALPHABETS {
        let numbered = |n: usize| format!("{n}: {} ", alphabet.trim());
        let text: String = (0..900).map(numbered).collect();
        let blocks = Blocks::new().paragraphs(text.as_str());
        let shown: Vec<String> = blocks_of_all(blocks);
        for part in &shown {
            assert!(part.chars().count() <= limits::SECTION_CHARS_MAX);
            assert!(json_bytes(part) <= limits::BLOCKS_BYTES_MAX - 200);
        }
        let all: String = shown.concat().replace(['…', ' ', '\n'], "");
        let expected = Mrkdwn::from(text.as_str())
            .as_str()
            .replace([' ', '\n'], "");
        assert_eq!(all, expected, "{alphabet}");
    }
}

/// Returns the text of each section, in messages as long as needed.
fn blocks_of_all(blocks: Blocks) -> Vec<String> {
    let messages = blocks.in_messages(usize::MAX);
    let sections = messages.iter().flat_map(blocks_of);
    sections
        .filter_map(|block| Some(block["text"]["text"].as_str()?.to_owned()))
        .collect()
}

#[test]
fn a_cut_at_any_place_leaves_markup_whole_and_loses_nothing() {
    let pieces = [
        "plain words ",
        "&amp;&lt; ",
        "<https://a.example/x?y|a title> ",
        "größer 監視👩‍👩‍👧 ",
        "```\nlog line\nanother\n``` ",
        "\n",
    ];
    for start in 0..pieces.len() {
        let text: String = (0..40)
            .map(|n| pieces[(start + n * n) % pieces.len()])
            .collect();
        for chars in (20..600).step_by(7) {
            for lines in [2, 3, 7, usize::MAX] {
                for json_bytes_max in [60, 400, usize::MAX] {
                    let most = Most {
                        lines,
                        chars,
                        json_bytes: json_bytes_max,
                    };
                    let (head, rest) = split(&text, most);
                    assert!(head.chars().count() <= chars, "{most:?}: {head}");
                    assert!(head.lines().count() <= lines, "{most:?}: {head}");
                    assert!(json_bytes(&head) <= json_bytes_max, "{most:?}: {head}");
                    for part in [&head, &rest] {
                        assert_eq!(part.matches("```").count() % 2, 0, "{most:?}: {part}");
                        assert_eq!(
                            part.matches('<').count(),
                            part.matches('>').count(),
                            "{most:?}: {part}"
                        );
                        assert_eq!(
                            part.matches('&').count(),
                            part.matches(';').count(),
                            "{most:?}: {part}"
                        );
                    }
                    let bare = |text: &str| text.replace(['…', ' ', '\n', '`'], "");
                    assert_eq!(bare(&head) + &bare(&rest), bare(&text), "{most:?}");
                }
            }
        }
    }
}
