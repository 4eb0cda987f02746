//! The files of a new project, by language.

use serde_json::{Map, json};

use super::rules::{self, Rule};
use crate::cli::args::Lang;

impl Lang {
    /// Returns the name for people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Python => "Python",
            Self::Typescript => "TypeScript",
        }
    }

    /// Returns the command that runs a project's own test, in its folder.
    pub(super) fn test_command(self) -> &'static str {
        match self {
            Self::Rust => "cargo test",
            Self::Python => "pytest",
            Self::Typescript => "npm install && npm test",
        }
    }

    /// Returns what its README says of the tools of its own test; empty, or a paragraph.
    fn prepare(self) -> &'static str {
        match self {
            Self::Rust | Self::Typescript => "",
            Self::Python => {
                "`pytest` is installed once, into a virtual environment of the project. Without one, most systems refuse to install it:\n\n\
                 ```sh\n\
                 python3 -m venv .venv\n\
                 . .venv/bin/activate\n\
                 pip install pytest mypy\n\
                 ```\n\n"
            }
        }
    }

    /// Returns the file that the author edits.
    pub(super) fn source(self) -> &'static str {
        match self {
            Self::Rust => "src/lib.rs",
            Self::Python => "handler.py",
            Self::Typescript => "src/handler.ts",
        }
    }
}

/// Whether a project is part of this repository's workspace or stands alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Member,
    Alone,
}

/// What is known of a new project.
#[derive(Debug)]
pub(super) struct Project<'a> {
    pub(super) name: &'a str,
    pub(super) lang: Lang,
    /// The alertname that it serves; `*` for any.
    pub(super) alert: &'a str,
    pub(super) kind: Kind,
    /// The path from the project to the SDK.
    pub(super) sdk: &'a str,
}

/// A name that the templates use themselves, in any language.
const TAKEN_TYPES: [&str; 22] = [
    "Alert",
    "Block",
    "Blocks",
    "Call",
    "Context",
    "Cx",
    "Description",
    "Enrichment",
    "Facts",
    "Failure",
    "False",
    "Handler",
    "Host",
    "Message",
    "MessageRef",
    "Mrkdwn",
    "None",
    "Path",
    "Self",
    "Setting",
    "Status",
    "Timestamp",
];

/// The labels that a message shows if the alert is of no known rule.
const USUAL_LABELS: [&str; 2] = ["severity", "instance"];

impl Project<'_> {
    /// Returns the files, each with its path in the project.
    pub(super) fn files(&self) -> Vec<(&'static str, String)> {
        let mut files: Vec<(&str, &str)> = match (self.lang, self.kind) {
            (Lang::Rust, Kind::Alone) => vec![
                ("Cargo.toml", include_str!("templates/rust/alone.toml")),
                ("src/lib.rs", include_str!("templates/rust/lib.rs")),
            ],
            (Lang::Rust, Kind::Member) => vec![
                ("Cargo.toml", include_str!("templates/rust/member.toml")),
                ("src/lib.rs", include_str!("templates/rust/lib.rs")),
            ],
            (Lang::Python, _) => vec![
                (
                    "pyproject.toml",
                    include_str!("templates/python/pyproject.toml"),
                ),
                ("handler.py", include_str!("templates/python/handler.py")),
                (
                    "test_handler.py",
                    include_str!("templates/python/test_handler.py"),
                ),
            ],
            (Lang::Typescript, _) => vec![
                (
                    "package.json",
                    include_str!("templates/typescript/package.json"),
                ),
                (
                    "tsconfig.json",
                    include_str!("templates/typescript/tsconfig.json"),
                ),
                (
                    "src/handler.ts",
                    include_str!("templates/typescript/handler.ts"),
                ),
                (
                    "test/handler.test.ts",
                    include_str!("templates/typescript/handler.test.ts"),
                ),
            ],
        };
        files.push(("README.md", include_str!("templates/README.md")));
        if self.kind == Kind::Alone {
            files.push((".gitignore", include_str!("templates/gitignore")));
        }
        let values = self.values();
        let mut files: Vec<_> = files
            .into_iter()
            .map(|(path, template)| (path, filled(template, &values)))
            .collect();
        files.push(("alert.json", self.alert_json()));
        files
    }

    fn rule(&self) -> Option<&'static Rule> {
        rules::named(self.alert)
    }

    /// Returns the alertname of the test alert.
    fn tested(&self) -> &str {
        if self.alert == "*" {
            "TestAlert"
        } else {
            self.alert
        }
    }

    fn summary(&self) -> &'static str {
        self.rule()
            .map_or("Something is wrong.", |rule| rule.summary)
    }

    /// Returns the path to the SDK as TypeScript takes it: one that does not begin with `./`, `../` or `/` names a package.
    fn sdk_folder(&self) -> String {
        if self.sdk.starts_with("../") || self.sdk.starts_with('/') {
            self.sdk.to_owned()
        } else {
            format!("./{}", self.sdk)
        }
    }

    fn values(&self) -> Vec<(&'static str, String)> {
        let names: Vec<&str> = match self.rule() {
            Some(rule) if !rule.labels.is_empty() => {
                rule.labels.iter().map(|(name, _)| *name).collect()
            }
            _ => USUAL_LABELS.to_vec(),
        };
        let quoted: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
        let alert = if self.alert == "*" {
            "any alert"
        } else {
            self.alert
        };
        vec![
            ("name", self.name.to_owned()),
            ("type", type_name(self.name)),
            ("alert", alert.to_owned()),
            ("serves", self.alert.to_owned()),
            ("tested", self.tested().to_owned()),
            ("summary", self.summary().to_owned()),
            ("labels", quoted.join(", ")),
            ("label_count", names.len().to_string()),
            ("sdk", self.sdk.to_owned()),
            ("sdk_folder", self.sdk_folder()),
            ("language", self.lang.name().to_owned()),
            ("test_command", self.lang.test_command().to_owned()),
            ("prepare", self.lang.prepare().to_owned()),
        ]
    }

    /// Returns an alert as Alertmanager sends it, with the labels of the rule.
    fn alert_json(&self) -> String {
        let mut labels = Map::new();
        labels.insert("alertname".to_owned(), json!(self.tested()));
        match self.rule() {
            Some(rule) => {
                labels.insert("severity".to_owned(), json!(rule.severity));
                labels.extend(
                    rule.labels
                        .iter()
                        .map(|(name, value)| ((*name).to_owned(), json!(value))),
                );
            }
            None => {
                labels.insert("severity".to_owned(), json!("warning"));
                labels.insert("instance".to_owned(), json!("10.0.0.7:9100"));
            }
        }
        let alert = json!({
            "status": "firing",
            "labels": labels,
            "annotations": { "summary": self.summary() },
            "startsAt": "2026-03-02T07:31:57Z",
        });
        format!("{alert:#}\n")
    }
}

fn filled(template: &str, values: &[(&str, String)]) -> String {
    let mut text = template.to_owned();
    for (name, value) in values {
        text = text.replace(&format!("{{{{{name}}}}}"), value);
    }
    text
}

/// Returns the name of the handler's type: `disk-full` becomes `DiskFull`.
pub(super) fn type_name(name: &str) -> String {
    let mut camel = String::new();
    for part in name.split('-') {
        let mut chars = part.chars();
        camel.extend(chars.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(chars.as_str());
    }
    if TAKEN_TYPES.contains(&camel.as_str()) || camel == "True" {
        camel.push_str("Handler");
    }
    camel
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn project(lang: Lang, alert: &str) -> Vec<(&'static str, String)> {
        let project = Project {
            name: "disk-full",
            lang,
            alert,
            kind: Kind::Alone,
            sdk: ".sdk",
        };
        project.files()
    }

    #[test]
    fn no_placeholder_is_left_in_any_file() {
        for lang in [Lang::Rust, Lang::Python, Lang::Typescript] {
            for alert in ["NodeFilesystemSpaceFillingUp", "Own", "*", "Watchdog"] {
                for (path, text) in project(lang, alert) {
                    assert!(!text.contains("{{"), "{path}: {text}");
                    assert!(text.ends_with('\n'), "{path}");
                }
            }
        }
    }

    #[test]
    fn the_test_alert_has_the_labels_of_the_rule() {
        let files = project(Lang::Python, "NodeFilesystemSpaceFillingUp");
        let (_, json) = files
            .iter()
            .find(|(path, _)| *path == "alert.json")
            .unwrap();
        let alert: serde_json::Value = serde_json::from_str(json).unwrap();
        let labels: Vec<_> = alert["labels"].as_object().unwrap().keys().collect();
        assert_eq!(
            labels,
            ["alertname", "device", "instance", "mountpoint", "severity"]
        );
    }

    #[test]
    fn a_language_is_known_by_the_short_names_that_people_type() {
        use clap::ValueEnum as _;
        for (name, lang) in [
            ("rust", Lang::Rust),
            ("rs", Lang::Rust),
            ("py", Lang::Python),
            ("ts", Lang::Typescript),
            ("js", Lang::Typescript),
        ] {
            assert_eq!(Lang::from_str(name, true), Ok(lang), "{name}");
        }
    }

    #[test]
    fn a_type_is_named_after_the_handler_unless_the_name_is_taken() {
        assert_eq!(type_name("disk-full"), "DiskFull");
        assert_eq!(type_name("alert"), "AlertHandler");
        assert_eq!(type_name("none"), "NoneHandler");
    }
}
