//! The end of the crashed container's log, fit to be shown.

use handler_sdk::layout::clip;
use handler_sdk::mask;

use crate::findings::{Container, Log};
use crate::kube::{Kube, Unread};

/// Lines asked for: the last twelve for the message, all of them for its thread.
const LINES: &str = "60";
/// Lines asked for where sixty went over the limit of bytes.
const FEWER_LINES: &str = "5";
const LIMIT_BYTES: usize = 262_144;
/// Longer lines are cut: what is wrong stands at their beginning.
const LINE_CHARS_MAX: usize = 1_000;

/// How the kubelet says, with status 200 and in the log's place, that it has no log (kubelet,
/// `kuberuntime_container.go`; cri-client, `logs.go`; Docker's engine).
const EXCUSES: [&str; 6] = [
    "unable to retrieve container logs for ",
    "failed to try resolving symlinks in path \"/var/log/",
    "failed to open log file \"/var/log/",
    "failed to tail ",
    "failed to get parse function: unsupported log format",
    "Error grabbing logs: ",
];

/// Reads the log of the container that crashed; of the present one where Kubernetes has no other. A container that
/// ended and was not started again yet is itself the present one.
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
                // It has not run yet, or nothing is left of it.
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
    // The limit cuts the newest bytes, which are those that matter.
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

/// Returns the lines with secrets masked, and without colours.
fn lines(text: &str) -> Vec<String> {
    let plain = without_escapes(text);
    // As a whole: a key in PEM goes over many lines.
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

/// Leaves out terminal escapes: `ESC [ 31 m` would stay behind as `[31m`.
fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        if next != '\u{1b}' {
            plain.push(next);
        } else if chars.next() == Some('[') {
            // Parameters end with the first letter or one of `@[\]^_`{|}~`.
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
