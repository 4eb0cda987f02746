//! What the stand-in for Kubernetes holds: a pod in a crash loop, with all that hangs on it, in the API's own shapes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::time::rfc3339;

/// The objects, events and logs of a cluster.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// By the path of the API (`/api/v1/namespaces/customer/pods/x`).
    pub objects: BTreeMap<String, Value>,
    pub events: Vec<Value>,
    /// By the pod's path, the container, and whether it is the previous container's.
    pub logs: BTreeMap<(String, String, bool), String>,
}

/// What owns the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Through a ReplicaSet, with the ReplicaSet of the rollout before.
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
    /// Seconds since 1970 that the cluster takes for now; everything else is told from it.
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
    /// Warning events besides `BackOff`: reason, message, count, seconds since the last.
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

    fn ago(&self, seconds: i64) -> String {
        rfc3339(self.now - seconds)
    }

    fn ready(&self) -> u32 {
        if self.is_recovered { 3 } else { 2 }
    }

    fn labels(&self) -> Value {
        json!({
            "app.kubernetes.io/name": self.workload_name,
            "app.kubernetes.io/part-of": "customer",
            "owner": "team-ingest",
            "pod-template-hash": "9b75b488c",
        })
    }

    fn container_status(&self) -> Value {
        let last_ended = 130;
        let terminated = json!({
            "containerID": "containerd://0c9d6df2a1f4d2f0bb1ff7f0d2c9d6b1a3b5c7d9e1f30517395b7d9fb1d3f517",
            "exitCode": self.exit_code,
            "finishedAt": self.ago(last_ended),
            "reason": self.reason,
            "startedAt": self.ago(last_ended + self.ran_seconds),
        });
        let waiting_message = format!(
            "back-off 5m0s restarting failed container={} pod={}_{}({})",
            self.container, self.pod, self.namespace, self.uid
        );
        let state = if self.is_recovered {
            json!({ "running": { "startedAt": self.ago(60) } })
        } else {
            json!({ "waiting": { "message": waiting_message, "reason": "CrashLoopBackOff" } })
        };
        json!({
            "containerID": "containerd://0c9d6df2a1f4d2f0bb1ff7f0d2c9d6b1a3b5c7d9e1f30517395b7d9fb1d3f517",
            "image": self.image,
            "imageID": format!("{}@sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945", self.image),
            "lastState": { "terminated": terminated },
            "name": self.container,
            "ready": self.is_recovered,
            "restartCount": self.restarts,
            "started": self.is_recovered,
            "state": state,
        })
    }

    fn container_spec(&self) -> Value {
        json!({
            "image": self.image,
            "imagePullPolicy": "IfNotPresent",
            "name": self.container,
            "livenessProbe": {
                "failureThreshold": 3, "httpGet": { "path": "/healthz", "port": 8080, "scheme": "HTTP" },
                "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1,
            },
            "resources": { "limits": { "memory": "512Mi" }, "requests": { "cpu": "250m", "memory": "512Mi" } },
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
            "volumeMounts": [{
                "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
                "name": "kube-api-access-6x9zk", "readOnly": true,
            }],
        })
    }

    fn owner_references(&self) -> Value {
        let (api_version, kind, name) = match self.workload {
            Workload::Deployment => ("apps/v1", "ReplicaSet", self.replica_set()),
            Workload::StatefulSet => ("apps/v1", "StatefulSet", self.workload_name.clone()),
            Workload::DaemonSet => ("apps/v1", "DaemonSet", self.workload_name.clone()),
            Workload::Job => ("batch/v1", "Job", self.workload_name.clone()),
            Workload::None => return json!([]),
        };
        json!([{
            "apiVersion": api_version, "blockOwnerDeletion": true, "controller": true, "kind": kind, "name": name,
            "uid": "b6e7a9f2-5d0f-4f0c-8a57-9e1d6b3f2c11",
        }])
    }

    fn pod_json(&self) -> Value {
        let ready = if self.is_recovered { "True" } else { "False" };
        let (containers, statuses) = if self.is_init_container {
            ("initContainers", "initContainerStatuses")
        } else {
            ("containers", "containerStatuses")
        };
        let mut pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "annotations": { "prometheus.io/scrape": "true" },
                "creationTimestamp": self.ago(self.rollout_seconds_ago - 4),
                "generateName": format!("{}-", self.replica_set()),
                "labels": self.labels(),
                "name": self.pod,
                "namespace": self.namespace,
                "ownerReferences": self.owner_references(),
                "resourceVersion": "81734412",
                "uid": self.uid,
            },
            "spec": {
                "dnsPolicy": "ClusterFirst",
                "enableServiceLinks": true,
                "nodeName": "ip-10-0-4-17.us-west-1.compute.internal",
                "priority": 0,
                "restartPolicy": "Always",
                "schedulerName": "default-scheduler",
                "serviceAccountName": "rs-transformer",
                "terminationGracePeriodSeconds": 30,
            },
            "status": {
                "conditions": [
                    { "lastProbeTime": null, "lastTransitionTime": self.ago(self.rollout_seconds_ago - 4),
                      "status": "True", "type": "Initialized" },
                    { "lastProbeTime": null, "lastTransitionTime": self.ago(130), "status": ready, "type": "Ready",
                      "message": format!("containers with unready status: [{}]", self.container),
                      "reason": "ContainersNotReady" },
                    { "lastProbeTime": null, "lastTransitionTime": self.ago(self.rollout_seconds_ago - 4),
                      "status": "True", "type": "PodScheduled" },
                ],
                "hostIP": "10.0.4.17",
                "phase": if self.is_init_container && !self.is_recovered { "Pending" } else { "Running" },
                "podIP": "10.0.6.203",
                "podIPs": [{ "ip": "10.0.6.203" }],
                "qosClass": "Burstable",
                "startTime": self.ago(self.rollout_seconds_ago - 4),
            },
        });
        pod["spec"][containers] = json!([self.container_spec()]);
        pod["status"][statuses] = json!([self.container_status()]);
        if self.is_init_container {
            let mut main = self.container_spec();
            main["name"] = json!("rs-transformer");
            pod["spec"]["containers"] = json!([main]);
            pod["status"]["containerStatuses"] = json!([{
                "image": self.image, "imageID": "", "lastState": {}, "name": "rs-transformer", "ready": self.is_recovered,
                "restartCount": 0, "started": false, "state": { "waiting": { "reason": "PodInitializing" } },
            }]);
        }
        pod
    }

    fn replica_set(&self) -> String {
        format!("{}-9b75b488c", self.workload_name)
    }

    fn workload_objects(&self) -> Vec<(String, Value)> {
        let (group, resource, kind) = match self.workload {
            Workload::Deployment => ("apps/v1", "deployments", "Deployment"),
            Workload::StatefulSet => ("apps/v1", "statefulsets", "StatefulSet"),
            Workload::DaemonSet => ("apps/v1", "daemonsets", "DaemonSet"),
            Workload::Job => ("batch/v1", "jobs", "Job"),
            Workload::None => return Vec::new(),
        };
        let folder = format!("/apis/{group}/namespaces/{}", self.namespace);
        let mut found = vec![(
            format!("{folder}/{resource}/{}", self.workload_name),
            self.workload_json(group, kind),
        )];
        if self.workload == Workload::Deployment {
            let before = format!("{}-6c8df5f7b4", self.workload_name);
            let weeks = 21 * 86_400;
            for (name, image, revision, age, replicas) in [
                (
                    self.replica_set(),
                    &self.image,
                    "42",
                    self.rollout_seconds_ago,
                    3,
                ),
                (before, &self.image_before, "41", weeks, 0),
            ] {
                let object = self.replica_set_json(&name, image, revision, age, replicas);
                found.push((format!("{folder}/replicasets/{name}"), object));
            }
        }
        found
    }

    fn template(&self, image: &str) -> Value {
        let mut container = self.container_spec();
        container["image"] = json!(image);
        let key = if self.is_init_container {
            "initContainers"
        } else {
            "containers"
        };
        json!({ "metadata": { "labels": self.labels() }, "spec": { key: [container], "restartPolicy": "Always" } })
    }

    fn replica_set_json(
        &self,
        name: &str,
        image: &str,
        revision: &str,
        age_seconds: i64,
        replicas: u32,
    ) -> Value {
        json!({
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "annotations": {
                    "deployment.kubernetes.io/desired-replicas": "3",
                    "deployment.kubernetes.io/max-replicas": "4",
                    "deployment.kubernetes.io/revision": revision,
                },
                "creationTimestamp": self.ago(age_seconds),
                "labels": self.labels(),
                "name": name,
                "namespace": self.namespace,
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "blockOwnerDeletion": true, "controller": true, "kind": "Deployment",
                    "name": self.workload_name, "uid": "0b9f4e57-21a8-4d3d-8f0a-6f2f5e0f7d21",
                }],
                "uid": if replicas > 0 { "b6e7a9f2-5d0f-4f0c-8a57-9e1d6b3f2c11" } else { "77a3c9d0-1c1b-4b0e-8f5e-0d9f2a4b6c33" },
            },
            "spec": {
                "replicas": replicas,
                "selector": { "matchLabels": { "app.kubernetes.io/name": self.workload_name } },
                "template": self.template(image),
            },
            "status": { "observedGeneration": 3, "replicas": replicas },
        })
    }

    fn workload_json(&self, api_version: &str, kind: &str) -> Value {
        let ready = self.ready();
        let status = match self.workload {
            Workload::DaemonSet => json!({
                "currentNumberScheduled": 3, "desiredNumberScheduled": 3, "numberAvailable": ready, "numberMisscheduled": 0,
                "numberReady": ready, "updatedNumberScheduled": 3,
            }),
            Workload::Job => {
                json!({ "active": 1, "failed": 2, "ready": 0, "startTime": self.ago(self.rollout_seconds_ago) })
            }
            _ => json!({
                "availableReplicas": ready, "observedGeneration": 42, "readyReplicas": ready, "replicas": 3,
                "unavailableReplicas": 3 - ready, "updatedReplicas": 3,
            }),
        };
        json!({
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {
                "annotations": { "deployment.kubernetes.io/revision": "42" },
                "creationTimestamp": self.ago(200 * 86_400),
                "generation": 42,
                "labels": { "app.kubernetes.io/name": self.workload_name, "owner": "team-ingest" },
                "name": self.workload_name,
                "namespace": self.namespace,
                "uid": "0b9f4e57-21a8-4d3d-8f0a-6f2f5e0f7d21",
            },
            "spec": {
                "replicas": 3,
                "selector": { "matchLabels": { "app.kubernetes.io/name": self.workload_name } },
                "template": self.template(&self.image),
            },
            "status": status,
        })
    }

    fn events(&self) -> Vec<Value> {
        let back_off = (
            "BackOff".to_owned(),
            format!(
                "Back-off restarting failed container {} in pod {}",
                self.container, self.pod
            ),
            203,
            20,
        );
        let mut all: Vec<_> = self
            .warnings
            .iter()
            .chain([&back_off])
            .map(|w| self.event("Warning", w))
            .collect();
        let pulled = format!(
            "Container image \"{}\" already present on machine",
            self.image
        );
        all.push(self.event("Normal", &("Pulled".to_owned(), pulled, self.restarts, 170)));
        all
    }

    fn event(
        &self,
        kind: &str,
        (reason, message, count, seconds_ago): &(String, String, u32, i64),
    ) -> Value {
        let list = if self.is_init_container {
            "initContainers"
        } else {
            "containers"
        };
        json!({
            "apiVersion": "v1",
            "count": count,
            "eventTime": null,
            "firstTimestamp": self.ago(self.first_crash_seconds_ago),
            "involvedObject": {
                "apiVersion": "v1", "fieldPath": format!("spec.{list}{{{}}}", self.container), "kind": "Pod",
                "name": self.pod, "namespace": self.namespace, "resourceVersion": "81730021", "uid": self.uid,
            },
            "kind": "Event",
            "lastTimestamp": self.ago(*seconds_ago),
            "message": message,
            "metadata": {
                "creationTimestamp": self.ago(self.first_crash_seconds_ago),
                "name": format!("{}.17a3f0{:010x}", self.pod, seconds_ago),
                "namespace": self.namespace,
                "uid": format!("5d8e0c1a-0f7b-4a3e-9c1d-{seconds_ago:012}"),
            },
            "reason": reason,
            "reportingComponent": "kubelet",
            "reportingInstance": "ip-10-0-4-17.us-west-1.compute.internal",
            "source": { "component": "kubelet", "host": "ip-10-0-4-17.us-west-1.compute.internal" },
            "type": kind,
        })
    }

    fn node(&self) -> Value {
        let condition = |kind: &str, status: &str, reason: &str| {
            json!({ "lastHeartbeatTime": self.ago(15), "lastTransitionTime": self.ago(9 * 86_400), "reason": reason,
                "status": status, "type": kind })
        };
        json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "creationTimestamp": self.ago(9 * 86_400),
                "labels": { "kubernetes.io/arch": "amd64", "node.kubernetes.io/instance-type": "m6i.xlarge",
                    "topology.kubernetes.io/zone": "us-west-1a" },
                "name": "ip-10-0-4-17.us-west-1.compute.internal",
                "uid": "f6a5b8d1-7b55-4f1b-9d2c-4f0a1c2e3d44",
            },
            "spec": { "podCIDR": "10.0.6.0/24" },
            "status": {
                "allocatable": { "cpu": "3920m", "memory": "15123456Ki", "pods": "58" },
                "capacity": { "cpu": "4", "memory": "16083456Ki", "pods": "58" },
                "conditions": [
                    condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
                    condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
                    condition("PIDPressure", "False", "KubeletHasSufficientPID"),
                    condition("Ready", "True", "KubeletReady"),
                ],
                "nodeInfo": { "kubeletVersion": "v1.31.4", "operatingSystem": "linux", "architecture": "amd64" },
            },
        })
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
