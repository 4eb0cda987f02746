//! Extracts from the API's objects the container that crashes, the owners, the readiness and a node's problems.

use handler_sdk::layout::clip;
use handler_sdk::mask;
use handler_sdk::serde_json::Value;

use crate::findings::{Container, Exit, LimitSource, Node, Role, Workload};
use crate::kube::{items, moment, text};

/// Returns the state of the container of this name, or, without a name, of the one that most likely crashes.
pub(crate) fn container(pod: &Value, name: Option<&str>) -> Option<Container> {
    let lists = [
        ("/status/containerStatuses", false),
        ("/status/initContainerStatuses", true),
    ];
    let all = lists.iter().flat_map(|(list, is_init)| {
        items(pod, list)
            .iter()
            .map(move |status| (status, *is_init))
    });
    let (status, is_init) = match name {
        Some(name) => all.clone().find(|(status, _)| status["name"] == name)?,
        None => all.max_by_key(|(status, _)| {
            let waits = text(status, "/state/waiting/reason") == Some("CrashLoopBackOff");
            (waits, status["restartCount"].as_u64().unwrap_or(0))
        })?,
    };
    let name = text(status, "/name")?.to_owned();
    let spec = spec_of(&pod["spec"], &name);
    let waiting = text(status, "/state/waiting/reason").map(|reason| {
        (
            reason.to_owned(),
            people_text(text(status, "/state/waiting/message").unwrap_or_default()),
        )
    });
    // The newest exit is that of a container that has just ended and was not restarted yet.
    let present_exit = exit(&status["state"]["terminated"]);
    let is_exit_present = present_exit.is_some();
    let last_exit = present_exit.or_else(|| exit(&status["lastState"]["terminated"]));
    let restarts_always = spec.is_some_and(|spec| text(spec, "/restartPolicy") == Some("Always"));
    let limiter =
        text(pod, "/metadata/annotations/kubernetes.io~1limit-ranger").unwrap_or_default();
    Some(Container {
        role: match (is_init, restarts_always) {
            (false, _) => Role::Main,
            (true, false) => Role::Init,
            (true, true) => Role::Sidecar,
        },
        limit_source: match sets_memory_limit(limiter, &name) {
            true => LimitSource::LimitRange,
            false => LimitSource::Unknown,
        },
        is_exit_present,
        is_ready: status["ready"] == true,
        restarts: status["restartCount"].as_u64().unwrap_or(0),
        image: spec
            .and_then(|spec| text(spec, "/image"))
            .or_else(|| text(status, "/image"))
            .map(str::to_owned),
        memory_limit: spec
            .and_then(|spec| text(spec, "/resources/limits/memory"))
            .map(str::to_owned),
        running_since: moment(status, "/state/running/startedAt"),
        waiting,
        last_exit,
        name,
    })
}

/// Returns a container of a pod's specification; names are unique across init containers and others.
fn spec_of<'v>(spec: &'v Value, name: &str) -> Option<&'v Value> {
    ["/containers", "/initContainers"]
        .iter()
        .flat_map(|list| items(spec, list))
        .find(|container| container["name"] == name)
}

/// Returns whether the message of a container's exit can be the end of its log.
pub(crate) fn is_message_of_log(pod: &Value, container: &str) -> bool {
    spec_of(&pod["spec"], container).and_then(|spec| text(spec, "/terminationMessagePolicy"))
        == Some("FallbackToLogsOnError")
}

/// Returns where a container's memory limit was set, according to the template of the object that made its pod.
pub(crate) fn limit_source(container: &Container, maker: Option<&Value>) -> LimitSource {
    let Some(maker) = maker else {
        return LimitSource::Pod;
    };
    let template = &maker["spec"]["template"]["spec"];
    let limit =
        spec_of(template, &container.name).and_then(|spec| text(spec, "/resources/limits/memory"));
    match limit == container.memory_limit.as_deref() {
        true => LimitSource::Template,
        false => LimitSource::NotTemplate(limit.map(str::to_owned)),
    }
}

/// Parses what the plugin set: `LimitRanger plugin set: cpu, memory limit for container a; memory request for …`.
fn sets_memory_limit(annotation: &str, container: &str) -> bool {
    let set = annotation.split_once("set: ").map_or("", |(_, set)| set);
    set.split(';').any(|part| {
        part.trim()
            .strip_suffix(container)
            .and_then(|part| part.strip_suffix(" limit for container "))
            .is_some_and(|resources| resources.split(", ").any(|resource| resource == "memory"))
    })
}

fn exit(terminated: &Value) -> Option<Exit> {
    Some(Exit {
        code: terminated["exitCode"].as_i64()?,
        reason: text(terminated, "/reason").unwrap_or("Error").to_owned(),
        message: people_text(text(terminated, "/message").unwrap_or_default()),
        started: moment(terminated, "/startedAt"),
        finished: moment(terminated, "/finishedAt"),
    })
}

/// Returns text from the cluster on one line, with secrets masked.
pub(crate) fn people_text(text: &str) -> String {
    clip(&mask::text(text), 300)
}

/// Returns the kind and the name of the controller that owns an object.
pub(crate) fn controller(object: &Value) -> Option<(&str, &str)> {
    let owner = items(object, "/metadata/ownerReferences")
        .iter()
        .find(|owner| owner["controller"] == true)?;
    Some((text(owner, "/kind")?, text(owner, "/name")?))
}

/// Returns the uid under which the kubelet reports events about a pod: for a static pod, that of the pod in the file,
/// which the one in the API mirrors (kubelet, `pod/mirror_client.go`).
pub(crate) fn events_uid(pod: &Value) -> Option<&str> {
    text(pod, "/metadata/annotations/kubernetes.io~1config.mirror")
        .or_else(|| text(pod, "/metadata/uid"))
}

/// Returns the name of a pod's `ReplicaSet` without the hash of its template; `None` if the hash is not known.
pub(crate) fn without_hash<'v>(pod: &Value, replica_set: &'v str) -> Option<&'v str> {
    ["pod-template-hash", "rollouts-pod-template-hash"]
        .iter()
        .filter_map(|label| pod["metadata"]["labels"][label].as_str())
        .find_map(|hash| replica_set.strip_suffix(hash)?.strip_suffix('-'))
}

/// Returns the team or person that owns an object, from the usual labels and annotations.
pub(crate) fn owner(object: &Value) -> Option<String> {
    let names = [
        "owner",
        "team",
        "app.kubernetes.io/team",
        "app.kubernetes.io/owner",
        "app.kubernetes.io/managed-by-team",
    ];
    ["labels", "annotations"].iter().find_map(|kind| {
        names
            .iter()
            .find_map(|name| object["metadata"][kind][name].as_str())
            .filter(|o| !o.is_empty())
            .map(str::to_owned)
    })
}

/// Returns a workload with its readiness.
pub(crate) fn workload(kind: &str, name: &str, object: &Value) -> Workload {
    let count = |pointer: &str| object.pointer(pointer).and_then(Value::as_u64);
    let ready = match kind {
        // The status leaves out a count of zero.
        "Deployment" | "StatefulSet" | "ReplicaSet" => count("/spec/replicas")
            .map(|wanted| (count("/status/readyReplicas").unwrap_or(0), wanted)),
        "DaemonSet" => count("/status/desiredNumberScheduled")
            .map(|wanted| (count("/status/numberReady").unwrap_or(0), wanted)),
        _ => None,
    };
    Workload {
        kind: kind.to_owned(),
        name: name.to_owned(),
        is_read: true,
        made_by: controller(object).map(|(kind, name)| format!("{kind} {name}")),
        ready,
    }
}

/// Returns a node with the conditions that indicate a problem.
pub(crate) fn node(name: &str, object: &Value) -> Node {
    let troubles = items(object, "/status/conditions")
        .iter()
        .filter_map(
            |condition| match (text(condition, "/type")?, text(condition, "/status")?) {
                ("Ready", "True") => None,
                ("Ready", _) => Some("NotReady".to_owned()),
                (kind, "True") => Some(kind.to_owned()),
                _ => None,
            },
        );
    Node {
        name: name.to_owned(),
        troubles: troubles.collect(),
    }
}
