//! The entry of `handlers` that a module needs in the configuration, with its grants, limits and settings. `check` accepts it as it
//! is written, unless the module requires settings: those are comments without a value until somebody knows one.

use std::fmt::Write as _;

use super::print;
use crate::description::{Description, Setting};
use crate::policy::scalar;

/// The channel that entries name.
pub(super) const CHANNEL: &str = "alerts";

/// Whether an entry has the digest of its module.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pin<'a> {
    /// As a comment: with a pin the next build is refused, so it is for whoever has decided on this one.
    Offered(&'a str),
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
        Pin::Offered(sha256) => writeln!(
            text,
            "    # Without the # of the next line this build is served and no other, not even your own next one.\n    # sha256: {sha256}"
        ),
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
    let mut has_required = false;
    if slack && stated.is_none() {
        // Most modules that declare no settings read their channel from this key.
        let _ = writeln!(keys, "      channel: {CHANNEL}");
    }
    for setting in stated.unwrap_or_default() {
        let about = print::one_line(&setting.about);
        if setting.is_pattern() {
            let name = print::one_line(&setting.name.replace('*', "NAME"));
            comment(&mut comments, &name, setting, "");
            continue;
        }
        let name = scalar(&setting.name);
        let is_channel = slack && setting.names_a("channel");
        if is_channel && (setting.default.is_some() || setting.required) {
            // Only this channel is granted, whatever the default is.
            let _ = writeln!(keys, "      {name}: {CHANNEL}      # {about}");
        } else if setting.required && setting.default.is_none() {
            has_required = true;
            comment(&mut keys, &name, setting, "required, ");
        } else {
            comment(&mut comments, &name, setting, "");
        }
    }
    text.push_str(match (keys.is_empty(), has_required) {
        (true, _) => "    # config: {}\n",
        (false, false) => "    config:\n",
        (false, true) => "    # It is not served before each required setting has a value: remove its #.\n    config:\n",
    });
    text.push_str(&keys);
    text.push_str(&comments);
}

/// The types whose values are no text: they are written without quotes.
const UNQUOTED: [&str; 5] = ["integer", "number", "boolean", "list", "map"];

/// Writes a setting as a comment: with its default, or else with its type in words, since any other value would be invented.
fn comment(text: &mut String, name: &str, setting: &Setting, required: &str) {
    let about = print::one_line(&setting.about);
    let _ = match setting
        .default
        .as_deref()
        .map(|value| shown(setting, value))
    {
        Some(default) => writeln!(text, "      # {name}: {default}      # {about}"),
        None => {
            let values: Vec<_> = setting.values.iter().map(|v| print::one_line(v)).collect();
            let kind = match (values.as_slice(), setting.should_be()) {
                ([], kind) => kind.unwrap_or("a value").to_owned(),
                (values, _) => format!("one of {}", values.join(", ")),
            };
            let about = if about.is_empty() {
                about
            } else {
                format!(": {about}")
            };
            writeln!(text, "      # {name}:      # {required}{kind}{about}")
        }
    };
}

/// Returns a setting's value as it is written in the configuration.
fn shown(setting: &Setting, value: &str) -> String {
    match UNQUOTED.contains(&setting.kind.as_str()) && !value.is_empty() {
        true => print::one_line(value),
        false => scalar(value),
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
