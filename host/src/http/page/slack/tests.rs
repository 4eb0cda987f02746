//! Each kind of block and each mark of a text, with what Slack's reference says of it.

#![allow(clippy::unwrap_used, reason = "tests")]

use askama::Template as _;
use scraper::{Html, Selector};
use serde_json::{Value, json};

use super::mrkdwn::{mrkdwn, plain};
use super::{Conversation, Sent, Standing};
use crate::alert::Timestamp;

fn sent(message: &Value, seconds: i64) -> Sent<'_> {
    Sent {
        at: Timestamp::from_second(seconds).unwrap(),
        standing: Standing::Posted,
        message,
    }
}

fn drawn(messages: &[Value]) -> Html {
    let calls = (0..).zip(messages).map(|(n, message)| sent(message, n));
    let html = Conversation::of(calls).render().unwrap();
    let html = Html::parse_fragment(&html);
    assert!(html.errors.is_empty(), "{:?}", html.errors);
    html
}

/// Draws one block.
fn block(block: &Value) -> Html {
    drawn(&[json!({ "method": "post", "channel": "a", "ts": "1", "text": "t", "blocks": [block] })])
}

/// Returns the text of each element, with white space as a browser shows it.
fn texts(html: &Html, selector: &str) -> Vec<String> {
    let selector = Selector::parse(selector).unwrap();
    let shown = |element: scraper::ElementRef<'_>| {
        let text: String = element.text().collect();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    html.select(&selector).map(shown).collect()
}

/// <https://docs.slack.dev/messaging/formatting-message-text>
#[test]
fn marks_are_drawn_as_the_reference_of_mrkdwn_says() {
    for (rule, text, html) in [
        (
            "asterisks are bold",
            "a *b* c",
            "<bdi>a <strong>b</strong> c</bdi>",
        ),
        ("underscores are italic", "_b_", "<bdi><em>b</em></bdi>"),
        ("tildes strike through", "~b~", "<bdi><s>b</s></bdi>"),
        (
            "marks can be nested",
            "*a _b_*",
            "<bdi><strong>a <em>b</em></strong></bdi>",
        ),
        (
            "a mark within a word is none",
            "a_b_c 2*3*4",
            "<bdi>a_b_c 2*3*4</bdi>",
        ),
        ("a mark around spaces is none", "* a *", "<bdi>* a *</bdi>"),
        (
            "backticks are code, in which marks mean nothing",
            "`*a*`",
            "<bdi><code>*a*</code></bdi>",
        ),
        (
            "three backticks are a block of code",
            "a\n```x = 1\n*y*```",
            "<bdi>a</bdi><pre>\nx = 1\n*y*</pre>",
        ),
        ("a block without an end is text", "```x", "<bdi>```x</bdi>"),
        ("a newline is one", "a\nb", "<bdi>a</bdi><br><bdi>b</bdi>"),
        (
            "an angle bracket at the start of lines quotes",
            "&gt; a\n&gt; b\nc",
            "<blockquote><bdi>a</bdi><br><bdi>b</bdi></blockquote><bdi>c</bdi>",
        ),
        (
            "three characters are escaped",
            "&lt;b&gt; &amp;amp;",
            "<bdi>&lt;b&gt; &amp;amp;</bdi>",
        ),
        (
            "a link has a label",
            "<https://a.example/?a=1&amp;b|the *label*>",
            "<bdi><a rel=\"noopener noreferrer nofollow\" href=\"https://a.example/?a=1&amp;b\">the *label*</a></bdi>",
        ),
        (
            "a link without a label shows its address",
            "<https://a.example>",
            "<bdi><a rel=\"noopener noreferrer nofollow\" href=\"https://a.example\">https://a.example</a></bdi>",
        ),
        (
            "a person is mentioned by ID",
            "<@U1>",
            "<bdi><span class=\"mention\">@U1</span></bdi>",
        ),
        (
            "a channel is mentioned by ID, and may have its name",
            "<#C1> <#C1|ops>",
            "<bdi><span class=\"mention\">#C1</span> <span class=\"mention\">#ops</span></bdi>",
        ),
        (
            "a group is mentioned by ID",
            "<!subteam^S1|@sre>",
            "<bdi><span class=\"mention\">@sre</span></bdi>",
        ),
        (
            "all who are there are mentioned by a word",
            "<!here>",
            "<bdi><span class=\"mention\">@here</span></bdi>",
        ),
        (
            "an emoji is its name between colons",
            ":eyes: 10:00:00",
            "<bdi><span role=\"img\" aria-label=\"eyes\">👀</span> 10:00:00</bdi>",
        ),
        (
            "an emoji that is not known stays its name",
            ":party_parrot:",
            "<bdi>:party_parrot:</bdi>",
        ),
        (
            "what is no control sequence is text",
            "a <b> c < d",
            "<bdi>a &lt;b&gt; c &lt; d</bdi>",
        ),
    ] {
        assert_eq!(mrkdwn(text).to_string(), html, "{rule}");
    }
    let text = "*a* <https://a.example> &lt; :eyes:";
    let html = "<bdi>*a* &lt;https://a.example&gt; &amp;lt; <span role=\"img\" aria-label=\"eyes\">👀</span></bdi>";
    assert_eq!(plain(text).to_string(), html, "plain_text has emoji alone");
}

/// <https://docs.slack.dev/messaging/formatting-message-text#date-formatting>
#[test]
fn dates_are_drawn_in_their_format_and_else_as_their_fallback() {
    for (format, shown) in [
        ("{date_num}", "2014-02-18"),
        ("{date}", "February 18th, 2014"),
        ("{date_short}", "Feb 18, 2014"),
        ("{date_long}", "Tuesday, February 18th, 2014"),
        ("{date_short_pretty} at {time}", "Feb 18, 2014 at 6:39 AM"),
        ("{time_secs}", "6:39:42 AM"),
        ("{unknown}", "the fallback"),
    ] {
        let text = format!("<!date^1392705582^{format}|the fallback>");
        let html = format!("<bdi><time datetime=\"2014-02-18T06:39:42Z\">{shown}</time></bdi>");
        assert_eq!(mrkdwn(&text).to_string(), html, "{format}");
    }
    let not_a_number = mrkdwn("<!date^soon^{date}|the fallback>").to_string();
    assert_eq!(not_a_number, "<bdi>the fallback</bdi>");
    let linked = mrkdwn("<!date^1392705582^{time}^https://a.example|f>").to_string();
    assert!(
        linked.contains("href=\"https://a.example\">6:39 AM</a>"),
        "{linked}"
    );
}

/// <https://docs.slack.dev/reference/block-kit/blocks>
#[test]
fn blocks_are_drawn_as_their_reference_says() {
    let text = |text: &str| json!({ "type": "mrkdwn", "text": text });
    let plain = |text: &str| json!({ "type": "plain_text", "text": text });
    let button = |style: &str| json!({ "type": "button", "text": plain("Go"), "style": style, "url": "https://r.example" });
    let image = json!({ "type": "image", "image_url": "https://i.example/x.png", "alt_text": "A graph", "title": plain("CPU") });
    let cases = [
        // header-block: larger, bold, plain text.
        (
            json!({ "type": "header", "text": plain("*Down*") }),
            ".header",
            vec!["*Down*"],
        ),
        // section-block: a text, fields in two columns, and one element beside it.
        (
            json!({ "type": "section", "text": text("*a*") }),
            ".section strong",
            vec!["a"],
        ),
        (
            json!({ "type": "section", "fields": [text("*k*\nv"), text("w")] }),
            ".two > div",
            vec!["kv", "w"],
        ),
        (
            json!({ "type": "section", "text": text("a"), "accessory": button("primary") }),
            ".section > .press.primary",
            vec!["Go leads to https://r.example"],
        ),
        // context-block: small images and texts in one line.
        (
            json!({ "type": "context", "elements": [text("a"), image] }),
            ".context > div",
            vec!["a", "CPU Image: A graph https://i.example/x.png"],
        ),
        // divider-block: a line.
        (json!({ "type": "divider" }), "hr", vec![""]),
        // image-block: an image with a title and a description; nothing is loaded here.
        (
            image.clone(),
            ".picture",
            vec!["CPU Image: A graph https://i.example/x.png"],
        ),
        // actions-block: buttons side by side; `danger` is red.
        (
            json!({ "type": "actions", "elements": [button("danger"), { "type": "datepicker" }] }),
            ".presses > div",
            vec![
                "Go leads to https://r.example",
                "[datepicker: not drawn here]",
            ],
        ),
        // markdown-block: standard Markdown.
        (
            json!({ "type": "markdown", "text": "**a**" }),
            ".written",
            vec!["**a**"],
        ),
        // table-block: rows of cells.
        (
            json!({ "type": "table", "rows": [[{ "type": "raw_text", "text": "a" }, { "type": "raw_text", "text": "b" }]] }),
            "td",
            vec!["a", "b"],
        ),
        // A block that is not known is named.
        (
            json!({ "type": "video" }),
            ".message > .said > .muted",
            vec!["[video: not drawn here]"],
        ),
    ];
    for (given, selector, expected) in cases {
        let html = block(&given);
        let found = texts(&html, selector);
        assert_eq!(found, expected, "{given}: {}", html.html());
        let loads = Selector::parse("img, button, form, [src], [style]").unwrap();
        assert!(html.select(&loads).next().is_none(), "{given}");
    }
}

/// <https://docs.slack.dev/reference/block-kit/blocks/rich-text-block>
#[test]
fn rich_text_has_sections_lists_quotes_and_code() {
    let text = |text: &str, style: Value| json!({ "type": "text", "text": text, "style": style });
    let section = |elements: Value| json!({ "type": "rich_text_section", "elements": elements });
    let html = block(&json!({ "type": "rich_text", "elements": [
        section(json!([text("a\n", json!({})), text("b", json!({ "bold": true, "code": true })),
            { "type": "link", "url": "https://a.example", "text": "link" }, { "type": "emoji", "name": "eyes" },
            { "type": "user", "user_id": "U1" }, { "type": "broadcast", "range": "here" },
            { "type": "date", "timestamp": 1_392_705_582, "format": "{time}", "fallback": "f" }])),
        { "type": "rich_text_list", "style": "ordered", "elements": [section(json!([text("one", json!({}))]))] },
        { "type": "rich_text_quote", "elements": [text("quoted", json!({}))] },
        { "type": "rich_text_preformatted", "elements": [text("x\n y", json!({}))] },
    ] }));
    for (selector, expected) in [
        (".section code > strong", vec!["b"]),
        (".section a[href='https://a.example']", vec!["link"]),
        (".section .mention", vec!["@U1", "@here"]),
        (".section time", vec!["6:39 AM"]),
        (".section ol > li", vec!["one"]),
        (".section blockquote", vec!["quoted"]),
        (".section pre", vec!["x y"]),
    ] {
        assert_eq!(
            texts(&html, selector),
            expected,
            "{selector}: {}",
            html.html()
        );
    }
}

/// <https://docs.slack.dev/reference/methods/chat.update>
#[test]
fn a_message_is_shown_as_it_became_with_its_thread_and_what_it_said_before() {
    let post = |ts: &str, thread: Option<&str>, text: &str| json!({ "method": "post", "channel": "a", "ts": ts, "thread_ts": thread, "text": text });
    let update = |ts: &str, text: &str| json!({ "method": "update", "channel": "a", "ts": ts, "text": text });
    let html = drawn(&[
        post("1", None, "first"),
        post("2", Some("1"), "reply"),
        update("1", "second"),
        json!({ "method": "react", "channel": "a", "ts": "1", "text": "reaction :eyes:" }),
        update("9", "of another"),
        post("3", Some("8"), "reply to another"),
    ]);
    assert_eq!(
        texts(&html, ".slack > .message > .said > .section"),
        ["second", "of another", "reply to another"]
    );
    assert_eq!(texts(&html, "details .section"), ["first"]);
    assert_eq!(texts(&html, ".thread .message .section"), ["reply"]);
    assert_eq!(texts(&html, ".reaction"), ["👀"]);
    assert_eq!(
        texts(&html, ".slack > .message > p.muted"),
        [
            "In place of a message that another delivery posted.",
            "A reply in the thread of a message that another delivery posted."
        ]
    );
}

#[test]
fn text_that_would_do_something_stays_text() {
    let hostile = "</div><script>alert(1)</script>\" onmouseover=\"alert(1) \u{202e}";
    let url = "javascript://x/%0aalert(1)";
    let html = drawn(&[
        json!({ "method": "post", "channel": hostile, "ts": "1", "text": hostile, "blocks": [
        { "type": "header", "text": { "type": "plain_text", "text": hostile } },
        { "type": "section", "text": { "type": "mrkdwn", "text": format!("<{url}|{hostile}> <@{hostile}> :{hostile}: <{url}>") } },
        { "type": "image", "alt_text": hostile, "image_url": url, "title": { "type": "plain_text", "text": hostile } },
        { "type": "actions", "elements": [{ "type": "button", "text": { "type": "plain_text", "text": hostile }, "url": url, "style": hostile }] },
        { "type": "rich_text", "elements": [{ "type": "rich_text_section", "elements": [
            { "type": "link", "url": url, "text": hostile }, { "type": "emoji", "name": hostile }, { "type": hostile },
            { "type": "link", "url": "https://a.example/\" onmouseover=\"x" }] }] },
        { "type": "markdown", "text": hostile },
        { "type": hostile },
    ] }),
    ]);
    let found = Selector::parse("script, [onmouseover], a[href^=javascript]").unwrap();
    assert!(html.select(&found).next().is_none(), "{}", html.html());
    assert!(
        !html.html().contains('\u{202e}'),
        "what is invisible is shown"
    );
}

#[test]
fn what_is_too_long_or_too_much_is_cut_and_says_so() {
    let long = mrkdwn(&"é".repeat(7_000)).to_string();
    assert!(long.contains("cut here"), "{}", long.len());
    let blocks = vec![json!({ "type": "divider" }); 101];
    let html = drawn(&[
        json!({ "method": "post", "channel": "a", "ts": "1", "text": "", "blocks": blocks }),
    ]);
    assert_eq!(texts(&html, "hr").len(), 100);
    assert_eq!(
        texts(&html, ".message > .said > .muted"),
        ["[1 more: not drawn here]"]
    );
    let posts: Vec<_> = (0..61)
        .map(|n| json!({ "method": "post", "channel": "a", "ts": n.to_string(), "text": "x" }))
        .collect();
    let html = drawn(&posts);
    assert_eq!(texts(&html, ".message").len(), 60);
    assert_eq!(
        texts(&html, ".slack > p"),
        ["1 more are not drawn; the JSON has them."]
    );
}
