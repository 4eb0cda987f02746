//! Slack accepts what is built, and untrusted text in it cannot notify, link or end its block.
#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::Value;

use super::markdown::to_mrkdwn;
use super::*;
use crate::mock::Host;
use crate::{Alert, Block, Cx, Description, Enrichment, Facts, Failure, Handler};

pub(super) fn blocks_of(blocks: &Blocks) -> Vec<Value> {
    serde_json::from_str(&blocks.to_json()).unwrap()
}

/// Lets the mock host check the blocks against Slack's limits, and returns what a person sees.
#[track_caller]
pub(super) fn visible(blocks: Blocks) -> String {
    let host = Host::new();
    host.cx()
        .slack()
        .post(Message::new("alerts", "text").blocks(blocks))
        .unwrap();
    host.posts()[0].visible()
}

#[test]
fn a_handler_cannot_turn_a_held_channel_into_a_permanent_failure() {
    #[derive(Debug)]
    struct Stubborn;
    impl crate::Handler for Stubborn {
        fn describe() -> crate::Description {
            crate::Description::new("stubborn", "0.1.0", "Gives up at once.")
        }
        fn act(
            cx: &crate::Cx,
            alert: &crate::Alert,
            _: &crate::Enrichment,
        ) -> Result<crate::Facts, crate::Failure> {
            let posted = cx.slack().post(Message::new("alerts", alert.name.as_str()));
            posted
                .map(|_| crate::Facts::new())
                .map_err(|error| crate::Failure::permanent(error.to_string()))
        }
    }
    let host = Host::new().hold_channel("alerts", "not_in_channel");
    let alert = crate::Alert::new("A");
    let failure = host.act::<Stubborn>(&alert, &crate::Enrichment::new());
    let failure = failure.expect_err("the channel is held");
    assert!(!failure.is_permanent(), "{failure:?}");
    assert!(failure.message().contains("not_in_channel"));
    let host = host.release_channel("alerts");
    assert!(
        host.act::<Stubborn>(&alert, &crate::Enrichment::new())
            .is_ok()
    );
}

#[test]
fn every_limit_of_slack_is_kept() {
    let long = "&".repeat(50_000);
    let wide: Vec<(String, String)> = (0..30)
        .map(|n| (format!("name{n}"), long.clone()))
        .collect();
    let mut blocks = Blocks::new()
        .header(&long)
        .section(&long)
        .fields(wide.iter().map(|(name, value)| (name, value.as_str())))
        .context(wide.iter().map(|(name, _)| name.as_str()))
        .context([long.as_str()])
        .buttons(
            wide.iter()
                .map(|(name, _)| (name, format!("https://example.com/{name}"))),
        )
        .buttons([(&long, "https://example.com")])
        .buttons([("too long", format!("https://example.com/{long}"))])
        .excerpt(&long, &long)
        .excerpt("log", &"line of a log\n".repeat(1_000))
        .markdown(&long)
        .links([(&long, "https://example.com")]);
    for _ in 0..60 {
        blocks = blocks.divider();
    }
    let shown = visible(blocks.clone());
    let kept = blocks_of(&blocks).len();
    assert!(blocks.to_json().len() <= limits::BLOCKS_BYTES_MAX);
    assert!(
        shown.ends_with(&format!("… and {} more blocks", blocks.len() - kept + 1)),
        "{shown}"
    );
    let count = blocks.len();
    let messages = blocks.in_messages(100);
    assert_eq!(messages.iter().map(Blocks::len).sum::<usize>(), count);
    for message in messages {
        assert!(message.to_json().len() <= limits::BLOCKS_BYTES_MAX);
        assert!(!visible(message).contains("more blocks"));
    }
}

#[test]
fn blocks_over_the_number_are_counted_or_go_into_more_messages() {
    let lines = (0..120).fold(Blocks::new(), |blocks, n| {
        blocks.section(format!("line {n}"))
    });
    assert_eq!(blocks_of(&lines).len(), limits::BLOCKS_MAX);
    assert!(visible(lines.clone()).ends_with("line 48\n… and 71 more blocks"));
    let lengths = |messages: Vec<Blocks>| messages.iter().map(Blocks::len).collect::<Vec<_>>();
    assert_eq!(lengths(lines.clone().in_messages(5)), [50, 50, 20]);
    assert_eq!(
        lengths(lines.in_messages(2)),
        [50, 70],
        "the last says how many are missing"
    );
    assert!(Blocks::new().in_messages(5).is_empty());
}

#[test]
fn what_is_empty_is_left_out() {
    let none: [(&str, &str); 0] = [];
    let blocks = Blocks::new()
        .header(" \n")
        .section("")
        .section(Mrkdwn::raw("  "))
        .fields(none)
        .context([""])
        .links(none)
        .buttons([("", "https://example.com")])
        .excerpt("log", "\n\n")
        .markdown("  ")
        .enrichment(&Enrichment::new());
    assert!(blocks.is_empty(), "{blocks:?}");
}

#[test]
fn text_from_outside_is_inert() {
    let hostile = "<!channel> <@U1> <https://evil.example|click> &amp; \u{202e}gnp.exe\u{7}";
    let expected =
        "&lt;!channel&gt; &lt;@U1&gt; &lt;https://evil.example|click&gt; &amp;amp; gnp.exe";
    assert_eq!(Mrkdwn::from(hostile).as_str(), expected);
    assert_eq!(Mrkdwn::new().bold("a\nb <c>").as_str(), "*a b &lt;c&gt;*");
    assert_eq!(Mrkdwn::new().code("a`b`").as_str(), "`a'b'`");
    assert_eq!(
        Mrkdwn::new().preformatted("a```b").as_str(),
        "```\na``\u{200b}`b\n```"
    );
    let object = &blocks_of(&Blocks::new().section(hostile))[0]["text"];
    assert_eq!(
        object["verbatim"], true,
        "Slack must not look for mentions itself"
    );
    let header = &blocks_of(&Blocks::new().header(hostile))[0]["text"]["text"];
    let shown = "<!channel> <@U1> <https://evil.example|click> &amp; gnp.exe";
    assert_eq!(*header, shown, "no markup, and nothing that reorders it");
}

#[test]
fn only_http_urls_become_links() {
    assert_eq!(
        Mrkdwn::new().link("javascript:alert(1)", "click").as_str(),
        "click"
    );
    assert_eq!(
        Mrkdwn::new()
            .link("https://a.example/?q=<x>|y&z", "a|b")
            .as_str(),
        "<https://a.example/?q=%3Cx%3E%7Cy&amp;z|a¦b>"
    );
    assert_eq!(
        Mrkdwn::new()
            .prose("see (https://a.example/x), or http://b.example.")
            .as_str(),
        "see (<https://a.example/x|https://a.example/x>), or <http://b.example|http://b.example>."
    );
}

#[test]
fn a_cut_leaves_no_half_of_an_escape_a_link_or_a_code_block() {
    let long = |start: &str| truncate(&format!("{start}{}", "x".repeat(50)), 20);
    assert_eq!(long(""), format!("{}…", "x".repeat(15)));
    assert_eq!(long("12345678901234&amp;"), "12345678901234…");
    assert_eq!(long("1234 <https://example.com|x>"), "1234…");
    assert_eq!(long("```\nabc\n"), "```\nabc\nxxxxxxx…\n```");
    assert_eq!(truncate("short", 20), "short");
    for max in 0..60 {
        let cut = truncate(
            &format!(
                "{}```\nab\n```{}",
                "&amp;<http://a|b>".repeat(3),
                "é".repeat(40)
            ),
            max,
        );
        assert!(cut.chars().count() <= max.max(1), "{max}: {cut}");
    }
}

#[test]
fn an_excerpt_keeps_its_end() {
    let log: String = (0..1_000).map(|n| format!("line {n}\n")).collect();
    let visible = visible(Blocks::new().excerpt("Log", &log));
    assert!(visible.starts_with("*Log*\n```\n…\nline "), "{visible}");
    assert!(visible.ends_with("line 999\n```"), "{visible}");
}

#[test]
fn every_kind_of_block_is_rendered() {
    let found = Enrichment::new()
        .with_block(Block::markdown("## What changed\nImage **a** → `b`"))
        .with_block(Block::fields([("Node", "n1"), ("Empty", "")]))
        .with_block(Block::table(
            "Pods",
            ["pod", "restarts"],
            [
                vec!["web-1".to_owned(), "14".to_owned()],
                vec!["w".to_owned(), "3".to_owned()],
            ],
        ))
        .with_block(Block::excerpt("Log", "token=abc"))
        .with_block(Block::link("A", "https://a.example"))
        .with_block(Block::link("B", "https://b.example"))
        .with_block(Block::image("CPU of n1", "image/png", vec![1]))
        .with_block(Block::custom("chart", "*see* [C](https://c.example)", "{}"));
    assert_eq!(
        visible(Blocks::new().enrichment(&found)),
        "*What changed*\nImage *a* → `b`\n\
         *Node*\nn1\n*Empty*\n–\n\
         *Pods*\n```\npod    restarts\nweb-1  14\nw      3\n```\n\
         *Log*\n```\ntoken=[masked]\n```\n\
         <https://a.example|A> · <https://b.example|B>\n\
         Picture, not shown here: CPU of n1\n\
         _see_ <https://c.example|C>"
    );
}

#[test]
fn a_table_that_is_too_long_says_how_many_rows_are_missing() {
    let rows = (0..500).map(|n| vec![format!("pod-{n}"), "x".repeat(30)]);
    let found = Enrichment::new().with_block(Block::table("Pods", ["pod", "what"], rows));
    let visible = visible(Blocks::new().enrichment(&found));
    let shown = visible.matches("pod-").count();
    assert!((20..200).contains(&shown), "{visible}");
    assert!(
        visible.ends_with(&format!("… and {} more rows", 500 - shown)),
        "{visible}"
    );
}

#[test]
fn markdown_becomes_mrkdwn() {
    for (markdown, expected) in [
        (
            "**bold** __bold__ *em* _em_ ~~gone~~",
            "*bold* *bold* _em_ _em_ ~gone~",
        ),
        ("**a _b_ c**", "*a _b_ c*"),
        ("snake_case_name 2*3*4", "snake_case_name 2*3*4"),
        (
            "* star\n- dash\n  + nested\n1. first",
            "• star\n• dash\n  • nested\n1. first",
        ),
        ("# Title **x** #\ntext", "*Title x*\ntext"),
        ("`a < b` <!here>", "`a &lt; b` &lt;!here&gt;"),
        (
            "```rust\nlet a = *b;\n```\nafter",
            "```\nlet a = *b;\n```\nafter",
        ),
        ("```\nnever closed", "```\nnever closed\n```"),
        (
            "[t](https://a.example) [x](javascript:1) ![p](https://b.example)",
            "<https://a.example|t> x <https://b.example|p>",
        ),
        (
            "https://a.example/x_y_z.",
            "<https://a.example/x_y_z|https://a.example/x_y_z>.",
        ),
        ("> quoted", "> quoted"),
        (r"\*not em\*", "*not em*"),
        ("** not tight ** and 5 * 3", "** not tight ** and 5 * 3"),
        ("[not a link] (x)", "[not a link] (x)"),
    ] {
        assert_eq!(to_mrkdwn(markdown).as_str(), expected, "{markdown}");
    }
}

#[test]
fn errors_become_the_failure_that_fits() {
    let wait = Duration::from_millis(1_500);
    assert_eq!(
        Failure::from(Error::RateLimited(wait)).retry_after(),
        Some(wait)
    );
    for error in [Error::Unavailable("x".to_owned()), Error::Timeout] {
        assert!(matches!(Failure::from(error), Failure::Unavailable(_)));
    }
    for error in [
        Error::Denied("x".to_owned()),
        Error::Invalid("x".to_owned()),
        Error::NotFound,
    ] {
        assert!(Failure::from(error).is_permanent());
    }
}

/// Posts a message with blocks.
fn posted(host: &Host) -> MessageRef {
    let blocks = Blocks::new().section("firing");
    host.cx()
        .slack()
        .post(Message::new("alerts", "firing").blocks(blocks))
        .unwrap()
}

#[test]
fn an_update_without_blocks_removes_the_old_ones() {
    let host = Host::new();
    let at = posted(&host);
    host.cx()
        .slack()
        .update(&at, Message::new("alerts", "plain"))
        .unwrap();
    let update = &host.updates()[0];
    assert_eq!(
        (update.text.as_str(), update.visible()),
        ("plain", String::new())
    );
}

#[test]
fn a_change_that_slack_refuses_becomes_a_new_message() {
    for error in [Error::NotFound, Error::Invalid("update_failed".to_owned())] {
        let host = Host::new();
        let at = posted(&host);
        let host = host.slack_error(error);
        let shown = host
            .cx()
            .slack()
            .update_or_post(&at, Message::new("alerts", "ended"))
            .unwrap();
        assert_eq!(shown, Shown::Posted(host.posts()[1].at.clone()));
        assert_eq!(host.posts()[1].key.as_deref(), Some("message"));
    }
    let host = Host::new();
    let at = posted(&host);
    for error in [
        Error::Timeout,
        Error::Unavailable("internal_error".to_owned()),
    ] {
        let host = host.clone().slack_error(error.clone());
        assert_eq!(
            host.cx()
                .slack()
                .update_or_post(&at, Message::new("alerts", "ended")),
            Err(error)
        );
    }
    let shown = host
        .cx()
        .slack()
        .update_or_post(&at, Message::new("alerts", "ended"))
        .unwrap();
    assert_eq!(shown, Shown::Updated(at));
    assert_eq!(host.posts().len(), 1);
}

#[test]
fn a_refused_reply_is_a_warning_and_a_late_one_is_tried_again() {
    let host = Host::new();
    let at = posted(&host);
    let reply = || Message::new("alerts", "resolved");
    let code = "restricted_action_non_threadable_channel";
    for error in [
        Error::Invalid(code.to_owned()),
        Error::Denied("x".to_owned()),
        Error::NotFound,
    ] {
        let host = host.clone().slack_error(error);
        assert!(matches!(
            host.cx().slack().reply(&at, reply()),
            Ok(Reply::Refused(_))
        ));
    }
    assert!(
        host.logs()[0].fields[0].1.contains(code),
        "{:?}",
        host.logs()
    );
    assert_eq!(host.logs().len(), 3);
    // The message was posted, and then the channel stopped accepting messages of the app.
    for code in ["is_archived", "not_in_channel", "restricted_action"] {
        let held = host.clone().hold_channel("alerts", code);
        assert!(
            matches!(held.cx().slack().reply(&at, reply()), Ok(Reply::Refused(why)) if why.contains(code))
        );
        let other = held.cx().slack().post(reply());
        assert!(matches!(other, Err(Error::Unavailable(_))), "{other:?}");
        let _ = held.release_channel("alerts");
    }
    let away = Error::Unavailable("Slack answered service_unavailable".to_owned());
    let host = host.slack_error(away.clone());
    assert_eq!(host.cx().slack().reply(&at, reply()), Err(away));
    let limited = Error::RateLimited(Duration::from_secs(1));
    let host = host.slack_error(limited.clone());
    assert_eq!(host.cx().slack().reply(&at, reply()), Err(limited));
    assert!(matches!(
        host.cx().slack().reply(&at, reply()),
        Ok(Reply::Posted(_))
    ));
    assert_eq!(host.posts()[1].thread.as_ref(), Some(&at));
}

#[test]
fn slack_is_denied_during_enrichment() {
    struct TooEarly;
    impl Handler for TooEarly {
        fn describe() -> Description {
            Description::new("too-early", "0.1.0", "Posts too early.")
        }
        fn enrich(cx: &Cx, _: &Alert, _: &Enrichment) -> Result<Enrichment, Failure> {
            cx.slack().post(Message::new("alerts", "hi"))?;
            Ok(Enrichment::new())
        }
        fn act(_: &Cx, _: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
            Ok(found.failures().collect())
        }
    }
    let host = Host::new();
    let run = host.run::<TooEarly>(&Alert::new("A"));
    assert!(
        run.facts()
            .get("too-early")
            .unwrap()
            .contains("denied during `enrich`"),
        "{run:?}"
    );
    assert!(host.posts().is_empty());
}

#[test]
#[should_panic(expected = "a section has 3001, at most 3000 are allowed")]
fn the_mock_host_is_as_strict_as_slack() {
    let text = "x".repeat(3_001);
    let json = format!(r#"[{{"type":"section","text":{{"type":"mrkdwn","text":"{text}"}}}}]"#);
    let message = Message::new("alerts", "text").into_wire(limits::TEXT_CHARS_MAX);
    let _ = Host::new().cx().slack().imports.slack_post(&wire::Message {
        blocks: Some(json),
        ..message
    });
}

#[test]
fn a_file_is_uploaded_once_and_a_server_without_uploads_says_so() {
    let host = Host::new().allow_uploads();
    let file = || File::new("load.png", "the load", "image/png", [1, 2]).key("load");
    let at = host.cx().slack().upload(file()).unwrap();
    let uploads = host.uploads();
    assert_eq!((&uploads[0].at, uploads.len()), (&at, 1));
    assert_eq!(uploads[0].data, [1, 2]);
    let host = Host::new();
    let error = host.cx().slack().upload(file()).unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    assert!(host.uploads().is_empty());
    let long = File::new("a.png", "a", "image/png", []).key("k".repeat(257));
    assert!(matches!(
        host.cx().slack().upload(long),
        Err(Error::Invalid(_))
    ));
}
