//! `handlers`: what each handler may reach and use, and its settings.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::grants::{ALLOW_KEYS, Grantable, grants};
use super::limits::{self, LIMITS};
use super::slack::CHANNEL_NAME;
use crate::alert::HandlerName;
use crate::config::compare::{Compare, Restart, entries};
use crate::config::decode::{Decoding, Part};
use crate::config::key::{Key, Written};
use crate::config::reader::Reader;
use crate::config::section::Section;
use crate::description::STORY_BASE;
use crate::policy::Grants;
use crate::units::format_duration;
use crate::worker::{EnrichBudget, HandlerSettings, Retry};

pub(in crate::config) const HANDLERS: Part = Part {
    keys: &[Key::new(
        "handlers",
        Written::Named(HANDLER_KEYS),
        "For each handler, by its name: what it may reach and use, and its settings. A handler without an entry may reach \
         nothing.",
    )],
    read: handlers,
    compare: Compare::Entries(|old, new| {
        let (old, new) = (&old.handlers, &new.handlers);
        let mut changes = entries("handlers", &old.by_name, &new.by_name, |old, new| {
            format!(" ({})", parts(old, new))
        });
        if old.others != new.others {
            changes.push("handlers without an entry: changed".to_owned());
        }
        changes
    }),
    restart: Restart::No,
};

const HANDLER_KEYS: &[Key] = &[
    Key::new(
        "sha256",
        Written::Scalar("64 hexadecimal digits, as sha256sum prints them"),
        "The only file that is served under this name. Needed for credentials unless nobody but the owner of the folder \
         could have written the file.",
    )
    .example("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
    Key::new("allow", Written::Mapping(ALLOW_KEYS), "What the handler may reach. The rest is denied."),
    Key::new(
        "limits",
        Written::Mapping(LIMITS),
        "What one invocation may use. If a handler hits a limit, the delivery's story names it, and \
         `alert_manager_limits_total` counts it.",
    ),
    Key::new(
        "enrich",
        Written::Mapping(ENRICH_KEYS),
        "The budget of one delivery's enrichment. Past it the message is sent without.",
    ),
    Key::new("retry", Written::Mapping(RETRY_KEYS), "How a failed action is retried."),
    Key::new(
        "config",
        Written::Settings,
        "The handler's own settings; its documentation lists them.",
    )
    .example("{ channel: alerts, runbook_base: \"https://runbooks.example.com\" }"),
];

const ENRICH_KEYS: &[Key] = &[
    Key::new("attempts", Written::Count, "Attempts in all.")
        .default_of(|| EnrichBudget::default().attempts_max.to_string())
        .example("1"),
    Key::new(
        "within",
        Written::Duration,
        "The time of all attempts together.",
    )
    .default_of(|| format_duration(EnrichBudget::default().within))
    .example("5s"),
];

const RETRY_KEYS: &[Key] = &[
    Key::new("max_attempts", Written::Count, "The attempts in all, for retryable failures.")
        .default_of(|| Retry::default().attempts_max.to_string())
        .example("5"),
    Key::new("min_backoff", Written::Duration, "The wait before the second attempt.")
        .default_of(|| format_duration(Retry::default().backoff_min))
        .example("2s"),
    Key::new("max_backoff", Written::Duration, "The longest wait between two attempts.")
        .default_of(|| format_duration(Retry::default().backoff_max))
        .example("10m"),
    Key::new(
        "max_age",
        Written::Duration,
        "The age of an alert at which nothing is retried any more, not even what waits for something that is unavailable, \
         such as Slack.",
    )
    .default_of(|| format_duration(Retry::default().age_max))
    .example("2h"),
];

fn handlers(d: &mut Decoding<'_>) {
    if d.reader.file().is_none() {
        // Nobody could grant anything, and a first start should show a message.
        let others = Arc::make_mut(&mut d.config.handlers.others);
        others.grants = Arc::new(Grants {
            slack: [CHANNEL_NAME.to_owned()].into(),
            is_without_file: true,
            ..Grants::default()
        });
    }
    if let Some((key, node, path)) = d.top.find("handlers") {
        let grantable = Grantable {
            channels: d.config.slack.channels.keys().cloned().collect(),
            credentials: d.config.credentials.keys().cloned().collect(),
            has_proxy: d.config.proxy.is_some(),
        };
        for entry in d.reader.entries(node, &path) {
            if !HandlerName::is_kebab_case(&entry.key) {
                let message = format!("{:?} is not the name of a handler", entry.key);
                let advice = "a name is in kebab-case, as in slack-notify";
                d.reader.fail(entry.at, message, advice);
            }
            let path = format!("{path}.{}", entry.key);
            let section = Section::open(d.reader, &entry.value, &path, key.written.keys());
            let settings = settings(d.reader, section, &grantable);
            let by_name = &mut d.config.handlers.by_name;
            by_name.insert(HandlerName::new(&entry.key), Arc::new(settings));
        }
    }
    if let Some(url) = &d.config.external_url {
        let base = format!("{url}deliveries");
        let handlers = &mut d.config.handlers;
        let all = handlers.by_name.values_mut().chain([&mut handlers.others]);
        all.for_each(|settings| set_story_base(Arc::make_mut(settings), &base));
    }
}

/// Gives a handler the URL below which stories are, for links in its messages; its own setting takes precedence.
fn set_story_base(settings: &mut HandlerSettings, base: &str) {
    Arc::make_mut(&mut settings.config)
        .entry(STORY_BASE.to_owned())
        .or_insert_with(|| base.to_owned());
}

/// Reads `config`: scalars as written, lists and mappings as JSON.
pub(super) fn settings_map(
    reader: &mut Reader,
    section: &mut Section<'_>,
) -> Arc<BTreeMap<String, String>> {
    let Some((node, path)) = section.take("config") else {
        return Arc::default();
    };
    let entries = reader.entries(node, &path);
    let pairs = entries
        .iter()
        .map(|entry| (entry.key.clone(), entry.value.as_setting()));
    Arc::new(pairs.collect())
}

fn settings(
    reader: &mut Reader,
    mut section: Section<'_>,
    grantable: &Grantable,
) -> HandlerSettings {
    let sha256 = section.parsed(reader, "sha256", parse_sha256);
    let allow = section.below(reader, "allow");
    let grants = allow.map(|section| grants(reader, section, grantable));
    let limits = section.below(reader, "limits");
    let limits = limits::of_handler(reader, limits);
    let enrich = section.below(reader, "enrich");
    let enrich = enrich.map(|section| enrich_budget(reader, section, limits.wall_max));
    let retry = section.below(reader, "retry");
    let retry = retry.map(|section| retries(reader, section));
    let config = settings_map(reader, &mut section);
    section.finish(reader);
    HandlerSettings {
        sha256,
        grants: Arc::new(grants.unwrap_or_default()),
        limits,
        enrich: enrich.unwrap_or_default(),
        retry: retry.unwrap_or_default(),
        config,
        kept: None,
    }
}

fn parse_sha256(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, i) in digest.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[i..i + 2], 16).ok()?;
    }
    Some(digest)
}

fn enrich_budget(reader: &mut Reader, mut section: Section<'_>, wall: Duration) -> EnrichBudget {
    let mut budget = EnrichBudget::default();
    section.set(reader, "attempts", &mut budget.attempts_max);
    section.set(reader, "within", &mut budget.within);
    let most = wall.saturating_mul(budget.attempts_max);
    if let Some((node, path)) = section.take("within")
        && budget.within > most
    {
        let (given, wall, most) = (
            format_duration(budget.within),
            format_duration(wall),
            format_duration(most),
        );
        let message = format!(
            "{path} is {given}, but its {} attempts end after {wall} each (limits.wall)",
            budget.attempts_max
        );
        let advice = format!("write {most} or less, or raise limits.wall");
        reader.warn(node.at, message, advice);
    }
    section.finish(reader);
    budget
}

fn retries(reader: &mut Reader, mut section: Section<'_>) -> Retry {
    let mut retry = Retry::default();
    section.set(reader, "max_attempts", &mut retry.attempts_max);
    section.set(reader, "min_backoff", &mut retry.backoff_min);
    section.set(reader, "max_backoff", &mut retry.backoff_max);
    section.set(reader, "max_age", &mut retry.age_max);
    let (at, path) = (section.at, &section.path);
    if retry.backoff_min > retry.backoff_max {
        let message = format!("{path}: min_backoff is longer than max_backoff");
        reader.fail(at, message, "raise max_backoff or lower min_backoff");
    } else if retry.age_max < retry.backoff_min {
        let (age, backoff) = (
            format_duration(retry.age_max),
            format_duration(retry.backoff_min),
        );
        let message = format!(
            "{path}: max_age ({age}) is shorter than min_backoff ({backoff}), so nothing is retried"
        );
        reader.warn(at, message, "raise max_age or lower min_backoff");
    }
    section.finish(reader);
    retry
}

/// Returns which settings of a handler differ.
fn parts(old: &HandlerSettings, new: &HandlerSettings) -> String {
    let HandlerSettings {
        sha256,
        grants,
        limits,
        enrich,
        retry,
        config,
        kept: _,
    } = new;
    let parts = [
        ("sha256", old.sha256 != *sha256),
        ("allow", old.grants != *grants),
        ("limits", old.limits != *limits),
        ("enrich", old.enrich != *enrich),
        ("retry", old.retry != *retry),
        ("config", old.config != *config),
    ];
    let parts = parts
        .into_iter()
        .filter_map(|(part, differs)| differs.then_some(part));
    parts.collect::<Vec<_>>().join(", ")
}
