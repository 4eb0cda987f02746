//! Checks responses against an `OpenAPI` document, more strictly than JSON Schema does: a field that the document does not
//! have is a problem, and the fields that were seen are recorded.
//!
//! The document uses few keywords, and one that is unknown here is a problem too. No library is as strict, and none reports
//! which fields a response had.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// A document, and which of its fields and answers were seen.
#[derive(Debug)]
pub struct Api {
    document: Value,
    seen: BTreeSet<String>,
}

/// Keywords that say nothing about what is valid, and those that [`Api::check`] knows.
const KEYWORDS: [&str; 13] = [
    "$ref",
    "additionalProperties",
    "default",
    "description",
    "enum",
    "format",
    "items",
    "maximum",
    "minimum",
    "properties",
    "required",
    "type",
    "example",
];

impl Api {
    /// Reads a document.
    ///
    /// # Panics
    /// If it is no JSON.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self {
            document: serde_json::from_str(text).expect("an OpenAPI document in JSON"),
            seen: BTreeSet::new(),
        }
    }

    /// Returns what is wrong with an answer: its status is not documented, or its body is not as documented.
    pub fn check(&mut self, method: &str, path: &str, status: u16, body: &str) -> Vec<String> {
        let at = format!("{method} {path} {status}");
        let answer = &self.document["paths"][path][method]["responses"][status.to_string()];
        let Some((kind, media)) = answer["content"].as_object().and_then(|c| c.iter().next())
        else {
            return vec![format!("{at}: not documented")];
        };
        let schema = media["schema"].clone();
        let value = match kind.as_str() {
            "application/json" => match serde_json::from_str(body) {
                Ok(value) => value,
                Err(error) => return vec![format!("{at}: no JSON: {error}: {body}")],
            },
            _ => Value::from(body),
        };
        self.seen.insert(at.clone());
        let mut problems = Vec::new();
        self.validate(&schema, "", &value, &at, &mut problems);
        problems
    }

    fn validate(
        &mut self,
        schema: &Value,
        name: &str,
        value: &Value,
        at: &str,
        problems: &mut Vec<String>,
    ) {
        for key in schema.as_object().into_iter().flat_map(Map::keys) {
            if !KEYWORDS.contains(&key.as_str()) {
                problems.push(format!("{at}: the keyword {key} is not known here"));
            }
        }
        if let Some(kinds) = schema.get("type")
            && !is_of(kinds, value)
        {
            problems.push(format!("{at}: {value} is not {kinds}"));
            return;
        }
        // A field that may be something else than the object that it names.
        if let Some(target) = schema["$ref"].as_str()
            && (schema.get("type").is_none() || value.is_object())
        {
            let name = target.rsplit('/').next().unwrap_or(target).to_owned();
            let Some(target) = self.document.pointer(target.trim_start_matches('#')) else {
                return problems.push(format!("{at}: no such schema: {target}"));
            };
            let target = target.clone();
            return self.validate(&target, &name, value, at, problems);
        }
        if let Some(words) = schema["enum"].as_array()
            && !words.contains(value)
        {
            problems.push(format!("{at}: {value} is none of {words:?}"));
        }
        if schema["format"] == "date-time" && !value.is_null() && !is_time(value) {
            problems.push(format!("{at}: {value} is no time in UTC"));
        }
        if let (Some(least), Some(number)) = (schema["minimum"].as_i64(), value.as_i64())
            && number < least
        {
            problems.push(format!("{at}: {number} is less than {least}"));
        }
        match value {
            Value::Object(fields) => self.object(schema, name, fields, at, problems),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let at = format!("{at}/{index}");
                    self.validate(&schema["items"], name, item, &at, problems);
                }
            }
            _ => {}
        }
    }

    fn object(
        &mut self,
        schema: &Value,
        name: &str,
        fields: &Map<String, Value>,
        at: &str,
        problems: &mut Vec<String>,
    ) {
        if schema.get("type").is_none() {
            return; // Any JSON.
        }
        for field in schema["required"].as_array().into_iter().flatten() {
            if !field.as_str().is_some_and(|f| fields.contains_key(f)) {
                problems.push(format!("{at}: {field} is missing"));
            }
        }
        for (field, value) in fields {
            let at = format!("{at}/{field}");
            if let Some(known) = schema["properties"].get(field) {
                let name = format!("{name}.{field}");
                self.seen.insert(name.clone());
                self.validate(known, &name, value, &at, problems);
            } else if let Some(any) = schema.get("additionalProperties") {
                self.validate(any, name, value, &at, problems);
            } else {
                problems.push(format!("{at}: not documented"));
            }
        }
    }

    /// Returns the fields (`Delivery.id`) and answers (`get /metrics 200`) that are documented and were not seen.
    #[must_use]
    pub fn unseen(&self) -> Vec<String> {
        let mut documented = BTreeSet::new();
        let schemas = self.document["components"]["schemas"].as_object();
        for (name, schema) in schemas.into_iter().flatten() {
            fields(schema, name, &mut documented);
        }
        for (path, methods) in self.document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in methods.as_object().into_iter().flatten() {
                for status in operation["responses"].as_object().into_iter().flatten() {
                    documented.insert(format!("{method} {path} {}", status.0));
                }
            }
        }
        documented.difference(&self.seen).cloned().collect()
    }
}

fn fields(schema: &Value, name: &str, into: &mut BTreeSet<String>) {
    for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
        let name = format!("{name}.{field}");
        fields(schema, &name, into);
        into.insert(name);
    }
    if schema["items"].is_object() {
        fields(&schema["items"], name, into);
    }
}

fn is_of(kinds: &Value, value: &Value) -> bool {
    let is_one = |kind: &Value| match kind.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        _ => false,
    };
    match kinds {
        Value::Array(kinds) => kinds.iter().any(is_one),
        kind => is_one(kind),
    }
}

fn is_time(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    text.len() >= "2026-01-02T03:04:05Z".len() && text.as_bytes()[10] == b'T' && text.ends_with('Z')
}
