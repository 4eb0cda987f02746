//! The verdict: why the container crashes, judged by its last exit, the events and the log.
//!
//! It claims no more than Kubernetes reports. The handler's README lists what each combination proves.

use handler_kit::handler_sdk::layout::clip;
use handler_kit::kubernetes::{Container, Events, Exit, Extent, Role};
use handler_kit::prelude::*;
use handler_kit::words::{between, or_silent};

use crate::questions::{Found, PodState};

const SAID_CHARS_MAX: usize = 160;
/// Reasons for waiting that do not explain the crash: the last exit does.
const WAITS_FOR_NOTHING: [&str; 5] = [
    "CrashLoopBackOff",
    "ContainerCreating",
    "PodInitializing",
    "RestartingAllContainers",
    "RunContainerError",
];

/// Returns the verdict; `None` if nothing is known about the pod or about an exit.
pub(crate) fn of(found: &Found) -> Option<Verdict> {
    match (found.pod, &found.ended) {
        (PodState::Gone, _) => Some(gone(&found.events)),
        (PodState::Replaced, _) => {
            let rest = Line::new()
                .bold("The pod was replaced")
                .text(" by another of the same name since the alert began");
            Some(Verdict::proves("replaced", "", rest))
        }
        (_, Some((reason, message))) => Some(ended(reason, message)),
        (_, None) => verdict(found),
    }
    .map(|verdict| {
        let container = found
            .container
            .as_ref()
            .filter(|_| found.pod == PodState::Present);
        let since = container.and_then(|container| container.running_since);
        verdict.and_if(since.map(|since| Line::from("Running again for ").lasting(since)))
    })
}

fn gone(events: &Events) -> Verdict {
    let event = events.with_reason(&["Evicted", "Preempting", "Preempted", "TaintManagerEviction"]);
    Verdict::gone("pod", "deleted or replaced since the alert began").and_if(
        event.map(|event| format!("{}: {}", event.reason, clip(&event.message, SAID_CHARS_MAX))),
    )
}

/// The evidence for a verdict.
#[derive(Debug, Clone, Copy)]
struct Evidence<'a> {
    container: &'a Container,
    /// If they were not read completely, the verdict does not claim that there is none of some kind.
    events: &'a Events,
    log: Option<&'a Log>,
    is_node_short_of_memory: bool,
}

/// Returns the verdict on the container's last exit; `None` if nothing is known about one.
fn verdict(found: &Found) -> Option<Verdict> {
    let container = found.container.as_ref()?;
    let mut troubles = found.node.iter().flat_map(|(_, troubles)| troubles);
    let evidence = Evidence {
        container,
        events: &found.events,
        log: found.log.as_ref().filter(|log| log.is_of_crash),
        is_node_short_of_memory: troubles.any(|trouble| trouble == "MemoryPressure"),
    };
    let mut verdict = evidence.verdict()?;
    if container.role != Role::Main {
        let place = format!("in the {} {}: ", container.role.in_words(), container.name);
        verdict.rest = Line::from(place).then(verdict.rest);
    }
    Some(verdict)
}

/// Returns the verdict on a pod that Kubernetes itself ended: evicted, preempted, lost with its node.
fn ended(reason: &str, message: &str) -> Verdict {
    let kind = match reason {
        "Evicted" => "evicted",
        "Preempting" | "Preempted" => "preempted",
        _ => "pod-ended",
    };
    build(kind, reason, reason, or_silent(message))
}

impl Evidence<'_> {
    fn verdict(&self) -> Option<Verdict> {
        let waiting = self
            .container
            .waiting
            .as_ref()
            .filter(|(reason, _)| !WAITS_FOR_NOTHING.contains(&reason.as_str()));
        match (waiting, &self.container.last_exit) {
            (Some((reason, message)), exit) => {
                Some(self.of_waiting(reason, message, exit.as_ref()))
            }
            (None, Some(exit)) => Some(self.of_exit(exit)),
            (None, None) => self.without_exit(),
        }
    }

    /// The container is not started, for a reason that Kubernetes gives.
    fn of_waiting(&self, reason: &str, message: &str, exit: Option<&Exit>) -> Verdict {
        let before = exit
            .map(|exit| {
                format!(
                    "; before that it ended with {} ({})",
                    exit.reason, exit.code
                )
            })
            .unwrap_or_default();
        if reason == "PostStartHookError" {
            let rest = format!(
                "Kubernetes ends the container then: {}{before}",
                or_silent(message)
            );
            return build(
                "post-start-hook",
                "postStart hook failed",
                "Its postStart hook fails",
                &rest,
            );
        }
        let lead = match exit.is_none() && self.container.restarts == 0 {
            true => "It does not even start",
            false => "It is not started again",
        };
        build(
            "not-started",
            reason,
            lead,
            &format!("{reason}: {}{before}", or_silent(message)),
        )
    }

    /// The container waits for a restart, and how it ended is not known: its state was removed, or the kubelet was
    /// restarted.
    fn without_exit(&self) -> Option<Verdict> {
        let (reason, message) = self.container.waiting.as_ref()?;
        let restarts = self.container.restarts;
        match reason.as_str() {
            "CrashLoopBackOff" => {
                let rest = format!(
                    "it waits in {reason} after {restarts} restarts, and Kubernetes keeps no state of the container that ended"
                );
                let lead = "Its last exit is not on record";
                Some(Verdict::unknown("exit-not-on-record", lead, rest).short(reason))
            }
            "RunContainerError" => Some(self.of_waiting(reason, message, None)),
            _ => None,
        }
    }

    fn of_exit(&self, exit: &Exit) -> Verdict {
        let code = exit.code;
        let lived = lived(exit);
        match (exit.reason.as_str(), code) {
            ("OOMKilled", _) => return self.out_of_memory(code, &lived),
            // In these cases the code was set by the kubelet or by containerd, not by a process.
            ("ContainerStatusUnknown", _) | ("Unknown", 255) => {
                let rest = format!(
                    "Kubernetes lost sight of the container, as after a restart of its node or of the container runtime; the code {code} stands for that"
                );
                return Verdict::unknown("exit-unknown", "How it ended is not known", rest)
                    .short("exit unknown");
            }
            ("RestartingAllContainers", _) => {
                let rest =
                    "another container of its pod ended, and its rules restart all of them then";
                return build(
                    "restarted-with-pod",
                    "restarted with its pod",
                    "Restarted with its pod",
                    rest,
                );
            }
            _ => {}
        }
        self.of_events(exit, &lived)
            .unwrap_or_else(|| self.of_code(exit, &lived))
    }

    fn out_of_memory(&self, code: i64, lived: &str) -> Verdict {
        let short = format!("OOMKilled ({code})");
        let limit = &self.container.memory_limit;
        let rest = match (code, limit) {
            (137, Some(limit)) => format!("killed at {limit}{lived}"),
            (137, None) => {
                format!("killed{lived}; it has no memory limit, so its node or pod ran short")
            }
            // The runtime reports this if any process of the container was killed during its lifetime.
            (_, Some(limit)) => format!(
                "a process in it was killed at {limit}; it ended by itself then, with exit {code}{lived}"
            ),
            (_, None) => format!(
                "a process in it was killed; it ended by itself then, with exit {code}{lived}"
            ),
        };
        Verdict::likely("out-of-memory", "out of memory", rest).short(short)
    }

    /// Returns a verdict if the events report a kill by Kubernetes. A container that gets SIGTERM ends with a code of its
    /// choice, so other codes count only if the kubelet reports that it killed the container.
    fn of_events(&self, exit: &Exit, lived: &str) -> Option<Verdict> {
        let code = exit.code;
        let is_stopped = matches!(code, 0 | 137 | 143);
        let events = || {
            self.events
                .items
                .iter()
                .filter(|event| event.is_of(Some(&self.container.name)) && event.is_in_time(exit))
        };
        let says = |reason: &str, part: &str| {
            events().find(|event| event.reason == reason && event.message.contains(part))
        };
        for (kind, probe) in [("liveness-probe", "Liveness"), ("startup-probe", "Startup")] {
            let lower = probe.to_ascii_lowercase();
            let killing = says("Killing", &format!("failed {lower} probe"));
            let failed = says("Unhealthy", &format!("{probe} probe failed"));
            let is_proved = killing.is_some();
            // The probe failed and the container was stopped: likely, but the kubelet reports no kill.
            if !is_proved && (failed.is_none() || !is_stopped) {
                continue;
            }
            let what = failed
                .or(killing)
                .map(|event| event.message.as_str())
                .unwrap_or_default();
            let what = what
                .trim_start_matches(probe)
                .trim_start_matches(" probe failed: ");
            let rest = format!("{}{lived} ({code})", clip(what, SAID_CHARS_MAX));
            let verdict = match is_proved {
                true => Verdict::proves(kind, &format!("Killed by its {lower} probe"), rest),
                false => Verdict::likely(kind, &format!("killed by its {lower} probe"), rest),
            };
            return Some(verdict.short(format!("{lower} probe ({code})")));
        }
        let hook =
            says("FailedPostStartHook", "").or_else(|| says("Killing", "FailedPostStartHook"));
        if let Some(hook) = hook.filter(|_| is_stopped) {
            let rest = format!("{}{lived} ({code})", clip(&hook.message, SAID_CHARS_MAX));
            let short = format!("postStart hook ({code})");
            return Some(build(
                "post-start-hook",
                &short,
                "Killed after its postStart hook failed",
                &rest,
            ));
        }
        if let Some(changed) = says("Killing", "definition changed") {
            let rest = format!("{}{lived} ({code})", clip(&changed.message, SAID_CHARS_MAX));
            return Some(build(
                "restarted",
                &format!("restarted ({code})"),
                "Restarted for a changed definition",
                &rest,
            ));
        }
        // A pod that was evicted or preempted starts nothing again, so these events are about its last exit.
        let evicted = ["Evicted", "Preempting", "Preempted"]
            .iter()
            .find_map(|reason| says(reason, ""))
            .filter(|_| is_stopped)?;
        let rest = format!("{} ({code}){lived}", clip(&evicted.message, SAID_CHARS_MAX));
        let short = format!("{} ({code})", evicted.reason);
        Some(build("evicted", &short, "Evicted or preempted", &rest))
    }

    /// Returns the verdict by the code alone. By convention of shells and runtimes, codes above 128 stand for signals.
    fn of_code(&self, exit: &Exit, lived: &str) -> Verdict {
        let code = exit.code;
        let quoted = self.quoted(exit);
        let (kind, short, lead, rest) = match code {
            0 => (
                "completed",
                "ends by itself (0)",
                "It ends by itself",
                format!("exit 0{lived}, and its pod restarts what ends"),
            ),
            128 if is_start_error(exit) => (
                "bad-command",
                "could not be started (128)",
                "It could not be started",
                format!("{}{quoted}", exit.reason),
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
            137 => ("killed", "killed (137)", "Killed", self.killed(lived)),
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
                format!(
                    "SIGTERM (143){lived}; {}{quoted}",
                    self.no_event("says by whom")
                ),
            ),
            _ => (
                "error",
                "",
                "It fails",
                format!("exit {code}{lived}{quoted}"),
            ),
        };
        let short = match short {
            "" => format!("exit {code}"),
            short => short.to_owned(),
        };
        build(kind, &short, lead, &rest)
    }

    /// Describes a SIGKILL with the reason `Error`: by a person, a program, or the kernel. With cgroup v1, or if the runtime
    /// missed it, the kernel's kill for memory is not called `OOMKilled` (kubernetes/kubernetes#19825, #53669).
    fn killed(&self, lived: &str) -> String {
        let memory = match (&self.container.memory_limit, self.is_node_short_of_memory) {
            (_, true) => "memory is possible: its node is short of it".to_owned(),
            (Some(limit), false) => format!("memory is possible (limit {limit})"),
            (None, false) => {
                "memory is possible, if its node ran short: it has no limit".to_owned()
            }
        };
        let no_event = self.no_event("tells of a probe or an eviction");
        format!(
            "SIGKILL (137){lived}; Kubernetes does not say by whom, and {no_event}; {memory}, since such a kill is not always reported as OOMKilled"
        )
    }

    /// Returns the clause that no event has this content, or that this is not known.
    fn no_event(&self, content: &str) -> String {
        match self.events.read {
            Extent::All => format!("no event {content}"),
            Extent::Part => "not all of its events could be read".to_owned(),
            Extent::Nothing => "its events could not be read".to_owned(),
        }
    }

    fn quoted(&self, exit: &Exit) -> String {
        if !exit.message.is_empty() {
            return format!("; it says: {}", clip(&exit.message, SAID_CHARS_MAX));
        }
        let quoted = self.log.and_then(Log::quoted);
        quoted
            .map(|quoted| format!("; {quoted}"))
            .unwrap_or_default()
    }
}

fn lived(exit: &Exit) -> String {
    match (exit.started, exit.finished) {
        (Some(started), Some(finished)) => format!(", {} after start", between(started, finished)),
        _ => String::new(),
    }
}

fn is_start_error(exit: &Exit) -> bool {
    matches!(
        exit.reason.as_str(),
        "StartError" | "ContainerCannotRun" | "RunContainerError"
    )
}

fn build(kind: &str, short: &str, lead: &str, rest: &str) -> Verdict {
    Verdict::proves(kind, lead, rest).short(short)
}

#[cfg(test)]
#[path = "tests/verdicts.rs"]
mod tests;
