//! Reads the file of rules by which `alert-manager test` answers HTTP requests.

use std::io::Read as _;
use std::path::Path;

use url::Url;

use super::key::{Key, Written};
use super::load::read;
use super::node::{Node, Value};
use super::reader::Reader;
use super::section::Section;
use crate::description::parse_http_url;
use crate::findings::Problems;
use crate::runtime::HttpAnswer;
use crate::trial::{HttpRule, HttpRules};

/// The largest file with a body.
const BODY_BYTES_MAX: u64 = 64 << 20;

/// The statuses that a response can have: those below are no final ones.
const STATUSES: std::ops::RangeInclusive<u16> = 200..=599;

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "*"];

const KEYS: &[Key] = &[
    Key::new(
        "method",
        Written::Scalar("one of GET, HEAD, POST, PUT, PATCH and DELETE, or * for any"),
        "The method.",
    ),
    Key::new(
        "url",
        Written::Scalar(
            "a URL such as https://api.example.com/pods, in which * stands for any text",
        ),
        "The URL.",
    ),
    Key::new(
        "status",
        Written::Scalar("a status from 200 to 599"),
        "The status.",
    ),
    Key::new("headers", Written::NamedTexts, "The headers."),
    Key::new(
        "body",
        Written::Text,
        "The body: a text, or a mapping or list that is written as JSON.",
    ),
    Key::new("body_file", Written::Path, "A file with the body."),
];

/// Reads the rules of a file. Paths in it are relative to its folder.
///
/// # Errors
/// Everything that is wrong, at once.
pub(crate) fn http_rules(path: &Path) -> Result<HttpRules, Problems> {
    let text = read(path, "the rules cannot be read", "correct --http")?;
    let mut reader = Reader::new(Some(path));
    let document = reader.parse(&text);
    let mut rules = Vec::new();
    if let Some(document) = &document {
        if document.is_mapping() {
            let (message, advice) = (
                "the rules are a mapping",
                "begin each rule with a hyphen, as in - url: https://api.example.com/pods",
            );
            reader.fail(document.at, message.to_owned(), advice);
        } else {
            for (index, node) in reader.items(document, "the rules").iter().enumerate() {
                rules.extend(rule(&mut reader, node, &format!("[{index}]")));
            }
        }
    }
    match reader.finish().problems {
        problems if problems.0.is_empty() => Ok(HttpRules::new(path.to_owned(), rules)),
        problems => Err(problems),
    }
}

/// Reads one rule; `None` if it cannot be used.
fn rule(reader: &mut Reader, node: &Node, path: &str) -> Option<HttpRule> {
    let mut section = Section::open(reader, node, path, KEYS);
    let method = section.parsed(reader, "method", |text| {
        let method = text.to_ascii_uppercase();
        METHODS.contains(&method.as_str()).then_some(method)
    });
    let url = section.parsed(reader, "url", url);
    if !section.has_any(&["url"]) && !node.is_null() {
        let message = format!("{path} has no url");
        reader.fail(node.at, message, "add the URL that it answers");
    }
    let status = section.parsed(reader, "status", |text| {
        text.parse().ok().filter(|status| STATUSES.contains(status))
    });
    let answer = HttpAnswer {
        status: status.unwrap_or(200),
        headers: headers(reader, &mut section),
        body: body(reader, &mut section),
    };
    section.finish(reader);
    Some(HttpRule {
        method: method.unwrap_or_else(|| "GET".to_owned()),
        url: url?,
        answer,
    })
}

/// Returns a URL as requests spell it; a `*` in it is kept.
fn url(text: &str) -> Option<String> {
    if text == "*" {
        return Some(text.to_owned());
    }
    let mut url: Url = parse_http_url(&text.replace('*', "1"))?;
    if text.contains('*') {
        let Ok(pattern) = Url::parse(text) else {
            // A `*` is written in a port, where a URL can have none.
            return Some(text.to_owned());
        };
        url = pattern;
    }
    // It is not sent.
    url.set_fragment(None);
    let (_, rest) = text.split_once("://")?;
    let spelt = url.to_string();
    Some(
        match rest.ends_with('*') && !rest.contains(['/', '?', '#']) {
            // A `*` after the host stands for paths, too.
            true => spelt.trim_end_matches('/').to_owned(),
            false => spelt,
        },
    )
}

fn headers(reader: &mut Reader, section: &mut Section<'_>) -> Vec<(String, String)> {
    let Some((node, path)) = section.take("headers") else {
        return Vec::new();
    };
    let mut headers = Vec::new();
    for entry in reader.entries(node, &path) {
        let path = format!("{path}.{}", entry.key);
        let name = http::HeaderName::try_from(&entry.key).is_ok();
        if !name {
            let message = format!("{path}: {:?} is not the name of a header", entry.key);
            reader.fail(entry.at, message, "write it as in content-type");
            continue;
        }
        let value = reader.scalar(&entry.value, &path, "a text on one line", |text| {
            http::HeaderValue::try_from(text)
                .ok()
                .map(|_| text.to_owned())
        });
        headers.extend(value.map(|value| (entry.key.clone(), value)));
    }
    headers
}

fn body(reader: &mut Reader, section: &mut Section<'_>) -> Vec<u8> {
    let text = section.take("body").map(|(node, _)| match &node.value {
        Value::Scalar(text, _) => text.clone().into_bytes(),
        _ => node.to_json().to_string().into_bytes(),
    });
    let Some((node, path)) = section.take("body_file") else {
        return text.unwrap_or_default();
    };
    if text.is_some() {
        let message = format!("{path} stands beside a body");
        reader.fail(node.at, message, "keep one of the two");
    }
    let Some(file) = reader.text(node, &path) else {
        return Vec::new();
    };
    let file = reader.resolve(file);
    let mut bytes = Vec::new();
    let is_read = std::fs::File::open(&file)
        .and_then(|file| file.take(BODY_BYTES_MAX + 1).read_to_end(&mut bytes));
    if let Err(error) = is_read {
        let message = format!("{path}: {} cannot be read: {error}", file.display());
        reader.fail(
            node.at,
            message,
            "name a file relative to this one's folder",
        );
    } else if bytes.len() as u64 > BODY_BYTES_MAX {
        let message = format!(
            "{path}: {} has more than {} MiB",
            file.display(),
            BODY_BYTES_MAX >> 20
        );
        reader.fail(
            node.at,
            message,
            "a handler is given no such body: name a smaller file",
        );
    }
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn rules_are_read_from_yaml_and_from_json() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rules");
        for text in [
            "- { method: post, url: https://a.example, status: 201, headers: { x-a: \"1\" }, body: [1] }\n",
            r#"[{"method": "POST", "url": "https://a.example/", "status": 201, "headers": {"x-a": "1"}, "body": [1]}]"#,
        ] {
            std::fs::write(&file, text).unwrap();
            let rules = http_rules(&file).unwrap().rules;
            let answer = HttpAnswer {
                status: 201,
                headers: vec![("x-a".to_owned(), "1".to_owned())],
                body: b"[1]".to_vec(),
            };
            let (method, url) = ("POST".to_owned(), "https://a.example/".to_owned());
            assert_eq!(
                rules,
                [HttpRule {
                    method,
                    url,
                    answer
                }]
            );
        }
        std::fs::write(&file, "").unwrap();
        assert_eq!(http_rules(&file).unwrap().rules, []);
    }

    #[test]
    fn a_url_is_spelt_as_requests_spell_it_whether_or_not_it_has_an_asterisk() {
        for (written, spelt) in [
            ("https://A.example:443", "https://a.example/"),
            ("https://A.example:443/*", "https://a.example/*"),
            ("HTTPS://*.Example/x", "https://*.example/x"),
            ("https://a.example?q=*", "https://a.example/?q=*"),
            (
                "https://a.example/a b/*?q=ä",
                "https://a.example/a%20b/*?q=%C3%A4",
            ),
            ("https://a.example/x/../*#part", "https://a.example/*"),
            ("https://a.example*", "https://a.example*"),
            ("https://a.example:*/x", "https://a.example:*/x"),
            ("*", "*"),
        ] {
            assert_eq!(url(written).as_deref(), Some(spelt), "{written}");
        }
        assert_eq!(url("*://a.example"), None);
    }

    #[test]
    fn a_body_that_no_handler_could_be_given_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let large = std::fs::File::create(dir.path().join("large")).unwrap();
        large.set_len(BODY_BYTES_MAX + 1).unwrap();
        let file = dir.path().join("rules.yml");
        std::fs::write(&file, "- url: https://a.example\n  body_file: large\n").unwrap();
        let problems = http_rules(&file).unwrap_err().to_string();
        let place = format!("{}:2:14: [0].body_file: ", file.display());
        assert!(problems.starts_with(&place), "{problems}");
        assert!(problems.contains("has more than 64 MiB"), "{problems}");
    }
}
