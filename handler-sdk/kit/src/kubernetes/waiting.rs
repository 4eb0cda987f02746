//! Why a pod does not get ready, as far as its status, its events and its node show.
//!
//! The table of what proves what is in the README of the handler `pod-waiting`.

use handler_sdk::layout::clip;

use super::object::{Node, Pod};
use super::pod::{Container, Role};
use super::{Event, Events, Extent};
use crate::line::Line;
use crate::name::Name;
use crate::step::Step;
use crate::verdict::Verdict;
use crate::words::or_silent;

const SAID_CHARS_MAX: usize = 240;
/// Of a longer chain of errors only the last clauses are shown.
const CLAUSES_CHARS_MAX: usize = 160;
/// Reasons with which the kubelet says that an image is not there (kubelet, `images/types.go`).
const IMAGE: [&str; 7] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
];
/// Events with which the kubelet and the attach/detach controller say that a volume is not there.
const VOLUME: [&str; 4] = [
    "FailedMount",
    "FailedAttachVolume",
    "FailedMapVolume",
    "FailedBinding",
];
/// Events with which the kubelet says that the pod's sandbox, which has its network, is not there.
const SANDBOX: [&str; 3] = [
    "FailedCreatePodSandBox",
    "FailedPodSandBoxStatus",
    "NetworkNotReady",
];

/// Returns why a pod is not ready; `None` if it is.
pub fn why_not_ready(pod: &Pod, events: &Events, node: Option<&Node>) -> Option<Verdict> {
    let containers = pod.containers();
    let of_node = || node.and_then(of_node);
    of_end(pod)
        .or_else(|| of_scheduling(pod))
        .or_else(of_node)
        .or_else(|| {
            containers
                .iter()
                .find_map(|one| of_container(pod, one, events))
        })
        .or_else(|| of_volume_or_sandbox(pod, events))
        .or_else(|| containers.iter().find_map(|one| of_time(pod, one, events)))
        .or_else(|| of_gates(pod))
        .or_else(|| (!pod.is_ready()).then(|| of_nothing(pod, events)))
}

fn describe(pod: &Pod) -> Option<Step> {
    pod.command("kubectl -n $namespace describe pod $name")
}

fn logs(pod: &Pod, container: &Container) -> Option<Step> {
    let template = match container.running_since {
        Some(_) => "kubectl -n $namespace logs $pod -c $container",
        None if container.is_exit_present => "kubectl -n $namespace logs $pod -c $container",
        None => "kubectl -n $namespace logs $pod -c $container --previous",
    };
    Some(Step::run(
        template,
        &[
            ("namespace", &pod.namespace()?),
            ("pod", &Name::of(pod.name())?),
            ("container", &Name::of(&container.name)?),
        ],
    ))
}

/// Kubernetes or a person ended the pod.
fn of_end(pod: &Pod) -> Option<Verdict> {
    if let Some((reason, message)) = pod.ended() {
        let verdict = match pod.text("/status/phase") {
            Some("Failed") => Verdict::proves(
                "pod-ended",
                reason,
                format!(
                    "{}; its workload starts another one",
                    without_stop(&said(&message))
                ),
            ),
            _ => Verdict::proves("pod-ended", reason, said(&message)),
        };
        return Some(verdict.short(reason));
    }
    let since = pod.moment("/metadata/deletionTimestamp")?;
    let finalizers: Vec<&str> = pod
        .items("/metadata/finalizers")
        .iter()
        .filter_map(|one| one.as_str())
        .collect();
    let rest = match finalizers.is_empty() {
        true => Line::from("for ")
            .lasting(since)
            .text(", and its node has not ended it"),
        false => Line::from("for ").lasting(since).text(format!(
            ", and it waits for {}",
            clip(&finalizers.join(", "), 120)
        )),
    };
    Some(Verdict::proves("terminating", "It is being deleted", rest).next_if(describe(pod)))
}

fn of_scheduling(pod: &Pod) -> Option<Verdict> {
    let condition = pod.condition("PodScheduled")?;
    if condition.is_true != Some(false) {
        return None;
    }
    // What follows is about pods that could be removed instead.
    let message = condition.message.split(" preemption: ").next();
    let rest = said(message.unwrap_or_default());
    let verdict = match condition.reason.as_str() {
        "SchedulingGated" => Verdict::proves("scheduling-gated", "Its scheduling is gated", rest),
        _ => Verdict::proves("unschedulable", "No node can take it", rest).short("unschedulable"),
    };
    Some(verdict.next_if(describe(pod)))
}

fn of_node(node: &Node) -> Option<Verdict> {
    let condition = node.condition("Ready")?;
    if condition.is_true == Some(true) {
        return None;
    }
    let said = said(&condition.message);
    let rest = Line::from(format!("{}: {}", node.name(), without_stop(&said)));
    let rest = match condition.since {
        Some(since) => rest.text(", for ").lasting(since),
        None => rest,
    };
    let verdict = Verdict::proves("node-not-ready", "Its node is not ready", rest);
    Some(verdict.short(format!("node {} is not ready", node.name())))
}

/// The kubelet gives the reason for which a container waits, or it ended.
fn of_container(pod: &Pod, container: &Container, events: &Events) -> Option<Verdict> {
    let place = match container.role {
        Role::Main => String::new(),
        role => format!("{} {}: ", role.in_words(), container.name),
    };
    let Some((reason, message)) = &container.waiting else {
        return of_exit(pod, container, &place);
    };
    let rest = format!("{place}{reason}: {}", said(message));
    let verdict = match reason.as_str() {
        image if IMAGE.contains(&image) => {
            // `Back-off pulling image` does not say why; the event before it does.
            let mut failed = events.items.iter().filter(|event| {
                event.reason == "Failed"
                    && event.is_of(Some(&container.name))
                    && event.message.contains("pull")
            });
            let why = failed
                .next()
                .map_or(message.as_str(), |event| event.message.as_str());
            let rest = format!("{place}{}", said(last_clauses(why)));
            Verdict::proves("image", "Its image can't be pulled", rest).short(image)
        }
        "CreateContainerConfigError" => {
            Verdict::proves("configuration", "Its container can't be configured", rest)
                .short(reason)
        }
        "CreateContainerError"
        | "RunContainerError"
        | "StartError"
        | "ContainerCannotRun"
        | "PreCreateHookError"
        | "PreStartHookError"
        | "PostStartHookError" => {
            Verdict::proves("start", "Its container can't be started", rest).short(reason)
        }
        "CrashLoopBackOff" => return Some(of_crashes(pod, container, &place)),
        reason if is_only_waiting(reason) => return None,
        _ => Verdict::proves("waiting", "Its container waits", rest).short(reason),
    };
    Some(verdict.next_if(describe(pod)))
}

fn of_crashes(pod: &Pod, container: &Container, place: &str) -> Verdict {
    let restarts = container.restarts;
    let rest = match &container.last_exit {
        Some(exit) => Line::from(format!(
            "{place}{} ended with {} ({}) and was restarted {restarts} times",
            container.name, exit.reason, exit.code
        )),
        None => Line::from(format!(
            "{place}{} was restarted {restarts} times, and its last exit is not on record",
            container.name
        )),
    };
    let short = match &container.last_exit {
        Some(exit) => format!("{} ({}), {restarts} restarts", exit.reason, exit.code),
        None => format!("CrashLoopBackOff, {restarts} restarts"),
    };
    Verdict::proves("crash-loop", "It crashes again and again", rest)
        .short(short)
        .next_if(logs(pod, container))
}

/// A container ended and is not restarted, or not yet.
fn of_exit(pod: &Pod, container: &Container, place: &str) -> Option<Verdict> {
    let exit = container
        .last_exit
        .as_ref()
        .filter(|_| container.is_exit_present && !container.is_ready)?;
    if container.role == Role::Init && exit.code == 0 {
        return None;
    }
    let said = match exit.message.as_str() {
        "" => String::new(),
        message => format!("; it says: {}", clip(message, SAID_CHARS_MAX)),
    };
    let rest = format!(
        "{place}{} with {} ({}){said}",
        container.name, exit.reason, exit.code
    );
    Some(
        Verdict::proves("ended", "Its container ended", rest)
            .short(format!("{} ({})", exit.reason, exit.code))
            .next_if(logs(pod, container)),
    )
}

fn of_volume_or_sandbox(pod: &Pod, events: &Events) -> Option<Verdict> {
    let is_starting = pod.containers().iter().any(|container| {
        let waits = container.waiting.as_ref();
        waits.is_some_and(|(reason, _)| is_only_waiting(reason))
    });
    if !is_starting {
        return None;
    }
    let of = |reasons: &[&str], kind: &str, lead: &str| {
        let event = events.with_reason(reasons)?;
        let verdict = Verdict::proves(kind, lead, said(&event.message));
        Some(verdict.short(&event.reason).next_if(describe(pod)))
    };
    of(&VOLUME, "volume", "Its volume can't be mounted")
        .or_else(|| of(&SANDBOX, "sandbox", "Its network can't be set up"))
}

/// A container runs, but is not ready, or has not ended yet.
fn of_time(pod: &Pod, container: &Container, events: &Events) -> Option<Verdict> {
    let since = container.running_since.filter(|_| !container.is_ready)?;
    let name = &container.name;
    if container.role == Role::Init {
        let rest = Line::from(format!("{name} runs for ")).lasting(since);
        let verdict = Verdict::proves("init-container", "It waits for its init container", rest);
        return Some(
            verdict
                .short(format!("init container {name} still runs"))
                .next_if(logs(pod, container)),
        );
    }
    let is_its = |event: &&Event| {
        event.reason == "Unhealthy" && event.is_of(Some(name)) && event.last >= Some(since)
    };
    for (kind, probe) in [
        ("startup-probe", "Startup"),
        ("readiness-probe", "Readiness"),
    ] {
        let prefix = format!("{probe} probe ");
        let mut failed = events.items.iter().filter(is_its);
        if let Some(event) = failed.find(|event| event.message.starts_with(&prefix)) {
            let lower = probe.to_ascii_lowercase();
            let what = event.message.trim_start_matches(&prefix);
            let what = what.trim_start_matches("failed: ");
            let rest = Line::from(format!("{name}: {}; it runs for ", said(what))).lasting(since);
            let verdict = Verdict::proves(kind, &format!("Its {lower} probe fails"), rest);
            let short = format!("{lower} probe of {name} fails");
            return Some(verdict.short(short).next_if(logs(pod, container)));
        }
    }
    // Without a probe, a container is ready as soon as it runs (kubelet, `prober/prober_manager.go`).
    container.has_readiness_probe.then(|| {
        let rest = Line::from(format!("{name} runs for ")).lasting(since);
        let rest = rest.text(match events.read {
            Extent::All => " and is not ready; no event of the last hour says what the probe got",
            Extent::Part | Extent::Nothing => " and is not ready; its events could not all be read",
        });
        Verdict::likely("readiness-probe", "its readiness probe", rest)
            .short(format!("{name} is not ready"))
            .next_if(describe(pod))
    })
}

/// Its containers are ready, but a condition that its specification asks for is not there.
fn of_gates(pod: &Pod) -> Option<Verdict> {
    let gates = pod.items("/spec/readinessGates").iter();
    let missing = gates
        .filter_map(|gate| gate["conditionType"].as_str())
        .find(|gate| {
            let condition = pod.condition(gate);
            condition.is_none_or(|condition| condition.is_true != Some(true))
        })?;
    let why = pod.condition(missing).map(|condition| condition.message);
    let rest = match why.as_deref() {
        None | Some("") => format!("the condition {missing} is not true"),
        Some(why) => format!("the condition {missing} is not true: {why}"),
    };
    let verdict = Verdict::proves("readiness-gate", "Its readiness gate is closed", rest);
    Some(verdict.next_if(describe(pod)))
}

fn of_nothing(pod: &Pod, events: &Events) -> Verdict {
    let phase = pod.text("/status/phase").unwrap_or("in no phase");
    let rest = match events.read {
        Extent::All => format!("it is {phase}, and neither its status nor an event gives a reason"),
        Extent::Part | Extent::Nothing => {
            format!(
                "it is {phase}, its status gives no reason, and its events could not all be read"
            )
        }
    };
    Verdict::unknown("unknown", "Why it is not ready is not known", rest)
        .short(format!("not ready, {phase}"))
        .next_if(describe(pod))
}

/// Returns whether a reason for waiting does not say what the container waits for.
pub(super) fn is_only_waiting(reason: &str) -> bool {
    matches!(reason, "ContainerCreating" | "PodInitializing" | "")
}

/// Returns the last clauses of a chain of errors, of which the first ones only repeat what was tried.
fn last_clauses(message: &str) -> &str {
    let is_short = |text: &&str| text.chars().count() <= CLAUSES_CHARS_MAX;
    let mut clauses = message
        .match_indices(": ")
        .map(|(at, _)| &message[at + 2..]);
    Some(message)
        .filter(is_short)
        .or_else(|| clauses.find(is_short))
        .unwrap_or(message)
}

/// Returns a sentence that goes on.
fn without_stop(sentence: &str) -> &str {
    sentence.trim_end_matches('.')
}

fn said(message: &str) -> String {
    clip(or_silent(message), SAID_CHARS_MAX)
}
