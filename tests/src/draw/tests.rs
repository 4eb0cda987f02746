//! What is drawn as Slack draws it, and what is refused.

use serde_json::{Value, json};

use super::mrkdwn::mrkdwn;
use super::{Scenario, Unknown, page};

#[test]
fn mrkdwn_is_drawn_as_slack_draws_it() {
    for (given, drawn) in [
        ("plain", "plain"),
        (
            "*bold* and _thin_",
            "<b class=\"\">bold</b> and <i class=\"\">thin</i>",
        ),
        ("*Pod:* a / b", "<b class=\"\">Pod:</b> a / b"),
        ("rs_transformer_1 2*3*4", "rs_transformer_1 2*3*4"),
        ("`a < b` x", "<code class=\"\">a &lt; b</code> x"),
        ("one\ntwo", "one<br>two"),
        ("a &lt;b&gt; &amp; c", "a &lt;b&gt; &amp; c"),
        ("```x = 1\n*y*```", "<pre class=\"code\">x = 1\n*y*</pre>"),
        ("&gt; said", "<span class=\"quote\">said</span>"),
        (
            "<https://a.example/?q=1&amp;r|Run \"it\">",
            "<a title=\"https://a.example/?q=1&amp;r\">Run &quot;it&quot;</a>",
        ),
        (
            "<!date^1646206317^{date_short_pretty} {time}|2022-03-02T07:31:57Z>",
            "Mar 2, 2022 7:31 AM",
        ),
        (":eyes: at 10:00:00", "👀 at 10:00:00"),
    ] {
        assert_eq!(mrkdwn(given).as_deref(), Ok(drawn), "{given}");
    }
}

#[test]
fn what_is_not_known_is_an_error_and_never_left_out() {
    for text in [
        "<!channel>",
        "<@U1>",
        "<https://a.example",
        ":no_such_emoji:",
        "a & b",
    ] {
        assert!(mrkdwn(text).is_err(), "{text}");
    }
    for block in [
        json!({ "type": "video" }),
        json!({ "type": "section", "text": { "type": "mrkdwn", "text": "x" }, "accessory": {} }),
        json!({ "type": "context", "elements": [{ "type": "image", "image_url": "x" }] }),
        json!({ "type": "actions", "elements": [{ "type": "datepicker" }] }),
    ] {
        assert!(
            drawn(&[json!({ "text": "t", "blocks": [block] })]).is_err(),
            "{block}"
        );
    }
}

#[test]
fn a_message_is_shown_with_its_thread_and_as_it_became() {
    let page = page(
        "Messages",
        "",
        &[Scenario {
            id: "",
            title: "One",
            about: "",
            messages: json!({
                "posts": [{ "text": "first", "thread": null }, { "text": "reply", "thread": 0 }],
                "updates": [{ "message": 0, "text": "changed" }],
                "reactions": [{ "message": 0, "emoji": "white_check_mark" }],
            }),
        }],
    )
    .expect("it can be drawn");
    let (channel, phone) = page.split_once("class=\"phone\"").expect("both are shown");
    assert!(
        channel.contains("changed") && !channel.contains("first"),
        "{channel}"
    );
    assert!(
        channel.contains("class=\"thread\"") && channel.contains("✅ 1"),
        "{channel}"
    );
    assert!(
        phone.contains("first") && !phone.contains("reply"),
        "{phone}"
    );
}

fn drawn(posts: &[Value]) -> Result<String, Unknown> {
    let messages = json!({ "posts": posts });
    page(
        "Messages",
        "",
        &[Scenario {
            id: "",
            title: "One",
            about: "",
            messages,
        }],
    )
}
