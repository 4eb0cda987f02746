//! Slack's rules for Block Kit in a message, as pointers to what breaks them.
//!
//! Source: docs.slack.dev/reference/block-kit. The words are those of Slack's `response_metadata.messages`.

use serde_json::{Map, Value};

/// Most blocks in one message.
pub const BLOCKS_MAX: usize = 50;

/// Most characters of all blocks of a message together, as JSON. Slack documents no such limit, and refuses some 13,200
/// (slackapi/bolt-js#2509) and fewer (#2867): this is the careful reading.
pub const BLOCKS_CHARS_MAX: usize = 12_000;

/// Returns whether the blocks are too long together.
pub fn are_too_long(blocks: &[Value]) -> bool {
    let chars: usize = blocks
        .iter()
        .map(|block| block.to_string().chars().count())
        .sum();
    chars > BLOCKS_CHARS_MAX
}

/// Returns what Slack finds wrong with `blocks`, each with its JSON pointer; nothing if they are good.
pub fn problems(blocks: &[Value]) -> Vec<String> {
    let mut found = Problems::default();
    if blocks.len() > BLOCKS_MAX {
        found.add(
            &format!("no more than {BLOCKS_MAX} items allowed"),
            "/blocks",
        );
    }
    let mut ids: Vec<&str> = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        let at = format!("/blocks/{index}");
        let Some(map) = block.as_object() else {
            found.add("must be an object", &at);
            continue;
        };
        if let Some(id) = map.get("block_id").and_then(Value::as_str) {
            found.length(id, 1, 255, &format!("{at}/block_id"));
            if ids.contains(&id) {
                found.add("`block_id` already exists", &at);
            }
            ids.push(id);
        }
        found.block(map, &at);
    }
    let markdown: usize = blocks
        .iter()
        .filter(|b| b["type"] == "markdown")
        .map(|b| chars(&b["text"]))
        .sum();
    if markdown > 12_000 {
        found.add(
            "markdown blocks must be less than 12001 characters together",
            "/blocks",
        );
    }
    found.0
}

fn chars(text: &Value) -> usize {
    text.as_str().unwrap_or_default().chars().count()
}

#[derive(Debug, Default)]
struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, what: &str, at: &str) {
        self.0.push(format!("{what} [json-pointer:{at}]"));
    }

    fn block(&mut self, block: &Map<String, Value>, at: &str) {
        match block
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default()
        {
            "section" => self.section(block, at),
            "header" => {
                self.known_keys(block, &["text"], at);
                self.text_object(
                    block.get("text"),
                    &["plain_text"],
                    150,
                    &format!("{at}/text"),
                );
            }
            "divider" => self.known_keys(block, &[], at),
            "context" => {
                self.known_keys(block, &["elements"], at);
                self.elements(
                    block,
                    10,
                    at,
                    |problems, element, at| match element["type"].as_str() {
                        Some("image") => problems.image(element, at),
                        _ => problems.text_object(
                            Some(element),
                            &["plain_text", "mrkdwn"],
                            3_000,
                            at,
                        ),
                    },
                );
            }
            "actions" => {
                self.known_keys(block, &["elements"], at);
                self.elements(block, 25, at, Self::interactive);
            }
            "image" => {
                self.known_keys(block, &["image_url", "slack_file", "alt_text", "title"], at);
                self.image(&Value::Object(block.clone()), at);
            }
            "markdown" => {
                self.known_keys(block, &["text"], at);
                self.length(
                    block
                        .get("text")
                        .and_then(Value::as_str)
                        .unwrap_or_default(),
                    1,
                    12_000,
                    at,
                );
            }
            "rich_text" => {
                self.known_keys(block, &["elements"], at);
                self.elements(block, usize::MAX, at, Self::rich_text_element);
            }
            "table" => self.table(block, at),
            other => self.add(&format!("unsupported type: {other}"), &format!("{at}/type")),
        }
    }

    fn section(&mut self, block: &Map<String, Value>, at: &str) {
        self.known_keys(block, &["text", "fields", "accessory", "expand"], at);
        if !block.contains_key("text") && !block.contains_key("fields") {
            self.add("missing required field: text or fields", at);
        }
        if let Some(text) = block.get("text") {
            self.text_object(
                Some(text),
                &["plain_text", "mrkdwn"],
                3_000,
                &format!("{at}/text"),
            );
        }
        let Some(fields) = block.get("fields") else {
            return;
        };
        let Some(fields) = fields.as_array() else {
            return self.add("must be an array", &format!("{at}/fields"));
        };
        if fields.is_empty() {
            self.add("no fewer than 1 items allowed", &format!("{at}/fields"));
        }
        if fields.len() > 10 {
            self.add("no more than 10 items allowed", &format!("{at}/fields"));
        }
        for (index, field) in fields.iter().enumerate() {
            self.text_object(
                Some(field),
                &["plain_text", "mrkdwn"],
                2_000,
                &format!("{at}/fields/{index}"),
            );
        }
    }

    fn table(&mut self, block: &Map<String, Value>, at: &str) {
        self.known_keys(block, &["rows", "column_settings"], at);
        let rows = block
            .get("rows")
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        if rows.is_empty() || rows.len() > 100 {
            self.add("must have 1 to 100 rows", &format!("{at}/rows"));
        }
        for (index, row) in rows.iter().enumerate() {
            if row
                .as_array()
                .is_none_or(|cells| cells.is_empty() || cells.len() > 20)
            {
                self.add("must have 1 to 20 cells", &format!("{at}/rows/{index}"));
            }
        }
    }

    fn elements(
        &mut self,
        block: &Map<String, Value>,
        elements_max: usize,
        at: &str,
        mut check: impl FnMut(&mut Self, &Value, &str),
    ) {
        let at = format!("{at}/elements");
        let Some(elements) = block.get("elements").and_then(Value::as_array) else {
            return self.add("missing required field: elements", &at);
        };
        if elements.is_empty() {
            self.add("no fewer than 1 items allowed", &at);
        }
        if elements.len() > elements_max {
            self.add(&format!("no more than {elements_max} items allowed"), &at);
        }
        for (index, element) in elements.iter().enumerate() {
            check(self, element, &format!("{at}/{index}"));
        }
    }

    fn interactive(&mut self, element: &Value, at: &str) {
        match element["type"].as_str().unwrap_or_default() {
            "button" => {
                self.text_object(
                    element.get("text"),
                    &["plain_text"],
                    75,
                    &format!("{at}/text"),
                );
                for (key, chars_max) in [("url", 3_000), ("value", 2_000), ("action_id", 255)] {
                    if let Some(value) = element.get(key) {
                        self.length(
                            value.as_str().unwrap_or_default(),
                            1,
                            chars_max,
                            &format!("{at}/{key}"),
                        );
                    }
                }
                if let Some(style) = element.get("style")
                    && style != "primary"
                    && style != "danger"
                {
                    self.add("must be primary or danger", &format!("{at}/style"));
                }
            }
            "overflow" | "static_select" | "datepicker" | "checkboxes" | "radio_buttons" => {}
            other => self.add(&format!("unsupported type: {other}"), &format!("{at}/type")),
        }
    }

    fn rich_text_element(&mut self, element: &Value, at: &str) {
        let known = [
            "rich_text_section",
            "rich_text_list",
            "rich_text_preformatted",
            "rich_text_quote",
        ];
        if !element["type"]
            .as_str()
            .is_some_and(|kind| known.contains(&kind))
        {
            self.add("unsupported type", &format!("{at}/type"));
        }
    }

    fn image(&mut self, image: &Value, at: &str) {
        if image.get("image_url").is_none() && image.get("slack_file").is_none() {
            self.add("missing required field: image_url or slack_file", at);
        }
        if let Some(url) = image.get("image_url") {
            self.length(
                url.as_str().unwrap_or_default(),
                1,
                3_000,
                &format!("{at}/image_url"),
            );
        }
        self.length(
            image["alt_text"].as_str().unwrap_or_default(),
            1,
            2_000,
            &format!("{at}/alt_text"),
        );
    }

    fn text_object(&mut self, text: Option<&Value>, kinds: &[&str], chars_max: usize, at: &str) {
        let Some(map) = text.and_then(Value::as_object) else {
            return self.add("missing required field: text", at);
        };
        let kind = map.get("type").and_then(Value::as_str).unwrap_or_default();
        if !kinds.contains(&kind) {
            self.add(&format!("unsupported type: {kind}"), &format!("{at}/type"));
        }
        for key in map.keys() {
            let known = match kind {
                "mrkdwn" => ["type", "text", "verbatim"],
                _ => ["type", "text", "emoji"],
            };
            if !known.contains(&key.as_str()) {
                self.add(&format!("invalid additional property: {key}"), at);
            }
        }
        self.length(
            map.get("text").and_then(Value::as_str).unwrap_or_default(),
            1,
            chars_max,
            &format!("{at}/text"),
        );
    }

    fn length(&mut self, text: &str, chars_min: usize, chars_max: usize, at: &str) {
        let chars = text.chars().count();
        if chars < chars_min {
            self.add(
                &format!("must be more than {} characters", chars_min - 1),
                at,
            );
        }
        if chars > chars_max {
            self.add(
                &format!("must be less than {} characters", chars_max + 1),
                at,
            );
        }
    }

    fn known_keys(&mut self, block: &Map<String, Value>, keys: &[&str], at: &str) {
        for key in block.keys() {
            if !["type", "block_id"].contains(&key.as_str()) && !keys.contains(&key.as_str()) {
                self.add(&format!("invalid additional property: {key}"), at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn section(chars: usize) -> Value {
        json!({ "type": "section", "text": { "type": "mrkdwn", "text": "x".repeat(chars) } })
    }

    #[test]
    fn good_blocks_pass() {
        let blocks = [
            json!({ "type": "header", "text": { "type": "plain_text", "text": "h", "emoji": true } }),
            section(3_000),
            json!({ "type": "section", "fields": [{ "type": "mrkdwn", "text": "*a*" }] }),
            json!({ "type": "divider" }),
            json!({ "type": "actions", "elements": [
                { "type": "button", "text": { "type": "plain_text", "text": "Runbook" }, "url": "https://e.example" }] }),
            json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": "since" }] }),
        ];
        assert_eq!(problems(&blocks), Vec::<String>::new());
    }

    #[test]
    fn each_limit_is_named_with_its_pointer() {
        let field = json!({ "type": "mrkdwn", "text": "x" });
        let cases = [
            (
                section(3_001),
                "must be less than 3001 characters [json-pointer:/blocks/0/text/text]",
            ),
            (
                section(0),
                "must be more than 0 characters [json-pointer:/blocks/0/text/text]",
            ),
            (
                json!({ "type": "section", "fields": vec![field.clone(); 11] }),
                "no more than 10 items allowed [json-pointer:/blocks/0/fields]",
            ),
            (
                json!({ "type": "header", "text": { "type": "plain_text", "text": "x".repeat(151) } }),
                "must be less than 151 characters [json-pointer:/blocks/0/text/text]",
            ),
            (
                json!({ "type": "header", "text": field }),
                "unsupported type: mrkdwn [json-pointer:/blocks/0/text/type]",
            ),
            (
                json!({ "type": "sectoin" }),
                "unsupported type: sectoin [json-pointer:/blocks/0/type]",
            ),
            (
                json!({ "type": "section" }),
                "missing required field: text or fields [json-pointer:/blocks/0]",
            ),
            (
                json!({ "type": "divider", "colour": "red" }),
                "invalid additional property: colour [json-pointer:/blocks/0]",
            ),
            (
                json!({ "type": "context", "elements": vec![json!({ "type": "mrkdwn", "text": "x" }); 11] }),
                "no more than 10 items allowed [json-pointer:/blocks/0/elements]",
            ),
        ];
        for (block, problem) in cases {
            assert_eq!(problems(&[block]), [problem]);
        }
    }

    #[test]
    fn more_than_fifty_blocks_are_too_many() {
        assert_eq!(
            problems(&vec![json!({ "type": "divider" }); 50]),
            Vec::<String>::new()
        );
        assert_eq!(
            problems(&vec![json!({ "type": "divider" }); 51]),
            ["no more than 50 items allowed [json-pointer:/blocks]"]
        );
    }
}
