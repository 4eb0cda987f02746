//! Draws Slack messages as Slack does, as one page of HTML.
//!
//! What it does not know it refuses: a message that cannot be drawn here may not be one that Slack draws.

use std::fmt::Write as _;

use serde_json::Value;

/// How a page looks: Slack's own colours, in the light and, by the reader's system, in the dark.
const STYLE: &str = "
:root{--bg:#fff;--fg:#1d1c1d;--dim:#616061;--line:#ddd;--code:#f6f6f6;--red:#c01343;--link:#1264a3}
@media(prefers-color-scheme:dark){:root{--bg:#1a1d21;--fg:#d1d2d3;--dim:#ababad;--line:#3c3f44;--code:#222529;--red:#e8912d;--link:#1d9bd1}}
body{background:var(--bg);color:var(--fg);font:15px/1.46 Lato,'Liberation Sans',Arial,sans-serif;max-width:720px;margin:24px auto;padding:0 16px}
h2{font-size:18px;border-bottom:1px solid var(--line);padding-top:24px}
.m{display:flex;gap:10px;margin:12px 0}.a{flex:none;width:36px;height:36px;border-radius:6px;background:#4a154b;color:#fff;text-align:center;line-height:36px}
.b{min-width:0;flex:1}.n{font-weight:900}.app{font-size:10px;background:var(--line);border-radius:2px;padding:0 3px;margin:0 6px}.t{font-size:12px;color:var(--dim)}
.h{font-size:18px;font-weight:900;margin:4px 0}.s{margin:4px 0;white-space:pre-wrap;overflow-wrap:anywhere}
.f{display:grid;grid-template-columns:1fr 1fr;gap:4px 12px;margin:4px 0}.f div{white-space:pre-wrap;overflow-wrap:anywhere}
.c{font-size:12px;color:var(--dim);margin:4px 0;overflow-wrap:anywhere}hr{border:0;border-top:1px solid var(--line)}
pre{background:var(--code);border:1px solid var(--line);border-radius:4px;padding:8px;font:12px/1.5 Menlo,'Liberation Mono',monospace;white-space:pre-wrap;overflow-wrap:anywhere;margin:4px 0}
code{background:var(--code);border:1px solid var(--line);border-radius:3px;padding:1px 3px;font:12px Menlo,'Liberation Mono',monospace;color:var(--red)}
a{color:var(--link);text-decoration:none}.r{margin-left:46px;border-left:2px solid var(--line);padding-left:12px}
.p{border:1px solid var(--line);border-radius:12px;padding:8px 12px;max-width:380px;font-size:13px}
.btn{display:inline-block;border:1px solid var(--line);border-radius:4px;padding:4px 10px;margin:2px 8px 2px 0;font-weight:700}
";

/// A scenario: its title, and its messages as the SDK's mock host writes them.
pub struct Scenario<'a> {
    /// Shown above.
    pub title: &'a str,
    /// Each with `text`, `blocks`, and `is`: `message`, `reply` or `update`.
    pub messages: &'a [Value],
}

/// Returns the page.
///
/// # Errors
/// What in a message is not known here.
pub fn page(scenarios: &[Scenario<'_>]) -> Result<String, String> {
    let mut out = format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<title>Messages</title>\n<style>{STYLE}</style>\n"
    );
    for scenario in scenarios {
        let drawn = draw(scenario).map_err(|error| format!("{}: {error}", scenario.title))?;
        out.push_str(&drawn);
    }
    Ok(out)
}

fn draw(scenario: &Scenario<'_>) -> Result<String, String> {
    let mut out = format!("<h2>{}</h2>\n", escape(scenario.title));
    for message in scenario.messages {
        let text = message["text"].as_str().ok_or("a message without text")?;
        let class = match message["is"].as_str() {
            Some("message" | "update") => "m",
            Some("reply") => "m r",
            other => return Err(format!("a message that is {other:?}")),
        };
        if class == "m" {
            let _ = writeln!(
                out,
                "<div class=\"p\"><b>alert-manager</b> · phone<br>{}</div>",
                mrkdwn(text)?
            );
        }
        let blocks = message["blocks"].as_array().map_or(&[][..], Vec::as_slice);
        let edited = if message["is"] == "update" {
            " (edited)"
        } else {
            ""
        };
        let _ = writeln!(
            out,
            "<div class=\"{class}\"><div class=\"a\">AM</div><div class=\"b\"><span class=\"n\">alert-manager</span><span class=\"app\">APP</span><span class=\"t\">{edited}</span>"
        );
        if blocks.is_empty() {
            let _ = writeln!(out, "<div class=\"s\">{}</div>", mrkdwn(text)?);
        }
        for block in blocks {
            out.push_str(&draw_block(block)?);
            out.push('\n');
        }
        out.push_str("</div></div>\n");
    }
    Ok(out)
}

fn draw_block(block: &Value) -> Result<String, String> {
    match block["type"].as_str().unwrap_or_default() {
        "header" => Ok(format!("<div class=\"h\">{}</div>", text(&block["text"])?)),
        "divider" => Ok("<hr>".to_owned()),
        "section" => {
            let mut out = String::new();
            if !block["text"].is_null() {
                let _ = write!(out, "<div class=\"s\">{}</div>", text(&block["text"])?);
            }
            if let Some(fields) = block["fields"].as_array() {
                let fields = fields.iter().map(text).collect::<Result<Vec<_>, _>>()?;
                let _ = write!(
                    out,
                    "<div class=\"f\"><div>{}</div></div>",
                    fields.join("</div><div>")
                );
            }
            if !block["accessory"].is_null() {
                return Err("a section's accessory".to_owned());
            }
            Ok(out)
        }
        "context" => {
            let elements = block["elements"]
                .as_array()
                .ok_or("a context without elements")?;
            let parts = elements.iter().map(text).collect::<Result<Vec<_>, _>>()?;
            Ok(format!("<div class=\"c\">{}</div>", parts.join(" ")))
        }
        "actions" => {
            let elements = block["elements"]
                .as_array()
                .ok_or("actions without elements")?;
            let mut out = String::new();
            for element in elements {
                if element["type"] != "button" {
                    return Err(format!("an action of type {}", element["type"]));
                }
                let _ = write!(
                    out,
                    "<span class=\"btn\">{}</span>",
                    text(&element["text"])?
                );
            }
            Ok(format!("<div>{out}</div>"))
        }
        other => Err(format!("a block of type {other:?}")),
    }
}

fn text(object: &Value) -> Result<String, String> {
    let shown = object["text"]
        .as_str()
        .ok_or("a text object without text")?;
    match object["type"].as_str() {
        Some("plain_text") => Ok(emoji(&escape(shown))),
        Some("mrkdwn") => mrkdwn(shown),
        other => Err(format!("a text of type {other:?}")),
    }
}

/// Slack's own markup: what stands between code fences is text, the rest may be bold, italic, struck, code or a link.
fn mrkdwn(text: &str) -> Result<String, String> {
    let mut out = String::new();
    for (index, part) in text.split("```").enumerate() {
        if index % 2 == 1 {
            let _ = write!(out, "<pre>{}</pre>", links(part)?);
            continue;
        }
        let part = if out.is_empty() {
            part
        } else {
            part.strip_prefix('\n').unwrap_or(part)
        };
        for (index, part) in part.split('`').enumerate() {
            if index % 2 == 1 {
                let _ = write!(out, "<code>{}</code>", links(part)?);
            } else {
                let marked = spans(&spans(&links(part)?, '*', "b"), '_', "i");
                out.push_str(&emoji(&spans(&marked, '~', "s")));
            }
        }
    }
    Ok(out.replace("\n<pre>", "<pre>"))
}

/// Puts marked words between tags. A mark counts at the edges of words alone, and not within tags.
fn spans(html: &str, mark: char, tag: &str) -> String {
    let chars: Vec<char> = html.chars().collect();
    let (mut out, mut open, mut in_tag) = (String::new(), false, false);
    for (at, &c) in chars.iter().enumerate() {
        in_tag = (in_tag || c == '<') && c != '>';
        let edge = |c: Option<&char>| c.is_none_or(|c| !c.is_alphanumeric() && *c != mark);
        let (before, after) = (
            at.checked_sub(1).and_then(|at| chars.get(at)),
            chars.get(at + 1),
        );
        if c != mark || in_tag {
            out.push(c);
        } else if open && edge(after) && before.is_some_and(|c| !c.is_whitespace()) {
            let _ = write!(out, "</{tag}>");
            open = false;
        } else if !open
            && edge(before)
            && after.is_some_and(|c| !c.is_whitespace())
            && chars[at + 1..]
                .iter()
                .take_while(|c| **c != '\n')
                .any(|c| *c == mark)
        {
            let _ = write!(out, "<{tag}>");
            open = true;
        } else {
            out.push(c);
        }
    }
    out
}

/// Links, dates and mentions, which stand in angle brackets; a text has no other: the rest is escaped.
fn links(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        out.push_str(before);
        let (inner, after) = after
            .split_once('>')
            .ok_or_else(|| format!("an open < in {text:?}"))?;
        let (target, shown) = inner.split_once('|').unwrap_or((inner, inner));
        match target.chars().next() {
            Some('!') if target.starts_with("!date^") => out.push_str(shown),
            Some('!' | '@' | '#') => return Err(format!("a mention: {inner:?}")),
            _ if target.starts_with("http://") || target.starts_with("https://") => {
                let _ = write!(
                    out,
                    "<a href=\"{}\">{shown}</a>",
                    target.replace('"', "%22")
                );
            }
            _ => return Err(format!("a link to {target:?}")),
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn emoji(html: &str) -> String {
    [
        (":fire:", "🔥"),
        (":warning:", "⚠️"),
        (":white_check_mark:", "✅"),
        (":red_circle:", "🔴"),
    ]
    .iter()
    .fold(html.to_owned(), |html, (name, sign)| {
        html.replace(name, sign)
    })
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_slack_marks_up_is_drawn() {
        let cases = [
            ("*Likely:* a_b_c", "<b>Likely:</b> a_b_c"),
            (
                "<https://e.example/_a_|Runbook> · x",
                "<a href=\"https://e.example/_a_\">Runbook</a> · x",
            ),
            ("`a*b*` &lt;x&gt;", "<code>a*b*</code> &lt;x&gt;"),
            (
                "*Next:*\n```kubectl\nlogs```",
                "<b>Next:</b><pre>kubectl\nlogs</pre>",
            ),
            ("since <!date^1^{time}|2022>", "since 2022"),
            ("2 * 3 * 4", "2 * 3 * 4"),
        ];
        for (text, html) in cases {
            assert_eq!(mrkdwn(text).as_deref(), Ok(html));
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert!(mrkdwn("<!channel>").is_err());
        assert!(mrkdwn("<javascript:x|y>").is_err());
        assert!(draw_block(&serde_json::json!({ "type": "video" })).is_err());
    }
}
