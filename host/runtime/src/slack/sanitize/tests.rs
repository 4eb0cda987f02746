//! Markup from the alert is escaped, and the handler's own is sent.

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
    let safe = AlertTexts::of(&alert, &found).sanitize(text);
    safe.unwrap_or_else(|| text.to_owned())
}

#[test]
fn a_mention_from_a_label_is_escaped() {
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
        // Divided between two labels that the handler joins.
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
fn a_mention_that_the_handler_wrote_is_sent() {
    let text = "<!subteam^S1> <@U1>: look at <https://r.example|the runbook>, <!date^1^{time}|t>";
    assert_eq!(sanitized(&["<!channel>", "a<b"], text), text);
    assert_eq!(sanitized(&["web"], "1 < 2 < 3"), "1 < 2 < 3");
}

#[test]
fn markup_other_than_links_to_the_web_is_escaped() {
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
fn blocks_are_sanitized_in_the_fields_where_slack_interprets_markup() {
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
        AlertTexts::of(&alert, &found)
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
        !AlertTexts::of(&alert, &found)
            .sanitize_blocks(&mut blocks)
            .unwrap()
            .markup
    );
}

#[test]
fn a_button_with_another_scheme_is_refused() {
    let (alert, found) = (alert(&[]), Enrichment::default());
    let button =
        |url: &str| json!([{"type": "actions", "elements": [{"type": "button", "url": url}]}]);
    let judged = |url: &str| AlertTexts::of(&alert, &found).sanitize_blocks(&mut button(url));
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
        AlertTexts::of(&alert, &found)
            .sanitize_blocks(&mut deep)
            .is_err()
    );
}

#[test]
fn a_message_with_very_many_mentions_is_sanitized_quickly() {
    let label = "x<".repeat(50_000);
    let text: String = (0..50_000).map(|n| format!("<!{n}>")).collect();
    let safe = sanitized(&[&label], &text);
    assert!(safe.starts_with("<!0>") && safe.ends_with("&lt;!49999&gt;"));
}
