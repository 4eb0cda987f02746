//! The size limits of a message, and the texts of its parts.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::mock::Host;
use crate::slack::{Blocks, Most, Size};
use crate::{Block, Timestamp};

fn none() -> Size {
    Size::default()
}

#[test]
fn nothing_goes_over_the_bounds() {
    let long = "&<>long ".repeat(200);
    let tall = "line\n".repeat(60);
    for text in [long.as_str(), &tall, "```\nfenced\n```"] {
        let mut card = Card::new(Mrkdwn::from(long.as_str()).truncated(TEXT_CHARS_MAX), &long)
            .end([("Runbook", "https://r.example")], Mrkdwn::from("since"));
        for _ in 0..40 {
            card = card
                .section(Mrkdwn::from(text))
                .section(Mrkdwn::new().preformatted(text));
            card = card.whole(Blocks::new().section("one more"), none());
        }
        let size = card.blocks().size();
        assert!(
            size.blocks <= BLOCKS_MAX && size.lines <= LINES_MAX,
            "{size:?}"
        );
        let host = Host::new();
        host.cx().slack().post(card.message("alerts")).unwrap();
        let post = &host.posts()[0];
        let shown = post.visible();
        assert!(
            shown.chars().count() + post.text.chars().count() <= CHARS_MAX,
            "{shown}"
        );
        assert_eq!(shown.lines().count(), size.lines, "{shown}");
        assert_eq!(shown.chars().count() + 1, size.chars, "{shown}");
        assert!(
            shown.contains("|Runbook>") && shown.ends_with("since"),
            "{shown}"
        );
        assert_eq!(shown.matches("```").count() % 2, 0, "{shown}");
        assert!(
            !card.thread("alerts", "more").is_empty(),
            "what found no room is in the thread"
        );
    }
}

#[test]
fn what_does_not_fit_whole_goes_into_the_thread() {
    let card = Card::new(Mrkdwn::from("text"), "header");
    let many = (0..20).fold(Blocks::new(), |blocks, n| {
        blocks.section(format!("finding {n}"))
    });
    let card = card
        .whole(Blocks::new().section("short"), none())
        .whole(many, none())
        .whole(
            Blocks::new().section("no room is left for it"),
            Size {
                lines: 24,
                ..none()
            },
        );
    assert_eq!(card.blocks().len(), 2);
    let host = Host::new();
    let cx = host.cx();
    let at = cx.slack().post(card.message("alerts")).unwrap();
    assert_eq!(
        card.post_thread(&cx, "alerts", "More", &at).unwrap(),
        Some("posted")
    );
    let reply = &host.posts()[1];
    assert_eq!(
        (reply.thread.as_ref(), reply.key.as_deref()),
        (Some(&at), Some("thread"))
    );
    assert!(
        reply.visible().contains("finding 19") && reply.visible().contains("no room"),
        "{reply:?}"
    );
    let small = Card::new(Mrkdwn::from("text"), "header");
    assert_eq!(small.post_thread(&cx, "alerts", "More", &at).unwrap(), None);
}

#[test]
fn characters_of_any_size_fit_and_the_rest_is_in_the_thread() {
    for alphabet in ["word ", "監視 ", "👩‍👩‍👧 ", "\"\\ "] {
        let text: String = (0..1_200).map(|n| format!("¦{n}¦{alphabet}")).collect();
        let context = Mrkdwn::from(alphabet.repeat(300)).truncated(800);
        let card = Card::new(Mrkdwn::from("text"), &alphabet.repeat(200))
            .end([("Runbook", "https://r.example")], context)
            .section(Mrkdwn::from(text.as_str()))
            .section(Mrkdwn::from("at the end"));
        let json = card.blocks().to_json();
        assert!(
            json.len() <= crate::slack::limits::BLOCKS_BYTES_MAX,
            "{}",
            json.len()
        );
        assert_eq!(
            card.blocks().len(),
            serde_json::from_str::<Vec<serde_json::Value>>(&json)
                .unwrap()
                .len()
        );
        let host = Host::new();
        let cx = host.cx();
        let at = cx.slack().post(card.message("alerts")).unwrap();
        card.post_thread(&cx, "alerts", "More", &at).unwrap();
        let posts = host.posts();
        assert!(posts[0].visible().contains("|Runbook>") && posts[0].visible().contains("¦0¦"));
        let all: String = posts.iter().map(|post| post.visible()).collect();
        for n in 0..1_200 {
            assert_eq!(all.matches(&format!("¦{n}¦")).count(), 1, "{alphabet} {n}");
        }
        assert!(all.ends_with("at the end"), "{all}");
    }
}

#[test]
fn a_refused_thread_is_a_warning() {
    let host = Host::new().slack_error(crate::slack::Error::Invalid(
        "restricted_action_non_threadable_channel".to_owned(),
    ));
    let cx = host.cx();
    let card = Card::new(Mrkdwn::from("text"), "header").in_thread(Blocks::new().section("more"));
    let outcome = card
        .post_thread(&cx, "alerts", "More", &host.earlier_message())
        .unwrap();
    assert_eq!(outcome, Some("failed"));
    assert_eq!(host.logs().len(), 1);
}

#[test]
fn severity_shows_as_an_emoji_that_a_setting_changes() {
    let status = |host: Host, severity: &str| {
        let alert = Alert::new("A").with_label("severity", severity);
        Notice::new(&host.cx(), &alert, &Enrichment::new())
            .status()
            .to_string()
    };
    for (severity, expected) in [
        ("CRITICAL", "🔴 *FIRING* · critical"),
        ("warn", "🟠 *FIRING* · warn"),
        ("info", "🔵 *FIRING* · info"),
        ("team-a", "⚪ *FIRING* · team-a"),
    ] {
        assert_eq!(status(Host::new(), severity), expected);
    }
    assert_eq!(
        status(Host::new().config("emoji", "off"), "page"),
        "*FIRING* · page"
    );
    let own = Host::new().config("emoji.critical", ":fire:");
    assert_eq!(status(own, "page"), ":fire: *FIRING* · page");
    let ended = Alert::new("A")
        .with_label("priority", "P0")
        .into_resolved(Timestamp::from_seconds(60));
    let host = Host::new();
    let cx = host.cx();
    let found = Enrichment::new();
    assert_eq!(
        Notice::new(&cx, &ended, &found).status().as_str(),
        "✅ *RESOLVED* · P0"
    );
}

#[test]
fn links_that_do_not_fit_are_left_out() {
    let host = Host::new().config("runbook_base", "https://runbooks.example.com/");
    let mut alert = Alert::new("Disk full?").with_annotation(
        "dashboard_url",
        "https://d.example/".to_owned() + &"d".repeat(900),
    );
    alert.generator_url = Some("https://p.example/graph?a=1&b=2".to_owned());
    let cx = host.cx();
    let found = Enrichment::new();
    let links = Notice::new(&cx, &alert, &found).links(None);
    let expected = [
        (
            "Runbook",
            "https://runbooks.example.com/Disk%20full%3F".to_owned(),
        ),
        ("Query", "https://p.example/graph?a=1&b=2".to_owned()),
    ];
    assert_eq!(links, expected);
}

#[test]
fn the_delivery_leads_to_its_page_if_there_is_one() {
    let said = |base: Option<&str>| {
        let host = base.map_or_else(Host::new, |base| Host::new().config("story_base", base));
        let (cx, alert, found) = (host.cx(), Alert::new("A"), Enrichment::new());
        let context = Notice::new(&cx, &alert, &found).context([]);
        context
            .as_str()
            .rsplit(" · ")
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(said(None), "delivery d-1");
    assert_eq!(
        said(Some("https://a.example/deliveries")),
        "<https://a.example/deliveries/d-1|delivery d-1>"
    );
    // Neither a setting that is no address nor one that leaves no room breaks the line.
    assert_eq!(said(Some("here")), "delivery d-1");
    let long = format!("https://a.example/{}", "x".repeat(500));
    assert_eq!(said(Some(&long)), "delivery d-1");
}

#[test]
fn a_failure_is_one_masked_line_without_configuration() {
    for (why, told) in [
        (
            "GET x: not granted: handlers:\n  a:\n    allow: …",
            "not granted",
        ),
        ("\n token=hunter2 refused\nmore", "token=[masked] refused"),
        ("", "no reason given"),
    ] {
        let found = Enrichment::new().with_fact("enrich_failed.kube", why);
        let (host, alert) = (Host::new(), Alert::new("A"));
        let cx = host.cx();
        let failures = Notice::new(&cx, &alert, &found).failures();
        assert_eq!(failures, [("kube", told.to_owned())]);
    }
}

#[test]
fn facts_that_are_said_elsewhere_are_left_out() {
    let found = Enrichment::new()
        .with_fact("owner", "team-<a>")
        .with_fact("crash.reason", "x")
        .with_fact("storm.count", 412)
        .with_fact("late.why", "it waited for a free slot")
        .with_fact("priority", "warning")
        .with_fact("runbook_url", "https://r.example/a")
        .with_block(Block::link("Runbook", "https://r.example/a"))
        .with_block(Block::markdown("x"));
    let (host, alert) = (Host::new(), Alert::new("A"));
    let cx = host.cx();
    let notice = Notice::new(&cx, &alert, &found);
    assert_eq!(
        notice.facts(|name| name.starts_with("crash.")).as_str(),
        "*owner* team-&lt;a&gt;"
    );
}

#[test]
fn text_is_cut_by_lines_and_characters() {
    let cut = |text: &str, lines| {
        let most = Most {
            lines,
            ..Most::of_chars(usize::MAX)
        };
        Mrkdwn::raw(text).split(most).0.to_string()
    };
    assert_eq!(cut("a\nb\nc", 3), "a\nb\nc");
    assert_eq!(cut("a\nb\nc", 2), "a\nb …");
    assert_eq!(cut("t\n```a\nb\nc```", 3), "t\n```a …```");
    assert_eq!(clip("a\n b  c", 10), "a b c");
    assert_eq!(clip("äöüß", 3), "äö…");
}
