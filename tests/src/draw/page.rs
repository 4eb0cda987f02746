//! One page with the messages of many scenarios.

use serde_json::Value;

use super::Unknown;
use super::block::block;
use super::html::{element, escape};
use super::mrkdwn::{emoji, mrkdwn};

/// What a handler sent in one scenario.
#[derive(Debug)]
pub struct Scenario<'a> {
    /// The fragment by which a link finds it; empty for none.
    pub id: &'a str,
    /// A few words.
    pub title: &'a str,
    /// What happened before.
    pub about: &'a str,
    /// As `handler_sdk::mock::Host::messages` returns it.
    pub messages: Value,
}

/// Returns a page of its own: it loads nothing.
///
/// # Errors
/// What cannot be drawn, with the scenario's title.
pub fn page(
    title: &str,
    introduction: &str,
    scenarios: &[Scenario<'_>],
) -> Result<String, Unknown> {
    let mut body = format!(
        "<h1>{}</h1>\n<p class=\"about\">{introduction}</p>\n",
        escape(title)
    );
    for scenario in scenarios {
        let drawn = draw(scenario)
            .map_err(|Unknown(what)| Unknown(format!("{what}, in {}", scenario.title)))?;
        body.push_str(&drawn);
    }
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{}</title>\n<style>\n{}</style>\n<body>\n{body}</body>\n</html>\n",
        escape(title),
        include_str!("page.css"),
    ))
}

fn draw(scenario: &Scenario<'_>) -> Result<String, Unknown> {
    let list = |name: &str| {
        scenario.messages[name]
            .as_array()
            .cloned()
            .unwrap_or_default()
    };
    let (posts, updates, reactions) = (list("posts"), list("updates"), list("reactions"));
    let mut phone = String::new();
    let mut channel = String::new();
    for post in &posts {
        // A phone is not asked for a reply in a thread that nobody follows.
        if post["thread"].is_null() {
            phone.push_str(&notification(&post["text"])?);
        }
    }
    for (index, post) in posts
        .iter()
        .enumerate()
        .filter(|(_, post)| post["thread"].is_null())
    {
        let change = updates
            .iter()
            .rev()
            .find(|update| update["message"] == index);
        let mut inner = message(change.unwrap_or(post), change.is_some())?;
        for reaction in reactions.iter().filter(|r| r["message"] == index) {
            let name = reaction["emoji"].as_str().unwrap_or_default();
            inner.push_str(&element("span", "reaction", &format!("{} 1", emoji(name)?)));
        }
        let mut replies = String::new();
        for reply in posts.iter().filter(|reply| reply["thread"] == index) {
            replies.push_str(&element("div", "message", &message(reply, false)?));
        }
        if !replies.is_empty() {
            inner.push_str(&element("div", "thread", &replies));
        }
        channel.push_str(&element("div", "message", &inner));
    }
    let id = match scenario.id {
        "" => String::new(),
        id => format!(" id=\"{}\"", escape(id)),
    };
    Ok(format!(
        "<section{id}>\n<h2>{}</h2>\n<p class=\"about\">{}</p>\n<div class=\"views\">\n<div class=\"channel\">{channel}</div>\n\
         <div class=\"phone\">{phone}</div>\n</div>\n</section>\n",
        escape(scenario.title),
        escape(scenario.about),
    ))
}

fn notification(text: &Value) -> Result<String, Unknown> {
    let text = mrkdwn(text.as_str().unwrap_or_default())?;
    let inner = format!("<b>Alert Manager</b> in #alerts<br>{text}");
    Ok(element("div", "notification", &inner))
}

fn message(message: &Value, is_edited: bool) -> Result<String, Unknown> {
    let mut shown = String::from(
        "<div class=\"who\"><span class=\"avatar\"></span><b>Alert Manager</b> <span class=\"app\">APP</span></div>",
    );
    let blocks = message["blocks"].as_array().map_or(&[][..], Vec::as_slice);
    if blocks.is_empty() {
        let text = message["text"].as_str().unwrap_or_default();
        shown.push_str(&element("div", "section", &mrkdwn(text)?));
    }
    for one in blocks {
        shown.push_str(&block(one)?);
        shown.push('\n');
    }
    if is_edited {
        shown.push_str(&element("span", "edited", "(edited)"));
    }
    Ok(shown)
}
