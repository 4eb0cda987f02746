//! Reads the end of the crashed container's log and prepares it for display.

use handler_sdk::layout::clip;
use handler_sdk::mask;

use crate::findings::{Container, Log};
use crate::kube::{Kube, Unread};

/// The lines that are requested: the last twelve are for the message, the rest for its thread.
const LINES: &str = "60";
/// The lines that are requested if sixty exceeded the limit of bytes.
const FEWER_LINES: &str = "5";
const LIMIT_BYTES: usize = 262_144;
/// Longer lines are cut at the end, since the error is at the beginning.
const LINE_CHARS_MAX: usize = 1_000;

/// The texts with which the kubelet reports, with status 200 and instead of the log, that it has no log (kubelet,
/// `kuberuntime_container.go`; cri-client, `logs.go`; Docker's engine).
const EXCUSES: [&str; 6] = [
    "unable to retrieve container logs for ",
    "failed to try resolving symlinks in path \"/var/log/",
    "failed to open log file \"/var/log/",
    "failed to tail ",
    "failed to get parse function: unsupported log format",
    "Error grabbing logs: ",
];

/// Reads the log of the container that crashed, or of the current one if Kubernetes has no other. A container that has
/// ended and was not restarted yet is the current one.
pub(crate) fn fetch(
    kube: &Kube<'_>,
    namespace: &str,
    pod: &str,
    container: &Container,
) -> Result<Log, Unread> {
    let name = &container.name;
    if container.is_exit_present {
        let log = tail(kube, namespace, pod, name, false)?;
        return Ok(Log {
            is_of_crash: true,
            ..log
        });
    }
    match tail(kube, namespace, pod, name, true) {
        Err(unread) if unread.status == Some(400) => {
            match tail(kube, namespace, pod, name, false) {
                // The container has not run yet, or its log was removed.
                Err(unread) if unread.status == Some(400) => Err(Unread::no_log()),
                result => result,
            }
        }
        result => result,
    }
}

fn tail(
    kube: &Kube<'_>,
    namespace: &str,
    pod: &str,
    container: &str,
    is_previous: bool,
) -> Result<Log, Unread> {
    let limit = LIMIT_BYTES.to_string();
    let ask = |lines: &str| {
        let query = [
            ("container", container),
            ("previous", "true"),
            ("tailLines", lines),
            ("limitBytes", &limit),
        ];
        let query: Vec<_> = query
            .into_iter()
            .filter(|(name, _)| is_previous || *name != "previous")
            .collect();
        kube.log(namespace, pod, &query)
    };
    let mut text = ask(LINES)?;
    // The limit cuts off the newest bytes, which are the relevant ones.
    if text.len() >= LIMIT_BYTES {
        text = ask(FEWER_LINES)?;
    }
    let is_cut = text.len() >= LIMIT_BYTES;
    let mut lines = lines(&text);
    if lines.last().is_some_and(|line| is_excuse(line)) {
        lines.pop();
        if lines.is_empty() {
            return Err(Unread::no_log());
        }
    }
    Ok(Log {
        lines,
        is_of_crash: is_previous,
        is_cut,
    })
}

fn is_excuse(line: &str) -> bool {
    EXCUSES.iter().any(|excuse| line.starts_with(excuse))
}

/// Returns the lines with secrets masked, and without terminal escapes.
fn lines(text: &str) -> Vec<String> {
    let plain = without_escapes(text);
    // Masked as a whole, since a PEM key has several lines.
    let masked = mask::text(&plain);
    let mut lines: Vec<String> = masked.lines().map(str::trim_end).map(cut).collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

fn cut(line: &str) -> String {
    if line.chars().count() <= LINE_CHARS_MAX {
        line.to_owned()
    } else {
        clip(line, LINE_CHARS_MAX)
    }
}

/// Removes terminal escapes completely: of `ESC [ 31 m` the text `[31m` would remain.
fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        if next != '\u{1b}' {
            plain.push(next);
        } else if chars.next() == Some('[') {
            // The parameters end with the first letter or one of `@[\]^_`{|}~`.
            chars.by_ref().find(|char| ('@'..='~').contains(char));
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_masked_cut_and_without_colours() {
        let log = format!(
            "\u{1b}[31mERROR\u{1b}[0m password=hunter2\n{}\n\n",
            "x".repeat(5_000)
        );
        let shown = lines(&log);
        assert_eq!(shown.len(), 2);
        assert_eq!(shown[0], "ERROR password=[masked]");
        assert_eq!(shown[1].chars().count(), LINE_CHARS_MAX);
    }

    #[test]
    fn a_key_over_many_lines_is_masked() {
        let shown =
            lines("a\n-----BEGIN PRIVATE KEY-----\nMIIE\nAbCd\n-----END PRIVATE KEY-----\nb\n");
        assert!(shown.iter().all(|line| !line.contains("AbCd")), "{shown:?}");
        assert_eq!(
            (
                shown.first().map(String::as_str),
                shown.last().map(String::as_str)
            ),
            (Some("a"), Some("b"))
        );
    }
}
