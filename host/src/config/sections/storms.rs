//! `severity_map` and `storm`: which deliveries go first, and which of them run as one.

use std::collections::BTreeSet;

use crate::alert::Priority;
use crate::config::Config;
use crate::config::compare::{Compare, Restart};
use crate::config::decode::{Decoding, Part};
use crate::config::key::{Key, Written};
use crate::config::node::{Entry, Value};
use crate::config::section::Section;
use crate::queue::StormOptions;
use crate::units::format_duration;

pub(in crate::config) const SEVERITY_MAP: Part = Part {
    keys: &[Key::new(
        "severity_map",
        Written::Mapping(SEVERITY_MAP_KEYS),
        "Your own words for the priority of an alert, in the label `severity`, or in `priority` if the word of `severity` \
         is not known. They count before those of [the table](#priority), in any case. `routes[].priority` overrides them.",
    )],
    read: severity_map,
    compare: Compare::Whole("severity_map", |old, new| {
        old.router.severity_map != new.router.severity_map
    }),
    restart: Restart::No,
};

const SEVERITY_MAP_KEYS: &[Key] = &[
    Key::new(
        "critical",
        Written::Texts,
        "What somebody has to act on now. Critical alerts go first wherever something waits.",
    )
    .example("[gold, \"1\"]"),
    Key::new(
        "warning",
        Written::Texts,
        "What somebody has to act on today.",
    )
    .example("[silver, \"2\"]"),
    Key::new(
        "normal",
        Written::Texts,
        "All else; words that are not known are normal too.",
    )
    .example("[bronze, \"3\"]"),
];

fn severity_map(d: &mut Decoding<'_>) {
    let Some((key, node, path)) = d.top.find("severity_map") else {
        return;
    };
    let is_priority = |text: &str| Priority::ALL.iter().any(|known| known.as_str() == text);
    if let Value::Map(entries) = &node.value {
        let turned = |entry: &&Entry| match &entry.value.value {
            Value::Scalar(text, _) => !is_priority(&entry.key) && is_priority(text),
            _ => false,
        };
        if let Some(entry) = entries.iter().find(turned) {
            let (word, priority) = (&entry.key, entry.value.scalar().unwrap_or_default());
            let message = format!("{path}.{word} is a word, and the key is the priority");
            let advice = format!("write it the other way round: {priority}: [{word}]");
            d.reader.fail(entry.at, message, advice);
            return;
        }
    }
    let mut section = Section::open(d.reader, node, &path, key.written.keys());
    let map = &mut d.config.router.severity_map;
    for priority in Priority::ALL {
        let Some((node, path)) = section.take(priority.as_str()) else {
            continue;
        };
        for (at, word) in d.reader.texts(node, &path) {
            if word.trim().is_empty() {
                let message = format!("{path} has a word that is empty");
                let advice = "name a word of the labels severity or priority";
                d.reader.fail(at, message, advice);
                continue;
            }
            let Some(earlier) = map.insert(word, priority) else {
                continue;
            };
            let message = if earlier == priority {
                format!("{path} has {word:?} twice")
            } else {
                format!("{path} has {word:?}, which severity_map.{earlier} has too")
            };
            let advice = "name each word once; upper and lower case are the same";
            d.reader.fail(at, message, advice);
        }
    }
    section.finish(d.reader);
}

pub(in crate::config) const STORM: Part = Part {
    keys: &[Key::new(
        "storm",
        Written::Mapping(STORM_KEYS),
        "When many alerts that are alike wait, they run as one and make one message. Only on routes whose actors all declare \
         that one message may stand for many (`storm: one`, as `slack-notify` and `kube-pod-crash-looping` do); `check` says \
         which do not. More deliveries of such a route than `over` that wait for one channel of Slack run as one whatever \
         their labels, critical ones apart from the others.",
    )],
    read: storm,
    compare: Compare::Whole("storm", |old, new| of(old) != of(new)),
    restart: Restart::No,
};

const STORM_KEYS: &[Key] = &[
    Key::new(
        "over",
        Written::Scalar("a whole number up to 4294967295; 0 is off"),
        "More alerts than this within the time of `within` are a storm, if they have the same route, status, priority and \
         values of the labels `by`. 0 is off: each alert runs by itself.",
    )
    .default_of(|| StormOptions::default().over.to_string())
    .example("50"),
    Key::new("within", Written::Time, "The time in which they arrive.")
        .default_of(|| format_duration(StormOptions::default().within))
        .example("30s"),
    Key::new(
        "by",
        Written::Texts,
        "The labels whose values are equal among the alerts of a storm. Add a label by which a handler chooses its channel.",
    )
    .default("[alertname, cluster]")
    .example("[alertname, cluster, team]"),
];

fn storm(d: &mut Decoding<'_>) {
    let Some((key, node, path)) = d.top.find("storm") else {
        return;
    };
    if let Some(text @ ("off" | "false" | "no" | "none" | "0")) = node.scalar() {
        let message = format!("storm should be a mapping of keys to values, not {text}");
        let advice = "to turn storms off, write storm: { over: 0 }";
        d.reader.fail(node.at, message, advice);
        return;
    }
    let mut section = Section::open(d.reader, node, &path, key.written.keys());
    let storm = &mut d.config.queue.storm;
    if let Some(over) = section.parsed(d.reader, "over", |text| text.parse().ok()) {
        storm.over = over;
    }
    section.set(d.reader, "within", &mut storm.within);
    if let Some((node, path)) = section.take("by") {
        let mut by = BTreeSet::new();
        for (at, label) in d.reader.texts(node, &path) {
            if !by.insert(label.to_owned()) {
                let message = format!("{path} names {label} twice");
                d.reader.fail(at, message, "name each label once");
            }
        }
        if node.is_empty_list() {
            let message = format!("{path} names no label, so alerts of any name would run as one");
            let advice = "name one, as in [alertname, cluster]; to turn storms off, write over: 0";
            d.reader.fail(node.at, message, advice);
        }
        d.config.router.storm_by = by;
    }
    if storm.over == 0 {
        d.config.router.storm_by = BTreeSet::new();
    }
    section.finish(d.reader);
}

fn of(config: &Config) -> (StormOptions, &BTreeSet<String>) {
    (config.queue.storm, &config.router.storm_by)
}
