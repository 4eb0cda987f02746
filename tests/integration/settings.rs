//! Compares the guide to the bundled handlers' settings with the settings that their sources read.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;
use tests::modules::workspace;

/// Returns every setting that the sources below a folder or file read, tests left out.
fn read_by(path: &Path, into: &mut BTreeSet<String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if !path.ends_with("tests") && !path.ends_with("tests.rs") {
                read_by(&path, into);
            }
        }
        return;
    }
    let is_source = |extension: &std::ffi::OsStr| extension == "rs" || extension == "ts";
    if !path.extension().is_some_and(is_source) {
        return;
    }
    let read =
        Regex::new(r#"(?:\.config(?:_or|_json)?|\bcredential|Setting(?:::|\.)[a-zA-Z_]+)\(\s*&?(?:format!\()?"([a-z_.{}*]+)""#)
            .unwrap();
    let emoji = Regex::new(r#""(emoji\.[a-z]+)""#).unwrap();
    let source = fs::read_to_string(path).unwrap();
    let source: String = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| format!("{line}\n"))
        .collect();
    for found in read
        .captures_iter(&source)
        .chain(emoji.captures_iter(&source))
    {
        into.insert(found[1].replace("{cluster}", "*"));
    }
}

fn documented(section: &str) -> BTreeSet<String> {
    let guide = fs::read_to_string(workspace().join("docs/handlers.md")).unwrap();
    let text = guide.split(&format!("\n## {section}\n")).nth(1).unwrap();
    let text = text.split("\n## ").next().unwrap();
    text.lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|row| row.split('`').next().unwrap().to_owned())
        .collect()
}

#[test]
fn every_setting_that_a_bundled_handler_reads_is_documented_and_no_other() {
    let root = workspace();
    let all = documented("All that post");
    for handler in ["kube-pod-crash-looping", "slack-notify"] {
        let mut read = BTreeSet::new();
        read_by(&root.join("handlers").join(handler).join("src"), &mut read);
        read_by(&root.join("handler-sdk/src/layout.rs"), &mut read);
        if handler != "slack-notify" {
            let kit = root.join("handler-sdk/kit/src/settings");
            read_by(&kit.join("mod.rs"), &mut read);
            read_by(&kit.join("kubernetes.rs"), &mut read);
        }
        let known: BTreeSet<_> = documented(handler).union(&all).cloned().collect();
        assert!(read.len() > 6, "{read:?}");
        assert_eq!(read, known, "{handler}");
    }
    let mut read = BTreeSet::new();
    read_by(&root.join("handlers/runbook-digest/src"), &mut read);
    assert!(read.len() > 3, "{read:?}");
    assert_eq!(read, documented("runbook-digest"));
}
