//! The entry of `handlers` that a module needs in the configuration, with its grants, limits and settings. `check` accepts it as it
//! is written.

use std::fmt::Write as _;

use super::print;
use crate::description::{Description, Setting};
use crate::policy::scalar;

/// The channel that entries name.
pub(super) const CHANNEL: &str = "alerts";

/// Whether an entry has the digest of its module.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pin<'a> {
    /// It does.
    Set(&'a str),
    /// As a comment with the reason, since others could replace the file.
    Advised { sha256: &'a str, exposure: &'a str },
    /// It does not.
    None,
}

/// Writes the entry of a handler that imports these interfaces.
pub(super) fn write(
    text: &mut String,
    description: &Description,
    imports: &[String],
    pin: Pin<'_>,
) {
    let name = description.name.as_str();
    let _ = writeln!(
        text,
        "  # {} {}: {}\n  {}:",
        print::one_line(name),
        print::one_line(&description.version),
        print::one_line(&description.summary),
        scalar(name)
    );
    let _ = match pin {
        Pin::Set(sha256) => writeln!(text, "    sha256: {sha256}"),
        Pin::Advised { sha256, exposure } => writeln!(
            text,
            "    # {}, so it is given no credential unless it is pinned:\n    # sha256: {sha256}",
            print::one_line(exposure)
        ),
        Pin::None => Ok(()),
    };
    let imports = |interface: &str| imports.iter().any(|name| name == interface);
    let (http, slack) = (imports("http"), imports("slack"));
    text.push_str(match (http, slack) {
        (false, false) => "    allow: {}\n",
        _ => "    allow:\n",
    });
    if http {
        http_grants(text, slack, description);
    }
    if slack {
        let _ = writeln!(text, "      slack: [{CHANNEL}]");
    }
    text.push_str(
        "    # limits: { memory: 64MiB, cpu: 500ms, wall: 30s, concurrency: 8 }
    # retry: { max_attempts: 10, max_age: 4h }
    # Its own settings.
",
    );
    config(text, slack, description);
}

/// Writes the grants of a handler that makes HTTP requests: those that its defaults name, as comments.
fn http_grants(text: &mut String, slack: bool, description: &Description) {
    let origins = named(description, "origin");
    let origins: Vec<_> = origins.iter().map(|url| format!("{url:?}")).collect();
    let _ = if origins.is_empty() {
        writeln!(
            text,
            "      # It can make HTTP requests, its documentation says where to. Until it is granted they are denied.
      http: []      # for example [\"https://api.example.com\"]"
        )
    } else {
        writeln!(
            text,
            "      # It can make HTTP requests, by default to what is named here. Until it is granted they are denied.
      # http: [{}]",
            origins.join(", ")
        )
    };
    let credentials = named(description, "credential").into_iter();
    let credentials: Vec<_> = credentials
        .filter(|name| !name.is_empty())
        .map(|name| scalar(&name))
        .collect();
    if !credentials.is_empty() {
        let _ = writeln!(text, "      # credentials: [{}]", credentials.join(", "));
    }
    if !slack && !origins.is_empty() {
        text.push_str("      http: []\n");
    }
}

/// Writes a handler's settings: the required ones as keys, the others as comments with their defaults.
fn config(text: &mut String, slack: bool, description: &Description) {
    let stated = description.settings.as_deref();
    let (mut keys, mut comments) = (String::new(), String::new());
    if slack && stated.is_none() {
        // Most modules that declare no settings read their channel from this key.
        let _ = writeln!(keys, "      channel: {CHANNEL}");
    }
    for setting in stated.unwrap_or_default() {
        let about = print::one_line(&setting.about);
        if setting.is_pattern() {
            let name = print::one_line(&setting.name.replace('*', "NAME"));
            let value = value(setting);
            let _ = writeln!(comments, "      # {name}: {value}      # {about}");
            continue;
        }
        let name = scalar(&setting.name);
        let is_channel = slack && setting.names_a("channel");
        if is_channel && (setting.default.is_some() || setting.required) {
            // Only this channel is granted, whatever the default is.
            let _ = writeln!(keys, "      {name}: {CHANNEL}      # {about}");
        } else if setting.required && setting.default.is_none() {
            let value = value(setting);
            let _ = writeln!(keys, "      {name}: {value}      # required: {about}");
        } else {
            let value = value(setting);
            let _ = writeln!(comments, "      # {name}: {value}      # {about}");
        }
    }
    text.push_str(if keys.is_empty() {
        "    # config: {}\n"
    } else {
        "    config:\n"
    });
    text.push_str(&keys);
    text.push_str(&comments);
}

/// The types whose values are no text: they are written without quotes.
const UNQUOTED: [&str; 5] = ["integer", "number", "boolean", "list", "map"];

/// Returns a setting's default, or any valid value.
fn value(setting: &Setting) -> String {
    let known = setting.default.as_ref().or_else(|| setting.values.first());
    match known {
        None => sample(&setting.kind).to_owned(),
        Some(value) if !value.is_empty() && UNQUOTED.contains(&setting.kind.as_str()) => {
            print::one_line(value)
        }
        Some(value) => scalar(value),
    }
}

/// Returns what the module's defaults name of this kind.
fn named(description: &Description, kind: &str) -> Vec<String> {
    let stated = description.settings.as_deref();
    let of_kind = stated
        .unwrap_or_default()
        .iter()
        .filter(|s| s.names_a(kind) && !s.is_pattern());
    of_kind.filter_map(|s| s.default.clone()).collect()
}

/// Returns a value of a setting's type.
fn sample(kind: &str) -> &'static str {
    match kind {
        "integer" | "number" => "0",
        "boolean" => "false",
        "duration" => "30s",
        "url" => "https://www.example.com",
        "list" => "[]",
        "map" => "{}",
        _ => "\"\"",
    }
}
