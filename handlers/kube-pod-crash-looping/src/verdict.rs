//! Why the container crashes, judged by its last exit, the events and the log. Pure.

use crate::findings::{Container, Exit, Log, Verdict, Warning};
use crate::words::{between, clip};

/// Returns the verdict; none where nothing is known of an exit. `log` is none where it must not be quoted.
pub(crate) fn verdict(
    container: &Container,
    warnings: &[Warning],
    log: Option<&Log>,
) -> Option<Verdict> {
    let mut verdict = match &container.last_exit {
        Some(exit) => of_exit(container, exit, warnings, log),
        None => of_waiting(container)?,
    };
    if container.is_init {
        verdict.rest = format!("in the init container {}: {}", container.name, verdict.rest);
    }
    Some(verdict)
}

/// Returns the verdict on a pod that Kubernetes itself has given up: evicted, or lost with its node.
pub(crate) fn of_pod(reason: &str, message: &str) -> Verdict {
    let said = if message.is_empty() {
        "Kubernetes says no more"
    } else {
        message
    };
    build("evicted", reason, reason, said)
}

fn of_waiting(container: &Container) -> Option<Verdict> {
    let (reason, message) = container.waiting.as_ref()?;
    let said = if message.is_empty() {
        "Kubernetes says no more"
    } else {
        message
    };
    Some(build(
        "not-started",
        reason,
        "It does not even start",
        &format!("{reason}: {said}"),
    ))
}

fn of_exit(container: &Container, exit: &Exit, warnings: &[Warning], log: Option<&Log>) -> Verdict {
    let code = exit.code;
    let lived = match (exit.started, exit.finished) {
        (Some(started), Some(finished)) => format!(", {} after start", between(started, finished)),
        _ => String::new(),
    };
    if exit.reason == "OOMKilled" {
        return out_of_memory(container, code, &lived);
    }
    if let Some(verdict) = of_events(code, &lived, warnings) {
        return verdict;
    }
    let last_line = log
        .filter(|log| log.is_previous)
        .and_then(|log| log.lines.last())
        .map(|line| clip(line, 160));
    let quoted = match (&last_line, exit.message.as_str()) {
        (_, message) if !message.is_empty() => format!("; it says: {}", clip(message, 160)),
        (Some(line), _) => format!("; its last line: {line}"),
        (None, _) => String::new(),
    };
    let (kind, short, lead, rest) = match code {
        0 => (
            "completed",
            "ends by itself (0)",
            "It ends by itself",
            format!("exit 0{lived}, and its pod restarts what ends"),
        ),
        126 => (
            "bad-command",
            "command not executable (126)",
            "Bad command",
            format!("found but not executable (126){quoted}"),
        ),
        127 => (
            "bad-command",
            "command not found (127)",
            "Bad command",
            format!("not found (127){lived}{quoted}"),
        ),
        128 if is_start_error(exit) => (
            "bad-command",
            "could not be started (128)",
            "It could not be started",
            format!("{}{quoted}", exit.reason),
        ),
        132 => (
            "illegal-instruction",
            "illegal instruction (132)",
            "Illegal instruction",
            format!("built for another processor? (132){lived}{quoted}"),
        ),
        134 => (
            "abort",
            "aborted (134)",
            "It aborted itself",
            format!("SIGABRT (134){lived}{quoted}"),
        ),
        137 => (
            "killed",
            "killed (137)",
            "Killed from outside",
            format!(
                "SIGKILL (137){lived}; not for its memory limit, and no event tells of a probe or an eviction"
            ),
        ),
        139 => (
            "segmentation-fault",
            "segmentation fault (139)",
            "Segmentation fault",
            format!("SIGSEGV (139){lived}{quoted}"),
        ),
        143 => (
            "terminated",
            "terminated (143)",
            "Told to stop",
            format!("SIGTERM (143){lived}; no event tells of a probe or an eviction"),
        ),
        _ => (
            "error",
            "",
            "It fails",
            format!("exit {code}{lived}{quoted}"),
        ),
    };
    let short = if short.is_empty() {
        format!("exit {code}")
    } else {
        short.to_owned()
    };
    build(kind, &short, lead, &rest)
}

fn out_of_memory(container: &Container, code: i64, lived: &str) -> Verdict {
    let short = format!("OOMKilled ({code})");
    match &container.memory_limit {
        Some(limit) => build(
            "out-of-memory",
            &short,
            "Likely out of memory",
            &format!("killed at {limit}{lived}"),
        ),
        None => {
            let rest =
                format!("killed{lived}; it has no memory limit, so its node or pod ran short");
            build("out-of-memory", &short, "Likely out of memory", &rest)
        }
    }
}

/// Kubernetes' own kills end with whatever code the program gives to SIGTERM, or with 137.
fn of_events(code: i64, lived: &str, warnings: &[Warning]) -> Option<Verdict> {
    if !matches!(code, 0 | 137 | 143) {
        return None;
    }
    let says = |part: &str| {
        warnings
            .iter()
            .find(move |warning| warning.message.contains(part))
    };
    for (kind, probe) in [("liveness-probe", "Liveness"), ("startup-probe", "Startup")] {
        let lower = probe.to_lowercase();
        let failed = says(&format!("{probe} probe failed"));
        if let Some(event) = failed.or_else(|| says(&format!("failed {lower} probe"))) {
            let lead = format!("Killed by its {lower} probe");
            let what = event
                .message
                .trim_start_matches(probe)
                .trim_start_matches(" probe failed: ");
            let rest = format!("{}{lived} ({code})", clip(what, 160));
            return Some(build(
                kind,
                &format!("{lower} probe ({code})"),
                &lead,
                &rest,
            ));
        }
    }
    let evicted = warnings.iter().find(|w| {
        ["Evicted", "Preempting", "Preempted", "NodeNotReady"].contains(&w.reason.as_str())
    })?;
    let rest = format!("{} ({code}){lived}", clip(&evicted.message, 160));
    Some(build(
        "evicted",
        &format!("{} ({code})", evicted.reason),
        "Evicted or preempted",
        &rest,
    ))
}

fn is_start_error(exit: &Exit) -> bool {
    matches!(
        exit.reason.as_str(),
        "StartError" | "ContainerCannotRun" | "RunContainerError"
    )
}

fn build(kind: &str, short: &str, lead: &str, rest: &str) -> Verdict {
    let mut rest = rest.to_owned();
    if !rest.ends_with(['.', '!', '?']) {
        rest.push('.');
    }
    Verdict {
        kind: kind.to_owned(),
        short: short.to_owned(),
        lead: lead.to_owned(),
        rest,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn container(code: i64, reason: &str) -> Container {
        let exit = Exit {
            code,
            reason: reason.to_owned(),
            started: Some(1_000),
            finished: Some(1_041),
            ..Exit::default()
        };
        Container {
            name: "app".to_owned(),
            memory_limit: Some("512Mi".to_owned()),
            last_exit: Some(exit),
            ..Container::default()
        }
    }

    fn sentence(container: &Container, warnings: &[Warning], log: Option<&str>) -> String {
        let log = log.map(|line| Log {
            lines: vec![line.to_owned()],
            is_previous: true,
            is_cut: false,
        });
        let verdict = verdict(container, warnings, log.as_ref()).unwrap();
        format!("{} | {}: {}", verdict.short, verdict.lead, verdict.rest)
    }

    fn event(reason: &str, message: &str) -> Warning {
        Warning {
            reason: reason.to_owned(),
            message: message.to_owned(),
            ..Warning::default()
        }
    }

    #[test]
    fn each_way_to_die_has_its_sentence() {
        let cases = [
            (
                137,
                "OOMKilled",
                None,
                "OOMKilled (137) | Likely out of memory: killed at 512Mi, 41s after start.",
            ),
            (
                1,
                "Error",
                Some("no database"),
                "exit 1 | It fails: exit 1, 41s after start; its last line: no database.",
            ),
            (
                1,
                "Error",
                None,
                "exit 1 | It fails: exit 1, 41s after start.",
            ),
            (
                139,
                "Error",
                None,
                "segmentation fault (139) | Segmentation fault: SIGSEGV (139), 41s after start.",
            ),
            (
                127,
                "Error",
                None,
                "command not found (127) | Bad command: not found (127), 41s after start.",
            ),
            (
                126,
                "Error",
                None,
                "command not executable (126) | Bad command: found but not executable (126).",
            ),
            (
                0,
                "Completed",
                None,
                "ends by itself (0) | It ends by itself: exit 0, 41s after start, and its pod restarts what ends.",
            ),
        ];
        for (code, reason, log, expected) in cases {
            assert_eq!(sentence(&container(code, reason), &[], log), expected);
        }
    }

    #[test]
    fn a_kill_is_explained_by_the_events() {
        let killed = container(137, "Error");
        let probe = event(
            "Unhealthy",
            "Liveness probe failed: HTTP probe failed with statuscode: 503",
        );
        assert_eq!(
            sentence(&killed, &[probe], None),
            "liveness probe (137) | Killed by its liveness probe: HTTP probe failed with statuscode: 503, 41s after start (137)."
        );
        let evicted = event("Evicted", "The node was low on resource: memory.");
        assert!(
            sentence(&killed, &[evicted], None)
                .starts_with("Evicted (137) | Evicted or preempted: The node was low")
        );
        assert!(sentence(&killed, &[], None).contains("no event tells of a probe"));
    }

    #[test]
    fn a_failing_probe_does_not_explain_an_exit_of_its_own() {
        let probe = event("Unhealthy", "Readiness probe failed: connection refused");
        assert!(sentence(&container(1, "Error"), &[probe], None).starts_with("exit 1"));
    }

    #[test]
    fn a_container_that_never_ran_says_why_it_waits() {
        let waiting = Some((
            "CreateContainerConfigError".to_owned(),
            "configmap \"x\" not found".to_owned(),
        ));
        let never = Container {
            waiting,
            ..Container::default()
        };
        assert_eq!(
            sentence(&never, &[], None),
            "CreateContainerConfigError | It does not even start: CreateContainerConfigError: configmap \"x\" not found."
        );
        assert_eq!(verdict(&Container::default(), &[], None), None);
    }

    #[test]
    fn an_init_container_is_named() {
        let init = Container {
            is_init: true,
            ..container(1, "Error")
        };
        assert!(sentence(&init, &[], None).contains("in the init container app: exit 1"));
    }
}
