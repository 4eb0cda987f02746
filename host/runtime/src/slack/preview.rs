//! Renders a Slack message for a terminal: Block Kit as plain lines, without control characters.

use serde_json::Value;

use alert_manager_core::text::inert;

/// Blocks that are nested deeper than this are left out.
const DEPTH_MAX: usize = 16;

/// Returns the message as readable lines.
pub(crate) fn render(channel: &str, target: &str, text: &str, blocks: Option<&Value>) -> String {
    let heading = format!("── Slack preview: {channel} ({})", inert(target));
    indented(std::iter::once(heading).chain(lines_of(text, blocks)))
}

/// Returns a message that is stored with its delivery, as `{ text, blocks }`, as readable lines.
pub fn render_kept(message: &Value) -> String {
    let text = message["text"].as_str().unwrap_or_default();
    indented(lines_of(text, Some(&message["blocks"])).into_iter())
}

fn lines_of(text: &str, blocks: Option<&Value>) -> Vec<String> {
    let mut lines = vec![inert(text)];
    if let Some(Value::Array(blocks)) = blocks {
        lines.push(String::new());
        for block in blocks {
            self::block(block, &mut lines, 0);
        }
    }
    lines
}

fn indented(lines: impl Iterator<Item = String>) -> String {
    let mut shown = String::new();
    for line in lines {
        for line in line.split('\n') {
            shown.push_str("  ");
            shown.push_str(line.trim_end());
            let kept = shown.trim_end_matches(' ').len();
            shown.truncate(kept);
            shown.push('\n');
        }
    }
    shown
}

fn block(block: &Value, lines: &mut Vec<String>, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    let title = || text_of(&block["title"]);
    match block["type"].as_str().unwrap_or_default() {
        "header" => lines.push(format!("# {}", text_of(&block["text"]))),
        "section" => {
            push(lines, text_of(&block["text"]));
            for field in items(&block["fields"]) {
                lines.push(format!("- {}", text_of(field).replace('\n', " ")));
            }
            if block["accessory"].is_object() {
                self::block(&block["accessory"], lines, depth + 1);
            }
        }
        "context" => {
            let parts: Vec<_> = items(&block["elements"]).map(text_of).collect();
            push(lines, parts.join("  "));
        }
        "actions" => {
            for element in items(&block["elements"]) {
                self::block(element, lines, depth + 1);
            }
        }
        "button" => {
            let url = block["url"].as_str().map(inert).unwrap_or_default();
            lines.push(format!("[{}] {url}", text_of(&block["text"])));
        }
        "divider" => lines.push("---".to_owned()),
        "markdown" => push(lines, text_of(&block["text"])),
        "image" => {
            let alt = block["alt_text"].as_str().map(inert).unwrap_or_default();
            let url = block["image_url"].as_str().map(inert).unwrap_or_default();
            lines.push(format!("[image] {} {alt} {url}", title()));
        }
        "table" => {
            for row in items(&block["rows"]) {
                let cells: Vec<_> = items(row).map(flatten).collect();
                lines.push(cells.join(" | "));
            }
        }
        "rich_text" => push(lines, flatten(block)),
        other => lines.push(format!("[{}]", inert(other))),
    }
}

fn push(lines: &mut Vec<String>, text: String) {
    if !text.is_empty() {
        lines.push(text);
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Returns the text of a text object, a plain string, or an image's description.
fn text_of(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text,
        _ => match (&value["text"], &value["alt_text"]) {
            (Value::String(text), _) | (_, Value::String(text)) => text,
            _ => return String::new(),
        },
    };
    inert(&unescape(&without_markup(text)))
}

/// Renders Slack's `<…|title>`: a link as its title and address, a date as its fallback.
fn without_markup(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    // The texts of alerts are escaped, so a plain `<` is the handler's own markup.
    while let Some((before, after)) = rest.split_once('<') {
        shown.push_str(before);
        let Some((markup, later)) = after.split_once('>') else {
            shown.push('<');
            rest = after;
            continue;
        };
        match markup.split_once('|') {
            Some((target, title)) if target.starts_with("http") => {
                shown.push_str(title);
                shown.push_str(" (");
                shown.push_str(target);
                shown.push(')');
            }
            Some((_, title)) => shown.push_str(title),
            None => shown.push_str(markup),
        }
        rest = later;
    }
    shown.push_str(rest);
    shown
}

/// Reverses Slack's escaping, which covers only these three characters.
fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

/// Returns the text of a rich text block and of the elements nested in it.
fn flatten(value: &Value) -> String {
    fn walk(value: &Value, out: &mut String, depth: usize) {
        if depth > DEPTH_MAX {
            return;
        }
        if let Some(text) = value["text"].as_str().or_else(|| value["url"].as_str()) {
            out.push_str(text);
        }
        for element in items(&value["elements"]) {
            walk(element, out, depth + 1);
        }
        if matches!(value["type"].as_str(), Some(kind) if kind.starts_with("rich_text_")) {
            out.push('\n');
        }
    }
    let mut out = String::new();
    walk(value, &mut out, 0);
    inert(out.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn blocks_become_plain_lines() {
        let blocks = json!([
            {"type": "header", "text": {"type": "plain_text", "text": "KubePod · web"}},
            {"type": "section", "text": {"type": "mrkdwn", "text": "*Likely* a &lt; b"},
             "fields": [{"type": "mrkdwn", "text": "*cluster*\nmain"}]},
            {"type": "divider"},
            {"type": "rich_text", "elements": [{"type": "rich_text_preformatted",
             "elements": [{"type": "text", "text": "line 1\nline 2"}]}]},
            {"type": "actions", "elements": [{"type": "button",
             "text": {"type": "plain_text", "text": "Runbook"}, "url": "https://r/"}]},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": "since 10:00"}]},
            {"type": "video"},
        ]);
        let shown = render("alerts", "#alerts", "[FIRING] web", Some(&blocks));
        let expected = "  ── Slack preview: alerts (#alerts)
  [FIRING] web

  # KubePod · web
  *Likely* a < b
  - *cluster* main
  ---
  line 1
  line 2
  [Runbook] https://r/
  since 10:00
  [video]
";
        assert_eq!(shown, expected);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let blocks = json!([{"type": "section", "text": {"type": "mrkdwn",
            "text": "\u{1b}[2J\u{7}\u{202e}evil\u{9b}31m\r"}}]);
        let shown = render("a", "b", "x\u{1b}]0;t\u{7}", Some(&blocks));
        assert!(shown.ends_with("[2Jevil31m\n"), "{shown:?}");
        assert!(!shown.contains(|c: char| c.is_control() && c != '\n'));
    }

    #[test]
    fn markup_is_shown_as_slack_would() {
        for (markup, shown) in [
            ("<!date^1646206317^{date} {time}|2022-03-02>", "2022-03-02"),
            ("<https://a.example|Runbook>", "Runbook (https://a.example)"),
            ("<https://a.example>", "https://a.example"),
            ("1 &lt; 2 < 3", "1 < 2 < 3"),
        ] {
            let text = json!({"type": "mrkdwn", "text": markup});
            assert_eq!(text_of(&text), shown);
        }
    }

    #[test]
    fn deep_nesting_ends() {
        let mut value = json!({"type": "rich_text", "elements": []});
        for _ in 0..200 {
            value = json!({"type": "rich_text", "elements": [value]});
        }
        assert!(render("a", "b", "text", Some(&json!([value]))).contains("text"));
    }
}
