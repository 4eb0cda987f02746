//! Writes values as YAML, for the lines that a refusal prints.

/// Writes `text` as a quoted string of YAML.
pub(super) fn quoted(text: &str) -> String {
    // JSON strings are valid as YAML's double-quoted strings.
    serde_json::Value::from(text).to_string()
}

/// Writes `text` as a YAML string: without quotes if it is a plain word.
pub fn scalar(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        && !["true", "false", "null", "yes", "no", "on", "off"].contains(&text);
    if is_plain {
        text.to_owned()
    } else {
        quoted(text)
    }
}
