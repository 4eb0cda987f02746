//! The verdict for each combination of code, reason, events and state.
#![allow(clippy::unwrap_used, reason = "tests")]

use handler_kit::kubernetes::Event;

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

fn waiting(reason: &str, message: &str, restarts: u64) -> Container {
    Container {
        name: "app".to_owned(),
        restarts,
        waiting: Some((reason.to_owned(), message.to_owned())),
        ..Container::default()
    }
}

fn findings(container: &Container, events: &[Event], log: Option<&str>) -> Found {
    Found {
        container: Some(container.clone()),
        events: Events {
            items: events.to_vec(),
            read: Extent::All,
        },
        log: log.map(|line| {
            let mut log = Log::of_lines([line]);
            log.is_of_crash = true;
            log
        }),
        ..Found::default()
    }
}

#[track_caller]
fn sentence(container: &Container, events: &[Event], log: Option<&str>) -> String {
    let verdict = verdict(&findings(container, events, log)).unwrap();
    format!("{} | {verdict}", verdict.short)
}

#[track_caller]
fn rest(findings: &Found) -> String {
    verdict(findings).unwrap().rest.to_string()
}

fn event(reason: &str, message: &str) -> Event {
    Event {
        is_warning: reason != "Killing",
        reason: reason.to_owned(),
        message: message.to_owned(),
        ..Event::default()
    }
}

fn of(container: &str, event: Event) -> Event {
    Event {
        container: Some(container.to_owned()),
        ..event
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
            "OOMKilled",
            None,
            "OOMKilled (1) | Likely out of memory: a process in it was killed at 512Mi; it ended by itself then, with exit 1, 41s after start.",
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
        (
            143,
            "Error",
            None,
            "terminated (143) | Told to stop: SIGTERM (143), 41s after start; no event says by whom.",
        ),
        (
            137,
            "Error",
            None,
            "killed (137) | Killed: SIGKILL (137), 41s after start; Kubernetes does not say by whom, and no event tells of a probe or an eviction; memory is possible (limit 512Mi), since such a kill is not always reported as OOMKilled.",
        ),
        (
            137,
            "ContainerStatusUnknown",
            None,
            "exit unknown | How it ended is not known: Kubernetes lost sight of the container, as after a restart of its node or of the container runtime; the code 137 stands for that.",
        ),
        (
            255,
            "Unknown",
            None,
            "exit unknown | How it ended is not known: Kubernetes lost sight of the container, as after a restart of its node or of the container runtime; the code 255 stands for that.",
        ),
        (
            255,
            "Error",
            None,
            "exit 255 | It fails: exit 255, 41s after start.",
        ),
        (
            137,
            "RestartingAllContainers",
            None,
            "restarted with its pod | Restarted with its pod: another container of its pod ended, and its rules restart all of them then.",
        ),
    ];
    for (code, reason, log, expected) in cases {
        assert_eq!(sentence(&container(code, reason), &[], log), expected);
    }
}

#[test]
fn of_events_that_were_not_read_nothing_is_said() {
    for code in [137, 143] {
        let mut findings = findings(&container(code, "Error"), &[], None);
        for (read, said) in [
            (Extent::All, "no event"),
            (Extent::Part, "not all of its events could be read"),
            (Extent::Nothing, "its events could not be read"),
        ] {
            findings.events.read = read;
            let rest = rest(&findings);
            assert!(rest.contains(said), "{code}, {read:?}: {rest}");
            assert_eq!(
                rest.contains("no event"),
                read == Extent::All,
                "{code}: {rest}"
            );
        }
    }
}

#[test]
fn memory_stays_possible_by_what_is_known_of_it() {
    let killed = container(137, "Error");
    let mut short = findings(&killed, &[], None);
    short.node = Some(("n1".to_owned(), vec!["MemoryPressure".to_owned()]));
    let said = rest(&short);
    assert!(
        said.contains("memory is possible: its node is short of it"),
        "{said}"
    );
    let unlimited = Container {
        memory_limit: None,
        ..killed
    };
    let rest = rest(&findings(&unlimited, &[], None));
    assert!(
        rest.contains("memory is possible, if its node ran short"),
        "{rest}"
    );
}

#[test]
fn a_kill_is_explained_by_the_events() {
    let killed = container(137, "Error");
    let unhealthy = of(
        "app",
        event(
            "Unhealthy",
            "Liveness probe failed: HTTP probe failed with statuscode: 503",
        ),
    );
    assert_eq!(
        sentence(&killed, std::slice::from_ref(&unhealthy), None),
        "liveness probe (137) | Likely killed by its liveness probe: HTTP probe failed with statuscode: 503, 41s after start (137)."
    );
    let killing = of(
        "app",
        event(
            "Killing",
            "Container app failed liveness probe, will be restarted",
        ),
    );
    let both = [unhealthy, killing.clone()];
    assert_eq!(
        sentence(&killed, &both, None),
        "liveness probe (137) | Killed by its liveness probe: HTTP probe failed with statuscode: 503, 41s after start (137)."
    );
    // A program that handles SIGTERM ends with its own code.
    let caught = sentence(&container(2, "Error"), &both, None);
    assert!(
        caught.starts_with("liveness probe (2) | Killed by its liveness probe"),
        "{caught}"
    );
    let startup = of("app", event("Unhealthy", "Startup probe failed: x"));
    assert!(sentence(&killed, &[startup], None).contains("Likely killed by its startup probe: x"));
    let evicted = event("Evicted", "The node was low on resource: memory.");
    assert!(
        sentence(&killed, &[evicted], None)
            .starts_with("Evicted (137) | Evicted or preempted: The node was low")
    );
    let changed = of(
        "app",
        event(
            "Killing",
            "Container app definition changed, will be restarted",
        ),
    );
    assert!(
        sentence(&container(143, "Error"), &[changed], None)
            .contains("Restarted for a changed definition")
    );
}

#[test]
fn what_is_no_cause_is_not_taken_for_one() {
    let killed = container(137, "Error");
    let failed = event("Unhealthy", "Liveness probe failed: x");
    let later = Event {
        first: Some(2_000),
        last: Some(2_100),
        ..of("app", failed.clone())
    };
    for (what, container, event) in [
        (
            "another container's probe",
            &killed,
            of("proxy", failed.clone()),
        ),
        ("a probe of the container after it", &killed, later),
        (
            "a readiness probe",
            &killed,
            of("app", event("Unhealthy", "Readiness probe failed: x")),
        ),
        (
            "a probe that could not be made",
            &killed,
            of("app", event("Unhealthy", "Liveness probe errored: x")),
        ),
        (
            "a preStop hook",
            &killed,
            of("app", event("FailedPreStopHook", "PreStopHook failed")),
        ),
        (
            "a node that was not ready for a while",
            &killed,
            event("NodeNotReady", "Node is not ready"),
        ),
        (
            "a kill of another container",
            &killed,
            of(
                "proxy",
                event(
                    "Killing",
                    "Container proxy failed liveness probe, will be restarted",
                ),
            ),
        ),
    ] {
        assert!(
            sentence(container, &[event], None).starts_with("killed (137)"),
            "{what}"
        );
    }
    // A failed probe does not explain an exit, unless the kubelet reports that it killed the container.
    assert!(sentence(&container(1, "Error"), &[of("app", failed)], None).starts_with("exit 1"));
    let hook = of("app", event("FailedPostStartHook", "PostStartHook failed"));
    assert!(sentence(&container(1, "Error"), &[hook], None).starts_with("exit 1"));
}

#[test]
fn a_post_start_hook_that_fails_is_reported() {
    let hook = of("app", event("FailedPostStartHook", "PostStartHook failed"));
    assert_eq!(
        sentence(&container(137, "Error"), std::slice::from_ref(&hook), None),
        "postStart hook (137) | Killed after its postStart hook failed: PostStartHook failed, 41s after start (137)."
    );
    let waits = Container {
        waiting: Some((
            "PostStartHookError".to_owned(),
            "command 'x' exited with 1".to_owned(),
        )),
        ..container(143, "Error")
    };
    assert_eq!(
        sentence(&waits, &[hook], None),
        "postStart hook failed | Its postStart hook fails: Kubernetes ends the container then: command 'x' exited with 1; before that it ended with Error (143)."
    );
}

#[test]
fn a_container_that_waits_says_why() {
    assert_eq!(
        sentence(
            &waiting("CreateContainerConfigError", "configmap \"x\" not found", 0),
            &[],
            None
        ),
        "CreateContainerConfigError | It does not even start: CreateContainerConfigError: configmap \"x\" not found."
    );
    assert_eq!(
        sentence(&waiting("CrashLoopBackOff", "back-off 5m0s", 4), &[], None),
        "CrashLoopBackOff | Its last exit is not on record: it waits in CrashLoopBackOff after 4 restarts, and Kubernetes keeps no state of the container that ended."
    );
    let ran = Container {
        waiting: Some(("ImagePullBackOff".to_owned(), String::new())),
        ..container(1, "Error")
    };
    assert_eq!(
        sentence(&ran, &[], None),
        "ImagePullBackOff | It is not started again: ImagePullBackOff: Kubernetes says no more; before that it ended with Error (1)."
    );
    for container in [Container::default(), waiting("PodInitializing", "", 0)] {
        assert_eq!(verdict(&findings(&container, &[], None)), None);
    }
}

#[test]
fn a_start_that_fails_says_what_the_runtime_says() {
    let mut exit = container(128, "StartError").last_exit.unwrap();
    exit.message = "exec: \"serve\": executable file not found in $PATH".to_owned();
    exit.started = None;
    let start = Container {
        last_exit: Some(exit),
        waiting: Some(("RunContainerError".to_owned(), String::new())),
        ..container(0, "")
    };
    assert_eq!(
        sentence(&start, &[], None),
        "could not be started (128) | It could not be started: StartError; it says: exec: \"serve\": executable file not found in $PATH."
    );
}

#[test]
fn an_init_container_and_a_sidecar_are_named() {
    for (role, name) in [(Role::Init, "init container"), (Role::Sidecar, "sidecar")] {
        let other = Container {
            role,
            ..container(1, "Error")
        };
        let verdict = sentence(&other, &[], None);
        assert!(
            verdict.contains(&format!("in the {name} app: exit 1")),
            "{verdict}"
        );
    }
}

#[test]
fn a_log_is_quoted_only_if_it_is_the_crashed_containers_and_may_be() {
    let mut findings = findings(&container(1, "Error"), &[], Some("secret plans"));
    assert!(rest(&findings).contains("secret plans"));
    let mut log = findings.log.take().unwrap();
    findings.log = Some(log.clone().not_for_the_message());
    assert!(!rest(&findings).contains("secret plans"));
    log.is_of_crash = false;
    findings.log = Some(log);
    assert!(!rest(&findings).contains("secret plans"));
}

#[test]
fn the_last_error_is_quoted_if_the_last_line_is_none() {
    let mut findings = findings(&container(1, "Error"), &[], Some("ERROR no database"));
    findings.log.as_mut().unwrap().lines.push("bye".to_owned());
    let rest = rest(&findings);
    assert!(
        rest.ends_with("; its last error: ERROR no database."),
        "{rest}"
    );
}

#[test]
fn a_pod_that_was_ended_says_by_what() {
    let verdict = ended("Evicted", "The node was low on resource: memory.");
    assert_eq!(
        (verdict.kind.as_str(), verdict.lead.as_str()),
        ("evicted", "Evicted")
    );
    let verdict = ended(
        "Terminated",
        "Pod was terminated in response to imminent node shutdown.",
    );
    assert_eq!(verdict.kind, "pod-ended");
    let verdict = ended("NodeLost", "");
    assert_eq!(verdict.rest.to_string(), "Kubernetes says no more.");
}
