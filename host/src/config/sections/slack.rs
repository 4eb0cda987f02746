//! `slack`: the token, the channels, the rates.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::basics::parse_base_url;
use super::proxy::{PROXY_URL, PROXY_URL_ENV, PROXY_URL_FILE, VIA_PROXY, proxy, via_proxy};
use crate::alert::HandlerName;
use crate::config::compare::{Compare, Restart};
use crate::config::decode::{Decoding, Part};
use crate::config::key::{Key, Written};
use crate::config::node::{Node, Place};
use crate::config::reader::Reader;
use crate::runtime::SlackRate;
use crate::secret::{Secret, SecretSource};

/// The name under which handlers are granted the channel of `SLACK_CHANNEL`.
pub(in crate::config) const CHANNEL_NAME: &str = "alerts";
const CHANNEL_DEFAULT: &str = "#alerts";

pub(in crate::config) const API_URL_DEFAULT: &str = "https://slack.com/api/";

pub(in crate::config) const SLACK: Part = Part {
    keys: &[Key::new(
        "slack",
        Written::Mapping(SLACK_KEYS),
        "Slack: the bot's token, the channels, their rate.",
    )],
    read: slack,
    compare: Compare::Whole("slack", |old, new| old.slack != new.slack),
    restart: Restart::No,
};

const SLACK_KEYS: &[Key] = &[
    Key::new(
        "token_file",
        Written::Path,
        "A file with the bot's token (`xoxb-…`). The bot needs the scope `chat:write`, and must be in the channels. It is \
         read again when it changes.",
    )
    .example("/run/secrets/slack"),
    Key::new(
        "preview",
        Written::Boolean,
        "Prints messages instead of posting them, and keeps them with their deliveries.",
    )
    .default("false")
    .example("true"),
    Key::new(
        "channels",
        Written::NamedTexts,
        "The names that handlers' grants and settings use, each with the name (`\"#alerts\"`) or the ID (`C0123456`) of a \
         channel of Slack.",
    )
    .default("{ alerts: \"#alerts\" }")
    .example("{ alerts: \"#alerts\", oncall: C0123456 }"),
    Key::new(
        "rate",
        Written::Mapping(RATE_KEYS),
        "How many messages each channel takes; those over it wait, critical ones first.",
    ),
    Key::new(
        "workspace_rate",
        Written::Mapping(WORKSPACE_RATE_KEYS),
        "How many messages all channels together take.",
    ),
    Key::new(
        "api_url",
        Written::Scalar("a URL such as https://slack.com/api/"),
        "The base URL of Slack's API.",
    )
    .default(API_URL_DEFAULT)
    .example("https://slack.example.com/api/"),
    PROXY_URL,
    PROXY_URL_FILE,
    PROXY_URL_ENV,
    VIA_PROXY,
];

const RATE_KEYS: &[Key] = &[
    Key::new(
        "per_second",
        Written::PerSecond,
        "Messages a second. 0 is off, also for the workspace, updates and reactions: then only what Slack says counts, and \
         Slack disables an app that sends too much for long. Slack itself takes about one a second.",
    )
    .default_of(|| SlackRate::CHANNEL.per_second.to_string())
    .example("0.5"),
    Key::new(
        "burst",
        Written::Count,
        "Messages that may be sent at once.",
    )
    .default_of(|| SlackRate::CHANNEL.burst.to_string())
    .example("10"),
];

const WORKSPACE_RATE_KEYS: &[Key] = &[
    Key::new(
        "per_second",
        Written::PerSecond,
        "Messages a second; 0 is off.",
    )
    .default_of(|| SlackRate::WORKSPACE.per_second.to_string())
    .example("2.5"),
    Key::new(
        "burst",
        Written::Count,
        "Messages that may be sent at once.",
    )
    .default_of(|| SlackRate::WORKSPACE.burst.to_string())
    .example("50"),
];

/// Without a file and a token, messages are previewed.
fn slack(d: &mut Decoding<'_>) {
    let slack = &mut d.config.slack;
    slack.proxy.clone_from(&d.config.proxy);
    let mut token_file = None;
    let mut channels = None;
    if let Some(mut section) = d.top.below(d.reader, "slack") {
        let reader = &mut *d.reader;
        if let Some((node, path)) = section.take("token_file")
            && let Some(text) = reader.text(node, &path)
        {
            token_file = Some((node.at, reader.resolve(text)));
        }
        if let Some((node, path)) = section.take("channels") {
            channels = Some(read_channels(reader, node, &path));
        }
        for (key, rate) in [
            ("rate", &mut slack.rate),
            ("workspace_rate", &mut slack.workspace_rate),
        ] {
            if let Some(mut section) = section.below(reader, key) {
                section.set(reader, "per_second", &mut rate.per_second);
                section.set(reader, "burst", &mut rate.burst);
                section.finish(reader);
            }
        }
        section.set(reader, "preview", &mut slack.preview);
        if let Some((key, node, path)) = section.find("api_url") {
            let url = reader.scalar(node, &path, &key.written.expected(), parse_base_url);
            slack.api_url = url.unwrap_or_else(|| slack.api_url.clone());
            reader.refuse_placeholder(node, &path);
        }
        if let Some(own) = proxy(reader, &mut section, d.env, &d.no_proxy) {
            slack.proxy = Some(own);
        }
        slack.via_proxy = via_proxy(reader, &mut section, slack.proxy.is_some());
        section.finish(reader);
    }
    if let Some(channel) = (d.env)("SLACK_CHANNEL") {
        let channels = channels.get_or_insert_default();
        channels.insert(CHANNEL_NAME.to_owned(), channel);
    }
    let default = || [(CHANNEL_NAME.to_owned(), CHANNEL_DEFAULT.to_owned())].into();
    slack.channels = channels.unwrap_or_else(default);
    api_url_of_variable(d);
    d.config.slack.token = token(d, token_file);
    if d.config.slack.token.is_none() && d.reader.file().is_none() {
        d.config.slack.preview = true;
    }
}

fn api_url_of_variable(d: &mut Decoding<'_>) {
    let Some(text) = (d.env)("SLACK_API_URL") else {
        return;
    };
    match parse_base_url(&text) {
        Some(url) => d.config.slack.api_url = url,
        None => d.reader.fail_outside(
            "the variable SLACK_API_URL",
            format!("{text:?} is not a URL"),
            "set it to a base such as https://slack.com/api/, or unset it",
        ),
    }
}

fn token(
    d: &mut Decoding<'_>,
    token_file: Option<(Place, std::path::PathBuf)>,
) -> Option<SecretSource> {
    const ADVICE: &str = "write the bot's token (xoxb-…) into that file, or correct the path";
    if d.config.slack.preview {
        // Nothing is posted, even if there is a token: that is what preview is for.
        return None;
    }
    if let Some(token) = (d.env)("SLACK_TOKEN").map(Zeroizing::new) {
        return Some(SecretSource::value(Secret::new(token.trim())));
    }
    if let Some(path) = (d.env)("SLACK_TOKEN_FILE") {
        let source = SecretSource::file(path.into());
        if let Some(error) = d.reader.unreadable(&source) {
            let place = "the variable SLACK_TOKEN_FILE";
            d.reader.fail_outside(place, error.to_string(), ADVICE);
        }
        return Some(source);
    }
    if let Some((at, path)) = token_file {
        let source = SecretSource::file(path);
        if let Some(error) = d.reader.unreadable(&source) {
            d.reader
                .refuse(at, format!("slack.token_file: {error}"), ADVICE);
        }
        return Some(source);
    }
    None
}

/// Checks that there is a token if a handler can post. Without a grant every post is denied, whatever modules import.
pub(in crate::config) fn check_token(d: &mut Decoding<'_>) {
    let slack = &d.config.slack;
    if slack.token.is_some() || slack.preview || !d.reader.reads_secrets() {
        return;
    }
    let handlers = &d.config.handlers;
    let can_post = |name: &&HandlerName| !handlers.of(name).grants.slack.is_empty();
    let Some(name) = handlers.names().find(can_post) else {
        return;
    };
    let message =
        format!("there is no Slack token, and {name} may post (handlers.{name}.allow.slack)");
    let advice = "set SLACK_TOKEN or slack.token_file, or write slack: { preview: true } to see messages without posting them";
    let at = d.place_of(&["slack"]);
    d.reader.refuse(at, message, advice);
}

fn read_channels(reader: &mut Reader, node: &Node, path: &str) -> BTreeMap<String, String> {
    let channels = texts_by_name(reader, node, path);
    for (name, (at, text)) in &channels {
        check_channel(reader, *at, &format!("{path}.{name}"), text);
    }
    warn_of_duplicates(reader, &channels);
    let channels = channels.into_iter();
    channels.map(|(name, (_, text))| (name, text)).collect()
}

/// Compares a channel with the forms of Slack's names (`#alerts`) and IDs (`C0123456789`).
fn check_channel(reader: &mut Reader, at: Place, path: &str, text: &str) {
    const ADVICE: &str = "write its name as Slack shows it (\"#alerts\") or its id (C0123456789)";
    let is_id = text.len() >= 8
        && text.starts_with(['C', 'G', 'D', 'U', 'W'])
        && text
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    let name = text.strip_prefix('#').unwrap_or(text);
    let is_bad =
        |c: char| c.is_whitespace() || c.is_control() || ".,;:!?\"'<>@#()[]{}/|".contains(c);
    if is_id {
        return;
    }
    if name == "CHANNEL" {
        reader.mistake(at, format!("{path}: {text:?} is a placeholder"), ADVICE);
    } else if name.is_empty() || name.contains(is_bad) || name.chars().count() > 80 {
        let message = format!("{path}: {text:?} is not a channel that Slack can have");
        reader.mistake(at, message, ADVICE);
    } else if name.chars().any(char::is_uppercase) {
        let message = format!(
            "{path}: {text:?} has capital letters, which Slack's channel names cannot have"
        );
        reader.mistake(at, message, ADVICE);
    } else if name == text {
        let message = format!("{path}: {text:?} is neither a name with its # nor an id");
        reader.warn(at, message, ADVICE);
    }
}

/// Warns of two names for one channel: another channel may have been meant.
fn warn_of_duplicates(reader: &mut Reader, channels: &BTreeMap<String, (Place, String)>) {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    let mut in_order: Vec<_> = channels.iter().collect();
    in_order.sort_by_key(|(_, (at, _))| *at);
    for (name, (at, text)) in in_order {
        if let Some(first) = seen.insert(text, name) {
            let message = format!("slack.channels.{name} and {first} are the same channel, {text}");
            reader.warn(
                *at,
                message,
                "name the channel once, or correct one of them",
            );
        }
    }
}

/// Returns the texts of a mapping, each with its place.
fn texts_by_name(
    reader: &mut Reader,
    node: &Node,
    path: &str,
) -> BTreeMap<String, (Place, String)> {
    let mut texts = BTreeMap::new();
    for entry in reader.entries(node, path) {
        let path = format!("{path}.{}", entry.key);
        if let Some(text) = reader.text(&entry.value, &path) {
            texts.insert(entry.key.clone(), (entry.value.at, text.to_owned()));
        } else {
            let message = format!("{path} has no value");
            let advice = "write the channel in quotes (a bare # begins a comment), or its id";
            reader.fail(entry.at, message, advice);
        }
    }
    texts
}
