//! What the fake of Kubernetes holds: a pod in a crash loop, with all that hangs on it, in the API's own shapes.

use std::collections::BTreeMap;

use serde_json::Value;

/// The objects, events and logs of a cluster.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// By the path of the API (`/api/v1/namespaces/customer/pods/x`).
    pub objects: BTreeMap<String, Value>,
    pub events: Vec<Value>,
    /// By the pod's path, the container, and whether it is the previous container's.
    pub logs: BTreeMap<(String, String, bool), String>,
}

impl Cluster {
    /// Returns the cluster of a case of a handler's tests (`handler_kit::mock::Case`): its objects, lists, events and logs.
    #[must_use]
    pub fn of_case(case: &Value) -> Self {
        let mut cluster = Self::default();
        let answers = case["kubernetes"].as_object().into_iter().flatten();
        // An object that stands by itself is more than its entry in a list.
        for (path, item) in answers
            .clone()
            .filter_map(|(path, answer)| Some((path, answer.as_array()?)))
            .flat_map(|(path, items)| items.iter().map(move |item| (path, item)))
        {
            cluster
                .objects
                .insert(path_of_item(path, item), item.clone());
        }
        let objects = answers.filter(|(_, answer)| answer.is_object());
        cluster
            .objects
            .extend(objects.map(|(path, object)| (path.clone(), object.clone())));
        cluster.events = case["events"].as_array().cloned().unwrap_or_default();
        let pods: Vec<String> = cluster
            .objects
            .keys()
            .filter(|path| path.contains("/pods/"))
            .cloned()
            .collect();
        for (which, log) in case["logs"].as_object().into_iter().flatten() {
            let (container, is_previous) = match which.split_once('/') {
                Some((container, _)) => (container, true),
                None => (which.as_str(), false),
            };
            let log = log.as_str().unwrap_or_default();
            for pod in &pods {
                let key = (pod.clone(), container.to_owned(), is_previous);
                cluster.logs.insert(key, log.to_owned());
            }
        }
        cluster
    }
}

/// Returns the path of an object that the list at `path` has, be it that of one namespace or of all.
fn path_of_item(path: &str, item: &Value) -> String {
    let of = |field: &str| item["metadata"][field].as_str().unwrap_or_default();
    let name = of("name");
    match (
        path.contains("/namespaces/"),
        of("namespace"),
        path.rsplit_once('/'),
    ) {
        (false, namespace, Some((version, resource))) if !namespace.is_empty() => {
            format!("{version}/namespaces/{namespace}/{resource}/{name}")
        }
        _ => format!("{path}/{name}"),
    }
}

/// What owns the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Through a `ReplicaSet`, with the one of the rollout before.
    Deployment,
    StatefulSet,
    DaemonSet,
    Job,
    /// A pod of its own.
    None,
}

/// A pod in a crash loop. The defaults are those of the alert in the README; every part can be set.
#[derive(Debug, Clone)]
pub struct CrashLoop {
    /// The cluster's current time, in seconds since 1970; all other times are relative to it.
    pub now: i64,
    pub namespace: String,
    pub pod: String,
    pub uid: String,
    pub container: String,
    pub is_init_container: bool,
    pub workload: Workload,
    /// The workload's own name.
    pub workload_name: String,
    pub image: String,
    pub image_before: String,
    pub rollout_seconds_ago: i64,
    pub first_crash_seconds_ago: i64,
    pub restarts: u32,
    pub exit_code: i32,
    /// `OOMKilled`, `Error`, `Completed`, `StartError`.
    pub reason: String,
    /// How long the last container ran.
    pub ran_seconds: i64,
    /// The previous container's last lines.
    pub log: Vec<String>,
    /// Events besides `BackOff` (warnings; `Killing` is a normal one): reason, message, count, seconds since the last.
    pub warnings: Vec<(String, String, u32, i64)>,
    /// True once it runs and is ready again.
    pub is_recovered: bool,
}

impl CrashLoop {
    /// The README's pod, killed for memory 12 minutes after a rollout changed its image.
    pub fn oom_killed(now: i64) -> Self {
        Self {
            now,
            namespace: "customer".to_owned(),
            pod: "customer-rs-transformer-9b75b488c-cpfd7".to_owned(),
            uid: "6f1c0c0e-33f5-4c0b-9d43-2f1f3d1c7a10".to_owned(),
            container: "rs-transformer".to_owned(),
            is_init_container: false,
            workload: Workload::Deployment,
            workload_name: "customer-rs-transformer".to_owned(),
            image: "registry.example.com/customer/rs-transformer:1.42.0".to_owned(),
            image_before: "registry.example.com/customer/rs-transformer:1.41.3".to_owned(),
            rollout_seconds_ago: 52 * 60,
            first_crash_seconds_ago: 40 * 60,
            restarts: 14,
            exit_code: 137,
            reason: "OOMKilled".to_owned(),
            ran_seconds: 41,
            log: batch_log(80),
            warnings: vec![],
            is_recovered: false,
        }
    }

    /// The same pod, ending by itself with this code (1, 127, 139 …), its log's last line being `last_line`.
    pub fn exit(now: i64, exit_code: i32, last_line: &str) -> Self {
        let mut log = batch_log(20);
        log.push(last_line.to_owned());
        Self {
            exit_code,
            reason: "Error".to_owned(),
            ran_seconds: 3,
            log,
            ..Self::oom_killed(now)
        }
    }

    /// The same pod, killed by the kubelet (137, but not for memory) since its liveness probe failed.
    pub fn probe_failed(now: i64) -> Self {
        let unhealthy = "Liveness probe failed: HTTP probe failed with statuscode: 503";
        let killing = "Container rs-transformer failed liveness probe, will be restarted";
        Self {
            reason: "Error".to_owned(),
            ran_seconds: 95,
            warnings: vec![
                ("Unhealthy".to_owned(), unhealthy.to_owned(), 42, 70),
                ("Killing".to_owned(), killing.to_owned(), 14, 65),
            ],
            ..Self::oom_killed(now)
        }
    }

    /// The same pod, whose init container can't reach the database.
    pub fn init_container(now: i64) -> Self {
        Self {
            container: "wait-for-db".to_owned(),
            is_init_container: true,
            ..Self::exit(
                now,
                1,
                "dial tcp 10.0.12.7:5432: connect: connection refused",
            )
        }
    }

    /// The same scenario once the pod runs and is ready.
    #[must_use]
    pub fn recovered(self) -> Self {
        Self {
            is_recovered: true,
            ..self
        }
    }

    /// Returns the cluster that this describes.
    pub fn cluster(&self) -> Cluster {
        let mut cluster = self.cluster_without_pod();
        let path = self.pod_path();
        let previous = (path.clone(), self.container.clone(), true);
        cluster.logs.insert(previous, self.log.join("\n") + "\n");
        if self.is_recovered {
            let current = (path.clone(), self.container.clone(), false);
            cluster.logs.insert(
                current,
                "level=info msg=\"serving\" addr=:8080\n".to_owned(),
            );
        }
        cluster.objects.insert(path, self.pod_json());
        cluster.events = self.events();
        cluster
    }

    /// Returns the cluster after the pod was deleted: its workload is there, the pod is not.
    pub fn cluster_without_pod(&self) -> Cluster {
        let mut cluster = Cluster::default();
        for (path, object) in self.workload_objects() {
            cluster.objects.insert(path, object);
        }
        cluster.objects.insert(
            "/api/v1/nodes/ip-10-0-4-17.us-west-1.compute.internal".to_owned(),
            self.node(),
        );
        cluster
    }

    /// Returns the pod's path in the API.
    pub fn pod_path(&self) -> String {
        format!("/api/v1/namespaces/{}/pods/{}", self.namespace, self.pod)
    }
}

fn batch_log(lines: u32) -> Vec<String> {
    (1..=lines)
        .map(|n| {
            format!(
                "level=info msg=\"transformed batch\" batch={n} rows=50000 heap_mb={}",
                40 + n * 6
            )
        })
        .collect()
}
